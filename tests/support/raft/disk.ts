/**
 * A disk for one node of the bare core in tests: synced data is kept, and a crash keeps as many records of the write in
 * flight as the test chooses (the hard state is the first of them, then a snapshot, as `Persist` requires).
 */
import { assert } from "@std/assert";
import { entryBytes } from "../../../lib/raft/log.ts";
import {
  EMPTY_CONFIGURATION,
  EMPTY_STATE,
  type Entry,
  type EntryId,
  type EntryRead,
  type HardState,
  type Persist,
} from "../../../lib/raft/mod.ts";
import type { Configuration, RecoveredState, SnapshotMetadata, TermRange } from "../../../lib/raft/mod.ts";

/** The first content of a disk. */
export interface DiskContent {
  /** The founding configuration of the cluster; none at first for a node that will be added. */
  readonly founding?: Configuration;
  readonly hardState?: HardState;
  /** The entry before the first; none by default. */
  readonly compacted?: EntryId;
  readonly entries?: readonly Entry[];
  /** The newest snapshot, if there is one. */
  readonly snapshot?: SnapshotMetadata;
}

/** The durable state of one node. */
export class RaftDisk {
  #hardState: HardState;
  /** The entry before the first. */
  #compacted: EntryId;
  #entries: Entry[] = [];
  #snapshot: SnapshotMetadata;
  #underWay: Persist | null = null;

  constructor({ founding, hardState, compacted, entries, snapshot }: DiskContent = {}) {
    this.#hardState = hardState ?? EMPTY_STATE.hardState;
    this.#snapshot = snapshot ?? { index: 0, term: 0, configuration: founding ?? EMPTY_CONFIGURATION };
    this.#compacted = compacted ?? EMPTY_STATE.compacted;
    this.#write(entries ?? []);
  }

  /** The hard state that would survive a crash. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** The entries that would survive a crash, from the one after the {@link compacted} on. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** The entry before the first. */
  get compacted(): EntryId {
    return this.#compacted;
  }

  /** Index of the last entry. */
  get lastIndex(): number {
    return this.#compacted.index + this.#entries.length;
  }

  /** The newest snapshot; of index 0 when there is none. */
  get snapshot(): SnapshotMetadata {
    return this.#snapshot;
  }

  /** The write that has begun and not ended. */
  get underWay(): Persist | null {
    return this.#underWay;
  }

  /** Whether the log, or the snapshot, has the entry (index, term), one that is committed. */
  holds({ index, term }: EntryId): boolean {
    if (index <= this.#snapshot.index) return true;
    return this.#entries[index - this.#compacted.index - 1]?.term === term;
  }

  /** Begins a write. */
  begin(persist: Persist): void {
    assert(this.#underWay === null, "one write is under way at a time");
    this.#underWay = persist;
  }

  /** Completes the write in flight, which is durable now. Returns it. */
  complete(): Persist {
    const persist = this.#underWay;
    assert(persist !== null, "only a write under way can end");
    this.#keepRecords(persist, Number.MAX_SAFE_INTEGER);
    this.#underWay = null;
    return persist;
  }

  /** Drops the write in flight except for its first `keptRecords` records. */
  crash(keptRecords = 0): void {
    if (this.#underWay !== null) this.#keepRecords(this.#underWay, keptRecords);
    this.#underWay = null;
    // A snapshot may be newer than the log on disk: then the log begins after it, as storage does when it opens.
    const { index, term } = this.#snapshot;
    if (this.#termAt(index) !== term) this.#reset({ index, term });
  }

  /** Adds a durable snapshot. */
  keepSnapshot(snapshot: SnapshotMetadata): void {
    if (snapshot.index > this.#snapshot.index) this.#snapshot = snapshot;
  }

  /** Removes the entries up to `index`, if it has them. */
  removeUpTo(index: number): void {
    const term = this.#termAt(index);
    if (index <= this.#compacted.index || term === null) return;
    assert(index <= this.#snapshot.index, "only entries that a snapshot holds are removed");
    this.#entries = this.#entries.slice(index - this.#compacted.index);
    this.#compacted = { index, term };
  }

  /** Returns the state of a restarted node, with the payloads of the last `cachedEntries`. */
  recovered(cachedEntries = Number.MAX_SAFE_INTEGER): RecoveredState {
    const termRanges: TermRange[] = [];
    for (const { index, term } of this.#entries) {
      if (termRanges.at(-1)?.term !== term) termRanges.push({ firstIndex: index, term });
    }
    const snapshot = this.#snapshot;
    return {
      hardState: this.#hardState,
      termRanges,
      lastIndex: this.lastIndex,
      cachedEntries: this.#entries.slice(Math.max(0, this.#entries.length - cachedEntries)),
      compacted: this.#compacted,
      snapshot,
      configurations: this.#entries.filter(({ index, kind }) => {
        return kind === "configuration" && index > snapshot.index;
      }),
    };
  }

  /** Returns the entries that a read requests; none when they were removed. */
  read(entryRead: EntryRead): readonly Entry[] {
    if (entryRead.firstIndex <= this.#compacted.index) return [];
    const read: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(entryRead.firstIndex - this.#compacted.index - 1)) {
      bytes += entryBytes(entry);
      if (bytes > entryRead.maxBytes && read.length > 0) break;
      read.push(entry);
    }
    return read;
  }

  #keepRecords({ hardState, snapshot, entries }: Persist, records: number): void {
    let left = records;
    if (hardState !== null && left-- > 0) this.#hardState = hardState;
    if (snapshot !== null && left-- > 0) {
      this.keepSnapshot(snapshot);
      this.#reset(snapshot);
    }
    this.#write(entries.slice(0, Math.max(0, left)));
  }

  #reset({ index, term }: EntryId): void {
    this.#compacted = { index, term };
    this.#entries = [];
  }

  #termAt(index: number): number | null {
    if (index === this.#compacted.index) return this.#compacted.term;
    return this.#entries[index - this.#compacted.index - 1]?.term ?? null;
  }

  #write(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index > this.#compacted.index && entry.index <= this.lastIndex + 1, "the log has no gaps");
      this.#entries.length = entry.index - this.#compacted.index - 1;
      this.#entries.push(entry);
    }
  }
}
