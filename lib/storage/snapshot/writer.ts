/** Writes a snapshot of this node's own state, chunk by chunk. */
import { crc32 } from "node:zlib";
import { encodeChunkFrame, encodeFooter, encodeSnapshotHeader } from "./format.ts";
import type { SnapshotHeader } from "./format.ts";
import type { UnfinishedSnapshot } from "./file.ts";

/**
 * A snapshot that is being written. Every method but `discard` throws `SnapshotWriteError` when the disk refuses; the
 * owner then discards it. It is there for others only after `commit`.
 */
export class SnapshotWriter<Stored> {
  readonly #file: UnfinishedSnapshot;
  readonly #seed: number;
  readonly #installed: () => Stored;
  #checksum: number;
  #chunks = 0;
  #contentBytes = 0;

  /** `installed` is told when the snapshot has its name; the store makes these. */
  constructor(
    file: UnfinishedSnapshot,
    options: {
      readonly header: Omit<SnapshotHeader, "formatVersion">;
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

  /** Writes one chunk, 1 byte to `MAX_SNAPSHOT_CHUNK_BYTES`. `bytes` is not needed any more afterwards. */
  write(bytes: Uint8Array): void {
    const frame = encodeChunkFrame(bytes, { seed: this.#seed, offset: this.#file.bytes });
    this.#file.append(frame, bytes);
    this.#checksum = crc32(bytes, crc32(frame, this.#checksum));
    this.#chunks += 1;
    this.#contentBytes += bytes.length;
  }

  /** Waits until what was written is on the device, so that it does not pile up in memory and come all at once at the end. */
  async flush(): Promise<void> {
    await this.#file.sync();
  }

  /** Ends the snapshot and gives it its name, durably. */
  async commit(): Promise<Stored> {
    const totals = { chunks: this.#chunks, contentBytes: this.#contentBytes, checksum: this.#checksum };
    this.#file.append(encodeFooter(totals, { seed: this.#seed, offset: this.#file.bytes }));
    await this.#file.sync();
    return this.#installed();
  }

  /** Gives it up and removes what there is of it; also after a failure, and without effect after `commit`. */
  discard(): void {
    this.#file.discard();
  }
}
