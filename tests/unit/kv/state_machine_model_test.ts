/** Properties of every log: the state machine against the naive one, and against itself. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
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
        const growth = command?.kind === "transaction" ? machine.growth(command.mutations) : 0;
        const result = machine.apply(position + 1, command);
        const isNew = result.kind === "applied" && machine.revision === result.revision;
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
        if (command?.kind !== "transaction" || command.session === null) continue;
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
          const isFailed = result.kind === "checksFailed";
          answers.set(write, isFailed ? { ...result, current: "omitted" } : result);
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
