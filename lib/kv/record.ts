/**
 * The state as a sequence of records, the content of snapshots and the input of state hashes.
 *
 * Equal logs give equal records in the same order: the header, the roles and users, the leases by id, the keys in byte order, the history (deleted keys in byte
 * order, then superseded versions in the order of the changes that superseded them), the sessions by id, each followed
 * by its remembered answers by sequence. A record is an array that may be extended at its end; a field is never removed or
 * given another meaning.
 */
import type { CommandResult } from "./command.ts";
import type { AuthRecord } from "./auth/auth_records.ts";
import type { AuthResult } from "./auth/auth_command.ts";
import type { DatabaseResult } from "./databases/database_command.ts";
import type { LeaseWriteResult } from "./leases/lease_command.ts";

/** The result of a transaction. */
export type TransactionResult = Extract<
  CommandResult,
  { readonly kind: "applied" | "checksFailed" | "executed" | "transactionFailed" }
>;

/** The result of a command with a session, which remembers it as the answer. */
export type WriteResult = TransactionResult | LeaseWriteResult | AuthResult | DatabaseResult;

/** The store's own numbers. It is the first record and occurs once. */
export type HeaderRecord = readonly [
  kind: "header",
  appliedIndex: number,
  revision: number,
  /** The store's clock. */
  logTimeMs: number,
  /** An unknown session whose `openedAt` is below this index may have been forgotten. */
  forgottenIndex: number,
  /** The feature level, from 2 on; at level 1 the record ends before it, as version 0.1.0 writes it. */
  featureLevel?: number,
  /** The revision up to which there is no history; with the feature level. */
  compactedRevision?: number,
];

/** One lease, from feature level 2 on. */
export type LeaseRecord = readonly [
  kind: "lease",
  leaseId: number,
  ttlMs: number,
  /** The time of the log at which it is over. */
  deadlineMs: number,
  /** The user who has granted it; without one the record ends before it. */
  ownerId?: number,
];

/** One key. Zeros at its end, from the order on, are not written. */
export type KeyRecord = readonly [
  kind: "key",
  key: Uint8Array,
  value: Uint8Array,
  createRevision: number,
  modRevision: number,
  version: number,
  /** How many changes of its revision came before it, where the history has the change; else 0. */
  order?: number,
  /** The lease to which it is attached, or 0. */
  leaseId?: number,
  /** The time at which it expires, or 0. */
  expiresAtMs?: number,
];

/** A key that was deleted, while the history has the deletion. */
export type TombstoneRecord = readonly [
  kind: "tombstone",
  key: Uint8Array,
  modRevision: number,
  order: number,
];

/** A version that the history has, and that another one superseded. Zeros after `successorOrder` are not written. */
export type VersionRecord = readonly [
  kind: "version",
  key: Uint8Array,
  /** Null for a deletion. */
  value: Uint8Array | null,
  createRevision: number,
  modRevision: number,
  version: number,
  order: number,
  /** Revision of the version that superseded it, and its order there. */
  successorRevision: number,
  successorOrder: number,
  /** As in KeyRecord; a deletion has none. */
  leaseId?: number,
  expiresAtMs?: number,
];

/** One session. */
export type SessionRecord = readonly [
  kind: "session",
  sessionId: number,
  /** `openedAt` of its stamps. */
  openedAt: number,
  /** Index of the entry that opened it. */
  openedIndex: number,
  /** Index of the last entry of this session. */
  lastActiveIndex: number,
  /** Log time at that entry. */
  lastActiveMs: number,
  acknowledgedBelow: number,
  /** The user whose session it is; without one the record ends before it. */
  userId?: number,
];

/** One answer of the session with this id, whose record precedes it. */
export type AnswerRecord = readonly [
  kind: "answer",
  sessionId: number,
  sequence: number,
  answer: WriteResult,
];

/** One record of the state. */
export type StateRecord =
  | HeaderRecord
  | AuthRecord
  | LeaseRecord
  | KeyRecord
  | TombstoneRecord
  | VersionRecord
  | SessionRecord
  | AnswerRecord;
