/** Receives a snapshot file that a peer sends in pieces. */
import { assert } from "../../platform/assert.ts";
import { SnapshotDamagedError } from "../errors.ts";
import type { SnapshotPosition, UnfinishedSnapshot } from "./writer.ts";
import type { SnapshotReader } from "./store.ts";

/** The file that a peer sends. */
export interface AnnouncedSnapshot extends SnapshotPosition {
  /** Its size. */
  readonly totalBytes: number;
}

/**
 * A file that is being received. Its content survives broken connections, but not the end of the process.
 * `write`, `flush`, `finish` and `install` throw `SnapshotWriteError` when the disk fails; the owner then discards it.
 */
export class SnapshotReceiver<Stored> {
  /** The file that the peer announced. */
  readonly announced: AnnouncedSnapshot;
  readonly #file: UnfinishedSnapshot;
  readonly #open: (verified: () => void) => Promise<SnapshotReader>;
  readonly #ended: (installed: boolean) => Stored | null;
  #isVerified = false;

  /** Called by the store. `open` reads the file; `ended` is called once it is installed or discarded. */
  constructor(
    file: UnfinishedSnapshot,
    options: {
      readonly announced: AnnouncedSnapshot;
      readonly open: (verified: () => void) => Promise<SnapshotReader>;
      readonly ended: (installed: boolean) => Stored | null;
    },
  ) {
    this.#file = file;
    this.announced = options.announced;
    this.#open = options.open;
    this.#ended = options.ended;
  }

  /** Offset of the next missing byte; `totalBytes` once the file is complete. */
  get nextOffset(): number {
    return this.#file.bytes;
  }

  /**
   * Writes bytes of the file at `offset`. A piece that does not continue it (repeated, or beyond the end) is ignored. Returns
   * the new `nextOffset`.
   */
  write(offset: number, bytes: Uint8Array): number {
    const fits = offset === this.nextOffset && offset + bytes.length <= this.announced.totalBytes;
    if (fits) this.#file.append(bytes);
    return this.nextOffset;
  }

  /** Makes everything received so far durable. */
  async flush(): Promise<void> {
    await this.#file.sync();
  }

  /**
   * Makes the whole file durable and opens it. Reading it to its end verifies it; only a verified file may be installed.
   * Throws `SnapshotDamagedError` when it is not the announced snapshot.
   */
  async finish(): Promise<SnapshotReader> {
    const { totalBytes, index, term } = this.announced;
    assert(this.nextOffset === totalBytes, "a snapshot is finished once it is complete");
    await this.#file.sync();
    const reader = await this.#open(() => this.#isVerified = true);
    const { header } = reader;
    if (header.index === index && header.term === term) return reader;
    reader.close();
    throw new SnapshotDamagedError({
      file: this.#file.path,
      offset: 0,
      reason:
        `entry ${index} of term ${term} was announced, and it is of entry ${header.index} of term ${header.term}`,
    });
  }

  /** Renames the file to its final name, durably, after the reader from `finish` has read to the end. */
  install(): Stored {
    assert(this.#isVerified, "only a verified snapshot is installed");
    const { index, term } = this.announced;
    this.#file.install({ index, term });
    const stored = this.#ended(true);
    assert(stored !== null, "an installed snapshot is stored");
    return stored;
  }

  /** Removes the incomplete file; may be called after a failure, and has no effect after `install`. */
  discard(): void {
    this.#file.discard();
    this.#ended(false);
  }
}
