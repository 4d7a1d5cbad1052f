/**
 * Reading a store or a view of one: the present state, the state as of a past revision, and the events between.
 *
 * What is returned are addresses of versions (0: none), whose fields `records` reads: no object is made for a key.
 * Addresses, and the bytes of keys and values, are good until the store is tidied, which happens before an entry is
 * applied; those from a view are good until it is released. Callers that need them for longer copy them.
 */
import type { KeyValue } from "../command.ts";
import { assert } from "../../platform/assert.ts";
import type { EventRange } from "./event_log.ts";
import type { Records } from "./records.ts";
import { type KeyRange, TreeCursor, type TreePages } from "./tree_pages.ts";

/** A range and the direction in which it is walked. */
export interface Scan extends KeyRange {
  /** From the greatest key down. */
  readonly reverse: boolean;
}

/** The trees and events of a store or view. */
export interface StoreStructure {
  readonly pages: TreePages;
  readonly presentRoot: number;
  readonly deletedRoot: number;
  readonly events: EventRange;
  /** Number of the first event above the compacted revision. */
  readonly firstEvent: number;
}

/** Something that hands out versions in an order, and 0 at the end. */
export interface VersionCursor {
  next(): number;
}

/** A superseded version as a snapshot has it. */
export interface SupersededVersion {
  readonly address: number;
  /** The version that superseded it. */
  readonly successor: number;
}

/**
 * Invariants that all reading rests on: a key is in the tree of present keys or, while the history has its deletion, in
 * the tree of deleted ones; the version before one above the compacted revision is there, if it had one.
 */
export abstract class StoreReader {
  protected readonly pages: TreePages;

  /** Reads the trees in `pages`. */
  constructor(pages: TreePages) {
    this.pages = pages;
  }

  /** Revision of the last change. */
  abstract get revision(): number;
  /** Reads are possible as of this revision and later ones, and events are there of the revisions above it. */
  abstract get compactedRevision(): number;
  /** Number of keys. */
  abstract get size(): number;
  protected abstract get presentRoot(): number;
  protected abstract get deletedRoot(): number;
  protected abstract get events(): EventRange;
  /** Number of the first event above the compacted revision. */
  protected abstract get firstEvent(): number;

  /** What {@link checkStore} walks. */
  get structure(): StoreStructure {
    const { pages, presentRoot, deletedRoot, events, firstEvent } = this;
    return { pages, presentRoot, deletedRoot, events, firstEvent };
  }

  /** Reads the fields of versions. */
  get records(): Records {
    return this.pages.records;
  }

  /** The present version of a key, or 0. O(log n). */
  get(key: Uint8Array): number {
    return this.pages.find(this.presentRoot, key);
  }

  /** The version of a key as of a revision, or 0. O(log n + versions of the key since). */
  getAt(key: Uint8Array, revision: number): number {
    this.#assertReadable(revision);
    const present = this.pages.find(this.presentRoot, key);
    const newest = present !== 0 ? present : this.pages.find(this.deletedRoot, key);
    return this.#versionAt(newest, revision);
  }

  /** Present versions in the order of their keys. O(log n), then O(1) each. */
  scan(scan: Scan): TreeCursor {
    return new TreeCursor(this.pages, this.presentRoot, scan);
  }

  /** Versions as of a revision in the order of their keys. */
  scanAt(scan: Scan, revision: number): VersionCursor {
    this.#assertReadable(revision);
    const present = this.scan(scan);
    if (revision === this.revision) return present;
    const deleted = new TreeCursor(this.pages, this.deletedRoot, scan);
    let [one, other] = [present.next(), deleted.next()];
    const direction = scan.reverse ? -1 : 1;
    const next = (): number => {
      while (one !== 0 || other !== 0) {
        const isOne = other === 0 ||
          (one !== 0 && this.records.compare(this.records.key(one), other, 0) * direction < 0);
        const version = this.#versionAt(isOne ? one : other, revision);
        if (isOne) one = present.next();
        else other = deleted.next();
        if (version !== 0) return version;
      }
      return 0;
    };
    return { next };
  }

  /** Number of present keys in a range. O(log n). */
  count({ lower, upper }: KeyRange): number {
    const from = lower === null ? 0 : this.pages.rank(this.presentRoot, lower);
    const to = upper === null ? this.size : this.pages.rank(this.presentRoot, upper);
    return Math.max(0, to - from);
  }

  /** Events of `revision` (above the compacted one) and later, in order: the versions that puts and deletes wrote. */
  eventsFrom(revision: number): VersionCursor {
    assert(revision > this.compactedRevision, "events are read above the compacted revision");
    const { events } = this;
    let number = events.seek(revision, this.firstEvent);
    return { next: () => number < events.end ? events.address(number++) : 0 };
  }

  /** Number of events above the compacted revision. */
  get eventCount(): number {
    return this.events.end - this.firstEvent;
  }

  /** What the history costs: its events, superseded versions and tombstones. The same on every node. */
  get historyBytes(): number {
    return this.events.costBefore(this.events.end) - this.events.costBefore(this.firstEvent);
  }

  /**
   * The revision to compact at so that the history costs about `bytes` at most; the compacted revision when it costs no
   * more now. O(log n).
   */
  revisionToKeep(bytes: number): number {
    const { events } = this;
    if (this.historyBytes <= bytes) return this.compactedRevision;
    const total = events.costBefore(events.end);
    let low = this.firstEvent;
    let high = events.end - 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (total - events.costBefore(middle + 1) <= bytes) high = middle;
      else low = middle + 1;
    }
    return this.records.modRevision(events.address(low));
  }

  /** The put or delete of the same key before this version, or 0 when the history has none. */
  previous(address: number): number {
    const { records } = this;
    if (records.modRevision(address) <= this.compactedRevision) return 0;
    const previous = records.previous(address);
    if (previous === 0) return 0;
    return records.isPut(previous) || records.modRevision(previous) > this.compactedRevision ? previous : 0;
  }

  /** How many versions of its revision were written before this one; 0 for one that has no event any more. */
  order(address: number): number {
    const { records } = this;
    return records.modRevision(address) > this.compactedRevision ? records.order(address) : 0;
  }

  /** All versions of a key that the history has, from the newest. */
  *versions(key: Uint8Array): Iterable<number> {
    const present = this.get(key);
    let version = present !== 0 ? present : this.#deleted(key);
    for (; version !== 0; version = this.previous(version)) yield version;
  }

  /** The keys that were deleted and whose deletion the history has: their tombstones in the order of the keys. */
  *tombstones(): Iterable<number> {
    const cursor = new TreeCursor(this.pages, this.deletedRoot, { lower: null, upper: null, reverse: false });
    for (let version = cursor.next(); version !== 0; version = cursor.next()) {
      if (this.records.modRevision(version) > this.compactedRevision) yield version;
    }
  }

  /** All versions that are neither present nor the newest tombstone of a key, in the order of what superseded them. */
  *superseded(): Iterable<SupersededVersion> {
    const events = this.eventsFrom(this.compactedRevision + 1);
    for (let successor = events.next(); successor !== 0; successor = events.next()) {
      const address = this.previous(successor);
      if (address !== 0) yield { address, successor };
    }
  }

  /** A version as an object. Its bytes, where they are not given, are views of the store's, good as long as the address is. */
  keyValue(
    address: number,
    key: Uint8Array = this.records.key(address),
    value: Uint8Array = this.records.value(address),
  ): KeyValue {
    const { records } = this;
    return {
      key,
      value,
      createRevision: records.createRevision(address),
      modRevision: records.modRevision(address),
      version: records.version(address),
    };
  }

  #deleted(key: Uint8Array): number {
    const tombstone = this.pages.find(this.deletedRoot, key);
    const isThere = tombstone !== 0 && this.records.modRevision(tombstone) > this.compactedRevision;
    return isThere ? tombstone : 0;
  }

  #versionAt(newest: number, revision: number): number {
    const { records } = this;
    let version = newest;
    // Only versions above the revision, and so above the compacted one, are left for the ones before them.
    while (version !== 0 && records.modRevision(version) > revision) version = records.previous(version);
    return version !== 0 && records.isPut(version) ? version : 0;
  }

  #assertReadable(revision: number): void {
    assert(
      revision >= this.compactedRevision && revision <= this.revision,
      "a past revision is read between the compacted and the present one",
    );
  }
}
