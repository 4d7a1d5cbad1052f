/**
 * Encoding of the write-ahead log's records in a segment file.
 *
 *     offset  bytes  field
 *          0      4  checksum of everything after it, seeded with the record's position
 *          4      3  "kvr", by which a search through damaged bytes finds candidates
 *          7      1  kind: 1 segment header, 2 hard state, 3 entry, 4 sync mark
 *          8      4  bytes of the body
 *         12      4  syncedOffset: everything of this segment before it was durable when this record was written
 *         16      …  body
 *
 *     segment header  format version 4, number 8, first index 8, previous number 8 (0: none), previous end 4,
 *                     term 8, vote 8 (0: none), commit index 8, node id 8, previous term 8, is reset 1 (0 or 1),
 *                     cluster id …
 *     hard state      term 8, vote 8 (0: none), commit index 8
 *     entry           index 8, term 8, kind 1 (1 no-op, 2 command, 3 configuration), data …
 *     sync mark       –
 *
 * Integers are big-endian and unsigned. The checksum is the CRC-32 of IEEE 802.3 rather than the CRC32C of other
 * logs: it finds the same errors, and `node:zlib` computes it at 6 GB/s and more, four times what the best CRC32C
 * available to JavaScript reaches. Its seed makes a record valid only at its own offset of its own segment: the bytes of
 * a record in a client's value, or in a block that the disk wrote to another place, are invalid.
 */
import { assert, assertNever } from "../../platform/assert.ts";
import type { Entry, EntryKind, HardState } from "../../raft/types.ts";
import type { LogOwner } from "../identity.ts";
import { crc32 } from "node:zlib";

/** Bytes before a record's body. */
export const RECORD_HEADER_BYTES = 16;
/** Maximum bytes of an entry's data: no frame can have more. */
export const MAX_ENTRY_DATA_BYTES = 16 * 1024 * 1024;
/** Bytes of a hard state record. */
export const HARD_STATE_RECORD_BYTES = RECORD_HEADER_BYTES + 24;
/** Bytes of a sync mark. */
export const SYNC_MARK_BYTES = RECORD_HEADER_BYTES;

const ENTRY_FIXED_BYTES = 17;
const SEGMENT_HEADER_FIXED_BYTES = 73;
const MAX_BODY_BYTES = ENTRY_FIXED_BYTES + MAX_ENTRY_DATA_BYTES;
/** Bytes of the longest record, header and body. */
export const MAX_RECORD_BYTES = RECORD_HEADER_BYTES + MAX_BODY_BYTES;
const KIND_AT = 7;
const LENGTH_AT = 8;
const SYNCED_OFFSET_AT = 12;
const TWO_TO_32 = 2 ** 32;

/** The bytes "kvr" in every record's header. */
export const MAGIC: readonly number[] = [0x6b, 0x76, 0x72];
const MAGIC_NUMBER = 0x6b7672;
/** Their offset in the header. */
export const MAGIC_AT = 4;

/** The first record of a segment. */
export interface SegmentHeader {
  /** Version of the format the segment is written in. */
  readonly formatVersion: number;
  /** The segment's number, which is also its name. */
  readonly number: number;
  /** Index after the last entry before this segment. */
  readonly firstIndex: number;
  /** Term of the entry before that; 0 when there is none. With it the log can be recovered from this segment alone. */
  readonly previousTerm: number;
  /** Whether the log was reset to a snapshot here: the segments before this one are obsolete. */
  readonly isReset: boolean;
  /** The segment before this one, and the offset at which its records end; null in the log's first. */
  readonly previous: { readonly number: number; readonly end: number } | null;
  /** The hard state when the segment was begun, so that it survives the removal of older segments. */
  readonly hardState: HardState;
  /** Owner of the log. */
  readonly identity: LogOwner;
}

/** Content of a record. A sync mark has only its syncedOffset. */
export type LogRecord =
  | { readonly kind: "segmentHeader"; readonly header: SegmentHeader }
  | { readonly kind: "hardState"; readonly hardState: HardState }
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "syncMark" };

const RECORD_CODES = { segmentHeader: 1, hardState: 2, entry: 3, syncMark: 4 } as const;
const ENTRY_CODES: Readonly<Record<EntryKind, number>> = { noop: 1, command: 2, configuration: 3 };
const ENTRY_KINDS: ReadonlyMap<number, EntryKind> = new Map([[1, "noop"], [2, "command"], [
  3,
  "configuration",
]]);

/** Position of a record: the seed of its segment and its offset in the file. */
export interface RecordPlace {
  /** From {@link segmentSeed}. */
  readonly seed: number;
  /** Byte of the file at which its header begins. */
  readonly offset: number;
}

/** Returns the part of the checksum's seed that a segment's records have in common. */
export function segmentSeed(number: number): number {
  const bytes = new Uint8Array(8);
  putInteger(new DataView(bytes.buffer), 0, number);
  return crc32(bytes);
}

/** Returns the bytes of an entry's record. */
export function entryRecordBytes(entry: Entry): number {
  return RECORD_HEADER_BYTES + ENTRY_FIXED_BYTES + entry.data.length;
}

/** Returns the bytes of a record of any kind, header included. */
export function recordBytes(record: LogRecord): number {
  switch (record.kind) {
    case "segmentHeader":
      return RECORD_HEADER_BYTES + SEGMENT_HEADER_FIXED_BYTES +
        new TextEncoder().encode(record.header.identity.clusterId).length;
    case "hardState":
      return HARD_STATE_RECORD_BYTES;
    case "entry":
      return entryRecordBytes(record.entry);
    case "syncMark":
      return SYNC_MARK_BYTES;
    default:
      return assertNever(record);
  }
}

/** A buffer into which records are written one after the other, as they stand in a segment's file. */
export interface RecordBuffer {
  bytes: Uint8Array;
  view: DataView;
  /** Position of the next record in the buffer. */
  position: number;
  /** Its position in the file. */
  offset: number;
  /** From {@link segmentSeed}. */
  seed: number;
  /** Everything of the segment before it is durable. */
  syncedOffset: number;
}

/**
 * Writes a record into `bytes` at `position`, encoded for its place in the file.
 * Returns the position after it. `bytes` must have room for it.
 */
export function encodeRecord(
  record: LogRecord,
  { place, ...into }: Omit<RecordBuffer, "seed" | "offset"> & { readonly place: RecordPlace },
): number {
  const to = { ...into, ...place };
  writeRecord(record, to);
  return to.position;
}

/** Writes a record into a buffer, which must have room for it. */
export function writeRecord(record: LogRecord, to: RecordBuffer): void {
  if (record.kind === "entry") return writeEntry(record.entry, to);
  const bodyBytes = recordBytes(record) - RECORD_HEADER_BYTES;
  const { bytes, view, position } = to;
  encodeBody(record, { bytes, view, position: position + RECORD_HEADER_BYTES });
  complete(RECORD_CODES[record.kind], bodyBytes, to);
}

/** Writes the record of an entry. It makes no objects besides the view for the checksum: entries are most of a log. */
export function writeEntry({ index, term, kind, data }: Entry, to: RecordBuffer): void {
  const { bytes, view } = to;
  const body = to.position + RECORD_HEADER_BYTES;
  putInteger(view, body, index);
  putInteger(view, body + 8, term);
  view.setUint8(body + 16, ENTRY_CODES[kind]);
  bytes.set(data, body + ENTRY_FIXED_BYTES);
  complete(RECORD_CODES.entry, ENTRY_FIXED_BYTES + data.length, to);
}

/** Writes the header of a record whose body is written, and moves on to the next one. */
function complete(code: number, bodyBytes: number, to: RecordBuffer): void {
  const { bytes, view, position, offset, syncedOffset } = to;
  assert(syncedOffset <= offset, "nothing is known synced beyond the record that says so");
  assert(offset + RECORD_HEADER_BYTES < TWO_TO_32, "a segment's offsets fit 32 bits");
  const end = position + RECORD_HEADER_BYTES + bodyBytes;
  view.setUint32(position + MAGIC_AT, MAGIC_NUMBER << 8 | code);
  view.setUint32(position + LENGTH_AT, bodyBytes);
  view.setUint32(position + SYNCED_OFFSET_AT, syncedOffset);
  view.setUint32(position, crc32(bytes.subarray(position + MAGIC_AT, end), checksumSeed(to)));
  to.position = end;
  to.offset = offset + end - position;
}

/** A decoded header of a record. It is valid only if {@link checksumHolds}. */
export interface RecordFrame {
  /** The code of its kind. */
  readonly code: number;
  /** Bytes of the body. */
  readonly bodyBytes: number;
  /** Everything of this segment before it was durable when the record was written. */
  readonly syncedOffset: number;
}

/** Decodes the header at `position`; returns null if there is none. */
export function readFrame(view: DataView, position: number, offset: number): RecordFrame | null {
  if (view.getUint32(position + MAGIC_AT) >>> 8 !== MAGIC_NUMBER) return null;
  const bodyBytes = view.getUint32(position + LENGTH_AT);
  const syncedOffset = view.getUint32(position + SYNCED_OFFSET_AT);
  if (bodyBytes > MAX_BODY_BYTES || syncedOffset > offset) return null;
  return { code: view.getUint8(position + KIND_AT), bodyBytes, syncedOffset };
}

/** Returns whether the checksum of `record` (header and body) is right for this place. */
export function checksumHolds(
  record: Uint8Array,
  view: DataView,
  position: number,
  place: RecordPlace,
): boolean {
  return view.getUint32(position) === checksum(record.subarray(MAGIC_AT), place);
}

/**
 * Decodes a record's body; returns null when it is not one that this version writes (if its checksum is right, another
 * version wrote it). An entry's data is a view of `body`: copy it to keep it.
 */
export function decodeBody(code: number, body: Uint8Array): LogRecord | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  switch (code) {
    case RECORD_CODES.segmentHeader:
      return decodeSegmentHeader(body, view);
    case RECORD_CODES.hardState: {
      const hardState = body.length === 24 ? getHardState(view, 0) : null;
      return hardState === null ? null : { kind: "hardState", hardState };
    }
    case RECORD_CODES.entry: {
      if (body.length < ENTRY_FIXED_BYTES) return null;
      const index = getInteger(view, 0);
      const term = getInteger(view, 8);
      const kind = ENTRY_KINDS.get(view.getUint8(16));
      if (index === null || term === null || kind === undefined) return null;
      return { kind: "entry", entry: { index, term, kind, data: body.subarray(ENTRY_FIXED_BYTES) } };
    }
    case RECORD_CODES.syncMark:
      return body.length === 0 ? { kind: "syncMark" } : null;
    default:
      return null;
  }
}

/** Returns the initial value of the checksum of a record at this place. */
export function checksumSeed({ seed, offset }: RecordPlace): number {
  return (seed ^ offset) >>> 0;
}

function checksum(bytes: Uint8Array, place: RecordPlace): number {
  return crc32(bytes, checksumSeed(place));
}

function encodeBody(
  record: Exclude<LogRecord, { readonly kind: "entry" }>,
  into: { bytes: Uint8Array; view: DataView; position: number },
): void {
  const { bytes, view, position } = into;
  switch (record.kind) {
    case "segmentHeader": {
      const { header } = record;
      view.setUint32(position, header.formatVersion);
      putInteger(view, position + 4, header.number);
      putInteger(view, position + 12, header.firstIndex);
      putInteger(view, position + 20, header.previous?.number ?? 0);
      view.setUint32(position + 28, header.previous?.end ?? 0);
      putHardState(view, position + 32, header.hardState);
      putInteger(view, position + 56, header.identity.nodeId);
      putInteger(view, position + 64, header.previousTerm);
      view.setUint8(position + 72, header.isReset ? 1 : 0);
      bytes.set(new TextEncoder().encode(header.identity.clusterId), position + SEGMENT_HEADER_FIXED_BYTES);
      return;
    }
    case "hardState":
      putHardState(view, position, record.hardState);
      return;
    case "syncMark":
      return;
    default:
      assertNever(record);
  }
}

function decodeSegmentHeader(body: Uint8Array, view: DataView): LogRecord | null {
  if (body.length < SEGMENT_HEADER_FIXED_BYTES) return null;
  const number = getInteger(view, 4);
  const firstIndex = getInteger(view, 12);
  const previousNumber = getInteger(view, 20);
  const hardState = getHardState(view, 32);
  const nodeId = getInteger(view, 56);
  const previousTerm = getInteger(view, 64);
  if (number === null || firstIndex === null || previousNumber === null) return null;
  if (hardState === null || nodeId === null || previousTerm === null) return null;
  if (firstIndex === 0 || view.getUint8(72) > 1) return null;
  const header: SegmentHeader = {
    formatVersion: view.getUint32(0),
    number,
    firstIndex,
    previousTerm,
    isReset: view.getUint8(72) === 1,
    previous: previousNumber === 0 ? null : { number: previousNumber, end: view.getUint32(28) },
    hardState,
    identity: { clusterId: new TextDecoder().decode(body.subarray(SEGMENT_HEADER_FIXED_BYTES)), nodeId },
  };
  return { kind: "segmentHeader", header };
}

function putHardState(view: DataView, position: number, hardState: HardState): void {
  putInteger(view, position, hardState.term);
  putInteger(view, position + 8, hardState.vote ?? 0);
  putInteger(view, position + 16, hardState.commitIndex);
}

function getHardState(view: DataView, position: number): HardState | null {
  const term = getInteger(view, position);
  const vote = getInteger(view, position + 8);
  const commitIndex = getInteger(view, position + 16);
  if (term === null || vote === null || commitIndex === null) return null;
  return { term, vote: vote === 0 ? null : vote, commitIndex };
}

/** Writes `value` in 8 bytes, big-endian. As two halves, since a BigInt would be allocated for each. */
export function putInteger(view: DataView, position: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "numbers in files are safe integers");
  view.setUint32(position, Math.floor(value / TWO_TO_32));
  view.setUint32(position + 4, value % TWO_TO_32);
}

/** Reads 8 bytes; null when the number is not a safe integer. */
export function getInteger(view: DataView, position: number): number | null {
  const value = view.getUint32(position) * TWO_TO_32 + view.getUint32(position + 4);
  return Number.isSafeInteger(value) ? value : null;
}
