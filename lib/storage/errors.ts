/** The errors of storage. Every message has the failed operation, the reason, and advice. */
import { InvariantError } from "../platform/assert.ts";
import { isDiskFull, isForbidden, isOutOfDescriptors } from "../platform/disk.ts";
import { errorMessage } from "../platform/errors.ts";

/**
 * Advice for a node that lost its log: it is replaced by a node with a new id. With an empty log the old node could vote
 * twice in a term, and lacks entries that it acknowledged. The new one receives the state before it becomes a voter, and
 * the lost one is removed in the same change.
 */
export const REBUILD_ADVICE =
  "To rebuild this node from its peers: start a new node with an empty data directory and a new id " +
  "(`kvraft server --node-id <new id> --join <a member> …`), and let it take the place of this one: " +
  "`kvraft client … member replace <this node> <new id> <host:port>`. docs/operations.md says more.";

/** The disk has no space for a batch. Nothing of the batch was kept; the log works again once there is space. */
export class LogFullError extends Error {
  override readonly name = "LogFullError";
  /** Stable name of this error. */
  readonly code = "logFull";

  constructor(directory: string, options: { reason: string; cause: unknown }) {
    super(
      `Cannot append to the log in ${directory}: the disk is full (${options.reason}). Nothing of this write was ` +
        "kept. Free some space on this disk; the node needs no restart.",
      { cause: options.cause },
    );
  }
}

/** No file descriptor is left for a file that the log must open. Nothing was written; the log works again once there is one. */
export class OutOfDescriptorsError extends Error {
  override readonly name = "OutOfDescriptorsError";
  /** Stable name of this error. */
  readonly code = "outOfDescriptors";

  constructor(directory: string, options: { reason: string; cause: unknown }) {
    super(
      `Cannot open another file in ${directory}: the limit on open files is reached (${options.reason}). Nothing was ` +
        "changed, and it is tried again. Raise the limit (`ulimit -n`), or lower --max-connections.",
      { cause: options.cause },
    );
  }
}

/** The disk failed in a way that leaves its content unknown, such as a failed sync: the log cannot be used any more. */
export class LogFailedError extends Error {
  override readonly name = "LogFailedError";
  /** Stable name of this error. */
  readonly code = "logFailed";

  constructor(directory: string, options: { reason: string; cause?: unknown }) {
    super(
      `Cannot use the log in ${directory} any more: ${options.reason}. What the disk holds is no longer known, so ` +
        "this is not tried again. Check the disk, then start the node again: it recovers what was synced.",
      { cause: options.cause },
    );
  }
}

/** Position and reason of a log's damage. */
export interface LogDamage {
  /** The segment's path. */
  readonly file: string;
  /** Offset in the file at which there is no valid record. */
  readonly offset: number;
  /** Index of the entry that was expected there or after. */
  readonly index: number;
  /** The damage, as part of a sentence. */
  readonly reason: string;
}

/** The log's content differs from the written bytes. Nothing was changed on the disk. */
export class LogDamagedError extends Error {
  override readonly name = "LogDamagedError";
  /** Stable name of this error. */
  readonly code = "logDamaged";
  /** The segment's path. */
  readonly file: string;
  /** Offset in the file at which there is no valid record. */
  readonly offset: number;
  /** Index of the entry that was expected there or after. */
  readonly index: number;

  constructor(damage: LogDamage) {
    super(
      `Cannot read the log: ${damage.file} is damaged at byte ${damage.offset}, where entry ${damage.index} was ` +
        `expected (${damage.reason}). Nothing was changed. ${REBUILD_ADVICE}`,
    );
    this.file = damage.file;
    this.offset = damage.offset;
    this.index = damage.index;
  }
}

/** Advice for a file that this process has no permission for, which is no fault of the disk. */
export const FORBIDDEN_ADVICE =
  "Nothing is wrong with the disk: give this process the right to read and write every file there (`chown -R`, " +
  "`chmod -R u+rwX`), and start the node again.";

/** The base of the errors for which a data directory is not opened. Nothing was changed in it. */
export abstract class DataDirectoryError extends Error {
  /** Stable name of this error. */
  abstract readonly code: string;
  /** The data directory, or the file in it, that was refused. */
  readonly path: string;

  constructor(path: string, options: { reason: string; advice: string; cause?: unknown }) {
    super(`Cannot open the data directory ${path}: ${options.reason}. ${options.advice}`, {
      cause: options.cause,
    });
    this.path = path;
  }
}

/** Another process uses this directory. */
export class DataDirectoryLockedError extends DataDirectoryError {
  override readonly name = "DataDirectoryLockedError";
  override readonly code = "dataDirectoryLocked";
}

/** The directory belongs to another node. */
export class OtherNodeError extends DataDirectoryError {
  override readonly name = "OtherNodeError";
  override readonly code = "foreignNode";
}

/** The directory belongs to another cluster. */
export class OtherClusterError extends DataDirectoryError {
  override readonly name = "OtherClusterError";
  override readonly code = "foreignCluster";
}

/** The directory was written by a newer kvraft. */
export class NewerFormatError extends DataDirectoryError {
  override readonly name = "NewerFormatError";
  override readonly code = "newerFormat";
}

/** The directory's identity is missing or invalid. */
export class DataDirectoryDamagedError extends DataDirectoryError {
  override readonly name = "DataDirectoryDamagedError";
  override readonly code = "dataDirectoryDamaged";
}

/** A restore or a recovery of the directory was interrupted. */
export class DataDirectoryUnfinishedError extends DataDirectoryError {
  override readonly name = "DataDirectoryUnfinishedError";
  override readonly code = "dataDirectoryUnfinished";
}

/** The directory can't be created, read or written. */
export class DataDirectoryUnusableError extends DataDirectoryError {
  override readonly name = "DataDirectoryUnusableError";
  override readonly code = "dataDirectoryUnusable";
}

/** The snapshot that has the entries before the log's first one is missing. Nothing was changed. */
export class SnapshotMissingError extends Error {
  override readonly name = "SnapshotMissingError";
  /** Stable name of this error. */
  readonly code = "snapshotMissing";
  /** Index of the log's first entry. */
  readonly logBegins: number;

  constructor(
    directory: string,
    options: { readonly logBegins: number; readonly snapshotIndex: number | null },
  ) {
    const { logBegins, snapshotIndex } = options;
    const newest = snapshotIndex === null
      ? "there is no valid one"
      : `the newest valid one ends at entry ${snapshotIndex}`;
    super(
      `Cannot open the log in ${directory}: it begins with entry ${logBegins}, the segments before it are missing, ` +
        `and no snapshot reaches up to there (${newest}). Nothing was changed. If the files of snapshots/ can be ` +
        `had from elsewhere, put them back. ${REBUILD_ADVICE}`,
    );
    this.logBegins = logBegins;
  }
}

/** There is a snapshot but no log: the votes and acknowledgements of this node are lost. Nothing was changed. */
export class LogMissingError extends Error {
  override readonly name = "LogMissingError";
  /** Stable name of this error. */
  readonly code = "logMissing";

  constructor(directory: string, options: { readonly snapshotIndex: number }) {
    super(
      `Cannot open the log in ${directory}: it holds no segment, though a snapshot of entry ${options.snapshotIndex} ` +
        "shows that this node had a log. Its votes and acknowledged entries are lost with it. Put wal/ back if " +
        `you can. ${REBUILD_ADVICE}`,
    );
  }
}

/** Position and reason of a snapshot's damage. */
export interface SnapshotDamage {
  /** The snapshot's path. */
  readonly file: string;
  /** Byte of the file from which on it is not what was written. */
  readonly offset: number;
  /** The damage, as part of a sentence. */
  readonly reason: string;
  /** The disk's error, if it is the reason. */
  readonly cause?: unknown;
}

/** A snapshot's content differs from the written bytes. Nothing was changed on the disk. */
export class SnapshotDamagedError extends Error {
  override readonly name: string = "SnapshotDamagedError";
  /** Stable name of this error. */
  readonly code = "snapshotDamaged";
  /** The snapshot's path. */
  readonly file: string;
  /** Byte of the file from which on it is not what was written. */
  readonly offset: number;
  /** The damage, as part of a sentence. */
  readonly reason: string;

  constructor({ file, offset, reason, cause }: SnapshotDamage) {
    super(
      `Cannot read the snapshot ${file}: it is damaged at byte ${offset} (${reason}). Nothing was changed. If it is ` +
        `a backup, use another copy or another backup. If it is this node's own: ${REBUILD_ADVICE}`,
      { cause },
    );
    this.file = file;
    this.offset = offset;
    this.reason = reason;
  }
}

/** A file does not begin like a snapshot: it is another file. The message has no advice to rebuild a node. */
export class NotASnapshotError extends SnapshotDamagedError {
  override readonly name = "NotASnapshotError";

  constructor(file: string) {
    super({ file, offset: 0, reason: "it does not begin like a snapshot" });
    this.message =
      `Cannot read ${file} as a snapshot: it does not begin like one. Nothing was changed. Name a file ` +
      "that `kvraft client … snapshot save` wrote.";
  }
}

/** A snapshot could not be read. Whether it is damaged is unknown. */
export class SnapshotUnreadableError extends Error {
  override readonly name = "SnapshotUnreadableError";
  /** Stable name of this error. */
  readonly code = "snapshotUnreadable";
  /** The disk's error, as part of a sentence. */
  readonly reason: string;

  constructor(file: string, options: { offset: number; reason: string; cause: unknown }) {
    const { offset, reason, cause } = options;
    super(
      `Cannot read the snapshot ${file} at byte ${offset}: ${reason}. The file itself may be whole; nothing was ` +
        "changed. Check the disk, and that this process may read the file, and try again.",
      { cause },
    );
    this.reason = reason;
  }
}

/** A snapshot was written by a newer kvraft. */
export class NewerSnapshotError extends Error {
  override readonly name = "NewerSnapshotError";
  /** Stable name of this error. */
  readonly code = "newerSnapshot";

  constructor(file: string, options: { readonly formatVersion: number; readonly known: number }) {
    super(
      `Cannot read the snapshot ${file}: it has format version ${options.formatVersion}, and this kvraft knows ` +
        `versions up to ${options.known}. Use the newer kvraft that wrote it.`,
    );
  }
}

/** A snapshot cannot be written or received. Existing snapshots and the log are unchanged. */
export class SnapshotWriteError extends Error {
  override readonly name = "SnapshotWriteError";
  /** Stable name of this error. */
  readonly code = "snapshotWriteFailed";
  /** Whether the disk was full, which may be temporary. */
  readonly isFull: boolean;
  /** Whether no file descriptor was left, which may be temporary. */
  readonly isOutOfDescriptors: boolean;

  constructor(file: string, options: { readonly reason: string; readonly cause: unknown }) {
    const { reason, cause } = options;
    const isFull = isDiskFull(cause);
    const lacksDescriptor = isOutOfDescriptors(cause);
    const advice = isFull
      ? "Free some space on this disk; it is tried again."
      : lacksDescriptor
      ? "Raise the limit on open files (`ulimit -n`); it is tried again."
      : "Check the disk.";
    super(
      `Cannot write the snapshot ${file}: ${isFull ? `the disk is full (${reason})` : reason}. ` +
        `The snapshots there were and the log are as before. ${advice}`,
      { cause },
    );
    this.isFull = isFull;
    this.isOutOfDescriptors = lacksDescriptor;
  }
}

/** A temporary shortage: of disk space, or of a file descriptor. */
export type Shortage = "diskFull" | "outOfDescriptors";

/**
 * Returns the temporary shortage that an error reports, so that the same call may be repeated later; null for every other
 * error. A failed sync is never repeated.
 */
export function shortageOf(error: unknown): Shortage | null {
  if (error instanceof LogFullError) return "diskFull";
  if (error instanceof OutOfDescriptorsError) return "outOfDescriptors";
  if (!(error instanceof SnapshotWriteError)) return null;
  return error.isFull ? "diskFull" : error.isOutOfDescriptors ? "outOfDescriptors" : null;
}

/** Returns the named error for a failure to open a log. */
export function openingError(directory: string, error: unknown): Error {
  return isForbidden(error) ? forbidden(directory, error) : storageError(directory, error);
}

/** Returns the error for a file that this process has no permission for, which is no failure of the disk. */
function forbidden(directory: string, error: unknown): DataDirectoryUnusableError {
  return new DataDirectoryUnusableError(directory, {
    reason: errorMessage(error),
    advice: FORBIDDEN_ADVICE,
    cause: error,
  });
}

/** Returns the named error for a failure of the log's disk. */
export function storageError(directory: string, error: unknown): Error {
  if (
    error instanceof LogDamagedError || error instanceof NewerFormatError || error instanceof LogFullError ||
    error instanceof LogFailedError || error instanceof LogMissingError ||
    error instanceof SnapshotMissingError || error instanceof OutOfDescriptorsError ||
    error instanceof InvariantError
  ) return error;
  const details = { reason: errorMessage(error), cause: error };
  if (isOutOfDescriptors(error)) return new OutOfDescriptorsError(directory, details);
  return isDiskFull(error) ? new LogFullError(directory, details) : new LogFailedError(directory, details);
}
