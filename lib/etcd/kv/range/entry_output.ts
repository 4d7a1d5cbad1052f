/**
 * Writes the entries of answers to reads. They are most of what a front end writes, so their bytes are written here without
 * an object for each: the size of all is calculated, and then each byte is written once.
 */
import type { KeyValue } from "../../../kv/command.ts";
import { etcdKeyRevision } from "../../revisions.ts";

/** The bytes of tags: of the entries of a RangeResponse, and of the fields of a KeyValue. */
const TAG = { entry: 0x12, key: 0x0a, create: 0x10, mod: 0x18, version: 0x20, value: 0x2a, lease: 0x30 };
/** 2^28: from here on shifts of a number that is encoded would not be exact. */
const SHIFT_LIMIT = 0x1000_0000;

/** Bytes up to which a loop is quicker than a call of `set`. */
const MAX_LOOP_BYTES = 32;

/** Which fields of entries are written. */
export interface EntryFields {
  readonly values: boolean;
  readonly leases: boolean;
}

/** Returns entries as the field `kvs` of a RangeResponse. */
export function encodeEntries(entries: readonly KeyValue[], fields: EntryFields): Uint8Array<ArrayBuffer> {
  const sizes = new Float64Array(entries.length);
  let total = 0;
  let index = 0;
  for (const entry of entries) {
    const size = sizeOf(entry, fields);
    sizes[index++] = size;
    total += 1 + varintSize(size) + size;
  }
  const output = new Output(total);
  index = 0;
  for (const entry of entries) {
    output.integer(TAG.entry, sizes[index++] ?? 0);
    writeEntry(output, entry, fields);
  }
  return output.bytes;
}

function writeEntry(output: Output, entry: KeyValue, { values, leases }: EntryFields): void {
  const { key, value, createRevision, modRevision, version, leaseId = 0 } = entry;
  output.field(TAG.key, key);
  output.integer(TAG.create, etcdKeyRevision(createRevision));
  output.integer(TAG.mod, etcdKeyRevision(modRevision));
  output.integer(TAG.version, version);
  if (values && value.length > 0) output.field(TAG.value, value);
  if (leases && leaseId !== 0) output.integer(TAG.lease, leaseId);
}

/** Returns the size of an entry without its tag and length. Its numbers are never 0, but for that of a lease. */
function sizeOf(entry: KeyValue, { values, leases }: EntryFields): number {
  const { key, value, createRevision, modRevision, version, leaseId = 0 } = entry;
  return fieldSize(key.length) + integerSize(etcdKeyRevision(createRevision)) +
    integerSize(etcdKeyRevision(modRevision)) + integerSize(version) +
    (values && value.length > 0 ? fieldSize(value.length) : 0) +
    (leases && leaseId !== 0 ? integerSize(leaseId) : 0);
}

function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

function integerSize(value: number): number {
  return 1 + varintSize(value);
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** A buffer that is written from its beginning to its end. */
class Output {
  readonly bytes: Uint8Array<ArrayBuffer>;
  #end = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** Writes a tag and a number, which is not negative. */
  integer(tag: number, value: number): void {
    const { bytes } = this;
    let end = this.#end;
    bytes[end++] = tag;
    let rest = value;
    for (; rest >= SHIFT_LIMIT; rest = Math.floor(rest / 0x80)) bytes[end++] = rest % 0x80 | 0x80;
    for (; rest >= 0x80; rest >>>= 7) bytes[end++] = rest & 0x7f | 0x80;
    bytes[end++] = rest;
    this.#end = end;
  }

  /** Writes a tag and bytes with their length. */
  field(tag: number, value: Uint8Array): void {
    const { length } = value;
    this.integer(tag, length);
    const { bytes } = this;
    if (length > MAX_LOOP_BYTES) bytes.set(value, this.#end);
    else for (let at = 0, end = this.#end; at < length; at++) bytes[end + at] = value[at] ?? 0;
    this.#end += length;
  }
}
