/**
 * The present keys as the operations of a transaction have changed them so far, before anything is changed in the store.
 *
 * Invariants: `changes` are the puts and deletes in order; a planned delete is of a key that exists then. Applied in one
 * revision, they give every version that was read here the same numbers. The store does not change meanwhile.
 */
import { type Attachment, attachmentOf, type KeyValue, type Mutation } from "./command.ts";
import { compareKeys, keyText } from "./keys.ts";
import type { Scan, StoreReader } from "./pages/store_reader.ts";
import type { KeyRange } from "./pages/tree_pages.ts";
import { assert } from "../platform/assert.ts";

/** A version that a transaction reads: the address of a stored one, or one that the transaction itself has written. */
export type Version = number | KeyValue;

/** A key that the transaction has changed. */
interface ChangedKey {
  readonly key: Uint8Array;
  /** Whether it exists in the store. */
  readonly isStored: boolean;
  /** Null where the transaction has deleted it. */
  current: KeyValue | null;
}

/** The changes of one transaction over the present keys of a store. */
export class Overlay {
  /** The changes that were made, in order. Keys may be views of the store's bytes. */
  readonly changes: Mutation[] = [];
  readonly #pages: StoreReader;
  /** The revision in which the changes will be made. */
  readonly #revision: number;
  readonly #changed = new Map<string, ChangedKey>();
  /** The changed keys in order, but for those that were added since the last read of a range. */
  #sorted: ChangedKey[] = [];
  #unsorted: ChangedKey[] = [];

  /** Makes an overlay without changes. Its changes will be made in `revision`. */
  constructor(pages: StoreReader, revision: number) {
    this.#pages = pages;
    this.#revision = revision;
  }

  /** Returns the present version of a key, or null. */
  get(key: Uint8Array): Version | null {
    // A key needs no text while the transaction has changed nothing.
    const changed = this.#changed.size === 0 ? undefined : this.#changed.get(keyText(key));
    if (changed !== undefined) return changed.current;
    const address = this.#pages.get(key);
    return address === 0 ? null : address;
  }

  /** Returns the number of present keys in a range. O(log n + changes). */
  count(range: KeyRange): number {
    let count = this.#pages.count(range);
    for (const { isStored, current } of this.#changedIn(range)) {
      count += (current === null ? 0 : 1) - (isStored ? 1 : 0);
    }
    return count;
  }

  /** Yields the present versions of a range. Nothing may be changed meanwhile. */
  *range(scan: Scan): Iterable<Version> {
    const { records } = this.#pages;
    const direction = scan.reverse ? -1 : 1;
    const changed = this.#changedIn(scan);
    if (scan.reverse) changed.reverse();
    const cursor = this.#pages.scan(scan);
    let stored = cursor.next();
    for (const { key, current } of changed) {
      while (stored !== 0 && records.compare(key, stored, 0) * direction > 0) {
        yield stored;
        stored = cursor.next();
      }
      if (stored !== 0 && records.compare(key, stored, 0) === 0) stored = cursor.next();
      if (current !== null) yield current;
    }
    for (; stored !== 0; stored = cursor.next()) yield stored;
  }

  /** Sets a key's value; the caller owns both. The key is attached as given. Returns the new version. */
  put(key: Uint8Array, value: Uint8Array, attachment: Attachment = {}): KeyValue {
    const before = this.get(key);
    const version = {
      key,
      value,
      createRevision: before === null ? this.#revision : this.#createRevision(before),
      modRevision: this.#revision,
      version: before === null ? 1 : this.#versionNumber(before) + 1,
      ...attachment,
    };
    this.#set(key, version);
    const { leaseId = null, expiresAtMs = null } = attachment;
    const isPlain = leaseId === null && expiresAtMs === null;
    this.changes.push(
      isPlain ? { kind: "put", key, value } : { kind: "expiringPut", key, value, leaseId, expiresAtMs },
    );
    return version;
  }

  /** Deletes a key that exists. */
  delete(key: Uint8Array): void {
    assert(this.get(key) !== null, "a transaction deletes keys that exist");
    this.#set(key, null);
    this.changes.push({ kind: "delete", key });
  }

  /** Returns the key of a version; that of a stored one is a view of the store's bytes. */
  keyOf(version: Version): Uint8Array {
    return typeof version === "number" ? this.#pages.records.key(version) : version.key;
  }

  /** Returns the value of a version; that of a stored one is a view of the store's bytes. */
  valueOf(version: Version): Uint8Array {
    return typeof version === "number" ? this.#pages.records.value(version) : version.value;
  }

  /** Returns the bytes of the key and value of a version. */
  sizeOf(version: Version): number {
    if (typeof version !== "number") return version.key.length + version.value.length;
    const { records } = this.#pages;
    return records.keyLength(version) + records.valueLength(version);
  }

  /** Returns the bytes of the value of a version that was read here. */
  valueLengthOf(version: Version): number {
    return typeof version === "number" ? this.#pages.records.valueLength(version) : version.value.length;
  }

  /** Returns the lease to which the key of a version is attached, or 0. */
  leaseIdOf(version: Version): number {
    return typeof version === "number" ? this.#pages.records.leaseId(version) : version.leaseId ?? 0;
  }

  /** Returns to which lease the key of a version is attached, and when it expires. */
  attachmentOf(version: Version): Attachment {
    if (typeof version === "number") return this.#pages.attachment(version);
    return attachmentOf(version.leaseId ?? 0, version.expiresAtMs ?? 0);
  }

  #createRevision(version: Version): number {
    return typeof version === "number" ? this.#pages.records.createRevision(version) : version.createRevision;
  }

  #versionNumber(version: Version): number {
    return typeof version === "number" ? this.#pages.records.version(version) : version.version;
  }

  #set(key: Uint8Array, current: KeyValue | null): void {
    const text = keyText(key);
    const changed = this.#changed.get(text);
    if (changed !== undefined) {
      changed.current = current;
      return;
    }
    const added = { key, isStored: this.#pages.get(key) !== 0, current };
    this.#changed.set(text, added);
    this.#unsorted.push(added);
  }

  /** Returns the changed keys of a range in ascending order. */
  #changedIn({ lower, upper }: KeyRange): ChangedKey[] {
    this.#sort();
    const from = lower === null ? 0 : this.#rank(lower);
    const to = upper === null ? this.#sorted.length : this.#rank(upper);
    return this.#sorted.slice(from, to);
  }

  /** Merges the keys that were added into the sorted ones: a few keys cost no sort of many. */
  #sort(): void {
    if (this.#unsorted.length === 0) return;
    const added = this.#unsorted.sort((a, b) => compareKeys(a.key, b.key));
    this.#unsorted = [];
    const merged: ChangedKey[] = [];
    let position = 0;
    for (const known of this.#sorted) {
      for (
        let next = added[position];
        next !== undefined && compareKeys(next.key, known.key) < 0;
        next = added[position]
      ) {
        merged.push(next);
        position++;
      }
      merged.push(known);
    }
    this.#sorted = merged.concat(added.slice(position));
  }

  /** Returns the number of changed keys below `key`. */
  #rank(key: Uint8Array): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#sorted[middle];
      if (at !== undefined && compareKeys(at.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
