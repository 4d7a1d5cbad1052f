/** Arbitrary transactions with branches over few keys, so that their operations meet. */
import fc from "fast-check";
import type { Branches, Condition, KeySet, Operation } from "../../../lib/kv/branching_command.ts";
import { bytes } from "./support.ts";

type Put = Extract<Operation, { readonly kind: "put" }>;

/** Levels of arbitrary transactions within each other. */
const LEVELS = 4;

/** Few keys, some of them prefixes of others. */
export const branchKey: fc.Arbitrary<Uint8Array> = fc.constantFrom("a", "aa", "ab", "b", "c").map(bytes);

/** Numbers of 8 bytes, of which some wrap around when they are added. */
const numberBytes: fc.Arbitrary<Uint8Array> = fc.constantFrom(
  [1, 0, 0, 0, 0, 0, 0, 0],
  [255, 0, 0, 0, 0, 0, 0, 0],
  [0, 1, 0, 0, 0, 0, 0, 0],
  [255, 255, 255, 255, 255, 255, 255, 255],
  [0, 0, 0, 0, 0, 0, 0, 128],
).map((some) => Uint8Array.from(some));

const branchValue: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("", "1", "2", "a longer value").map(bytes) },
  { weight: 3, arbitrary: numberBytes },
  { weight: 1, arbitrary: fc.constantFrom(3_000, 40_000).map((length) => new Uint8Array(length).fill(118)) },
);

const bound: fc.Arbitrary<Uint8Array> = fc.constantFrom("", "a", "aa", "ab", "b", "b\0", "d").map(bytes);

const keySet: fc.Arbitrary<KeySet> = fc.oneof(
  fc.record({ kind: fc.constant("key"), key: branchKey }),
  fc.record({ kind: fc.constant("range"), start: bound, end: fc.option(bound) }),
);

const comparison = fc.constantFrom("equal", "notEqual", "less", "greater");

const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ kind: fc.constant("value"), keys: keySet, comparison, value: branchValue }),
  fc.record({
    kind: fc.constantFrom("version", "createRevision", "modRevision", "lease"),
    keys: keySet,
    comparison,
    number: fc.constantFrom(0, 0, 1, 2, 3, 5, 9),
  }),
);

const plainOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("put"),
      key: branchKey,
      value: fc.option(branchValue, { freq: 8 }),
      returnPrevious: fc.boolean(),
      leaseId: fc.constantFrom<Put["leaseId"][]>(null, null, "keep", 1, 2, 3),
      expiresAtMs: fc.constantFrom<Put["expiresAtMs"][]>(null, null, "keep", 5, 6),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("delete"), keys: keySet, returnPrevious: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("get"),
      keys: keySet,
      limit: fc.constantFrom(0, 1, 2, 10_000),
      reverse: fc.boolean(),
      revision: fc.option(fc.nat(12), { freq: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("sum", "min", "max"),
      key: branchKey,
      operand: numberBytes,
    }),
  },
);

/** Any branches; `levels` is how many levels of transactions they have at most. */
function branches(levels: number): fc.Arbitrary<Branches> {
  const operation: fc.Arbitrary<Operation> = levels <= 1 ? plainOperation : fc.oneof(
    { weight: 5, arbitrary: plainOperation },
    {
      weight: 1,
      arbitrary: branches(levels - 1).map((nested) => ({ kind: "transaction" as const, ...nested })),
    },
  );
  return fc.record({
    conditions: fc.array(condition, { maxLength: 2 }),
    then: fc.array(operation, { maxLength: 4 }),
    else: fc.array(operation, { maxLength: 2 }),
  });
}

/** Any branches of a transaction. */
export const anyBranches: fc.Arbitrary<Branches> = branches(LEVELS);
