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
import { type PageLimits, TreeCursor, TreePages } from "./tree_pages.ts";
import { Views } from "./views.ts";

/** Reserved memory that an index keeps when it has no keys: a new heap for each key that comes and goes would be slow. */
const KEPT_BYTES = 4_194_304;
/** Removals between two steps that move entries out of draining regions, and entries that one step reads. */
const REMOVALS_PER_DRAIN_STEP = 32;
const ENTRIES_PER_DRAIN_STEP = 128;
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

/** A key index. Its memory is reserved with the first key. */
export class KeyIndex {
  readonly #limits: PageLimits | undefined;
  #pages: TreePages | null = null;
  #tree: PageTree | null = null;
  /** First key of the next step that moves entries out of draining regions; null between two passes over all of them. */
  #drainFrom: Uint8Array | null = null;
  #removalsToDrainStep = REMOVALS_PER_DRAIN_STEP;
  /** The key of the tree that is looked for. */
  readonly #buffer = new Uint8Array(NUMBER_BYTES + MAX_KEY_BYTES);

  /** Makes an index without keys. */
  constructor(limits?: PageLimits) {
    this.#limits = limits;
  }

  /** Number of keys. */
  get size(): number {
    return this.#tree?.size ?? 0;
  }

  /** The memory of the index, in bytes. */
  get usage(): HeapUsage {
    return this.#pages?.heap.usage ?? { liveBytes: 0, spanBytes: 0, regionBytes: 0 };
  }

  /** The parts that {@link checkIndex} checks; null while nothing was added. */
  get structure(): { readonly pages: TreePages; readonly root: number } | null {
    const pages = this.#pages;
    return pages === null || this.#tree === null ? null : { pages, root: this.#tree.root };
  }

  /** Adds a key that is not under this number. O(log n). */
  add(number: number, key: Uint8Array): void {
    const pages = this.#pages ??= new TreePages(this.#limits);
    const tree = this.#tree ??= new PageTree(pages, new Views(pages));
    const entry = this.#entry(number, key);
    assert(tree.find(entry) === 0, "a key is in an index once");
    tree.insert(pages.records.create(entry, NO_KEY, NO_NUMBERS));
  }

  /** Removes a key that is under this number. O(log n). */
  remove(number: number, key: Uint8Array): void {
    const [pages, tree] = [this.#pages, this.#tree];
    const address = tree?.find(this.#entry(number, key)) ?? 0;
    assert(pages !== null && tree !== null && address !== 0, "a key that is removed from an index is in it");
    tree.remove();
    pages.records.free(address);
    if (tree.size === 0 && pages.heap.usage.regionBytes > KEPT_BYTES) {
      this.#pages = this.#tree = this.#drainFrom = null;
    } else if (--this.#removalsToDrainStep <= 0) this.#drainRegions(pages, tree);
  }

  /** Returns the number of keys under a number. O(log n). */
  count(number: number): number {
    const [pages, tree] = [this.#pages, this.#tree];
    if (pages === null || tree === null) return 0;
    const from = pages.rank(tree.root, this.#entry(number, NO_KEY));
    return pages.rank(tree.root, this.#entry(number + 1, NO_KEY)) - from;
  }

  /** The lowest number; null without keys. O(log n). */
  get firstNumber(): number | null {
    const [pages, tree] = [this.#pages, this.#tree];
    if (pages === null || tree === null || tree.size === 0) return null;
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
    const start = this.#entry(number, after ?? NO_KEY);
    const cursor = this.#cursor(after === null ? start : successor(start));
    const keys: Uint8Array[] = [];
    let bytes = 0;
    while (cursor !== null && cursor.left > 0) {
      const entry = this.#keyAt(cursor.next());
      if (numberOf(entry) !== number) break;
      if (keys.length >= limit || bytes >= maxBytes) return { keys, more: true };
      keys.push(entry.slice(NUMBER_BYTES));
      bytes += entry.length - NUMBER_BYTES;
    }
    return { keys, more: false };
  }

  /** Returns up to `limit` entries of all numbers up to one, in order. O(log n + entries). */
  entriesUpTo(number: number, limit: number): IndexEntry[] {
    const cursor = this.#cursor(null);
    const entries: IndexEntry[] = [];
    while (cursor !== null && cursor.left > 0 && entries.length < limit) {
      const entry = this.#keyAt(cursor.next());
      const its = numberOf(entry);
      if (its > number) break;
      entries.push({ number: its, key: entry.slice(NUMBER_BYTES) });
    }
    return entries;
  }

  /** Moves the next entries out of draining regions, so that these can be released; see PagedStore. */
  #drainRegions({ heap, records }: TreePages, tree: PageTree): void {
    this.#removalsToDrainStep = REMOVALS_PER_DRAIN_STEP;
    if (this.#drainFrom === null) {
      if (!heap.isFragmented || heap.drain() === 0) return;
      this.#drainFrom = NO_KEY;
    }
    const cursor = this.#cursor(this.#drainFrom);
    const draining: number[] = [];
    let address = cursor?.next() ?? 0;
    for (let looked = 0; looked < ENTRIES_PER_DRAIN_STEP && address !== 0; looked++) {
      if (heap.isDraining(address)) draining.push(address);
      address = cursor?.next() ?? 0;
    }
    this.#drainFrom = address === 0 ? null : records.key(address).slice();
    for (const entry of draining) {
      tree.find(records.key(entry));
      tree.replace(records.copy(entry));
      records.free(entry);
    }
    // A pass that releases nothing is not repeated at once.
    if (address === 0) this.#removalsToDrainStep = Math.max(REMOVALS_PER_DRAIN_STEP, tree.size);
  }

  #cursor(lower: Uint8Array | null): TreeCursor | null {
    const [pages, tree] = [this.#pages, this.#tree];
    if (pages === null || tree === null) return null;
    return new TreeCursor(pages, tree.root, { lower, upper: null, reverse: false });
  }

  /** Returns the number and key at an address, as a view. */
  #keyAt(address: number): Uint8Array {
    assert(this.#pages !== null, "an index with a cursor has pages");
    return this.#pages.records.key(address);
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

function numberOf(entry: Uint8Array): number {
  let number = 0;
  for (let position = 0; position < NUMBER_BYTES; position++) number = number * 256 + (entry[position] ?? 0);
  return number;
}
