/**
 * What may be asked of the store, and what it answers.
 *
 * There is one kind of write, the transaction: checks and mutations, applied whole or not at all. Put, delete and
 * compare-and-set are its short forms. Each of these types is written to logs and snapshots as an array that may
 * grow at its end; a field is never removed or given another meaning.
 */

/** Bytes of a key: 1 up to this many. */
export const MAX_KEY_BYTES = 4_096;
/** Bytes of a value: 0 up to this many unless configured lower. */
export const MAX_VALUE_BYTES = 1_048_576;
/** Checks plus mutations in one transaction. */
export const MAX_TRANSACTION_OPERATIONS = 128;
/**
 * How far a session's writes may run ahead of what it has acknowledged: `sequence − acknowledgedBelow` stays below
 * this. It bounds the answers that the store remembers for one session, and it is a rule of the log: every node must
 * judge by the same number.
 */
export const MAX_SESSION_WINDOW = 4_096;
/** Most that one {@link ExpireSessions} may add to the store's clock; a leader that slept longer gives no more. */
export const MAX_ELAPSED_MS = 60_000;
/** Where the store's clock ends, in milliseconds: time that would pass it is refused. Honest leaders need 142,000 years. */
export const MAX_LOG_TIME_MS = 2 ** 52;
/** Bytes of one encoded command: what every log record, frame and snapshot chunk must be able to hold. */
export const MAX_COMMAND_BYTES = 8_388_608;
/** Entries that one page of a listing may have. */
export const MAX_LIST_ENTRIES = 10_000;
/** Bytes of keys and values after which a page of a listing ends (it holds at least one entry). */
export const LIST_PAGE_BYTES = 4_194_304;

/** A condition that must hold before a transaction applies. */
export type Check =
  /** The key was last changed at this revision; 0 means that it does not exist. */
  | { readonly kind: "modRevision"; readonly key: Uint8Array; readonly modRevision: number }
  /** The key exists, or does not. */
  | { readonly kind: "exists"; readonly key: Uint8Array; readonly exists: boolean }
  /** The key exists and has exactly this value. */
  | { readonly kind: "value"; readonly key: Uint8Array; readonly value: Uint8Array };

/** A change to one key. */
export type Mutation =
  | { readonly kind: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: Uint8Array };

/**
 * Makes a write exactly-once (thesis §6.3).
 *
 * `sessionId` is a random integer below 2^53 chosen by the client, `openedAt` the log index that a node told it in
 * its hello. A session that the store does not know is opened by its first command, which costs no extra round trip.
 * That is safe because the store remembers `forgottenIndex`, the newest index at which any session that it has
 * dropped was opened: a stamp with `openedAt` below it might belong to one of those and is refused.
 */
export interface SessionStamp {
  /** Chosen at random by the client; 1 … 2^53 − 1. */
  readonly sessionId: number;
  /** 1 for the session's first write, then counting up; a retry carries the number of the first attempt. */
  readonly sequence: number;
  /** The client has seen the answers of all its writes below this number; the store may forget them. */
  readonly acknowledgedBelow: number;
  /** Log index applied at the node that the client was connected to when it chose the session. */
  readonly openedAt: number;
}

/** All or nothing: when every check holds, every mutation is made, in one revision. */
export interface Transaction {
  /** Which command this is. */
  readonly kind: "transaction";
  /** Null for a write that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
  /** Conditions; none for a plain write. A key may appear in several. */
  readonly checks: readonly Check[];
  /** At least one; no key twice. */
  readonly mutations: readonly Mutation[];
  /** Present where the answer to failed checks is to include how the key of the first one stands. */
  readonly returnCurrent?: true;
}

/** Opens a session, or keeps an open one from expiring. */
export interface RegisterSession {
  /** Which command this is. */
  readonly kind: "registerSession";
  /** As in {@link SessionStamp}. */
  readonly sessionId: number;
  /** As in {@link SessionStamp}. */
  readonly openedAt: number;
}

/** The leader's word that time has passed: the only clock the store knows. */
export interface ExpireSessions {
  /** Which command this is. */
  readonly kind: "expireSessions";
  /**
   * Whole milliseconds that passed on the leader's monotonic clock since the last such entry, its own or one that it
   * applied; 0 … MAX_ELAPSED_MS.
   */
  readonly elapsedMs: number;
}

/** The data of a log entry of kind `command`. */
export type Command = Transaction | RegisterSession | ExpireSessions;

/** A key with its value and its three numbers, as of one revision. */
export interface KeyValue {
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

/** What one mutation did. */
export type MutationOutcome =
  | { readonly kind: "put"; readonly createRevision: number; readonly version: number }
  | { readonly kind: "delete"; readonly deleted: boolean };

/** Why the store did not look at a command. Nothing was changed by *this* entry; an earlier attempt may have been. */
export type RefusalReason =
  /** The session is unknown and may have been forgotten: whether an earlier attempt applied can't be told. */
  | "sessionExpired"
  /** The client had already acknowledged the answer to this sequence number. */
  | "answerForgotten"
  /** The entry's bytes are no command that this version knows. */
  | "invalidCommand";

/** What applying one command gave. */
export type CommandResult =
  /** The checks held and the mutations are in the store at `revision`. */
  | { readonly kind: "applied"; readonly revision: number; readonly outcomes: readonly MutationOutcome[] }
  /**
   * Nothing changed. `failedChecks` are positions; `current` is the key of the first failed one as it stands, or null
   * if it does not exist. It is omitted unless the transaction asked for it, in the answer to a retry, since sessions
   * remember no values, and where the client does not read its answers as fast as they come.
   */
  | {
    readonly kind: "checksFailed";
    readonly revision: number;
    readonly failedChecks: readonly number[];
    readonly current: KeyValue | null | "omitted";
  }
  | { readonly kind: "sessionRegistered" }
  | { readonly kind: "sessionsExpired"; readonly expired: number }
  | { readonly kind: "refused"; readonly reason: RefusalReason };

/** Which keys a listing covers, in unsigned byte order. */
export interface ListQuery {
  /** Only keys that begin so; empty for all. */
  readonly prefix: Uint8Array;
  /** First key of the range (included), or null for the beginning. */
  readonly start: Uint8Array | null;
  /** End of the range (excluded), or null for the end. */
  readonly end: Uint8Array | null;
  /** Continue behind this key in the direction of the listing, or null. */
  readonly after: Uint8Array | null;
  /** From the greatest key down. */
  readonly reverse: boolean;
  /** 1 … MAX_LIST_ENTRIES. */
  readonly limit: number;
}

/** One page of a listing, all of one revision. */
export interface ListPage {
  /** In the direction of the listing. */
  readonly entries: readonly KeyValue[];
  /** Whether the range goes on behind the last entry. */
  readonly more: boolean;
  /** The store's revision when the page was made. */
  readonly revision: number;
}
