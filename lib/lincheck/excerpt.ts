/**
 * The few operations of a violation that a person has to see: what went on when it broke, who wrote what was seen and
 * who wrote what should have been.
 */
import { assertNever } from "../platform/assert.ts";
import { type Entry, type History, type Mutation, type Operation, valueAfter } from "./history.ts";
import { changed, type KeyState, UNSEEN_REVISION } from "./model.ts";
import { programOf } from "./transactions/program.ts";
import type { Turn } from "./store.ts";
import { type Cause, keyOfMisfit, type Violation } from "./verdict.ts";

/** Operations that a picture has room for. */
const MAX_OPERATIONS = 26;
/** Of these, operations that only happened at the time, where two alone tell all. */
const MAX_BYSTANDERS_OF_CLASH = 8;
/** Turns of the longest order that are shown. */
const MAX_TURNS = 12;

/** The part of an operation in a violation. */
export type Part =
  /** No place can be found for it. */
  | "violating"
  /** It had returned before the violating operation was called, with a greater revision (or the same). */
  | "earlier"
  /** It wrote what the violating operation returned. */
  | "seen"
  /** It replaced what the violating operation returned, and had returned before the violating operation was called. */
  | "replaced"
  /** It wrote what the violating operation should have returned. */
  | "expected"
  /** Its answer leaves the violating operation no other time. */
  | "witness"
  /** It happened at the time. */
  | "bystander";

/** An operation in the picture. */
export interface Figure {
  /** Position in the history. */
  readonly index: number;
  readonly operation: Operation;
  readonly part: Part;
}

/** A turn of the furthest order, and what the violation's keys were after it. */
export interface ShownTurn extends Turn {
  /** Number in that order, from 1. */
  readonly number: number;
  /** The keys that it wrote, as they were then. */
  readonly written: readonly (readonly [key: string, state: KeyState | null])[];
}

/** The content of a page. */
export interface Excerpt {
  /** By the time of the call. */
  readonly figures: readonly Figure[];
  /** The end of the furthest order. */
  readonly turns: readonly ShownTurn[];
  /** Operations on the violation's keys that are not shown. */
  readonly omitted: number;
}

/** Chooses what to show of a violation. */
export function excerptOf(history: History, violation: Violation): Excerpt {
  const { cause, operations, keys } = violation;
  const parts = partsOf(history, violation);
  const violating = history[violatingOperationOf(cause)];
  const end = violating?.returnedAt ?? Infinity;
  const near = operations.filter((index) =>
    !parts.has(index) && (history[index]?.calledAt ?? Infinity) <= end
  )
    .sort((a, b) => (history[b]?.calledAt ?? 0) - (history[a]?.calledAt ?? 0))
    .slice(
      0,
      cause.kind === "revisions" ? MAX_BYSTANDERS_OF_CLASH : Math.max(0, MAX_OPERATIONS - parts.size),
    );
  const chosen = new Map<number, Part>([...near.map((index) => [index, "bystander"] as const), ...parts]);
  const figures = [...chosen].flatMap(([index, part]): Figure[] => {
    const operation = history[index];
    return operation === undefined ? [] : [{ index, operation, part }];
  }).sort((a, b) => a.operation.calledAt - b.operation.calledAt || a.index - b.index);
  const turns = cause.kind === "stuck" ? shownTurns(history, cause.prefix, new Set(keys)) : [];
  return { figures, turns, omitted: operations.filter((index) => !chosen.has(index)).length };
}

/** The operation that a violation is about. */
export function violatingOperationOf(cause: Cause): number {
  switch (cause.kind) {
    case "stuck":
      return cause.operation;
    case "revisions":
      return cause.late;
    default:
      return assertNever(cause);
  }
}

function partsOf(
  history: History,
  { cause, keys, operations }: Violation,
): ReadonlyMap<number, Part> {
  const parts = new Map<number, Part>();
  switch (cause.kind) {
    case "revisions":
      return parts.set(cause.early, "earlier").set(cause.late, "violating");
    case "stuck":
      break;
    default:
      return assertNever(cause);
  }
  const wanted = new Map<string, { readonly part: Part; readonly entry: Entry }[]>();
  const want = (part: Part, key: string, entry: Entry): void => {
    const list = wanted.get(key);
    if (list === undefined) wanted.set(key, [{ part, entry }]);
    else list.push({ part, entry });
  };
  for (const [key, entry] of entriesSeenBy(history[cause.operation], keys)) want("seen", key, entry);
  for (const { states, misfit } of cause.possible) {
    const about = keyOfMisfit(misfit);
    for (const [i, key] of keys.entries()) {
      const state = states[i] ?? null;
      if (state === null || state.modRevision === UNSEEN_REVISION) continue;
      if (about === null || about === key) want("expected", key, state);
    }
  }
  for (const index of cause.narrowedBy) parts.set(index, "witness");
  for (const index of operations) {
    const operation = history[index];
    if (operation === undefined || parts.size >= MAX_OPERATIONS - 1) break;
    const found = mutationsOf(operation).flatMap(({ key }) => wanted.get(key) ?? [])
      .find(({ entry }) => wrote(operation, entry));
    if (found !== undefined) parts.set(index, found.part);
  }
  const replacement = replacementOf(history, { violating: cause.operation, keys, operations });
  if (replacement !== null) parts.set(replacement, "replaced");
  return parts.set(cause.operation, "violating");
}

/** The first write that is known to have replaced what the violating operation returned, before its call. */
function replacementOf(
  history: History,
  { violating, keys, operations }: {
    readonly violating: number;
    readonly keys: readonly string[];
    readonly operations: readonly number[];
  },
): number | null {
  const calledAt = history[violating]?.calledAt ?? -Infinity;
  let first: { readonly index: number; readonly revision: number } | null = null;
  for (const [key, { modRevision }] of entriesSeenBy(history[violating], keys)) {
    for (const index of operations) {
      const operation = history[index];
      if (operation === undefined || modRevision === null) continue;
      const revision = revisionOf(operation);
      const isLater = revision !== null && revision > modRevision &&
        (operation.returnedAt ?? Infinity) < calledAt;
      if (!isLater || !mutationsOf(operation).some((mutation) => mutation.key === key)) continue;
      if (first === null || revision < first.revision) first = { index, revision };
    }
  }
  return first?.index ?? null;
}

/** The revision that a write is known to have made. */
function revisionOf(operation: Operation): number | null {
  if (operation.outcome.kind !== "answered" || !tookEffect(operation)) return null;
  const { result } = operation.outcome;
  return result !== null && "revision" in result ? result.revision : null;
}

function entriesSeenBy(
  operation: Operation | undefined,
  keys: readonly string[],
): readonly (readonly [string, Entry])[] {
  if (operation === undefined || operation.outcome.kind !== "answered") return [];
  switch (operation.kind) {
    case "get":
      return operation.outcome.result === null ? [] : [[operation.key, operation.outcome.result]];
    case "compareAndSet": {
      const { current, succeeded } = operation.outcome.result;
      return current === null || succeeded ? [] : [[operation.key, current]];
    }
    case "list":
      return operation.outcome.result.entries.filter(({ key }) => keys.includes(key))
        .map((entry) => [entry.key, entry] as const);
    case "branchingTransaction":
      return programOf(operation, []).program.seen.filter(({ key }) => keys.includes(key))
        .map(({ key, entry }) => [key, entry] as const);
    case "put":
    case "delete":
    case "transaction":
      return [];
    default:
      return assertNever(operation);
  }
}

/** Whether a write is this entry's, as far as is known: by its revision, or else by the value. */
function wrote(operation: Operation, { value, modRevision }: Entry): boolean {
  if (!mutationsOf(operation).some((mutation) => valueAfter(mutation) === value)) {
    return false;
  }
  if (operation.outcome.kind !== "answered") return true;
  const { result } = operation.outcome;
  if (result === null || !("revision" in result) || ("succeeded" in result && !result.succeeded)) {
    return false;
  }
  return result.revision === null || modRevision === null || result.revision === modRevision;
}

function mutationsOf(operation: Operation): readonly Mutation[] {
  switch (operation.kind) {
    case "put":
    case "delete":
      return [operation];
    case "compareAndSet":
      return [{ kind: "put", key: operation.key, value: operation.value }];
    case "transaction":
      return operation.mutations;
    case "branchingTransaction":
      return programOf(operation, []).program.mayPut.map(({ key, value }) => ({
        kind: "put",
        key,
        value: value ?? "",
      }));
    case "get":
    case "list":
      return [];
    default:
      return assertNever(operation);
  }
}

function shownTurns(
  history: History,
  prefix: readonly Turn[],
  keys: ReadonlySet<string>,
): readonly ShownTurn[] {
  const states = new Map<string, KeyState | null>();
  const shownTurns = prefix.map((turn, i): ShownTurn => {
    const operation = history[turn.operation];
    const written = operation === undefined || !tookEffect(operation) ? [] : mutationsOf(operation)
      .filter(({ key }) => keys.has(key))
      .map((mutation) => {
        const change = { key: mutation.key, value: valueAfter(mutation) };
        const state = changed(change, states.get(mutation.key) ?? null, turn.revision ?? UNSEEN_REVISION);
        states.set(mutation.key, state);
        return [mutation.key, state] as const;
      });
    return { ...turn, number: i + 1, written };
  });
  return shownTurns.slice(-MAX_TURNS);
}

/** A write in an order took effect unless it returned that its checks failed. */
function tookEffect({ outcome }: Operation): boolean {
  if (outcome.kind !== "answered") return outcome.kind === "unknown";
  const { result } = outcome;
  return result !== null && "revision" in result && !("succeeded" in result && !result.succeeded);
}
