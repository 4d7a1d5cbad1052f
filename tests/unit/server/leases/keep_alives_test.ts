/** KeepAlives: the requests of a turn are one write, and each gets its own part of the answer. */
import { assertEquals } from "@std/assert";
import { MAX_KEEP_ALIVES, StateMachine } from "../../../../lib/kv/mod.ts";
import { decodeCommand, encodeResult } from "../../../../lib/protocol/command.ts";
import { type KeepAliveAnswer, KeepAlives } from "../../../../lib/server/leases/keep_alives.ts";
import { Metrics } from "../../../../lib/server/metrics/metrics.ts";
import { notApplied, type WriteAnswer } from "../../../../lib/server/reply.ts";
import { withoutSignIn } from "../../../support/fakes/auth.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";

/** Writes that the test answers. */
class Bench {
  readonly clock = new ManualClock();
  readonly metrics = new Metrics(this.clock);
  readonly answers: unknown[] = [];
  readonly #writes: {
    readonly leaseIds: readonly number[];
    readonly answer: (answer: WriteAnswer) => void;
  }[] = [];
  readonly #machine = new StateMachine();
  readonly #identity = withoutSignIn();
  readonly #keepAlives = new KeepAlives({
    clock: this.clock,
    metrics: this.metrics,
    auth: () => this.#machine.auth,
    writes: {
      submit: (bytes, _identity, answer) => {
        const command = decodeCommand(bytes);
        if (command.kind === "keepLeasesAlive") this.#writes.push({ leaseIds: command.leaseIds, answer });
      },
    },
  });

  request(name: string, leaseIds: readonly number[]): void {
    const answer = (end: KeepAliveAnswer): void =>
      void this.answers.push([name, end.kind === "error" ? end.code : end.ttlsMs]);
    this.#keepAlives.request({ leaseIds, identity: this.#identity, answer });
  }

  /** The leases of each write that waits for its answer. */
  get writes(): readonly (readonly number[])[] {
    return this.#writes.map(({ leaseIds }) => leaseIds);
  }

  /** Answers the first write. */
  answer(answer: (leaseIds: readonly number[]) => WriteAnswer): void {
    const write = this.#writes.shift();
    write?.answer(answer(write.leaseIds));
  }

  /** Answers the first write: leases with even ids exist, and last for a thousand times their id. */
  keep(): void {
    this.answer((leaseIds) => {
      const ttlsMs = leaseIds.map((leaseId) => leaseId % 2 === 0 ? leaseId * 1_000 : 0);
      return { kind: "result", result: encodeResult({ kind: "leasesKeptAlive", ttlsMs }) };
    });
  }
}

Deno.test("KeepAlives: the requests of one turn are one write, and those of the next another", async () => {
  const bench = new Bench();
  bench.request("a", [2, 3]);
  bench.request("b", [4]);
  assertEquals(bench.writes, []);
  await settle();
  bench.request("c", [2]);
  await settle();
  assertEquals(bench.writes, [[2, 3, 4], [2]]);
  bench.keep();
  assertEquals(bench.answers.splice(0), [["a", [2_000, 0]], ["b", [4_000]]]);
  bench.keep();
  assertEquals(bench.answers, [["c", [2_000]]]);
  assertEquals(bench.metrics.keepAlives, 4);
});

Deno.test("KeepAlives: a refused write refuses every request in it, and no other", async () => {
  const bench = new Bench();
  bench.request("a", [2]);
  bench.request("b", [4]);
  await settle();
  bench.request("c", [6]);
  await settle();
  bench.answer(() => notApplied("noLeader", "Cannot write."));
  bench.keep();
  assertEquals(bench.answers, [["a", "noLeader"], ["b", "noLeader"], ["c", [6_000]]]);
});

Deno.test("KeepAlives: a write that a right was missing for is made again for each of its requests", async () => {
  const bench = new Bench();
  bench.request("a", [2]);
  bench.request("b", [4]);
  await settle();
  const refused = encodeResult({ kind: "refused", reason: "permissionDenied" });
  bench.answer(() => ({ kind: "result", result: refused }));
  assertEquals([bench.answers, bench.writes], [[], [[2], [4]]]);
  bench.answer(() => notApplied("permissionDenied", "Cannot write."));
  bench.keep();
  assertEquals(bench.answers, [["a", "permissionDenied"], ["b", [4_000]]]);
});

for (const code of ["unauthenticated", "tokenExpired"] as const) {
  Deno.test(`KeepAlives: a sign-in that has ended ends no other of its user (${code})`, async () => {
    const bench = new Bench();
    bench.request("a", [2]);
    bench.request("b", [4]);
    await settle();
    bench.answer(() => notApplied(code, "Cannot write."));
    bench.answer(() => notApplied(code, "Cannot write."));
    bench.keep();
    assertEquals(bench.answers, [["a", code], ["b", [4_000]]]);
  });
}

Deno.test("KeepAlives: another result than that of a keep-alive is a fault of the node", async () => {
  const bench = new Bench();
  bench.request("a", [2]);
  await settle();
  bench.answer(() => ({
    kind: "result",
    result: encodeResult({ kind: "refused", reason: "invalidCommand" }),
  }));
  assertEquals(bench.answers, [["a", "internal"]]);
});

Deno.test("KeepAlives: a write has at most as many leases as a command may have", async () => {
  const bench = new Bench();
  const half = Array.from({ length: MAX_KEEP_ALIVES / 2 }, (_, id) => id + 1);
  bench.request("a", half);
  bench.request("b", half);
  bench.request("c", [8]);
  bench.request("d", half);
  await settle();
  assertEquals(bench.writes.map(({ length }) => length), [MAX_KEEP_ALIVES, 1 + MAX_KEEP_ALIVES / 2]);
  bench.keep();
  bench.keep();
  assertEquals(bench.answers.length, 4);
});
