/**
 * The commands and queries of the store, their results, and their limits.
 *
 * There is one kind of write, the transaction, which is applied atomically. Its full form is in branching_command.ts:
 * conditions, and operations for both cases. The short form, {@link Transaction}, has checks and mutations; put, delete
 * and compare-and-set are written with it. Each of these types is written to logs and snapshots as an array that may be
 * extended at its end; a field is never removed or given another meaning.
 *
 * A new kind of mutation is added here ({@link Mutation}, {@link MutationOutcome}, {@link writtenValue}), in `store.ts`,
 * and in the codec, the client and the checker, where the compiler reports each place.
 */
import { assertNever } from "../platform/assert.ts";
import type { AuthorizedCommand, AuthResult, ChangeAuth } from "./auth/auth_command.ts";
import type { BranchingTransaction, OperationOutcome, TransactionFailure } from "./branching_command.ts";
import type { DatabaseCommand, DatabaseResult } from "./databases/database_command.ts";
import type { LeaseCommand, LeaseResult } from "./leases/lease_command.ts";

/** Bytes of a key: 1 up to this many. */
export const MAX_KEY_BYTES = 4_096;
/** Bytes of a value: 0 up to this many unless configured lower. */
export const MAX_VALUE_BYTES = 1_048_576;
/** Checks plus mutations in one transaction of the short form. */
export const MAX_TRANSACTION_OPERATIONS = 128;
/**
 * Bound on `sequence − acknowledgedBelow` of a session's writes. It bounds the answers that the store remembers for one
 * session. All replicas must use the same number, since it decides what applying an entry does.
 */
export const MAX_SESSION_WINDOW = 4_096;
/** Most that one {@link ExpireSessions} may add to the store's clock; a leader that was suspended longer adds no more. */
export const MAX_ELAPSED_MS = 60_000;
/** Maximum of the store's clock, in milliseconds; time beyond it is refused. Correct leaders reach it after 142,000 years. */
export const MAX_LOG_TIME_MS = 2 ** 52;
/** Bytes of one encoded command; every log record, frame and snapshot chunk must have space for so many. */
export const MAX_COMMAND_BYTES = 8_388_608;
/** Entries that one page of a listing may have. */
export const MAX_LIST_ENTRIES = 10_000;
/** Bytes of keys and values after which a page of a listing or of a key's history ends (it holds at least one entry). */
export const LIST_PAGE_BYTES = 4_194_304;
/**
 * Versions that a listing at a past revision looks at for one page, about 5 ms of work: the page ends then, even without
 * an entry.
 */
export const LIST_PAGE_VERSIONS = 65_536;

/** A condition that must hold before a transaction applies. */
export type Check =
  /** The key was last changed at this revision; 0 means that it does not exist. */
  | { readonly kind: "modRevision"; readonly key: Uint8Array; readonly modRevision: number }
  /** The key exists, or does not. */
  | { readonly kind: "exists"; readonly key: Uint8Array; readonly exists: boolean }
  /** The key exists and has exactly this value. */
  | { readonly kind: "value"; readonly key: Uint8Array; readonly value: Uint8Array };

/** A change of one key. A plain put detaches the key from its lease, and it does not expire any more. */
export type Mutation =
  | { readonly kind: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: Uint8Array }
  /** From feature level 2 on: a put that attaches the key to a lease, or has it expire, or both. */
  | {
    readonly kind: "expiringPut";
    readonly key: Uint8Array;
    readonly value: Uint8Array;
    /** Not null unless `expiresAtMs` is. */
    readonly leaseId: number | null;
    /** As in {@link Attachment}. */
    readonly expiresAtMs: number | null;
  };

/** Returns the value that a mutation stores under its key, or null when it removes the key. All byte limits use it. */
export function writtenValue(mutation: Mutation): Uint8Array | null {
  switch (mutation.kind) {
    case "put":
    case "expiringPut":
      return mutation.value;
    case "delete":
      return null;
    default:
      return assertNever(mutation);
  }
}

/**
 * Makes a write exactly-once (thesis §6.3).
 *
 * `sessionId` is a random integer below 2^53 chosen by the client, `openedAt` the log index in a node's welcome. A session
 * that the store does not know is opened by its first command, without an extra round trip. That is safe because the store
 * remembers `forgottenIndex`, the newest index at which any session that it has dropped was opened: a stamp with
 * `openedAt` below it might belong to one of those and is refused.
 */
export interface SessionStamp {
  /** Chosen at random by the client; 1 … 2^53 − 1. */
  readonly sessionId: number;
  /** 1 for the session's first write, then counting up; a retry has the number of the first attempt. */
  readonly sequence: number;
  /** The client has the answers of all its writes below this number; the store may forget them. */
  readonly acknowledgedBelow: number;
  /** Log index applied at the node that the client was connected to when it chose the session. */
  readonly openedAt: number;
}

/** Checks and mutations: when every check holds, every mutation is applied, in one revision. */
export interface Transaction {
  /** Discriminates the command. */
  readonly kind: "transaction";
  /** Null for a write that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
  /** Conditions; none for a plain write. A key may appear in several. */
  readonly checks: readonly Check[];
  /** At least one; no key twice. */
  readonly mutations: readonly Mutation[];
  /** Present if the answer to failed checks should include the current state of the first failed check's key. */
  readonly returnCurrent?: true;
}

/** Opens a session, or keeps an open one from expiring. */
export interface RegisterSession {
  /** Discriminates the command. */
  readonly kind: "registerSession";
  /** As in {@link SessionStamp}. */
  readonly sessionId: number;
  /** As in {@link SessionStamp}. */
  readonly openedAt: number;
}

/** Advances the store's clock, its only source of time, expires sessions and ends leases. Proposed by the leader. */
export interface ExpireSessions {
  /** Discriminates the command. */
  readonly kind: "expireSessions";
  /**
   * Whole milliseconds on the leader's monotonic clock since the last such entry that it proposed or applied;
   * 0 … MAX_ELAPSED_MS.
   */
  readonly elapsedMs: number;
}

/**
 * Raises the feature level of the state (feature_level.ts). Proposed by the leader once every member knows the level; a
 * level that is not above the present one changes nothing.
 */
export interface RaiseFeatureLevel {
  /** Discriminates the command. */
  readonly kind: "raiseFeatureLevel";
  /** The level from the next entry on. */
  readonly level: number;
}

/**
 * Drops the history below a revision, from feature level 2 on. Proposed by clients, and by the leader when the history
 * exceeds its bounds. It has no session: applying it again changes nothing.
 */
export interface Compact {
  /** Discriminates the command. */
  readonly kind: "compact";
  /**
   * Reads are possible as of this revision and later ones. One that is not above the compacted revision changes nothing,
   * one above the present revision is refused.
   */
  readonly revision: number;
}

/** A command without the identity of a user: one of a client, or of the leader itself. */
export type PlainCommand =
  | Transaction
  | BranchingTransaction
  | RegisterSession
  | ExpireSessions
  | RaiseFeatureLevel
  | Compact
  | LeaseCommand
  | ChangeAuth
  | DatabaseCommand;

/** A command with a session, which is executed once. */
export type SessionWrite = Extract<PlainCommand, { readonly session: SessionStamp | null }>;

/** The data of a log entry of kind `command`. */
export type Command = PlainCommand | AuthorizedCommand;

/** Returns the command without the identity of its user. */
export function unwrapped(command: Command): PlainCommand {
  return command.kind === "authorized" ? command.command : command;
}

/** The lease and the time that end a key by themselves; without either it lives until it is deleted. */
export interface Attachment {
  /** The lease with which the key is deleted; 1 … 2^53 − 1. */
  readonly leaseId?: number;
  /** Wall-clock time from which on the leader deletes the key, in milliseconds since 1970; 1 … 2^53 − 1. */
  readonly expiresAtMs?: number;
}

/** Returns an attachment; 0 stands for none. */
export function attachmentOf(leaseId: number, expiresAtMs: number): Attachment {
  if (expiresAtMs === 0) return leaseId === 0 ? {} : { leaseId };
  return leaseId === 0 ? { expiresAtMs } : { leaseId, expiresAtMs };
}

/** A key with its value and its version numbers, as of one revision. */
export interface KeyValue extends Attachment {
  /** 1 … MAX_KEY_BYTES bytes. */
  readonly key: Uint8Array;
  /** 0 … MAX_VALUE_BYTES bytes. */
  readonly value: Uint8Array;
  /** Revision of the write that created the key (since it was last absent). */
  readonly createRevision: number;
  /** Revision of the write that last changed it. */
  readonly modRevision: number;
  /** Writes since creation, the creating one included. */
  readonly version: number;
}

/** The result of one mutation. */
export type MutationOutcome =
  | { readonly kind: "put"; readonly createRevision: number; readonly version: number }
  | { readonly kind: "delete"; readonly deleted: boolean };

/** Reason for which the store refuses a command. *This* entry changed nothing; an earlier attempt may have. */
export type RefusalReason =
  /** The session is unknown and may have been forgotten: whether an earlier attempt was applied is unknown. */
  | "sessionExpired"
  /** The client had already acknowledged the answer to this sequence number. */
  | "answerForgotten"
  /** The revision to compact at is above the present one. */
  | "futureRevision"
  /** Authentication is enabled, and the command names no user, or one that was removed, or an old credential. */
  | "unauthenticated"
  /** The user does not have the rights that the command needs. */
  | "permissionDenied"
  /** The database of the write does not exist. */
  | "databaseNotFound"
  /** The entry's bytes are not a command of this version. */
  | "invalidCommand";

/** The result of applying one command. */
export type CommandResult =
  /**
   * The checks held and the mutations are in the store at `revision`. Where they changed nothing (deletes of absent keys),
   * that is the revision of the last change; at feature level 1 it is a revision of their own.
   */
  | { readonly kind: "applied"; readonly revision: number; readonly outcomes: readonly MutationOutcome[] }
  /**
   * Nothing changed. `failedChecks` are positions; `current` is the current state of the first failed check's key, or null
   * if it does not exist. It is omitted unless the transaction requested it, in the answer to a retry, since sessions
   * remember no values, and where the client reads its answers too slowly.
   */
  | {
    readonly kind: "checksFailed";
    readonly revision: number;
    readonly failedChecks: readonly number[];
    readonly current: KeyValue | null | "omitted";
  }
  /**
   * A branch of a {@link BranchingTransaction} was executed: `then` if `succeeded`, else `else`. `revision` is that of the
   * last change, its own if it changed something. The outcomes are omitted in the answer to a retry where they have more
   * than MAX_REMEMBERED_BYTES of entries, and where the client reads its answers too slowly.
   */
  | {
    readonly kind: "executed";
    readonly revision: number;
    readonly succeeded: boolean;
    readonly outcomes: readonly OperationOutcome[] | "omitted";
  }
  /** An operation of a {@link BranchingTransaction} could not be executed: nothing changed. */
  | {
    readonly kind: "transactionFailed";
    readonly revision: number;
    readonly reason: TransactionFailure;
    /**
     * The position of the operation in its transaction, counting those of `then` before those of `else`; before it the
     * positions of the transactions that contain it, outermost first. For a condition those of its transaction alone.
     */
    readonly position: readonly number[];
  }
  | { readonly kind: "sessionRegistered" }
  /** `endedLeases`: leases that were over, whose keys were deleted. */
  | { readonly kind: "sessionsExpired"; readonly expired: number; readonly endedLeases: number }
  /** The level after the entry. */
  | { readonly kind: "featureLevelRaised"; readonly level: number }
  /** The compacted revision after the entry and before it, and the present revision. */
  | {
    readonly kind: "compacted";
    readonly revision: number;
    readonly before: number;
    readonly present: number;
  }
  | { readonly kind: "refused"; readonly reason: RefusalReason }
  | LeaseResult
  | AuthResult
  | DatabaseResult;

/** The range of a listing, in unsigned byte order. */
export interface ListQuery {
  /** Only keys with this prefix; empty for all. */
  readonly prefix: Uint8Array;
  /** First key of the range (included), or null for the beginning. */
  readonly start: Uint8Array | null;
  /** End of the range (excluded), or null for the end. */
  readonly end: Uint8Array | null;
  /** Continue after this key in the direction of the listing, or null. */
  readonly after: Uint8Array | null;
  /** In descending order. */
  readonly reverse: boolean;
  /** 1 … MAX_LIST_ENTRIES. */
  readonly limit: number;
}

/** One page of a listing, as of one revision. */
export interface ListPage {
  /** In the direction of the listing. */
  readonly entries: readonly KeyValue[];
  /** Whether the range may have entries after those of the page. */
  readonly more: boolean;
  /** The revision as of which the page was read. */
  readonly revision: number;
  /** Where the next page continues, if that is not after the last entry: {@link LIST_PAGE_VERSIONS} ended the page. */
  readonly after: Uint8Array | null;
}

/** The result of a read that may be of the past. */
export interface Past<T> {
  readonly result: T;
  /** Number of versions that were read for it: a measure of its time. */
  readonly looked: number;
}

/** The part of a key's history that is read. */
export interface HistoryQuery {
  /** 1 … MAX_KEY_BYTES bytes. */
  readonly key: Uint8Array;
  /** 1 … MAX_LIST_ENTRIES. */
  readonly limit: number;
  /** Only versions of revisions below this one; null for all. */
  readonly before: number | null;
}

/** A version of a key: what one put or delete wrote. */
export interface KeyVersion extends Attachment {
  /** Revision of the write that created the key; 0 for a deletion. */
  readonly createRevision: number;
  /** Revision of this version. */
  readonly modRevision: number;
  /** Puts since the key's creation; 0 for a deletion. */
  readonly version: number;
  /** Null for a deletion. */
  readonly value: Uint8Array | null;
}

/** One page of the history of a key. */
export interface HistoryPage {
  /**
   * The newest first. The oldest one may be of a revision below the compacted one: it is the one that reads at the
   * compacted revision return. The versions of one revision are in one page, which may exceed the limit by them.
   */
  readonly versions: readonly KeyVersion[];
  /** Whether the history has versions of lower revisions. */
  readonly more: boolean;
  /** The history is kept from this revision on. */
  readonly compactedRevision: number;
  /** The present revision. */
  readonly revision: number;
}
