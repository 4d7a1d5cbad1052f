/**
 * Transactions with branches as {@link Program}s, which a search executes: which branch runs, and which keys a range has,
 * depends on the state before, so that conditions and changes of single keys cannot express them.
 */
import { assert, assertNever } from "../../platform/assert.ts";
import type { Entry, ListedEntry, Operation } from "../history.ts";
import type { Change, KeyState, Program } from "../model.ts";
import { agrees, matches } from "../model.ts";
import {
  type BranchCondition,
  type Branches,
  type BranchOperation,
  type BranchOutcome,
  type Execution,
  hasKey,
  type KeySet,
} from "./transaction.ts";

/** A transaction as the search and the order of revisions need it. */
export interface ProgramDemand {
  readonly program: Program;
  /** The changes that its answer shows, in order; those of unknown value have an empty one. */
  readonly changes: readonly Change[];
  /** Whether it takes a revision; where it was not answered, whether it may. */
  readonly writes: boolean;
  /** Why its answer contradicts its request, or null. */
  readonly why: string | null;
}

type Transaction = Extract<Operation, { readonly kind: "branchingTransaction" }>;

/** Returns every key that a transaction and its answer name, and the first one of each of its ranges. */
export function keysNamedInBranches({ transaction, outcome }: Transaction): readonly string[] {
  const answered = outcome.kind === "answered" && outcome.result.kind === "executed"
    ? entriesIn(outcome.result.outcomes)
    : [];
  const named = keySetsOf(transaction).map((keys) => keys.kind === "key" ? keys.key : keys.start);
  return [...named, ...answered.map(({ key }) => key)];
}

/**
 * Returns a transaction as a program; `keys` are those of the history, in byte order. Whether an unknown revision is above
 * or below another one is not known to a checker, nor what it was once: a recorder leaves such transactions out.
 */
export function programOf({ transaction, outcome }: Transaction, keys: readonly string[]): ProgramDemand {
  const conditions = conditionsOf(transaction);
  for (const { kind, comparison } of conditions) {
    const isOrder = comparison === "less" || comparison === "greater";
    assert(
      !isOrder || kind === "value" || kind === "version",
      "a history has no order of revisions in conditions",
    );
  }
  const isPast = operationsOf(transaction).some((each) => each.kind === "get" && each.revision !== null);
  assert(!isPast, "a history has no past revisions in transactions");
  const sets = keySetsOf(transaction);
  const own = keys.filter((key) => sets.some((set) => hasKey(set, key) || startOf(set) === key));
  const result = outcome.kind === "answered" ? outcome.result : null;
  const program = {
    transaction,
    result,
    keys: own.length === 0 ? [""] : own,
    conditions,
  };
  if (result === null) {
    const all = operationsOf(transaction);
    const puts = all.flatMap((operation) => putOf(operation) ?? []);
    const deletes = all.flatMap((operation) => operation.kind === "delete" ? [operation.keys] : []);
    const mayDelete = own.filter((key) => deletes.some((set) => hasKey(set, key)));
    const writes = puts.length + deletes.length > 0;
    return {
      program: { ...program, seen: [], created: [], mayPut: puts, mayDelete },
      changes: [],
      writes,
      why: null,
    };
  }
  const shown: Shown = { keys: own, seen: [], created: [], mayPut: [], mayDelete: [], changes: [] };
  let why: string | null = null;
  if (result.kind === "executed") {
    const { succeeded, outcomes } = result;
    why = collect(succeeded ? transaction.then : transaction.else, { outcomes, shown });
  }
  const { changes, seen, created, mayPut, mayDelete } = shown;
  const writes = changes.length + mayDelete.length > 0;
  return { program: { ...program, seen, created, mayPut, mayDelete }, changes, writes, why };
}

/** Returns why a program was not answered as an execution of it requires, as the end of a sentence; null if it was. */
export function contradictionOf({ result }: Pick<Program, "result">, execution: Execution): string | null {
  if (result === null) {
    return execution.kind === "failed" || execution.changes.length === 0
      ? "it would have changed nothing"
      : null;
  }
  if (execution.kind === "failed") {
    const isRight = result.kind === "failed" && result.reason === execution.reason &&
      result.position.join() === execution.position.join();
    return isRight ? null : `it would have failed (${execution.reason})`;
  }
  if (result.kind === "failed") return "it would not have failed";
  if (result.succeeded !== execution.succeeded) {
    return execution.succeeded ? "its conditions held" : "its conditions did not hold";
  }
  return differenceOf(result.outcomes, execution.outcomes);
}

/** The facts that an answer shows of a transaction. */
interface Shown {
  readonly keys: readonly string[];
  readonly seen: { readonly key: string; readonly entry: Entry }[];
  readonly created: { readonly key: string; readonly revision: number }[];
  readonly mayPut: { readonly key: string; readonly value: string | null }[];
  readonly mayDelete: string[];
  readonly changes: Change[];
}

/** Collects what the outcomes of some operations show; returns why they cannot be outcomes of these, or null. */
function collect(
  operations: readonly BranchOperation[],
  { outcomes, shown }: { readonly outcomes: readonly BranchOutcome[]; readonly shown: Shown },
): string | null {
  if (operations.length !== outcomes.length) return "it has another number of outcomes than operations";
  for (const [position, operation] of operations.entries()) {
    const outcome = outcomes[position];
    const why = outcome === undefined ? null : collectOne(operation, { outcome, shown });
    if (why !== null) return why;
  }
  return null;
}

function collectOne(
  operation: BranchOperation,
  { outcome, shown }: { readonly outcome: BranchOutcome; readonly shown: Shown },
): string | null {
  for (const { key, ...entry } of ownEntries(outcome)) shown.seen.push({ key, entry });
  const put = putOf(operation);
  if (put !== null && outcome.kind === "put") {
    shown.mayPut.push(put);
    if (outcome.createRevision !== null) {
      shown.created.push({ key: put.key, revision: outcome.createRevision });
    }
    shown.changes.push({ key: put.key, value: put.value ?? "" });
    return null;
  }
  if (operation.kind === "delete" && outcome.kind === "delete") {
    if (outcome.deleted === 0) return null;
    const { keys } = operation;
    if (keys.kind === "key") shown.changes.push({ key: keys.key, value: null });
    else shown.mayDelete.push(...shown.keys.filter((key) => hasKey(keys, key)));
    return null;
  }
  if (operation.kind === "get" && outcome.kind === "get") return null;
  if (operation.kind === "transaction" && outcome.kind === "transaction") {
    const { succeeded, outcomes } = outcome;
    return collect(succeeded ? operation.then : operation.else, { outcomes, shown });
  }
  return `the outcome of a ${operation.kind} is that of a ${outcome.kind}`;
}

/** Returns the key and value that an operation may put; a null value is not known. */
function putOf(operation: BranchOperation): { readonly key: string; readonly value: string | null } | null {
  switch (operation.kind) {
    case "put":
      return { key: operation.key, value: operation.value };
    case "sum":
    case "min":
    case "max":
      return { key: operation.key, value: null };
    case "delete":
    case "get":
    case "transaction":
      return null;
    default:
      return assertNever(operation);
  }
}

/** Returns the operations of both branches, those of nested transactions in place of these. */
export function operationsOf(branches: Branches): readonly BranchOperation[] {
  return [...branches.then, ...branches.else].flatMap((operation) =>
    operation.kind === "transaction" ? operationsOf(operation) : [operation]
  );
}

function conditionsOf(branches: Branches): readonly BranchCondition[] {
  const nested = [...branches.then, ...branches.else].flatMap((operation) =>
    operation.kind === "transaction" ? conditionsOf(operation) : []
  );
  return [...branches.conditions, ...nested];
}

function keySetsOf(branches: Branches): readonly KeySet[] {
  const operations = operationsOf(branches).map((operation): KeySet =>
    "keys" in operation
      ? operation.keys
      : { kind: "key", key: operation.kind === "transaction" ? "" : operation.key }
  );
  return [...conditionsOf(branches).map(({ keys }) => keys), ...operations];
}

function startOf(keys: KeySet): string {
  return keys.kind === "key" ? keys.key : keys.start;
}

function entriesIn(outcomes: readonly BranchOutcome[]): readonly ListedEntry[] {
  return outcomes.flatMap((outcome) =>
    outcome.kind === "transaction" ? entriesIn(outcome.outcomes) : ownEntries(outcome)
  );
}

/** Returns the entries that an outcome shows, apart from nested ones. */
function ownEntries(outcome: BranchOutcome): readonly ListedEntry[] {
  switch (outcome.kind) {
    case "put":
      return outcome.previous === null || outcome.previous === "omitted" ? [] : [outcome.previous];
    case "delete":
      return outcome.previous;
    case "get":
      return outcome.entries;
    case "transaction":
      return [];
    default:
      return assertNever(outcome);
  }
}

function differenceOf(seen: readonly BranchOutcome[], actual: readonly BranchOutcome[]): string | null {
  for (const [position, outcome] of seen.entries()) {
    const other = actual[position];
    const why = other === undefined ? "it would not have been executed" : differenceOfOne(outcome, other);
    if (why !== null) return `of operation ${position + 1}, ${why}`;
  }
  return seen.length === actual.length ? null : "it has another number of outcomes";
}

function differenceOfOne(seen: BranchOutcome, actual: BranchOutcome): string | null {
  switch (seen.kind) {
    case "put": {
      if (actual.kind !== "put") return "the outcome is of another kind";
      const isSame = agrees(seen.createRevision, actual.createRevision) &&
        agrees(seen.version, actual.version);
      if (!isSame) return "the numbers of the key are others";
      if (seen.previous === "omitted" || actual.previous === "omitted") {
        return seen.previous === actual.previous
          ? null
          : "the previous entry is missing or was not requested";
      }
      const previous = [seen.previous, actual.previous].map((entry) => entry === null ? [] : [entry]);
      return areSame(previous[0] ?? [], previous[1] ?? []) ? null : "the previous entry is another one";
    }
    case "delete": {
      if (actual.kind !== "delete") return "the outcome is of another kind";
      if (seen.deleted !== actual.deleted) return `${actual.deleted} keys were there to delete`;
      return areSame(seen.previous, actual.previous) ? null : "the previous entries are others";
    }
    case "get": {
      if (actual.kind !== "get") return "the outcome is of another kind";
      if (!areSame(seen.entries, actual.entries)) return "the entries are others";
      return seen.more === actual.more && seen.count === actual.count
        ? null
        : `there were ${actual.count} keys`;
    }
    case "transaction":
      if (actual.kind !== "transaction") return "the outcome is of another kind";
      if (seen.succeeded !== actual.succeeded) return "the other branch was to run";
      return differenceOf(seen.outcomes, actual.outcomes);
    default:
      return assertNever(seen);
  }
}

function areSame(seen: readonly ListedEntry[], actual: readonly ListedEntry[]): boolean {
  return seen.length === actual.length && seen.every((entry, position) => {
    const other = actual[position];
    return other !== undefined && other.key === entry.key && matches(entry, stateOf(other));
  });
}

/** Returns an entry that an execution returned as a state, all of whose numbers are known. */
function stateOf({ value, createRevision, modRevision, version }: ListedEntry): KeyState {
  return {
    value,
    createRevision: createRevision ?? 0,
    modRevision: modRevision ?? 0,
    version: version ?? 0,
  };
}
