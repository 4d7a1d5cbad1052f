/**
 * The reads of a store or a view: the present state, the state as of a past revision, and the events between.
 *
 * Reads return addresses of versions (0 for none), whose fields are read with `records`, so that no object is allocated
 * for each key. Addresses, and the bytes of keys and values, are valid until the store is tidied, which happens before
 * an entry is applied; those of a view are valid until its release. Callers that need them for longer copy them.
 */
import { type Attachment, attachmentOf, type KeyValue } from "../command.ts";
import { assert } from "../../platform/assert.ts";
import type { EventRange } from "./event_log.ts";
import { PastCursor, PastVersions } from "./past_versions.ts";
import type { Records } from "./records.ts";
import { type KeyRange, TreeCursor, type TreePages } from "./tree_pages.ts";

/** Events without a superseded version after which {@link StoreReader.superseded} lets its caller pause: about 1 µs. */
const SKIPPED_PER_STEP = 16;

/** A range of keys and the direction of a scan. */
export interface Scan extends KeyRange {
  /** Whether keys descend. */
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

/** A cursor that returns the addresses of versions in order, and 0 at the end. */
export interface VersionCursor {
  next(): number;
}

/** A superseded version, for a snapshot. */
export interface SupersededVersion {
  readonly address: number;
  /** The version that superseded it. */
  readonly successor: number;
}

/**
 * A store or a view that can be read.
 *
 * Invariants: a key is in the tree of present keys or, while its deletion is in the history, in the tree of deleted
 * keys; the previous version of a version above the compacted revision, if it had one, is not freed.
 */
export abstract class StoreReader {
  protected readonly pages: TreePages;

  /** Makes a reader of trees in `pages`. */
  constructor(pages: TreePages) {
    this.pages = pages;
  }

  /** Revision of the last change. */
  abstract get revision(): number;
  /** The oldest revision that can be read; the events above it can be read. */
  abstract get compactedRevision(): number;
  /** Number of keys. */
  abstract get size(): number;
  protected abstract get presentRoot(): number;
  protected abstract get deletedRoot(): number;
  protected abstract get events(): EventRange;
  /** Number of the first event above the compacted revision. */
  protected abstract get firstEvent(): number;

  /** The parts that {@link checkStore} checks. */
  get structure(): StoreStructure {
    const { pages, presentRoot, deletedRoot, events, firstEvent } = this;
    return { pages, presentRoot, deletedRoot, events, firstEvent };
  }

  /** The fields of versions. */
  get records(): Records {
    return this.pages.records;
  }

  /** Returns the present version of a key, or 0. O(log n). */
  get(key: Uint8Array): number {
    return this.pages.find(this.presentRoot, key);
  }

  /** Returns the version of a key as of a revision, or 0. `versions` counts the work; {@link pastVersions} makes it. */
  getAt(key: Uint8Array, revision: number, versions = this.pastVersions()): number {
    const version = this.newestUpTo(key, revision, versions);
    return version !== 0 && this.records.isPut(version) ? version : 0;
  }

  /** Returns the last version of a key up to a revision, which may be a tombstone, or 0. */
  newestUpTo(key: Uint8Array, revision: number, versions = this.pastVersions()): number {
    this.#assertReadable(revision);
    const present = this.get(key);
    return versions.upTo(present !== 0 ? present : this.tombstone(key), revision);
  }

  /** Returns searches in the history. */
  pastVersions(): PastVersions {
    return new PastVersions(this.records, this.events, this.firstEvent);
  }

  /** Returns a cursor over the present versions in key order. O(log n), then O(1) for each. */
  scan(scan: Scan): TreeCursor {
    return new TreeCursor(this.pages, this.presentRoot, scan);
  }

  /** Returns a cursor over the versions as of a revision, in key order. */
  scanAt(scan: Scan, revision: number): PastCursor {
    this.#assertReadable(revision);
    // As of the present revision no deleted key is there.
    const isPresent = revision === this.revision;
    return new PastCursor(this.records, this.pastVersions(), {
      revision,
      present: this.scan(scan),
      deleted: isPresent ? null : new TreeCursor(this.pages, this.deletedRoot, scan),
      reverse: scan.reverse,
    });
  }

  /** Returns the number of present keys in a range. O(log n). */
  count({ lower, upper }: KeyRange): number {
    const from = lower === null ? 0 : this.pages.rank(this.presentRoot, lower);
    const to = upper === null ? this.size : this.pages.rank(this.presentRoot, upper);
    return Math.max(0, to - from);
  }

  /**
   * Returns a cursor over the versions that were written at `revision`, which is above the compacted one, and later.
   */
  eventsFrom(revision: number): VersionCursor {
    assert(revision > this.compactedRevision, "events are read above the compacted revision");
    const { events } = this;
    let number = events.seek(revision, this.firstEvent);
    return { next: () => number < events.end ? events.address(number++) : 0 };
  }

  /** Returns the number of versions that were written after `revision` and are in the history. O(log n). */
  eventsAfter(revision: number): number {
    if (revision < this.compactedRevision || revision >= this.revision) return 0;
    return this.events.end - this.events.seek(revision + 1, this.firstEvent);
  }

  /** Number of events above the compacted revision. */
  get eventCount(): number {
    return this.events.end - this.firstEvent;
  }

  /** Cost of the history: its events, superseded versions and tombstones. The same number on every node. */
  get historyBytes(): number {
    return this.events.costBefore(this.events.end) - this.events.costBefore(this.firstEvent);
  }

  /**
   * Returns the lowest revision at which to compact so that the history costs at most about `bytes`; the compacted
   * revision if it costs no more than that already. O(log n).
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

  /** Returns the previous version of the same key, or 0 if the history has none. */
  previous(address: number): number {
    const { records } = this;
    if (records.modRevision(address) <= this.compactedRevision) return 0;
    const previous = records.previous(address);
    return previous !== 0 && this.isInHistory(previous) ? previous : 0;
  }

  /** Whether a version is a put, or a deletion above the compacted revision. */
  isInHistory(address: number): boolean {
    return this.records.isPut(address) || this.records.modRevision(address) > this.compactedRevision;
  }

  /**
   * Returns the position of a version among those of its revision, from 0; 0 if its event is no longer in the history.
   */
  order(address: number): number {
    const { records } = this;
    return records.modRevision(address) > this.compactedRevision ? records.order(address) : 0;
  }

  /** Returns the tombstone of a deleted key, or 0 if its deletion is not in the history. */
  tombstone(key: Uint8Array): number {
    const tombstone = this.pages.find(this.deletedRoot, key);
    return tombstone !== 0 && this.isInHistory(tombstone) ? tombstone : 0;
  }

  /** Yields the versions of a key in the history, from the newest on. */
  *versions(key: Uint8Array): Iterable<number> {
    const present = this.get(key);
    let version = present !== 0 ? present : this.tombstone(key);
    for (; version !== 0; version = this.previous(version)) yield version;
  }

  /** Yields the tombstones of deleted keys whose deletion is in the history, in key order; of all by default. */
  *tombstones(scan: Scan = { lower: null, upper: null, reverse: false }): Iterable<number> {
    const cursor = new TreeCursor(this.pages, this.deletedRoot, scan);
    for (let version = cursor.next(); version !== 0; version = cursor.next()) {
      if (this.records.modRevision(version) > this.compactedRevision) yield version;
    }
  }

  /**
   * Yields the versions in the history that others superseded, in the order of their successors; and null after
   * every {@link SKIPPED_PER_STEP} events without one, so that the caller can pause: a store that was filled has
   * hundreds of thousands of them in a row.
   */
  *superseded(): Iterable<SupersededVersion | null> {
    const events = this.eventsFrom(this.compactedRevision + 1);
    let skipped = 0;
    for (let successor = events.next(); successor !== 0; successor = events.next()) {
      const address = this.previous(successor);
      if (address !== 0) yield { address, successor };
      else if (++skipped % SKIPPED_PER_STEP === 0) yield null;
    }
  }

  /**
   * Returns a version as an object. Key and value, if not passed, are views of the store's bytes, valid as long as the
   * address.
   */
  keyValue(
    address: number,
    key: Uint8Array = this.records.key(address),
    value: Uint8Array = this.records.value(address),
  ): KeyValue {
    const { records } = this;
    const entry = {
      key,
      value,
      createRevision: records.createRevision(address),
      modRevision: records.modRevision(address),
      version: records.version(address),
    };
    return records.isAttached(address) ? { ...entry, ...this.attachment(address) } : entry;
  }

  /** Returns to which lease the key of a version was attached, and when it was to expire. */
  attachment(address: number): Attachment {
    return attachmentOf(this.records.leaseId(address), this.records.expiresAtMs(address));
  }

  #assertReadable(revision: number): void {
    assert(
      revision >= this.compactedRevision && revision <= this.revision,
      "a past revision is read between the compacted and the present one",
    );
  }
}
