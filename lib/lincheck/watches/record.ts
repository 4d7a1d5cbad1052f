/**
 * The records of watchers and of the users of leases: what each of them received, in the order of receipt.
 *
 * Keys and values are texts with one character for each byte, as in `history.ts`; all times are of the same clock.
 */
import type { History, Outcome } from "../history.ts";
import type { KeySet } from "../transactions/transaction.ts";

/** A key as a watcher saw it. */
export interface WatchedEntry {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** The lease that the key is attached to; null for none. */
  readonly leaseId: number | null;
}

/** One change of one key. `previous` is the key before the change, null if it did not exist. */
export type WatchEvent =
  | {
    readonly kind: "put";
    readonly key: string;
    readonly entry: WatchedEntry;
    readonly previous: WatchedEntry | null | "omitted";
  }
  | {
    readonly kind: "delete";
    readonly key: string;
    readonly modRevision: number;
    readonly previous: WatchedEntry | null | "omitted";
  };

/** Something that a watcher received, and when. */
export type WatchNotice =
  /** All changes of its keys that have this revision. */
  | {
    readonly kind: "events";
    readonly revision: number;
    readonly receivedAt: number;
    readonly events: readonly WatchEvent[];
  }
  /** All of its keys as of this revision, because the changes before it are compacted. */
  | {
    readonly kind: "reset";
    readonly revision: number;
    readonly receivedAt: number;
    readonly entries: readonly (WatchedEntry & { readonly key: string })[];
  }
  /** Everything up to this revision was delivered. */
  | { readonly kind: "progress"; readonly revision: number; readonly receivedAt: number };

/** The kinds of events that a watcher asked for; null for all. */
export type EventFilter = "puts" | "deletes" | null;

/** One watch, from its start to its end. */
export interface WatchRecord {
  /** Number of the watcher; it may start several watches, one after the other. */
  readonly watcher: number;
  /** Number of the watch among those of its watcher, from 1. */
  readonly start: number;
  readonly keys: KeySet;
  /** The first revision that it asked for; null: from the present one on. */
  readonly from: number | null;
  readonly only: EventFilter;
  /** Whether it accepts a reset where the history is compacted. */
  readonly resync: boolean;
  /** When the watch was requested. */
  readonly startedAt: number;
  readonly notices: readonly WatchNotice[];
}

/** One call that concerns a lease. */
export interface LeaseCall {
  readonly kind: "grant" | "keepAlive" | "revoke";
  readonly leaseId: number;
  /** The time to live that was requested. */
  readonly ttlMs: number;
  readonly calledAt: number;
  /** Null while it had not returned when the run ended. */
  readonly returnedAt: number | null;
  /** The result is the time to live that the store confirmed; 0: there is no such lease, or no longer. */
  readonly outcome: Outcome<{ readonly ttlMs: number }>;
}

/** Everything that was recorded in a run with watchers. */
export interface WatchedRun {
  readonly history: History;
  /** A lease id is granted at most once. */
  readonly leases: readonly LeaseCall[];
  readonly watches: readonly WatchRecord[];
  /** Nothing but the operations of the history and the ends of its leases changes keys that begin so. */
  readonly prefix: string;
}

/** Whether a filter lets an event of this kind pass. */
export function passes(only: EventFilter, kind: WatchEvent["kind"]): boolean {
  return only === null || (only === "puts") === (kind === "put");
}

/** Returns the key after an event; null when it does not exist then. */
export function entryAfter(event: WatchEvent): WatchedEntry | null {
  return event.kind === "put" ? event.entry : null;
}
