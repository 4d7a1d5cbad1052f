/**
 * Moves the entries of a tree out of the emptiest regions of its heap, so that these can be released: a few entries with
 * each step, so that no change takes long. A pass over all entries begins when the heap is fragmented. If a whole pass has
 * released no region, because others hold the remaining cells, the next pass begins after as many changes as there are
 * entries.
 */
import type { TreeCursor, TreePages } from "./tree_pages.ts";

/** Changes between two steps, and entries that one step reads. */
const CHANGES_PER_STEP = 32;
const ENTRIES_PER_STEP = 128;

/** The tree whose entries are moved. */
export interface DrainedTree {
  /** Number of entries. */
  readonly size: number;
  /** Whether a pass may begin: cells that are free soon need no other place. */
  readonly isSettled: boolean;
  /** Returns the entries from a key on. */
  from(key: Uint8Array): Pick<TreeCursor, "next">;
  /** Moves an entry to another cell. */
  move(address: number): void;
}

/** The progress of the moves in one heap. */
export class RegionDrain {
  /** First key of the next step; null between two passes. */
  #from: Uint8Array | null = null;
  /** Size of all regions when the pass began. */
  #regionBytesBefore = 0;
  #changesToStep = CHANGES_PER_STEP;

  /** Counts changes; returns whether a step is due. */
  isDue(changes: number): boolean {
    this.#changesToStep -= changes;
    return this.#changesToStep <= 0;
  }

  /** Moves the next entries out of draining regions. */
  step({ heap, records }: TreePages, tree: DrainedTree): void {
    this.#changesToStep = CHANGES_PER_STEP;
    if (this.#from === null) {
      if (!heap.isFragmented || !tree.isSettled || heap.drain() === 0) return;
      this.#from = new Uint8Array(0);
      this.#regionBytesBefore = heap.usage.regionBytes;
    }
    const cursor = tree.from(this.#from);
    const draining: number[] = [];
    let address = cursor.next();
    for (let looked = 0; looked < ENTRIES_PER_STEP && address !== 0; looked++) {
      if (heap.isDraining(address)) draining.push(address);
      address = cursor.next();
    }
    this.#from = address === 0 ? null : records.key(address).slice();
    for (const entry of draining) tree.move(entry);
    const releasedNothing = address === 0 && heap.usage.regionBytes >= this.#regionBytesBefore;
    if (releasedNothing) this.#changesToStep = Math.max(CHANGES_PER_STEP, tree.size);
  }
}
