/** What storage refuses, by name. Every message says what could not be done, why, and what to do. */

/**
 * How a node that lost its log comes back. The others must hold everything without it, and the leader must be one
 * that never counted it: an emptied node no longer has what it acknowledged. docs/operations.md has the reasons.
 */
export const REBUILD_ADVICE =
  "To rebuild this node from its peers, with this node off and all others up: hand " +
  "leadership to another node (`kvraft client … transfer-leader`), put any key, wait until `kvraft client … status` " +
  "shows that all the others have applied it, move this node's data directory away, and start the node again.";

/** The disk has no room for a batch. Nothing of the batch was kept; the log works again once there is room. */
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

/** The disk failed in a way after which what it holds is not known (a failed sync above all): this log is of no more use. */
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

/** Where and how the log is damaged. */
export interface LogDamage {
  /** The segment's path. */
  readonly file: string;
  /** Byte of the file where no valid record stands. */
  readonly offset: number;
  /** Index of the entry that was expected there or after. */
  readonly index: number;
  /** What is wrong there, as part of a sentence. */
  readonly reason: string;
}

/** What the log holds is not what was written. Nothing was changed on the disk. */
export class LogDamagedError extends Error {
  override readonly name = "LogDamagedError";
  /** Stable name of this error. */
  readonly code = "logDamaged";
  /** The segment's path. */
  readonly file: string;
  /** Byte of the file where no valid record stands. */
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

/** Why a data directory is not opened. Nothing was changed in it. */
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

/** Another process works in this directory. */
export class DataDirectoryLockedError extends DataDirectoryError {
  override readonly name = "DataDirectoryLockedError";
  override readonly code = "dataDirectoryLocked";
}

/** The directory belongs to another node. */
export class ForeignNodeError extends DataDirectoryError {
  override readonly name = "ForeignNodeError";
  override readonly code = "foreignNode";
}

/** The directory belongs to another cluster. */
export class ForeignClusterError extends DataDirectoryError {
  override readonly name = "ForeignClusterError";
  override readonly code = "foreignCluster";
}

/** The directory was written by a newer kvraft. */
export class NewerFormatError extends DataDirectoryError {
  override readonly name = "NewerFormatError";
  override readonly code = "newerFormat";
}

/** What the directory says about itself is missing or makes no sense. */
export class DataDirectoryDamagedError extends DataDirectoryError {
  override readonly name = "DataDirectoryDamagedError";
  override readonly code = "dataDirectoryDamaged";
}

/** The directory can't be created, read or written. */
export class DataDirectoryUnusableError extends DataDirectoryError {
  override readonly name = "DataDirectoryUnusableError";
  override readonly code = "dataDirectoryUnusable";
}
