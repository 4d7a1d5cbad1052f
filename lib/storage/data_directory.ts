/**
 * The data directory: created once, owned by one node of one cluster, used by one process at a time.
 *
 *     <data-dir>/LOCK        held while a process works here
 *     <data-dir>/identity    whose it is (identity.ts)
 *     <data-dir>/wal/        the write-ahead log (wal.ts)
 *
 * The identity is written last when a directory is set up, so where it is, all the rest was there and durable; a
 * log without it, or it without the log's folder, is nothing that a crash leaves behind.
 */
import { dirname } from "@std/path";
import { assertNever } from "../assert.ts";
import { reasonOf } from "./disk.ts";
import type { Disk, DiskLock } from "./disk.ts";
import {
  DataDirectoryDamagedError,
  DataDirectoryError,
  DataDirectoryLockedError,
  DataDirectoryUnusableError,
  ForeignClusterError,
  ForeignNodeError,
  NewerFormatError,
  REBUILD_ADVICE,
} from "./errors.ts";
import { decodeIdentity, encodeIdentity, FORMAT_VERSION, MAX_IDENTITY_BYTES } from "./identity.ts";
import type { Identity } from "./identity.ts";

/** What opening a data directory needs. */
export interface DataDirectoryOptions {
  /** Where it lies. */
  readonly disk: Disk;
  /** The directory; it and its parents are created when missing. */
  readonly path: string;
  /** Who wants to use it. */
  readonly identity: Identity;
}

const CHOOSE_ANOTHER = "Choose another --data-dir.";

/** A data directory that this process holds. */
export class DataDirectory {
  /** The directory, as given. */
  readonly path: string;
  readonly #lock: DiskLock;

  private constructor(path: string, lock: DiskLock) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Opens the directory for `identity`, and sets it up when it is new.
   * Throws a {@link DataDirectoryError} when it is somebody else's, in use, damaged or out of reach; nothing was changed then.
   */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    try {
      return await openDirectory(options, (lock) => new DataDirectory(options.path, lock));
    } catch (error) {
      if (error instanceof DataDirectoryError) throw error;
      throw new DataDirectoryUnusableError(options.path, {
        reason: reasonOf(error),
        advice: `Check that this process may read and write it. ${CHOOSE_ANOTHER}`,
        cause: error,
      });
    }
  }

  /** Where the write-ahead log lies. */
  get walDirectory(): string {
    return walDirectory(this.path);
  }

  /** Lets other processes use the directory. */
  close(): void {
    this.#lock.release();
  }
}

async function openDirectory(
  options: DataDirectoryOptions,
  held: (lock: DiskLock) => DataDirectory,
): Promise<DataDirectory> {
  const { disk, path, identity } = options;
  // Asked before the lock, since locking creates a file and a refusal changes nothing; and again under the lock,
  // since until then another process may have set the directory up.
  if (disk.stat(path) !== null) await checkOwner(options);
  createDirectories(disk, path);
  const lock = disk.lock(`${path}/LOCK`);
  if (lock === null) {
    throw new DataDirectoryLockedError(path, {
      reason: `another process is using it (as node ${identity.nodeId} of cluster ${identity.clusterId})`,
      advice: `Stop that process first. ${CHOOSE_ANOTHER}`,
    });
  }
  try {
    if (!await checkOwner(options)) setUp(options);
    // The process that set it up may have died before its last sync.
    disk.syncDirectory(path);
  } catch (error) {
    lock.release();
    throw error;
  }
  return held(lock);
}

function walDirectory(path: string): string {
  return `${path}/wal`;
}

/** Creates what is missing of `path`. The new names become durable when the directory is set up. */
function createDirectories(disk: Disk, path: string): void {
  if (disk.stat(path) === "directory") return;
  const parent = dirname(path);
  if (parent !== path) createDirectories(disk, parent);
  try {
    disk.createDirectory(path);
  } catch (error) {
    // Nodes that are started side by side create the folder above theirs at the same moment.
    if (disk.stat(path) !== "directory") throw error;
  }
}

/** Makes durable the names that lead to `path`: whoever created them may have died before syncing them. */
function syncAncestors(disk: Disk, path: string): void {
  let ancestor = dirname(path);
  disk.syncDirectory(ancestor);
  for (let above = dirname(ancestor); above !== ancestor; above = dirname(ancestor)) {
    ancestor = above;
    try {
      disk.syncDirectory(ancestor);
    } catch {
      // Where this process may not look it has not created anything.
      return;
    }
  }
}

/** Makes a directory without an identity this node's own. */
function setUp(options: DataDirectoryOptions): void {
  const { disk, path, identity } = options;
  syncAncestors(disk, path);
  if (disk.stat(walDirectory(path)) === null) disk.createDirectory(walDirectory(path));
  const file = disk.open(`${path}/identity.new`, "create");
  try {
    file.write(encodeIdentity(identity), 0);
    file.syncNow();
  } finally {
    file.close();
  }
  disk.syncDirectory(path);
  disk.rename(`${path}/identity.new`, `${path}/identity`);
}

/** Whether the directory is `identity`'s (true) or nobody's yet (false); throws when it is somebody else's or damaged. */
async function checkOwner(options: DataDirectoryOptions): Promise<boolean> {
  const { disk, path, identity } = options;
  const hasLogFolder = disk.stat(walDirectory(path)) !== null;
  if (disk.stat(`${path}/identity`) === null) {
    if (hasLogFolder && disk.list(walDirectory(path)).length > 0) {
      throw new DataDirectoryDamagedError(path, {
        reason: "it holds a log (wal/) but no identity file, so nobody can tell which node's log it is",
        advice: `Restore the file \`identity\` from where the log came from, or choose another --data-dir.`,
      });
    }
    return false;
  }
  const owner = await readOwner(disk, path);
  if (owner.clusterId !== identity.clusterId) {
    throw new ForeignClusterError(path, {
      reason:
        `it belongs to node ${owner.nodeId} of cluster ${owner.clusterId}, not to cluster ${identity.clusterId}`,
      advice:
        `The cluster's id follows from --cluster and --cluster-name: check these, or choose another --data-dir.`,
    });
  }
  if (owner.nodeId !== identity.nodeId) {
    throw new ForeignNodeError(path, {
      reason:
        `it belongs to node ${owner.nodeId} of cluster ${owner.clusterId}, not to node ${identity.nodeId}`,
      advice: `Check --node-id, or choose another --data-dir.`,
    });
  }
  if (!hasLogFolder) {
    throw new DataDirectoryDamagedError(path, {
      reason:
        `the log (wal/) of node ${owner.nodeId} is gone, and with it what this node has promised its peers`,
      advice: `Restore wal/ if you can. ${REBUILD_ADVICE}`,
    });
  }
  return true;
}

async function readOwner(disk: Disk, path: string): Promise<Identity> {
  const file = disk.open(`${path}/identity`, "read");
  const bytes = new Uint8Array(MAX_IDENTITY_BYTES + 1);
  let length: number;
  try {
    length = await file.read(bytes, 0);
  } finally {
    file.close();
  }
  const decoded = decodeIdentity(bytes.subarray(0, length));
  switch (decoded.kind) {
    case "identity":
      return decoded.identity;
    case "newerFormat":
      throw new NewerFormatError(path, {
        reason:
          `it has format version ${decoded.formatVersion}, and this kvraft knows versions up to ${FORMAT_VERSION}`,
        advice: "Start the newer kvraft that wrote it.",
      });
    case "damaged":
      throw new DataDirectoryDamagedError(path, {
        reason: `its identity file is damaged (${decoded.reason}), so nobody can tell whose it is`,
        advice:
          'Restore the file `identity` ({"formatVersion":1,"clusterId":"…","nodeId":…}), or choose another --data-dir.',
      });
    default:
      return assertNever(decoded);
  }
}
