/** Reads records of one segment file through a window, so that a log of any size is read in bounded memory. */
import { checksumHolds, decodeBody, readFrame, RECORD_HEADER_BYTES } from "./record.ts";
import type { LogRecord } from "./record.ts";
import type { DiskFile } from "../../platform/disk.ts";

/** A record whose checksum holds. */
export interface ScannedRecord {
  /** Where it begins in the file. */
  readonly offset: number;
  /** Where it ends. */
  readonly end: number;
  /** Everything of the file before it was durable when it was written. */
  readonly syncedOffset: number;
  /** What it says, or null when this version does not understand it. Its bytes are views, valid until the next call. */
  readonly record: LogRecord | null;
}

/** What a scanner needs. */
export interface ScannerOptions {
  /** The open segment; its owner closes it. */
  readonly file: DiskFile;
  /** The segment's seed (record.ts). */
  readonly seed: number;
  /** Bytes read at a time. A larger record widens the window, up to the largest record there can be. */
  readonly windowBytes: number;
}

/** Reads the records of a segment. */
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

  /** The record at `offset`, or null when no valid one stands there. */
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
   * The same without waiting: null also when the record is not in the window. Asked first where many records are
   * read one after the other, it spares most of them a turn of the event loop.
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
