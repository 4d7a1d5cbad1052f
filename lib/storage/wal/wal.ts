/**
 * The write-ahead log: entries and hard states in segment files, appended batch by batch.
 *
 * Writing an entry overwrites every entry at its index and above; synced bytes are never changed. A batch is one write, and
 * one sync makes every batch before it durable. recovery.ts handles crashes; `append` and `sync` handle full and failing
 * disks.
 */
import { errorMessage } from "../../platform/errors.ts";
import { assert } from "../../platform/assert.ts";
import type { Entry, EntryId, HardState, TermRange } from "../../raft/types.ts";
import { createSegment, firstSegment } from "./active_segment.ts";
import { BatchEncoder, type BatchPlan, noteBatch, type PersistBatch, planBatch } from "./batch.ts";
import {
  type Disk,
  type DiskFile,
  isDiskFull,
  isOutOfDescriptors,
  removeLeftovers,
} from "../../platform/disk.ts";
import { LogFailedError, openingError, storageError } from "../errors.ts";
import type { LogOwner } from "../identity.ts";
import { type CutTail, recover, type RecoveredConfiguration, type Recovery } from "./recovery.ts";
import { writeLogEnd } from "./log_end.ts";
import { readEntries } from "./reader.ts";
import type { LogBeginning, LogState } from "./log_state.ts";
import { encodeRecord, SYNC_MARK_BYTES } from "./record.ts";
import {
  type ActiveSegment,
  NextSegment,
  removeUnfinishedSegment,
  SegmentRemoval,
  unmarkNotBegun,
} from "./segment.ts";

/** Size of a segment unless configured otherwise. */
export const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;
/** Smallest segment: its header and a few records must fit. */
export const MIN_SEGMENT_BYTES = 512;
/** Largest segment: offsets are kept in 32 bits, and a batch may reach beyond the segment's size. */
export const MAX_SEGMENT_BYTES = 1024 * 1024 * 1024;
/** Largest batch. */
export const MAX_BATCH_BYTES = 1024 * 1024 * 1024;

/**
 * Bytes that the log reserves for its next segment when the disk had no space for a whole one: the rest of a nearly full
 * disk is left for the snapshot after which the log can be compacted. Each success doubles the next reservation.
 */
export const TIGHT_RESERVE_BYTES = 1024 * 1024;

/** Options for opening a log. */
export interface WriteAheadLogOptions {
  /** The disk with the log. */
  readonly disk: Disk;
  /** The log's directory, which exists and is locked by this process (data_directory.ts). */
  readonly directory: string;
  /** Owner of the log. */
  readonly identity: LogOwner;
  /** The newest valid snapshot, from which the state machine begins; null when there is none. */
  readonly snapshot: EntryId | null;
  /** Size of a segment; each is preallocated to it. */
  readonly segmentBytes: number;
  /** Maximum bytes of entries that recovery returns. */
  readonly entryCacheBytes: number;
}

/** The state of a log when it was opened. */
export interface RecoveredLog {
  /** The last hard state. */
  readonly hardState: HardState;
  /** The last compacted entry; (0, 0) for a log from its beginning. */
  readonly compacted: EntryId;
  /** Index of the last entry; `compacted.index` when there is none. */
  readonly lastIndex: number;
  /** The terms of all entries. */
  readonly termRanges: readonly TermRange[];
  /** The last entries, as many as fit `entryCacheBytes`. */
  readonly cachedEntries: readonly Entry[];
  /** The configuration entries after the snapshot, in order. */
  readonly configurations: readonly RecoveredConfiguration[];
  /** The torn tail that was cut, for a log line; null when there was none. */
  readonly cut: CutTail | null;
  /** Whether the log was reset to the snapshot: it ended before it, or had another entry there. */
  readonly wasReset: boolean;
  /** Number of segment files. */
  readonly segments: number;
  /** Bytes of all records. */
  readonly bytes: number;
}

/**
 * An open log with one owner. `readEntries` may run concurrently with any call, `sync` with `append`.
 *
 * Invariants: all segments but the last are synced; the last one is durable up to `synced`; after `end` there are only
 * zeros, or one sync mark and zeros, or the file ends.
 */
export class WriteAheadLog {
  readonly #options: WriteAheadLogOptions;
  readonly #state: LogState;
  readonly #encoder = new BatchEncoder();
  readonly #removal: SegmentRemoval;
  #segment: ActiveSegment;
  /** The next segment once half of this one is used; null before, and when preparing it failed. */
  #next: NextSegment | null = null;
  #nextWasTried = false;
  #isNearlyFull = false;
  /** Bytes to which the next segment is filled with zeros. */
  #reserveBytes: number;
  #syncing: Promise<void> | null = null;
  /** Earlier segments of which a sync is in progress. */
  #left: DiskFile[] = [];
  /** Whether the segment's name may not be durable yet: nothing is written to it before it is. */
  #nameIsDue = false;
  #failure: LogFailedError | null = null;
  #closed = false;

  private constructor(options: WriteAheadLogOptions, state: LogState, segment: ActiveSegment) {
    this.#options = options;
    this.#state = state;
    this.#segment = segment;
    this.#removal = new SegmentRemoval(options);
    this.#reserveBytes = options.segmentBytes;
  }

  /**
   * Recovers the log, cuts a torn tail, and makes the rest durable before it is used. If the log ends before the snapshot,
   * or contradicts it, it is reset to the snapshot, durably.
   * Throws `LogDamagedError`, `LogMissingError`, `SnapshotMissingError` or `NewerFormatError` with nothing changed,
   * `LogFullError` or `LogFailedError`.
   */
  static async open(options: WriteAheadLogOptions): Promise<{ log: WriteAheadLog; recovered: RecoveredLog }> {
    const { disk, directory, segmentBytes } = options;
    assert(
      segmentBytes >= MIN_SEGMENT_BYTES && segmentBytes <= MAX_SEGMENT_BYTES,
      "a segment's size is in bounds",
    );
    try {
      const recovery = await recover(options);
      removeUnfinishedSegment(disk, directory);
      removeLeftovers(disk, directory);
      const { segment, left } = await firstSegment(options, recovery);
      const log = new WriteAheadLog(options, recovery.state, segment);
      try {
        // The process that renamed the last segment may have ended before this sync.
        disk.syncDirectory(directory);
        unmarkNotBegun(disk, directory);
        log.#removal.add(left);
        log.#removal.run();
      } catch (error) {
        segment.file.close();
        throw error;
      }
      log.leaveSyncMark();
      return { log, recovered: describe(recovery) };
    } catch (error) {
      throw openingError(directory, error);
    }
  }

  /**
   * Writes a batch; durable after the next `sync`. An empty batch writes nothing.
   * Throws {@link LogFullError} when the disk is full: then nothing of the batch is in the log (except possibly the reset to
   * the batch's snapshot), and the call may be repeated; likewise {@link OutOfDescriptorsError} when no file could be
   * opened. Throws {@link LogFailedError} when the disk failed: the log cannot be used any more.
   */
  append(batch: PersistBatch): void {
    this.#assertUsable();
    const plan = planBatch(batch, this.#state);
    if (plan.bytes === 0 && plan.beginning === null) return;
    assert(plan.bytes <= MAX_BATCH_BYTES, "a batch is in bounds");
    const { segmentBytes } = this.#options;
    const isFilled = this.#segment.end + plan.bytes > segmentBytes && this.#segment.end > this.#segment.begin;
    // A batch larger than a whole segment is written to the next one, which then grows beyond its size.
    if (plan.beginning !== null) this.#reset(plan.beginning);
    else if (isFilled) this.#beginSegment(null);
    this.#syncName();
    this.#write(plan);
    noteBatch(plan, this.#state, { segment: this.#segment.number, offset: this.#segment.end });
    this.#segment.end += plan.bytes;
    if (this.#segment.end > segmentBytes / 2) this.#prepareNext();
  }

  /**
   * Makes every batch appended before the call durable. One call at a time.
   * Rejects with {@link LogFailedError} when the disk failed. Its content is unknown then, since the operating system may
   * mark pages clean that never reached the disk, so a sync is never retried.
   */
  async sync(): Promise<void> {
    this.#assertUsable();
    assert(this.#syncing === null, "one sync at a time");
    this.#syncing = this.#syncSegment();
    try {
      await this.#syncing;
    } finally {
      this.#syncing = null;
    }
  }

  /**
   * Reads consecutive entries from `firstIndex` on, at least one, of together at most `maxBytes` bytes in the log.
   * They are the entries at the time of the call. Checksums are verified; rejects with `LogDamagedError` if one is wrong,
   * with {@link OutOfDescriptorsError} if the call may be repeated.
   */
  async readEntries(firstIndex: number, maxBytes: number): Promise<readonly Entry[]> {
    this.#assertUsable();
    const { lastIndex, checkpoints } = this.#state;
    assert(firstIndex >= this.#state.firstIndex && firstIndex <= lastIndex, "entries that are read exist");
    const { disk, directory } = this.#options;
    this.#removal.beginRead();
    try {
      return await readEntries({ disk, directory, checkpoints, firstIndex, lastIndex, maxBytes });
    } catch (error) {
      throw storageError(directory, error);
    } finally {
      this.#removal.endRead();
      this.#removeLeft();
    }
  }

  /** Index of the first entry in the log, or of the entry that would be the first. */
  get firstIndex(): number {
    return this.#state.firstIndex;
  }

  /** Returns about how many bytes of log there are above `index`. */
  bytesSince(index: number): number {
    return this.#state.bytesSince(index);
  }

  /**
   * Compacts the log: removes whole segments that are needed neither for the entries from `index` on, nor for the term of
   * the one before. A durable snapshot must have every entry below `index`. Throws {@link LogFailedError}.
   */
  removeBefore(index: number): void {
    this.#assertUsable();
    assert(index <= this.#state.lastIndex + 1, "the log is cut within itself");
    this.#removal.add(this.#state.cutBefore(index));
    this.#removeLeft();
    this.#assertUsable();
  }

  /** Whether the disk had no space to prepare the next segment: soon batches will be refused. */
  get isNearlyFull(): boolean {
    return this.#isNearlyFull;
  }

  /** Retries to prepare the next segment if that failed. The owner calls it at intervals. */
  checkDiskSpace(): void {
    this.#assertUsable();
    if (this.#next !== null || this.#segment.end <= this.#options.segmentBytes / 2) return;
    this.#nextWasTried = false;
    this.#prepareNext();
  }

  /** Makes everything durable and closes the log. After a failure it only closes it. May be called again without effect. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#syncing?.catch(() => {});
      if (this.#failure === null) await this.#syncSegment();
      this.#markEnd();
      // A second sync, for the sync mark.
      if (this.#failure === null) await this.#segment.file.syncData();
      this.#writeEnd();
    } finally {
      for (const file of [...this.#left, this.#segment.file]) file.close();
      await this.#next?.stop();
    }
  }

  /** Appends the batch; removes its written part when that fails. */
  #write(plan: BatchPlan): void {
    const { file, seed, end, synced } = this.#segment;
    const bytes = this.#encoder.encode(plan, { seed, offset: end, syncedOffset: synced });
    try {
      file.write(bytes, end);
    } catch (error) {
      this.#takeBack();
      throw this.#refused(error);
    }
  }

  /**
   * Cuts off a partly written batch, durably before anything else is written: otherwise its records could appear after a
   * crash, behind a shorter batch that was written over it.
   */
  #takeBack(): void {
    try {
      this.#segment.markedAt = null;
      this.#segment.file.truncate(this.#segment.end);
      this.#segment.file.syncNow();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async #syncSegment(): Promise<void> {
    const segment = this.#segment;
    const { end } = segment;
    try {
      await segment.file.syncData();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      for (const file of this.#left.splice(0)) file.close();
    }
    if (this.#failure !== null) throw this.#failure;
    segment.synced = Math.max(segment.synced, end);
  }

  /**
   * Appends a sync marker once the last batch is durable, so that later damage to that batch is distinguished from a torn
   * write. The marker takes no space: the next batch is written over it and states the same. The owner calls it when it is
   * idle; no effect if the marker exists or something is not durable yet.
   */
  leaveSyncMark(): void {
    if (!this.#closed) this.#markEnd();
  }

  #markEnd(): void {
    const { file, seed, end, synced, markedAt } = this.#segment;
    if (this.#failure !== null || synced !== end || markedAt === end) return;
    this.#segment.markedAt = end;
    const bytes = new Uint8Array(SYNC_MARK_BYTES);
    const view = new DataView(bytes.buffer);
    encodeRecord({ kind: "syncMark" }, {
      bytes,
      view,
      position: 0,
      place: { seed, offset: end },
      syncedOffset: synced,
    });
    try {
      file.write(bytes, end);
    } catch (error) {
      // On a full disk there is no mark. A part of it does no harm: it is written over, or cut as torn.
      if (!isDiskFull(error)) this.#fail(error);
    }
  }

  /** Writes down where the log ends, so that the next start notices a shorter one. The log is complete without it. */
  #writeEnd(): void {
    const { number: segment, end: offset, synced } = this.#segment;
    if (this.#failure !== null || synced !== offset) return;
    try {
      writeLogEnd(this.#options, { segment, offset });
    } catch {
      // On a full or failing disk an earlier end stays, which is right too.
    }
  }

  /** Resets the log in a new segment; all others are obsolete once its name is durable. */
  #reset(beginning: LogBeginning): void {
    const { segments } = this.#state;
    this.#beginSegment(beginning);
    this.#removal.add(segments);
    this.#syncName();
    this.#removeLeft();
    if (this.#failure !== null) throw this.#failure;
  }

  #removeLeft(): void {
    if (this.#failure !== null || this.#closed || this.#nameIsDue) return;
    try {
      this.#removal.run();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Closes the last segment and continues in a new one. */
  #beginSegment(beginning: LogBeginning | null): void {
    const old = this.#segment;
    try {
      // The new segment's header states where this one ends, and that all of it is durable. It no longer needs its zeros.
      old.file.truncate(old.end);
      old.file.syncNow();
      old.synced = old.end;
    } catch (error) {
      throw this.#fail(error);
    }
    const previous = { number: old.number, end: old.end };
    try {
      this.#segment = createSegment({ ...this.#options, segmentBytes: this.#reserveBytes }, {
        state: this.#state,
        previous,
        next: this.#next,
        beginning,
      });
      this.#isNearlyFull = false;
    } catch (error) {
      this.#noteDiskSpace(error);
      throw this.#refused(error);
    } finally {
      this.#next = null;
      this.#nextWasTried = false;
    }
    if (this.#syncing === null) old.file.close();
    else this.#left.push(old.file);
    this.#nameIsDue = true;
  }

  /** Makes the segment's name durable before anything is written to it. */
  #syncName(): void {
    if (!this.#nameIsDue) return;
    const { disk, directory } = this.#options;
    try {
      disk.syncDirectory(directory);
    } catch (error) {
      throw isOutOfDescriptors(error) ? storageError(directory, error) : this.#fail(error);
    }
    this.#nameIsDue = false;
  }

  #prepareNext(): void {
    if (this.#next !== null || this.#nextWasTried) return;
    this.#nextWasTried = true;
    const { disk, directory } = this.#options;
    try {
      const next = new NextSegment({ disk, directory, bytes: this.#reserveBytes });
      this.#next = next;
      const failed = (error: unknown, step: "write" | "sync"): void =>
        this.#nextFailed(next, { error, step });
      next.prepare(failed, () => this.#reserved());
    } catch (error) {
      // There will be another attempt when the segment is needed, and that one reports what is wrong. A file descriptor
      // that is lacking now may be there then.
      this.#noteDiskSpace(error);
    }
  }

  #reserved(): void {
    this.#isNearlyFull = false;
    this.#reserveBytes = Math.min(2 * this.#reserveBytes, this.#options.segmentBytes);
  }

  /** Records why a segment could not be prepared. */
  #noteDiskSpace(error: unknown): void {
    this.#isNearlyFull = isDiskFull(error);
    if (this.#isNearlyFull) this.#reserveBytes = Math.min(TIGHT_RESERVE_BYTES, this.#options.segmentBytes);
  }

  #nextFailed(next: NextSegment, { error, step }: { error: unknown; step: "write" | "sync" }): void {
    if (this.#next !== next) {
      // Once it is in use, a failed sync may have lost records, which must not be reported as durable. Zeros that could
      // not be written were written when the segment was completed.
      if (next.isInUse && step === "sync" && !this.#closed) this.#fail(error);
      return;
    }
    this.#next = null;
    this.#noteDiskSpace(error);
    try {
      next.discard();
    } catch {
      // There will be another attempt, as above.
    }
  }

  #refused(error: unknown): Error {
    const mayRepeat = isDiskFull(error) || isOutOfDescriptors(error);
    return mayRepeat ? storageError(this.#options.directory, error) : this.#fail(error);
  }

  #fail(error: unknown): LogFailedError {
    this.#failure ??= new LogFailedError(this.#options.directory, {
      reason: errorMessage(error),
      cause: error,
    });
    return this.#failure;
  }

  #assertUsable(): void {
    assert(!this.#closed, "a closed log is not used");
    if (this.#failure !== null) throw this.#failure;
  }
}

function describe({ state, cachedEntries, configurations, last, mustReset }: Recovery): RecoveredLog {
  return {
    hardState: state.hardState,
    compacted: state.compacted,
    lastIndex: state.lastIndex,
    termRanges: [...state.termRanges],
    cachedEntries: mustReset ? [] : cachedEntries,
    configurations: mustReset ? [] : configurations,
    cut: mustReset ? null : last?.cut ?? null,
    wasReset: mustReset,
    segments: state.segments.length,
    bytes: state.bytes,
  };
}
