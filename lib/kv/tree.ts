/**
 * Ordered maps that can be copied in O(1), so that a snapshot may be read while the store goes on changing.
 *
 * The only file that knows the library behind them: `sorted-btree`, a B+ tree with copy-on-write nodes.
 */
import sortedBTree from "sorted-btree";

/**
 * An ordered map. `clone()` is O(1) and both sides may change afterwards without the other seeing it; values are
 * shared between them, so a value in a tree that is cloned must not be changed in place.
 */
export type Tree<K extends string | number, V> = sortedBTree.default<K, V>;

/** An empty tree in the order of `<`. */
export function newTree<K extends string | number, V>(): Tree<K, V> {
  // The library is a CommonJS module: its class is the property `default` of what an import gives.
  return new sortedBTree.default<K, V>(undefined, (a, b) => a === b ? 0 : a < b ? -1 : 1);
}
