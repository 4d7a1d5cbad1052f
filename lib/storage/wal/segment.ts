/**
 * Segment files: their names, preparation and removal.
 *
 * A segment is named by its number in 20 digits. The number is the index of the first entry it may have, or one more than
 * the number before it if entries were overridden since: so names never repeat, and their order is the order of writing.
 *
 * A new segment is filled with zeros under a temporary name, gets its header, is synced, and is then renamed. A crash
 * therefore never leaves a segment without its header: if the header is missing, the file was damaged.
 */
import { type Disk, type DiskFile, isDiskFull, isOutOfDescriptors } from "../../platform/disk.ts";
import { FORMAT_VERSION } from "../identity.ts";
import { encodeRecord, type LogRecord, recordBytes, type SegmentHeader, segmentSeed } from "./record.ts";

const NAME_DIGITS = 20;
/** The segment being prepared. */
const NEXT_NAME = "next.new";
/** Mark that exists from the creation of the directory until the first segment has its name: without both, a log was lost. */
const NOT_BEGUN_NAME = "not-begun";
const ZEROS = new Uint8Array(256 * 1024);

/** Returns the file name of a segment. */
export function segmentName(number: number): string {
  return `${String(number).padStart(NAME_DIGITS, "0")}.log`;
}

/** Returns the number in a segment's file name, or null when it is not the name of a segment. */
export function segmentNumber(name: string): number | null {
  const number = Number(name.slice(0, NAME_DIGITS));
  return Number.isSafeInteger(number) && number >= 1 && segmentName(number) === name ? number : null;
}

/** Marks the empty directory of a log, durably, as one that has never had a segment. */
export function markNotBegun(disk: Disk, directory: string): void {
  disk.open(`${directory}/${NOT_BEGUN_NAME}`, "create").close();
  disk.syncDirectory(directory);
}

/** Removes the mark, durably, once the name of a segment is durable. */
export function unmarkNotBegun(disk: Disk, directory: string): void {
  if (disk.stat(`${directory}/${NOT_BEGUN_NAME}`) === null) return;
  disk.remove(`${directory}/${NOT_BEGUN_NAME}`);
  disk.syncDirectory(directory);
}

/** Returns whether the directory of a log has nothing but the mark that it has never had a segment. */
export function isNotBegun(disk: Disk, directory: string): boolean {
  return disk.list(directory).every((name) => name === NOT_BEGUN_NAME);
}

/** Returns whether the directory of a log had segments and has none any more. */
export function hasLostLog(disk: Disk, directory: string): boolean {
  const names = disk.list(directory);
  return !names.some((name) => name === NOT_BEGUN_NAME || segmentNumber(name) !== null);
}

/** The segment that is written to. */
export interface ActiveSegment {
  /** Its number. */
  readonly number: number;
  /** Its seed for checksums. */
  readonly seed: number;
  /** Its open file; the log closes it. */
  readonly file: DiskFile;
  /** Offset of its first record after the header. */
  readonly begin: number;
  /** Offset of the next record. */
  end: number;
  /** Everything before this offset is durable. */
  synced: number;
  /** Offset at which a sync mark was written last; null before that. */
  markedAt: number | null;
}

/**
 * The next segment, prepared before it is needed, since writing a segment of zeros takes time. Later syncs of a file that
 * has its full size do not write its metadata, which halves their time.
 */
export class NextSegment {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #bytes: number;
  /** Used for the zeros alone, so that a sync of them may still be in progress when the segment is already in use. */
  readonly #file: DiskFile;
  #zeroed = 0;
  #finished = false;
  #isInUse = false;
  #isSyncing = false;
  #background: Promise<void> | null = null;

  /** Begins a segment of `bytes` bytes in `directory`. Throws the disk's errors. */
  constructor(options: { disk: Disk; directory: string; bytes: number }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#bytes = options.bytes;
    this.#file = options.disk.open(`${options.directory}/${NEXT_NAME}`, "create");
  }

  /** Whether it has its name, so that its records are part of the log. */
  get isInUse(): boolean {
    return this.#isInUse;
  }

  /**
   * Fills the segment in the background, piece by piece. Then calls `prepared`, or `failed` if the disk fails to write or
   * to sync the zeros.
   */
  prepare(failed: (error: unknown, step: "write" | "sync") => void, prepared: () => void): void {
    const refused = (error: unknown): void => failed(error, this.#isSyncing ? "sync" : "write");
    this.#background = this.#fillSlowly().then(prepared, refused).finally(() => {
      this.#background = null;
      if (this.#finished) this.#file.close();
    });
  }

  /** Completes the segment and renames it. When it throws, the segment does not exist, and the caller discards it. */
  complete(header: Omit<SegmentHeader, "formatVersion">): ActiveSegment {
    while (this.#zeroed < this.#bytes) this.#fillOnce();
    const record: LogRecord = { kind: "segmentHeader", header: { ...header, formatVersion: FORMAT_VERSION } };
    const seed = segmentSeed(header.number);
    const bytes = new Uint8Array(recordBytes(record));
    const view = new DataView(bytes.buffer);
    encodeRecord(record, { bytes, view, position: 0, place: { seed, offset: 0 }, syncedOffset: 0 });
    const path = `${this.#directory}/${NEXT_NAME}`;
    const file = this.#disk.open(path, "write");
    try {
      file.write(bytes, 0);
      file.syncNow();
      this.#disk.rename(path, `${this.#directory}/${segmentName(header.number)}`);
    } catch (error) {
      file.close();
      throw error;
    }
    this.#isInUse = true;
    this.#finish();
    return {
      number: header.number,
      seed,
      file,
      begin: bytes.length,
      end: bytes.length,
      synced: bytes.length,
      markedAt: null,
    };
  }

  /** Removes the file. Throws the disk's errors. */
  discard(): void {
    this.#finish();
    removeUnfinishedSegment(this.#disk, this.#directory);
  }

  /** Discards it, and resolves once its background work has ended. */
  async stop(): Promise<void> {
    this.discard();
    await this.#background;
  }

  #finish(): void {
    this.#finished = true;
    if (this.#background === null) this.#file.close();
  }

  async #fillSlowly(): Promise<void> {
    while (!this.#finished && this.#zeroed < this.#bytes) {
      this.#fillOnce();
      // Each piece is written to the device before the next is made, so that the log's own syncs never queue
      // behind a whole segment of zeros.
      this.#isSyncing = true;
      await this.#file.syncData();
      this.#isSyncing = false;
    }
  }

  #fillOnce(): void {
    const end = Math.min(this.#zeroed + ZEROS.length, this.#bytes);
    this.#file.write(ZEROS.subarray(0, end - this.#zeroed), this.#zeroed);
    this.#zeroed = end;
  }
}

/** Removes a segment that was being prepared when the process ended. It has no records. */
export function removeUnfinishedSegment(disk: Disk, directory: string): void {
  const path = `${directory}/${NEXT_NAME}`;
  if (disk.stat(path) !== null) disk.remove(path);
}

/** Fills a segment with zeros from its end on if the disk has space; otherwise it grows as it is written. */
export function preallocate(file: DiskFile, bytes: number): void {
  const size = file.size();
  try {
    for (let offset = size; offset < bytes; offset += ZEROS.length) {
      file.write(ZEROS.subarray(0, Math.min(ZEROS.length, bytes - offset)), offset);
    }
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    file.truncate(size);
  }
}

/**
 * Removes segments that the log no longer needs, oldest first, each durably before the next: of several removals a crash
 * may keep the later and lose the earlier, and a log with a gap is refused. Removal waits while entries are being read.
 */
export class SegmentRemoval {
  readonly #disk: Disk;
  readonly #directory: string;
  #waiting: number[] = [];
  /** Whether the first waiting segment was removed, but not durably yet. */
  #firstIsRemoved = false;
  #readers = 0;

  constructor(options: { readonly disk: Disk; readonly directory: string }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
  }

  /** Adds segments, oldest first, to which only readers in progress still refer. */
  add(numbers: readonly number[]): void {
    this.#waiting.push(...numbers);
  }

  /** Records that a read of the log begins. */
  beginRead(): void {
    this.#readers += 1;
  }

  /** Records that a read of the log has ended. */
  endRead(): void {
    this.#readers -= 1;
  }

  /**
   * Removes the waiting segments, unless entries are being read. Without a free file descriptor the rest is removed by the
   * next call. Throws other errors of the disk.
   */
  run(): void {
    if (this.#readers > 0) return;
    try {
      for (let number = this.#waiting[0]; number !== undefined; number = this.#waiting[0]) {
        if (!this.#firstIsRemoved) this.#disk.remove(`${this.#directory}/${segmentName(number)}`);
        this.#firstIsRemoved = true;
        this.#disk.syncDirectory(this.#directory);
        this.#firstIsRemoved = false;
        this.#waiting.shift();
      }
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
    }
  }
}
