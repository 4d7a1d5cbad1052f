/** Takes in a snapshot file that a peer sends piece by piece. */
import { assert } from "../../platform/assert.ts";
import { SnapshotDamagedError } from "../errors.ts";
import type { SnapshotPosition, UnfinishedSnapshot } from "./file.ts";
import type { SnapshotReader } from "./store.ts";

/** Which file a peer sends. */
export interface AnnouncedSnapshot extends SnapshotPosition {
  /** Its size. */
  readonly totalBytes: number;
}

/**
 * A file that is being received. What came is kept over broken connections, and forgotten with the process.
 * `write`, `flush`, `finish` and `install` throw `SnapshotWriteError` when the disk refuses; the owner then discards it.
 */
export class SnapshotReceiver<Stored> {
  /** Which file it is. */
  readonly announced: AnnouncedSnapshot;
  readonly #file: UnfinishedSnapshot;
  readonly #open: (verified: () => void) => Promise<SnapshotReader>;
  readonly #ended: (installed: boolean) => Stored | null;
  #isVerified = false;

  /** The store makes these. `open` reads the file, `ended` is told when it has its name or was given up. */
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

  /** The byte that is missing next; `totalBytes` when all is there. */
  get nextOffset(): number {
    return this.#file.bytes;
  }

  /**
   * Takes bytes of the file that stand at `offset`. What does not continue it (a piece that came twice, one too many)
   * is ignored. Returns `nextOffset` as it is then.
   */
  write(offset: number, bytes: Uint8Array): number {
    const fits = offset === this.nextOffset && offset + bytes.length <= this.announced.totalBytes;
    if (fits) this.#file.append(bytes);
    return this.nextOffset;
  }

  /** Waits until what was received is on the device. */
  async flush(): Promise<void> {
    await this.#file.sync();
  }

  /**
   * Makes the whole file durable and opens it for reading, by which it is verified: only what was read to its end may
   * be installed. Throws `SnapshotDamagedError` when it is not the snapshot that was announced.
   */
  async finish(): Promise<SnapshotReader> {
    const { totalBytes, index, term } = this.announced;
    assert(this.nextOffset === totalBytes, "a snapshot is finished when all of it is there");
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

  /** Gives the file its name, durably, after the reader from `finish` came to its end. */
  install(): Stored {
    assert(this.#isVerified, "only a verified snapshot is installed");
    const { index, term } = this.announced;
    this.#file.install({ index, term });
    const stored = this.#ended(true);
    assert(stored !== null, "an installed snapshot is stored");
    return stored;
  }

  /** Gives it up and removes what there is of it; also after a failure, and without effect after `install`. */
  discard(): void {
    this.#file.discard();
    this.#ended(false);
  }
}
