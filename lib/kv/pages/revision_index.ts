/**
 * The number of the first event of each revision, for a loader that gets the versions of a history in the order of their
 * keys. The revisions are counted, which takes one step for each version, so that a caller can pause in between.
 */
import { assert } from "../../platform/assert.ts";

/**
 * Revisions without an event, as a multiple of the number of events, up to which the index has an element for each
 * revision. A write of a database may advance the revision without an event; a damaged or invented state may have any.
 */
const MAX_GAPS = 2;
const MIN_REVISIONS = 1_024;

/** The revisions that have events. */
export interface RevisionIndex {
  /** Returns the number of the first event of a revision; null if it has none. */
  startOf(revision: number): number | null;
  /** Returns the number of events of a revision. */
  countAt(revision: number): number;
}

/** The numbers of events by revision, while they are counted. */
export class RevisionCounts {
  readonly #first: number;
  readonly #last: number;
  /** By revision from the first; null if the revisions are far more than the events, which are collected then. */
  readonly #counts: Uint32Array | null;
  readonly #collected: number[] = [];

  /** Makes an index without events, for `events` events of the revisions from `first` to `last`. */
  constructor({ first, last, events }: {
    readonly first: number;
    readonly last: number;
    readonly events: number;
  }) {
    this.#first = first;
    this.#last = last;
    const revisions = last - first + 1;
    const isDense = revisions <= Math.max(MIN_REVISIONS, events * (1 + MAX_GAPS));
    this.#counts = isDense ? new Uint32Array(revisions + 1) : null;
  }

  /** Counts an event. */
  add(revision: number): void {
    assert(revision >= this.#first && revision <= this.#last, "an event is of a revision in the history");
    if (this.#counts === null) this.#collected.push(revision);
    else this.#counts[revision - this.#first] = (this.#counts[revision - this.#first] ?? 0) + 1;
  }

  /** Returns the index of the events that were counted. */
  finish(): RevisionIndex {
    return this.#counts === null ? this.#sparse() : this.#dense(this.#counts);
  }

  #dense(counts: Uint32Array): RevisionIndex {
    const first = this.#first;
    let start = 0;
    for (let position = 0; position < counts.length; position++) {
      const count = counts[position] ?? 0;
      counts[position] = start;
      start += count;
    }
    const countAt = (revision: number): number => {
      const position = revision - first;
      return position < 0 ? 0 : Math.max(0, (counts[position + 1] ?? 0) - (counts[position] ?? 0));
    };
    const startOf = (revision: number): number | null =>
      countAt(revision) > 0 ? counts[revision - first] ?? null : null;
    return { startOf, countAt };
  }

  #sparse(): RevisionIndex {
    const revisions = Float64Array.from(this.#collected).sort();
    const starts = new Map<number, number>();
    const counts = new Map<number, number>();
    for (let number = 0; number < revisions.length; number++) {
      const revision = revisions[number] ?? 0;
      if (!starts.has(revision)) starts.set(revision, number);
      counts.set(revision, (counts.get(revision) ?? 0) + 1);
    }
    return {
      startOf: (revision) => starts.get(revision) ?? null,
      countAt: (revision) => counts.get(revision) ?? 0,
    };
  }
}
