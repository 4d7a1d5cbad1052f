/**
 * Linearizability by its definition: tries every order of the operations, every effect of unanswered writes,
 * and every revision that a write can have had. Suitable for a handful of operations.
 *
 * It shares no code with the checker; the store is implemented a second time, as simply as possible.
 */
import type {
  BranchCondition,
  Branches,
  BranchOperation,
  BranchOutcome,
  Check,
  Entry,
  History,
  KeyRange,
  KeySet,
  ListedEntry,
  Mutation,
  Operation,
} from "../../../lib/lincheck/mod.ts";

interface Key {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

interface StoreState {
  readonly keys: ReadonlyMap<string, Key>;
  readonly revision: number;
  /** The states before it, newest first. */
  readonly past: readonly Pick<StoreState, "keys" | "revision">[];
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
      JSON.stringify([store, ...store.past].map(({ keys, revision }) => [revision, ...[...keys].sort()]))
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
  return search(steps, { keys: new Map(), revision: 0, past: [] });
}

/** Returns every state that an operation with this answer can have left behind. */
function storesAfter(operation: Operation, store: StoreState, highest: number): readonly StoreState[] {
  const { kind } = operation;
  if (kind === "get" || kind === "list") {
    const { revision = null } = operation;
    if (revision !== null) return storesAfterPastRead(operation, { store, revision });
    return isRightRead(operation, store) ? passed(operation, store) : [];
  }
  if (kind === "branchingTransaction") return storesAfterBranches(operation, store, highest);
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
    const after = mutated(store, mutations, revision);
    if (!answer.showsCurrent || isShown(answer.current, after.keys.get(checks[0]?.key ?? ""))) {
      stores.push(after);
    }
  }
  return stores;
}

function storesAfterPastRead(
  operation: Operation,
  { store, revision }: { readonly store: StoreState; readonly revision: number },
): readonly StoreState[] {
  const then = [store, ...store.past].find((state) => state.revision <= revision);
  if (then === undefined || !isRightRead(operation, { ...then, past: [] })) return [];
  return [store.revision >= revision ? store : next(store, store.keys, revision)];
}

function storesAfterBranches(
  operation: Extract<Operation, { readonly kind: "branchingTransaction" }>,
  store: StoreState,
  highest: number,
): readonly StoreState[] {
  const result = operation.outcome.kind === "answered" ? operation.outcome.result : null;
  const stores: StoreState[] = [];
  for (let revision = store.revision + 1; revision <= highest; revision++) {
    const keys = new Map(store.keys);
    const run = runBranches(operation.transaction, { before: store.keys, keys, revision });
    if (run.kind === "failed") {
      const isFailure = result === null || (result.kind === "failed" && isLike(
        [run.reason, run.position],
        [result.reason, result.position],
      ));
      return isFailure ? passed(operation, store) : [];
    }
    const seen = result === null
      ? null
      : result.kind === "executed"
      ? [result.succeeded, result.outcomes]
      : [];
    const isSeen = seen === null || isLike(seen, [run.succeeded, run.outcomes]);
    if (!run.hasChanged) return isSeen ? passed(operation, store) : [];
    if (!isSeen || (result !== null && result.revision !== null && result.revision !== revision)) continue;
    stores.push(next(store, keys, revision));
  }
  return stores;
}

interface BranchRun {
  readonly before: ReadonlyMap<string, Key>;
  readonly keys: Map<string, Key>;
  readonly revision: number;
}

type RunOutcome = Extract<BranchOutcome, { readonly kind: "transaction" }> & { readonly hasChanged: boolean };

interface RunFailure {
  readonly kind: "failed";
  readonly reason: "keyNotFound" | "notANumber";
  readonly position: readonly number[];
}

function runBranches(branches: Branches, run: BranchRun): RunOutcome | RunFailure {
  const succeeded = branches.conditions.every((condition) => isMet(condition, run.before));
  const outcomes: BranchOutcome[] = [];
  let hasChanged = false;
  const all = [...branches.then, ...branches.else];
  for (const operation of succeeded ? branches.then : branches.else) {
    const outcome = runOne(operation, run);
    if (outcome.kind === "failed") {
      return { ...outcome, position: [all.indexOf(operation), ...outcome.position] };
    }
    hasChanged ||= outcome.kind === "put" || (outcome.kind === "delete" && outcome.deleted > 0) ||
      ("hasChanged" in outcome && outcome.hasChanged);
    outcomes.push(outcome);
  }
  return { kind: "transaction", succeeded, outcomes, hasChanged };
}

function runOne(
  operation: BranchOperation,
  run: BranchRun,
): BranchOutcome | RunOutcome | RunFailure {
  const { keys, revision } = run;
  if (operation.kind === "transaction") return runBranches(operation, run);
  if (operation.kind === "delete") {
    const found = entriesIn(operation.keys, keys);
    for (const { key } of found) keys.delete(key);
    return { kind: "delete", deleted: found.length, previous: operation.returnPrevious ? found : [] };
  }
  if (operation.kind === "get") {
    const found = entriesIn(operation.keys, keys);
    const count = found.length;
    if (operation.reverse) found.reverse();
    return { kind: "get", entries: found.slice(0, operation.limit), more: count > operation.limit, count };
  }
  const before = keys.get(operation.key);
  let value: string;
  if (operation.kind === "put") {
    if (operation.value === null && before === undefined) {
      return { kind: "failed", reason: "keyNotFound", position: [] };
    }
    value = operation.value ?? before?.value ?? "";
  } else {
    const [old, operand] = [before?.value ?? operation.operand, operation.operand];
    if (old.length !== 8 || operand.length !== 8) {
      return { kind: "failed", reason: "notANumber", position: [] };
    }
    const [a, b] = [bigOf(old), bigOf(operand)];
    const sum = operation.kind === "sum" ? a + b : operation.kind === "min" ? (a < b ? a : b) : a > b ? a : b;
    value = before === undefined ? operand : textOf(BigInt.asUintN(64, sum));
  }
  const createRevision = before?.createRevision ?? revision;
  const version = (before?.version ?? 0) + 1;
  keys.set(operation.key, { value, createRevision, modRevision: revision, version });
  const previous = operation.kind === "put" && operation.returnPrevious
    ? before === undefined ? null : { key: operation.key, ...before }
    : "omitted";
  return { kind: "put", createRevision, version, previous };
}

function entriesIn(set: KeySet, keys: ReadonlyMap<string, Key>): (ListedEntry & Key)[] {
  return [...keys].filter(([key]) => isIn(set, key)).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([key, state]) => ({ key, ...state }));
}

function isIn(set: KeySet, key: string): boolean {
  return set.kind === "key" ? set.key === key : set.start <= key && (set.end === null || key < set.end);
}

function isMet(condition: BranchCondition, keys: ReadonlyMap<string, Key>): boolean {
  const states: (Key | null)[] = entriesIn(condition.keys, keys);
  if (states.length === 0) states.push(null);
  return states.every((state) => {
    if (condition.kind === "value" && state === null) return false;
    const [actual, wanted] = condition.kind === "value"
      ? [state?.value ?? "", condition.value]
      : [state?.[condition.kind] ?? 0, condition.number];
    const order = actual === wanted ? "equal" : actual < wanted ? "less" : "greater";
    return condition.comparison === "notEqual" ? order !== "equal" : condition.comparison === order;
  });
}

function bigOf(text: string): bigint {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

function textOf(number: bigint): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, number, true);
  return String.fromCharCode(...bytes);
}

/** Whether an answer, or a part of it, is this; null numbers of an entry were not recorded. */
function isLike(seen: unknown, actual: unknown, name = ""): boolean {
  if (seen === null && ["createRevision", "modRevision", "version"].includes(name)) return true;
  if (typeof seen !== "object" || typeof actual !== "object" || seen === null || actual === null) {
    return seen === actual;
  }
  const names = Object.keys(seen);
  const others = Object.entries(actual).filter(([each]) => each !== "hasChanged");
  return names.length === others.length &&
    others.every(([each, part]) => each in seen && isLike(Reflect.get(seen, each), part, each));
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
  return result.revision < store.revision ? [] : [next(store, store.keys, result.revision)];
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
    case "branchingTransaction":
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
  return next(store, keys, revision);
}

function next(store: StoreState, keys: ReadonlyMap<string, Key>, revision: number): StoreState {
  return {
    keys,
    revision,
    past: [store, ...store.past].map((state) => ({ keys: state.keys, revision: state.revision })),
  };
}

/** Every number that occurs anywhere in answers and checks. */
function numbersIn(value: unknown): readonly number[] {
  const found: number[] = [];
  JSON.stringify(value, (name, part) => {
    if (["revision", "modRevision", "createRevision", "number"].includes(name) && typeof part === "number") {
      found.push(part);
    }
    return part;
  });
  return found;
}
