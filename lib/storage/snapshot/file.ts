/**
 * A snapshot file on its way to its name: written beside, synced, renamed, folder synced, in this order. A crash
 * before the rename leaves an unfinished file, which the next start removes; a crash after it leaves a whole snapshot
 * or, until the folder is synced, none.
 */
import { errorMessage } from "../../platform/errors.ts";
import { assert } from "../../platform/assert.ts";
import { isDiskFull, isOutOfDescriptors } from "../../platform/disk.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { SnapshotWriteError } from "../errors.ts";

const NAME_DIGITS = 20;
const NAME = /^(\d{20})-(\d{20})\.snap$/;
/** What is added to the name of a snapshot that is being written. */
const UNFINISHED = ".new";
/** The snapshot that is being received from a peer. */
export const RECEIVING_NAME = "receiving.new";

/** Which snapshot: the last entry in it. */
export interface SnapshotPosition {
  readonly index: number;
  readonly term: number;
}

/** The file name of a snapshot. */
export function snapshotName({ index, term }: SnapshotPosition): string {
  return `${String(index).padStart(NAME_DIGITS, "0")}-${String(term).padStart(NAME_DIGITS, "0")}.snap`;
}

/** Which snapshot has this file name; null when none has. */
export function snapshotPosition(name: string): SnapshotPosition | null {
  const [, index = "", term = ""] = NAME.exec(name) ?? [];
  const position = { index: Number(index), term: Number(term) };
  const isPosition = Number.isSafeInteger(position.index) && Number.isSafeInteger(position.term);
  return isPosition && snapshotName(position) === name ? position : null;
}

/** Whether the file of this name was never finished. */
export function isUnfinishedSnapshot(name: string): boolean {
  if (name === RECEIVING_NAME) return true;
  return name.endsWith(UNFINISHED) && snapshotPosition(name.slice(0, -UNFINISHED.length)) !== null;
}

/** The name that a snapshot has while it is being written. */
export function unfinishedName(position: SnapshotPosition): string {
  return snapshotName(position) + UNFINISHED;
}

/**
 * A file that becomes a snapshot. Every method but `discard` throws {@link SnapshotWriteError}, after which only
 * `discard` is of use; but `install`, which may be repeated where room or a file descriptor was lacking.
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

  /** Writes behind what was written. */
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

  /** Makes durable what was written before the call. */
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

  /** Gives the file, all of which was synced, its name, durably. */
  install(position: SnapshotPosition): void {
    this.#assertOpen();
    try {
      if (!this.#isRenamed) this.#disk.rename(this.path, `${this.#directory}/${snapshotName(position)}`);
      this.#isRenamed = true;
      this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      // Where the folder's sync itself failed, what the disk holds is not known.
      const mayRepeat = isOutOfDescriptors(error) || (isDiskFull(error) && !this.#isRenamed);
      throw mayRepeat ? writeError(this.path, error) : this.#fail(error);
    }
    this.#state = "installed";
    this.#closeWhenEnded();
  }

  /**
   * Gives it up and removes what there is of it. Without effect on an installed one. One that has its name, not yet
   * durably, stays: it is whole, and the next start finds it or does not.
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
