/** The feature level of the state: when it rises, and what changes with it. */
import { assertEquals, assertThrows } from "@std/assert";
import { FEATURE_LEVEL, NewerFeatureLevelError } from "../../../lib/kv/feature_level.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import { bytes, put, remove, transaction } from "./support.ts";

Deno.test("the feature level rises and never falls; the header has it from level 2 on", () => {
  const machine = new StateMachine();
  const raise = (index: number, level: number): unknown =>
    machine.apply(index, { kind: "raiseFeatureLevel", level });
  assertEquals(machine.featureLevel, 1);
  assertEquals(raise(1, 1), { kind: "featureLevelRaised", level: 1 });
  assertEquals([...machine.snapshot().records()], [["header", 1, 0, 0, 0]]);
  assertEquals(raise(2, 2), { kind: "featureLevelRaised", level: 2 });
  assertEquals(raise(3, 1), { kind: "featureLevelRaised", level: 2 });
  assertEquals([...machine.snapshot().records()], [["header", 3, 0, 0, 0, 2, 0]]);
  assertEquals(StateMachine.restore(machine.snapshot().records()).featureLevel, 2);
});

Deno.test("an entry of a level that is not known stops the node instead of being applied otherwise than it was meant", () => {
  const machine = new StateMachine();
  assertThrows(
    () => machine.apply(1, { kind: "raiseFeatureLevel", level: FEATURE_LEVEL + 1 }),
    NewerFeatureLevelError,
    "Cannot apply entry 1: it was written at feature level 3 by a newer version of kvraft, and this one knows levels up " +
      "to 2. Upgrade this node.",
  );
});

Deno.test("a level that is no number of a level is refused", () => {
  const machine = new StateMachine();
  for (const [position, level] of [0, -1, 1.5, NaN].entries()) {
    const result = machine.apply(position + 1, { kind: "raiseFeatureLevel", level });
    assertEquals(result, { kind: "refused", reason: "invalidCommand" });
  }
});

Deno.test("from level 2 on, a transaction that only deletes absent keys leaves the revision as it is", () => {
  const machine = new StateMachine();
  const noop = transaction([remove("absent"), remove("other")]);
  const outcomes = [{ kind: "delete", deleted: false }, { kind: "delete", deleted: false }] as const;
  assertEquals(machine.apply(1, noop), { kind: "applied", revision: 1, outcomes });
  machine.apply(2, { kind: "raiseFeatureLevel", level: 2 });
  assertEquals(machine.apply(3, noop), { kind: "applied", revision: 1, outcomes });
  assertEquals(machine.apply(4, transaction([remove("absent"), put("k", "v")])), {
    kind: "applied",
    revision: 2,
    outcomes: [{ kind: "delete", deleted: false }, { kind: "put", createRevision: 2, version: 1 }],
  });
  assertEquals(machine.apply(5, transaction([remove("k")])), {
    kind: "applied",
    revision: 3,
    outcomes: [{ kind: "delete", deleted: true }],
  });
  assertEquals(machine.get(bytes("k")), null);
});

Deno.test("at level 2 the first write of a store may be applied at revision 0: it changed nothing", () => {
  const machine = new StateMachine();
  machine.apply(1, { kind: "raiseFeatureLevel", level: 2 });
  assertEquals(machine.apply(2, transaction([remove("k")])), {
    kind: "applied",
    revision: 0,
    outcomes: [{ kind: "delete", deleted: false }],
  });
});
