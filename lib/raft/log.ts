/**
 * The replicated log as the core sees it: the term of every entry, and a cache of the recent payloads.
 *
 * Terms are stored as ranges, so a log of millions of entries costs a few numbers. Payloads that have left the cache are
 * read back from storage on request (`Ready.entryReads`), never by the core itself.
 *
 * The log begins after `compacted`, the last entry that was compacted away (Raft §7). Its term is still known; of the
 * entries before it only that they were committed.
 *
 * Invariants: compacted.index ≤ snapshotIndex ≤ appliedIndex ≤ commitIndex ≤ lastIndex; durableIndex ≤ persistingIndex ≤
 * lastIndex; the cache ends at lastIndex and has every entry that is not durable; term ranges have rising indexes and
 * rising terms, and begin after `compacted`; no entry at or below commitIndex is ever discarded. durableIndex is below
 * compacted.index only between the reset to a received snapshot and the moment that snapshot is durable.
 */
import { assert } from "../platform/assert.ts";
import type { RecoveredState } from "./config.ts";
import { ConfigurationHistory } from "./configuration_history.ts";
import type {
  Configuration,
  ConfigurationCodec,
  Entry,
  EntryId,
  SnapshotMetadata,
  TermRange,
} from "./types.ts";

/** Evicted entries that may remain at the front of the cache array before it is compacted. */
const CACHE_SLACK_ENTRIES = 1_024;

/** Returns the bytes of an entry in every byte limit: its payload, and 32 bytes for its header. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + 32;
}

/** The complete state of a {@link RaftLog}, for tests. */
export interface LogDump {
  readonly compacted: EntryId;
  readonly snapshotIndex: number;
  /** The configuration as of the snapshot, and every later one. */
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[];
  /** The received snapshot that was not yet passed to storage. */
  readonly unpersistedSnapshot: SnapshotMetadata | null;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly durableIndex: number;
  readonly persistingIndex: number;
  /** The write in progress. */
  readonly persisting: { readonly index: number; readonly term: number; readonly validIndex: number } | null;
  readonly termRanges: readonly TermRange[];
  /** The cached entries; they end at `lastIndex`. */
  readonly cachedEntries: readonly Entry[];
}

/** The log of one node. */
export class RaftLog {
  /** The configurations in this log. */
  readonly configurations: ConfigurationHistory;
  readonly #codec: ConfigurationCodec;
  /** The last entry that was compacted away. */
  #compacted: EntryId;
  /** Index of the newest snapshot. */
  #snapshotIndex: number;
  /** Index of the last entry; `compacted.index` when the log is empty. */
  #lastIndex: number;
  /** Highest index known to be committed. */
  #commitIndex: number;
  /** Highest index passed to the driver to be applied. */
  #appliedIndex: number;
  /** Highest index whose present entry is known to be durable. */
  #durableIndex: number;
  /** Highest index whose present entry was passed to storage. */
  #persistingIndex: number;
  /** A received snapshot that replaced the log and was not yet passed to storage. */
  #unpersistedSnapshot: SnapshotMetadata | null = null;
  /** The write in progress; every overwrite since its start lowers `validIndex`. */
  #persisting: { readonly index: number; readonly term: number; validIndex: number } | null = null;
  #termRanges: TermRange[];
  #cache: Entry[];
  /** Position in #cache of the first entry; those before it were evicted. */
  #cacheStart = 0;
  #cacheBytes = 0;
  /** Bytes of the entries above #persistingIndex. */
  #unpersistedBytes = 0;
  readonly #cacheLimitBytes: number;

  constructor(
    recovered: RecoveredState,
    { cacheLimitBytes, codec }: { readonly cacheLimitBytes: number; readonly codec: ConfigurationCodec },
  ) {
    this.#codec = codec;
    this.configurations = new ConfigurationHistory(recovered.snapshot);
    for (const { index, data } of recovered.configurations) {
      this.configurations.append(index, codec.decode(data));
    }
    this.#compacted = recovered.compacted;
    this.#snapshotIndex = recovered.snapshot.index;
    this.#appliedIndex = recovered.snapshot.index;
    this.#lastIndex = recovered.lastIndex;
    this.#durableIndex = recovered.lastIndex;
    this.#persistingIndex = recovered.lastIndex;
    this.#commitIndex = Math.max(recovered.hardState.commitIndex, recovered.snapshot.index);
    this.#termRanges = [...recovered.termRanges];
    this.#cache = [...recovered.cachedEntries];
    for (const entry of this.#cache) this.#cacheBytes += entryBytes(entry);
    this.#cacheLimitBytes = cacheLimitBytes;
    this.assertInvariants();
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.#termRanges.at(-1)?.term ?? this.#compacted.term;
  }

  /** The last entry that was compacted away; (0, 0) when none was. */
  get compacted(): EntryId {
    return this.#compacted;
  }

  get snapshotIndex(): number {
    return this.#snapshotIndex;
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

  get persistingIndex(): number {
    return this.#persistingIndex;
  }

  /** Bytes of the entries that wait to be handed to storage. */
  get unpersistedBytes(): number {
    return this.#unpersistedBytes;
  }

  /** Whether entries or a snapshot wait to be handed to storage. */
  get hasUnpersisted(): boolean {
    return this.#unpersistedSnapshot !== null || this.#persistingIndex < this.#lastIndex;
  }

  /** Index of the oldest entry whose payload is in memory (lastIndex + 1 when none is). */
  get firstCachedIndex(): number {
    return this.#lastIndex + 1 - (this.#cache.length - this.#cacheStart);
  }

  /** Returns the term of the entry at `index`: 0 at index 0, null beyond the end and before `compacted`. */
  termAt(index: number): number | null {
    if (index === this.#compacted.index) return this.#compacted.term;
    if (index < this.#compacted.index || index > this.#lastIndex) return null;
    for (let position = this.#termRanges.length - 1; position >= 0; position--) {
      const range = this.#termRanges[position];
      if (range !== undefined && range.firstIndex <= index) return range.term;
    }
    return null;
  }

  /** Whether a log that ends in (index, term) is at least as up to date as this one (Raft §5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.#lastIndex);
  }

  /**
   * Returns the highest index at or below `index` whose term is at or below `term`, with that term; (0, 0) when there is
   * none. Leader and follower use it to skip whole terms of conflicting entries (Raft §5.3, last paragraphs).
   *
   * The search ends at the compacted: what is there was committed, so there is nothing to disagree about. Asked about a place
   * before the base it answers that place, with the base's term for want of a closer bound.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    if (index === 0) return { index: 0, term: 0 };
    if (index < this.#compacted.index) return { index, term: this.#compacted.term };
    let upTo = Math.min(index, this.#lastIndex);
    for (let position = this.#termRanges.length - 1; position >= 0; position--) {
      const range = this.#termRanges[position];
      if (range === undefined || range.firstIndex > upTo) continue;
      if (range.term <= term) return { index: upTo, term: range.term };
      upTo = range.firstIndex - 1;
    }
    return this.#compacted;
  }

  /**
   * Writes entries; the only function that does so. Writing entry i discards every stored entry at or above i, so a caller
   * passes only entries that are new or that conflict with stored ones.
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
      if (entry.term !== this.#termRanges.at(-1)?.term) {
        this.#termRanges.push({ firstIndex: entry.index, term: entry.term });
      }
      if (entry.kind === "configuration") {
        this.configurations.append(entry.index, this.#codec.decode(entry.data));
      }
      this.#cache.push(entry);
      this.#cacheBytes += entryBytes(entry);
      this.#unpersistedBytes += entryBytes(entry);
      this.#lastIndex = entry.index;
    }
  }

  /** Returns entries from `firstIndex` to `lastIndex` of at most `maxBytes`, at least one; null when they are not cached. */
  slice(firstIndex: number, lastIndex: number, maxBytes: number): Entry[] | null {
    if (firstIndex < this.firstCachedIndex) return null;
    const start = this.#cacheStart + firstIndex - this.firstCachedIndex;
    let end = start;
    let bytes = 0;
    for (let index = firstIndex; index <= lastIndex; index++) {
      const entry = this.#cache[end];
      assert(entry !== undefined && entry.index === index, "the cache is consecutive and ends at lastIndex");
      bytes += entryBytes(entry);
      if (bytes > maxBytes && end > start) break;
      end++;
    }
    return this.#cache.slice(start, end);
  }

  /** Takes what was not yet passed to storage; only one write is in progress at a time. */
  takeUnpersisted(): { readonly snapshot: SnapshotMetadata | null; readonly entries: Entry[] } {
    assert(this.#persisting === null, "one write to storage at a time");
    const entries = this.slice(this.#persistingIndex + 1, this.#lastIndex, Number.MAX_SAFE_INTEGER);
    assert(entries !== null, "entries that are not durable are cached");
    this.#persistingIndex = this.#lastIndex;
    this.#unpersistedBytes = 0;
    this.#persisting = { index: this.#lastIndex, term: this.lastTerm, validIndex: this.#lastIndex };
    const snapshot = this.#unpersistedSnapshot;
    this.#unpersistedSnapshot = null;
    return { snapshot, entries };
  }

  /**
   * Records that the write whose last entry is (index, term) is durable. Entries that were overwritten since its start do
   * not count, even where an index has the same term again: the durable entry there is the discarded one (the ABA case of
   * etcd raft's asynchronous storage writes).
   */
  persisted(index: number, term: number): void {
    const persisting = this.#persisting;
    assert(persisting !== null, "persisted() reports a write in progress");
    assert(
      persisting.index === index && persisting.term === term,
      "persisted() reports the write in progress",
    );
    this.#durableIndex = Math.max(this.#durableIndex, persisting.validIndex);
    this.#persisting = null;
    this.#trimCache();
  }

  /**
   * Replaces the log by a received snapshot (Raft §7, Figure 13). The discarded entries that conflict with it were not
   * committed.
   */
  reset(snapshot: SnapshotMetadata): void {
    const { index, term } = snapshot;
    assert(
      index > this.#commitIndex,
      "a snapshot never lowers a node's commitIndex",
    );
    assert(this.termAt(index) !== term, "a log that has the snapshot's last entry is kept");
    // The disk still has the old log, of which only committed entries are also in the snapshot.
    this.#durableIndex = Math.min(this.#durableIndex, this.#commitIndex);
    if (this.#persisting !== null) this.#persisting.validIndex = 0;
    this.#compacted = { index, term };
    this.#snapshotIndex = index;
    this.#appliedIndex = index;
    this.#commitIndex = index;
    this.#lastIndex = index;
    this.#persistingIndex = index;
    this.#termRanges = [];
    this.#cache = [];
    this.#cacheStart = 0;
    this.#cacheBytes = 0;
    this.#unpersistedBytes = 0;
    this.#unpersistedSnapshot = snapshot;
    this.configurations.reset(snapshot);
  }

  /**
   * Compacts the log up to `compactedIndex`, but keeps entries that are not durable yet: a durable snapshot of everything up
   * to `snapshotIndex` exists. A snapshot older than the newest known one changes nothing.
   */
  compact(
    { snapshotIndex, compactedIndex }: { readonly snapshotIndex: number; readonly compactedIndex: number },
  ): void {
    assert(compactedIndex <= snapshotIndex, "only entries that a snapshot includes are compacted");
    assert(snapshotIndex <= this.#appliedIndex, "a snapshot includes only applied entries");
    if (snapshotIndex > this.#snapshotIndex) {
      this.#snapshotIndex = snapshotIndex;
      this.configurations.compactTo(snapshotIndex);
    }
    const index = Math.min(compactedIndex, this.#durableIndex);
    if (index <= this.#compacted.index) return;
    const term = this.termAt(index);
    assert(term !== null, "only entries in the log are compacted");
    const dropped = Math.max(0, index + 1 - this.firstCachedIndex);
    for (const entry of this.#cache.slice(this.#cacheStart, this.#cacheStart + dropped)) {
      this.#cacheBytes -= entryBytes(entry);
    }
    this.#cacheStart += dropped;
    this.#compactCacheArray();
    this.#termRanges = this.#termRanges.filter((_, position) => {
      return (this.#termRanges[position + 1]?.firstIndex ?? this.#lastIndex + 1) > index + 1;
    }).map((range) => range.firstIndex > index ? range : { firstIndex: index + 1, term: range.term });
    this.#compacted = { index, term };
  }

  /** Records that everything up to `index` is committed. */
  commitTo(index: number): void {
    assert(index <= this.#lastIndex, "only entries in the log are committed");
    this.#commitIndex = Math.max(this.#commitIndex, index);
  }

  /** Takes committed entries that were not applied yet, of at most `maxBytes`; null when they are not cached. */
  takeCommitted(maxBytes: number): Entry[] | null {
    if (this.#appliedIndex === this.#commitIndex) return [];
    const entries = this.slice(this.#appliedIndex + 1, this.#commitIndex, maxBytes);
    if (entries !== null) this.markApplied(entries);
    return entries;
  }

  /** Records that these committed entries, the next in order, are being applied. */
  markApplied(entries: readonly Entry[]): void {
    assert(entries[0]?.index === this.#appliedIndex + 1, "entries are applied in order, each once");
    this.#appliedIndex += entries.length;
    assert(this.#appliedIndex <= this.#commitIndex, "only committed entries are applied");
    this.#trimCache();
  }

  /** Returns the complete state, for tests. */
  dump(): LogDump {
    return {
      compacted: this.#compacted,
      snapshotIndex: this.#snapshotIndex,
      configurations: this.configurations.dump(),
      unpersistedSnapshot: this.#unpersistedSnapshot,
      lastIndex: this.#lastIndex,
      commitIndex: this.#commitIndex,
      appliedIndex: this.#appliedIndex,
      durableIndex: this.#durableIndex,
      persistingIndex: this.#persistingIndex,
      persisting: this.#persisting,
      termRanges: this.#termRanges,
      cachedEntries: this.#cache.slice(this.#cacheStart),
    };
  }

  assertInvariants(): void {
    assert(this.#compacted.index <= this.#snapshotIndex, "compacted.index ≤ snapshotIndex");
    assert(this.#snapshotIndex <= this.#appliedIndex, "snapshotIndex ≤ appliedIndex");
    assert(this.#appliedIndex <= this.#commitIndex, "appliedIndex ≤ commitIndex");
    assert(this.#commitIndex <= this.#lastIndex, "commitIndex ≤ lastIndex");
    assert(this.#durableIndex <= this.#persistingIndex, "durableIndex ≤ persistingIndex");
    assert(this.#persistingIndex <= this.#lastIndex, "persistingIndex ≤ lastIndex");
    assert(this.firstCachedIndex <= this.#persistingIndex + 1, "entries that are not durable are cached");
    assert(this.firstCachedIndex > this.#compacted.index, "no compacted entry is cached");
    assert(
      (this.#termRanges[0]?.firstIndex ?? this.#compacted.index + 1) === this.#compacted.index + 1,
      "term ranges begin after the compacted entry",
    );
    assert(
      this.#durableIndex >= this.#compacted.index || this.#unpersistedSnapshot !== null ||
        this.#persisting !== null,
      "the compacted entry is durable, or a write makes it so",
    );
  }

  #discardFrom(index: number): void {
    const kept = Math.max(0, index - this.firstCachedIndex);
    for (const entry of this.#cache.splice(this.#cacheStart + kept)) {
      this.#cacheBytes -= entryBytes(entry);
      if (entry.index > this.#persistingIndex) this.#unpersistedBytes -= entryBytes(entry);
    }
    while ((this.#termRanges.at(-1)?.firstIndex ?? 0) >= index) this.#termRanges.pop();
    this.configurations.truncateFrom(index);
    this.#lastIndex = index - 1;
    this.#durableIndex = Math.min(this.#durableIndex, index - 1);
    this.#persistingIndex = Math.min(this.#persistingIndex, index - 1);
    if (this.#persisting !== null) {
      this.#persisting.validIndex = Math.min(this.#persisting.validIndex, index - 1);
    }
  }

  #trimCache(): void {
    const droppable = Math.min(this.#durableIndex, this.#appliedIndex);
    while (this.#cacheBytes > this.#cacheLimitBytes) {
      const oldest = this.#cache[this.#cacheStart];
      if (oldest === undefined || oldest.index > droppable) break;
      this.#cacheStart++;
      this.#cacheBytes -= entryBytes(oldest);
    }
    this.#compactCacheArray();
  }

  /** Frees the memory of evicted entries once there are many. */
  #compactCacheArray(): void {
    if (this.#cacheStart > CACHE_SLACK_ENTRIES) {
      this.#cache.splice(0, this.#cacheStart);
      this.#cacheStart = 0;
    }
  }
}
