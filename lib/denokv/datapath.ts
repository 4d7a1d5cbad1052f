/**
 * The requests of KV Connect's data path, decoded from protobuf (datapath.proto of denoland/denokv).
 *
 * Fields that this version does not know are skipped. A known field of another wire type, and lengths that do not fit, are
 * refused: no client sends them. Of a field that occurs twice the last one counts, as protobuf has it. Byte fields are views of the body.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** A body that is no protobuf message of its kind. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
}

/** A range of a read: the keys from `start` up to `end`, which it excludes. */
export interface ReadRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly limit: number;
  readonly reverse: boolean;
}

/** A read of ranges, all of them at one revision. */
export interface SnapshotRead {
  readonly ranges: readonly ReadRange[];
}

/** A check of a commit. */
export interface Check {
  readonly key: Uint8Array;
  /** Of the value that must be there; empty: there must be none. */
  readonly versionstamp: Uint8Array;
}

/** A value with its encoding: {@link VALUE_ENCODINGS}. */
export interface KvValue {
  readonly data: Uint8Array;
  readonly encoding: number;
}

/** A mutation of a commit. */
export interface Mutation {
  readonly key: Uint8Array;
  readonly value: KvValue | null;
  /** One of {@link MUTATION_TYPES}, or a number that is not known. */
  readonly type: number;
  /** Milliseconds since 1970; 0 and -1: never. */
  readonly expireAtMs: number;
  readonly sumMin: Uint8Array;
  readonly sumMax: Uint8Array;
  readonly sumClamp: boolean;
}

/** A commit. */
export interface AtomicWrite {
  readonly checks: readonly Check[];
  readonly mutations: readonly Mutation[];
  /** Number of messages to enqueue, which KV Connect does not offer. */
  readonly enqueues: number;
}

/** The keys of a watch. */
export interface Watch {
  readonly keys: readonly Uint8Array[];
}

/** The numbers of the kinds of mutations on the wire. */
export const MUTATION_TYPES = {
  set: 1,
  delete: 2,
  sum: 3,
  max: 4,
  min: 5,
  setSuffixVersionstampedKey: 9,
} as const;

/** The numbers of the encodings of values on the wire. */
export const VALUE_ENCODINGS = { v8: 1, le64: 2, bytes: 3 } as const;

const NONE: Uint8Array = new Uint8Array(0);

/** The tag of a field: its number, and the wire type of its value. */
const bytesField = (field: number): number => field << 3 | 2;
const varintField = (field: number): number => field << 3;

/** Tags by name; a `switch` over constants is compiled to comparisons. */
const FIRST_BYTES = bytesField(1);
const SECOND_BYTES = bytesField(2);
const THIRD_BYTES = bytesField(3);
const FIFTH_BYTES = bytesField(5);
const SIXTH_BYTES = bytesField(6);
const SECOND_VARINT = varintField(2);
const THIRD_VARINT = varintField(3);
const FOURTH_VARINT = varintField(4);
const SEVENTH_VARINT = varintField(7);

/** Decodes a SnapshotRead; throws {@link ProtobufError}. */
export function decodeSnapshotRead(body: Uint8Array): SnapshotRead {
  return decode(body, readSnapshotRead);
}

/** Decodes an AtomicWrite; throws {@link ProtobufError}. */
export function decodeAtomicWrite(body: Uint8Array): AtomicWrite {
  return decode(body, readAtomicWrite);
}

/** Decodes a Watch; throws {@link ProtobufError}. */
export function decodeWatch(body: Uint8Array): Watch {
  return decode(body, readWatch);
}

function decode<T>(body: Uint8Array, read: (reader: BinaryReader, end: number) => T): T {
  try {
    return read(new BinaryReader(body), body.length);
  } catch (error) {
    if (error instanceof ProtobufError) throw error;
    // The reader throws Error and RangeError for bytes that are no protobuf; nothing else is called.
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProtobufError(`Request protobuf is invalid: ${reason}`, { cause: error });
  }
}

function readSnapshotRead(reader: BinaryReader, end: number): SnapshotRead {
  const ranges: ReadRange[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIRST_BYTES) ranges.push(readRange(reader, endOfMessage(reader)));
    else skip(reader, tag, 1);
  }
  checkEnd(reader, end);
  return { ranges };
}

function readRange(reader: BinaryReader, end: number): ReadRange {
  let start = NONE;
  let endKey = NONE;
  let limit = 0;
  let reverse = false;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case FIRST_BYTES:
        start = reader.bytes();
        break;
      case SECOND_BYTES:
        endKey = reader.bytes();
        break;
      case THIRD_VARINT:
        limit = reader.int32();
        break;
      case FOURTH_VARINT:
        reverse = reader.bool();
        break;
      default:
        skip(reader, tag, 4);
    }
  }
  checkEnd(reader, end);
  return { start, end: endKey, limit, reverse };
}

function readAtomicWrite(reader: BinaryReader, end: number): AtomicWrite {
  const checks: Check[] = [];
  const mutations: Mutation[] = [];
  let enqueues = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case FIRST_BYTES:
        checks.push(readCheck(reader, endOfMessage(reader)));
        break;
      case SECOND_BYTES:
        mutations.push(readMutation(reader, endOfMessage(reader)));
        break;
      case THIRD_BYTES:
        reader.bytes();
        enqueues += 1;
        break;
      default:
        skip(reader, tag, 3);
    }
  }
  checkEnd(reader, end);
  return { checks, mutations, enqueues };
}

function readCheck(reader: BinaryReader, end: number): Check {
  let key = NONE;
  let versionstamp = NONE;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIRST_BYTES) key = reader.bytes();
    else if (tag === SECOND_BYTES) versionstamp = reader.bytes();
    else skip(reader, tag, 2);
  }
  checkEnd(reader, end);
  return { key, versionstamp };
}

function readMutation(reader: BinaryReader, end: number): Mutation {
  let key = NONE;
  let value: KvValue | null = null;
  let type = 0;
  let expireAtMs = 0;
  let sumMin = NONE;
  let sumMax = NONE;
  let sumClamp = false;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case FIRST_BYTES:
        key = reader.bytes();
        break;
      case SECOND_BYTES:
        value = readValue(reader, endOfMessage(reader));
        break;
      case THIRD_VARINT:
        type = reader.int32();
        break;
      case FOURTH_VARINT:
        expireAtMs = Number(reader.int64());
        break;
      case FIFTH_BYTES:
        sumMin = reader.bytes();
        break;
      case SIXTH_BYTES:
        sumMax = reader.bytes();
        break;
      case SEVENTH_VARINT:
        sumClamp = reader.bool();
        break;
      default:
        skip(reader, tag, 7);
    }
  }
  checkEnd(reader, end);
  return { key, value, type, expireAtMs, sumMin, sumMax, sumClamp };
}

function readValue(reader: BinaryReader, end: number): KvValue {
  let data = NONE;
  let encoding = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIRST_BYTES) data = reader.bytes();
    else if (tag === SECOND_VARINT) encoding = reader.int32();
    else skip(reader, tag, 2);
  }
  checkEnd(reader, end);
  return { data, encoding };
}

function readWatch(reader: BinaryReader, end: number): Watch {
  const keys: Uint8Array[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIRST_BYTES) keys.push(readWatchKey(reader, endOfMessage(reader)));
    else skip(reader, tag, 1);
  }
  checkEnd(reader, end);
  return { keys };
}

function readWatchKey(reader: BinaryReader, end: number): Uint8Array {
  let key = NONE;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIRST_BYTES) key = reader.bytes();
    else skip(reader, tag, 1);
  }
  checkEnd(reader, end);
  return key;
}

/**
 * Reads the length of an embedded message; returns the position of its end. If that lies behind the end of the message
 * around it, {@link checkEnd} of that one finds it.
 */
function endOfMessage(reader: BinaryReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}

/** Skips a field that this version does not know. The known fields of a message are numbered from 1 to `known`. */
function skip(reader: BinaryReader, tag: number, known: number): void {
  const field = tag >>> 3;
  if (field === 0 || field <= known) {
    throw new ProtobufError(`Request protobuf is invalid: field ${field} has wire type ${tag & 7}`);
  }
  reader.skip(tag & 7, field);
}

function checkEnd(reader: BinaryReader, end: number): void {
  if (reader.pos !== end) {
    throw new ProtobufError("Request protobuf is invalid: a field is longer than its message");
  }
}
