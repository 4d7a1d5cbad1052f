/**
 * Finds the ranges that contain a key.
 *
 * The ranges are sorted by their starts. This array is read as a balanced tree, whose root is the middle element, and has
 * for each element the greatest end of its subtree: a search passes over subtrees that end before the key. Ranges that
 * were added lately are in a short list, which is merged into the array when it is full.
 */
import { compareKeys } from "../../kv/mod.ts";

/** Ranges in the list of recent ones: as fast to search as the tree. */
const MAX_RECENT = 64;

/** A range with the value that it stands for. */
interface Entry<T> {
  readonly start: Uint8Array;
  /** Excluded; null: no end. */
  readonly end: Uint8Array | null;
  readonly value: T;
}

/** Values by ranges of keys. */
export class RangeIndex<T> {
  #sorted: Entry<T>[] = [];
  /** For each sorted range the greatest end in its subtree. */
  #greatestEnds: (Uint8Array | null)[] = [];
  #recent: Entry<T>[] = [];
  /** Values of sorted ranges that were removed, until the next merge. */
  readonly #removed = new Set<T>();

  /** Number of values. */
  get size(): number {
    return this.#sorted.length + this.#recent.length - this.#removed.size;
  }

  /** Adds a value that is not in the index, with the range from `start` (included) to `end` (excluded; null: no end). */
  add(value: T, start: Uint8Array, end: Uint8Array | null): void {
    this.#recent.push({ start, end, value });
    if (this.#recent.length > MAX_RECENT) this.#merge();
  }

  /** Removes a value of the index. */
  remove(value: T): void {
    const position = this.#recent.findIndex((entry) => entry.value === value);
    if (position >= 0) return void this.#recent.splice(position, 1);
    this.#removed.add(value);
    if (this.#removed.size * 2 > this.#sorted.length) this.#merge();
  }

  /** Adds the values whose range contains `key` to `found`. O(log n) for each of them, and once. */
  find(key: Uint8Array, found: T[]): void {
    this.#search(key, found, 0, this.#sorted.length);
    for (const { start, end, value } of this.#recent) {
      if (compareKeys(start, key) <= 0 && isBelow(key, end)) found.push(value);
    }
  }

  #search(key: Uint8Array, found: T[], from: number, to: number): void {
    let low = from;
    while (low < to) {
      const middle = (low + to) >>> 1;
      const entry = this.#sorted[middle];
      if (entry === undefined || !isBelow(key, this.#greatestEnds[middle] ?? null)) return;
      this.#search(key, found, low, middle);
      if (compareKeys(entry.start, key) > 0) return;
      if (isBelow(key, entry.end) && !this.#removed.has(entry.value)) found.push(entry.value);
      low = middle + 1;
    }
  }

  /** Merges the recent ranges into the sorted ones, without those that were removed. O(n). */
  #merge(): void {
    const added = this.#recent.sort((one, other) => compareKeys(one.start, other.start));
    const merged: Entry<T>[] = [];
    let next = 0;
    for (const entry of this.#sorted) {
      if (this.#removed.has(entry.value)) continue;
      for (
        let one = added[next];
        one !== undefined && compareKeys(one.start, entry.start) < 0;
        one = added[next]
      ) {
        merged.push(one);
        next++;
      }
      merged.push(entry);
    }
    this.#sorted = [...merged, ...added.slice(next)];
    this.#recent = [];
    this.#removed.clear();
    this.#greatestEnds = new Array(this.#sorted.length).fill(null);
    this.#noteEnds(0, this.#sorted.length);
  }

  /** Notes the greatest end of the subtree of these elements, and returns it; null: one of them has no end. */
  #noteEnds(from: number, to: number): Uint8Array | null {
    const middle = (from + to) >>> 1;
    let greatest = this.#sorted[middle]?.end ?? null;
    if (from < middle) greatest = greater(greatest, this.#noteEnds(from, middle));
    if (middle + 1 < to) greatest = greater(greatest, this.#noteEnds(middle + 1, to));
    this.#greatestEnds[middle] = greatest;
    return greatest;
  }
}

function isBelow(key: Uint8Array, end: Uint8Array | null): boolean {
  return end === null || compareKeys(key, end) < 0;
}

function greater(one: Uint8Array | null, other: Uint8Array | null): Uint8Array | null {
  return one === null || other === null ? null : compareKeys(one, other) < 0 ? other : one;
}
