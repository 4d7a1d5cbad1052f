/**
 * A check of linearizability that uses the order in which transactions were applied, which the simulator knows. Each
 * answer is possible in one range of revisions, and the history is linearizable exactly when every operation can be
 * placed in its range after all operations that ended before it began.
 *
 * lib/lincheck checks histories without that order; this check is faster, and names the violating operation.
 */
import type { Entry, Operation } from "../../../lib/lincheck/history.ts";
import { inRange } from "../../../lib/lincheck/history.ts";
import type { AppliedTransaction } from "./applied.ts";

/** One state of one key. */
interface KeyState {
  /** First revision with this state. */
  readonly from: number;
  readonly entry: Entry | null;
}

/** A range of revisions, both ends included. */
interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** The applied transactions, by revision. */
export class AppliedHistory {
  readonly #transactions: readonly AppliedTransaction[];
  readonly #keys = new Map<string, KeyState[]>();

  constructor(transactions: readonly AppliedTransaction[]) {
    this.#transactions = transactions;
    for (const { revision, command, result } of transactions) {
      for (const [position, mutation] of command.mutations.entries()) {
        const outcome = result.outcomes[position];
        const entry = mutation.kind === "put" && outcome?.kind === "put"
          ? {
            value: textOf(mutation.value),
            createRevision: outcome.createRevision,
            modRevision: revision,
            version: outcome.version,
          }
          : null;
        const key = textOf(mutation.key);
        const states = this.#keys.get(key) ?? [{ from: 0, entry: null }];
        states.push({ from: revision, entry });
        this.#keys.set(key, states);
      }
    }
  }

  /** The newest revision. */
  get lastRevision(): number {
    return this.#transactions.length;
  }

  /** The transaction that made a revision. */
  at(revision: number): AppliedTransaction | null {
    return this.#transactions[revision - 1] ?? null;
  }

  /** Returns a key at a revision. */
  entryAt(key: string, revision: number): Entry | null {
    return this.#keys.get(key)?.findLast(({ from }) => from <= revision)?.entry ?? null;
  }

  /** The keys, sorted. */
  get keys(): readonly string[] {
    return [...this.#keys.keys()].sort();
  }

  /** Returns when a key had this state. */
  stretchesOf(key: string, entry: Entry | null): Stretch[] {
    const states = this.#keys.get(key) ?? [{ from: 0, entry: null }];
    const stretches: Stretch[] = [];
    for (const [position, state] of states.entries()) {
      const to = (states[position + 1]?.from ?? this.lastRevision + 1) - 1;
      if (isSame(state.entry, entry)) stretches.push({ from: state.from, to });
    }
    return stretches;
  }

  /** Whether some transaction put this value under this key. */
  wasPut(key: string, value: string): boolean {
    return this.#keys.get(key)?.some(({ entry }) => entry?.value === value) ?? false;
  }
}

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
    const place = leastPlace(stretches, isAppliedWrite(operation) ? floor + 1 : floor);
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
    : [];
  return puts.filter(({ key, value }) => applied.wasPut(key, value))
    .map(() => `${operationText(operation)} was applied, and its client learned that it was not`);
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
      return false;
  }
}

/** Returns the range of revisions in which an answered operation can be placed. */
function placesOf(operation: Operation, applied: AppliedHistory): readonly Stretch[] {
  if (operation.outcome.kind !== "answered") return [];
  switch (operation.kind) {
    case "get":
      return applied.stretchesOf(operation.key, operation.outcome.result);
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
      if (!isSame(applied.entryAt(key, revision), current)) return [];
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
    case "list": {
      const { revision, entries, more } = operation.outcome.result;
      if (revision === null) return [];
      const { range, limit } = operation;
      const keys = applied.keys.filter((key) =>
        inRange(key, range) && applied.entryAt(key, revision) !== null
      );
      if (range.reverse) keys.reverse();
      const isRight = more === (entries.length < keys.length) &&
        entries.length === Math.min(limit, keys.length) &&
        entries.every((entry, position) =>
          entry.key === keys[position] && isSame(applied.entryAt(entry.key, revision), entry)
        );
      return isRight ? [at(revision)] : [];
    }
  }
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
  if (transaction === null || revision === null) return [];
  const { mutations } = transaction.command;
  const isIt = mutations.length === what.puts.length + what.deletes.length &&
    mutations.every((mutation) =>
      mutation.kind === "put"
        ? what.puts.some(([key, value]) => key === textOf(mutation.key) && value === textOf(mutation.value))
        : what.deletes.includes(textOf(mutation.key))
    );
  return isIt ? [at(revision)] : [];
}

function isSame(a: Entry | null, b: Entry | null): boolean {
  if (a === null || b === null) return a === b;
  return a.value === b.value && a.createRevision === b.createRevision && a.modRevision === b.modRevision &&
    a.version === b.version;
}

function operationText(operation: Operation): string {
  const { client, calledAt, returnedAt, outcome } = operation;
  const what = "key" in operation ? `${operation.kind} ${operation.key}` : operation.kind;
  const answer = outcome.kind === "answered" ? JSON.stringify(outcome.result).slice(0, 160) : outcome.kind;
  const end = returnedAt === null ? "" : returnedAt.toFixed(2);
  return `c${client} ${what} (${calledAt.toFixed(2)}..${end}): ${answer}`;
}

/** Returns bytes as histories write them: one character each. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
