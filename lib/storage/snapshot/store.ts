/**
 * The snapshots of a data directory: `snapshots/<index>-<term>.snap`, each complete and durable before it gets its name
 * (writer.ts), verified whenever it is read (reader.ts).
 */
import { errorMessage } from "../../platform/errors.ts";
import { assert } from "../../platform/assert.ts";
import { type Disk, isForbidden, removeLeftovers } from "../../platform/disk.ts";
import {
  DataDirectoryUnusableError,
  FORBIDDEN_ADVICE,
  NewerSnapshotError,
  NotASnapshotError,
  SnapshotDamagedError,
  SnapshotUnreadableError,
} from "../errors.ts";
import {
  isUnfinishedSnapshot,
  RECEIVING_NAME,
  snapshotName,
  type SnapshotPosition,
  snapshotPosition,
  SnapshotWriter,
  unfinishedName,
  UnfinishedSnapshot,
} from "./writer.ts";
import type { SnapshotHeader } from "./format.ts";
import { readSnapshotStream, withSnapshotFile } from "./reader.ts";
import { type AnnouncedSnapshot, SnapshotReceiver } from "./receiver.ts";

/** A snapshot with its final name. */
export interface StoredSnapshot extends SnapshotPosition {
  /** Size of its file. */
  readonly bytes: number;
  /**
   * The reason for which it is not used: damage found so far, or an error of the disk; null without one. At first only
   * the header is checked.
   */
  readonly damage: string | null;
}

/** Reads one snapshot, once, from its beginning. Its owner closes it, unless `chunks` has ended. */
export interface SnapshotReader extends Disposable {
  /** Its verified header. */
  readonly header: SnapshotHeader;
  /** Size of its file. */
  readonly bytes: number;
  /**
   * Yields the chunks, each verified and owned by the caller. Only after the last one is the snapshot known to be
   * complete, and may a state built from the chunks be used. Throws {@link SnapshotDamagedError}. Called at most once.
   */
  chunks(): AsyncIterable<Uint8Array>;
  /** Closes it; may be called again without effect. */
  close(): void;
}

/** Reads the bytes of a snapshot's file, to send them. The file is not removed while it is open. */
export interface RawSnapshotReader extends Disposable {
  /** Size of the file. */
  readonly bytes: number;
  /** Reads from `offset` on into `into`; resolves to the number of bytes, fewer than asked only at the end. */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** Closes it; may be called again without effect. */
  close(): void;
}

/** The snapshots in one directory. It has one owner. */
export class SnapshotStore {
  readonly #disk: Disk;
  readonly #directory: string;
  /** By file name. */
  readonly #stored = new Map<string, StoredSnapshot>();
  /** Number of readers of each file. */
  readonly #pins = new Map<string, number>();
  #receiver: SnapshotReceiver<StoredSnapshot> | null = null;

  private constructor(options: { readonly disk: Disk; readonly directory: string }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
  }

  /**
   * Opens the directory, which exists: removes unfinished files, and reads the headers of the rest.
   * Throws {@link DataDirectoryUnusableError} when the disk fails.
   */
  static async open(options: { readonly disk: Disk; readonly directory: string }): Promise<SnapshotStore> {
    const store = new SnapshotStore(options);
    try {
      await store.#load();
      return store;
    } catch (error) {
      throw new DataDirectoryUnusableError(options.directory, {
        reason: errorMessage(error),
        advice: isForbidden(error) ? FORBIDDEN_ADVICE : "Check the disk, and start the node again.",
        cause: error,
      });
    }
  }

  async #load(): Promise<void> {
    const [disk, directory] = [this.#disk, this.#directory];
    removeLeftovers(disk, directory);
    for (const name of disk.list(directory)) {
      if (isUnfinishedSnapshot(name)) disk.remove(`${directory}/${name}`);
      const position = snapshotPosition(name);
      if (position !== null) this.#stored.set(name, await examineSnapshot({ disk, directory, position }));
    }
    // The process that renamed the newest may have ended before this sync.
    disk.syncDirectory(directory);
  }

  /** All snapshots, newest first, damaged ones included. */
  list(): readonly StoredSnapshot[] {
    return [...this.#stored.values()].sort((a, b) => b.index - a.index || b.term - a.term);
  }

  /** Begins a snapshot; one at a time. It replaces one of the same index and term. Throws `SnapshotWriteError`. */
  create(header: SnapshotHeader): SnapshotWriter<StoredSnapshot> {
    const { index, term } = header;
    const name = unfinishedName({ index, term });
    const file = new UnfinishedSnapshot({ disk: this.#disk, directory: this.#directory, name });
    try {
      return new SnapshotWriter(file, {
        header,
        installed: () => this.#add({ index, term, bytes: file.bytes, damage: null }),
      });
    } catch (error) {
      file.discard();
      throw error;
    }
  }

  /**
   * Begins to receive a file from a peer. The same file continues where it stopped, if this process began it; another
   * unfinished one is discarded. Throws `SnapshotWriteError`.
   */
  receive({ index, term, totalBytes }: AnnouncedSnapshot): SnapshotReceiver<StoredSnapshot> {
    const announced = { index, term, totalBytes };
    if (this.#receiver !== null && isSame(this.#receiver.announced, announced)) return this.#receiver;
    this.#receiver?.discard();
    const file = new UnfinishedSnapshot({
      disk: this.#disk,
      directory: this.#directory,
      name: RECEIVING_NAME,
    });
    const receiver = new SnapshotReceiver<StoredSnapshot>(file, {
      announced,
      open: (verified) => this.#read(RECEIVING_NAME, verified),
      ended: (isInstalled) => {
        if (this.#receiver === receiver) this.#receiver = null;
        return isInstalled ? this.#add({ index, term, bytes: totalBytes, damage: null }) : null;
      },
    });
    this.#receiver = receiver;
    return receiver;
  }

  /** Opens a snapshot for reading; it is not removed while the reader is open. Throws {@link SnapshotDamagedError} or {@link NewerSnapshotError}. */
  reader(snapshot: SnapshotPosition): Promise<SnapshotReader> {
    return this.#read(snapshotName(snapshot), () => {});
  }

  /** Opens a snapshot's file to send it; it is not removed while the reader is open. Throws the disk's errors. */
  rawReader(snapshot: SnapshotPosition): RawSnapshotReader {
    return this.#pin(snapshotName(snapshot));
  }

  /**
   * Removes all snapshots older than the newest `keep` without known damage, except those that are being read. A removal
   * that fails is retried by the next call.
   */
  removeOld(keep: number): void {
    assert(keep >= 1, "the newest snapshot is kept");
    let kept = 0;
    for (const snapshot of this.list()) {
      const name = snapshotName(snapshot);
      if (kept >= keep && !this.#pins.has(name)) this.#remove(name);
      else if (snapshot.damage === null) kept += 1;
    }
  }

  /** Removes a file without a sync of the directory: one that reappears after a crash is harmless, and removed later. */
  #remove(name: string): void {
    try {
      this.#disk.remove(`${this.#directory}/${name}`);
    } catch {
      return;
    }
    this.#stored.delete(name);
  }

  #add(snapshot: StoredSnapshot): StoredSnapshot {
    this.#stored.set(snapshotName(snapshot), snapshot);
    return snapshot;
  }

  async #read(name: string, verified: () => void): Promise<SnapshotReader> {
    const { bytes, read, close } = this.#pin(name);
    const file = `${this.#directory}/${name}`;
    try {
      const source = { file, bytes, read: (into: Uint8Array, offset: number) => read(offset, into) };
      const { header, chunks } = await readSnapshotStream(source);
      return {
        header,
        bytes,
        chunks: () => this.#chunks(chunks(), { name, verified, close }),
        close,
        [Symbol.dispose]: close,
      };
    } catch (error) {
      close();
      this.#noteDamage(name, error);
      // A file of this name was a snapshot once: the advice for a file that an operator named would be wrong.
      if (error instanceof NotASnapshotError) throw new SnapshotDamagedError(error);
      throw error;
    }
  }

  async *#chunks(
    chunks: AsyncIterable<Uint8Array>,
    { name, verified, close }: { name: string; verified: () => void; close: () => void },
  ): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
      verified();
    } catch (error) {
      this.#noteDamage(name, error);
      throw error;
    } finally {
      close();
    }
  }

  #noteDamage(name: string, error: unknown): void {
    const snapshot = this.#stored.get(name);
    if (snapshot === undefined) return;
    const damage = damageOf(error);
    if (damage !== null) this.#stored.set(name, { ...snapshot, damage });
  }

  /** Opens a file that is not removed until it is closed, and not closed while a read is in progress. */
  #pin(name: string): RawSnapshotReader {
    const file = this.#disk.open(`${this.#directory}/${name}`, "read");
    this.#pins.set(name, (this.#pins.get(name) ?? 0) + 1);
    let isOpen = true;
    let reads = 0;
    const read = async (offset: number, into: Uint8Array): Promise<number> => {
      assert(isOpen, "a closed snapshot is not read");
      reads += 1;
      try {
        return await file.read(into, offset);
      } finally {
        reads -= 1;
        if (!isOpen && reads === 0) file.close();
      }
    };
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      if (reads === 0) file.close();
      const pins = (this.#pins.get(name) ?? 1) - 1;
      if (pins === 0) this.#pins.delete(name);
      else this.#pins.set(name, pins);
    };
    return { bytes: file.size(), read, close, [Symbol.dispose]: close };
  }
}

/** Checks a snapshot's header. Changes nothing. */
export async function examineSnapshot(
  { disk, directory, position }: {
    readonly disk: Disk;
    readonly directory: string;
    readonly position: SnapshotPosition;
  },
): Promise<StoredSnapshot> {
  const { index, term } = position;
  return await withSnapshotFile({ disk, file: `${directory}/${snapshotName(position)}` }, async (source) => {
    const found = { index, term, bytes: source.bytes };
    try {
      const { header } = await readSnapshotStream(source);
      const isNamed = header.index === index && header.term === term;
      return { ...found, damage: isNamed ? null : "its name is another snapshot's" };
    } catch (error) {
      const damage = damageOf(error);
      if (damage === null) throw error;
      return { ...found, damage };
    }
  });
}

/** Returns the reason for which the snapshot being read is not used, damage or a failed read; null for unrelated errors. */
export function damageOf(error: unknown): string | null {
  if (error instanceof SnapshotUnreadableError) return `it could not be read (${error.reason})`;
  if (error instanceof SnapshotDamagedError) return `byte ${error.offset}: ${error.reason}`;
  return error instanceof NewerSnapshotError ? errorMessage(error) : null;
}

function isSame(a: AnnouncedSnapshot, b: AnnouncedSnapshot): boolean {
  return a.index === b.index && a.term === b.term && a.totalBytes === b.totalBytes;
}
