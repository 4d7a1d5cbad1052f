/**
 * The keys with their history: two trees (present keys; deleted keys whose deletion the history has), the versions that
 * they lead to, and the events in order of revision.
 *
 * A put or delete writes a version that leads to the one before it. `compact` makes older history unreachable at once;
 * what it took is freed in steps ({@link PagedStore.tidy}).
 */
import { assert } from "../../platform/assert.ts";
import { eventCost, EventLog, type EventRange } from "./event_log.ts";
import { PageTree } from "./page_tree.ts";
import { StoreReader } from "./store_reader.ts";
import { type PageLimits, TreePages } from "./tree_pages.ts";
import { type HeldView, Views } from "./views.ts";

/** Items that each change frees, while there are any. It makes at most three: a version, its tombstone and a page. */
const FREED_PER_CHANGE = 4;
/** Events that are looked at for each item that may be freed. */
const EVENTS_PER_ITEM = 8;
/** Changes between two steps of moving, and keys that one step looks at. */
const CHANGES_PER_MOVE = 32;
const KEYS_PER_MOVE = 128;

/** A store as it stood when the view was taken. It must be released. */
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

  /** A view of `store`. */
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

  /** Whether it was not released yet. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  protected override get events(): EventRange {
    assert(this.#isHeld, "a view is not read after it was released");
    return this.#events;
  }

  /** Ends the view: nothing may be read through it, or from addresses that it gave, any more. Once more does nothing. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#release();
  }

  /** Releases the view. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/** What a store is made of. */
export interface StoreParts {
  readonly pages: TreePages;
  readonly views: Views;
  /** The present versions. */
  readonly present: PageTree;
  /** The tombstones of keys that are not present. */
  readonly deleted: PageTree;
  /** The events above the compacted revision. */
  readonly events: EventLog;
  readonly revision: number;
  readonly compactedRevision: number;
  /** Of all present keys and values. */
  readonly bytes: number;
  /** Versions that were written at the revision. */
  readonly order: number;
}

/** Makes the parts of a store without keys. */
export function emptyParts(limits?: PageLimits): StoreParts {
  const pages = new TreePages(limits);
  const views = new Views(pages);
  return {
    pages,
    views,
    present: new PageTree(pages, views),
    deleted: new PageTree(pages, views),
    events: new EventLog(pages.records),
    revision: 0,
    compactedRevision: 0,
    bytes: 0,
    order: 0,
  };
}

/** What a store retains for its views, and has yet to free. */
export interface RetainedStructure {
  readonly views: readonly StoreView[];
  readonly marks: Views;
  /** Events before this number have freed what they superseded. */
  readonly reclaimedEvent: number;
}

/**
 * A store. Everything that can be read is determined by the changes made; where it lies is not.
 *
 * Invariants, beside those of {@link StoreReader}: the revision of a change is not below the last one's, and above that
 * of every view; the event log has every version above the compacted revision, once.
 */
export class PagedStore extends StoreReader {
  readonly #views: Views;
  readonly #present: PageTree;
  readonly #deleted: PageTree;
  readonly #events: EventLog;
  #revision = 0;
  /** Versions that were written at the revision. */
  #order = 0;
  #compactedRevision = 0;
  #firstEvent = 0;
  /** Events before this number have freed what they superseded. */
  #reclaimedEvent = 0;
  #bytes = 0;
  readonly #held = new Set<StoreView>();
  /** The key from which on versions are moved out of regions next; null between two passes over all keys. */
  #moveFrom: Uint8Array | null = null;
  /** Changes since {@link tidy} was called last. */
  #changesToTidy = 0;
  /** What the regions took when the pass began. */
  #regionBytesBefore = 0;
  /** Changes until the next step of moving. */
  #changesToMove = CHANGES_PER_MOVE;

  /** A store with these parts, which nothing else changes from then on; without keys, by default. */
  constructor(parts: StoreParts = emptyParts()) {
    super(parts.pages);
    this.#views = parts.views;
    this.#present = parts.present;
    this.#deleted = parts.deleted;
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

  /** What the store takes in memory. */
  get usage(): { readonly liveBytes: number; readonly spanBytes: number; readonly regionBytes: number } {
    const { largeBytes } = this.records;
    const { liveBytes, spanBytes, regionBytes } = this.pages.heap.usage;
    return {
      liveBytes: liveBytes + largeBytes,
      spanBytes: spanBytes + largeBytes,
      regionBytes: regionBytes + largeBytes,
    };
  }

  /** Views that are held. */
  get viewCount(): number {
    return this.#views.held.length;
  }

  /**
   * Sets a key's value and returns the address of the new version. The value is copied unless it is large; a large one
   * must not change afterwards. O(log n).
   */
  put(key: Uint8Array, value: Uint8Array, revision: number): number {
    this.#begin(revision);
    const { records } = this;
    const before = this.#present.find(key);
    if (before !== 0) {
      const address = records.create(key, value, {
        createRevision: records.createRevision(before),
        modRevision: revision,
        version: records.version(before) + 1,
        order: this.#order,
        previous: before,
      });
      this.#bytes += value.length - records.valueLength(before);
      this.#present.replace(address);
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
    });
    this.#bytes += key.length + value.length;
    this.#present.insert(address);
    this.#note(address, tombstone);
    return address;
  }

  /** Removes a key; whether it was there. If not, nothing changes. O(log n). */
  delete(key: Uint8Array, revision: number): boolean {
    const before = this.#present.find(key);
    if (before === 0) return false;
    this.#begin(revision);
    const { records } = this;
    this.#present.remove();
    this.#bytes -= key.length + records.valueLength(before);
    const tombstone = records.create(key, null, {
      createRevision: 0,
      modRevision: revision,
      version: 0,
      order: this.#order,
      previous: before,
    });
    const other = this.#deleted.find(key);
    assert(other === 0, "a present key is not among the deleted ones");
    this.#deleted.insert(tombstone);
    this.#note(tombstone, before);
    return true;
  }

  /**
   * Makes everything unreachable that only reads below `revision` and events up to it need. Without effect when it is not
   * above the compacted revision. O(log n); memory is freed by {@link tidy}.
   */
  compact(revision: number): void {
    if (revision <= this.#compactedRevision) return;
    assert(revision <= this.#revision, "a store is compacted up to its revision");
    this.#firstEvent = this.#events.seek(revision + 1, this.#firstEvent);
    this.#compactedRevision = revision;
  }

  /**
   * Frees some of what compacting and released views left, and moves some versions together, in proportion to the changes
   * since it was called last. Everything that was read before is invalid afterwards, so the state machine calls it
   * before it applies an entry; nothing else frees or moves what can be read.
   */
  tidy(): void {
    if (this.#changesToTidy === 0) return;
    this.reclaim(this.#changesToTidy * FREED_PER_CHANGE);
    this.#changesToMove -= this.#changesToTidy;
    this.#changesToTidy = 0;
    if (this.#changesToMove <= 0) this.#moveTogether();
  }

  /**
   * Frees what compacting and released views left: up to `limit` items. Returns
   * whether nothing is left to be freed.
   */
  reclaim(limit: number): boolean {
    let left = limit - this.#views.reclaim(limit);
    // Most events of a store that is being filled superseded nothing.
    for (let looked = 0; left > 0 && looked < limit * EVENTS_PER_ITEM; looked++) {
      if (this.#reclaimedEvent >= this.#firstEvent) break;
      left -= this.#reclaimEvent(this.#events.address(this.#reclaimedEvent));
      this.#reclaimedEvent++;
    }
    this.#events.dropBefore(this.#reclaimedEvent);
    return this.#reclaimedEvent >= this.#firstEvent && this.#views.released.length === 0;
  }

  /** The store as it stands. O(1), but for one step a 2,048 events. The caller releases it. */
  view(): StoreView {
    const mark: HeldView = this.#views.take(this.#revision);
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
        this.#views.release(mark);
      },
    });
    this.#held.add(view);
    return view;
  }

  /** What {@link checkStore} walks beside the present state. */
  get retained(): RetainedStructure {
    return { views: [...this.#held], marks: this.#views, reclaimedEvent: this.#reclaimedEvent };
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

  #begin(revision: number): void {
    assert(revision >= this.#revision, "revisions do not fall");
    assert(revision > this.#views.newestRevision, "what a view shows does not change");
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#order = 0;
  }

  #note(address: number, previous: number): void {
    this.#events.push(address, eventCost(this.records, address, previous));
    this.#order++;
    this.#changesToTidy++;
  }

  /** Frees what an event at or below the compacted revision superseded, and itself if it deleted the key; how many. */
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

  /**
   * Moves versions out of regions that are to be given back, while the heap has many half-empty ones: those of some keys,
   * so that no change takes long. A pass over all keys that gave nothing back (history and views hold what is left in the
   * regions) lets as many changes go by before the next one.
   */
  #moveTogether(): void {
    this.#changesToMove = CHANGES_PER_MOVE;
    const { heap } = this.pages;
    if (this.#moveFrom === null) {
      const isSettled = this.#views.released.length === 0 && this.#reclaimedEvent >= this.#firstEvent;
      if (!heap.isWasteful || !isSettled || heap.drain() === 0) return;
      this.#moveFrom = new Uint8Array(0);
      this.#regionBytesBefore = heap.usage.regionBytes;
    }
    const { records } = this;
    const cursor = this.scan({ lower: this.#moveFrom, upper: null, reverse: false });
    const versions: number[] = [];
    let address = cursor.next();
    for (let looked = 0; looked < KEYS_PER_MOVE && address !== 0; looked++) {
      if (heap.isDraining(address)) versions.push(address);
      address = cursor.next();
    }
    this.#moveFrom = address === 0 ? null : records.key(address).slice();
    for (const version of versions) this.#move(version);
    const isInVain = address === 0 && heap.usage.regionBytes >= this.#regionBytesBefore;
    if (isInVain) this.#changesToMove = Math.max(CHANGES_PER_MOVE, this.size);
  }

  /** Moves a present version to another cell. */
  #move(version: number): void {
    const { records } = this;
    this.#present.find(records.key(version));
    const copy = records.copy(version);
    this.#present.replace(copy);
    const first = this.#events.seek(records.modRevision(version), this.#reclaimedEvent);
    // The events of a revision may be reclaimed in part: then the first that is left has an order above 0.
    const number = first + records.order(version) - records.order(this.#events.address(first));
    if (this.#events.address(number) === version) this.#events.setAddress(number, copy);
    this.#views.retireVersion(version);
  }
}
