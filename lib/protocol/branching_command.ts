/**
 * The bytes of the full form of a transaction: its conditions, operations and outcomes. Decoding bounds the levels of
 * nested transactions, and the conditions, operations and outcomes of all levels together, so that short bytes never
 * become many objects.
 */
import {
  type Comparison,
  MAX_BRANCHING_OPERATIONS,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_LEVELS,
  type Operation,
  type OperationOutcome,
} from "../kv/branching_command.ts";
import { MAX_LIST_ENTRIES } from "../kv/command.ts";
import {
  atMostOne,
  boolean,
  bytes,
  type Field,
  integer,
  list,
  nestedList,
  nullable,
  numbered,
  orNil,
} from "./field.ts";
import { KEY_VALUE } from "./key_value.ts";
import { frame, variants } from "./schema.ts";

const BOUNDS = { maxLevels: MAX_TRANSACTION_LEVELS, maxElements: MAX_BRANCHING_OPERATIONS };

/** A key, or a range of keys. */
export const KEY_SET = variants("keys", {
  key: frame(1, { key: bytes() }),
  range: frame(2, { start: bytes(), end: nullable(bytes()) }),
});

const COMPARISON = numbered<Comparison>({ equal: 1, notEqual: 2, less: 3, greater: 4 });
const NUMBER_CONDITION = { keys: KEY_SET, comparison: COMPARISON, number: integer() };

const CONDITION = variants("condition", {
  value: frame(1, { keys: KEY_SET, comparison: COMPARISON, value: bytes() }),
  version: frame(2, NUMBER_CONDITION),
  createRevision: frame(3, NUMBER_CONDITION),
  modRevision: frame(4, NUMBER_CONDITION),
  lease: frame(5, NUMBER_CONDITION),
});

/** Only {@link BRANCHES} is nested, but conditions count as well. */
const CONDITIONS = nestedList(() => CONDITION, BOUNDS);
const OPERATIONS: Field<readonly Operation[]> = nestedList(() => OPERATION, BOUNDS);

/** The conditions of a transaction, and the operations of its branches. */
export const BRANCHES = { conditions: CONDITIONS, then: OPERATIONS, else: OPERATIONS };

const NUMBER_OPERATION = { key: bytes(), operand: bytes() };

const OPERATION: Field<Operation> = variants("operation", {
  put: frame(1, {
    key: bytes(),
    value: nullable(bytes()),
    returnPrevious: boolean(),
    leaseId: orNil(atMostOne(integer(1)), "keep"),
    expiresAtMs: orNil(atMostOne(integer(1)), "keep"),
  }),
  delete: frame(2, { keys: KEY_SET, returnPrevious: boolean() }),
  get: frame(3, { keys: KEY_SET, limit: integer(), reverse: boolean(), revision: nullable(integer()) }),
  sum: frame(4, NUMBER_OPERATION),
  min: frame(5, NUMBER_OPERATION),
  max: frame(6, NUMBER_OPERATION),
  transaction: frame(7, BRANCHES),
});

/** The outcomes of the operations of a branch. */
export const OPERATION_OUTCOMES: Field<readonly OperationOutcome[]> = nestedList(
  () => OPERATION_OUTCOME,
  BOUNDS,
);

const OPERATION_OUTCOME: Field<OperationOutcome> = variants("outcome", {
  put: frame(1, {
    createRevision: integer(1),
    version: integer(1),
    previous: orNil(atMostOne(KEY_VALUE), "omitted"),
  }),
  delete: frame(2, { deleted: integer(), previous: list(KEY_VALUE, MAX_TRANSACTION_KEYS) }),
  get: frame(3, { entries: list(KEY_VALUE, MAX_LIST_ENTRIES), more: boolean(), count: integer() }),
  transaction: frame(4, { succeeded: boolean(), outcomes: OPERATION_OUTCOMES }),
});

/** The place of an operation, by its position on each level. */
export const POSITION = list(integer(), MAX_TRANSACTION_LEVELS);
