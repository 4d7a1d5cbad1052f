/**
 * The leaves of a tree: addresses of versions in the order of their keys.
 *
 *     word 0      tag (8 bits), number of entries (16 bits, shifted by 16)
 *     word 1      epoch in which the page was made
 *     word 2      number of bytes that all keys of the page have in common, from their start
 *     words 4…    the head of each key: the four bytes after the common ones, as a number
 *     words 514…  the address of each version
 *
 * A search compares heads, and reads a version only where heads are equal: once in most cases.
 */
import { type CellHeap, PAGE_BYTES, wordBase } from "./cell_heap.ts";
import { keyHead, type Records } from "./records.ts";

/** The tag of a leaf. */
export const LEAF_TAG = 3;
/** Maximum number of entries of a leaf. */
export const LEAF_CAPACITY = 510;

const HEADS = 4;
const ADDRESSES = HEADS + LEAF_CAPACITY;
/** The common bytes are recomputed when the number of entries reaches a power of two, from this one on. */
const MIN_ENTRIES_TO_RECOMPUTE = 16;

/** An entry to be inserted into a leaf. */
export interface Insertion {
  readonly position: number;
  readonly address: number;
  readonly common: number;
}

/**
 * The leaves of all trees of a store. Invariants: keys ascend; all keys of a leaf begin with its common bytes; heads
 * are those of the keys.
 */
export class LeafPages {
  /** Result of the last {@link search} besides the position: whether it found the key. */
  found = false;
  /** Result of the last {@link search}: how many of the page's common bytes the key begins with. */
  common = 0;
  readonly #heap: CellHeap;
  readonly #records: Records;

  /** Makes the collection, without leaves, in `heap`; `records` are the versions. */
  constructor(heap: CellHeap, records: Records) {
    this.#heap = heap;
    this.#records = records;
  }

  /** Makes a leaf without entries. */
  create(epoch: number): number {
    const page = this.#heap.allocate(PAGE_BYTES);
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    words[base] = LEAF_TAG;
    words[base + 1] = epoch;
    words[base + 2] = 0;
    return page;
  }

  /** Makes a leaf with the same entries. */
  copy(page: number, epoch: number): number {
    const copy = this.#heap.copyPage(page);
    this.#heap.wordsOf(copy)[wordBase(copy) + 1] = epoch;
    return copy;
  }

  /** Number of entries. */
  count(page: number): number {
    return (this.#heap.wordsOf(page)[wordBase(page)] ?? 0) >>> 16;
  }

  /** Number of bytes that all keys have in common. */
  commonBytes(page: number): number {
    return this.#heap.wordsOf(page)[wordBase(page) + 2] ?? 0;
  }

  /** The address at a position. */
  address(page: number, position: number): number {
    return this.#heap.wordsOf(page)[wordBase(page) + ADDRESSES + position] ?? 0;
  }

  /** The head at a position. */
  head(page: number, position: number): number {
    return this.#heap.wordsOf(page)[wordBase(page) + HEADS + position] ?? 0;
  }

  /** Replaces the version at `position` by another one of the same key. */
  replace(page: number, position: number, address: number): void {
    this.#heap.wordsOf(page)[wordBase(page) + ADDRESSES + position] = address;
  }

  /**
   * Returns the position of the first entry whose key is not less than `key`; sets {@link found} and {@link common}.
   * The first `known` bytes of `key` are known to equal those of all keys of the page.
   */
  search(page: number, key: Uint8Array, known: number): number {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const count = (words[base] ?? 0) >>> 16;
    const common = words[base + 2] ?? 0;
    this.found = false;
    this.common = common;
    if (count === 0) return 0;
    if (common > known) {
      const order = this.#records.compare(key, words[base + ADDRESSES] ?? 0, known);
      if (this.#records.common < common) {
        this.common = this.#records.common;
        return order < 0 ? 0 : count;
      }
    }
    const head = keyHead(key, common);
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = words[base + HEADS + middle] ?? 0;
      if (other === head) {
        const order = this.#records.compare(key, words[base + ADDRESSES + middle] ?? 0, common);
        if (order === 0) {
          this.found = true;
          return middle;
        }
        if (order > 0) low = middle + 1;
        else high = middle;
      } else if (other < head) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /**
   * Inserts an entry at the position of the search for its key, with the {@link common} of that search. The page is not
   * full.
   */
  insert(page: number, { position, address, common }: Insertion): void {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const count = (words[base] ?? 0) >>> 16;
    if (common < (words[base + 2] ?? 0)) this.#setCommon(page, common);
    for (const start of [base + HEADS, base + ADDRESSES]) {
      words.copyWithin(start + position + 1, start + position, start + count);
    }
    words[base + HEADS + position] = this.#records.head(address, words[base + 2] ?? 0);
    words[base + ADDRESSES + position] = address;
    words[base] = LEAF_TAG | (count + 1) << 16;
    if (count + 1 >= MIN_ENTRIES_TO_RECOMPUTE && (count & (count + 1)) === 0) this.recomputeCommon(page);
  }

  /** Appends a version whose key is greater than all of the page. The page is not full. */
  append(page: number, address: number): void {
    const count = this.count(page);
    const common = this.commonBytes(page);
    const withFirst = count === 0 ? 0 : this.#records.commonPrefix(this.address(page, 0), address);
    this.insert(page, { position: count, address, common: Math.min(common, withFirst) });
  }

  /** Removes the entry at `position`. */
  remove(page: number, position: number): void {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const count = (words[base] ?? 0) >>> 16;
    for (const start of [base + HEADS, base + ADDRESSES]) {
      words.copyWithin(start + position, start + position + 1, start + count);
    }
    words[base] = LEAF_TAG | (count - 1) << 16;
    if (count === 1) words[base + 2] = 0;
  }

  /** Moves the entries from `position` on to the end of another leaf, and recomputes the common bytes of both. */
  move(page: number, position: number, to: number): void {
    const count = this.count(page);
    const target = this.count(to);
    const from = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const words = this.#heap.wordsOf(to);
    const start = wordBase(to) + ADDRESSES + target;
    words.set(from.subarray(base + ADDRESSES + position, base + ADDRESSES + count), start);
    words[wordBase(to)] = LEAF_TAG | (target + count - position) << 16;
    from[base] = LEAF_TAG | position << 16;
    this.#setCommon(to, this.#commonOfAll(to));
    this.recomputeCommon(page);
  }

  /** Recomputes the common bytes: with more of them, fewer heads are equal. */
  recomputeCommon(page: number): void {
    const common = this.#commonOfAll(page);
    if (common !== this.commonBytes(page)) this.#setCommon(page, common);
  }

  /** Returns how many bytes all keys have in common: as many as the first and the last one. */
  #commonOfAll(page: number): number {
    const count = this.count(page);
    return count < 2 ? 0 : this.#records.commonPrefix(this.address(page, 0), this.address(page, count - 1));
  }

  /** Sets the number of common bytes, and the heads accordingly. */
  #setCommon(page: number, common: number): void {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const count = (words[base] ?? 0) >>> 16;
    words[base + 2] = common;
    for (let position = 0; position < count; position++) {
      words[base + HEADS + position] = this.#records.head(words[base + ADDRESSES + position] ?? 0, common);
    }
  }
}
