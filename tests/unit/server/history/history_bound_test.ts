/** The bound of the history: when the leader proposes to compact, and what every node then has. */
import { assert, assertEquals } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import { HistoryBound } from "../../../../lib/server/history_bound.ts";

const BOUND = 2_000;

/** A state machine whose puts are followed by the bound; entries that it proposes are applied when asked. */
class Bench {
  readonly machine = new StateMachine();
  readonly proposed: Uint8Array[] = [];
  term: number | null = 1;
  accepts = true;
  readonly bound = new HistoryBound({
    stateMachine: () => this.machine,
    bytes: BOUND,
    leadingTerm: () => this.term,
    propose: (command) => {
      if (this.accepts) this.proposed.push(command);
      return this.accepts;
    },
  });

  constructor({ level = 2 } = {}) {
    this.machine.apply(1, { kind: "raiseFeatureLevel", level });
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
