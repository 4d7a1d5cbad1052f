/**
 * An index of keys by a number: a tree whose keys are a number of 8 bytes, big-endian, followed by the indexed key. It
 * has a heap of its own: views do not read it, so its pages are changed in place, and its cells are freed at once. When
 * most keys were removed, the remaining entries are moved out of half-empty regions, a few with each change.
 */
import { assert } from "../../platform/assert.ts";
import { MAX_KEY_BYTES } from "../command.ts";
import { successor } from "../keys.ts";
import type { HeapUsage } from "./cell_heap.ts";
import { PageTree } from "./page_tree.ts";
import { RegionDrain } from "./region_drain.ts";
import { type PageLimits, TreeCursor, TreePages } from "./tree_pages.ts";
import { Views } from "./views.ts";

/** Reserved memory that an index keeps when it has no keys: a new heap for each key that comes and goes would be slow. */
const KEPT_BYTES = 4_194_304;
/** Bytes of the number. */
const NUMBER_BYTES = 8;
const NO_KEY = new Uint8Array(0);
/** An entry is a version without value and numbers. */
const NO_NUMBERS = {
  createRevision: 0,
  modRevision: 0,
  version: 0,
  order: 0,
  previous: 0,
  leaseId: 0,
  expiresAtMs: 0,
};

/** An entry of an index; the caller owns its key. */
export interface IndexEntry {
  readonly number: number;
  readonly key: Uint8Array;
}

/** The memory of an index. */
interface IndexParts {
  readonly pages: TreePages;
  readonly tree: PageTree;
  readonly drain: RegionDrain;
}

/** A key index. Its memory is reserved with the first key. */
export class KeyIndex {
  readonly #limits: PageLimits | undefined;
  #parts: IndexParts | null = null;
  /** The key of the tree that is looked for. */
  readonly #buffer = new Uint8Array(NUMBER_BYTES + MAX_KEY_BYTES);

  /** Makes an index without keys. */
  constructor(limits?: PageLimits) {
    this.#limits = limits;
  }

  /** Number of keys. */
  get size(): number {
    return this.#parts?.tree.size ?? 0;
  }

  /** The memory of the index, in bytes. */
  get usage(): HeapUsage {
    return this.#parts?.pages.heap.usage ?? { liveBytes: 0, spanBytes: 0, regionBytes: 0 };
  }

  /** The parts that {@link checkIndex} checks; null while nothing was added. */
  get structure(): { readonly pages: TreePages; readonly root: number } | null {
    return this.#parts === null ? null : { pages: this.#parts.pages, root: this.#parts.tree.root };
  }

  /** Adds a key that is not under this number. O(log n). */
  add(number: number, key: Uint8Array): void {
    const { pages, tree } = this.#parts ??= this.#reserve();
    const entry = this.#entry(number, key);
    assert(tree.find(entry) === 0, "a key is in an index once");
    tree.insert(pages.records.create(entry, NO_KEY, NO_NUMBERS));
  }

  /** Removes a key that is under this number. O(log n). */
  remove(number: number, key: Uint8Array): void {
    const parts = this.#parts;
    const address = parts?.tree.find(this.#entry(number, key)) ?? 0;
    assert(parts !== null && address !== 0, "a key that is removed from an index is in it");
    const { pages, tree, drain } = parts;
    tree.remove();
    pages.records.free(address);
    if (tree.size === 0 && pages.heap.usage.regionBytes > KEPT_BYTES) this.#parts = null;
    else if (drain.isDue(1)) this.#drain(parts);
  }

  /** Returns the number of keys under a number. O(log n). */
  count(number: number): number {
    if (this.#parts === null) return 0;
    const { pages, tree } = this.#parts;
    const from = pages.rank(tree.root, this.#entry(number, NO_KEY));
    return pages.rank(tree.root, this.#entry(number + 1, NO_KEY)) - from;
  }

  /** The lowest number; null without keys. O(log n). */
  get firstNumber(): number | null {
    if (this.#parts === null || this.#parts.tree.size === 0) return null;
    const { pages, tree } = this.#parts;
    return numberOf(pages.records.key(pages.outermost(tree.root, "first")));
  }

  /**
   * Returns the keys of a number, after a key unless that is null, in order, until they are `limit` or have `maxBytes`;
   * and whether there are more. The caller owns them. O(log n + keys).
   */
  keysOf(
    number: number,
    { after = null, limit = Infinity, maxBytes = Infinity }: {
      readonly after?: Uint8Array | null;
      readonly limit?: number;
      readonly maxBytes?: number;
    } = {},
  ): { readonly keys: Uint8Array[]; readonly more: boolean } {
    const keys: Uint8Array[] = [];
    if (this.#parts === null) return { keys, more: false };
    const { records } = this.#parts.pages;
    const start = this.#entry(number, after ?? NO_KEY);
    const cursor = cursorOf(this.#parts, after === null ? start : successor(start));
    let bytes = 0;
    while (cursor.left > 0) {
      const entry = records.key(cursor.next());
      if (numberOf(entry) !== number) break;
      if (keys.length >= limit || bytes >= maxBytes) return { keys, more: true };
      keys.push(entry.slice(NUMBER_BYTES));
      bytes += entry.length - NUMBER_BYTES;
    }
    return { keys, more: false };
  }

  /**
   * Returns the first key of a number that is not below `from`, which may be one byte longer than a key; null without one.
   * The caller owns it. O(log n).
   */
  firstFrom(number: number, from: Uint8Array): Uint8Array | null {
    if (this.#parts === null) return null;
    const lower = this.#entry(number, from.subarray(0, MAX_KEY_BYTES));
    const cursor = cursorOf(this.#parts, from.length > MAX_KEY_BYTES ? successor(lower) : lower);
    if (cursor.left === 0) return null;
    const entry = this.#parts.pages.records.key(cursor.next());
    return numberOf(entry) === number ? entry.slice(NUMBER_BYTES) : null;
  }

  /** Returns up to `limit` entries of all numbers up to one, in order. O(log n + entries). */
  entriesUpTo(number: number, limit: number): IndexEntry[] {
    const entries: IndexEntry[] = [];
    if (this.#parts === null) return entries;
    const { records } = this.#parts.pages;
    const cursor = cursorOf(this.#parts, null);
    while (cursor.left > 0 && entries.length < limit) {
      const entry = records.key(cursor.next());
      const its = numberOf(entry);
      if (its > number) break;
      entries.push({ number: its, key: entry.slice(NUMBER_BYTES) });
    }
    return entries;
  }

  #reserve(): IndexParts {
    const pages = new TreePages(this.#limits);
    return { pages, tree: new PageTree(pages, new Views(pages)), drain: new RegionDrain() };
  }

  #drain(parts: IndexParts): void {
    const { pages, tree, drain } = parts;
    const { records } = pages;
    drain.step(pages, {
      size: tree.size,
      isSettled: true,
      from: (lower) => cursorOf(parts, lower),
      move: (entry) => {
        tree.find(records.key(entry));
        tree.replace(records.copy(entry));
        records.free(entry);
      },
    });
  }

  /** Returns the key of the tree for a number and a key: a view that is valid until the next call. */
  #entry(number: number, key: Uint8Array): Uint8Array {
    const buffer = this.#buffer;
    const [high, low] = [Math.floor(number / 2 ** 32), number >>> 0];
    for (let position = 0; position < 4; position++) {
      buffer[position] = high >>> (24 - 8 * position);
      buffer[position + 4] = low >>> (24 - 8 * position);
    }
    buffer.set(key, NUMBER_BYTES);
    return buffer.subarray(0, NUMBER_BYTES + key.length);
  }
}

function cursorOf({ pages, tree }: IndexParts, lower: Uint8Array | null): TreeCursor {
  return new TreeCursor(pages, tree.root, { lower, upper: null, reverse: false });
}

function numberOf(entry: Uint8Array): number {
  let number = 0;
  for (let position = 0; position < NUMBER_BYTES; position++) number = number * 256 + (entry[position] ?? 0);
  return number;
}
