/** The ids of the watches of a stream, given as etcd gives them: the lowest number from 0 on that was not given, and is free. */
export class WatchIds<W> {
  readonly #watches = new Map<bigint, W>();
  #next = 0n;

  /** Number of ids that are taken. */
  get size(): number {
    return this.#watches.size;
  }

  /** Takes the id that a client wants, or (0) the next one, for a new watch; returns null if that id is taken. */
  take(wanted: bigint, make: (watchId: bigint) => W): W | null {
    if (wanted !== 0n && this.#watches.has(wanted)) return null;
    const watchId = wanted === 0n ? this.#nextFree() : wanted;
    const watch = make(watchId);
    this.#watches.set(watchId, watch);
    return watch;
  }

  /** Frees an id; returns its watch, null if it is not taken. */
  forget(watchId: bigint): W | null {
    const watch = this.#watches.get(watchId) ?? null;
    this.#watches.delete(watchId);
    return watch;
  }

  /** Returns the watches. */
  values(): Iterable<W> {
    return this.#watches.values();
  }

  #nextFree(): bigint {
    while (this.#watches.has(this.#next)) this.#next++;
    return this.#next++;
  }
}
