/**
 * The versions of keys, each in a cell of the heap: what a put or a delete wrote, immutable from then on.
 *
 *     word 0   tag (8 bits), flags (8 bits), bytes of the key (16 bits)
 *     word 1   bytes of the value
 *     float 1  createRevision
 *     float 2  modRevision
 *     word 6   version (the lower 32 bits)
 *     word 7   address of the version of the same key before it; 0 when there was none
 *     then     8 bytes for each flag, in the order of the flags; then the key, then the value
 *
 * Key and value lie side by side, so that finding a key and reading its value touch the same memory, and an event of
 * the history needs nothing but an address. A value too large for a cell is a buffer of its own.
 */
import { assert } from "../../platform/assert.ts";
import { byteBase, type CellHeap, floatBase, FREE_TAG, MAX_CELL_BYTES, wordBase } from "./cell_heap.ts";

/** The tag of a version that has a value. */
export const PUT_TAG = 1;
/** The tag of a version that says that the key was deleted. */
export const TOMBSTONE_TAG = 2;
/** What a version counts for beside its key and value. */
export const VERSION_BYTES = 32;

/** The value lies in a buffer of its own, whose number is in the field. */
const LARGE_FLAG = 1;
/** The field has what the version's number is above its lower 32 bits, in units of 2^32. */
const WIDE_FLAG = 2;
/** The field has the version's order, which is 0 where there is none. */
const ORDER_FLAG = 4;
const FIELD_BYTES = 8;
const NO_BYTES = new Uint8Array(0);

/** The numbers of a version that is to be made. */
export interface VersionNumbers {
  /** As in KeyValue; 0 for a tombstone. */
  readonly createRevision: number;
  /** As in KeyValue; for a tombstone the revision of the delete. */
  readonly modRevision: number;
  /** As in KeyValue; 0 for a tombstone. */
  readonly version: number;
  /** How many versions of its revision were written before it. */
  readonly order: number;
  /** Address of the version before this one, or 0. */
  readonly previous: number;
}

/** The versions of one store. Invariant: each large value belongs to exactly one version. */
export class Records {
  /** How many bytes from its start the last compared key had in common with the other. */
  common = 0;
  readonly #heap: CellHeap;
  readonly #large: Uint8Array[] = [];
  readonly #freeLarge: number[] = [];
  #largeBytes = 0;
  #count = 0;

  /** Versions in the cells of `heap`. */
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
   * value too large for a cell: that one is kept when it is most of its buffer, and must not change afterwards.
   */
  create(key: Uint8Array, value: Uint8Array | null, numbers: VersionNumbers): number {
    const { createRevision, modRevision, version, order, previous } = numbers;
    const valueLength = value === null ? 0 : value.length;
    let flags = (version > 0xffff_ffff ? WIDE_FLAG : 0) | (order > 0 ? ORDER_FLAG : 0);
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

  /** Writes the same version again, in another cell. */
  copy(address: number): number {
    return this.create(this.key(address), this.isPut(address) ? this.value(address) : null, {
      createRevision: this.createRevision(address),
      modRevision: this.modRevision(address),
      version: this.version(address),
      order: this.order(address),
      previous: this.previous(address),
    });
  }

  /** Gives the cell of a version back. */
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

  /** Which fields the version has beside the fixed ones. */
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

  /** How many versions of its revision were written before it. */
  order(address: number): number {
    return (this.flags(address) & ORDER_FLAG) === 0 ? 0 : this.#fieldOf(address, ORDER_FLAG);
  }

  /** Address of the version before this one, which may be gone when this one is not younger than the compacted revision. */
  previous(address: number): number {
    return this.#heap.wordsOf(address)[wordBase(address) + 7] ?? 0;
  }

  /** Links a version that is being restored to the one before it. */
  setPrevious(address: number, previous: number): void {
    this.#heap.wordsOf(address)[wordBase(address) + 7] = previous;
  }

  /** What a version counts for: the same on every node, whatever cell it lies in. */
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

  /** The key with the value behind it, unless that is large: a view of the heap. */
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

  /** Four bytes of a version's key from `from` on as a number, so that numbers compare as the bytes do. */
  head(address: number, from: number): number {
    return headAt(this.#heap.bytesOf(address), this.#keyBase(address) + from, this.keyLength(address) - from);
  }

  #keyBase(address: number): number {
    return byteBase(address) + VERSION_BYTES + fieldBytes(this.flags(address));
  }

  /** Of a version that has this field. */
  #fieldOf(address: number, flag: number): number {
    const float = (VERSION_BYTES + fieldBytes(this.flags(address) & (flag - 1))) / FIELD_BYTES;
    return this.#heap.floatsOf(address)[floatBase(address) + float] ?? 0;
  }

  #writeFields(address: number, { version, order }: VersionNumbers, value: Uint8Array | null): void {
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
    if ((flags & ORDER_FLAG) !== 0) floats[float] = order;
  }
}

/** Four bytes of a key from `from` on as a number; zeros stand for what is missing. */
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
  return flags === 0 ? 0 : ((flags & 1) + ((flags >>> 1) & 1) + (flags >>> 2)) * FIELD_BYTES;
}
