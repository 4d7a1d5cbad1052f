/** Validation of transactions with branches. */
import {
  type Branches,
  type Condition,
  type KeySet,
  MAX_BRANCHING_OPERATIONS,
  MAX_TRANSACTION_LEVELS,
  NUMBER_BYTES,
  type Operation,
} from "./branching_command.ts";
import { MAX_LIST_ENTRIES, MAX_VALUE_BYTES } from "./command.ts";
import {
  type CommandLimits,
  type CommandProblem,
  firstProblem,
  invalid,
  validateKey,
  validateKeyLength,
  validateValueLength,
} from "./problems.ts";
import { belowReserved } from "./databases/reserved_keys.ts";
import { validateAttachment } from "./leases/validate_leases.ts";
import { assertNever } from "../platform/assert.ts";

/** The conditions and operations of a transaction and of those in it. */
interface Parts {
  readonly conditions: readonly Condition[];
  readonly operations: readonly Operation[];
}

/** Returns the problem of the branches of a transaction, or null when they are valid. */
export function validateBranches(branches: Branches, limits: CommandLimits): CommandProblem | null {
  const parts = partsOf(branches);
  if (parts === null) {
    return invalid(
      `Cannot apply a transaction of more than ${MAX_TRANSACTION_LEVELS} levels: put the operations of the innermost ` +
        "ones into those around them.",
    );
  }
  const { conditions, operations } = parts;
  const count = conditions.length + operations.length;
  if (count > MAX_BRANCHING_OPERATIONS) {
    return invalid(
      `Cannot apply a transaction of ${count} conditions and operations, nested ones included: ` +
        `at most ${MAX_BRANCHING_OPERATIONS} are allowed.`,
    );
  }
  return firstProblem(conditions, validateCondition) ??
    firstProblem(operations, (operation) => validateOperation(operation, limits));
}

/** Returns the total bytes of keys and values in valid branches, and the number of their conditions and operations. */
export function sizeOfBranches(branches: Branches): { readonly bytes: number; readonly parts: number } {
  const { conditions = [], operations = [] } = partsOf(branches) ?? {};
  let bytes = 0;
  for (const condition of conditions) {
    bytes += keySetBytes(condition.keys) + (condition.kind === "value" ? condition.value.length : 0);
  }
  for (const operation of operations) bytes += operationBytes(operation);
  return { bytes, parts: conditions.length + operations.length };
}

/** A range of a transaction, and how many of its keys are read at most. */
export interface ReadRange extends Extract<KeySet, { readonly kind: "range" }> {
  readonly limit: number;
  /** Length of the value that is compared with those of the range; 0 if none is. */
  readonly comparedBytes: number;
}

/** Returns the ranges of all conditions and operations, of both branches. */
export function rangesOf(branches: Branches): readonly ReadRange[] {
  const { conditions = [], operations = [] } = partsOf(branches) ?? {};
  const ranges: ReadRange[] = [];
  const add = (keys: KeySet, limit: number, comparedBytes = 0): void => {
    if (keys.kind !== "range") return;
    ranges.push({ ...keys, end: belowReserved(keys.start, keys.end), limit, comparedBytes });
  };
  for (const condition of conditions) {
    add(condition.keys, Infinity, condition.kind === "value" ? condition.value.length : 0);
  }
  for (const operation of operations) {
    if (operation.kind === "delete") add(operation.keys, Infinity);
    // A get at a past revision looks at all keys of its range.
    if (operation.kind === "get") {
      const isLimited = operation.revision === null && operation.limit > 0;
      add(operation.keys, isLimited ? operation.limit : Infinity);
    }
  }
  return ranges;
}

/** Returns the past revisions of all gets, of both branches. */
export function pastRevisionsOf(branches: Branches): readonly number[] {
  const { operations = [] } = partsOf(branches) ?? {};
  return operations.flatMap((operation) => {
    return operation.kind === "get" && operation.revision !== null ? [operation.revision] : [];
  });
}

/** Returns all conditions and operations; null when there are too many levels. */
function partsOf(branches: Branches): Parts | null {
  const conditions: Condition[] = [];
  const operations: Operation[] = [];
  let level: readonly Branches[] = [branches];
  for (let levels = 1; level.length > 0; levels++) {
    if (levels > MAX_TRANSACTION_LEVELS) return null;
    const nested: Branches[] = [];
    for (const { conditions: own, then, else: otherwise } of level) {
      for (const condition of own) conditions.push(condition);
      for (const operation of [...then, ...otherwise]) {
        operations.push(operation);
        if (operation.kind === "transaction") nested.push(operation);
      }
    }
    level = nested;
  }
  return { conditions, operations };
}

function validateCondition(condition: Condition): CommandProblem | null {
  const problem = validateKeySet(condition.keys);
  if (problem !== null) return problem;
  switch (condition.kind) {
    case "value":
      // Not the configured limit: the compared value may have been written when that was higher.
      return validateValueLength(condition.value, MAX_VALUE_BYTES);
    case "version":
    case "createRevision":
    case "modRevision":
    case "lease":
      return isCount(condition.number) ? null : invalid(
        `Cannot compare with ${condition.number}: versions, revisions and leases are integers from 0 up.`,
      );
    default:
      return assertNever(condition);
  }
}

function validateOperation(operation: Operation, limits: CommandLimits): CommandProblem | null {
  switch (operation.kind) {
    case "put": {
      const { key, value, leaseId, expiresAtMs } = operation;
      return validateKey(key) ??
        (value === null ? null : validateValueLength(value, limits.maxValueBytes)) ??
        validateAttachment({
          leaseId: leaseId === "keep" ? null : leaseId,
          expiresAtMs: expiresAtMs === "keep" ? null : expiresAtMs,
        });
    }
    case "delete":
      return validateKeySet(operation.keys);
    case "get":
      return validateKeySet(operation.keys) ?? validateGet(operation);
    case "sum":
    case "min":
    case "max":
      return validateKey(operation.key) ??
        (operation.operand.length === NUMBER_BYTES ? null : invalid(
          `Cannot use an operand of ${operation.operand.length} bytes: a number has ${NUMBER_BYTES}.`,
        ));
    case "transaction":
      return null;
    default:
      return assertNever(operation);
  }
}

function validateGet(
  { limit, revision }: Extract<Operation, { readonly kind: "get" }>,
): CommandProblem | null {
  if (!isCount(limit) || limit > MAX_LIST_ENTRIES) {
    return invalid(
      `Cannot get ${limit} entries in a transaction: the limit is an integer from 0 (no limit) to ${MAX_LIST_ENTRIES}.`,
    );
  }
  if (revision === null || isCount(revision)) return null;
  return invalid(`Cannot read as of revision ${revision}: revisions are integers from 0 up.`);
}

function validateKeySet(keys: KeySet): CommandProblem | null {
  switch (keys.kind) {
    case "key":
      return validateKey(keys.key);
    case "range":
      return validateKeyLength(keys.start) ?? (keys.end === null ? null : validateKeyLength(keys.end));
    default:
      return assertNever(keys);
  }
}

function operationBytes(operation: Operation): number {
  switch (operation.kind) {
    case "put":
      return operation.key.length + (operation.value?.length ?? 0);
    case "delete":
    case "get":
      return keySetBytes(operation.keys);
    case "sum":
    case "min":
    case "max":
      return operation.key.length + operation.operand.length;
    case "transaction":
      return 0;
    default:
      return assertNever(operation);
  }
}

function keySetBytes(keys: KeySet): number {
  return keys.kind === "key" ? keys.key.length : keys.start.length + (keys.end?.length ?? 0);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
