/** Forwarding: a forwarded write ends exactly once, also when the leader or the link is lost. */
import { assertEquals } from "@std/assert";
import { stampOf } from "../../support/server_state.ts";
import type { ForwardRequest } from "../../../lib/protocol/peer_frames.ts";
import type { WriteAnswer } from "../../../lib/server/reply.ts";
import { Forwarding, MAX_FORWARDS } from "../../../lib/server/forwarding.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

const COMMAND = new Uint8Array([1]);
const RESULT = { kind: "result", result: new Uint8Array([2]) } as const;

class Bench {
  readonly clock = new ManualClock();
  readonly sent: ForwardRequest[] = [];
  readonly answers: string[] = [];
  connected = true;
  readonly forwarding = new Forwarding({
    clock: this.clock,
    firstId: 100,
    timeoutMs: 50,
    send: (_to, message) => {
      if (this.connected) this.sent.push(message);
      return this.connected;
    },
  });

  /** Forwards a write; `sequence` null: without a session. */
  forward(name: string, sequence: number | null = null, leader = 2): void {
    const stamp = sequence === null ? null : stampOf(sequence);
    this.forwarding.forward(leader, { bytes: COMMAND, stamp }, this.answerTo(name));
  }

  /** Adds the answer to a write to `answers`, under a name. */
  answerTo(name: string): (answer: WriteAnswer) => void {
    return (answer) => {
      this.answers.push(
        `${name}: ${answer.kind === "result" ? "result" : `${answer.code}, ${answer.outcome}`}`,
      );
    };
  }
}

Deno.test("Forwarding: the leader's answer goes to its write, and a repeated one is dropped", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forward("b");
  const [, second] = bench.sent;
  const forwardId = second?.forwardId ?? 0;
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId, body: RESULT });
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId, body: RESULT });
  assertEquals(bench.answers, ["b: result"]);
});

Deno.test("Forwarding: an answer from another node than the write went to is dropped", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forwarding.answered(3, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers, []);
});

Deno.test("Forwarding: without a connection a write is not sent, and not applied", () => {
  const bench = new Bench();
  bench.connected = false;
  bench.forward("a");
  assertEquals(bench.answers, ["a: notLeader, not-applied"]);
});

Deno.test("Forwarding: a broken link leaves the outcome of its writes unknown", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forwarding.linkLost(3);
  assertEquals(bench.answers, []);
  bench.forwarding.linkLost(2);
  assertEquals(bench.answers, ["a: leadershipLost, unknown"]);
});

Deno.test("Forwarding: a new leader leaves the outcome of writes at earlier ones unknown", () => {
  const bench = new Bench();
  bench.forward("a", 1);
  bench.forward("b", null, 3);
  bench.forwarding.leaderKnown(3);
  assertEquals(bench.answers, ["a: leadershipLost, unknown"]);
  bench.forwarding.leaderKnown(1);
  assertEquals(bench.answers, ["a: leadershipLost, unknown", "b: leadershipLost, unknown"]);
});

Deno.test("Forwarding: without an answer the outcome is unknown, each write at its own deadline", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.clock.advance(30);
  bench.forward("b");
  bench.clock.advance(20);
  assertEquals(bench.answers, ["a: leadershipLost, unknown"]);
  bench.clock.advance(30);
  assertEquals(bench.answers, ["a: leadershipLost, unknown", "b: leadershipLost, unknown"]);
  assertEquals(bench.clock.timerCount, 0);
});

Deno.test("Forwarding: a retry waits with its first attempt at the same leader, and gets the same answer", () => {
  const bench = new Bench();
  bench.forward("first", 1);
  bench.forward("again", 1);
  bench.forward("another", 2);
  bench.forward("without a session");
  bench.forward("without a session, too");
  assertEquals(bench.sent.map(({ forwardId }) => forwardId), [100, 101, 102, 103]);
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers, ["first: result", "again: result"]);
  assertEquals([1, 2].map((sequence) => bench.forwarding.has(stampOf(sequence))), [false, true]);
  bench.forward("later", 1);
  assertEquals(bench.sent.length, 5, "a write that has ended is passed on again");
  bench.forwarding.close();
});

Deno.test("Forwarding: a retry goes to a later leader, and each attempt has its own answer", () => {
  const bench = new Bench();
  bench.forward("first", 1, 2);
  bench.forward("again", 1, 3);
  bench.forwarding.linkLost(3);
  assertEquals(bench.answers, ["again: leadershipLost, unknown"]);
  assertEquals(bench.forwarding.join(stampOf(1), bench.answerTo("joined")), true);
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers.slice(1), ["first: result", "joined: result"]);
  assertEquals(bench.forwarding.join(stampOf(1), bench.answerTo("late")), false);
  bench.forwarding.close();
});

Deno.test("Forwarding: beyond the bound a write is refused as busy, and a retry of one that waits is not", () => {
  const bench = new Bench();
  bench.forward("first", 1);
  for (let number = 1; number < MAX_FORWARDS; number++) {
    bench.forwarding.forward(2, { bytes: COMMAND, stamp: null }, () => {});
  }
  bench.forward("one too many", 2);
  bench.forward("again", 1);
  bench.forward("at a later leader", 1, 3);
  assertEquals([bench.answers, bench.sent.length], [["one too many: busy, not-applied"], MAX_FORWARDS]);
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers.slice(1), ["first: result", "again: result", "at a later leader: result"]);
  bench.forwarding.close();
});

Deno.test("Forwarding: a retry that can't be sent is not reported as not applied while its first attempt is in flight", () => {
  const bench = new Bench();
  bench.forward("first", 1);
  bench.connected = false;
  bench.forward("again", 1, 3);
  assertEquals(bench.answers, []);
  bench.forwarding.linkLost(2);
  assertEquals(bench.answers, ["first: leadershipLost, unknown", "again: leadershipLost, unknown"]);
  bench.forwarding.close();
});

Deno.test("Forwarding: another user's write under the same stamp is forwarded by itself, and answered by its own answer", () => {
  const bench = new Bench();
  const forward = (name: string, userId: number): void => {
    const stamp = { ...stampOf(1), userId };
    bench.forwarding.forward(2, { bytes: COMMAND, stamp }, bench.answerTo(name));
  };
  forward("ann", 3);
  forward("bob", 4);
  forward("ann again", 3);
  assertEquals(bench.sent.map(({ forwardId }) => forwardId), [100, 101]);
  assertEquals(bench.forwarding.join({ ...stampOf(1), userId: 5 }, bench.answerTo("eve")), false);
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers, ["ann: result", "ann again: result"]);
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId: 101, body: RESULT });
  assertEquals(bench.answers.slice(2), ["bob: result"]);
});
