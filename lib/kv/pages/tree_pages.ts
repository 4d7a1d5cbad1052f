/**
 * What all trees of a store share: the heap, the versions and the pages in it, and reading a tree from its root.
 *
 * A root is the address of a page. A tree that is read must not change meanwhile, unless the root is that of a view.
 */
import { CellHeap, PAGE_BYTES, wordBase } from "./cell_heap.ts";
import { INNER_TAG, InnerPages } from "./inner_pages.ts";
import { LEAF_CAPACITY, LEAF_TAG, LeafPages } from "./leaf_pages.ts";
import { assert, InvariantError } from "../../platform/assert.ts";
import { Records } from "./records.ts";

/** Levels that a tree may have: pages split in halves, so it takes more keys than a heap holds to come near. */
export const MAX_LEVELS = 16;

/** Versions of a leaf that a cursor reads ahead. */
const TOUCHED_ENTRIES = 16;

/** How much a page may hold; tests make it small, so that few keys make trees of many levels. */
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

  /** No pages yet. */
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

  /** Gives a page back, without those under it. */
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

  /** The version under a key, or 0. */
  find(root: number, key: Uint8Array): number {
    let page = root;
    this.inner.lowCommon = 0;
    this.inner.highCommon = 0;
    while (this.isInner(page)) page = this.inner.child(page, this.inner.search(page, key));
    const position = this.leaves.search(page, key, Math.min(this.inner.lowCommon, this.inner.highCommon));
    return this.leaves.found ? this.leaves.address(page, position) : 0;
  }

  /** How many keys of a tree are less than `key`. */
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

  /** The first (or last) version of a tree, or 0. */
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

/** Walks over a range of a tree in either direction. The tree must not change meanwhile. */
export class TreeCursor {
  readonly #pages: TreePages;
  readonly #isReverse: boolean;
  readonly #path = new Uint32Array(MAX_LEVELS);
  readonly #slots = new Int32Array(MAX_LEVELS);
  #depth = 0;
  #left: number;

  /** A cursor before the first version of the range. O(log n). */
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
    // The position is that of the first entry not below the bound, which may be behind the last of its leaf.
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
    if (slot % TOUCHED_ENTRIES === (this.#isReverse ? TOUCHED_ENTRIES - 1 : 0)) this.#touch(leaf, slot);
    const address = this.#pages.leaves.address(leaf, slot);
    this.#left--;
    if (this.#left > 0) this.#step();
    return address;
  }

  /**
   * Reads a word of each of the next versions. These reads do not wait for each other, as those of a caller who looks at
   * one version after another do: a walk over keys that were not written in their order takes half the time.
   */
  #touch(leaf: number, slot: number): void {
    const { heap, leaves } = this.#pages;
    const first = slot - slot % TOUCHED_ENTRIES;
    const end = Math.min(first + TOUCHED_ENTRIES, leaves.count(leaf));
    let tags = 0;
    for (let position = first; position < end; position++) tags += heap.tagOf(leaves.address(leaf, position));
    assert(tags > 0, "a leaf that is walked has versions");
  }

  /** Goes to the first entry not below `bound`, or to the end at which a walk without one begins; returns its rank. */
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
