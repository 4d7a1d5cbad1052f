/** Two small tools on collections that several files of this room use. */

/** How many elements at the beginning of `sorted` are so; those behind them are not. O(log n). */
export function partitionPoint<T>(sorted: readonly T[], isSo: (element: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const element = sorted[middle];
    if (element !== undefined && isSo(element)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What stands at `key`; made and put there if there is nothing yet. */
export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const present = map.get(key);
  if (present !== undefined) return present;
  const made = make();
  map.set(key, made);
  return made;
}
