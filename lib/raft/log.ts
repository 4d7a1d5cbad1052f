/**
 * The replicated log as the core sees it: the term of every entry, the payload of the recent ones.
 *
 * Terms are kept as runs, so that a log of millions of entries costs a few numbers. Payloads older than the tail are
 * read back from storage on request (see `Ready.loads`), never by the core itself.
 *
 * Invariants: appliedIndex ≤ commitIndex ≤ lastIndex; durableIndex ≤ handedIndex ≤ lastIndex; the tail ends at
 * lastIndex and holds every entry that is not durable; runs have rising indexes and rising terms; no entry at or
 * below commitIndex is ever discarded.
 */
import { assert } from "../assert.ts";
import type { RecoveredState } from "./config.ts";
import type { LogDump } from "./dump.ts";
import type { Entry, TermRun } from "./types.ts";

/** Dropped entries that may stand before the tail before the array is compacted. */
const TAIL_SLACK_ENTRIES = 1_024;

/** Bytes that an entry counts for wherever bytes are bounded: its payload and a flat share for its header. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + 32;
}

/** The log of one node. */
export class RaftLog {
  /** Index of the last entry; 0 when empty. */
  #lastIndex: number;
  /** Highest index known to be committed. */
  #commitIndex: number;
  /** Highest index handed out to be applied. */
  #appliedIndex = 0;
  /** Highest index whose present entry is known to be durable. */
  #durableIndex: number;
  /** Highest index whose present entry was handed out to be made durable. */
  #handedIndex: number;
  /** The write under way; `validIndex` is lowered by every rewrite since it was handed out. */
  #persisting: { readonly index: number; readonly term: number; validIndex: number } | null = null;
  #runs: TermRun[];
  #tail: Entry[];
  /** Position in #tail of the first entry that counts; those before it are dropped. */
  #tailStart = 0;
  #tailBytes = 0;
  readonly #tailLimitBytes: number;

  constructor(recovered: RecoveredState, tailLimitBytes: number) {
    this.#lastIndex = recovered.lastIndex;
    this.#durableIndex = recovered.lastIndex;
    this.#handedIndex = recovered.lastIndex;
    this.#commitIndex = recovered.hardState.commitIndex;
    this.#runs = [...recovered.termRuns];
    this.#tail = [...recovered.tail];
    for (const entry of this.#tail) this.#tailBytes += entryBytes(entry);
    this.#tailLimitBytes = tailLimitBytes;
    this.assertInvariants();
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.#runs.at(-1)?.term ?? 0;
  }

  get commitIndex(): number {
    return this.#commitIndex;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get durableIndex(): number {
    return this.#durableIndex;
  }

  get handedIndex(): number {
    return this.#handedIndex;
  }

  /** Index of the oldest entry whose payload is in memory (lastIndex + 1 when none is). */
  get tailFirstIndex(): number {
    return this.#lastIndex + 1 - (this.#tail.length - this.#tailStart);
  }

  /** Term of the entry at `index`: 0 at index 0, null beyond the end. */
  termAt(index: number): number | null {
    if (index === 0) return 0;
    if (index > this.#lastIndex) return null;
    for (let position = this.#runs.length - 1; position >= 0; position--) {
      const run = this.#runs[position];
      if (run !== undefined && run.firstIndex <= index) return run.term;
    }
    return null;
  }

  /** Whether a log that ends in (index, term) is at least as up to date as this one (Raft §5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.#lastIndex);
  }

  /**
   * The highest index at or below `index` whose term is at or below `term`, with that term; (0, 0) when there is none.
   * Both sides use it to step over whole terms of disagreement (Raft §5.3, last paragraphs).
   */
  lastNotAbove(index: number, term: number): { index: number; term: number } {
    let upTo = Math.min(index, this.#lastIndex);
    for (let position = this.#runs.length - 1; position >= 0; position--) {
      const run = this.#runs[position];
      if (run === undefined || run.firstIndex > upTo) continue;
      if (run.term <= term) return { index: upTo, term: run.term };
      upTo = run.firstIndex - 1;
    }
    return { index: 0, term: 0 };
  }

  /**
   * The one way into the log. Writing entry i discards every entry at or above i (style rule 16), so a caller passes
   * only entries that are new or that conflict with what is there.
   */
  write(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index <= this.#lastIndex + 1, "the log has no gaps");
    assert(first.index > this.#commitIndex, "a committed entry is never discarded");
    if (first.index <= this.#lastIndex) this.#discardFrom(first.index);
    for (const entry of entries) {
      assert(entry.index === this.#lastIndex + 1, "entries are consecutive");
      assert(entry.term >= this.lastTerm, "terms never fall along the log");
      if (entry.term > this.lastTerm) this.#runs.push({ firstIndex: entry.index, term: entry.term });
      this.#tail.push(entry);
      this.#tailBytes += entryBytes(entry);
      this.#lastIndex = entry.index;
    }
  }

  /** Entries from `firstIndex` to `lastIndex` of at most `maxBytes`, at least one; null when not in memory. */
  slice(firstIndex: number, lastIndex: number, maxBytes: number): Entry[] | null {
    if (firstIndex < this.tailFirstIndex) return null;
    const start = this.#tailStart + firstIndex - this.tailFirstIndex;
    let end = start;
    let bytes = 0;
    for (let index = firstIndex; index <= lastIndex; index++) {
      const entry = this.#tail[end];
      assert(entry !== undefined && entry.index === index, "the tail is consecutive and ends at lastIndex");
      bytes += entryBytes(entry);
      if (bytes > maxBytes && end > start) break;
      end++;
    }
    return this.#tail.slice(start, end);
  }

  /** Hands out what is not yet durable nor under way; only one such write is under way at a time. */
  takeUnpersisted(): Entry[] {
    assert(this.#persisting === null, "one write to storage at a time");
    const entries = this.slice(this.#handedIndex + 1, this.#lastIndex, Number.MAX_SAFE_INTEGER);
    assert(entries !== null, "what is not durable is in memory");
    this.#handedIndex = this.#lastIndex;
    this.#persisting = { index: this.#lastIndex, term: this.lastTerm, validIndex: this.#lastIndex };
    return entries;
  }

  /**
   * The write that ended in (index, term) has become durable. Entries that were rewritten meanwhile do not count,
   * even where the rewritten index has the same term again: what is durable then is the version that was discarded
   * (the ABA case of etcd raft's asynchronous storage writes).
   */
  persisted(index: number, term: number): void {
    const persisting = this.#persisting;
    assert(persisting !== null, "persisted() answers a write that was handed out");
    assert(persisting.index === index && persisting.term === term, "persisted() answers the write under way");
    this.#durableIndex = Math.max(this.#durableIndex, persisting.validIndex);
    this.#persisting = null;
    this.#trimTail();
  }

  /** Everything up to `index` is committed. */
  commitTo(index: number): void {
    assert(index <= this.#lastIndex, "only what is in the log is committed");
    this.#commitIndex = Math.max(this.#commitIndex, index);
  }

  /** Committed entries that were not yet handed out, of at most `maxBytes`; null when they are not in memory. */
  takeCommitted(maxBytes: number): Entry[] | null {
    if (this.#appliedIndex === this.#commitIndex) return [];
    const entries = this.slice(this.#appliedIndex + 1, this.#commitIndex, maxBytes);
    if (entries !== null) this.markApplied(entries);
    return entries;
  }

  /** These committed entries, the next in order, have been handed out to be applied. */
  markApplied(entries: readonly Entry[]): void {
    assert(entries[0]?.index === this.#appliedIndex + 1, "entries are applied in order, each once");
    this.#appliedIndex += entries.length;
    assert(this.#appliedIndex <= this.#commitIndex, "only what is committed is applied");
    this.#trimTail();
  }

  /** All that this log remembers. */
  dump(): LogDump {
    return {
      lastIndex: this.#lastIndex,
      commitIndex: this.#commitIndex,
      appliedIndex: this.#appliedIndex,
      durableIndex: this.#durableIndex,
      handedIndex: this.#handedIndex,
      persisting: this.#persisting,
      runs: this.#runs,
      tail: this.#tail.slice(this.#tailStart),
    };
  }

  assertInvariants(): void {
    assert(this.#appliedIndex <= this.#commitIndex, "appliedIndex ≤ commitIndex");
    assert(this.#commitIndex <= this.#lastIndex, "commitIndex ≤ lastIndex");
    assert(this.#durableIndex <= this.#handedIndex, "durableIndex ≤ handedIndex");
    assert(this.#handedIndex <= this.#lastIndex, "handedIndex ≤ lastIndex");
    assert(this.tailFirstIndex <= this.#handedIndex + 1, "what is not durable is in memory");
  }

  #discardFrom(index: number): void {
    const kept = Math.max(0, index - this.tailFirstIndex);
    for (const entry of this.#tail.splice(this.#tailStart + kept)) this.#tailBytes -= entryBytes(entry);
    while ((this.#runs.at(-1)?.firstIndex ?? 0) >= index) this.#runs.pop();
    this.#lastIndex = index - 1;
    this.#durableIndex = Math.min(this.#durableIndex, index - 1);
    this.#handedIndex = Math.min(this.#handedIndex, index - 1);
    if (this.#persisting !== null) {
      this.#persisting.validIndex = Math.min(this.#persisting.validIndex, index - 1);
    }
  }

  #trimTail(): void {
    const droppable = Math.min(this.#durableIndex, this.#appliedIndex);
    while (this.#tailBytes > this.#tailLimitBytes) {
      const oldest = this.#tail[this.#tailStart];
      if (oldest === undefined || oldest.index > droppable) break;
      this.#tailStart++;
      this.#tailBytes -= entryBytes(oldest);
    }
    if (this.#tailStart > TAIL_SLACK_ENTRIES) {
      this.#tail.splice(0, this.#tailStart);
      this.#tailStart = 0;
    }
  }
}
