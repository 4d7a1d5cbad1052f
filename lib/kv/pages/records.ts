/**
 * The versions of keys. A put or a delete writes one version, in a cell of the heap; it never changes.
 *
 *     word 0   tag (8 bits), flags (8 bits), bytes of the key (16 bits)
 *     word 1   bytes of the value
 *     float 1  createRevision
 *     float 2  modRevision
 *     word 6   version (the lower 32 bits)
 *     word 7   address of the previous version of the same key; 0 when there was none
 *     then     an optional field of 8 bytes for each flag that is set, in the order of the flags; the key; the value
 *
 * Key and value are adjacent, so that finding a key and reading its value access the same memory, and an event of the
 * history needs only an address. A value that is too large for a cell has a buffer of its own.
 */
import { assert } from "../../platform/assert.ts";
import { byteBase, type CellHeap, floatBase, FREE_TAG, MAX_CELL_BYTES, wordBase } from "./cell_heap.ts";

/** The tag of a version that has a value. */
export const PUT_TAG = 1;
/** The tag of a tombstone: the version that a delete writes. */
export const TOMBSTONE_TAG = 2;
/** Bytes of a version before its optional fields, key and value. */
export const VERSION_BYTES = 32;

/** The value has a buffer of its own; the field has the buffer's number. */
const LARGE_FLAG = 1;
/** `version` exceeds 32 bits; the field has its upper part, in units of 2^32. */
const WIDE_FLAG = 2;
/** `order` is above 0; the field has it. */
const ORDER_FLAG = 4;
/** The key is attached to a lease; the field has its id. */
const LEASE_FLAG = 8;
/** The key expires; the field has the time. */
const EXPIRY_FLAG = 16;
const FIELD_BYTES = 8;
/** Bytes of the optional fields, by flags. */
const FIELDS_BYTES = Uint8Array.from({ length: 32 }, (_, flags) => {
  let fields = 0;
  for (let left = flags; left > 0; left >>>= 1) fields += left & 1;
  return fields * FIELD_BYTES;
});
const NO_BYTES = new Uint8Array(0);

/** The numbers of a new version. */
export interface VersionNumbers {
  /** As in KeyValue; 0 for a tombstone. */
  readonly createRevision: number;
  /** As in KeyValue; for a tombstone the revision of the delete. */
  readonly modRevision: number;
  /** As in KeyValue; 0 for a tombstone. */
  readonly version: number;
  /** Its position among the versions of its revision, from 0. */
  readonly order: number;
  /** Address of the previous version of the key, or 0. */
  readonly previous: number;
  /** As in KeyValue; 0 for none. */
  readonly leaseId: number;
  /** As in KeyValue; 0 for none. */
  readonly expiresAtMs: number;
}

/** The versions of one store. Invariant: each large value belongs to exactly one version. */
export class Records {
  /**
   * Result of the last {@link compare} besides its order: the number of bytes that the two keys have in common from
   * their start. A property, since an object for each comparison would slow searches down.
   */
  common = 0;
  readonly #heap: CellHeap;
  readonly #large: Uint8Array[] = [];
  readonly #freeLarge: number[] = [];
  #largeBytes = 0;
  #count = 0;

  /** Makes the collection, without versions, in the cells of `heap`. */
  constructor(heap: CellHeap) {
    this.#heap = heap;
  }

  /** Number of versions. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the values that have buffers of their own. */
  get largeBytes(): number {
    return this.#largeBytes;
  }

  /**
   * Writes a put (with a value) or a tombstone (null), and returns its address. Key and value are copied, except for a
   * value that is too large for a cell: if it is at least half of its buffer it is kept, and must not change
   * afterwards.
   */
  create(key: Uint8Array, value: Uint8Array | null, numbers: VersionNumbers): number {
    const { createRevision, modRevision, version, order, previous, leaseId, expiresAtMs } = numbers;
    const valueLength = value === null ? 0 : value.length;
    let flags = (version > 0xffff_ffff ? WIDE_FLAG : 0) | (order > 0 ? ORDER_FLAG : 0) |
      (leaseId > 0 ? LEASE_FLAG : 0) | (expiresAtMs > 0 ? EXPIRY_FLAG : 0);
    let size = VERSION_BYTES + key.length + valueLength + fieldBytes(flags);
    if (size > MAX_CELL_BYTES) {
      flags |= LARGE_FLAG;
      size = VERSION_BYTES + key.length + fieldBytes(flags);
    }
    const address = this.#heap.allocate(size);
    const words = this.#heap.wordsOf(address);
    const floats = this.#heap.floatsOf(address);
    const bytes = this.#heap.bytesOf(address);
    const word = wordBase(address);
    const float = floatBase(address);
    words[word] = (value === null ? TOMBSTONE_TAG : PUT_TAG) | flags << 8 | key.length << 16;
    words[word + 1] = valueLength;
    floats[float + 1] = createRevision;
    floats[float + 2] = modRevision;
    words[word + 6] = version;
    words[word + 7] = previous;
    if (flags !== 0) this.#writeFields(address, numbers, value);
    let end = byteBase(address) + VERSION_BYTES + fieldBytes(flags);
    for (let position = 0; position < key.length; position++) bytes[end++] = key[position] ?? 0;
    if (value !== null && valueLength > 0 && (flags & LARGE_FLAG) === 0) bytes.set(value, end);
    this.#count++;
    return address;
  }

  /** Copies a version to another cell, and returns its address. */
  copy(address: number): number {
    return this.create(this.key(address), this.isPut(address) ? this.value(address) : null, {
      createRevision: this.createRevision(address),
      modRevision: this.modRevision(address),
      version: this.version(address),
      order: this.order(address),
      previous: this.previous(address),
      leaseId: this.leaseId(address),
      expiresAtMs: this.expiresAtMs(address),
    });
  }

  /** Frees the cell of a version, and its large value. */
  free(address: number): void {
    if (this.isLarge(address)) {
      const number = this.#fieldOf(address, LARGE_FLAG);
      this.#largeBytes -= (this.#large[number] ?? NO_BYTES).length;
      this.#large[number] = NO_BYTES;
      this.#freeLarge.push(number);
    }
    this.#heap.free(address);
    this.#count--;
  }

  /** Whether the version has a value, and is not a tombstone. */
  isPut(address: number): boolean {
    return this.#heap.tagOf(address) === PUT_TAG;
  }

  /** Whether the address is that of a version. */
  isVersion(address: number): boolean {
    const tag = address === 0 ? FREE_TAG : this.#heap.tagOf(address);
    return tag === PUT_TAG || tag === TOMBSTONE_TAG;
  }

  /** The flags of the optional fields that the version has. */
  flags(address: number): number {
    return ((this.#heap.wordsOf(address)[wordBase(address)] ?? 0) >>> 8) & 0xff;
  }

  /** Bytes of the key. */
  keyLength(address: number): number {
    return (this.#heap.wordsOf(address)[wordBase(address)] ?? 0) >>> 16;
  }

  /** Bytes of the value. */
  valueLength(address: number): number {
    return this.#heap.wordsOf(address)[wordBase(address) + 1] ?? 0;
  }

  /** Revision of the put that created the key; 0 for a tombstone. */
  createRevision(address: number): number {
    return this.#heap.floatsOf(address)[floatBase(address) + 1] ?? 0;
  }

  /** Revision of this version. */
  modRevision(address: number): number {
    return this.#heap.floatsOf(address)[floatBase(address) + 2] ?? 0;
  }

  /** Puts since the key's creation; 0 for a tombstone. */
  version(address: number): number {
    const low = this.#heap.wordsOf(address)[wordBase(address) + 6] ?? 0;
    return (this.flags(address) & WIDE_FLAG) === 0 ? low : low + this.#fieldOf(address, WIDE_FLAG) * 2 ** 32;
  }

  /** Position of the version among those of its revision, from 0. */
  order(address: number): number {
    return (this.flags(address) & ORDER_FLAG) === 0 ? 0 : this.#fieldOf(address, ORDER_FLAG);
  }

  /** Whether the key is attached to a lease, or expires. */
  isAttached(address: number): boolean {
    return (this.flags(address) & (LEASE_FLAG | EXPIRY_FLAG)) !== 0;
  }

  /** The lease to which the key is attached, or 0. */
  leaseId(address: number): number {
    return (this.flags(address) & LEASE_FLAG) === 0 ? 0 : this.#fieldOf(address, LEASE_FLAG);
  }

  /** The time of the wall clock at which the key expires, or 0. */
  expiresAtMs(address: number): number {
    return (this.flags(address) & EXPIRY_FLAG) === 0 ? 0 : this.#fieldOf(address, EXPIRY_FLAG);
  }

  /**
   * Address of the previous version, which may be freed already if this version is not above the compacted revision.
   */
  previous(address: number): number {
    return this.#heap.wordsOf(address)[wordBase(address) + 7] ?? 0;
  }

  /** Sets the address of the previous version, while a snapshot is loaded. */
  setPrevious(address: number, previous: number): void {
    this.#heap.wordsOf(address)[wordBase(address) + 7] = previous;
  }

  /** Bytes that a version counts for in the cost of the history: the same number on every node. */
  bytes(address: number): number {
    return VERSION_BYTES + this.keyLength(address) + this.valueLength(address);
  }

  /** Whether the value has a buffer of its own. */
  isLarge(address: number): boolean {
    return (this.flags(address) & LARGE_FLAG) !== 0;
  }

  /** Bytes that the version needs in a cell. */
  cellBytes(address: number): number {
    const inCell = this.isLarge(address) ? 0 : this.valueLength(address);
    return VERSION_BYTES + fieldBytes(this.flags(address)) + this.keyLength(address) + inCell;
  }

  /** The key: a view of the heap. */
  key(address: number): Uint8Array {
    const start = this.#keyBase(address);
    return this.#heap.bytesOf(address).subarray(start, start + this.keyLength(address));
  }

  /** The bytes in which the key is, from {@link keyStart} on: to read a key without an object for it. */
  keyBuffer(address: number): Uint8Array {
    return this.#heap.bytesOf(address);
  }

  /** Position of the key in {@link keyBuffer}. */
  keyStart(address: number): number {
    return this.#keyBase(address);
  }

  /** The key followed by the value, unless the value is large: a view of the heap. */
  keyAndValue(address: number): Uint8Array {
    const start = this.#keyBase(address);
    const valueLength = this.isLarge(address) ? 0 : this.valueLength(address);
    return this.#heap.bytesOf(address).subarray(start, start + this.keyLength(address) + valueLength);
  }

  /** The value: a view of the heap, or the buffer of a large one. */
  value(address: number): Uint8Array {
    if (this.isLarge(address)) return this.#large[this.#fieldOf(address, LARGE_FLAG)] ?? NO_BYTES;
    const start = this.#keyBase(address) + this.keyLength(address);
    return this.#heap.bytesOf(address).subarray(start, start + this.valueLength(address));
  }

  /**
   * Compares `key` with that of a version from position `from` on, before which they are known to be equal: below 0,
   * 0 or above 0 as `key` is less, equal or greater. Sets {@link common}.
   */
  compare(key: Uint8Array, address: number, from: number): number {
    const bytes = this.#heap.bytesOf(address);
    const start = this.#keyBase(address);
    const length = this.keyLength(address);
    const end = key.length < length ? key.length : length;
    for (let position = from; position < end; position++) {
      const difference = (key[position] ?? 0) - (bytes[start + position] ?? 0);
      if (difference !== 0) {
        this.common = position;
        return difference;
      }
    }
    this.common = end;
    return key.length - length;
  }

  /** How many bytes from their start the keys of two versions have in common. */
  commonPrefix(one: number, other: number): number {
    const [a, b] = [this.#heap.bytesOf(one), this.#heap.bytesOf(other)];
    const [aStart, bStart] = [this.#keyBase(one), this.#keyBase(other)];
    const end = Math.min(this.keyLength(one), this.keyLength(other));
    let position = 0;
    while (position < end && a[aStart + position] === b[bStart + position]) position++;
    return position;
  }

  /** Returns four bytes of a version's key, from `from` on, as a number: heads are ordered as these bytes are. */
  head(address: number, from: number): number {
    return headAt(this.#heap.bytesOf(address), this.#keyBase(address) + from, this.keyLength(address) - from);
  }

  #keyBase(address: number): number {
    return byteBase(address) + VERSION_BYTES + fieldBytes(this.flags(address));
  }

  /** Returns an optional field, which the version has. */
  #fieldOf(address: number, flag: number): number {
    const float = (VERSION_BYTES + fieldBytes(this.flags(address) & (flag - 1))) / FIELD_BYTES;
    return this.#heap.floatsOf(address)[floatBase(address) + float] ?? 0;
  }

  #writeFields(address: number, numbers: VersionNumbers, value: Uint8Array | null): void {
    const { version, order, leaseId, expiresAtMs } = numbers;
    const flags = this.flags(address);
    const floats = this.#heap.floatsOf(address);
    let float = floatBase(address) + VERSION_BYTES / FIELD_BYTES;
    if ((flags & LARGE_FLAG) !== 0) {
      assert(value !== null, "a tombstone has no large value");
      const number = this.#freeLarge.pop() ?? this.#large.length;
      this.#large[number] = value.byteLength * 2 >= value.buffer.byteLength ? value : value.slice();
      this.#largeBytes += value.length;
      floats[float++] = number;
    }
    if ((flags & WIDE_FLAG) !== 0) floats[float++] = Math.floor(version / 2 ** 32);
    if ((flags & ORDER_FLAG) !== 0) floats[float++] = order;
    if ((flags & LEASE_FLAG) !== 0) floats[float++] = leaseId;
    if ((flags & EXPIRY_FLAG) !== 0) floats[float] = expiresAtMs;
  }
}

/** Returns four bytes of a key, from `from` on, as a number; missing bytes count as 0. */
export function keyHead(key: Uint8Array, from: number): number {
  return headAt(key, from, key.length - from);
}

function headAt(bytes: Uint8Array, start: number, length: number): number {
  if (length >= 4) {
    return (((bytes[start] ?? 0) << 24) | ((bytes[start + 1] ?? 0) << 16) |
      ((bytes[start + 2] ?? 0) << 8) | (bytes[start + 3] ?? 0)) >>> 0;
  }
  let head = 0;
  for (let position = 0; position < 4; position++) {
    head = head << 8 | (position < length ? bytes[start + position] ?? 0 : 0);
  }
  return head >>> 0;
}

function fieldBytes(flags: number): number {
  return flags === 0 ? 0 : FIELDS_BYTES[flags] ?? 0;
}
