/**
 * Linearizability by its definition: tries every order of the operations, every effect of unanswered writes,
 * and every revision that a write can have had. Suitable for a handful of operations.
 *
 * It shares no code with the checker; the store is implemented a second time, as simply as possible.
 */
import type { Check, Entry, History, KeyRange, Mutation, Operation } from "../../../lib/lincheck/mod.ts";

interface Key {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

interface StoreState {
  readonly keys: ReadonlyMap<string, Key>;
  readonly revision: number;
}

/** Returns whether some order explains the history. */
export function isLinearizable(history: History): boolean {
  const steps = history.filter(({ kind, outcome }) =>
    outcome.kind === "answered" || (outcome.kind === "unknown" && kind !== "get" && kind !== "list")
  );
  const highest = Math.max(0, ...numbersIn(history)) + steps.length;
  const dead = new Set<string>();
  const search = (left: readonly Operation[], store: StoreState): boolean => {
    if (left.every(({ outcome }) => outcome.kind === "unknown")) return true;
    const name = `${left.map((operation) => steps.indexOf(operation)).join()} ${store.revision} ${
      JSON.stringify([...store.keys].sort())
    }`;
    if (dead.has(name)) return false;
    for (const operation of left) {
      const isTooEarly = left.some((other) =>
        other.outcome.kind === "answered" && (other.returnedAt ?? Infinity) < operation.calledAt
      );
      if (isTooEarly) continue;
      const rest = left.filter((other) => other !== operation);
      for (const next of storesAfter(operation, store, highest)) if (search(rest, next)) return true;
    }
    dead.add(name);
    return false;
  };
  return search(steps, { keys: new Map(), revision: 0 });
}

/** Returns every state that an operation with this answer can have left behind. */
function storesAfter(operation: Operation, store: StoreState, highest: number): readonly StoreState[] {
  const { kind } = operation;
  if (kind === "get" || kind === "list") return isRightRead(operation, store) ? passed(operation, store) : [];
  const [checks, mutations] = partsOf(operation);
  const failed = checks.flatMap((check, i) => holds(check, store) ? [] : [i]);
  const { outcome } = operation;
  const result = outcome.kind === "answered" ? outcome.result : null;
  const answer = answerOf(operation);
  if (failed.length > 0) {
    if (result === null || !("succeeded" in result) || result.succeeded) return [];
    if (answer.failedChecks !== null && `${answer.failedChecks}` !== `${failed}`) return [];
    if (answer.showsCurrent && !isShown(answer.current, store.keys.get(checks[0]?.key ?? ""))) return [];
    return passed(operation, store);
  }
  if (result !== null && "succeeded" in result && !result.succeeded) return [];
  if (answer.failedChecks !== null && answer.failedChecks.length > 0) return [];
  if (result !== null && "deleted" in result) {
    if (result.deleted !== mutations.some(({ key }) => store.keys.has(key))) return [];
    // It may have taken a revision of its own, or have the one of the last change.
    if (!result.deleted) return passed(operation, store);
  }
  const stores: StoreState[] = [];
  for (let revision = store.revision + 1; revision <= highest; revision++) {
    if (result !== null && result.revision !== null && result.revision !== revision) continue;
    const next = mutated(store, mutations, revision);
    if (!answer.showsCurrent || isShown(answer.current, next.keys.get(checks[0]?.key ?? ""))) {
      stores.push(next);
    }
  }
  return stores;
}

/** The answer to a conditional write, besides its success. */
interface Answer {
  readonly failedChecks: readonly number[] | null;
  readonly showsCurrent: boolean;
  readonly current: Entry | null;
}

function answerOf(operation: Operation): Answer {
  const nothing = { failedChecks: null, showsCurrent: false, current: null };
  if (operation.outcome.kind !== "answered") return nothing;
  if (operation.kind === "transaction") {
    return { ...nothing, failedChecks: operation.outcome.result.failedChecks };
  }
  if (operation.kind !== "compareAndSet") return nothing;
  return { ...nothing, showsCurrent: true, current: operation.outcome.result.current };
}

/** An answer at a revision: other clients may have written to other keys meanwhile. */
function passed({ outcome }: Operation, store: StoreState): readonly StoreState[] {
  const result = outcome.kind === "answered" ? outcome.result : null;
  if (result === null || !("revision" in result) || result.revision === null) return [store];
  return result.revision < store.revision ? [] : [{ ...store, revision: result.revision }];
}

function isRightRead(operation: Operation, { keys }: StoreState): boolean {
  if (operation.outcome.kind !== "answered") return false;
  if (operation.kind === "get") return isShown(operation.outcome.result, keys.get(operation.key));
  if (operation.kind !== "list") return false;
  const { entries, more } = operation.outcome.result;
  const names = [...keys.keys()].filter((key) => covers(operation.range, key)).sort();
  if (operation.range.reverse) names.reverse();
  const shown = names.slice(0, entries.length);
  return entries.length <= operation.limit && more === names.length > entries.length &&
    (!more || entries.length > 0) && shown.length === entries.length &&
    entries.every((entry, i) => entry.key === shown[i] && isShown(entry, keys.get(entry.key)));
}

function covers({ prefix, start, end, after, reverse }: KeyRange, key: string): boolean {
  if (!key.startsWith(prefix) || (start !== null && key < start) || (end !== null && key >= end)) {
    return false;
  }
  return after === null || (reverse ? key < after : key > after);
}

function isShown(entry: Entry | null, key: Key | undefined): boolean {
  if (entry === null || key === undefined) return entry === null && key === undefined;
  return entry.value === key.value &&
    (entry.createRevision === null || entry.createRevision === key.createRevision) &&
    (entry.modRevision === null || entry.modRevision === key.modRevision) &&
    (entry.version === null || entry.version === key.version);
}

function partsOf(operation: Operation): [readonly Check[], readonly Mutation[]] {
  switch (operation.kind) {
    case "put":
      return [[], [{ kind: "put", key: operation.key, value: operation.value }]];
    case "delete":
      return [[], [{ kind: "delete", key: operation.key }]];
    case "compareAndSet": {
      const { key, value, expect } = operation;
      const check: Check = expect === null
        ? { kind: "exists", key, exists: false }
        : { kind: "value", key, value: expect };
      return [[check], [{ kind: "put", key, value }]];
    }
    case "transaction":
      return [operation.checks, operation.mutations];
    case "get":
    case "list":
      return [[], []];
  }
}

function holds(check: Check, { keys }: StoreState): boolean {
  const key = keys.get(check.key);
  switch (check.kind) {
    case "exists":
      return check.exists === keys.has(check.key);
    case "value":
      return key?.value === check.value;
    case "modRevision":
      return check.modRevision === (key?.modRevision ?? 0);
  }
}

function mutated(store: StoreState, mutations: readonly Mutation[], revision: number): StoreState {
  const keys = new Map(store.keys);
  for (const mutation of mutations) {
    const before = keys.get(mutation.key);
    keys.delete(mutation.key);
    if (mutation.kind === "delete") continue;
    const { value } = mutation;
    keys.set(
      mutation.key,
      before === undefined ? { value, createRevision: revision, modRevision: revision, version: 1 } : {
        value,
        createRevision: before.createRevision,
        modRevision: revision,
        version: before.version + 1,
      },
    );
  }
  return { keys, revision };
}

/** Every number that occurs anywhere in answers and checks. */
function numbersIn(value: unknown): readonly number[] {
  const found: number[] = [];
  JSON.stringify(value, (name, part) => {
    if (["revision", "modRevision", "createRevision"].includes(name) && typeof part === "number") {
      found.push(part);
    }
    return part;
  });
  return found;
}
