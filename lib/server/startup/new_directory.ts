/**
 * Makes the data directory of a node that begins with a state: of a cluster that is restored from a backup, or that continues
 * from its last survivor.
 *
 * A marker that the directory is unfinished is written first, then the snapshot, a log that begins behind it, and the identity
 * last: a start on an interrupted directory is refused with the command that finishes it.
 */
import type { Random } from "../../platform/clock.ts";
import { encodeConfiguration } from "../../protocol/configuration.ts";
import type { Configuration } from "../../raft/mod.ts";
import { DataDirectory, type Disk, type Identity, SnapshotStore, WriteAheadLog } from "../../storage/mod.ts";
import { PROBE_NAME } from "../disk_space_monitor.ts";
import { newDataId } from "./identity.ts";

/** Size of the log's first file, which is almost empty: the server continues with files of its own size. */
const SEGMENT_BYTES = 4_096;

/** A directory cannot be made at a path that is in use. */
export class DirectoryInUseError extends Error {
  override readonly name = "DirectoryInUseError";
  /** Stable name of this error. */
  readonly code = "folderInUse";
}

/** A directory to make. */
export interface NewDirectory {
  readonly disk: Disk;
  readonly random: Random;
  readonly path: string;
  readonly identity: Omit<Identity, "dataId">;
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  /** Version of the snapshot format, which fits the state's feature level. */
  readonly formatVersion: number;
  readonly configuration: Configuration;
  /** A sentence with the command that finishes an interrupted directory. */
  readonly advice: string;
  /**
   * Whether the directory gets its name later: until then it stays marked, and an interrupted attempt starts from the
   * beginning even if it was complete.
   */
  readonly isNamedLater: boolean;
  /** Passes the state to `write`, in chunks as state_codec.ts makes them. */
  readonly writeChunks: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>;
}

/** Makes the directory, durably. Rejects with {@link DirectoryInUseError} where the path is in use, and with errors of lib/storage. */
export async function makeDirectory(planned: NewDirectory): Promise<void> {
  const {
    disk,
    path,
    identity,
    index,
    term,
    revision,
    formatVersion,
    configuration,
    random,
    advice,
    isNamedLater,
  } = planned;
  requireOwnNames(disk, path);
  const directory = await DataDirectory.make({ disk, path, advice, restartsInterrupted: isNamedLater });
  try {
    if (directory.identity !== null) {
      throw new DirectoryInUseError(
        `Cannot make a data directory at ${path}: it is that of node ${directory.identity.nodeId} of cluster ` +
          `${directory.identity.clusterId}. Move it away, or choose another --data-dir.`,
      );
    }
    const store = await SnapshotStore.open({ disk, directory: directory.snapshotDirectory });
    const writer = store.create({
      formatVersion,
      clusterId: identity.clusterId,
      index,
      term,
      revision,
      configuration: encodeConfiguration(configuration),
    });
    try {
      await planned.writeChunks(async (chunk) => {
        writer.write(chunk);
        await writer.flush();
      });
      await writer.commit();
    } catch (error) {
      writer.discard();
      throw error;
    }
    const owned = { ...identity, dataId: newDataId(random) };
    await beginLog(planned, { identity: owned, walDirectory: directory.walDirectory });
    directory.found(owned);
    if (!isNamedLater) directory.finish();
  } finally {
    directory.close();
  }
}

/** Names of files in a data directory, and in a new file system. */
const OWN_NAMES = [
  "LOCK",
  "identity",
  "identity.new",
  "wal",
  "snapshots",
  "unfinished",
  PROBE_NAME,
  "lost+found",
];

/** Refuses a directory with files that are not kvraft's: it was probably named by mistake. */
function requireOwnNames(disk: Disk, path: string): void {
  if (disk.stat(path) !== "directory") return;
  const others = disk.list(path).filter((name) => !OWN_NAMES.includes(name));
  if (others.length === 0) return;
  throw new DirectoryInUseError(
    `Cannot make a data directory at ${path}: it holds other files (${
      others.slice(0, 3).join(", ")
    }). Choose an empty directory, or one that does not exist.`,
  );
}

/** Makes a log behind the snapshot: a node with a snapshot and no log would count as one that has lost its log. */
async function beginLog(
  { disk, index, term }: NewDirectory,
  { identity, walDirectory }: { readonly identity: Identity; readonly walDirectory: string },
): Promise<void> {
  const options = {
    disk,
    directory: walDirectory,
    identity,
    segmentBytes: SEGMENT_BYTES,
    entryCacheBytes: 0,
  };
  const { log } = await WriteAheadLog.open({ ...options, snapshot: null });
  try {
    const hardState = { term, vote: null, commitIndex: index };
    log.append({ snapshot: { index, term }, hardState, entries: [] });
    await log.sync();
  } finally {
    await log.close();
  }
}
