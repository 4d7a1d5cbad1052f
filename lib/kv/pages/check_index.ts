/** Checks a key index: its tree and heap, and that it has exactly the given keys. */
import { compareKeys } from "../keys.ts";
import { checkHeap, checkTree, expectInvariant, shown } from "./check_tree.ts";
import type { KeyIndex } from "./key_index.ts";

/** A key with its number in an index. */
export interface IndexedVersion {
  readonly number: number;
  readonly key: Uint8Array;
}

/** Throws InvariantError unless an index, called `name`, is sound and has `expected`, which are in key order. */
export function checkIndex(index: KeyIndex, name: string, expected: readonly IndexedVersion[]): void {
  // Sorting keeps the order of equal elements.
  const sorted = expected.toSorted((a, b) => a.number - b.number);
  let position = 0;
  for (const { number, key } of index.entriesUpTo(Number.MAX_SAFE_INTEGER, Infinity)) {
    const next = sorted[position++];
    const isSame = next !== undefined && next.number === number && compareKeys(next.key, key) === 0;
    expectInvariant(isSame, `${name} has the attached keys only: ${number}, key ${shown(key)}`);
  }
  const missing = sorted[position];
  expectInvariant(
    missing === undefined,
    `${name} has every attached key: ${missing?.number}, key ${shown(missing?.key ?? new Uint8Array(0))}`,
  );
  const { structure } = index;
  if (structure === null) return;
  const { pages, root } = structure;
  // Nothing takes views of an index, so all of its pages are of the first epoch.
  const tree = checkTree(pages, root, { kind: "put", epoch: 1 });
  checkHeap(pages, tree.pages, new Set(tree.versions));
}
