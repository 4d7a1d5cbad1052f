/**
 * The sequential specification of one key, step by step: every order of a history is compared with it.
 *
 * An operation is looked at as a {@link Step}: what must hold of its keys before it, what it changes, what must hold
 * after it. The revision of a write is an argument, since it belongs to the whole store and not to a key.
 */
import { assertNever } from "../platform/assert.ts";
import type { Entry, Operation } from "./history.ts";
import type { BranchCondition, Branches, BranchesResult } from "./transactions/transaction.ts";

/**
 * The revision of a write that no answer ever mentioned, as kept in a key's state. It is some number, but none that
 * any operation has seen, so that no comparison with a number holds.
 */
export const UNSEEN_REVISION = -1;

/** A key that exists. Revisions may be {@link UNSEEN_REVISION}. */
export interface KeyState {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Something that must be so of one key at one instant. */
export type Condition =
  /** The key is as an answer showed it; null: it does not exist. */
  | { readonly kind: "entry"; readonly key: string; readonly entry: Entry | null }
  | { readonly kind: "exists"; readonly key: string; readonly exists: boolean }
  /** The key has this value, or (`holds` false) it does not exist or has another one. */
  | { readonly kind: "value"; readonly key: string; readonly value: string; readonly holds: boolean }
  /** The key was last changed at this revision (0: does not exist), or (`holds` false) it was not. */
  | {
    readonly kind: "modRevision";
    readonly key: string;
    readonly modRevision: number;
    readonly holds: boolean;
  }
  /** Never: the answer contradicts itself. `why` ends the sentence "The answer is impossible: …". */
  | { readonly kind: "never"; readonly key: string; readonly why: string };

/** A change of one key by a write: the new value, or null for its removal. */
export interface Change {
  readonly key: string;
  readonly value: string | null;
}

/** A transaction with branches, which is executed on the state before it. */
export interface Program {
  readonly transaction: Branches;
  /** Null where its outcome is unknown. */
  readonly result: BranchesResult | null;
  /** Every key of the history that it may read or change, in byte order; at least one. */
  readonly keys: readonly string[];
  /** Its conditions and those of nested transactions. */
  readonly conditions: readonly BranchCondition[];
  /** The entries that its answer shows, its own ones too. */
  readonly seen: readonly { readonly key: string; readonly entry: Entry }[];
  /** The revisions at which the keys that it put were created, its own too. */
  readonly created: readonly { readonly key: string; readonly revision: number }[];
  /** The puts that it made, or may have made; a null value is not known. */
  readonly mayPut: readonly { readonly key: string; readonly value: string | null }[];
  /** Keys that it may have deleted, where its answer does not say which. */
  readonly mayDelete: readonly string[];
}

/** One operation as the specification sees it, or the part of it that concerns some of its keys. */
export interface Step {
  /** Position of the operation in the history. */
  readonly index: number;
  readonly operation: Operation;
  readonly before: readonly Condition[];
  readonly changes: readonly Change[];
  readonly after: readonly Condition[];
  /** One of these keys exists. Empty: nothing of the kind was said. */
  readonly someExist: readonly string[];
  /** Decides instead of conditions and changes, if it is there; `changes` are then those that the answer shows. */
  readonly program: Program | null;
  /** Whether it takes a revision when it takes effect; its part on some keys may have no changes and still do so. */
  readonly writes: boolean;
  /** The revision that the write made, or at which the answer was given; null where it is not known. */
  readonly revision: number | null;
  /** Its outcome is unknown: it may also never take effect. */
  readonly optional: boolean;
  readonly calledAt: number;
  /** The latest instant at which it may take effect; Infinity for an optional one. */
  readonly returnedAt: number;
}

/** Whether a condition holds of its key. */
export function holds(condition: Condition, state: KeyState | null): boolean {
  switch (condition.kind) {
    case "entry":
      return matches(condition.entry, state);
    case "exists":
      return (state !== null) === condition.exists;
    case "value":
      return (state !== null && state.value === condition.value) === condition.holds;
    case "modRevision":
      return ((state?.modRevision ?? 0) === condition.modRevision) === condition.holds;
    case "never":
      return false;
    default:
      return assertNever(condition);
  }
}

/** The key after a change made at `revision`. */
export function changed({ value }: Change, state: KeyState | null, revision: number): KeyState | null {
  if (value === null) return null;
  return {
    value,
    createRevision: state?.createRevision ?? revision,
    modRevision: revision,
    version: (state?.version ?? 0) + 1,
  };
}

/** Whether an entry that was seen may be this state of its key. */
export function matches(entry: Entry | null, state: KeyState | null): boolean {
  if (entry === null || state === null) return entry === null && state === null;
  return entry.value === state.value && agrees(entry.createRevision, state.createRevision) &&
    agrees(entry.modRevision, state.modRevision) && agrees(entry.version, state.version);
}

/** Whether a number that was seen may be this one; null: it was not recorded. */
export function agrees(seen: number | null, actual: number | null): boolean {
  return seen === null || seen === actual;
}
