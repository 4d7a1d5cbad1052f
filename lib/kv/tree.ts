/**
 * Ordered maps that can be copied in O(1). A module of its own because the client library imports keys.ts, and what that
 * library imports uses no package (lib/platform and `node:` only).
 */
import sortedBTree from "sorted-btree";

/**
 * An ordered map, the copy-on-write B+ tree of `sorted-btree`. `clone()` is O(1), so a snapshot can be read while the store
 * changes; values are shared between clones, so a value in a cloned tree must not be changed in place.
 */
export type Tree<K extends string | number, V> = sortedBTree.default<K, V>;

/** Returns an empty tree in the order of `<`. */
export function newTree<K extends string | number, V>(): Tree<K, V> {
  // The library is a CommonJS module: its class is the property `default` of the import.
  return new sortedBTree.default<K, V>(undefined, (a, b) => a === b ? 0 : a < b ? -1 : 1);
}
