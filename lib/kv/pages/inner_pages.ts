/**
 * The inner pages of a tree: their children in key order, with separators between them.
 *
 *     word 0    tag (8 bits), number of children (16 bits, shifted by 16)
 *     word 1    epoch in which the page was made
 *     word 2    start of the separators' bytes, which are added from the end of the page downward
 *     word 3    bytes of separators that were removed since the page was last packed
 *     words 4…  a slot of 4 words for each child: its page; the entries under it; start (16 bits) and length (16 bits,
 *               shifted by 16) of its separator; the cell of a separator that is too long for the page, or 0
 *
 * The separator of a child is at most the least key under it, and greater than all keys under the previous child; that
 * of the first child is empty. It is the shortest prefix of a key with this property, so a page has some hundred
 * children. A page owns the cells of its long separators: a copy of the page has copies of them.
 */
import { assert } from "../../platform/assert.ts";
import { byteBase, type CellHeap, PAGE_BYTES, wordBase } from "./cell_heap.ts";

/** The tag of an inner page. */
export const INNER_TAG = 4;
/** The tag of a cell with a separator. */
export const SEPARATOR_TAG = 5;

/**
 * Maximum separator in the page; a longer one has a cell of its own, so that every page has room for dozens of
 * children.
 */
const MAX_INLINE_BYTES = 64;
const HEADER_BYTES = 16;
const SLOT_BYTES = 16;
const SLOTS = HEADER_BYTES / 4;
const SLOT_WORDS = SLOT_BYTES / 4;
const SEPARATOR_CELL_HEADER_BYTES = 8;

/** A child of an inner page. */
export interface Child {
  /** Its page. */
  readonly child: number;
  /** Entries under it. */
  readonly entries: number;
  /** Empty for the first child of a page. */
  readonly separator: Uint8Array;
}

/** The inner pages of all trees of a store. */
export class InnerPages {
  /**
   * Results of the last {@link search} besides the slot, and input of the next one on the path down: the number of
   * bytes that the key has in common with the separators below and above it.
   */
  lowCommon = 0;
  highCommon = 0;
  readonly #heap: CellHeap;
  readonly #maxChildren: number;
  #common = 0;

  /** Makes the collection, without pages, in `heap`. A page has at most `maxChildren`, and at most as many as fit. */
  constructor(heap: CellHeap, maxChildren: number) {
    this.#heap = heap;
    this.#maxChildren = maxChildren;
  }

  /** Makes a page with one child. */
  create(epoch: number, child: number, entries: number): number {
    const page = this.createEmpty(epoch);
    this.insert(page, 0, { child, entries, separator: new Uint8Array(0) });
    return page;
  }

  /** Makes a page with the same children. */
  copy(page: number, epoch: number): number {
    const copy = this.#heap.copyPage(page);
    const words = this.#heap.wordsOf(copy);
    words[wordBase(copy) + 1] = epoch;
    const count = this.count(copy);
    for (let slot = 0; slot < count; slot++) {
      const word = slotWord(copy, slot) + 3;
      if (words[word] !== 0) words[word] = this.#createSeparator(this.separator(page, slot));
    }
    return copy;
  }

  /** Frees a page and the cells of its separators. */
  free(page: number): void {
    for (let slot = this.count(page) - 1; slot >= 0; slot--) this.#freeSeparator(page, slot);
    this.#heap.free(page);
  }

  /** Number of children. */
  count(page: number): number {
    return (this.#heap.wordsOf(page)[wordBase(page)] ?? 0) >>> 16;
  }

  /** The page of a child. */
  child(page: number, slot: number): number {
    return this.#heap.wordsOf(page)[slotWord(page, slot)] ?? 0;
  }

  /** Entries under a child. */
  entries(page: number, slot: number): number {
    return this.#heap.wordsOf(page)[slotWord(page, slot) + 1] ?? 0;
  }

  /** Entries under all children before `end`. */
  entriesBefore(page: number, end: number): number {
    const words = this.#heap.wordsOf(page);
    const first = slotWord(page, 0) + 1;
    let entries = 0;
    for (let slot = 0; slot < end; slot++) entries += words[first + slot * SLOT_WORDS] ?? 0;
    return entries;
  }

  /** Sets the page of a child. */
  setChild(page: number, slot: number, child: number): void {
    this.#heap.wordsOf(page)[slotWord(page, slot)] = child;
  }

  /** Sets the number of entries under a child. */
  setEntries(page: number, slot: number, entries: number): void {
    this.#heap.wordsOf(page)[slotWord(page, slot) + 1] = entries;
  }

  /** Bytes in use. */
  usedBytes(page: number): number {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const separators = PAGE_BYTES - (words[base + 2] ?? 0) - (words[base + 3] ?? 0);
    return HEADER_BYTES + this.count(page) * SLOT_BYTES + separators;
  }

  /** The separator of a child, as a view. */
  separator(page: number, slot: number): Uint8Array {
    const { bytes, start, length } = this.#locate(page, slot);
    return bytes.subarray(start, start + length);
  }

  /** The cell of a child's separator when it is too long for the page, or 0. */
  separatorCell(page: number, slot: number): number {
    return this.#heap.wordsOf(page)[slotWord(page, slot) + 3] ?? 0;
  }

  /**
   * Returns the slot of the last child whose separator is not greater than `key`. Before the call, `lowCommon` and
   * `highCommon` are the bytes that the key has in common with the separators on both sides of the page (0 at the root);
   * after it, with those on both sides of the child. All keys between two separators have the smaller of both numbers
   * in common with `key`, so comparisons begin there.
   */
  search(page: number, key: Uint8Array): number {
    const words = this.#heap.wordsOf(page);
    const bytes = this.#heap.bytesOf(page);
    const start = byteBase(page);
    const slots = wordBase(page) + SLOTS;
    let low = 0;
    let high = this.count(page);
    let { lowCommon, highCommon } = this;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const word = slots + middle * SLOT_WORDS;
      const place = words[word + 2] ?? 0;
      const cell = words[word + 3] ?? 0;
      const from = lowCommon < highCommon ? lowCommon : highCommon;
      const isLess = cell === 0
        ? this.#isLess(key, from, bytes, start + (place & 0xffff), place >>> 16)
        : this.#isLess(
          key,
          from,
          this.#heap.bytesOf(cell),
          byteBase(cell) + SEPARATOR_CELL_HEADER_BYTES,
          place >>> 16,
        );
      if (isLess) {
        high = middle;
        highCommon = this.#common;
      } else {
        low = middle;
        lowCommon = this.#common;
      }
    }
    this.lowCommon = lowCommon;
    this.highCommon = highCommon;
    return low;
  }

  /** Inserts a child at a slot; returns false if it does not fit. The separator is copied. */
  insert(page: number, slot: number, { child, entries, separator }: Child): boolean {
    const isLong = separator.length > MAX_INLINE_BYTES;
    const needed = SLOT_BYTES + (isLong ? 0 : separator.length);
    const count = this.count(page);
    if (this.usedBytes(page) + needed > PAGE_BYTES || count >= this.#maxChildren) return false;
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const freeBytes = (words[base + 2] ?? 0) - HEADER_BYTES - count * SLOT_BYTES;
    if (freeBytes < needed) this.#pack(page);
    const first = slotWord(page, slot);
    words.copyWithin(first + SLOT_WORDS, first, slotWord(page, count));
    words[base] = INNER_TAG | (count + 1) << 16;
    words[first] = child;
    words[first + 1] = entries;
    words[first + 3] = 0;
    let start = words[base + 2] ?? 0;
    if (isLong) {
      words[first + 3] = this.#createSeparator(separator);
    } else {
      start -= separator.length;
      this.#heap.bytesOf(page).set(separator, byteBase(page) + start);
      words[base + 2] = start;
    }
    words[first + 2] = start | separator.length << 16;
    return true;
  }

  /** Removes a child. If it is the first, the next one becomes the first, and its separator empty. */
  remove(page: number, slot: number): void {
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    const count = this.count(page);
    this.#clearSeparator(page, slot);
    words.copyWithin(slotWord(page, slot), slotWord(page, slot + 1), slotWord(page, count));
    words[base] = INNER_TAG | (count - 1) << 16;
    if (slot === 0 && count > 1) this.#clearSeparator(page, 0);
  }

  /**
   * Moves the children from `slot` on to the end of the page `to`, in which they fit. `separator` becomes the separator
   * of the first of them, unless `to` was empty.
   */
  move(page: number, slot: number, { to, separator }: { to: number; separator: Uint8Array }): void {
    const count = this.count(page);
    for (let from = slot; from < count; from++) {
      const end = this.count(to);
      const ofFirst = end > 0 ? separator : new Uint8Array(0);
      const isInserted = this.insert(to, end, {
        child: this.child(page, from),
        entries: this.entries(page, from),
        separator: from > slot ? this.separator(page, from) : ofFirst,
      });
      assert(isInserted, `the children of inner page ${page} fit in page ${to}`);
    }
    for (let last = count - 1; last >= slot; last--) this.remove(page, last);
  }

  /** Returns the slot at which to split the page into halves of about equal bytes. */
  middle(page: number): number {
    const half = this.usedBytes(page) / 2;
    const count = this.count(page);
    let bytes = HEADER_BYTES;
    for (let slot = 0; slot < count; slot++) {
      bytes += SLOT_BYTES + this.#inlineBytes(page, slot);
      if (bytes >= half) return Math.min(Math.max(slot, 1), count - 1);
    }
    return count - 1;
  }

  /** Makes a page without children, for {@link move}. */
  createEmpty(epoch: number): number {
    const page = this.#heap.allocate(PAGE_BYTES);
    const words = this.#heap.wordsOf(page);
    const base = wordBase(page);
    words[base] = INNER_TAG;
    words[base + 1] = epoch;
    words[base + 2] = PAGE_BYTES;
    words[base + 3] = 0;
    return page;
  }

  /** Whether a key is less than a separator, whose first `from` bytes are equal to the key's. Sets `#common`. */
  #isLess(key: Uint8Array, from: number, bytes: Uint8Array, start: number, length: number): boolean {
    const end = key.length < length ? key.length : length;
    let position = from;
    while (position < end && key[position] === bytes[start + position]) position++;
    this.#common = position;
    return position < end ? (key[position] ?? 0) < (bytes[start + position] ?? 0) : key.length < length;
  }

  /** Returns the position of a child's separator. */
  #locate(page: number, slot: number): { bytes: Uint8Array; start: number; length: number } {
    const words = this.#heap.wordsOf(page);
    const word = slotWord(page, slot);
    const cell = words[word + 3] ?? 0;
    const place = words[word + 2] ?? 0;
    const length = place >>> 16;
    return cell === 0
      ? { bytes: this.#heap.bytesOf(page), start: byteBase(page) + (place & 0xffff), length }
      : {
        bytes: this.#heap.bytesOf(cell),
        start: byteBase(cell) + SEPARATOR_CELL_HEADER_BYTES,
        length,
      };
  }

  /** Returns the bytes of a child's separator that are in the page: 0 if it has a cell. */
  #inlineBytes(page: number, slot: number): number {
    return this.separatorCell(page, slot) === 0
      ? (this.#heap.wordsOf(page)[slotWord(page, slot) + 2] ?? 0) >>> 16
      : 0;
  }

  #createSeparator(separator: Uint8Array): number {
    const cell = this.#heap.allocate(SEPARATOR_CELL_HEADER_BYTES + separator.length);
    this.#heap.wordsOf(cell)[wordBase(cell)] = SEPARATOR_TAG;
    this.#heap.bytesOf(cell).set(separator, byteBase(cell) + SEPARATOR_CELL_HEADER_BYTES);
    return cell;
  }

  #freeSeparator(page: number, slot: number): void {
    const cell = this.separatorCell(page, slot);
    if (cell !== 0) this.#heap.free(cell);
  }

  /** Makes the separator of a child empty. */
  #clearSeparator(page: number, slot: number): void {
    const words = this.#heap.wordsOf(page);
    const word = slotWord(page, slot);
    const garbage = wordBase(page) + 3;
    words[garbage] = (words[garbage] ?? 0) + this.#inlineBytes(page, slot);
    this.#freeSeparator(page, slot);
    words[word + 2] = 0;
    words[word + 3] = 0;
  }

  /** Removes the gaps between the separators' bytes. */
  #pack(page: number): void {
    const start = byteBase(page);
    const old = this.#heap.bytesOf(page).slice(start, start + PAGE_BYTES);
    const words = this.#heap.wordsOf(page);
    let end = PAGE_BYTES;
    const count = this.count(page);
    for (let slot = 0; slot < count; slot++) {
      const length = this.#inlineBytes(page, slot);
      if (length === 0) continue;
      const from = (words[slotWord(page, slot) + 2] ?? 0) & 0xffff;
      end -= length;
      this.#heap.bytesOf(page).set(old.subarray(from, from + length), start + end);
      words[slotWord(page, slot) + 2] = end | length << 16;
    }
    words[wordBase(page) + 2] = end;
    words[wordBase(page) + 3] = 0;
  }
}

/** Returns the position of a child's slot in the buffer of words. */
function slotWord(page: number, slot: number): number {
  return wordBase(page) + SLOTS + slot * SLOT_WORDS;
}
