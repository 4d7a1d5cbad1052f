/**
 * The operations of clients on a store and their answers: the records that a checker checks.
 *
 * Keys and values are texts with one character (code 0 … 255) for each byte, so that they compare in byte order.
 * What a recorder does not know of an answer is null, and null constrains nothing.
 */
import { assertNever } from "../platform/assert.ts";
import type { Branches, BranchesResult } from "./transactions/transaction.ts";

/** The outcome of an operation, as its client learned it. */
export type Outcome<Result> =
  /** The store answered: the operation took effect between its call and its return, with this result. */
  | { readonly kind: "answered"; readonly result: Result }
  /** The client learned for certain that it did not and will not take effect. */
  | { readonly kind: "notApplied" }
  /** Unknown: a write may take effect at any time after its call, or never. */
  | { readonly kind: "unknown" };

/** A key as an answer showed it. */
export interface Entry {
  readonly value: string;
  /** Revision of the write that created the key. */
  readonly createRevision: number | null;
  /** Revision of the write that last changed it. */
  readonly modRevision: number | null;
  /** Writes since its creation, the creating one included. */
  readonly version: number | null;
}

/** An entry under its key, as a listing shows it. */
export interface ListedEntry extends Entry {
  readonly key: string;
}

/** A condition of a transaction. */
export type Check =
  /** The key was last changed at this revision; 0 means that it does not exist. */
  | { readonly kind: "modRevision"; readonly key: string; readonly modRevision: number }
  | { readonly kind: "exists"; readonly key: string; readonly exists: boolean }
  /** The key exists and has exactly this value. */
  | { readonly kind: "value"; readonly key: string; readonly value: string };

/** A change to one key. */
export type Mutation =
  | { readonly kind: "put"; readonly key: string; readonly value: string }
  | { readonly kind: "delete"; readonly key: string };

/** Returns the value of the key after a mutation, or null when the key does not exist then. */
export function valueAfter(mutation: Mutation): string | null {
  switch (mutation.kind) {
    case "put":
      return mutation.value;
    case "delete":
      return null;
    default:
      return assertNever(mutation);
  }
}

/** Which keys a listing covers. */
export interface KeyRange {
  /** Only keys that begin so; empty for all. */
  readonly prefix: string;
  /** First key (included), or null for the beginning. */
  readonly start: string | null;
  /** End (excluded), or null for the end. */
  readonly end: string | null;
  /** Only keys behind this one in the direction of the listing, or null. */
  readonly after: string | null;
  /** From the greatest key down. */
  readonly reverse: boolean;
}

/** Answer to a put. */
export interface PutResult {
  readonly revision: number | null;
}

/** Answer to a delete. */
export interface DeleteResult {
  readonly deleted: boolean;
  readonly revision: number | null;
}

/** Answer to a compare-and-set; `current` is the key after it. */
export interface CompareAndSetResult {
  readonly succeeded: boolean;
  readonly current: Entry | null;
  readonly revision: number | null;
}

/** Answer to a transaction. */
export interface TransactionResult {
  readonly succeeded: boolean;
  /** Positions of the checks that did not hold; empty when it succeeded. */
  readonly failedChecks: readonly number[];
  readonly revision: number | null;
}

/** Answer to a listing. */
export interface ListResult {
  /** In the direction of the listing. */
  readonly entries: readonly ListedEntry[];
  /** Whether the range was said to go on behind the last entry. A page may end before its limit if it says so. */
  readonly more: boolean;
  readonly revision: number | null;
}

/** The client and the times of an operation. Times are of one monotonic clock, in milliseconds. */
export interface Recorded {
  /** The client's number; a client does one thing at a time, except what it has given up. */
  readonly client: number;
  readonly calledAt: number;
  /** When the client stopped waiting; null while it still did when the history ended. */
  readonly returnedAt: number | null;
}

/** One operation of one client. */
export type Operation =
  & Recorded
  & (
    | {
      readonly kind: "get";
      readonly key: string;
      /** Present where the key was read as of this past revision. */
      readonly revision?: number;
      readonly outcome: Outcome<Entry | null>;
    }
    | {
      readonly kind: "put";
      readonly key: string;
      readonly value: string;
      /** Present where the key was attached to this lease, whose end deletes it. */
      readonly leaseId?: number;
      readonly outcome: Outcome<PutResult>;
    }
    | { readonly kind: "delete"; readonly key: string; readonly outcome: Outcome<DeleteResult> }
    | {
      readonly kind: "compareAndSet";
      readonly key: string;
      /** Null: if the key does not exist. */
      readonly expect: string | null;
      readonly value: string;
      readonly outcome: Outcome<CompareAndSetResult>;
    }
    | {
      readonly kind: "transaction";
      readonly checks: readonly Check[];
      /** No key twice. */
      readonly mutations: readonly Mutation[];
      readonly outcome: Outcome<TransactionResult>;
    }
    | {
      readonly kind: "branchingTransaction";
      readonly transaction: Branches;
      readonly outcome: Outcome<BranchesResult>;
    }
    | {
      readonly kind: "list";
      readonly range: KeyRange;
      readonly limit: number;
      /** As for a get. */
      readonly revision?: number;
      readonly outcome: Outcome<ListResult>;
    }
  );

/** All that was recorded; the store was without any of these keys when it began. The order does not matter. */
export type History = readonly Operation[];

/**
 * The time from which on an operation may take effect: its call. A read as of a past revision shows a state that the store
 * may have had at any time before, so that only its return bounds it.
 */
export function earliestEffectOf(operation: Operation): number {
  const isPast = (operation.kind === "get" || operation.kind === "list") && operation.revision !== undefined;
  return isPast ? Number.NEGATIVE_INFINITY : operation.calledAt;
}

/** Returns the greatest number of a client; 0 for a history without operations. */
export function greatestClient(history: History): number {
  return history.reduce((greatest, { client }) => Math.max(greatest, client), 0);
}

/** Whether a key lies in a range. */
export function inRange(key: string, { prefix, start, end, after, reverse }: KeyRange): boolean {
  return key.startsWith(prefix) && (start === null || key >= start) && (end === null || key < end) &&
    (after === null || (reverse ? key < after : key > after));
}
