/**
 * A check of linearizability that uses the order in which transactions were applied, which the simulator knows. Each
 * answer is possible in one range of revisions, and the history is linearizable exactly when every operation can be
 * placed in its range after all operations that ended before it began.
 *
 * lib/lincheck checks histories without that order; this check is faster, and names the violating operation.
 */
import { assertNever } from "../../../lib/platform/assert.ts";
import { inRange, type Operation } from "../../../lib/lincheck/history.ts";
import {
  type Branches,
  type BranchesResult,
  type BranchOperation,
  execute,
} from "../../../lib/lincheck/mod.ts";
import { contradictionOf, operationsOf } from "../../../lib/lincheck/transactions/program.ts";
import { type AppliedHistory, isSameEntry, type Stretch } from "./applied_history.ts";
import { branchesOf, textOf } from "./history_forms.ts";

/** Returns what is wrong with a history as sentences; none when it is linearizable. */
export function orderProblems(operations: readonly Operation[], applied: AppliedHistory): string[] {
  const problems: string[] = [];
  const places = new Map<Operation, number>();
  const instants = operations.flatMap((operation) => [
    { operation, at: operation.calledAt, isCall: true },
    { operation, at: operation.returnedAt ?? Number.POSITIVE_INFINITY, isCall: false },
  ]);
  // An operation that ends in the instant in which another begins is not before it.
  instants.sort((a, b) => a.at === b.at ? Number(b.isCall) - Number(a.isCall) : a.at - b.at);
  let floor = 0;
  for (const { operation, isCall } of instants) {
    if (!isCall) {
      floor = Math.max(floor, places.get(operation) ?? 0);
      continue;
    }
    if (operation.outcome.kind === "notApplied") problems.push(...notAppliedProblems(operation, applied));
    if (operation.outcome.kind !== "answered") continue;
    const stretches = placesOf(operation, applied);
    // A read as of a past revision may be of one before those that were seen.
    const least = isPastRead(operation) ? 0 : isAppliedWrite(operation) ? floor + 1 : floor;
    const place = leastPlace(stretches, least);
    if (place !== null) places.set(operation, place);
    else {
      const where = stretches.map(({ from, to }) => `${from}..${to}`).join(" or ") || "no revision at all";
      problems.push(`${operationText(operation)} fits ${where}; revision ${floor} was seen before it began`);
    }
  }
  return problems;
}

function leastPlace(stretches: readonly Stretch[], floor: number): number | null {
  for (const { from, to } of stretches) {
    if (Math.max(from, floor) <= to) return Math.max(from, floor);
  }
  return null;
}

/** Checks that no write was applied whose client learned that it was not. */
function notAppliedProblems(operation: Operation, applied: AppliedHistory): string[] {
  const puts = operation.kind === "put" || operation.kind === "compareAndSet"
    ? [{ key: operation.key, value: operation.value }]
    : operation.kind === "transaction"
    ? operation.mutations.flatMap((mutation) => mutation.kind === "put" ? [mutation] : [])
    : operation.kind === "branchingTransaction"
    ? operationsOf(operation.transaction).flatMap((each) =>
      each.kind === "put" && each.value !== null ? [{ key: each.key, value: each.value }] : []
    )
    : [];
  return puts.filter(({ key, value }) => applied.wasPut(key, value))
    .map(() => `${operationText(operation)} was applied, and its client learned that it was not`);
}

function isPastRead(operation: Operation): boolean {
  return (operation.kind === "get" || operation.kind === "list") && operation.revision !== undefined;
}

function isAppliedWrite(operation: Operation): boolean {
  if (operation.outcome.kind !== "answered") return false;
  switch (operation.kind) {
    case "put":
      return true;
    case "delete":
      return operation.outcome.result.deleted;
    case "compareAndSet":
    case "transaction":
      return operation.outcome.result.succeeded;
    case "get":
    case "list":
    // Its place is exact, and another transaction's outcome may have the same revision if nothing was changed.
    case "branchingTransaction":
      return false;
    default:
      return assertNever(operation);
  }
}

/** Returns the range of revisions in which an answered operation can be placed. */
function placesOf(operation: Operation, applied: AppliedHistory): readonly Stretch[] {
  if (operation.outcome.kind !== "answered") return [];
  switch (operation.kind) {
    case "get": {
      const { key, revision, outcome: { result } } = operation;
      if (revision === undefined) return applied.stretchesOf(key, result);
      const isRight = revision <= applied.lastRevision && isSameEntry(applied.entryAt(key, revision), result);
      return isRight ? [at(revision)] : [];
    }
    case "put": {
      const { revision } = operation.outcome.result;
      return wrote(applied, revision, { puts: [[operation.key, operation.value]], deletes: [] });
    }
    case "delete": {
      const { revision, deleted } = operation.outcome.result;
      const existed = revision !== null && applied.entryAt(operation.key, revision - 1) !== null;
      if (!deleted) {
        const isAbsent = revision !== null && applied.entryAt(operation.key, revision) === null;
        return isAbsent ? [at(revision)] : [];
      }
      return existed === deleted ? wrote(applied, revision, { puts: [], deletes: [operation.key] }) : [];
    }
    case "compareAndSet": {
      const { key, value, expect } = operation;
      const { revision, succeeded, current } = operation.outcome.result;
      if (revision === null) return [];
      const before = applied.entryAt(key, succeeded ? revision - 1 : revision)?.value ?? null;
      if ((before === expect) !== succeeded) return [];
      if (!isSameEntry(applied.entryAt(key, revision), current)) return [];
      return succeeded ? wrote(applied, revision, { puts: [[key, value]], deletes: [] }) : [at(revision)];
    }
    case "transaction": {
      const { revision, succeeded } = operation.outcome.result;
      if (revision === null) return [];
      if (!succeeded) return [at(revision)];
      const puts = operation.mutations.flatMap((one): [string, string][] =>
        one.kind === "put" ? [[one.key, one.value]] : []
      );
      const deletes = operation.mutations.flatMap((one) => one.kind === "delete" ? [one.key] : []);
      return wrote(applied, revision, { puts, deletes });
    }
    case "branchingTransaction":
      return placesOfBranches(operation, applied);
    case "list": {
      const { entries, more } = operation.outcome.result;
      const revision = operation.revision ?? operation.outcome.result.revision;
      if (revision === null) return [];
      const { range, limit } = operation;
      const keys = applied.keys.filter((key) =>
        inRange(key, range) && applied.entryAt(key, revision) !== null
      );
      if (range.reverse) keys.reverse();
      const isRight = more === (entries.length < keys.length) &&
        entries.length === Math.min(limit, keys.length) &&
        entries.every((entry, position) =>
          entry.key === keys[position] && isSameEntry(applied.entryAt(entry.key, revision), entry)
        );
      return isRight ? [at(revision)] : [];
    }
    default:
      return assertNever(operation);
  }
}

/** Executes a transaction before its revision, where it made that, and at it, where it changed nothing. */
function placesOfBranches(
  { transaction, outcome }: Extract<Operation, { kind: "branchingTransaction" }>,
  applied: AppliedHistory,
): readonly Stretch[] {
  if (outcome.kind !== "answered" || outcome.result.revision === null) return [];
  const { result, result: { revision } } = outcome;
  const made = applied.at(revision);
  const isMade = made?.command.kind === "branchingTransaction" &&
    JSON.stringify(branchesOf(made.command)) === JSON.stringify(transaction);
  const state = applied.stateAt(revision - (isMade ? 1 : 0), compactedRevisionShown({ transaction, result }));
  const before = execute(transaction, state, revision);
  const changes = before.kind === "executed" && before.changes.length > 0;
  return changes === isMade && contradictionOf({ result }, before) === null ? [at(revision)] : [];
}

/**
 * Returns a compacted revision that explains an answer: which one it was is checked where the transaction is applied.
 * Zero where no get was refused because of it.
 */
function compactedRevisionShown(
  { transaction, result }: { readonly transaction: Branches; readonly result: BranchesResult },
): number {
  if (result.kind !== "failed" || result.reason !== "compacted") return 0;
  let inner: Branches | null = transaction;
  let refused: BranchOperation | undefined;
  for (const position of result.position) {
    refused = inner === null ? undefined : [...inner.then, ...inner.else][position];
    inner = refused?.kind === "transaction" ? refused : null;
  }
  return refused?.kind === "get" && refused.revision !== null ? refused.revision + 1 : 0;
}

function at(revision: number): Stretch {
  return { from: revision, to: revision };
}

/** Returns the revision whose transaction did this write. */
function wrote(
  applied: AppliedHistory,
  revision: number | null,
  what: { readonly puts: readonly (readonly [string, string])[]; readonly deletes: readonly string[] },
): readonly Stretch[] {
  const transaction = revision === null ? null : applied.at(revision);
  if (transaction?.command.kind !== "transaction" || revision === null) return [];
  const { mutations } = transaction.command;
  const isIt = mutations.length === what.puts.length + what.deletes.length &&
    mutations.every((mutation) =>
      mutation.kind === "put"
        ? what.puts.some(([key, value]) => key === textOf(mutation.key) && value === textOf(mutation.value))
        : what.deletes.includes(textOf(mutation.key))
    );
  return isIt ? [at(revision)] : [];
}

function operationText(operation: Operation): string {
  const { client, calledAt, returnedAt, outcome } = operation;
  const what = "key" in operation ? `${operation.kind} ${operation.key}` : operation.kind;
  const answer = outcome.kind === "answered" ? JSON.stringify(outcome.result).slice(0, 160) : outcome.kind;
  const end = returnedAt === null ? "" : returnedAt.toFixed(2);
  return `c${client} ${what} (${calledAt.toFixed(2)}..${end}): ${answer}`;
}
