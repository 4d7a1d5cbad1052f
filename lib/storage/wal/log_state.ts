/**
 * The content of the log without data: the hard state, and the terms and positions of its entries. Recovery builds it from
 * the records it reads, an open log updates it with the records it writes, by the same rules.
 *
 * Invariants: entries are consecutive from `base.index + 1` up; terms never decrease along the log and never exceed the
 * hard state's; a committed entry is never overridden; term and commit index of the hard state never decrease.
 *
 * Segments are removed from the front when a snapshot has their entries. Recovery reads the rest from its first segment's
 * header on, which has the index of the first entry and the term of the one before. But that segment may also have
 * entries that overrode those of earlier segments. For example, segment 1 has entries 1 to 100, and the header of segment
 * 2 says that it begins with 101; its records are entries 101 to 110, and then, of a later leader, 90 and up. While
 * segment 1 exists, the log is 1 to 89 of it and 90 up of segment 2. Without it the log is 90 up, and the term of entry 89
 * is unknown: so entry 90, whose term is known, becomes the base, and the log begins with 91. Such a base is lower than
 * the header says, never higher, which is sufficient for {@link LogState.cutBefore}.
 */
import { assert } from "../../platform/assert.ts";
import type { Entry, EntryId, HardState, TermRange } from "../../raft/types.ts";

/** Maximum distance of an entry from the checkpoint from which it is searched. */
const CHECKPOINT_SPACING_BYTES = 64 * 1024;

/** The hard state of a node that has never run. */
export const INITIAL_HARD_STATE: HardState = { term: 0, vote: null, commitIndex: 0 };

/** Position before the first entry of a log from which nothing was compacted. */
export const NOTHING_COMPACTED: EntryId = { index: 0, term: 0 };

/** Position of a record in the segment files. */
export interface LogPosition {
  /** Number of the segment. */
  readonly segment: number;
  /** Byte of its file. */
  readonly offset: number;
}

/**
 * A known position of an entry. From there up to the next checkpoint's index the entries are consecutive in one segment,
 * with only hard states between them: an entry that begins a segment or overrides others always gets a checkpoint.
 */
export interface Checkpoint extends LogPosition {
  /** Index of the entry at this position. */
  readonly index: number;
}

/** The properties of a segment by which the log is cut. */
interface Span {
  readonly number: number;
  /** Index after the last entry before it, at the time of its creation. */
  readonly firstIndex: number;
  /** Offset at which its records end. */
  end: number;
}

/** The beginning of a log. */
export interface LogBeginning {
  /** The entry before its first. */
  readonly compacted: EntryId;
  /** The hard state at its beginning. */
  readonly hardState: HardState;
  /** Whether its first segments were removed, so that the rest may override entries that do not exist any more. */
  readonly isCut: boolean;
}

/** The log's content, without the entries' data. */
export class LogState {
  #hardState: HardState = INITIAL_HARD_STATE;
  #compacted: { readonly index: number; readonly term: number | null } = NOTHING_COMPACTED;
  #lastIndex = 0;
  #termRanges: TermRange[] = [];
  #checkpoints: Checkpoint[] = [];
  #spans: Span[] = [];
  #reachesBack = false;

  /** The latest hard state. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** The entry before the first. */
  get compacted(): EntryId {
    const { index, term } = this.#compacted;
    assert(term !== null, "the base's term is known once the log was read");
    return { index, term };
  }

  /** Index of the first entry, or of the entry that would be the first. */
  get firstIndex(): number {
    return this.#compacted.index + 1;
  }

  /** Index of the last entry, the base's when there is none. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** The terms of all entries. */
  get termRanges(): readonly TermRange[] {
    return this.#termRanges;
  }

  /**
   * Known positions by index. Later entries are added to this array; when entries are overridden or cut, a new array
   * replaces it, so that a read in progress uses the log as it was at its beginning.
   */
  get checkpoints(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  /** Numbers of the segments, in order. */
  get segments(): readonly number[] {
    return this.#spans.map(({ number }) => number);
  }

  /** Bytes of all records. */
  get bytes(): number {
    return this.#spans.reduce((bytes, { end }) => bytes + end, 0);
  }

  /** Returns the term of the entry at `index`, the base included; null where it is unknown. */
  termAt(index: number): number | null {
    if (index < this.#compacted.index || index > this.#lastIndex) return null;
    if (index === this.#compacted.index) return this.#compacted.term;
    // A loop, not findLast: this is asked for every entry, and nearly always the last range has it.
    for (let last = this.#termRanges.length - 1; last >= 0; last--) {
      const range = this.#termRanges[last];
      if (range !== undefined && range.firstIndex <= index) return range.term;
    }
    return null;
  }

  /** Returns about how many bytes of records there are from the entry above `index` on. */
  bytesSince(index: number): number {
    if (index >= this.#lastIndex) return 0;
    const place = this.#checkpoints[Math.max(0, lastCheckpointUpTo(this.#checkpoints, index + 1))];
    if (place === undefined) return this.bytes;
    let bytes = 0;
    for (const { number, end } of this.#spans) {
      if (number === place.segment) bytes += end - place.offset;
      else if (number > place.segment) bytes += end;
    }
    return bytes;
  }

  /** Returns the reason for which `next` cannot follow the present hard state, or null when it can. */
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

  /** Returns the reason for which `entry` cannot be the next one written, in the term of `hardState`, or null when it can. */
  whyNotEntry(entry: Entry, hardState: HardState = this.#hardState): string | null {
    const { index, term } = entry;
    const lowest = this.#reachesBack ? 1 : this.firstIndex;
    if (index < lowest || index > this.#lastIndex + 1) {
      return `entry ${index} does not follow entry ${this.#lastIndex}`;
    }
    if (index <= this.#hardState.commitIndex) return `entry ${index} is committed and would be overridden`;
    if (term < 1 || term < (this.termAt(index - 1) ?? 0)) {
      return `entry ${index} has term ${term}, below its predecessor's`;
    }
    if (term > hardState.term) {
      return `entry ${index} has term ${term}, above the node's term ${hardState.term}`;
    }
    return null;
  }

  /** Records a hard state that was written to the log. */
  setHardState(next: HardState): void {
    assert(this.whyNotHardState(next) === null, "the hard state never goes back");
    this.#hardState = next;
  }

  /** Records an entry that was written at `position` (not kept), which overwrites every entry at its index and above. */
  setEntry(entry: Entry, position: LogPosition): void {
    assert(this.whyNotEntry(entry) === null, "an entry follows those before it");
    const { index, term } = entry;
    const overrides = index <= this.#lastIndex;
    if (overrides) this.#discardFrom(index);
    this.#lastIndex = index;
    if (this.#termRanges.at(-1)?.term !== term) this.#termRanges.push({ firstIndex: index, term });
    const near = this.#checkpoints.at(-1);
    if (
      overrides || near === undefined || near.segment !== position.segment ||
      position.offset - near.offset >= CHECKPOINT_SPACING_BYTES
    ) {
      this.#checkpoints.push({ index, ...position });
    }
  }

  /** Resets it to a log with this beginning, without any entry or segment. */
  reset({ compacted, hardState, isCut }: LogBeginning): void {
    this.#hardState = hardState;
    this.#compacted = compacted;
    this.#lastIndex = compacted.index;
    this.#termRanges = [];
    this.#checkpoints = [];
    this.#spans = [];
    this.#reachesBack = isCut;
  }

  /** Records a segment that was begun after all present entries; its records begin at `begin`. */
  addSegment(number: number, begin: number): void {
    this.#spans.push({ number, firstIndex: this.#lastIndex + 1, end: begin });
  }

  /** Records the end of the last segment's records. */
  setEnd(end: number): void {
    const span = this.#spans.at(-1);
    assert(span !== undefined, "records stand in a segment");
    span.end = end;
  }

  /** Completes recovery: called after all records were read, so that none overrides earlier entries any more. */
  endRecovery(): void {
    this.#reachesBack = false;
    if (this.#compacted.term !== null) return;
    const first = this.firstIndex;
    const term = this.termAt(first);
    assert(term !== null, "an unknown base lies before an entry that overrode others");
    this.#compactTo({ index: first, term });
  }

  /**
   * Drops the segments that are not needed for the entries from `index` on and for the term of the one before; never the
   * last. Returns their numbers, oldest first. Uses the headers alone: entries in the last segment that override others
   * may not be durable yet.
   */
  cutBefore(index: number): readonly number[] {
    const first = this.#spans.findLastIndex(({ firstIndex }) => firstIndex <= index);
    const kept = this.#spans[first];
    if (first <= 0 || kept === undefined) return [];
    const term = this.termAt(kept.firstIndex - 1);
    assert(term !== null, "the log is cut within itself");
    const removed = this.#spans.slice(0, first).map(({ number }) => number);
    this.#spans = this.#spans.slice(first);
    this.#checkpoints = this.#checkpoints.filter(({ segment }) => segment >= kept.number);
    this.#compactTo({ index: kept.firstIndex - 1, term });
    return removed;
  }

  /** Makes `base`, an entry of the log, the entry before the first. */
  #compactTo(compacted: EntryId): void {
    const next = compacted.index + 1;
    const runs = this.#termRanges;
    const gone = runs.findLastIndex(({ firstIndex }) => firstIndex <= next);
    this.#termRanges = compacted.index === this.#lastIndex
      ? []
      : runs.slice(Math.max(gone, 0)).map(({ firstIndex, term }) => ({
        firstIndex: Math.max(firstIndex, next),
        term,
      }));
    this.#compacted = compacted;
  }

  #discardFrom(index: number): void {
    this.#termRanges = this.#termRanges.filter((run) => run.firstIndex < index);
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.index < index);
    this.#lastIndex = index - 1;
    if (index <= this.#compacted.index) this.#compacted = { index: index - 1, term: null };
  }
}

/** Returns the position of the last checkpoint at or below `index`, or -1. A large log has tens of thousands. */
function lastCheckpointUpTo(checkpoints: readonly Checkpoint[], index: number): number {
  let [low, high] = [0, checkpoints.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((checkpoints[middle]?.index ?? 0) <= index) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
