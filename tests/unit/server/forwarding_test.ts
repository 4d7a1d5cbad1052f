/** A write that was passed on ends exactly once, whatever becomes of the leader and the way to it. */
import { assertEquals } from "@std/assert";
import type { ForwardRequest } from "../../../lib/net/client_messages.ts";
import type { WriteAnswer } from "../../../lib/server/answers.ts";
import { Forwarding } from "../../../lib/server/forwarding.ts";
import { ManualClock } from "../../support/manual_clock.ts";

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

  forward(name: string): void {
    this.forwarding.forward(2, COMMAND, (answer: WriteAnswer) => {
      this.answers.push(
        `${name}: ${answer.kind === "result" ? "result" : `${answer.code}, ${answer.outcome}`}`,
      );
    });
  }
}

Deno.test("the leader's answer goes to the write it belongs to, and a repeated one to nobody", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forward("b");
  const [, second] = bench.sent;
  const forwardId = second?.forwardId ?? 0;
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId, body: RESULT });
  bench.forwarding.answered(2, { kind: "forwardResult", forwardId, body: RESULT });
  assertEquals(bench.answers, ["b: result"]);
});

Deno.test("an answer from a node that was not asked is dropped", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forwarding.answered(3, { kind: "forwardResult", forwardId: 100, body: RESULT });
  assertEquals(bench.answers, []);
});

Deno.test("without a connection nothing left, and the write is known not to have happened", () => {
  const bench = new Bench();
  bench.connected = false;
  bench.forward("a");
  assertEquals(bench.answers, ["a: notLeader, not-applied"]);
});

Deno.test("a broken link leaves the outcome of what was passed on over it unknown", () => {
  const bench = new Bench();
  bench.forward("a");
  bench.forwarding.linkLost(3);
  assertEquals(bench.answers, []);
  bench.forwarding.linkLost(2);
  assertEquals(bench.answers, ["a: leadershipLost, unknown"]);
});

Deno.test("silence ends in an unknown outcome, each write at its own deadline", () => {
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
