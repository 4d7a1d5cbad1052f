/**
 * The disk as kvraft uses it. `deno_disk.ts` is the real one; tests and the simulator provide others. No other module
 * accesses a file of the data directory.
 *
 * All but two operations are synchronous: a write into the page cache takes microseconds, and what creates, renames
 * or removes is rare. The two that wait for the device on the data path, `read` and `syncData`, leave the event loop
 * free. Every operation throws an `Error`; where the operating system gave a reason, its name is in `code` (`ENOSPC`).
 */
import { errorCode } from "./errors.ts";

/** Suffix of a large file whose blocks are being freed; the next start removes one that a crash left. */
export const REMOVED_SUFFIX = ".removed";

/**
 * How a file is opened: an existing one for reading, an existing one for both, or a new one for both, in place of a file or
 * link with its name.
 */
export type OpenMode = "read" | "write" | "create";

/** One open file. The module that opened it closes it. */
export interface DiskFile {
  /** Its size in bytes. */
  size(): number;
  /**
   * Writes all of `bytes` at `offset`, growing the file where needed. When it throws, any part may have been written.
   * Durable only after a later sync. It does not wait for a sync under way.
   */
  write(bytes: Uint8Array, offset: number): void;
  /**
   * Reads from `offset` on into `into`; resolves to the number of bytes, fewer than asked only at the file's end. A
   * stream returns its next bytes and ignores the offset.
   */
  read(into: Uint8Array, offset: number): Promise<number>;
  /** Cuts the file to `size` bytes. Durable only after `syncNow`. */
  truncate(size: number): void;
  /** Makes durable what was written before the call: the data, and of the metadata what is needed to read it (fdatasync). */
  syncData(): Promise<void>;
  /** Makes data and metadata durable before it returns (fsync). For rare steps only: it holds up the event loop. */
  syncNow(): void;
  /** Closes the file. Nothing of it may be called afterwards. */
  close(): void;
}

/** A lock held on a file, against other processes. */
export interface DiskLock {
  /** Releases the lock. The end of the process does so too.*/
  release(): void;
}

/** Files and directories. Paths are used as given. */
export interface Disk {
  /** Returns what is at `path` ("stream": a pipe or a device, read once from its beginning), or null for nothing. */
  stat(path: string): "file" | "directory" | "stream" | null;
  /** Whether only the owner of what is at `path` may open it, as far as the system knows of owners. */
  isPrivate(path: string): boolean;
  /** Opens a file; one that is created is its owner's alone. */
  open(path: string, mode: OpenMode): DiskFile;
  /** Names in a directory, sorted. */
  list(path: string): readonly string[];
  /** Creates one directory, its owner's alone; its parent must exist. Durable once the parent is synced. */
  createDirectory(path: string): void;
  /** Makes durable which names the directory holds: without it, a new, renamed or removed file may be as before after a crash. */
  syncDirectory(path: string): void;
  /** Renames a file within a directory, replacing `to`; after a crash one of the two states holds. */
  rename(from: string, to: string): void;
  /**
   * Removes a file's name, and never changes what is in the file: another name of it (a hard link of a backup) and
   * processes that have it open keep all of its bytes. A large file may have a name that ends with {@link REMOVED_SUFFIX}
   * until its blocks are freed.
   */
  remove(path: string): void;
  /** Locks a file (created when missing) against other processes; null when another holds it. */
  lock(path: string): DiskLock | null;
}

/** Returns whether an operation failed because the disk is full, which may pass, and not because the device failed. */
export function isDiskFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

/**
 * Whether an operation failed because this process or this machine has no file descriptor left. Nothing was done to
 * any file then: only opening one needs a descriptor. A sync, a write or a read never fails so.
 */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = errorCode(error);
  return code === "EMFILE" || code === "ENFILE";
}

/** Whether this process may not do what it tried, which says nothing of the disk. */
export function isForbidden(error: unknown): boolean {
  const code = errorCode(error);
  return code === "EACCES" || code === "EPERM" || code === "EROFS" ||
    // Deno's own refusal has no code.
    error instanceof Error && error.name === "NotCapable";
}

/** Removes what a crash left of files that were being removed. */
export function removeLeftovers(disk: Disk, directory: string): void {
  for (const name of disk.list(directory)) {
    if (name.endsWith(REMOVED_SUFFIX)) disk.remove(`${directory}/${name}`);
  }
}
