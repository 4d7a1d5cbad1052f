/** Reads records of the log from its segment files, in bounded memory: for recovery, and for peers that lag behind. */
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { SlabCopier } from "../../platform/memory/slab.ts";
import type { Entry } from "../../raft/types.ts";
import { LogDamagedError } from "../errors.ts";
import type { Checkpoint } from "./log_state.ts";
import {
  checksumHolds,
  decodeBody,
  entryRecordBytes,
  type LogRecord,
  readFrame,
  RECORD_HEADER_BYTES,
  segmentSeed,
} from "./record.ts";
import { segmentName } from "./segment.ts";

const READ_WINDOW_BYTES = 256 * 1024;

/** Options of {@link readEntries}. */
export interface ReadRequest {
  readonly disk: Disk;
  /** The log's directory. */
  readonly directory: string;
  /** Positions of entries; only later entries may be added during the read. */
  readonly checkpoints: readonly Checkpoint[];
  /** The first entry to read; it must exist. */
  readonly firstIndex: number;
  /** The last entry that may be read. */
  readonly lastIndex: number;
  /** Maximum bytes of all records together; a first record that is larger is returned alone. */
  readonly maxBytes: number;
}

/** Reads consecutive entries, at least one. Their data is owned by the caller. Throws {@link LogDamagedError}. */
export async function readEntries(request: ReadRequest): Promise<readonly Entry[]> {
  const { checkpoints, firstIndex, lastIndex, maxBytes } = request;
  const entries: Entry[] = [];
  const copier = new SlabCopier();
  let bytes = 0;
  let at = checkpoints.findLastIndex((checkpoint) => checkpoint.index <= firstIndex);
  let open: OpenSegment | null = null;
  try {
    for (let checkpoint = checkpoints[at]; checkpoint !== undefined; checkpoint = checkpoints[++at]) {
      if (checkpoint.index > lastIndex) break;
      if (open?.number !== checkpoint.segment) {
        open?.file.close();
        open = null;
        open = openSegment(request, checkpoint.segment);
      }
      // Entries between the last valid one and the next checkpoint may have been overwritten since.
      const end = Math.min(checkpoints[at + 1]?.index ?? lastIndex + 1, lastIndex + 1);
      let { index, offset } = checkpoint;
      while (index < end) {
        // Without an async generator, which takes a third more time for each entry.
        const found = open.scanner.recordInWindow(offset) ?? await open.scanner.recordAt(offset);
        const entry = entryOf(found, { index, offset, path: open.path });
        offset = found?.end ?? offset;
        if (entry === null) continue;
        index += 1;
        if (entry.index < firstIndex) continue;
        bytes += entryRecordBytes(entry);
        if (entries.length > 0 && bytes > maxBytes) return entries;
        const { term, kind, data } = entry;
        entries.push({ index: entry.index, term, kind, data: copier.copy(data) });
      }
    }
    return entries;
  } finally {
    open?.file.close();
  }
}

interface OpenSegment {
  readonly number: number;
  readonly path: string;
  readonly file: DiskFile;
  readonly scanner: RecordScanner;
}

function openSegment(request: ReadRequest, number: number): OpenSegment {
  const path = `${request.directory}/${segmentName(number)}`;
  const file = request.disk.open(path, "read");
  const scanner = new RecordScanner({ file, seed: segmentSeed(number), windowBytes: READ_WINDOW_BYTES });
  return { number, path, file, scanner };
}

/** Returns the entry of a record, which is the next one, or null for a hard state. Throws {@link LogDamagedError}. */
function entryOf(
  found: ScannedRecord | null,
  at: { readonly index: number; readonly offset: number; readonly path: string },
): Entry | null {
  const record = found?.record ?? null;
  if (record?.kind === "entry" && record.entry.index === at.index) return record.entry;
  if (record?.kind === "hardState") return null;
  const reason = `there was a valid record when it was last read or written`;
  throw new LogDamagedError({ file: at.path, offset: at.offset, index: at.index, reason });
}

/** A record whose checksum holds. */
export interface ScannedRecord {
  /** Offset at which it begins. */
  readonly offset: number;
  /** Offset at which it ends. */
  readonly end: number;
  /** Everything in the file before this offset was durable when the record was written. */
  readonly syncedOffset: number;
  /** Its content, or null for a kind that this version does not know. Its bytes are views, valid until the next call. */
  readonly record: LogRecord | null;
}

/** Options of a {@link RecordScanner}. */
export interface ScannerOptions {
  /** The open segment; its owner closes it. */
  readonly file: DiskFile;
  /** The segment's seed (record.ts). */
  readonly seed: number;
  /** Bytes read at a time. A larger record widens the window, up to the largest record there can be. */
  readonly windowBytes: number;
}

/** Reads the records of a segment file through a window, so that a log of any size is read in bounded memory. */
export class RecordScanner {
  readonly #file: DiskFile;
  readonly #seed: number;
  readonly #fileBytes: number;
  #window: Uint8Array;
  #view: DataView;
  #windowStart = 0;
  #windowLength = 0;

  constructor(options: ScannerOptions) {
    this.#file = options.file;
    this.#seed = options.seed;
    this.#fileBytes = options.file.size();
    this.#window = new Uint8Array(Math.min(options.windowBytes, this.#fileBytes));
    this.#view = new DataView(this.#window.buffer);
  }

  /** Returns the record at `offset`, or null when there is no valid one. */
  async recordAt(offset: number): Promise<ScannedRecord | null> {
    if (!this.#holds(offset, RECORD_HEADER_BYTES) && !await this.#load(offset, RECORD_HEADER_BYTES)) {
      return null;
    }
    const frame = readFrame(this.#view, offset - this.#windowStart, offset);
    if (frame === null) return null;
    const bytes = RECORD_HEADER_BYTES + frame.bodyBytes;
    if (!this.#holds(offset, bytes) && !await this.#load(offset, bytes)) return null;
    return this.recordInWindow(offset);
  }

  /**
   * Returns the same synchronously; null also when the record is not in the window. A caller that reads many records tries
   * this first, which avoids a turn of the event loop for most of them.
   */
  recordInWindow(offset: number): ScannedRecord | null {
    if (!this.#holds(offset, RECORD_HEADER_BYTES)) return null;
    const position = offset - this.#windowStart;
    const frame = readFrame(this.#view, position, offset);
    if (frame === null || !this.#holds(offset, RECORD_HEADER_BYTES + frame.bodyBytes)) return null;
    const end = position + RECORD_HEADER_BYTES + frame.bodyBytes;
    const place = { seed: this.#seed, offset };
    if (!checksumHolds(this.#window.subarray(position, end), this.#view, position, place)) return null;
    return {
      offset,
      end: this.#windowStart + end,
      syncedOffset: frame.syncedOffset,
      record: decodeBody(frame.code, this.#window.subarray(position + RECORD_HEADER_BYTES, end)),
    };
  }

  #holds(offset: number, bytes: number): boolean {
    return offset >= this.#windowStart && offset + bytes <= this.#windowStart + this.#windowLength;
  }

  /** Moves the window to `offset`; false when the file ends before `bytes` bytes. */
  async #load(offset: number, bytes: number): Promise<boolean> {
    if (offset + bytes > this.#fileBytes) return false;
    if (bytes > this.#window.length) {
      this.#window = new Uint8Array(bytes);
      this.#view = new DataView(this.#window.buffer);
    }
    this.#windowStart = offset;
    this.#windowLength = 0;
    this.#windowLength = await this.#file.read(this.#window, offset);
    return this.#windowLength >= bytes;
  }
}
