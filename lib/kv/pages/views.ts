/**
 * Which views are held, and what only they can reach any more.
 *
 * Taking a view begins a new epoch. A page made in the epoch of a view or before it can be reached from the view, so it
 * is copied before it is changed; a version can be reached if its revision is not above the view's. What leaves the
 * trees and the history (is "retired") while a view can reach it goes to the list of the newest such view. When that
 * view is released, each item of its list goes to the newest older view that can reach it, or is freed: the dead lists
 * of ZFS. That is done in steps ({@link Views.reclaim}), so that releasing a view takes no time.
 */
import { AddressList } from "./address_list.ts";
import { assert } from "../../platform/assert.ts";
import type { TreePages } from "./tree_pages.ts";

/** A view that is held, or was released and has a list that is not empty yet. */
export class HeldView {
  /** Pages made in a later epoch are not in the view. */
  readonly epoch: number;
  /** Versions of later revisions are not in the view. */
  readonly revision: number;
  /** What left the store after this view was taken and before the next one was. */
  readonly pages = new AddressList();
  readonly versions = new AddressList();

  /** A view with empty lists. */
  constructor(epoch: number, revision: number) {
    this.epoch = epoch;
    this.revision = revision;
  }
}

/**
 * The views of a store.
 *
 * Invariants: held views are in ascending order of epoch, and of revision; an item is in the list of the newest view
 * that can reach it, or in that of a released view, and in one list only.
 */
export class Views {
  readonly #pages: TreePages;
  readonly #held: HeldView[] = [];
  readonly #released: HeldView[] = [];
  #epoch = 1;
  #newestEpoch = 0;
  #newestRevision = -1;

  /** Without views. */
  constructor(pages: TreePages) {
    this.#pages = pages;
  }

  /** The epoch of pages that are made now. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Views that are held, from the oldest. */
  get held(): readonly HeldView[] {
    return this.#held;
  }

  /** Views that were released and have items left. */
  get released(): readonly HeldView[] {
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

  /** Begins a new epoch, so that everything there is now stays as it is until the view is released. O(1). */
  take(revision: number): HeldView {
    assert(revision >= this.#newestRevision, "a view is not older than the one before");
    const view = new HeldView(this.#epoch, revision);
    this.#held.push(view);
    this.#epoch++;
    assert(this.#epoch < 2 ** 32, "epochs fit a page's header");
    this.#setNewest();
    return view;
  }

  /** Ends a view. Nothing may be read through it any more. O(views). */
  release(view: HeldView): void {
    const position = this.#held.indexOf(view);
    assert(position >= 0, "a view is released once");
    this.#held.splice(position, 1);
    this.#setNewest();
    if (view.pages.length + view.versions.length > 0) this.#released.push(view);
  }

  /** A page left its tree: frees it now, or when no view can reach it. */
  retirePage(page: number): void {
    if (this.#pages.epochOf(page) > this.#newestEpoch) this.#pages.free(page);
    else this.#held[this.#held.length - 1]?.pages.push(page);
  }

  /** A version left trees and history: frees it now, or when no view can reach it. */
  retireVersion(address: number): void {
    if (this.#pages.records.modRevision(address) > this.#newestRevision) this.#pages.records.free(address);
    else this.#held[this.#held.length - 1]?.versions.push(address);
  }

  /** Handles up to `limit` items of released views, and returns how many it did. */
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

  #reclaimPage(page: number, older: HeldView | null): void {
    if (older !== null && this.#pages.epochOf(page) <= older.epoch) older.pages.push(page);
    else this.#pages.free(page);
  }

  #reclaimVersion(address: number, older: HeldView | null): void {
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
