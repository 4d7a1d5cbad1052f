/** Rounds of heartbeats by which followers with watches learn of commits. */
import { assertEquals } from "@std/assert";
import { CommitRequests } from "../../../../lib/server/watch/commit_requests.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** A node whose state a test sets. */
class TestNode {
  readonly clock = new ManualClock();
  readonly hub = { size: 1 };
  readonly driver = {
    isLeader: false,
    readIndex: () => {
      this.rounds++;
      return { kind: "refused" } as const;
    },
  };
  /** Rounds of heartbeats, or requests for one. */
  rounds = 0;
  #status = { lastIndex: 10, commitIndex: 10 };
  readonly #requests = new CommitRequests({
    clock: this.clock,
    hub: this.hub,
    raft: { status: () => this.#status },
    driver: this.driver,
  });

  /** Has the log and the commit at these indexes, and settles. */
  at(lastIndex: number, commitIndex: number): void {
    this.#status = { lastIndex, commitIndex };
    this.#requests.settled();
  }
}

Deno.test("CommitRequests: a leader with watches reports each commit at once, unless an entry follows that does", () => {
  const node = new TestNode();
  node.driver.isLeader = true;
  node.at(11, 10);
  assertEquals(node.rounds, 0);
  node.at(11, 11);
  node.at(11, 11);
  assertEquals(node.rounds, 1);
  node.at(13, 12);
  assertEquals(node.rounds, 1);
  node.at(13, 13);
  assertEquals(node.rounds, 2);
  node.hub.size = 0;
  node.at(14, 14);
  assertEquals(node.rounds, 2);
});

Deno.test("CommitRequests: a follower with watches requests the commit of an entry that it has had for a while", () => {
  const node = new TestNode();
  node.at(11, 10);
  node.clock.advance(4);
  assertEquals(node.rounds, 0);
  node.clock.advance(1);
  assertEquals(node.rounds, 1);
  node.at(12, 11);
  node.at(12, 12);
  node.clock.advance(5);
  assertEquals(node.rounds, 1);
});
