/**
 * Transactions with branches, as the checker knows them: their requests, their answers, and what each does to the store.
 *
 * Conditions, those of nested transactions too, are checked on the state before the transaction. Then the operations of
 * the chosen branches are executed in order, and each sees what earlier ones did. All changes have one revision. This is a
 * second implementation, for comparison: it shares no code with `lib/kv`.
 */
import type { Comparison } from "../../kv/branching_command.ts";
import { assert, assertNever } from "../../platform/assert.ts";
import type { ListedEntry } from "../history.ts";
import type { KeyState } from "../model.ts";

/** The keys of a condition or operation; a range ends before `end`, or (null) with the last key. */
export type KeySet =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "range"; readonly start: string; readonly end: string | null };

export type { Comparison };

/** A condition of a branch; a range has to meet it with each of its keys. */
export type BranchCondition =
  | {
    readonly kind: "value";
    readonly keys: KeySet;
    readonly comparison: Comparison;
    readonly value: string;
  }
  | {
    readonly kind: "version" | "createRevision" | "modRevision";
    readonly keys: KeySet;
    readonly comparison: Comparison;
    readonly number: number;
  };

/** One operation of a branch. */
export type BranchOperation =
  /** A null value keeps the value that is there. */
  | {
    readonly kind: "put";
    readonly key: string;
    readonly value: string | null;
    readonly returnPrevious: boolean;
  }
  | { readonly kind: "delete"; readonly keys: KeySet; readonly returnPrevious: boolean }
  | {
    readonly kind: "get";
    readonly keys: KeySet;
    readonly limit: number;
    readonly reverse: boolean;
    /** Reads as of this past revision; null: reads the present, with earlier changes of the transaction. */
    readonly revision: number | null;
  }
  /** On 64-bit numbers of eight bytes, the lowest first. */
  | { readonly kind: "sum" | "min" | "max"; readonly key: string; readonly operand: string }
  | ({ readonly kind: "transaction" } & Branches);

/** Conditions and the operations of both cases. */
export interface Branches {
  readonly conditions: readonly BranchCondition[];
  readonly then: readonly BranchOperation[];
  readonly else: readonly BranchOperation[];
}

/** The answer to one operation. What a recorder does not know of an entry is null. */
export type BranchOutcome =
  /** Of put, sum, min and max; `previous` is omitted unless requested. */
  | {
    readonly kind: "put";
    readonly createRevision: number | null;
    readonly version: number | null;
    readonly previous: ListedEntry | null | "omitted";
  }
  | { readonly kind: "delete"; readonly deleted: number; readonly previous: readonly ListedEntry[] }
  | {
    readonly kind: "get";
    readonly entries: readonly ListedEntry[];
    readonly more: boolean;
    readonly count: number;
  }
  | {
    readonly kind: "transaction";
    readonly succeeded: boolean;
    readonly outcomes: readonly BranchOutcome[];
  };

/** Why a transaction changed nothing: an operation that could not be executed. */
export type BranchFailure = "notANumber" | "keyNotFound" | "compacted" | "futureRevision";

/** Answer to a transaction with branches. */
export type BranchesResult =
  | {
    readonly kind: "executed";
    readonly succeeded: boolean;
    readonly outcomes: readonly BranchOutcome[];
    readonly revision: number | null;
  }
  | {
    readonly kind: "failed";
    readonly reason: BranchFailure;
    /** Of the operation, `else` after `then`; before it the positions of the transactions that contain it. */
    readonly position: readonly number[];
    readonly revision: number | null;
  };

/** A change that a transaction made: the key as it is afterwards, or null. */
export interface StateChange {
  readonly key: string;
  readonly state: KeyState | null;
}

/** The effect of a transaction in one state of the store. */
export type Execution =
  | {
    readonly kind: "executed";
    readonly succeeded: boolean;
    readonly outcomes: readonly BranchOutcome[];
    /** In the order of execution; a key may be there several times. */
    readonly changes: readonly StateChange[];
  }
  | Failed;

/** A transaction that cannot be executed. */
interface Failed {
  readonly kind: "failed";
  readonly reason: BranchFailure;
  readonly position: readonly number[];
}

/** The state that a transaction is executed on. */
export interface StoreState {
  /** Every key that may exist, in byte order. */
  readonly keys: readonly string[];
  readonly get: (key: string) => KeyState | null;
  /** Returns the state as of a past revision; absent where transactions read none. */
  readonly at?: (revision: number) => StoreState | "compacted" | "futureRevision";
}

/** Whether a set of keys has this one. */
export function hasKey(keys: KeySet, key: string): boolean {
  switch (keys.kind) {
    case "key":
      return keys.key === key;
    case "range":
      return key >= keys.start && (keys.end === null || key < keys.end);
    default:
      return assertNever(keys);
  }
}

/** Executes a transaction, whose changes get this revision. */
export function execute(transaction: Branches, before: StoreState, revision: number): Execution {
  const pending = new Map<string, KeyState | null>();
  const changes: StateChange[] = [];
  const run: Run = {
    before,
    revision,
    get keys(): readonly string[] {
      return [...new Set([...before.keys, ...pending.keys()])].sort();
    },
    get: (key) => pending.has(key) ? pending.get(key) ?? null : before.get(key),
    set: (key, state) => {
      pending.set(key, state);
      changes.push({ key, state });
    },
  };
  const result = runBranches(transaction, run);
  if (result.kind === "failed") return result;
  return { kind: "executed", succeeded: result.succeeded, outcomes: result.outcomes, changes };
}

/** A transaction that is being executed. */
interface Run extends Pick<StoreState, "keys" | "get"> {
  readonly before: StoreState;
  readonly revision: number;
  readonly set: (key: string, state: KeyState | null) => void;
}

type BranchesOutcome = Extract<BranchOutcome, { readonly kind: "transaction" }>;

function runBranches(branches: Branches, run: Run): BranchesOutcome | Failed {
  const succeeded = branches.conditions.every((condition) => isMet(condition, run.before));
  const outcomes: BranchOutcome[] = [];
  const first = succeeded ? 0 : branches.then.length;
  for (const [position, operation] of (succeeded ? branches.then : branches.else).entries()) {
    const outcome = operation.kind === "transaction"
      ? runBranches(operation, run)
      : runOperation(operation, run);
    if (typeof outcome === "string") {
      return { kind: "failed", reason: outcome, position: [first + position] };
    }
    if (outcome.kind === "failed") return { ...outcome, position: [first + position, ...outcome.position] };
    outcomes.push(outcome);
  }
  return { kind: "transaction", succeeded, outcomes };
}

function isMet(condition: BranchCondition, state: StoreState): boolean {
  const states: (KeyState | null)[] = presentKeys(condition.keys, state).map(state.get);
  return (states.length === 0 ? [null] : states).every((state) => isMetBy(condition, state));
}

function isMetBy(condition: BranchCondition, state: KeyState | null): boolean {
  if (condition.kind === "value") {
    return state !== null && compares(condition.comparison, state.value, condition.value);
  }
  return compares(condition.comparison, state?.[condition.kind] ?? 0, condition.number);
}

function compares<T extends string | number>(comparison: Comparison, actual: T, other: T): boolean {
  switch (comparison) {
    case "equal":
      return actual === other;
    case "notEqual":
      return actual !== other;
    case "less":
      return actual < other;
    case "greater":
      return actual > other;
    default:
      return assertNever(comparison);
  }
}

/** Returns the keys of a set that exist, in byte order. */
function presentKeys(set: KeySet, { keys, get }: Pick<StoreState, "keys" | "get">): readonly string[] {
  const named = set.kind === "key" ? [set.key] : keys.filter((key) => hasKey(set, key));
  return named.filter((key) => get(key) !== null);
}

function runOperation(
  operation: Exclude<BranchOperation, { readonly kind: "transaction" }>,
  run: Run,
): BranchOutcome | BranchFailure {
  switch (operation.kind) {
    case "put": {
      const before = run.get(operation.key);
      const value = operation.value ?? before?.value ?? null;
      if (value === null) return "keyNotFound";
      return put(operation.key, { value, returnPrevious: operation.returnPrevious, run });
    }
    case "delete": {
      const present = presentKeys(operation.keys, run);
      const previous = operation.returnPrevious ? entriesOf(present, run) : [];
      for (const key of present) run.set(key, null);
      return { kind: "delete", deleted: present.length, previous };
    }
    case "get": {
      const state = operation.revision === null ? run : run.before.at?.(operation.revision);
      assert(state !== undefined, "a transaction that reads the past has one");
      if (typeof state === "string") return state;
      const present = presentKeys(operation.keys, state);
      const inOrder = operation.reverse ? present.toReversed() : present;
      const entries = entriesOf(inOrder.slice(0, operation.limit), state);
      return { kind: "get", entries, more: present.length > entries.length, count: present.length };
    }
    case "sum":
    case "min":
    case "max": {
      const before = run.get(operation.key);
      const operand = numberOfText(operation.operand);
      const number = before === null ? operand : numberOfText(before.value);
      if (number === null || operand === null) return "notANumber";
      const value = before === null
        ? operation.operand
        : textOfNumber(combined(operation.kind, number, operand));
      return put(operation.key, { value, returnPrevious: false, run });
    }
    default:
      return assertNever(operation);
  }
}

function put(
  key: string,
  { value, returnPrevious, run }: {
    readonly value: string;
    readonly returnPrevious: boolean;
    readonly run: Run;
  },
): BranchOutcome {
  const before = run.get(key);
  const createRevision = before?.createRevision ?? run.revision;
  const version = (before?.version ?? 0) + 1;
  const previous = !returnPrevious ? "omitted" : before === null ? null : { key, ...before };
  run.set(key, { value, createRevision, modRevision: run.revision, version });
  return { kind: "put", createRevision, version, previous };
}

function entriesOf(
  keys: readonly string[],
  { get }: Pick<StoreState, "get">,
): readonly ListedEntry[] {
  return keys.flatMap((key) => {
    const state = get(key);
    return state === null ? [] : [{ key, ...state }];
  });
}

function combined(kind: "sum" | "min" | "max", one: bigint, other: bigint): bigint {
  switch (kind) {
    case "sum":
      return one + other;
    case "min":
      return one < other ? one : other;
    case "max":
      return one > other ? one : other;
    default:
      return assertNever(kind);
  }
}

const NUMBER_BYTES = 8;
const BITS_OF_BYTE = 8n;

/** Returns the number of a text of eight bytes, the lowest first; null for another text. */
export function numberOfText(text: string): bigint | null {
  if (text.length !== NUMBER_BYTES) return null;
  return [...text].reduceRight((number, byte) => (number << BITS_OF_BYTE) + BigInt(byte.charCodeAt(0)), 0n);
}

/** Returns a number, modulo 2^64, as the text of its bytes. */
export function textOfNumber(number: bigint): string {
  return Array.from(
    { length: NUMBER_BYTES },
    (_, position) => String.fromCharCode(Number((number >> (BITS_OF_BYTE * BigInt(position))) & 0xffn)),
  ).join("");
}
