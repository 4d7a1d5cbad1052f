/** Properties of every log: the state machine against the naive one, and against itself. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { type Branches, MAX_REMEMBERED_BYTES } from "../../../lib/kv/branching_command.ts";
import type { Command, CommandResult } from "../../../lib/kv/command.ts";
import { entryBytes } from "../../../lib/kv/outcomes.ts";
import type { StateRecord } from "../../../lib/kv/record.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import type { StateView } from "../../../lib/kv/state_records.ts";
import { anyBranches } from "./any_branches.ts";
import { NaiveMachine } from "./naive_machine.ts";
import { anyLog, tightLimits } from "./random_log.ts";
import { query } from "./support.ts";

Deno.test("StateMachine: every log gives the same answers, listings and records as the naive state machine", () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const machine = new StateMachine(tightLimits);
      const naive = new NaiveMachine(tightLimits);
      for (const [position, command] of log.entries()) {
        assertEquals(machine.apply(position + 1, command), naive.apply(command));
      }
      assertEquals([...machine.snapshot().records()], naive.records());
      assertEquals(machine.list(query()), naive.list(query()));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("StateMachine: stateBytes is the sum of keys and values, and grows by what growth returned", () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const machine = new StateMachine(tightLimits);
      for (const [position, command] of log.entries()) {
        const before = machine.stateBytes;
        const growth = growthOf(machine, command);
        const result = machine.apply(position + 1, command);
        const isDone = result.kind === "applied" || result.kind === "executed";
        const isNew = isDone && machine.revision === result.revision;
        if (isNew && machine.stateBytes !== before) assertEquals(machine.stateBytes, before + growth);
      }
      let bytes = 0;
      for (const record of machine.snapshot().records()) {
        if (record[0] === "key") bytes += record[1].length + record[2].length;
      }
      assertEquals(machine.stateBytes, bytes);
      assertEquals(StateMachine.restore(machine.snapshot().records(), tightLimits).stateBytes, bytes);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("StateMachine: no order of writes, retries, acknowledgements, expiries and evictions applies a session's write twice", () => {
  let applied = 0;
  let answeredAgain = 0;
  let refused = 0;
  fc.assert(
    fc.property(anyLog, (log) => {
      const machine = new StateMachine(tightLimits);
      const answers = new Map<string, unknown>();
      for (const [position, command] of log.entries()) {
        const revisionBefore = machine.revision;
        const result = machine.apply(position + 1, command);
        if (command === null || !("session" in command) || command.session === null) continue;
        if (result.kind === "refused") {
          assertEquals(machine.revision, revisionBefore);
          refused++;
          continue;
        }
        const { sessionId, openedAt, sequence } = command.session;
        const write = `${sessionId} ${openedAt} ${sequence}`;
        if (answers.has(write)) {
          assertEquals(machine.revision, revisionBefore);
          assertEquals(result, answers.get(write));
          answeredAgain++;
        } else {
          answers.set(write, rememberedAnswer(result));
          applied++;
        }
      }
    }),
    { numRuns: 2_000 },
  );
  assert(applied > 4_000 && answeredAgain > 1_000 && refused > 1_000, "the logs tried what the name says");
});

Deno.test("StateMachine: two machines stay equal though one is read, copied and restored in between", () => {
  fc.assert(
    fc.property(anyLog, fc.array(fc.nat(70), { maxLength: 4 }), (log, stops) => {
      const undisturbed = new StateMachine(tightLimits);
      let disturbed = new StateMachine(tightLimits);
      for (const [position, command] of log.entries()) {
        const index = position + 1;
        assertEquals(disturbed.apply(index, command), undisturbed.apply(index, command));
        if (!stops.includes(index)) continue;
        const view = disturbed.snapshot();
        if (index % 2 === 0) disturbed = StateMachine.restore(view.records(), tightLimits);
      }
      assertEquals([...disturbed.snapshot().records()], [...undisturbed.snapshot().records()]);
    }),
    { numRuns: 1_500 },
  );
});

Deno.test("StateMachine: a view shows the state of its index after any later entries", () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const machine = new StateMachine(tightLimits);
      const views = [];
      for (const [position, command] of log.entries()) {
        machine.apply(position + 1, command);
        if (position % 3 !== 0) continue;
        const view = machine.snapshot();
        views.push({ view, records: [...view.records()] });
      }
      for (const { view, records } of views) assertEquals([...view.records()], records);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("StateMachine: transactions with branches do what a plain list of entries says, through snapshots, views and compactions", () => {
  const covered = new Map<string, number>();
  const note = (what: string): void => void covered.set(what, (covered.get(what) ?? 0) + 1);
  fc.assert(
    fc.property(fc.array(anyBranchStep, { minLength: 1, maxLength: 40, size: "max" }), (steps) => {
      const limits = {
        sessionTtlMs: 3_600_000,
        maxSessions: 10,
        maxAnswersBytes: 67_108_864,
        leaseLimits: { maxLeases: 2, maxLeaseKeys: 1, maxEndedKeys: 2 },
      };
      let machine = new StateMachine(limits);
      const naive = new NaiveMachine(limits);
      const views: { view: StateView; records: readonly StateRecord[] }[] = [];
      const apply = (command: Command): CommandResult => {
        const result = machine.apply(machine.appliedIndex + 1, command);
        assertEquals(result, naive.apply(command));
        machine.checkStructure();
        return result;
      };
      apply({ kind: "raiseFeatureLevel", level: 2 });
      for (const leaseId of [1, 2]) apply({ kind: "grantLease", session: null, leaseId, ttlMs: 1_000 });
      for (const [position, step] of steps.entries()) {
        switch (step.kind) {
          case "transaction": {
            const session = { sessionId: 1, sequence: position + 1, acknowledgedBelow: 1, openedAt: 0 };
            const command = { kind: "branchingTransaction" as const, session, ...step.branches };
            const growth = machine.growthOfBranches(command);
            const [before, revision] = [machine.stateBytes, machine.revision];
            const result = apply(command);
            assertEquals(machine.stateBytes, before + growth);
            if (result.kind === "executed") note(machine.revision > revision ? "changed" : "unchanged");
            if (result.kind === "transactionFailed") note(result.reason);
            assertEquals(apply(command), rememberedAnswer(result));
            break;
          }
          case "compact":
            apply({ kind: "compact", revision: Math.floor(machine.revision * step.share) });
            break;
          case "view":
            if (views.length < 3) {
              const view = machine.snapshot();
              views.push({ view, records: copied(view.records()) });
            }
            break;
          case "release":
            for (const { view, records } of views.splice(step.view, 1)) {
              assertEquals([...view.records()], records);
              view.release();
            }
            break;
          case "restore":
            for (const { view } of views.splice(0)) view.release();
            machine = StateMachine.restore(copied(machine.snapshot().records()), limits);
            break;
        }
      }
      assertEquals([...machine.snapshot().records()], naive.records());
    }),
    { numRuns: 400 },
  );
  const expected = ["changed", "unchanged", "notANumber", "keyNotFound", "compacted", "futureRevision"];
  for (const what of [...expected, "leaseNotFound", "tooManyLeaseKeys"]) {
    assert((covered.get(what) ?? 0) > 50, `${what} was tried`);
  }
});

type BranchStep =
  | { readonly kind: "transaction"; readonly branches: Branches }
  | { readonly kind: "compact"; readonly share: number }
  | { readonly kind: "release"; readonly view: number }
  | { readonly kind: "view" | "restore" };

const anyBranchStep: fc.Arbitrary<BranchStep> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("transaction"), branches: anyBranches }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact"), share: fc.constantFrom(0.5, 1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release"), view: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("view", "restore") }) },
);

/** The answer that a retry gets. */
function rememberedAnswer(result: CommandResult): CommandResult {
  if (result.kind === "checksFailed") return { ...result, current: "omitted" };
  if (result.kind !== "executed" || result.outcomes === "omitted") return result;
  return entryBytes(result.outcomes) > MAX_REMEMBERED_BYTES ? { ...result, outcomes: "omitted" } : result;
}

function growthOf(machine: StateMachine, command: Command | null): number {
  if (command?.kind === "transaction") return machine.growth(command.mutations);
  return command?.kind === "branchingTransaction" ? machine.growthOfBranches(command) : 0;
}

/** Records whose bytes do not change with the store. */
function copied(records: Iterable<StateRecord>): readonly StateRecord[] {
  return [...records].map((record) => structuredClone(record));
}
