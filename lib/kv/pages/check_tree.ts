/**
 * Checks a tree of pages: the order of its keys, the heads and counts of its pages; and that the cells in use of a heap
 * are exactly those that can be reached.
 */
import { InvariantError } from "../../platform/assert.ts";
import { cellBytes, PAGE_BYTES } from "./cell_heap.ts";
import { compareKeys } from "../keys.ts";
import { keyHead } from "./records.ts";
import type { TreePages } from "./tree_pages.ts";

const MAX_SHOWN_BYTES = 24;

/** Bounds of the keys in a page, from the separators of its parent. */
interface Bounds {
  readonly lower: Uint8Array | null;
  readonly upper: Uint8Array | null;
}

/** The pages and versions of one tree, in order. */
export interface Tree {
  readonly kind: "put" | "tombstone";
  readonly pages: Set<number>;
  readonly versions: number[];
}

/** Checks a tree, whose pages were made up to `epoch`, and returns its pages and versions. */
export function checkTree(
  pages: TreePages,
  root: number,
  { kind, epoch }: { readonly kind: Tree["kind"]; readonly epoch: number },
): Tree {
  const tree: Tree = { kind, pages: new Set(), versions: [] };
  new TreeCheck(pages, tree, epoch).walk(root, { lower: null, upper: null });
  return tree;
}

/** A check of one tree. */
class TreeCheck {
  readonly #pages: TreePages;
  readonly #tree: Tree;
  readonly #epoch: number;

  constructor(pages: TreePages, tree: Tree, epoch: number) {
    this.#pages = pages;
    this.#tree = tree;
    this.#epoch = epoch;
  }

  /** Checks a page and those under it; returns the number of entries under it. */
  walk(page: number, bounds: Bounds): number {
    const tree = this.#tree;
    expectInvariant(!tree.pages.has(page), `page ${page} has one parent`);
    tree.pages.add(page);
    expectInvariant(
      this.#pages.epochOf(page) <= this.#epoch,
      `page ${page} was made in an epoch that has begun`,
    );
    if (!this.#pages.isInner(page)) return this.#walkLeaf(page, bounds);
    const { inner } = this.#pages;
    const count = inner.count(page);
    expectInvariant(count > 0, `inner page ${page} has a child`);
    let entries = 0;
    for (let slot = 0; slot < count; slot++) {
      const lower = slot === 0 ? bounds.lower : inner.separator(page, slot);
      const upper = slot === count - 1 ? bounds.upper : inner.separator(page, slot + 1);
      expectInvariant(
        lower === null || upper === null || compareKeys(lower, upper) < 0,
        `the separators of page ${page} ascend at slot ${slot}, ${lower === null ? "" : shown(lower)}`,
      );
      const under = this.walk(inner.child(page, slot), { lower, upper });
      expectInvariant(
        under === inner.entries(page, slot),
        `page ${page} counts ${inner.entries(page, slot)} entries under slot ${slot}, which has ${under}`,
      );
      entries += under;
    }
    expectInvariant(inner.separator(page, 0).length === 0, `the first separator of page ${page} is empty`);
    return entries;
  }

  #walkLeaf(page: number, { lower, upper }: Bounds): number {
    const tree = this.#tree;
    const { leaves, records } = this.#pages;
    const count = leaves.count(page);
    expectInvariant(count > 0 || tree.pages.size === 1, `leaf ${page} has entries unless it is the root`);
    const common = leaves.commonBytes(page);
    let before: Uint8Array | null = null;
    for (let position = 0; position < count; position++) {
      const version = leaves.address(page, position);
      expectInvariant(
        records.isVersion(version),
        `leaf ${page} leads to a version in use at position ${position}`,
      );
      const key = records.key(version);
      const where = `leaf ${page}, key ${shown(key)}`;
      const kind = records.isPut(version) ? "put" : "tombstone";
      expectInvariant(kind === tree.kind, `${where}: its newest version is a ${tree.kind}`);
      expectInvariant(
        lower === null || compareKeys(lower, key) <= 0,
        `${where}: not below its leaf's separator`,
      );
      expectInvariant(upper === null || compareKeys(key, upper) < 0, `${where}: below the next separator`);
      expectInvariant(
        before === null || compareKeys(before, key) < 0,
        `${where}: greater than the key before`,
      );
      expectInvariant(
        key.length >= common &&
          (before === null || compareKeys(before.subarray(0, common), key.subarray(0, common)) === 0),
        `${where}: has its first ${common} bytes in common with the others`,
      );
      expectInvariant(
        leaves.head(page, position) === keyHead(key, common),
        `${where}: its head is that of the key`,
      );
      before = key;
      tree.versions.push(version);
    }
    return count;
  }
}

/** Checks that the cells in use of a heap are those of the given pages and versions. */
export function checkHeap(
  pages: TreePages,
  usedPages: ReadonlySet<number>,
  usedVersions: ReadonlySet<number>,
): void {
  const { heap, inner, records } = pages;
  heap.check();
  let bytes = 0;
  for (const page of usedPages) {
    bytes += PAGE_BYTES;
    const count = pages.isInner(page) ? inner.count(page) : 0;
    for (let slot = 0; slot < count; slot++) {
      if (inner.separatorCell(page, slot) !== 0) bytes += cellBytes(8 + inner.separator(page, slot).length);
    }
  }
  let largeBytes = 0;
  for (const version of usedVersions) {
    bytes += cellBytes(records.cellBytes(version));
    largeBytes += records.isLarge(version) ? records.valueLength(version) : 0;
  }
  const { count } = records;
  expectInvariant(
    usedVersions.size === count,
    `${usedVersions.size} versions can be reached, ${count} are in use`,
  );
  const { liveBytes } = heap.usage;
  expectInvariant(bytes === liveBytes, `cells of ${bytes} bytes can be reached, ${liveBytes} are in use`);
  expectInvariant(
    largeBytes === records.largeBytes,
    `large values have ${largeBytes} bytes, ${records.largeBytes} counted`,
  );
}

/** Throws InvariantError unless an invariant holds. */
export function expectInvariant(condition: boolean, invariant: string): void {
  if (!condition) throw new InvariantError(`Invariant violated: ${invariant}`);
}

/** Returns the start of a key in hexadecimal, for a message. */
export function shown(key: Uint8Array): string {
  const text = [...key.subarray(0, MAX_SHOWN_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  return key.length > MAX_SHOWN_BYTES ? `${text}… (${key.length} bytes)` : text;
}
