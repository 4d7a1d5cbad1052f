/** The records of the naive state machine. */
import type { Attachment, KeyValue } from "../../../lib/kv/command.ts";
import type { LeaseState } from "../../../lib/kv/leases/lease_command.ts";
import type { StateRecord, WriteResult } from "../../../lib/kv/record.ts";
import { compareBytes } from "./naive_bytes.ts";

/** A session. */
export interface NaiveSession {
  readonly sessionId: number;
  readonly openedAt: number;
  readonly openedIndex: number;
  lastActiveIndex: number;
  lastActiveMs: number;
  acknowledgedBelow: number;
  answers: { readonly sequence: number; readonly answer: WriteResult }[];
}

/** A put or an effective delete. */
export interface NaiveChange extends Attachment {
  readonly key: Uint8Array;
  /** Null for a deletion. */
  readonly value: Uint8Array | null;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Changes of its revision before it. */
  readonly order: number;
}

/** A whole state. */
export interface NaiveState {
  /** Applied index, revision, log time, forgotten index. */
  readonly numbers: readonly [number, number, number, number];
  readonly featureLevel: number;
  readonly compactedRevision: number;
  readonly leases: readonly LeaseState[];
  readonly keys: readonly KeyValue[];
  readonly changes: readonly NaiveChange[];
  readonly sessions: readonly NaiveSession[];
}

/** The records of a state in canonical order. */
export function naiveRecords(state: NaiveState): readonly StateRecord[] {
  return [
    headerOf(state),
    ...state.leases.map((lease): StateRecord => ["lease", lease.leaseId, lease.ttlMs, lease.deadlineMs]),
    ...state.keys.map((entry) => keyRecord(entry, state)),
    ...history(state),
    ...state.sessions.toSorted((a, b) => a.sessionId - b.sessionId).flatMap((s): readonly StateRecord[] => [
      [
        "session",
        s.sessionId,
        s.openedAt,
        s.openedIndex,
        s.lastActiveIndex,
        s.lastActiveMs,
        s.acknowledgedBelow,
      ],
      ...s.answers.toSorted((a, b) => a.sequence - b.sequence).map((a): StateRecord => [
        "answer",
        s.sessionId,
        a.sequence,
        a.answer,
      ]),
    ]),
  ];
}

function headerOf({ numbers, featureLevel, compactedRevision }: NaiveState): StateRecord {
  const header = ["header", ...numbers] as const;
  return featureLevel === 1 ? header : [...header, featureLevel, compactedRevision];
}

/** The position of a change in its revision, where the history has it. */
function orderOf(change: NaiveChange, { featureLevel, compactedRevision }: NaiveState): number {
  return featureLevel > 1 && change.modRevision > compactedRevision ? change.order : 0;
}

function keyRecord(
  { key, value, createRevision, modRevision, version, leaseId = 0, expiresAtMs = 0 }: KeyValue,
  state: NaiveState,
): StateRecord {
  const change = state.changes.findLast((other) => compareBytes(other.key, key) === 0);
  const order = change === undefined ? 0 : orderOf(change, state);
  const record = ["key", key, value, createRevision, modRevision, version] as const;
  if (expiresAtMs !== 0) return [...record, order, leaseId, expiresAtMs];
  if (leaseId !== 0) return [...record, order, leaseId];
  return order === 0 ? record : [...record, order];
}

/** The last deletions of absent keys, then what was superseded in the order of what superseded it. */
function history(state: NaiveState): readonly StateRecord[] {
  const { featureLevel, compactedRevision, changes } = state;
  if (featureLevel === 1) return [];
  const isKept = ({ modRevision }: NaiveChange): boolean => modRevision > compactedRevision;
  const nextOf = (change: NaiveChange, position: number): NaiveChange | undefined =>
    changes.slice(position + 1).find(({ key }) => compareBytes(key, change.key) === 0);
  const tombstones = changes
    .filter((change, position) =>
      change.value === null && isKept(change) && nextOf(change, position) === undefined
    )
    .toSorted((a, b) => compareBytes(a.key, b.key))
    .map((change): StateRecord => ["tombstone", change.key, change.modRevision, change.order]);
  const superseded = changes.flatMap((change, position) => {
    const next = nextOf(change, position);
    const isThere = next !== undefined && isKept(next) && (change.value !== null || isKept(change));
    return isThere ? [{ change, next }] : [];
  }).toSorted((a, b) => changes.indexOf(a.next) - changes.indexOf(b.next));
  return [
    ...tombstones,
    ...superseded.map(({ change, next }): StateRecord => {
      const { leaseId = 0, expiresAtMs = 0 } = change;
      const record = [
        "version",
        change.key,
        change.value,
        change.createRevision,
        change.modRevision,
        change.version,
        orderOf(change, state),
        next.modRevision,
        next.order,
      ] as const;
      if (expiresAtMs !== 0) return [...record, leaseId, expiresAtMs];
      return leaseId === 0 ? record : [...record, leaseId];
    }),
  ];
}
