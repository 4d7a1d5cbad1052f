/**
 * Writes snapshot files: to a temporary name, sync, rename, sync of the directory, in this order. A crash before the rename
 * leaves an unfinished file, which the next start removes; a crash after it leaves a complete snapshot or, until the
 * directory is synced, none.
 */
import { assert } from "../../platform/assert.ts";
import { type Disk, type DiskFile, isDiskFull, isOutOfDescriptors } from "../../platform/disk.ts";
import { errorMessage } from "../../platform/errors.ts";
import { SnapshotWriteError } from "../errors.ts";
import { encodeChunkFrame, encodeFooter, encodeSnapshotHeader, type SnapshotHeader } from "./format.ts";
import { crc32 } from "node:zlib";

/**
 * Writes a snapshot of this node's state, chunk by chunk. Every method except `discard` throws `SnapshotWriteError` when
 * the disk fails; the owner then discards it. The snapshot exists for others only after `commit`.
 */
export class SnapshotWriter<Stored> {
  readonly #file: UnfinishedSnapshot;
  readonly #seed: number;
  readonly #installed: () => Stored;
  #checksum: number;
  #chunks = 0;
  #contentBytes = 0;

  /** Called by the store. `installed` is called once the snapshot has its final name. */
  constructor(
    file: UnfinishedSnapshot,
    options: {
      readonly header: SnapshotHeader;
      readonly installed: () => Stored;
    },
  ) {
    const { bytes, seed } = encodeSnapshotHeader(options.header);
    this.#file = file;
    this.#seed = seed;
    this.#installed = () => {
      const { index, term } = options.header;
      file.install({ index, term });
      return options.installed();
    };
    this.#checksum = crc32(bytes);
    file.append(bytes);
  }

  /** Bytes of the file so far. */
  get bytes(): number {
    return this.#file.bytes;
  }

  /** Writes one chunk, 1 byte to `MAX_SNAPSHOT_CHUNK_BYTES`. The caller may reuse `bytes` afterwards. */
  write(bytes: Uint8Array): void {
    const frame = encodeChunkFrame(bytes, { seed: this.#seed, offset: this.#file.bytes });
    this.#file.append(frame, bytes);
    this.#checksum = crc32(bytes, crc32(frame, this.#checksum));
    this.#chunks += 1;
    this.#contentBytes += bytes.length;
  }

  /** Makes everything written so far durable, so that it does not accumulate in memory until the end. */
  async flush(): Promise<void> {
    await this.#file.sync();
  }

  /** Completes the snapshot and renames it to its final name, durably. */
  async commit(): Promise<Stored> {
    const totals = { chunks: this.#chunks, contentBytes: this.#contentBytes, checksum: this.#checksum };
    this.#file.append(encodeFooter(totals, { seed: this.#seed, offset: this.#file.bytes }));
    await this.#file.sync();
    return this.#installed();
  }

  /** Removes the file; also after a failure, and without effect after `commit`. */
  discard(): void {
    this.#file.discard();
  }
}

const NAME_DIGITS = 20;
const NAME = /^(\d{20})-(\d{20})\.snap$/;
/** Suffix of a snapshot that is being written. */
const UNFINISHED = ".new";
/** Name of the snapshot that is being received from a peer. */
export const RECEIVING_NAME = "receiving.new";

/** Identity of a snapshot: its last entry. */
export interface SnapshotPosition {
  readonly index: number;
  readonly term: number;
}

/** Returns the file name of a snapshot. */
export function snapshotName({ index, term }: SnapshotPosition): string {
  return `${String(index).padStart(NAME_DIGITS, "0")}-${String(term).padStart(NAME_DIGITS, "0")}.snap`;
}

/** Returns the snapshot with this file name; null for another name. */
export function snapshotPosition(name: string): SnapshotPosition | null {
  const [, index = "", term = ""] = NAME.exec(name) ?? [];
  const position = { index: Number(index), term: Number(term) };
  const isPosition = Number.isSafeInteger(position.index) && Number.isSafeInteger(position.term);
  return isPosition && snapshotName(position) === name ? position : null;
}

/** Whether this is the name of an unfinished snapshot. */
export function isUnfinishedSnapshot(name: string): boolean {
  if (name === RECEIVING_NAME) return true;
  return name.endsWith(UNFINISHED) && snapshotPosition(name.slice(0, -UNFINISHED.length)) !== null;
}

/** Returns the name of a snapshot while it is being written. */
export function unfinishedName(position: SnapshotPosition): string {
  return snapshotName(position) + UNFINISHED;
}

/**
 * An unfinished snapshot file. Every method except `discard` throws {@link SnapshotWriteError}, after which only `discard`
 * may be called; `install` may be repeated if it failed for lack of disk space or of a file descriptor.
 */
export class UnfinishedSnapshot {
  /** Its path while it is unfinished. */
  readonly path: string;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #file: DiskFile;
  #bytes = 0;
  #syncs = 0;
  #isRenamed = false;
  #state: "open" | "failed" | "installed" | "discarded" = "open";

  constructor(options: { readonly disk: Disk; readonly directory: string; readonly name: string }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.path = `${options.directory}/${options.name}`;
    try {
      this.#file = options.disk.open(this.path, "create");
    } catch (error) {
      throw writeError(this.path, error);
    }
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends to the file. */
  append(...parts: readonly Uint8Array[]): void {
    this.#assertOpen();
    try {
      for (const part of parts) {
        this.#file.write(part, this.#bytes);
        this.#bytes += part.length;
      }
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Makes everything durable that was written before the call. */
  async sync(): Promise<void> {
    this.#assertOpen();
    this.#syncs += 1;
    try {
      await this.#file.syncData();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#syncs -= 1;
      this.#closeWhenEnded();
    }
    if (this.#state !== "open") throw this.#fail(new Error("it was discarded meanwhile"));
  }

  /** Renames the file, which was synced, to its final name, durably. */
  install(position: SnapshotPosition): void {
    this.#assertOpen();
    try {
      if (!this.#isRenamed) this.#disk.rename(this.path, `${this.#directory}/${snapshotName(position)}`);
      this.#isRenamed = true;
      this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      // After a failed sync of the directory the state on disk is unknown.
      const mayRepeat = isOutOfDescriptors(error) || (isDiskFull(error) && !this.#isRenamed);
      throw mayRepeat ? writeError(this.path, error) : this.#fail(error);
    }
    this.#state = "installed";
    this.#closeWhenEnded();
  }

  /**
   * Removes the file. No effect if it is installed. If it was renamed, but not durably, it stays: it is complete, and the
   * next start finds it or does not.
   */
  discard(): void {
    if (this.#state === "installed" || this.#state === "discarded") return;
    this.#state = "discarded";
    this.#closeWhenEnded();
    try {
      if (!this.#isRenamed && this.#disk.stat(this.path) !== null) this.#disk.remove(this.path);
    } catch {
      // The next start tries again.
    }
  }

  #closeWhenEnded(): void {
    const ended = this.#state === "installed" || this.#state === "discarded";
    if (ended && this.#syncs === 0) this.#file.close();
  }

  #fail(error: unknown): SnapshotWriteError {
    if (this.#state === "open") this.#state = "failed";
    return writeError(this.path, error);
  }

  #assertOpen(): void {
    assert(this.#state === "open", `a snapshot that is ${this.#state} is not written to`);
  }
}

function writeError(file: string, cause: unknown): SnapshotWriteError {
  return new SnapshotWriteError(file, { reason: errorMessage(cause), cause });
}
