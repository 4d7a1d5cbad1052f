/**
 * Turns a history into {@link Step}s: every request and its answer become conditions on keys and changes of them.
 * What constrains nothing (reads without an answer, writes that certainly did not happen) is left out.
 */
import { assert, assertNever } from "../platform/assert.ts";
import {
  type Check,
  earliestEffectOf,
  type History,
  inRange,
  type ListResult,
  type Mutation,
  type Operation,
  type Outcome,
  valueAfter,
} from "./history.ts";
import type { Change, Condition, Step } from "./model.ts";
import { keysNamedInBranches, programOf } from "./transactions/program.ts";

/** A history as steps, in the order of their calls, and all keys that occur in it in byte order. */
export interface Steps {
  readonly steps: readonly Step[];
  readonly keys: readonly string[];
}

/** The demands of an operation; the rest of a step is the same for every kind. */
type Demand =
  & Pick<Step, "before" | "changes" | "after" | "someExist" | "program" | "revision">
  & Partial<Pick<Step, "writes">>;

const NOTHING: Demand = {
  before: [],
  changes: [],
  after: [],
  someExist: [],
  program: null,
  revision: null,
};

/** The steps of a history. A record that no recorder could make (returned before its call) is an assertion. */
export function stepsOf(history: History): Steps {
  const keys = [...new Set(history.flatMap(keysNamedBy))].sort(byteOrder);
  const steps: Step[] = [];
  const begin = history.reduce((least, { calledAt }) => Math.min(least, calledAt), Infinity);
  for (const [index, operation] of history.entries()) {
    const { calledAt, returnedAt, outcome } = operation;
    assert(Number.isFinite(calledAt), "an operation has a time of call");
    assert(returnedAt === null || returnedAt >= calledAt, "an operation does not return before its call");
    assert(outcome.kind !== "answered" || returnedAt !== null, "an answered operation has returned");
    const demand = demandOf(operation, keys);
    if (demand === null) continue;
    const optional = outcome.kind === "unknown";
    steps.push({
      writes: demand.changes.length > 0,
      ...demand,
      index,
      operation,
      optional,
      calledAt: Math.max(earliestEffectOf(operation), begin),
      returnedAt: optional || returnedAt === null ? Infinity : returnedAt,
    });
  }
  steps.sort((a, b) => a.calledAt - b.calledAt || a.index - b.index);
  return { steps, keys };
}

/** Returns every key that a step has, each once, in no particular order. */
export function keysOf(step: Step): readonly string[] {
  if (step.program !== null) return step.program.keys;
  const first = step.before[0]?.key ?? step.changes[0]?.key;
  const single = first !== undefined && step.someExist.length === 0 &&
    step.before.every(({ key }) => key === first) && step.changes.every(({ key }) => key === first);
  if (single) return [first];
  return [
    ...new Set([
      ...step.before.map(({ key }) => key),
      ...step.changes.map(({ key }) => key),
      ...step.someExist,
    ]),
  ];
}

function byteOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function keysNamedBy(operation: Operation): readonly string[] {
  switch (operation.kind) {
    case "get":
    case "put":
    case "delete":
    case "compareAndSet":
      return [operation.key];
    case "transaction":
      return [...operation.checks, ...operation.mutations].map(({ key }) => key);
    case "branchingTransaction":
      return keysNamedInBranches(operation);
    case "list":
      return operation.outcome.kind === "answered"
        ? operation.outcome.result.entries.map(({ key }) => key)
        : [];
    default:
      return assertNever(operation);
  }
}

/** Returns what an operation demands, or null when it constrains nothing. */
function demandOf(operation: Operation, keys: readonly string[]): Demand | null {
  switch (operation.kind) {
    case "get":
      return readDemand(operation.outcome, (entry) => ({
        ...NOTHING,
        before: [{ kind: "entry", key: operation.key, entry }],
        revision: operation.revision ?? null,
      }));
    case "put": {
      const { key, value, outcome } = operation;
      return writeDemand(outcome, (result) => ({
        ...NOTHING,
        changes: [{ key, value }],
        revision: result?.revision ?? null,
      }));
    }
    case "delete": {
      const { key, outcome } = operation;
      return writeDemand(outcome, (result) => ({
        ...NOTHING,
        before: result === null ? [] : [{ kind: "exists", key, exists: result.deleted }],
        // A delete of an absent key may share the revision of the last change (from feature level 2 on).
        changes: result?.deleted === false ? [] : [{ key, value: null }],
        revision: result?.revision ?? null,
      }));
    }
    case "compareAndSet":
      return compareAndSetDemand(operation);
    case "transaction":
      return transactionDemand(operation);
    case "branchingTransaction":
      return branchesDemand(operation, keys);
    case "list":
      return readDemand(operation.outcome, (result) => listDemand(operation, { result, keys }));
    default:
      return assertNever(operation);
  }
}

function readDemand<Result>(outcome: Outcome<Result>, demand: (result: Result) => Demand): Demand | null {
  return outcome.kind === "answered" ? demand(outcome.result) : null;
}

/** `demand` gets null when the outcome of the write is unknown. */
function writeDemand<Result>(
  outcome: Outcome<Result>,
  demand: (result: Result | null) => Demand | null,
): Demand | null {
  switch (outcome.kind) {
    case "answered":
      return demand(outcome.result);
    case "unknown":
      return demand(null);
    case "notApplied":
      return null;
    default:
      return assertNever(outcome);
  }
}

function compareAndSetDemand(
  { key, expect, value, outcome }: Extract<Operation, { readonly kind: "compareAndSet" }>,
): Demand | null {
  const check: Check = expect === null
    ? { kind: "exists", key, exists: false }
    : { kind: "value", key, value: expect };
  return writeDemand(outcome, (result) => {
    if (result === null) return { ...NOTHING, before: [conditionOf(check, true)], changes: [{ key, value }] };
    const seen: Condition = { kind: "entry", key, entry: result.current };
    const { succeeded, current, revision } = result;
    if (!succeeded) return { ...NOTHING, before: [conditionOf(check, false), seen], revision };
    return {
      ...NOTHING,
      before: [conditionOf(check, true)],
      changes: [{ key, value }],
      after: [seen],
      revision: revision ?? current?.modRevision ?? null,
    };
  });
}

function transactionDemand(
  { checks, mutations, outcome }: Extract<Operation, { readonly kind: "transaction" }>,
): Demand | null {
  const changes = mutations.map((mutation) => changeOf(mutation));
  const allHold = checks.map((check) => conditionOf(check, true));
  return writeDemand(outcome, (result) => {
    if (result === null) return { ...NOTHING, before: allHold, changes };
    const { succeeded, failedChecks, revision } = result;
    if (succeeded !== (failedChecks.length === 0)) {
      const why = succeeded ? "it succeeded and checks failed" : "it failed and no check did";
      return { ...NOTHING, before: [{ kind: "never", key: changes[0]?.key ?? "", why }], revision };
    }
    if (succeeded) return { ...NOTHING, before: allHold, changes, revision };
    const before = checks.map((check, position) => conditionOf(check, !failedChecks.includes(position)));
    return { ...NOTHING, before, revision };
  });
}

function branchesDemand(
  operation: Extract<Operation, { readonly kind: "branchingTransaction" }>,
  keys: readonly string[],
): Demand | null {
  return writeDemand(operation.outcome, (result) => {
    const { program, changes, writes, why } = programOf(operation, keys);
    const revision = result?.revision ?? null;
    if (result === null && !writes) return null;
    if (why === null) return { ...NOTHING, program, changes, writes, revision };
    return { ...NOTHING, before: [{ kind: "never", key: program.keys[0] ?? "", why }], revision };
  });
}

function changeOf(mutation: Mutation): Change {
  return { key: mutation.key, value: valueAfter(mutation) };
}

function conditionOf(check: Check, holds: boolean): Condition {
  switch (check.kind) {
    case "exists":
      return { kind: "exists", key: check.key, exists: check.exists === holds };
    case "value":
      return { kind: "value", key: check.key, value: check.value, holds };
    case "modRevision":
      return { kind: "modRevision", key: check.key, modRevision: check.modRevision, holds };
    default:
      return assertNever(check);
  }
}

/** A page shows every key of its range up to its last entry; behind that, it only says whether there is one. */
function listDemand(
  operation: Extract<Operation, { readonly kind: "list" }>,
  { result, keys }: { readonly result: ListResult; readonly keys: readonly string[] },
): Demand {
  const { range } = operation;
  const revision = operation.revision ?? result.revision;
  const last = result.entries.at(-1);
  const isShown = (key: string): boolean =>
    !result.more || last === undefined || (range.reverse ? key >= last.key : key <= last.key);
  const entries = new Map(result.entries.map((entry) => [entry.key, entry]));
  const before: Condition[] = [];
  const someExist: string[] = [];
  for (let i = lowerBound(keys, range.prefix); i < keys.length; i++) {
    const key = keys[i];
    if (key === undefined || !key.startsWith(range.prefix)) break;
    if (!inRange(key, range)) continue;
    if (isShown(key)) before.push({ kind: "entry", key, entry: entries.get(key) ?? null });
    else someExist.push(key);
  }
  const why = listContradiction(operation, { result, canGoOn: someExist.length > 0 });
  if (why !== null) {
    const key = last?.key ?? keys[0] ?? range.prefix;
    return { ...NOTHING, before: [{ kind: "never", key, why }], revision };
  }
  return { ...NOTHING, before, someExist, revision };
}

function listContradiction(
  { range, limit }: Extract<Operation, { readonly kind: "list" }>,
  { result: { entries, more }, canGoOn }: { readonly result: ListResult; readonly canGoOn: boolean },
): string | null {
  if (entries.length > limit) return `${entries.length} entries were listed with a limit of ${limit}`;
  const outside = entries.find(({ key }) => !inRange(key, range));
  if (outside !== undefined) return `${JSON.stringify(outside.key)} is not in the range that was listed`;
  const inOrder = entries.every(({ key }, i) => {
    const next = entries[i + 1];
    return next === undefined || (range.reverse ? key > next.key : key < next.key);
  });
  if (!inOrder) return "the keys are not listed in their order, each once";
  if (more && entries.length === 0) return "an empty page says that more follows";
  if (more && !canGoOn) return "it says that more follows, and no such key was ever written";
  return null;
}

/** Position of the first key that is not below `least`. */
function lowerBound(sorted: readonly string[], least: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? "") < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
