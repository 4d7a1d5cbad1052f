/**
 * The data directory: founded once, owned by one node of one cluster, used by one process at a time.
 *
 *     <data-dir>/LOCK        locked while a process uses the directory
 *     <data-dir>/identity    the owner (identity.ts)
 *     <data-dir>/wal/        the write-ahead log (wal/wal.ts)
 *     <data-dir>/snapshots/  snapshots (snapshot/store.ts)
 *     <data-dir>/unfinished  exists while a restore or a recovery creates the directory; has the advice to continue it
 *
 * The identity is written last when a directory is founded, after all the rest is durable, so a crash never leaves a
 * log without an identity, or an identity without the log's directory. A restore marks the directory as unfinished first
 * and founds it last: a node does not start from a part of the state, nor does it begin an empty log there.
 */
import { errorCode, errorMessage, wrongPathReason } from "../platform/errors.ts";
import { dirname } from "@std/path";
import { assert, assertNever } from "../platform/assert.ts";
import { type Disk, type DiskLock, isForbidden } from "../platform/disk.ts";
import {
  DataDirectoryDamagedError,
  DataDirectoryError,
  DataDirectoryLockedError,
  DataDirectoryUnfinishedError,
  DataDirectoryUnusableError,
  NewerFormatError,
  OtherClusterError,
  OtherNodeError,
  REBUILD_ADVICE,
} from "./errors.ts";
import {
  decodeIdentity,
  encodeIdentity,
  FORMAT_VERSION,
  type Identity,
  MAX_IDENTITY_BYTES,
} from "./identity.ts";
import { hasLostLog, isNotBegun, markNotBegun } from "./wal/segment.ts";

/** Options for opening a data directory. */
export interface DataDirectoryOptions {
  /** The disk with the directory. */
  readonly disk: Disk;
  /** The directory; it and its parents are created when missing. */
  readonly path: string;
}

/** Options for creating a data directory with a state. */
export interface MakingOptions extends DataDirectoryOptions {
  /** The command that continues it after an interruption, as a sentence. */
  readonly advice: string;
  /** Whether an attempt that was interrupted after the identity was written is started again. */
  readonly restartsInterrupted: boolean;
}

/** The file that marks a directory as unfinished. */
const UNFINISHED = "unfinished";
const MAX_ADVICE_BYTES = 1_024;
const CHOOSE_ANOTHER = "Choose another --data-dir.";

/** A data directory that this process holds. */
export class DataDirectory {
  /** The directory, as given. */
  readonly path: string;
  readonly #disk: Disk;
  readonly #lock: DiskLock;
  #identity: Identity | null;

  private constructor(options: DataDirectoryOptions, lock: DiskLock, identity: Identity | null) {
    this.path = options.path;
    this.#disk = options.disk;
    this.#lock = lock;
    this.#identity = identity;
  }

  /**
   * Opens the directory, and creates the missing parts of one without an identity.
   * Throws a {@link DataDirectoryError}, without any change, when it is in use, damaged or not accessible.
   */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    return await orUnusable(options.path, async () => {
      const { lock, identity } = await openDirectory(options, null);
      return new DataDirectory(options, lock, identity);
    });
  }

  /**
   * Opens a directory to create it with a state, and marks it as unfinished, durably, until {@link finish}. Removes the
   * files of an interrupted attempt. Throws like {@link open}.
   */
  static async make(options: MakingOptions): Promise<DataDirectory> {
    return await orUnusable(options.path, async () => {
      const { lock, identity } = await openDirectory(options, options);
      return new DataDirectory(options, lock, identity);
    });
  }

  /** Whether an interrupted {@link make} left this directory, so that no node has used it. */
  static isLeftover({ disk, path }: DataDirectoryOptions): boolean {
    if (disk.stat(path) !== "directory") return false;
    const names = disk.list(path);
    return names.includes(UNFINISHED) || names.every((name) => name === "LOCK");
  }

  /** Its identity; null while it has none. */
  get identity(): Identity | null {
    return this.#identity;
  }

  /** Whether only the user who owns it can read it. Older versions created directories that others could read. */
  get isPrivate(): boolean {
    return this.#disk.isPrivate(this.path);
  }

  /** Path of the write-ahead log's directory. */
  get walDirectory(): string {
    return walDirectory(this.path);
  }

  /** Path of the snapshots' directory. */
  get snapshotDirectory(): string {
    return snapshotDirectory(this.path);
  }

  /**
   * Writes the identity of a directory that has none: durably, with everything in it so far.
   * Throws {@link DataDirectoryUnusableError}; then the next start finds either no identity or this one.
   */
  found(identity: Identity): void {
    assert(this.#identity === null, "a data directory is founded once");
    try {
      writeIdentity(this.#disk, this.path, identity);
    } catch (error) {
      throw unusable(this.path, error);
    }
    this.#identity = identity;
  }

  /**
   * Throws {@link OtherNodeError} or {@link OtherClusterError} when the directory belongs to another node or cluster
   * than expected; a name or id that is null is not checked. A directory without an identity passes.
   */
  requireOwner(
    expected: {
      readonly nodeId: number;
      readonly clusterName: string | null;
      readonly clusterId: string | null;
    },
  ): void {
    const owner = this.#identity;
    if (owner === null) return;
    const { nodeId, clusterName, clusterId } = expected;
    const otherName = clusterName !== null && owner.clusterName !== clusterName;
    if (otherName || (clusterId !== null && owner.clusterId !== clusterId)) {
      const other = otherName ? JSON.stringify(clusterName) : clusterId;
      throw new OtherClusterError(this.path, {
        reason: `it belongs to ${nameOf(owner)}, not to cluster ${other}`,
        advice: `Check --cluster and --cluster-name, or choose another --data-dir.`,
      });
    }
    if (owner.nodeId !== nodeId) {
      throw new OtherNodeError(this.path, {
        reason: `it belongs to ${nameOf(owner)}, not to node ${nodeId}`,
        advice: `Check --node-id, or choose another --data-dir.`,
      });
    }
  }

  /** Does the same for a directory that was founded under another name, and that is not open. Throws what the disk throws. */
  static finishAt({ disk, path }: DataDirectoryOptions): void {
    removeMark(disk, path);
  }

  /** Removes the mark of an unfinished directory, durably. Throws {@link DataDirectoryUnusableError}. */
  finish(): void {
    assert(this.#identity !== null, "a directory is founded before it is finished");
    try {
      removeMark(this.#disk, this.path);
    } catch (error) {
      throw unusable(this.path, error);
    }
  }

  /** Unlocks the directory. */
  close(): void {
    this.#lock.release();
  }
}

/** Returns the directory's identity, or null while it has none. Changes nothing, and needs no lock. Throws a {@link DataDirectoryError}. */
export async function readIdentity(options: DataDirectoryOptions): Promise<Identity | null> {
  return await orUnusable(options.path, () => readOwner(options));
}

async function orUnusable<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DataDirectoryError) throw error;
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): DataDirectoryUnusableError {
  const wrongPath = wrongPathReason(error);
  return new DataDirectoryUnusableError(path, {
    reason: wrongPath ?? errorMessage(error),
    advice: `Check that ${
      wrongPath === null ? "this process may read and write it" : "it is the directory that you mean"
    }. ${CHOOSE_ANOTHER}`,
    cause: error,
  });
}

async function openDirectory(
  options: DataDirectoryOptions,
  making: MakingOptions | null,
): Promise<{ lock: DiskLock; identity: Identity | null }> {
  const { disk, path } = options;
  // Checked before the lock, since locking creates a file and a refusal changes nothing; and again under the lock,
  // since another process may have founded the directory meanwhile.
  const before = disk.stat(path) === null ? null : await readOwner(options, making);
  createDirectories(disk, path);
  const lock = disk.lock(`${path}/LOCK`);
  if (lock === null) {
    const who = before === null ? "" : ` (as ${nameOf(before)})`;
    throw new DataDirectoryLockedError(path, {
      reason: `another process is using it${who}`,
      advice: `Stop that process first. ${CHOOSE_ANOTHER}`,
    });
  }
  try {
    const identity = await readOwner(options, making);
    if (identity === null && making !== null) beginMaking(making);
    if (identity === null) createSubdirectories(disk, path);
    // Only the mark had not been removed.
    else removeMark(disk, path);
    // The subdirectories are durable before the identity, and so is an identity whose writer ended before its last sync.
    disk.syncDirectory(path);
    return { lock, identity };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function walDirectory(path: string): string {
  return `${path}/wal`;
}

function snapshotDirectory(path: string): string {
  return `${path}/snapshots`;
}

function nameOf({ nodeId, clusterId, clusterName }: Identity): string {
  return `node ${nodeId} of cluster ${clusterId} (${clusterName})`;
}

/** Creates the missing parts of `path`. The new names become durable with the subdirectories. */
function createDirectories(disk: Disk, path: string): void {
  if (disk.stat(path) === "directory") return;
  const parent = dirname(path);
  if (parent !== path) createDirectories(disk, parent);
  // Nothing is created where the new name could not be made durable, because this process must not read the parent.
  disk.syncDirectory(parent);
  try {
    disk.createDirectory(path);
  } catch (error) {
    // Nodes that start concurrently may create a common parent directory at the same moment.
    const found = disk.stat(path);
    if (found === "directory") return;
    throw found === null && errorCode(error) === "EEXIST"
      ? new Error(`${path} is a symbolic link to a directory that does not exist`, { cause: error })
      : error;
  }
}

/** Makes the parent directories of `path` durable: the process that created them may have ended before syncing them. */
function syncAncestors(disk: Disk, path: string): void {
  let ancestor = path;
  for (let above = dirname(path); above !== ancestor; above = dirname(ancestor)) {
    const isParent = ancestor === path;
    ancestor = above;
    try {
      disk.syncDirectory(ancestor);
    } catch (error) {
      // This process has created nothing in a directory that it must not read.
      if (isParent && !isForbidden(error)) throw error;
      return;
    }
  }
}

/** Marks a directory as unfinished, durably, and then removes the files of an interrupted attempt. */
function beginMaking({ disk, path, advice }: MakingOptions): void {
  const mark = disk.open(`${path}/${UNFINISHED}`, "create");
  try {
    mark.write(new TextEncoder().encode(advice), 0);
    mark.syncNow();
  } finally {
    mark.close();
  }
  disk.syncDirectory(path);
  if (disk.stat(`${path}/identity`) !== null) disk.remove(`${path}/identity`);
  disk.syncDirectory(path);
  for (const directory of [walDirectory(path), snapshotDirectory(path)]) {
    if (disk.stat(directory) === null) continue;
    for (const name of disk.list(directory)) disk.remove(`${directory}/${name}`);
    disk.syncDirectory(directory);
  }
}

function removeMark(disk: Disk, path: string): void {
  if (disk.stat(`${path}/${UNFINISHED}`) === null) return;
  disk.remove(`${path}/${UNFINISHED}`);
  disk.syncDirectory(path);
}

/** Creates the subdirectories of a new data directory. */
function createSubdirectories(disk: Disk, path: string): void {
  syncAncestors(disk, path);
  for (const directory of [walDirectory(path), snapshotDirectory(path)]) {
    if (disk.stat(directory) === null) disk.createDirectory(directory);
  }
  markNotBegun(disk, walDirectory(path));
}

function writeIdentity(disk: Disk, path: string, identity: Identity): void {
  const file = disk.open(`${path}/identity.new`, "create");
  try {
    file.write(encodeIdentity(identity), 0);
    file.syncNow();
  } finally {
    file.close();
  }
  disk.rename(`${path}/identity.new`, `${path}/identity`);
  disk.syncDirectory(path);
}

/** Returns the identity of a directory, or null without one; throws when the directory contradicts itself. */
async function readOwner(
  options: DataDirectoryOptions,
  making: MakingOptions | null = null,
): Promise<Identity | null> {
  const { disk, path } = options;
  const isMarked = disk.stat(`${path}/${UNFINISHED}`) !== null;
  if (isMarked && making?.restartsInterrupted === true) return null;
  if (disk.stat(`${path}/identity`) === null) {
    if (isMarked && making !== null) return null;
    if (isMarked) throw await unfinished(options);
    for (const subdirectory of [walDirectory(path), snapshotDirectory(path)]) {
      if (disk.stat(subdirectory) === null || isNotBegun(disk, subdirectory)) continue;
      throw new DataDirectoryDamagedError(path, {
        reason: `it holds data (${
          subdirectory.slice(path.length + 1)
        }/) but no identity file, so its owner is unknown`,
        advice:
          "If a restore was interrupted here, empty the directory and restore again. Otherwise put the " +
          "file `identity` back from where the data came from, or choose another --data-dir.",
      });
    }
    return null;
  }
  const owner = await readIdentityFile(disk, path);
  const wal = walDirectory(path);
  // With an empty log in its place the node could vote a second time in a term.
  if (disk.stat(wal) === null || hasLostLog(disk, wal)) {
    throw missing(path, {
      subdirectory: wal,
      reason:
        `the log (wal/) of node ${owner.nodeId} is missing, and with it the node's votes and acknowledged entries`,
    });
  }
  const snapshots = snapshotDirectory(path);
  if (disk.stat(snapshots) === null) {
    throw missing(path, {
      subdirectory: snapshots,
      reason:
        `the snapshots (snapshots/) of node ${owner.nodeId} are missing, and with them the state before its log`,
    });
  }
  return owner;
}

async function unfinished({ disk, path }: DataDirectoryOptions): Promise<DataDirectoryUnfinishedError> {
  const file = disk.open(`${path}/${UNFINISHED}`, "read");
  try {
    const bytes = new Uint8Array(MAX_ADVICE_BYTES);
    const length = await file.read(bytes, 0);
    // A crash before the mark's first sync leaves it without its bytes.
    const advice = new TextDecoder().decode(bytes.subarray(0, length)).replaceAll("\0", "");
    return new DataDirectoryUnfinishedError(path, {
      reason: "a restore or a recovery of it was interrupted, and it has only a part of the state",
      advice: advice === "" ? "Run the same `kvraft server restore …` or `recover …` again." : advice,
    });
  } finally {
    file.close();
  }
}

function missing(
  path: string,
  { subdirectory, reason }: { subdirectory: string; reason: string },
): DataDirectoryDamagedError {
  return new DataDirectoryDamagedError(path, {
    reason,
    advice: `Restore ${subdirectory.slice(path.length + 1)}/ if you can. ${REBUILD_ADVICE}`,
  });
}

async function readIdentityFile(disk: Disk, path: string): Promise<Identity> {
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
        reason: `its identity file is damaged (${decoded.reason}), so its owner is unknown`,
        advice:
          `Put the file \`identity\` back from a copy of this directory, or choose another --data-dir. ` +
          REBUILD_ADVICE,
      });
    default:
      return assertNever(decoded);
  }
}
