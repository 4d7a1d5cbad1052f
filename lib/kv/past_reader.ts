/**
 * Reads of a past state in a transaction. Their work is bounded by numbers that are the same on every node: tombstones
 * that are not in the history any more, which one node may have freed and another not yet, do not count.
 */
import type { Scan, StoreReader } from "./pages/store_reader.ts";

/** Reads a store as of past revisions, which are not below the compacted one. */
export class PastReader {
  readonly #pages: StoreReader;
  #leftVersions: number;

  /** Makes a reader that goes back over at most `maxVersions` later versions in all. */
  constructor(pages: StoreReader, maxVersions: number) {
    this.#pages = pages;
    this.#leftVersions = maxVersions;
  }

  /** Returns the version of a key as of a revision, 0 if there is none, or null when too many later versions exist. */
  get(key: Uint8Array, revision: number): number | null {
    const present = this.#pages.get(key);
    return this.#versionAt(present !== 0 ? present : this.#pages.tombstone(key), revision);
  }

  /** Returns the number of keys in a range that exist or whose deletion is in the history; above `limit`, some number. */
  countKeys(scan: Scan, limit: number): number {
    let count = this.#pages.count(scan);
    if (count > limit) return count;
    for (const _tombstone of this.#pages.tombstones(scan)) {
      if (++count > limit) break;
    }
    return count;
  }

  /** Yields the versions of a range as of a revision, or null at last when too many later versions exist. */
  *range(scan: Scan, revision: number): Iterable<number | null> {
    const { records } = this.#pages;
    const direction = scan.reverse ? -1 : 1;
    const present = this.#pages.scan(scan);
    let next = present.next();
    for (const tombstone of this.#pages.tombstones(scan)) {
      const key = records.key(tombstone);
      for (; next !== 0 && records.compare(key, next, 0) * direction > 0; next = present.next()) {
        const version = this.#versionAt(next, revision);
        if (version !== 0) yield version;
        if (version === null) return;
      }
      const version = this.#versionAt(tombstone, revision);
      if (version !== 0) yield version;
      if (version === null) return;
    }
    for (; next !== 0; next = present.next()) {
      const version = this.#versionAt(next, revision);
      if (version !== 0) yield version;
      if (version === null) return;
    }
  }

  /** Returns the version as of a revision of the key with this newest version, 0, or null. */
  #versionAt(newest: number, revision: number): number | null {
    const { records } = this.#pages;
    let version = newest;
    // A version above the revision is above the compacted one too, so its previous version is not freed.
    while (version !== 0 && records.modRevision(version) > revision) {
      if (this.#leftVersions === 0) return null;
      this.#leftVersions--;
      version = records.previous(version);
    }
    return version !== 0 && records.isPut(version) ? version : 0;
  }
}
