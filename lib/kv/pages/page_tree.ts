/**
 * An ordered map from keys to versions: a B+ tree. A page that a view can reach is copied before it is changed.
 */
import { assert } from "../../platform/assert.ts";
import { PAGE_BYTES } from "./cell_heap.ts";
import type { Child } from "./inner_pages.ts";
import { MAX_LEVELS, type TreePages } from "./tree_pages.ts";
import type { Views } from "./views.ts";

/**
 * A leaf below MIN_LEAF_SHARE of its capacity is merged with a neighbour if the result is at most MAX_MERGED_SHARE of
 * it.
 */
const MIN_LEAF_SHARE = 0.25;
const MAX_MERGED_SHARE = 0.8;
/** The same limits for inner pages, in bytes. */
const MIN_INNER_BYTES = PAGE_BYTES * MIN_LEAF_SHARE;
const MAX_MERGED_BYTES = PAGE_BYTES * MAX_MERGED_SHARE;
/**
 * Share of an inner page at the right edge of the tree that stays in the left part of a split: ascending keys are added
 * to the right part only.
 */
const APPEND_SHARE = 0.9;

/**
 * One tree.
 *
 * Invariants: only the root may be a leaf without entries; every inner page has a child; each inner page counts the
 * entries under its children. {@link find} stores the path to the key, or to the position at which it would be
 * inserted; the change that follows uses it.
 */
export class PageTree {
  readonly #pages: TreePages;
  readonly #views: Views;
  /** The path of the last search: the pages from the root to the leaf, and the slot taken in each. */
  readonly #path = new Uint32Array(MAX_LEVELS);
  readonly #slots = new Int32Array(MAX_LEVELS);
  #depth = 0;
  /** Whether the last search found its key; null once the tree has changed. */
  #found: boolean | null = null;
  #common = 0;
  readonly #leafEntries: number;
  #root: number;
  #size = 0;

  /** An empty tree. */
  constructor(pages: TreePages, views: Views) {
    this.#pages = pages;
    this.#leafEntries = pages.limits.leafEntries;
    this.#views = views;
    this.#root = pages.leaves.create(views.epoch);
  }

  /** The root page. A tree is read from its root: until it changes, or while a view with this root is held. */
  get root(): number {
    return this.#root;
  }

  /** Number of keys. */
  get size(): number {
    return this.#size;
  }

  /** The version under a key, or 0. O(log n). */
  find(key: Uint8Array): number {
    const { inner, leaves } = this.#pages;
    let page = this.#root;
    let depth = 0;
    inner.lowCommon = 0;
    inner.highCommon = 0;
    while (this.#pages.isInner(page)) {
      const slot = inner.search(page, key);
      this.#path[depth] = page;
      this.#slots[depth++] = slot;
      page = inner.child(page, slot);
    }
    const position = leaves.search(page, key, Math.min(inner.lowCommon, inner.highCommon));
    this.#path[depth] = page;
    this.#slots[depth] = position;
    this.#depth = depth;
    this.#found = leaves.found;
    this.#common = leaves.common;
    return leaves.found ? leaves.address(page, position) : 0;
  }

  /** Replaces the version that was found last. */
  replace(address: number): void {
    assert(this.#found === true, "a version is replaced where it was found");
    this.#found = null;
    this.#copySharedPages();
    this.#pages.leaves.replace(this.#leaf, this.#slots[this.#depth] ?? 0, address);
  }

  /** Inserts the first version of the key that was not found. O(log n). */
  insert(address: number): void {
    assert(this.#found === false, "a key is inserted where it was not found");
    this.#found = null;
    this.#copySharedPages();
    this.#addEntries(1);
    const { leaves } = this.#pages;
    const leaf = this.#leaf;
    const position = this.#slots[this.#depth] ?? 0;
    if (leaves.count(leaf) < this.#leafEntries) {
      leaves.insert(leaf, { position, address, common: this.#common });
    } else this.#split(address);
  }

  /** Removes the key found last. O(log n). */
  remove(): void {
    assert(this.#found === true, "a key is removed where it was found");
    this.#found = null;
    this.#copySharedPages();
    this.#addEntries(-1);
    const { leaves } = this.#pages;
    const leaf = this.#leaf;
    leaves.remove(leaf, this.#slots[this.#depth] ?? 0);
    const count = leaves.count(leaf);
    const depth = this.#depth;
    if (depth === 0) return;
    if (count === 0) {
      this.#removeChild(depth - 1, this.#slots[depth - 1] ?? 0);
      this.#views.retirePage(leaf);
    } else if (count < this.#leafEntries * MIN_LEAF_SHARE) {
      this.#merge(depth);
    }
  }

  /** Appends a version whose key is greater than all others: sorted keys make full pages. O(1) amortized. */
  append(address: number): void {
    const { inner, leaves, records } = this.#pages;
    let page = this.#root;
    let depth = 0;
    for (; this.#pages.isInner(page); depth++) {
      const slot = inner.count(page) - 1;
      this.#path[depth] = page;
      this.#slots[depth] = slot;
      page = inner.child(page, slot);
    }
    const count = leaves.count(page);
    assert(
      count === 0 || records.compare(records.key(address), leaves.address(page, count - 1), 0) > 0,
      "keys are appended in ascending order",
    );
    this.#path[depth] = page;
    this.#slots[depth] = count;
    this.#depth = depth;
    this.#found = null;
    this.#copySharedPages();
    this.#addEntries(1);
    if (count < this.#leafEntries) leaves.append(this.#leaf, address);
    else this.#split(address);
  }

  get #leaf(): number {
    return this.#path[this.#depth] ?? 0;
  }

  /** Copies the pages of the path that a view can reach, so that they can be changed. */
  #copySharedPages(): void {
    for (let level = 0; level <= this.#depth; level++) {
      const page = this.#path[level] ?? 0;
      if (!this.#views.isShared(this.#pages.epochOf(page))) continue;
      const copy = this.#copy(page);
      this.#path[level] = copy;
      if (level === 0) this.#root = copy;
      else this.#pages.inner.setChild(this.#path[level - 1] ?? 0, this.#slots[level - 1] ?? 0, copy);
    }
  }

  /** Replaces a page by a copy of the current epoch. */
  #copy(page: number): number {
    const { inner, leaves } = this.#pages;
    const copy = this.#pages.isInner(page)
      ? inner.copy(page, this.#views.epoch)
      : leaves.copy(page, this.#views.epoch);
    this.#views.retirePage(page);
    return copy;
  }

  /** Returns a child of an inner page that may be changed: the child itself, or a copy if a view can reach it. */
  #unsharedChild(parent: number, slot: number): number {
    const child = this.#pages.inner.child(parent, slot);
    if (!this.#views.isShared(this.#pages.epochOf(child))) return child;
    const copy = this.#copy(child);
    this.#pages.inner.setChild(parent, slot, copy);
    return copy;
  }

  /** Adds `change` to the number of entries, in all pages of the path. */
  #addEntries(change: number): void {
    const { inner } = this.#pages;
    this.#size += change;
    for (let level = 0; level < this.#depth; level++) {
      const page = this.#path[level] ?? 0;
      const slot = this.#slots[level] ?? 0;
      inner.setEntries(page, slot, inner.entries(page, slot) + change);
    }
  }

  /** Inserts a version at the position found last, in a leaf that is full. */
  #split(address: number): void {
    const { leaves, records, inner } = this.#pages;
    const leaf = this.#leaf;
    const position = this.#slots[this.#depth] ?? 0;
    const right = leaves.create(this.#views.epoch);
    if (position === this.#leafEntries && this.#isRightmost(this.#depth)) {
      leaves.append(right, address);
      leaves.recomputeCommon(leaf);
    } else {
      const half = this.#leafEntries / 2;
      leaves.move(leaf, half, right);
      const target = position <= half ? leaf : right;
      const targetPosition = leaves.search(target, records.key(address), 0);
      leaves.insert(target, { position: targetPosition, address, common: leaves.common });
    }
    const last = leaves.address(leaf, leaves.count(leaf) - 1);
    const first = leaves.address(right, 0);
    const separator = records.key(first).slice(0, records.commonPrefix(last, first) + 1);
    const level = this.#depth - 1;
    if (level >= 0) inner.setEntries(this.#path[level] ?? 0, this.#slots[level] ?? 0, leaves.count(leaf));
    this.#insertChild(level, { child: right, entries: leaves.count(right), separator });
  }

  /** Whether the path down to `depth` is the right edge of the tree. */
  #isRightmost(depth: number): boolean {
    for (let level = 0; level < depth; level++) {
      if ((this.#slots[level] ?? 0) < this.#pages.inner.count(this.#path[level] ?? 0) - 1) return false;
    }
    return true;
  }

  /** Inserts a page after the one that the path takes at `level`. A level below 0 makes a new root. */
  #insertChild(level: number, child: Child): void {
    const { inner } = this.#pages;
    if (level < 0) {
      const root = inner.create(this.#views.epoch, this.#root, this.#size - child.entries);
      inner.insert(root, 1, child);
      this.#root = root;
      assert(this.#depth + 2 < MAX_LEVELS, "a tree has few levels");
      return;
    }
    const page = this.#path[level] ?? 0;
    const slot = (this.#slots[level] ?? 0) + 1;
    if (inner.insert(page, slot, child)) return;
    const count = inner.count(page);
    const isAppend = slot === count && this.#isRightmost(level);
    const middle = isAppend ? Math.floor(count * APPEND_SHARE) : inner.middle(page);
    const separator = inner.separator(page, middle).slice();
    const right = inner.createEmpty(this.#views.epoch);
    inner.move(page, middle, { to: right, separator });
    const isInserted = slot <= middle
      ? inner.insert(page, slot, child)
      : inner.insert(right, slot - middle, child);
    assert(isInserted, `a child fits in inner page ${page} after its split`);
    const above = level - 1;
    if (above >= 0) {
      inner.setEntries(this.#path[above] ?? 0, this.#slots[above] ?? 0, this.#pages.entriesUnder(page));
    }
    this.#insertChild(above, { child: right, entries: this.#pages.entriesUnder(right), separator });
  }

  /** Merges the page of the path at `level` with a neighbour under the same parent, if both fit into one page. */
  #merge(level: number): void {
    const { inner, leaves } = this.#pages;
    const parent = this.#path[level - 1] ?? 0;
    const slot = this.#slots[level - 1] ?? 0;
    const isLeaf = level === this.#depth;
    for (const left of [slot - 1, slot]) {
      if (left < 0 || left + 1 >= inner.count(parent)) continue;
      const [one, other] = [inner.child(parent, left), inner.child(parent, left + 1)];
      const separator = inner.separator(parent, left + 1).slice();
      const fits = isLeaf
        ? leaves.count(one) + leaves.count(other) <= this.#leafEntries * MAX_MERGED_SHARE
        : inner.count(one) + inner.count(other) <= this.#pages.limits.innerChildren &&
          inner.usedBytes(one) + inner.usedBytes(other) + separator.length <= MAX_MERGED_BYTES;
      if (!fits) continue;
      const target = this.#unsharedChild(parent, left);
      const source = this.#unsharedChild(parent, left + 1);
      if (isLeaf) leaves.move(source, 0, target);
      else inner.move(source, 0, { to: target, separator });
      inner.setEntries(parent, left, this.#pages.entriesUnder(target));
      this.#views.retirePage(source);
      this.#removeChild(level - 1, left + 1);
      return;
    }
  }

  /** Removes a child from the inner page of the path at `level`, and that page too when it has no other child. */
  #removeChild(level: number, slot: number): void {
    const { inner } = this.#pages;
    const page = this.#path[level] ?? 0;
    inner.remove(page, slot);
    const count = inner.count(page);
    if (count === 0) {
      if (level === 0) this.#root = this.#pages.leaves.create(this.#views.epoch);
      else this.#removeChild(level - 1, this.#slots[level - 1] ?? 0);
      this.#views.retirePage(page);
    } else if (level > 0) {
      if (inner.usedBytes(page) < MIN_INNER_BYTES) this.#merge(level);
    } else {
      while (this.#pages.isInner(this.#root) && inner.count(this.#root) === 1) {
        const root = this.#root;
        this.#root = inner.child(root, 0);
        this.#views.retirePage(root);
      }
    }
  }
}
