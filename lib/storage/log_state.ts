/**
 * What the log says so far: the hard state, which terms its entries have, and where they stand. Recovery builds it
 * from the records it reads, an open log keeps it up with the records it writes, by the same rules.
 *
 * Invariants: entries are consecutive from `firstIndex` up; terms never fall along the log and never exceed the hard
 * state's; what is committed is in the log and is never overridden; the hard state never goes back.
 */
import { assert } from "../assert.ts";
import type { Entry, HardState, TermRun } from "../raft/types.ts";

/** Entries are found by reading on from a known place at most this many bytes before them. */
const CHECKPOINT_SPACING_BYTES = 64 * 1024;

/** The hard state of a node that has never heard of any term. */
export const INITIAL_HARD_STATE: HardState = { term: 0, vote: null, commitIndex: 0 };

/** The last entry before those of a log: in the snapshot it begins behind, or (0, 0). */
export interface LogBase {
  readonly index: number;
  readonly term: number;
}

/** Where a record begins. */
export interface LogPosition {
  /** Number of the segment. */
  readonly segment: number;
  /** Byte of its file. */
  readonly offset: number;
}

/**
 * A known place of an entry. From there up to the next checkpoint's index the entries stand one behind the other in
 * one segment, with nothing but hard states between them: an entry that begins a segment or overrides others always
 * gets a checkpoint.
 */
export interface Checkpoint extends LogPosition {
  /** Index of the entry that stands here. */
  readonly index: number;
}

/** The log's content, without the entries' data. */
export class LogState {
  #hardState: HardState = INITIAL_HARD_STATE;
  #lastIndex = 0;
  #termRuns: TermRun[] = [];
  #checkpoints: Checkpoint[] = [];

  /** Index of the first entry. Nothing removes entries from the front yet. */
  readonly firstIndex = 1;

  /** The latest hard state. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** Index of the last entry, `firstIndex - 1` when there is none. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** The terms of all entries. */
  get termRuns(): readonly TermRun[] {
    return this.#termRuns;
  }

  /**
   * Known places by index. Later entries are added to this very array; when entries are overridden a new array takes
   * its place, so that a reader under way keeps the log as it was when it began.
   */
  get checkpoints(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  /** Term of the entry at `index`; 0 before the first. */
  termAt(index: number): number {
    return this.#termRuns.findLast((run) => run.firstIndex <= index)?.term ?? 0;
  }

  /** Why `next` can't follow the hard state there is, or null when it can. */
  whyNotHardState(next: HardState): string | null {
    const { term, vote, commitIndex } = this.#hardState;
    if (next.term < term) return `the term would fall from ${term} to ${next.term}`;
    if (next.term === term && vote !== null && next.vote !== vote) {
      return `the vote of term ${term} would change from ${vote} to ${next.vote}`;
    }
    if (next.commitIndex < commitIndex) {
      return `the commit index would fall from ${commitIndex} to ${next.commitIndex}`;
    }
    if (next.commitIndex > this.#lastIndex) {
      return `entries up to ${next.commitIndex} are committed, and the log ends at ${this.#lastIndex}`;
    }
    return null;
  }

  /** Why `entry` can't be the next one written, in the term of `hardState`, or null when it can. */
  whyNotEntry(entry: Entry, hardState: HardState = this.#hardState): string | null {
    const { index, term } = entry;
    if (index < this.firstIndex || index > this.#lastIndex + 1) {
      return `entry ${index} does not follow entry ${this.#lastIndex}`;
    }
    if (index <= this.#hardState.commitIndex) return `entry ${index} is committed and would be overridden`;
    if (term < 1 || term < this.termAt(index - 1)) {
      return `entry ${index} has term ${term}, below its predecessor's`;
    }
    if (term > hardState.term) {
      return `entry ${index} has term ${term}, above the node's term ${hardState.term}`;
    }
    return null;
  }

  /** Takes note of a hard state that stands in the log. */
  setHardState(next: HardState): void {
    assert(this.whyNotHardState(next) === null, "the hard state never goes back");
    this.#hardState = next;
  }

  /** Takes note of an entry that stands in the log at `position`: every entry at its index and above is overridden. */
  setEntry(entry: Entry, position: LogPosition): void {
    assert(this.whyNotEntry(entry) === null, "an entry follows those before it");
    const { index, term } = entry;
    const overrides = index <= this.#lastIndex;
    if (overrides) this.#discardFrom(index);
    this.#lastIndex = index;
    if (this.#termRuns.at(-1)?.term !== term) this.#termRuns.push({ firstIndex: index, term });
    const near = this.#checkpoints.at(-1);
    if (
      overrides || near === undefined || near.segment !== position.segment ||
      position.offset - near.offset >= CHECKPOINT_SPACING_BYTES
    ) {
      this.#checkpoints.push({ index, ...position });
    }
  }

  #discardFrom(index: number): void {
    this.#termRuns = this.#termRuns.filter((run) => run.firstIndex < index);
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.index < index);
    this.#lastIndex = index - 1;
  }
}
