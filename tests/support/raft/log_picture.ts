/** Nodes and their logs as an observer sees them: the terms of entries, also of those that a snapshot replaced. */
import type {
  Configuration,
  HardState,
  Persist,
  RaftStatus,
  RecoveredState,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";

/** The content of the disk of a node that starts. */
export type Recovered = Pick<
  RecoveredState,
  "hardState" | "compacted" | "termRanges" | "lastIndex" | "cachedEntries"
>;

/** The observed part of a log. */
export class LogPicture {
  hardState: HardState = { term: 0, vote: null, commitIndex: 0 };
  /** The entry at index i is at position i − 1. */
  readonly terms: number[] = [];

  /** Adds a write. A snapshot in it replaces committed entries. */
  take(
    { hardState, snapshot, entries }: Pick<Persist, "hardState" | "snapshot" | "entries">,
    committed: readonly number[],
  ): void {
    if (hardState !== null) this.hardState = hardState;
    if (snapshot !== null) this.#begin(committed.slice(0, snapshot.index));
    const [first] = entries;
    if (first === undefined) return;
    this.terms.length = first.index - 1;
    for (const entry of entries) this.terms.push(entry.term);
  }

  /** Replaces the picture by the recovered log. */
  takeRecovered(
    { hardState, compacted, termRanges, lastIndex }: Recovered,
    committed: readonly number[],
  ): void {
    this.hardState = hardState;
    this.#begin(committed.slice(0, compacted.index));
    for (const [position, range] of termRanges.entries()) {
      const end = termRanges[position + 1]?.firstIndex ?? lastIndex + 1;
      for (let index = range.firstIndex; index < end; index++) this.terms.push(range.term);
    }
  }

  #begin(terms: readonly number[]): void {
    this.terms.length = 0;
    for (const term of terms) this.terms.push(term);
  }
}

/** An observed node. */
export class NodePicture {
  /** The log that was passed to the disk. */
  readonly handed = new LogPicture();
  /** The log that the disk has confirmed. */
  readonly durable = new LogPicture();
  /** Writes passed to the disk and not confirmed. */
  underWay: Persist | null = null;
  /** Commits up to this index were checked. */
  checkedIndex = 0;
  /** Its snapshots of commits that were not checked yet. */
  takenSnapshots: SnapshotMetadata[] = [];
  /** Whether its disk was emptied: no other node may accept its messages. The pictures are kept. */
  isAmnesiac = false;
  status: RaftStatus | null = null;
  /** The members of its configuration; null before its first turn. */
  known: Configuration["members"] | null = null;
  /** The last entry that it returned to be applied; null before the first in this process. */
  appliedIndex: number | null = null;
  /** Accepted reads, with the commit index at their request. */
  readonly reads = new Map<number, number>();
  /** Whether a node that leads, or led, answers reads under a lease now. */
  holdsLease: () => boolean = () => false;

  /** Resets the state of a process that has ended or is about to begin. */
  processEnded(): void {
    this.status = null;
    this.known = null;
    this.appliedIndex = null;
    this.reads.clear();
    this.holdsLease = () => false;
  }
}
