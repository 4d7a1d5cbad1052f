/** Messages by which followers with watches learn of commits. */
import { assertEquals } from "@std/assert";
import { CommitRequests } from "../../../../lib/server/watch/commit_requests.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** A node of three whose state a test sets. */
class TestNode {
  readonly clock = new ManualClock();
  readonly hub = { size: 1 };
  readonly driver = {
    isLeader: false,
    readIndex: () => {
      this.requests++;
      return { kind: "refused" } as const;
    },
    announceCommit: (node: number) => void this.announced.push(node),
  };
  /** Requests for a round of heartbeats. */
  requests = 0;
  /** The followers to which a commit was announced, in order. */
  readonly announced: number[] = [];
  #status = { lastIndex: 10, commitIndex: 10, peers: peersWith(10, 10) };
  readonly #requests = new CommitRequests({
    clock: this.clock,
    hub: this.hub,
    raft: { status: () => this.#status },
    driver: this.driver,
  });

  /** Has the log and the commit at these indexes, and settles. */
  at(lastIndex: number, commitIndex: number, peers = peersWith(lastIndex, lastIndex)): void {
    this.#status = { lastIndex, commitIndex, peers };
    this.#requests.settled();
  }
}

/** Returns the peers 2 and 3, which have entries up to these indexes. */
function peersWith(second: number, third: number): { readonly id: number; readonly matchIndex: number }[] {
  return [{ id: 2, matchIndex: second }, { id: 3, matchIndex: third }];
}

Deno.test("CommitRequests: a leader with watches announces each commit at once, unless an entry follows that does", () => {
  const node = new TestNode();
  node.driver.isLeader = true;
  node.at(11, 10);
  assertEquals(node.announced, []);
  node.at(11, 11);
  node.at(11, 11);
  assertEquals(node.announced, [2, 3]);
  node.at(13, 12);
  assertEquals(node.announced, [2, 3]);
  node.at(13, 13);
  assertEquals(node.announced, [2, 3, 2, 3]);
  node.hub.size = 0;
  node.at(14, 14);
  assertEquals(node.announced, [2, 3, 2, 3]);
});

Deno.test("CommitRequests: a leader announces a commit to a slower follower once that has the entry", () => {
  const node = new TestNode();
  node.driver.isLeader = true;
  node.at(11, 11, peersWith(11, 10));
  assertEquals(node.announced, [2]);
  node.at(11, 11, peersWith(11, 11));
  assertEquals(node.announced, [2, 3]);
  node.at(11, 11, peersWith(11, 11));
  assertEquals(node.announced, [2, 3]);
});

Deno.test("CommitRequests: a follower with watches requests the commit of an entry that it has had for a while", () => {
  const node = new TestNode();
  node.at(11, 10);
  node.clock.advance(4);
  assertEquals(node.requests, 0);
  node.clock.advance(1);
  assertEquals(node.requests, 1);
  node.at(12, 11);
  node.at(12, 12);
  node.clock.advance(5);
  assertEquals(node.requests, 1);
  assertEquals(node.announced, []);
});

Deno.test("CommitRequests: a follower whose entry is not committed yet waits twice as long before each further request", () => {
  const node = new TestNode();
  const requestsAfter = (waits: readonly number[]): readonly number[] =>
    waits.map((ms) => {
      node.at(11, 10);
      node.clock.advance(ms);
      return node.requests;
    });
  assertEquals(requestsAfter([5, 9, 1, 20, 40, 80, 79, 1]), [1, 1, 2, 3, 4, 5, 5, 6]);
  node.at(11, 11);
  node.at(12, 11);
  node.clock.advance(5);
  assertEquals(node.requests, 7);
});
