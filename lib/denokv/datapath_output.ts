/**
 * The answers of KV Connect's data path, encoded as protobuf.
 *
 * The size of an answer is computed first, so that every key and value is copied once, into a buffer of that size. A
 * writer that grows its buffer and moves each embedded message behind its length takes two to three times as long (500
 * entries of 256 bytes: 330 and 150 µs).
 */
import { assert } from "../platform/assert.ts";

/** An entry of an answer. */
export interface OutputEntry {
  /** The Deno key. */
  readonly key: Uint8Array;
  /** The encoding in one byte, and the data. */
  readonly value: Uint8Array;
  /** The revision that the versionstamp stands for. */
  readonly modRevision: number;
}

/** The status of a commit. */
export type WriteStatus =
  | {
    readonly kind: "success";
    readonly revision: number;
    /** Distinguishes commits that changed nothing at this revision; 0 for the one that made it. */
    readonly sequence: number;
  }
  | { readonly kind: "checkFailure"; readonly failedChecks: readonly number[] };

/** The state of one key in a frame of a watch; `entry` is null for an absent key. */
export type WatchKeyOutput =
  | { readonly changed: false }
  | { readonly changed: true; readonly entry: OutputEntry | null };

/** Bytes of a versionstamp with tag and length. */
const VERSIONSTAMP_FIELD_BYTES = 12;
const VERSIONSTAMP_BYTES = 10;
/** SR_SUCCESS, AW_SUCCESS. */
const SUCCESS = 1;
const CHECK_FAILURE = 2;

/** Encodes a SnapshotReadOutput: the entries of each range, in the order of the ranges. */
export function encodeSnapshotReadOutput(
  ranges: readonly (readonly OutputEntry[])[],
  { isStrong }: { readonly isStrong: boolean },
): Uint8Array {
  let size = isStrong ? 4 : 2;
  const rangeBytes: number[] = [];
  for (const entries of ranges) {
    let bytes = 0;
    for (const entry of entries) bytes += fieldBytes(entryBytes(entry));
    rangeBytes.push(bytes);
    size += fieldBytes(bytes);
  }
  const output = new Output(size);
  for (let index = 0; index < ranges.length; index++) {
    output.length(0x0a, rangeBytes[index] ?? 0); // ranges = 1
    for (const entry of ranges[index] ?? []) {
      output.length(0x0a, entryBytes(entry)); // values = 1
      output.entry(entry);
    }
  }
  if (isStrong) output.varint(0x20, 1); // read_is_strongly_consistent = 4
  output.varint(0x40, SUCCESS); // status = 8
  return output.finish();
}

/** Encodes an AtomicWriteOutput. */
export function encodeAtomicWriteOutput(status: WriteStatus): Uint8Array {
  if (status.kind === "success") {
    const output = new Output(2 + VERSIONSTAMP_FIELD_BYTES);
    output.varint(0x08, SUCCESS); // status = 1
    output.versionstamp(0x12, status.revision, status.sequence); // versionstamp = 2
    return output.finish();
  }
  const { failedChecks } = status;
  let bytes = 0;
  for (const index of failedChecks) bytes += varintBytes(index);
  const output = new Output(2 + (bytes === 0 ? 0 : fieldBytes(bytes)));
  output.varint(0x08, CHECK_FAILURE);
  if (bytes > 0) {
    output.length(0x22, bytes); // failed_checks = 4, packed
    for (const index of failedChecks) output.number(index);
  }
  return output.finish();
}

/** Encodes a WatchOutput: one output for each key of the watch, in its order. */
export function encodeWatchOutput(keys: readonly WatchKeyOutput[]): Uint8Array {
  let size = 2;
  for (const key of keys) size += fieldBytes(watchKeyBytes(key));
  const output = new Output(size);
  output.varint(0x08, SUCCESS); // status = 1
  for (const key of keys) {
    output.length(0x12, watchKeyBytes(key)); // keys = 2
    if (!key.changed) continue;
    output.varint(0x08, 1); // changed = 1
    if (key.entry === null) continue;
    output.length(0x12, entryBytes(key.entry)); // entry_if_changed = 2
    output.entry(key.entry);
  }
  return output.finish();
}

function watchKeyBytes(key: WatchKeyOutput): number {
  if (!key.changed) return 0;
  return 2 + (key.entry === null ? 0 : fieldBytes(entryBytes(key.entry)));
}

/** Returns the bytes of a KvEntry. */
function entryBytes({ key, value }: OutputEntry): number {
  return fieldBytes(key.length) + fieldBytes(value.length - 1) + 2 + VERSIONSTAMP_FIELD_BYTES;
}

/** Returns the bytes of a field of so many bytes, with a tag of one byte and its length. */
function fieldBytes(bytes: number): number {
  return 1 + varintBytes(bytes) + bytes;
}

/** Returns the bytes of a varint of an integer from 0 to 2^32 - 1. */
function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** A buffer of the size of an answer, which is filled from its beginning. */
class Output {
  readonly #bytes: Uint8Array;
  #end = 0;

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  /** Returns the buffer, which is full. */
  finish(): Uint8Array {
    assert(this.#end === this.#bytes.length, "the size of an answer was computed as it is written");
    return this.#bytes;
  }

  number(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#end++] = rest & 0x7f | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#end++] = rest;
  }

  varint(tag: number, value: number): void {
    this.#bytes[this.#end++] = tag;
    this.number(value);
  }

  /** Writes tag and length of a field whose bytes follow. */
  length(tag: number, bytes: number): void {
    this.varint(tag, bytes);
  }

  /** Writes a KvEntry. */
  entry({ key, value, modRevision }: OutputEntry): void {
    this.length(0x0a, key.length); // key = 1
    this.#bytes.set(key, this.#end);
    this.#end += key.length;
    this.length(0x12, value.length - 1); // value = 2
    this.#bytes.set(value.subarray(1), this.#end);
    this.#end += value.length - 1;
    this.varint(0x18, value[0] ?? 0); // encoding = 3
    this.versionstamp(0x22, modRevision); // versionstamp = 4
  }

  /** Writes a revision as a versionstamp: eight bytes and two for the sequence, both big-endian. */
  versionstamp(tag: number, revision: number, sequence = 0): void {
    this.length(tag, VERSIONSTAMP_BYTES);
    const high = Math.floor(revision / 0x1_0000_0000);
    const bytes = this.#bytes;
    let end = this.#end;
    bytes[end++] = high >>> 24;
    bytes[end++] = high >>> 16;
    bytes[end++] = high >>> 8;
    bytes[end++] = high;
    const low = revision >>> 0;
    bytes[end++] = low >>> 24;
    bytes[end++] = low >>> 16;
    bytes[end++] = low >>> 8;
    bytes[end++] = low;
    bytes[end++] = sequence >>> 8;
    bytes[end++] = sequence;
    this.#end = end;
  }
}
