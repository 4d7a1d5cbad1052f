/**
 * The views that are held, and the pages and versions that only they can reach.
 *
 * Taking a view begins a new epoch. A view can reach the pages that were made in its epoch or before, so they are
 * copied before they are changed; it can reach the versions up to its revision. A page or version that the trees and
 * the history no longer contain is _retired_: it is added to the list of the newest view that can reach it, or freed if
 * there is none. When a view is released, each item of its list is passed to the newest older view that can reach it,
 * or freed. These are the dead lists of ZFS snapshots. Lists are processed in steps ({@link Views.reclaim}), so
 * releasing a view is fast.
 */
import { AddressList } from "./address_list.ts";
import { assert } from "../../platform/assert.ts";
import type { TreePages } from "./tree_pages.ts";

/** The record of a view that is held, or that was released and still has items. */
export class ViewRecord {
  /** Pages made in a later epoch are not in the view. */
  readonly epoch: number;
  /** Versions of later revisions are not in the view. */
  readonly revision: number;
  /** The retired items of which this is the newest view that can reach them. */
  readonly pages = new AddressList();
  readonly versions = new AddressList();

  /** Makes a record without items. */
  constructor(epoch: number, revision: number) {
    this.epoch = epoch;
    this.revision = revision;
  }
}

/**
 * The views of a store.
 *
 * Invariants: held views are in ascending order of epoch and of revision; a retired item is in exactly one list, that
 * of the newest view that can reach it or that of a released view.
 */
export class Views {
  readonly #pages: TreePages;
  readonly #held: ViewRecord[] = [];
  readonly #released: ViewRecord[] = [];
  #epoch = 1;
  #newestEpoch = 0;
  #newestRevision = -1;

  /** Makes the collection, without views. */
  constructor(pages: TreePages) {
    this.#pages = pages;
  }

  /** The epoch of pages that are made now. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Views that are held, from the oldest. */
  get held(): readonly ViewRecord[] {
    return this.#held;
  }

  /** Views that were released and have items left. */
  get released(): readonly ViewRecord[] {
    return this.#released;
  }

  /** The revision of the newest view that is held; -1 without one. */
  get newestRevision(): number {
    return this.#newestRevision;
  }

  /** Whether a view can reach pages of this epoch. */
  isShared(epoch: number): boolean {
    return epoch <= this.#newestEpoch;
  }

  /** Takes a view and begins a new epoch: the present pages and versions are kept until the view is released. O(1). */
  take(revision: number): ViewRecord {
    assert(revision >= this.#newestRevision, "a view is not older than the one before");
    const view = new ViewRecord(this.#epoch, revision);
    this.#held.push(view);
    this.#epoch++;
    assert(this.#epoch < 2 ** 32, "epochs fit a page's header");
    this.#setNewest();
    return view;
  }

  /** Releases a view, from which nothing may be read any more. O(views). */
  release(view: ViewRecord): void {
    const position = this.#held.indexOf(view);
    assert(position >= 0, "a view is released once");
    this.#held.splice(position, 1);
    this.#setNewest();
    if (view.pages.length + view.versions.length > 0) this.#released.push(view);
  }

  /** Frees a page that its tree no longer contains, now or when no view can reach it. */
  retirePage(page: number): void {
    if (this.#pages.epochOf(page) > this.#newestEpoch) this.#pages.free(page);
    else this.#held[this.#held.length - 1]?.pages.push(page);
  }

  /** Frees a version that trees and history no longer contain, now or when no view can reach it. */
  retireVersion(address: number): void {
    if (this.#pages.records.modRevision(address) > this.#newestRevision) this.#pages.records.free(address);
    else this.#held[this.#held.length - 1]?.versions.push(address);
  }

  /** Frees or passes on up to `limit` items of released views; returns their number. */
  reclaim(limit: number): number {
    let done = 0;
    while (done < limit) {
      const view = this.#released[0];
      if (view === undefined) break;
      const older = this.#held.findLast(({ epoch }) => epoch < view.epoch) ?? null;
      for (; done < limit && view.pages.length > 0; done++) this.#reclaimPage(view.pages.pop(), older);
      for (; done < limit && view.versions.length > 0; done++) {
        this.#reclaimVersion(view.versions.pop(), older);
      }
      if (view.pages.length + view.versions.length === 0) this.#released.shift();
    }
    return done;
  }

  #reclaimPage(page: number, older: ViewRecord | null): void {
    if (older !== null && this.#pages.epochOf(page) <= older.epoch) older.pages.push(page);
    else this.#pages.free(page);
  }

  #reclaimVersion(address: number, older: ViewRecord | null): void {
    const { records } = this.#pages;
    if (older !== null && records.modRevision(address) <= older.revision) older.versions.push(address);
    else records.free(address);
  }

  #setNewest(): void {
    const newest = this.#held[this.#held.length - 1];
    this.#newestEpoch = newest?.epoch ?? 0;
    this.#newestRevision = newest?.revision ?? -1;
  }
}
