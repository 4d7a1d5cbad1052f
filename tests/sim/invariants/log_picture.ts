/** Nodes and their logs as an observer sees them: the terms of entries, also of those that a snapshot stands for by now. */
import type {
  Configuration,
  HardState,
  Persist,
  RaftStatus,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import type { RecoveredLog } from "../../../lib/storage/mod.ts";

/** A log as far as somebody saw it. */
export class LogPicture {
  hardState: HardState = { term: 0, vote: null, commitIndex: 0 };
  /** The entry at index i stands at position i − 1. */
  readonly terms: number[] = [];

  /** A write; what a snapshot in it stands for is what was committed. */
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

  /** What a start found. */
  takeRecovered(
    { hardState, compacted, termRanges, lastIndex }: RecoveredLog,
    committed: readonly number[],
  ): void {
    this.hardState = hardState;
    this.#begin(committed.slice(0, compacted.index));
    for (const [position, run] of termRanges.entries()) {
      const end = termRanges[position + 1]?.firstIndex ?? lastIndex + 1;
      for (let index = run.firstIndex; index < end; index++) this.terms.push(run.term);
    }
  }

  #begin(terms: readonly number[]): void {
    this.terms.length = 0;
    for (const term of terms) this.terms.push(term);
  }
}

/** A node as far as somebody saw it. */
export interface NodePicture {
  /** As it was handed to its disk. */
  readonly handed: LogPicture;
  /** As its disk confirmed it. */
  readonly durable: LogPicture;
  /** Handed to the disk, not confirmed. */
  underWay: Persist | null;
  /** Commits that were looked at. */
  judgedIndex: number;
  /** Snapshots it took, not looked at yet: of commits that were not. */
  takenSnapshots: SnapshotMetadata[];
  status: RaftStatus | null;
  /** The members that it goes by, even where nobody hears it; null before its first turn. */
  known: Configuration["members"] | null;
  /** Its disk was emptied: whatever it says from now on must be heard by nobody. The pictures stay as they were. */
  isAmnesiac: boolean;
}

/** The node's process is no more, or was not seen yet: nothing is known of how it stands. */
export function standsNowhere(node: NodePicture): void {
  node.status = null;
  node.known = null;
}

/** A node of which nothing was seen yet. */
export function newNodePicture(): NodePicture {
  return {
    handed: new LogPicture(),
    durable: new LogPicture(),
    underWay: null,
    judgedIndex: 0,
    takenSnapshots: [],
    status: null,
    known: null,
    isAmnesiac: false,
  };
}
