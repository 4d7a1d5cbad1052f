/**
 * The keys with their history: a tree of the present keys, a tree of the deleted keys whose deletion is in the history,
 * the versions that they refer to, and the events in order of revision.
 *
 * A put or delete writes a version that has the address of the previous one. `compact` makes older history unreachable
 * at once; its memory is freed in steps ({@link PagedStore.tidy}).
 */
import { assert } from "../../platform/assert.ts";
import type { HeapUsage } from "./cell_heap.ts";
import { eventCost, EventLog, type EventRange } from "./event_log.ts";
import { KeyIndex } from "./key_index.ts";
import { PageTree } from "./page_tree.ts";
import { RegionDrain } from "./region_drain.ts";
import { StoreReader } from "./store_reader.ts";
import { type PageLimits, TreePages } from "./tree_pages.ts";
import { type ViewRecord, Views } from "./views.ts";

/**
 * Items to free for each change, while there are any. A change retires at most three: a version, a tombstone and a
 * page.
 */
const FREED_PER_CHANGE = 4;
/** Maximum number of events that are read for each item to free. */
const EVENTS_PER_ITEM = 8;

/** A view: the state of a store when the view was taken. The caller releases it. */
export class StoreView extends StoreReader {
  override readonly revision: number;
  override readonly compactedRevision: number;
  override readonly size: number;
  /** Bytes of all keys and values. */
  readonly bytes: number;
  protected override readonly presentRoot: number;
  protected override readonly deletedRoot: number;
  protected override readonly firstEvent: number;
  readonly #events: EventRange;
  readonly #release: () => void;
  #isHeld = true;

  /** Makes a view of the given state. */
  constructor(pages: TreePages, from: {
    readonly revision: number;
    readonly compactedRevision: number;
    readonly size: number;
    readonly bytes: number;
    readonly presentRoot: number;
    readonly deletedRoot: number;
    readonly firstEvent: number;
    readonly events: EventRange;
    readonly release: () => void;
  }) {
    super(pages);
    this.revision = from.revision;
    this.compactedRevision = from.compactedRevision;
    this.size = from.size;
    this.bytes = from.bytes;
    this.presentRoot = from.presentRoot;
    this.deletedRoot = from.deletedRoot;
    this.firstEvent = from.firstEvent;
    this.#events = from.events;
    this.#release = from.release;
  }

  /** Whether the view was not released yet. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  protected override get events(): EventRange {
    assert(this.#isHeld, "a view is not read after its release");
    return this.#events;
  }

  /** Releases the view: neither it nor the addresses that it returned may be read any more. May be called twice. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#release();
  }

  /** Calls {@link release}. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/** To which lease a put attaches its key, and when the key expires; 0 for neither. */
export interface Attached {
  readonly leaseId: number;
  readonly expiresAtMs: number;
}

const NOT_ATTACHED: Attached = { leaseId: 0, expiresAtMs: 0 };

/** The parts of a store. */
export interface StoreParts {
  readonly pages: TreePages;
  readonly views: Views;
  /** The present versions. */
  readonly present: PageTree;
  /** The tombstones of keys that are not present. */
  readonly deleted: PageTree;
  /** The present keys by the lease to which they are attached, and by the time at which they expire. */
  readonly leased: KeyIndex;
  readonly expiring: KeyIndex;
  /** The events above the compacted revision. */
  readonly events: EventLog;
  readonly revision: number;
  readonly compactedRevision: number;
  /** Bytes of all present keys and values. */
  readonly bytes: number;
  /** Number of versions with the newest revision. */
  readonly order: number;
}

/** Returns the parts of a store without keys. */
export function emptyParts(limits?: PageLimits): StoreParts {
  const pages = new TreePages(limits);
  const views = new Views(pages);
  return {
    pages,
    views,
    present: new PageTree(pages, views),
    deleted: new PageTree(pages, views),
    leased: new KeyIndex(limits),
    expiring: new KeyIndex(limits),
    events: new EventLog(pages.records),
    revision: 0,
    compactedRevision: 0,
    bytes: 0,
    order: 0,
  };
}

/** The parts of a store that are retained for its views or not freed yet. */
export interface RetainedStructure {
  readonly views: readonly StoreView[];
  readonly viewRecords: Views;
  /** The versions that were superseded by events before this number are freed or retired. */
  readonly reclaimedEvent: number;
}

/**
 * A store. Its content depends only on the changes that were made; the addresses also depend on when they were made.
 *
 * Invariants, besides those of {@link StoreReader}: the revision of a change is at least that of the last change, and
 * above that of every view; the event log has each version above the compacted revision exactly once.
 */
export class PagedStore extends StoreReader {
  readonly #views: Views;
  readonly #present: PageTree;
  readonly #deleted: PageTree;
  readonly #leased: KeyIndex;
  readonly #expiring: KeyIndex;
  readonly #events: EventLog;
  #revision = 0;
  /** Number of versions with the newest revision. */
  #order = 0;
  #compactedRevision = 0;
  #firstEvent = 0;
  /** The versions that were superseded by events before this number are freed or retired. */
  #reclaimedEvent = 0;
  #bytes = 0;
  readonly #held = new Set<StoreView>();
  readonly #drain = new RegionDrain();
  /** The numbers of the version that {@link put} writes: one object, since versions are written more often than anything. */
  readonly #numbers = {
    createRevision: 0,
    modRevision: 0,
    version: 0,
    order: 0,
    previous: 0,
    leaseId: 0,
    expiresAtMs: 0,
  };
  /** Number of changes since the last {@link tidy}. */
  #changesSinceTidy = 0;

  /** Makes a store of these parts, which nothing else changes from then on; without keys by default. */
  constructor(parts: StoreParts = emptyParts()) {
    super(parts.pages);
    this.#views = parts.views;
    this.#present = parts.present;
    this.#deleted = parts.deleted;
    this.#leased = parts.leased;
    this.#expiring = parts.expiring;
    this.#events = parts.events;
    this.#revision = parts.revision;
    this.#compactedRevision = parts.compactedRevision;
    this.#bytes = parts.bytes;
    this.#order = parts.order;
  }

  override get revision(): number {
    return this.#revision;
  }

  override get compactedRevision(): number {
    return this.#compactedRevision;
  }

  override get size(): number {
    return this.#present.size;
  }

  /** Bytes of all present keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The memory of the store; large values are in each of the numbers. */
  get usage(): { readonly liveBytes: number; readonly spanBytes: number; readonly regionBytes: number } {
    const { largeBytes } = this.records;
    const heaps = [this.pages.heap.usage, this.#leased.usage, this.#expiring.usage];
    const sum = (name: keyof HeapUsage): number =>
      heaps.reduce((bytes, usage) => bytes + usage[name], largeBytes);
    return { liveBytes: sum("liveBytes"), spanBytes: sum("spanBytes"), regionBytes: sum("regionBytes") };
  }

  /** Number of views that are held. */
  get viewCount(): number {
    return this.#views.held.length;
  }

  /** The present keys by lease, and by the time at which they expire. Only this store changes them. */
  get indexes(): { readonly leased: KeyIndex; readonly expiring: KeyIndex } {
    return { leased: this.#leased, expiring: this.#expiring };
  }

  /** Raises the revision to one at which nothing has changed. */
  advance(revision: number): void {
    if (revision > this.#revision) this.#begin(revision);
  }

  /**
   * Sets a key's value and returns the address of the new version. The value is copied unless it is large; a large one
   * must not change afterwards. The key is attached as given, and detached from what it was attached to. O(log n).
   */
  put(key: Uint8Array, value: Uint8Array, revision: number, attached = NOT_ATTACHED): number {
    this.#begin(revision);
    const { leaseId, expiresAtMs } = attached;
    const { records } = this;
    const before = this.#present.find(key);
    if (before !== 0) {
      const numbers = this.#numbers;
      numbers.createRevision = records.createRevision(before);
      numbers.modRevision = revision;
      numbers.version = records.version(before) + 1;
      numbers.order = this.#order;
      numbers.previous = before;
      numbers.leaseId = leaseId;
      numbers.expiresAtMs = expiresAtMs;
      const address = records.create(key, value, numbers);
      this.#bytes += value.length - records.valueLength(before);
      this.#present.replace(address);
      if (attached !== NOT_ATTACHED || records.isAttached(before)) this.#reattach(key, before, attached);
      this.#note(address, before);
      return address;
    }
    const tombstone = this.#deleted.size === 0 ? 0 : this.#deleted.find(key);
    if (tombstone !== 0) this.#deleted.remove();
    const address = records.create(key, value, {
      createRevision: revision,
      modRevision: revision,
      version: 1,
      order: this.#order,
      previous: tombstone,
      leaseId,
      expiresAtMs,
    });
    this.#bytes += key.length + value.length;
    this.#present.insert(address);
    if (attached !== NOT_ATTACHED) this.#reattach(key, 0, attached);
    this.#note(address, tombstone);
    return address;
  }

  /** Deletes a key; returns whether it existed. If not, nothing changes. O(log n). */
  delete(key: Uint8Array, revision: number): boolean {
    const before = this.#present.find(key);
    if (before === 0) return false;
    this.#begin(revision);
    const { records } = this;
    this.#present.remove();
    if (records.isAttached(before)) this.#reattach(key, before, NOT_ATTACHED);
    this.#bytes -= key.length + records.valueLength(before);
    const tombstone = records.create(key, null, {
      createRevision: 0,
      modRevision: revision,
      version: 0,
      order: this.#order,
      previous: before,
      ...NOT_ATTACHED,
    });
    const other = this.#deleted.find(key);
    assert(other === 0, "a present key is not among the deleted ones");
    this.#deleted.insert(tombstone);
    this.#note(tombstone, before);
    return true;
  }

  /**
   * Drops the history below `revision`: earlier revisions can no longer be read, nor the events up to `revision`. No
   * effect if `revision` is not above the compacted one. O(log n); {@link tidy} frees the memory.
   */
  compact(revision: number): void {
    if (revision <= this.#compactedRevision) return;
    assert(revision <= this.#revision, "a store is compacted up to its revision");
    this.#firstEvent = this.#events.seek(revision + 1, this.#firstEvent);
    this.#compactedRevision = revision;
  }

  /**
   * Frees memory that compaction and released views left, and moves versions out of draining regions: an amount of work
   * in proportion to the changes since the last call. Addresses and bytes that were read before are invalid afterwards,
   * so the state machine calls this before it applies an entry. Changes and compactions invalidate nothing.
   */
  tidy(): void {
    if (this.#changesSinceTidy === 0) return;
    this.reclaim(this.#changesSinceTidy * FREED_PER_CHANGE);
    const isDrainDue = this.#drain.isDue(this.#changesSinceTidy);
    this.#changesSinceTidy = 0;
    if (!isDrainDue) return;
    this.#drain.step(this.pages, {
      size: this.size,
      isSettled: this.#views.released.length === 0 && this.#reclaimedEvent >= this.#firstEvent,
      from: (lower) => this.scan({ lower, upper: null, reverse: false }),
      move: (version) => this.#move(version),
    });
  }

  /**
   * Frees up to `limit` of the items that compaction and released views left. Returns whether none remain.
   */
  reclaim(limit: number): boolean {
    let left = limit - this.#views.reclaim(limit);
    // An event may free nothing: while a store is filled, most of them superseded no version.
    for (let looked = 0; left > 0 && looked < limit * EVENTS_PER_ITEM; looked++) {
      if (this.#reclaimedEvent >= this.#firstEvent) break;
      left -= this.#reclaimEvent(this.#events.address(this.#reclaimedEvent));
      this.#reclaimedEvent++;
    }
    this.#events.dropBefore(this.#reclaimedEvent);
    return this.#reclaimedEvent >= this.#firstEvent && this.#views.released.length === 0;
  }

  /**
   * Takes a view of the present state, which the caller releases. O(1), apart from a copy of the event log's list of
   * chunks.
   */
  view(): StoreView {
    const record: ViewRecord = this.#views.take(this.#revision);
    const view = new StoreView(this.pages, {
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      size: this.size,
      bytes: this.#bytes,
      presentRoot: this.#present.root,
      deletedRoot: this.#deleted.root,
      firstEvent: this.#firstEvent,
      events: this.#events.view(),
      release: () => {
        this.#held.delete(view);
        this.#views.release(record);
      },
    });
    this.#held.add(view);
    return view;
  }

  /** The parts that {@link checkStore} checks besides the present state. */
  get retained(): RetainedStructure {
    return { views: [...this.#held], viewRecords: this.#views, reclaimedEvent: this.#reclaimedEvent };
  }

  protected override get presentRoot(): number {
    return this.#present.root;
  }

  protected override get deletedRoot(): number {
    return this.#deleted.root;
  }

  protected override get events(): EventRange {
    return this.#events;
  }

  protected override get firstEvent(): number {
    return this.#firstEvent;
  }

  /** Begins a change at `revision`. */
  #begin(revision: number): void {
    assert(revision >= this.#revision, "revisions do not fall");
    assert(revision > this.#views.newestRevision, "a change is above the revision of every view");
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#order = 0;
  }

  /** Moves a key in the indexes from where its last version, if not 0, has it to where it is attached now. */
  #reattach(key: Uint8Array, before: number, { leaseId, expiresAtMs }: Attached): void {
    const { records } = this;
    const leaseBefore = before === 0 ? 0 : records.leaseId(before);
    if (leaseBefore !== leaseId) {
      if (leaseBefore !== 0) this.#leased.remove(leaseBefore, key);
      if (leaseId !== 0) this.#leased.add(leaseId, key);
    }
    const expiryBefore = before === 0 ? 0 : records.expiresAtMs(before);
    if (expiryBefore === expiresAtMs) return;
    if (expiryBefore !== 0) this.#expiring.remove(expiryBefore, key);
    if (expiresAtMs !== 0) this.#expiring.add(expiresAtMs, key);
  }

  /** Appends the event of a version that was written. */
  #note(address: number, previous: number): void {
    this.#events.push(address, eventCost(this.records, address, previous));
    this.#order++;
    this.#changesSinceTidy++;
  }

  /**
   * Retires the version that an event at or below the compacted revision superseded, and the event's own version if
   * that is a tombstone whose key was not created again. Returns the number of retired versions.
   */
  #reclaimEvent(address: number): number {
    const { records } = this;
    const previous = records.previous(address);
    if (previous !== 0) this.#views.retireVersion(previous);
    const freed = previous === 0 ? 0 : 1;
    if (records.isPut(address) || this.#deleted.find(records.key(address)) !== address) return freed;
    this.#deleted.remove();
    this.#views.retireVersion(address);
    return freed + 1;
  }

  /** Moves a present version to another cell. */
  #move(version: number): void {
    const { records } = this;
    this.#present.find(records.key(version));
    const copy = records.copy(version);
    this.#present.replace(copy);
    const first = this.#events.seek(records.modRevision(version), this.#reclaimedEvent);
    // If some events of the revision are reclaimed already, the first remaining one has an order above 0.
    const number = first + records.order(version) - records.order(this.#events.address(first));
    if (this.#events.address(number) === version) this.#events.setAddress(number, copy);
    this.#views.retireVersion(version);
  }
}
