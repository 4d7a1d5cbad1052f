/**
 * The parts that all trees of a store share: the heap, the versions and pages in it; and the functions that read a tree
 * from its root.
 *
 * A root is the address of a page. A tree must not change while it is read, unless the root is that of a view.
 */
import { CellHeap, PAGE_BYTES, wordBase } from "./cell_heap.ts";
import { INNER_TAG, InnerPages } from "./inner_pages.ts";
import { LEAF_CAPACITY, LEAF_TAG, LeafPages } from "./leaf_pages.ts";
import { assert, InvariantError } from "../../platform/assert.ts";
import { Records } from "./records.ts";

/** Maximum number of levels of a tree. A heap cannot hold the keys for so many, since pages are split into halves. */
export const MAX_LEVELS = 16;

/** Versions of a leaf that a cursor prefetches together. */
const PREFETCHED_ENTRIES = 16;

/** Limits of a page. Tests use small ones, so that a few keys make a tree of many levels. */
export interface PageLimits {
  /** Entries of a leaf, an even number of at least 4. */
  readonly leafEntries: number;
  /** Children of an inner page, at least 4. */
  readonly innerChildren: number;
}

const FULL_PAGES: PageLimits = { leafEntries: LEAF_CAPACITY, innerChildren: PAGE_BYTES };

/** The pages of a store's trees. */
export class TreePages {
  readonly limits: PageLimits;
  readonly heap = new CellHeap();
  readonly records = new Records(this.heap);
  readonly leaves = new LeafPages(this.heap, this.records);
  readonly inner: InnerPages;

  /** Makes the collection, without pages. */
  constructor(limits: PageLimits = FULL_PAGES) {
    this.limits = limits;
    this.inner = new InnerPages(this.heap, limits.innerChildren);
  }

  /** Whether a page has children. Throws {@link InvariantError} when it is no page of a tree. */
  isInner(page: number): boolean {
    const tag = this.heap.tagOf(page);
    if (tag === INNER_TAG) return true;
    if (tag === LEAF_TAG) return false;
    throw new InvariantError(`Invariant violated: page ${page} of a tree is in use (its tag is ${tag})`);
  }

  /** The epoch in which a page was made. */
  epochOf(page: number): number {
    return this.heap.wordsOf(page)[wordBase(page) + 1] ?? 0;
  }

  /** Frees a page, without those under it. */
  free(page: number): void {
    if (this.isInner(page)) this.inner.free(page);
    else this.heap.free(page);
  }

  /** Entries in a page and under it. */
  entriesUnder(page: number): number {
    return this.isInner(page)
      ? this.inner.entriesBefore(page, this.inner.count(page))
      : this.leaves.count(page);
  }

  /** Returns the version of a key, or 0. */
  find(root: number, key: Uint8Array): number {
    let page = root;
    this.inner.lowCommon = 0;
    this.inner.highCommon = 0;
    while (this.isInner(page)) page = this.inner.child(page, this.inner.search(page, key));
    const position = this.leaves.search(page, key, Math.min(this.inner.lowCommon, this.inner.highCommon));
    return this.leaves.found ? this.leaves.address(page, position) : 0;
  }

  /** Returns the number of keys that are less than `key`. */
  rank(root: number, key: Uint8Array): number {
    let page = root;
    let rank = 0;
    this.inner.lowCommon = 0;
    this.inner.highCommon = 0;
    while (this.isInner(page)) {
      const slot = this.inner.search(page, key);
      rank += this.inner.entriesBefore(page, slot);
      page = this.inner.child(page, slot);
    }
    return rank + this.leaves.search(page, key, Math.min(this.inner.lowCommon, this.inner.highCommon));
  }

  /** Returns the first (or last) version of a tree, or 0. */
  outermost(root: number, side: "first" | "last"): number {
    let page = root;
    while (this.isInner(page)) {
      page = this.inner.child(page, side === "first" ? 0 : this.inner.count(page) - 1);
    }
    const count = this.leaves.count(page);
    return count === 0 ? 0 : this.leaves.address(page, side === "first" ? 0 : count - 1);
  }
}

/** Keys from `lower` (included) to `upper` (excluded); null stands for no bound. */
export interface KeyRange {
  readonly lower: Uint8Array | null;
  readonly upper: Uint8Array | null;
}

/** A cursor over a range of a tree, in either direction. The tree must not change while it is used. */
export class TreeCursor {
  readonly #pages: TreePages;
  readonly #isReverse: boolean;
  readonly #path = new Uint32Array(MAX_LEVELS);
  readonly #slots = new Int32Array(MAX_LEVELS);
  #depth = 0;
  #left: number;

  /** Makes a cursor before the first version of the range. O(log n). */
  constructor(
    pages: TreePages,
    root: number,
    { lower, upper, reverse }: KeyRange & { readonly reverse: boolean },
  ) {
    this.#pages = pages;
    this.#isReverse = reverse;
    const [start, end] = reverse ? [upper, lower] : [lower, upper];
    const here = this.#seek(root, start);
    const there = end !== null ? pages.rank(root, end) : reverse ? 0 : pages.entriesUnder(root);
    this.#left = Math.max(0, reverse ? here - there : there - here);
    if (this.#left === 0) return;
    // The position is that of the first entry at or above the bound. It may be one past the end of its leaf, and a
    // reverse cursor begins one entry before it: step from there.
    const slot = this.#slots[this.#depth] ?? 0;
    const count = pages.leaves.count(this.#path[this.#depth] ?? 0);
    if (!reverse && slot < count) return;
    if (!reverse) this.#slots[this.#depth] = slot - 1;
    this.#step();
  }

  /** Versions that are left. */
  get left(): number {
    return this.#left;
  }

  /** Returns the next version's address, or 0 at the end. */
  next(): number {
    if (this.#left === 0) return 0;
    const leaf = this.#path[this.#depth] ?? 0;
    const slot = this.#slots[this.#depth] ?? 0;
    if (slot % PREFETCHED_ENTRIES === (this.#isReverse ? PREFETCHED_ENTRIES - 1 : 0)) {
      this.#prefetch(leaf, slot);
    }
    const address = this.#pages.leaves.address(leaf, slot);
    this.#left--;
    if (this.#left > 0) this.#step();
    return address;
  }

  /**
   * Reads the tags of the next versions, so that their memory is in the processor's cache. These reads overlap, while a
   * caller reads one version after another: iterating over keys that were not written in key order takes half the time.
   */
  #prefetch(leaf: number, slot: number): void {
    const { heap, leaves } = this.#pages;
    const first = slot - slot % PREFETCHED_ENTRIES;
    const end = Math.min(first + PREFETCHED_ENTRIES, leaves.count(leaf));
    let tags = 0;
    for (let position = first; position < end; position++) tags += heap.tagOf(leaves.address(leaf, position));
    assert(tags > 0, "a leaf under a cursor has versions");
  }

  /**
   * Moves to the first entry at or above `bound`, without one to the end at which the cursor begins; returns its rank.
   */
  #seek(root: number, bound: Uint8Array | null): number {
    const { inner, leaves } = this.#pages;
    let page = root;
    let rank = 0;
    let depth = 0;
    inner.lowCommon = 0;
    inner.highCommon = 0;
    for (; this.#pages.isInner(page); depth++) {
      const slot = bound !== null ? inner.search(page, bound) : this.#isReverse ? inner.count(page) - 1 : 0;
      rank += inner.entriesBefore(page, slot);
      this.#path[depth] = page;
      this.#slots[depth] = slot;
      page = inner.child(page, slot);
    }
    const position = bound !== null
      ? leaves.search(page, bound, Math.min(inner.lowCommon, inner.highCommon))
      : this.#isReverse
      ? leaves.count(page)
      : 0;
    this.#path[depth] = page;
    this.#slots[depth] = position;
    this.#depth = depth;
    return rank + position;
  }

  /** Moves to the next entry, which may be in another leaf. */
  #step(): void {
    const { inner, leaves } = this.#pages;
    const step = this.#isReverse ? -1 : 1;
    let depth = this.#depth;
    for (;; depth--) {
      assert(depth >= 0, "a cursor ends with its range");
      const page = this.#path[depth] ?? 0;
      const slot = (this.#slots[depth] ?? 0) + step;
      const count = depth === this.#depth ? leaves.count(page) : inner.count(page);
      this.#slots[depth] = slot;
      if (slot >= 0 && slot < count) break;
    }
    for (; depth < this.#depth; depth++) {
      const page = inner.child(this.#path[depth] ?? 0, this.#slots[depth] ?? 0);
      const count = depth + 1 === this.#depth ? leaves.count(page) : inner.count(page);
      this.#path[depth + 1] = page;
      this.#slots[depth + 1] = this.#isReverse ? count - 1 : 0;
    }
  }
}
