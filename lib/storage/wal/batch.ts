/**
 * One batch of the log: records that become durable together, and their order.
 *
 * A crash may keep the first records of a batch and lose the rest, so every prefix of it must be a valid log: the term
 * and vote are written before the entries of that term, and a commit index that includes entries of the batch after them.
 */
import { assert } from "../../platform/assert.ts";
import type { Entry, EntryId, HardState } from "../../raft/types.ts";
import { type LogBeginning, type LogPosition, LogState } from "./log_state.ts";
import {
  entryRecordBytes,
  HARD_STATE_RECORD_BYTES,
  MAX_ENTRY_DATA_BYTES,
  type RecordBuffer,
  writeEntry,
  writeRecord,
} from "./record.ts";

/** Data that becomes durable together: a hard state, or entries, or both; or a log that is reset to a snapshot. */
export interface PersistBatch {
  /**
   * The snapshot to which the log is reset, or null: every entry of the log is discarded, those of this batch
   * follow from `index + 1`. The snapshot's file must be durable before, and must reach at least up to what is committed.
   */
  readonly snapshot: EntryId | null;
  /** The new hard state, or null when it is unchanged. */
  readonly hardState: HardState | null;
  /** Entries, consecutive. The first overrides every entry of the log at its index and above. */
  readonly entries: readonly Entry[];
}

/** The records that a batch writes, in order. */
export interface BatchPlan {
  /** The start of a log that is reset, in a segment whose header states it, hard state included; null when it continues. */
  readonly beginning: LogBeginning | null;
  /** The new hard state with a commit index below the batch's entries, if no header has it; or null. */
  readonly before: HardState | null;
  /** The entries. */
  readonly entries: readonly Entry[];
  /** The complete new hard state, if its commit index is one of the batch's entries; else null. */
  readonly after: HardState | null;
  /** Bytes of all records. */
  readonly bytes: number;
}

/** Returns the records of a batch. Throws if the batch does not follow from `state`, which is a fault of the caller. */
export function planBatch(batch: PersistBatch, state: LogState): BatchPlan {
  const { hardState, entries } = batch;
  const reason = whyNotBatch(batch, state);
  assert(reason === null, `a batch follows from the log (${reason})`);
  const early = hardState === null ? null : beforeEntries(hardState, entries);
  const after = early?.commitIndex === hardState?.commitIndex ? null : hardState;
  const beginning = batch.snapshot === null
    ? null
    : { compacted: batch.snapshot, hardState: early ?? state.hardState, isCut: false };
  const before = beginning === null ? early : null;
  let bytes = 0;
  if (before !== null) bytes += HARD_STATE_RECORD_BYTES;
  for (const entry of entries) bytes += entryRecordBytes(entry);
  if (after !== null) bytes += HARD_STATE_RECORD_BYTES;
  return { beginning, before, entries, after, bytes };
}

/** Records in `state` a batch that was written at `position`. */
export function noteBatch(plan: BatchPlan, state: LogState, position: LogPosition): void {
  const next = { ...position };
  if (plan.before !== null) {
    state.setHardState(plan.before);
    next.offset += HARD_STATE_RECORD_BYTES;
  }
  for (const entry of plan.entries) {
    state.setEntry(entry, next);
    next.offset += entryRecordBytes(entry);
  }
  if (plan.after !== null) {
    state.setHardState(plan.after);
    next.offset += HARD_STATE_RECORD_BYTES;
  }
  state.setEnd(next.offset);
}

function beforeEntries(hardState: HardState, entries: readonly Entry[]): HardState {
  const [first] = entries;
  if (first === undefined) return hardState;
  return { ...hardState, commitIndex: Math.min(hardState.commitIndex, first.index - 1) };
}

function whyNotBatch(batch: PersistBatch, state: LogState): string | null {
  const { entries, snapshot } = batch;
  const hardState = batch.hardState ?? state.hardState;
  const after = snapshot === null ? state : behind(snapshot, state);
  if (snapshot !== null) {
    const reason = whyNotBehind(snapshot, { state, hardState });
    if (reason !== null) return reason;
  }
  if (batch.hardState !== null) {
    const reason = after.whyNotHardState(beforeEntries(batch.hardState, entries));
    if (reason !== null) return reason;
  }
  return whyNotEntries(entries, { state: after, hardState });
}

function whyNotBehind(
  { index, term }: EntryId,
  { state, hardState }: { readonly state: LogState; readonly hardState: HardState },
): string | null {
  const committed = Math.max(state.hardState.commitIndex, state.compacted.index);
  if (index < committed) return `the log would begin behind entry ${index}, and ${committed} is committed`;
  if (index >= 1 && term >= 1 && term <= hardState.term) return null;
  return `no log of term ${hardState.term} begins behind entry ${index} of term ${term}`;
}

function behind(snapshot: EntryId, state: LogState): LogState {
  const after = new LogState();
  after.reset({ compacted: snapshot, hardState: state.hardState, isCut: false });
  return after;
}

function whyNotEntries(
  entries: readonly Entry[],
  { state, hardState }: { readonly state: LogState; readonly hardState: HardState },
): string | null {
  const [first] = entries;
  if (first === undefined) return null;
  const reason = state.whyNotEntry(first, hardState);
  if (reason !== null) return reason;
  let previous = first;
  for (const entry of entries) {
    const { index, term, data } = entry;
    if (entry !== first && index !== previous.index + 1) {
      return `entry ${index} follows entry ${previous.index}`;
    }
    if (term < previous.term || term > hardState.term) {
      return `entry ${index} has term ${term}, after ${previous.term}, in term ${hardState.term}`;
    }
    if (data.length > MAX_ENTRY_DATA_BYTES) return `entry ${index} has ${data.length} bytes`;
    previous = entry;
  }
  if (hardState.commitIndex > previous.index) {
    return `entries up to ${hardState.commitIndex} are committed, and the log would end at ${previous.index}`;
  }
  return null;
}

const INITIAL_BYTES = 64 * 1024;
/** Maximum size of a buffer that is kept for the next batch. */
const MAX_KEPT_BYTES = 8 * 1024 * 1024;

/** Encodes batches, one after the other, in one reused buffer. */
export class BatchEncoder {
  readonly #buffer: RecordBuffer;

  /** Makes an encoder with a buffer for batches of usual size. */
  constructor() {
    const bytes = new Uint8Array(INITIAL_BYTES);
    const view = new DataView(bytes.buffer);
    this.#buffer = { bytes, view, position: 0, offset: 0, seed: 0, syncedOffset: 0 };
  }

  /** Returns the batch's bytes for this position in the log. They are valid until the next call. */
  encode(plan: BatchPlan, place: { seed: number; offset: number; syncedOffset: number }): Uint8Array {
    this.#reserve(plan.bytes);
    const to = this.#buffer;
    to.position = 0;
    to.seed = place.seed;
    to.offset = place.offset;
    to.syncedOffset = place.syncedOffset;
    if (plan.before !== null) writeRecord({ kind: "hardState", hardState: plan.before }, to);
    for (const entry of plan.entries) writeEntry(entry, to);
    if (plan.after !== null) writeRecord({ kind: "hardState", hardState: plan.after }, to);
    assert(to.position === plan.bytes, "a batch is as long as it was planned");
    return to.bytes.subarray(0, to.position);
  }

  #reserve(bytes: number): void {
    const { length } = this.#buffer.bytes;
    const isOversized = length > MAX_KEPT_BYTES && bytes <= MAX_KEPT_BYTES;
    if (bytes <= length && !isOversized) return;
    let next = INITIAL_BYTES;
    while (next < bytes) next *= 2;
    this.#buffer.bytes = new Uint8Array(next);
    this.#buffer.view = new DataView(this.#buffer.bytes.buffer);
  }
}
