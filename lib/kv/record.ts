/**
 * The state as a sequence of records: what a snapshot holds and what a state hash is made of.
 *
 * The same log gives the same records in the same order: the header, the keys in byte order, the sessions by id, each
 * followed by its remembered answers by sequence. A record is an array that may grow at its end; a field is never
 * removed or given another meaning.
 */
import type { CommandResult } from "./command.ts";

/** An answer that a session remembers: what a transaction gave. */
export type TransactionResult = Extract<CommandResult, { readonly kind: "applied" | "checksFailed" }>;

/** The store's own numbers. Always the first record, and only there. */
export type HeaderRecord = readonly [
  kind: "header",
  appliedIndex: number,
  revision: number,
  /** Sum of all time that the log says has passed. */
  logTimeMs: number,
  /** A session that is unknown and was stamped with an index below this one may have been forgotten. */
  forgottenIndex: number,
];

/** One key. */
export type KeyRecord = readonly [
  kind: "key",
  key: Uint8Array,
  value: Uint8Array,
  createRevision: number,
  modRevision: number,
  version: number,
];

/** One session. */
export type SessionRecord = readonly [
  kind: "session",
  sessionId: number,
  /** As its stamps say. */
  openedAt: number,
  /** Index of the entry that opened it. */
  openedIndex: number,
  /** Index of the last entry that named it. */
  lastActiveIndex: number,
  /** Log time at that entry. */
  lastActiveMs: number,
  acknowledgedBelow: number,
];

/** One answer of the session with this id, which came before it. */
export type AnswerRecord = readonly [
  kind: "answer",
  sessionId: number,
  sequence: number,
  answer: TransactionResult,
];

/** One piece of the state. */
export type StateRecord = HeaderRecord | KeyRecord | SessionRecord | AnswerRecord;
