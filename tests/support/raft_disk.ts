/**
 * A disk for one node of the bare core in tests: what was synced stays, and a crash keeps of the write under way as
 * many records as the test says (the hard state is the first of them, as `Persist` asks).
 */
import { assert } from "@std/assert";
import { entryBytes } from "../../lib/raft/log.ts";
import { EMPTY_STATE, type Entry, type HardState, type Load, type Persist } from "../../lib/raft/mod.ts";
import type { RecoveredState, TermRun } from "../../lib/raft/mod.ts";

/** The durable state of one node. */
export class RaftDisk {
  #hardState: HardState;
  #entries: Entry[] = [];
  #underWay: Persist | null = null;

  constructor(hardState: HardState = EMPTY_STATE.hardState, entries: readonly Entry[] = []) {
    this.#hardState = hardState;
    this.#write(entries);
  }

  /** The hard state that would survive a crash. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** The entries that would survive a crash: the one with index i stands at i - 1. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** The write that has begun and not ended. */
  get underWay(): Persist | null {
    return this.#underWay;
  }

  /** Begins a write. */
  begin(persist: Persist): void {
    assert(this.#underWay === null, "one write is under way at a time");
    this.#underWay = persist;
  }

  /** Ends the write under way: all of it is durable now. Returns it. */
  complete(): Persist {
    const persist = this.#underWay;
    assert(persist !== null, "only a write under way can end");
    this.#keepRecords(persist, persist.entries.length + 1);
    this.#underWay = null;
    return persist;
  }

  /** Loses the write under way but for its first `keptRecords` records. */
  crash(keptRecords = 0): void {
    if (this.#underWay !== null) this.#keepRecords(this.#underWay, keptRecords);
    this.#underWay = null;
  }

  /** What a restarted node is told; of the payloads no more than the last `tailEntries`. */
  recovered(tailEntries = Number.MAX_SAFE_INTEGER): RecoveredState {
    const termRuns: TermRun[] = [];
    for (const { index, term } of this.#entries) {
      if (termRuns.at(-1)?.term !== term) termRuns.push({ firstIndex: index, term });
    }
    const tail = this.#entries.slice(Math.max(0, this.#entries.length - tailEntries));
    return { hardState: this.#hardState, termRuns, lastIndex: this.#entries.length, tail };
  }

  /** The entries that a load asks for. */
  read(load: Load): readonly Entry[] {
    const read: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(load.firstIndex - 1)) {
      bytes += entryBytes(entry);
      if (bytes > load.maxBytes && read.length > 0) break;
      read.push(entry);
    }
    return read;
  }

  #keepRecords(persist: Persist, records: number): void {
    const hardStateRecords = persist.hardState === null ? 0 : 1;
    if (persist.hardState !== null && records >= 1) this.#hardState = persist.hardState;
    this.#write(persist.entries.slice(0, Math.max(0, records - hardStateRecords)));
  }

  #write(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index <= this.#entries.length + 1, "an entry follows those before it");
      this.#entries.length = entry.index - 1;
      this.#entries.push(entry);
    }
  }
}
