/** Converts transactions with branches to what the store executes, and its outcomes to results. */
import {
  type Branches as StoreBranches,
  type Comparison,
  type Condition,
  type KeySet,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_RESULT_BYTES,
  NUMBER_BYTES,
  type Operation,
  type OperationOutcome,
} from "../../kv/branching_command.ts";
import { type KeyValue, MAX_LIST_ENTRIES } from "../../kv/command.ts";
import { prefixEnd } from "../../kv/keys.ts";
import { MAX_LEASE_KEYS } from "../../kv/leases/lease_command.ts";
import { assertNever } from "../../platform/assert.ts";
import {
  checkBoolean,
  checkChoice,
  checkInteger,
  checkList,
  checkObject,
  toView,
  unknownKind,
} from "../argument_checks.ts";
import type { AnySelection, Keyspace } from "../keyspace.ts";
import { operandBytes } from "./counter.ts";
import {
  AnswerOmittedError,
  InvalidRequestError,
  TransactionFailedError,
  type TransactionFailureReason,
} from "../errors.ts";
import {
  type Branches,
  type BranchingResult,
  type BranchResults,
  COMPARISON_SIGNS,
  type ComparisonSign,
  type KeySelection,
  type OperationResult,
  type TransactionCondition,
  type TransactionOperation,
} from "./types.ts";
import type { Bytes } from "../types.ts";
import type { WriteResult } from "../writer.ts";

const COMPARISONS: Readonly<Record<ComparisonSign, Comparison>> = {
  "=": "equal",
  "!=": "notEqual",
  "<": "less",
  ">": "greater",
};
const NUMBER_TARGETS = ["version", "createRevision", "modRevision", "leaseId"] as const;
const TARGETS = ["value", ...NUMBER_TARGETS, "exists"] as const;
/** Levels that are converted, so that a cycle in the arguments ends; the store takes fewer. */
const MAX_LEVELS = 16;

/** All fields that a {@link TransactionCondition} may have beside its keys. */
type AnyTarget =
  & {
    readonly [Name in typeof TARGETS[number]]?: Name extends "value" ? Bytes
      : Name extends "exists" ? boolean
      : number;
  }
  & { readonly comparison?: ComparisonSign };

/** The results of any branch. */
type AnyResults = BranchResults<readonly TransactionOperation[], readonly TransactionOperation[]>;

/**
 * Returns the branches for the store; their bytes may be the caller's. Throws {@link InvalidRequestError} for what is not
 * a transaction; the store's limits are checked elsewhere.
 */
export function toBranches(branches: Branches, keyspace: Keyspace, level = 1): StoreBranches {
  if (level > MAX_LEVELS) {
    throw new InvalidRequestError(`Cannot apply a transaction: it has more than ${MAX_LEVELS} levels.`);
  }
  const { checks = [], then = [], else: otherwise = [] } = branches;
  const operations = (list: readonly TransactionOperation[], name: string): Operation[] =>
    checkList(list, `"${name}" of a transaction`).map((operation) => toOperation(operation, keyspace, level));
  return {
    conditions: checkList(checks, "the checks of a transaction").map((check) => toCondition(check, keyspace)),
    then: operations(then, "then"),
    else: operations(otherwise, "else"),
  };
}

function toCondition(check: TransactionCondition, keyspace: Keyspace): Condition {
  const keys = toKeySet(checkObject(check, "a check"), "a check", keyspace);
  const { exists, value, comparison, ...numbers }: AnyTarget = check;
  const given = TARGETS.filter((name) => (check as AnyTarget)[name] !== undefined);
  const kind = NUMBER_TARGETS.find((name) => numbers[name] !== undefined);
  if (given.length !== 1) {
    throw new InvalidRequestError(`Cannot use a check: it needs exactly one of ${TARGETS.join(", ")}.`);
  }
  const sign = COMPARISONS[
    checkChoice(comparison === undefined ? "=" : comparison, COMPARISON_SIGNS, "the comparison of a check")
  ];
  if (kind !== undefined) {
    const { [kind]: compared = NaN } = numbers;
    const number = checkInteger(compared, { what: `the ${kind} of a check`, min: 0 });
    return { kind: kind === "leaseId" ? "lease" : kind, keys, comparison: sign, number };
  }
  if (value !== undefined) return { kind: "value", keys, comparison: sign, value: toView(value, "value") };
  if (comparison !== undefined) {
    throw new InvalidRequestError("Cannot use a check: exists is true or false, without a comparison.");
  }
  const mustExist = checkBoolean(exists ?? false, "exists");
  return { kind: "version", keys, comparison: mustExist ? "notEqual" : "equal", number: 0 };
}

function toOperation(operation: TransactionOperation, keyspace: Keyspace, level: number): Operation {
  checkObject(operation, "an operation");
  switch (operation.kind) {
    case "put": {
      const keepValue = checkBoolean(operation.keepValue ?? false, "keepValue");
      if (keepValue === (operation.value !== undefined)) {
        throw new InvalidRequestError("Cannot use a put: it needs either a value or keepValue: true.");
      }
      const value = operation.value === undefined ? null : toView(operation.value, "value");
      return {
        kind: "put",
        key: toView(keyspace.toStore(operation.key), "key"),
        value,
        returnPrevious: asksPrevious(operation),
        leaseId: keptOrNumber(operation.leaseId, "the lease of a put"),
        expiresAtMs: keptOrNumber(operation.expiresAtMs, "the expiry of a put"),
      };
    }
    case "delete":
      return {
        kind: "delete",
        keys: toKeySet(operation, "a delete", keyspace),
        returnPrevious: asksPrevious(operation),
      };
    case "get": {
      const { limit = MAX_LIST_ENTRIES, reverse = false, revision } = operation;
      return {
        kind: "get",
        keys: toKeySet(operation, "a get", keyspace),
        limit: checkInteger(limit, { what: "the limit of a get", min: 1 }),
        reverse: checkBoolean(reverse, "reverse"),
        revision: revision === undefined
          ? null
          : checkInteger(revision, { what: "the revision of a get", min: 0 }),
      };
    }
    case "sum":
    case "min":
    case "max": {
      const { kind, key, operand } = operation;
      return { kind, key: toView(keyspace.toStore(key), "key"), operand: operandBytes(kind, operand) };
    }
    case "transaction":
      return { kind: "transaction", ...toBranches(operation, keyspace, level + 1) };
    default:
      throw unknownKind(operation, "an operation");
  }
}

function keptOrNumber(given: number | "keep" | undefined, what: string): number | "keep" | null {
  if (given === undefined || given === "keep") return given ?? null;
  return checkInteger(given, { what, min: 1 });
}

function asksPrevious({ returnPrevious = false }: { readonly returnPrevious?: boolean }): boolean {
  return checkBoolean(returnPrevious, "returnPrevious");
}

function toKeySet(given: KeySelection, what: string, keyspace: Keyspace): KeySet {
  throwIfAmbiguous(given, what);
  const { key, prefix, start, end } = keyspace.selection(given);
  if (key !== undefined) return { kind: "key", key: toView(key, "key") };
  if (prefix !== undefined) {
    const first = toView(prefix, "prefix");
    return { kind: "range", start: first, end: prefixEnd(first) };
  }
  const last = end === undefined ? null : toView(end, "end");
  return { kind: "range", start: toView(start === undefined ? "" : start, "start"), end: last };
}

function throwIfAmbiguous({ key, prefix, start, end }: AnySelection, what: string): void {
  if ([key, prefix, start].filter((one) => one !== undefined).length !== 1) {
    throw new InvalidRequestError(`Cannot use ${what}: it needs exactly one of key, prefix and start.`);
  }
  // TypeScript permits this for a union of types. Ignoring `end`, a delete would remove more than was meant.
  if (end !== undefined && start === undefined) {
    throw new InvalidRequestError(`Cannot use ${what}: end belongs to start, not to key or prefix.`);
  }
}

/**
 * Returns the result of a transaction; null if the answer is not one to it. Throws {@link TransactionFailedError} and
 * {@link AnswerOmittedError}.
 */
export function toBranchingResult(
  branches: StoreBranches,
  answer: WriteResult,
  keyspace: Keyspace,
): BranchingResult | null {
  switch (answer.kind) {
    case "executed": {
      const { succeeded, outcomes, revision } = answer;
      if (outcomes === "omitted") throw answerOmitted(answer);
      const results = toResults(branches, { succeeded, outcomes }, keyspace);
      return results === null ? null : { ...results, revision };
    }
    case "transactionFailed": {
      const { reason, revision } = answer;
      throw failedAt(placeOf(branches, answer.position), { reason, revision });
    }
    case "applied":
    case "checksFailed":
    case "leaseGranted":
    case "leaseRevoked":
    case "leaseFailed":
    case "authChanged":
    case "authFailed":
    case "databaseWritten":
    case "databaseChecksFailed":
    case "databaseWriteFailed":
    case "databasesChanged":
    case "databasesFailed":
      return null;
    default:
      return assertNever(answer);
  }
}

/** Returns the error of a transaction that failed at a position. */
export function failedAt(
  position: string,
  { reason, revision }: Pick<TransactionFailedError, "reason" | "revision">,
): TransactionFailedError {
  const message = `Cannot apply a transaction: ${position}: ${FAILURES[reason]} Nothing was changed.`;
  return new TransactionFailedError(message, { reason, position, revision });
}

/** The reasons of failures, as the ends of messages. */
export const FAILURES: Readonly<Record<TransactionFailureReason, string>> = {
  tooManyKeys:
    `ranges of this transaction have more than ${MAX_TRANSACTION_KEYS} keys, or too much to compare or to go back over. Make them smaller.`,
  resultTooLarge:
    `the result has more than ${MAX_TRANSACTION_RESULT_BYTES} bytes. Read less in one transaction.`,
  notANumber: `the value there is not a counter of ${NUMBER_BYTES} bytes.`,
  keyNotFound: "the key whose value is to be kept does not exist.",
  compacted: "the history of that revision is compacted. Read at a later revision.",
  futureRevision: "the store has not reached that revision.",
  leaseNotFound: "the lease to which the key is to be attached does not exist, or has ended.",
  tooManyLeaseKeys: `the lease to which the key is to be attached has ${MAX_LEASE_KEYS} keys already.`,
};

function answerOmitted(
  { succeeded, revision }: Pick<AnswerOmittedError, "succeeded" | "revision">,
): AnswerOmittedError {
  return new AnswerOmittedError(
    `Cannot give the results of a transaction: it was executed (${succeeded ? "then" : "else"}), but its ` +
      "results, of more than 4 KiB, were lost with an earlier answer, or were too many at a time. Read the keys.",
    { succeeded, revision },
  );
}

/** Returns the results of the branch that ran; null if the outcomes are not those of its operations. */
function toResults(
  branches: StoreBranches,
  { succeeded, outcomes }: { readonly succeeded: boolean; readonly outcomes: readonly OperationOutcome[] },
  keyspace: Keyspace,
): AnyResults | null {
  const operations = succeeded ? branches.then : branches.else;
  if (operations.length !== outcomes.length) return null;
  if (!succeeded && branches.conditions.length === 0) return null;
  const results: OperationResult<TransactionOperation>[] = [];
  for (const [position, operation] of operations.entries()) {
    const outcome = outcomes[position];
    const result = outcome === undefined ? null : toResult(operation, outcome, keyspace);
    if (result === null) return null;
    results.push(result);
  }
  return { succeeded, results };
}

function toResult(
  operation: Operation,
  outcome: OperationOutcome,
  keyspace: Keyspace,
): OperationResult<TransactionOperation> | null {
  switch (operation.kind) {
    case "put":
      return outcome.kind === "put" ? putResult(operation, outcome, keyspace) : null;
    case "sum":
    case "min":
    case "max": {
      if (outcome.kind !== "put") return null;
      return { kind: operation.kind, createRevision: outcome.createRevision, version: outcome.version };
    }
    case "delete": {
      if (outcome.kind !== "delete") return null;
      const { kind, deleted } = outcome;
      const previous = keyspace.listToCaller(outcome.previous);
      if (!operation.returnPrevious) return { kind, deleted };
      return previous.length === deleted ? { kind, deleted, previous } : null;
    }
    case "get": {
      if (outcome.kind !== "get") return null;
      const { kind, more, count } = outcome;
      const entries = keyspace.listToCaller(outcome.entries);
      if (operation.keys.kind === "range") return { kind, entries, more, count };
      const [entry = null] = entries;
      return entries.length <= 1 ? { kind, entries, more, count, entry } : null;
    }
    case "transaction": {
      if (outcome.kind !== "transaction") return null;
      const inner = toResults(operation, outcome, keyspace);
      return inner === null ? null : { kind: "transaction", ...inner };
    }
    default:
      return assertNever(operation);
  }
}

function putResult(
  { returnPrevious }: { readonly returnPrevious: boolean },
  { kind, createRevision, version, previous }: {
    readonly kind: "put";
    readonly createRevision: number;
    readonly version: number;
    readonly previous: KeyValue | null | "omitted";
  },
  keyspace: Keyspace,
): OperationResult<TransactionOperation> | null {
  if (!returnPrevious) return { kind, createRevision, version };
  if (previous === "omitted") return null;
  return { kind, createRevision, version, previous: keyspace.toCaller(previous) };
}

/**
 * Returns the place of an operation that the store names by its position, those of `then` counted before those of `else`:
 * `then[1].else[0]`, or `checks` for the checks of a transaction.
 */
function placeOf(branches: StoreBranches, position: readonly number[]): string {
  const places: string[] = [];
  let inner: StoreBranches | null = branches;
  for (const index of position) {
    if (inner === null) break;
    const isThen: boolean = index < inner.then.length;
    const at: number = isThen ? index : index - inner.then.length;
    places.push(`${isThen ? "then" : "else"}[${at}]`);
    const operation: Operation | undefined = (isThen ? inner.then : inner.else)[at];
    inner = operation?.kind === "transaction" ? operation : null;
  }
  return [...places, ...(inner === null ? [] : ["checks"])].join(".");
}
