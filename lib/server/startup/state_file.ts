/** Reads a snapshot file at any path: a backup, or one in a data directory that is inspected. */
import { assert } from "../../platform/assert.ts";
import { StateMachine } from "../../kv/mod.ts";
import { decodeConfiguration } from "../../protocol/configuration.ts";
import type { Configuration } from "../../raft/mod.ts";
import {
  type Disk,
  type DiskFile,
  readSnapshotStream,
  type SnapshotHeader,
  type SnapshotSource,
} from "../../storage/mod.ts";
import { readState, requireHeader } from "../snapshot/state_codec.ts";

/** Maximum bytes of a stream that are kept to be read again: the header, and the frame before the footer. */
const KEPT_STREAM_BYTES = 1_048_576;

/** A path that was named as a backup cannot be one. */
export class BackupPathError extends Error {
  override readonly name = "BackupPathError";
  /** Stable name of this error. */
  readonly code = "notABackup";
}

/** An open file. */
export interface StateFile {
  readonly header: SnapshotHeader;
  readonly configuration: Configuration;
  /** Size of the file; of a stream, the bytes received so far. */
  readonly bytes: number;
  /**
   * Returns the state, verified and compared with the header; called once. Rejects with SnapshotDamagedError,
   * SnapshotUnreadableError and DecodeError.
   */
  load(): Promise<StateMachine>;
}

/**
 * Opens a file or a stream, passes it to `use`, and closes it. Rejects with SnapshotDamagedError for a file that is no
 * snapshot, and with {@link BackupPathError} for a directory.
 */
export async function withStateFile<T>(
  { disk, path }: { readonly disk: Disk; readonly path: string },
  use: (file: StateFile) => Promise<T>,
): Promise<T> {
  const kind = disk.stat(path);
  if (kind === "directory") {
    throw new BackupPathError(`Cannot read ${path} as a backup: it is a directory. Name the file in it.`);
  }
  const file = disk.open(path, "read");
  try {
    const source = kind === "stream" ? streamSource(path, file) : {
      file: path,
      bytes: file.size(),
      readBytes: file.size(),
      read: (into: Uint8Array, offset: number): Promise<number> => file.read(into, offset),
    };
    const { header, chunks } = await readSnapshotStream(source);
    const load = async (): Promise<StateMachine> => {
      const restoring = StateMachine.restoring();
      const machine = await readState(chunks(), { restoring, yieldToEventLoop: () => Promise.resolve() });
      requireHeader(machine, header);
      return machine;
    };
    return await use({
      header,
      configuration: decodeConfiguration(header.configuration),
      get bytes(): number {
        return source.readBytes;
      },
      load,
    });
  } finally {
    file.close();
  }
}

/** Returns a source on a stream that can be read again a little. */
function streamSource(path: string, file: DiskFile): SnapshotSource & { readonly readBytes: number } {
  let kept = new Uint8Array(0);
  let keptFrom = 0;
  return {
    file: path,
    bytes: Number.POSITIVE_INFINITY,
    get readBytes(): number {
      return keptFrom + kept.length;
    },
    async read(into: Uint8Array, offset: number): Promise<number> {
      assert(offset >= keptFrom && offset <= keptFrom + kept.length, "a stream is read in order");
      const known = kept.subarray(offset - keptFrom, offset - keptFrom + into.length);
      into.set(known);
      const news = into.subarray(known.length);
      const count = news.length === 0 ? 0 : await file.read(news, offset + known.length);
      const all = new Uint8Array(kept.length + count);
      all.set(kept);
      all.set(news.subarray(0, count), kept.length);
      const dropped = Math.max(0, all.length - KEPT_STREAM_BYTES);
      keptFrom += dropped;
      kept = all.slice(dropped);
      return known.length + count;
    },
  };
}
