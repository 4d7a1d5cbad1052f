/** The bound of the history: when the leader proposes to compact, and what every node then has. */
import { assert, assertEquals } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import { HistoryBound } from "../../../../lib/server/leader/history_bound.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

const BOUND = 2_000;

/** A state machine whose puts are followed by the bound; entries that it proposes are applied when asked. */
class Bench {
  readonly machine = new StateMachine();
  readonly clock = new ManualClock();
  readonly proposed: Uint8Array[] = [];
  readonly bound: HistoryBound;
  term: number | null = 1;
  accepts = true;

  constructor(
    { level = 2, seconds = null }: {
      readonly level?: number;
      readonly seconds?: number | null;
    } = {},
  ) {
    this.machine.apply(1, { kind: "raiseFeatureLevel", level });
    this.bound = new HistoryBound({
      clock: this.clock,
      replica: { stateMachine: this.machine },
      live: { historyBytes: BOUND, historySeconds: seconds },
      leadingTerm: () => this.term,
      propose: (command) => this.accepts ? this.proposed.push(command) : null,
    });
    this.bound.start();
  }

  /** Advances time by this many seconds; returns the compacted revision after what is proposed by then. */
  pass(seconds: number): number {
    this.clock.advance(seconds * 1_000);
    while (this.proposed.length > 0) this.applyProposed();
    return this.machine.compactedRevision;
  }

  put(times: number): void {
    const mutations = [{ kind: "put", key: new Uint8Array([1]), value: new Uint8Array(100) }] as const;
    for (let time = 0; time < times; time++) {
      const command = { kind: "transaction", session: null, checks: [], mutations } as const;
      this.machine.apply(this.machine.appliedIndex + 1, command);
      this.bound.noteApplied();
    }
  }

  applyProposed(): void {
    for (const command of this.proposed.splice(0)) {
      this.machine.apply(this.machine.appliedIndex + 1, decodeCommand(command));
      this.bound.noteApplied();
    }
  }
}

Deno.test("HistoryBound: the leader proposes one compaction when the bound is exceeded, and leaves space", () => {
  const bench = new Bench();
  bench.put(10);
  assertEquals([bench.proposed.length, bench.machine.compactedRevision], [0, 0]);
  bench.put(40);
  assertEquals(bench.proposed.length, 1, "one is under way");
  bench.applyProposed();
  assert(bench.machine.compactedRevision > 0);
  bench.applyProposed();
  assert(bench.machine.historyBytes <= BOUND);
  assertEquals(bench.proposed, []);
});

Deno.test("HistoryBound: a follower proposes nothing, and a later leader what a lost proposal left to do", () => {
  const bench = new Bench();
  bench.term = null;
  bench.put(50);
  assertEquals(bench.proposed.length, 0);
  bench.term = 2;
  bench.accepts = false;
  bench.put(1);
  bench.accepts = true;
  bench.put(2);
  assertEquals(bench.proposed.splice(0).length, 1);
  bench.term = 3;
  bench.put(2);
  assertEquals(bench.proposed.length, 1);
});

Deno.test("HistoryBound: at feature level 1 there is no history", () => {
  const bench = new Bench({ level: 1 });
  bench.put(50);
  assertEquals([bench.proposed.length, bench.machine.historyBytes], [0, 0]);
});

Deno.test("HistoryBound: the history of the last seconds is kept, and older history is dropped soon after", () => {
  const bench = new Bench({ seconds: 160 });
  bench.put(1);
  assertEquals(bench.pass(100), 0);
  bench.put(1);
  assertEquals(bench.pass(69), 0, "revision 1 was the present one 160 seconds ago, and is not dropped");
  assertEquals(bench.pass(11), 1);
  assertEquals(bench.pass(80), 1);
  assertEquals(bench.pass(20), 2);
  assertEquals([bench.pass(1_000), bench.proposed.length], [2, 0]);
  bench.bound.stop();
  assertEquals(bench.clock.timerCount, 0);
});

Deno.test("HistoryBound: a new leader counts the seconds from the beginning, and drops nothing too early", () => {
  const bench = new Bench({ seconds: 160 });
  bench.put(2);
  assertEquals(bench.pass(150), 0);
  bench.term = null;
  bench.pass(20);
  bench.term = 2;
  bench.put(1);
  assertEquals(bench.pass(160), 0);
  assertEquals(bench.pass(20), 3);
});

Deno.test("HistoryBound: both bounds apply, and none of time by default", () => {
  const bench = new Bench({ seconds: 160 });
  bench.put(50);
  const byBytes = bench.pass(0);
  assert(byBytes > 0 && bench.machine.historyBytes <= BOUND);
  assertEquals(bench.pass(180), 50);
  assertEquals(new Bench().clock.timerCount, 0);
});

Deno.test("HistoryBound: a history that is within its seconds is not proposed to be dropped twice", () => {
  const bench = new Bench({ seconds: 16 });
  bench.put(3);
  bench.clock.advance(60_000);
  assertEquals(bench.proposed.length, 1, "one is under way");
});
