/**
 * The paths that the flags of a program name. A program reads and writes nothing else: {@link confinedDisk} refuses every
 * other path, and `permissions.ts` gives back the permissions of Deno that they do not need.
 */
import fs from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "@std/path";
import type { Disk } from "./disk.ts";
import { errorCode } from "./errors.ts";

/** Absolute paths of files and directories. One of a directory stands for all that is below it too. */
export interface NamedPaths {
  readonly reads: readonly string[];
  /** Paths that may be written; they may be read too. */
  readonly writes: readonly string[];
}

/** A path that no flag of this program names was about to be used. */
export class UnnamedPathError extends Error {
  override readonly name = "UnnamedPathError";
  /** Stable name of this error. */
  readonly code = "unnamedPath";
}

/** Returns whether `path` is `directory` or below it. Both are absolute and have no `..`. */
export function isWithin(path: string, directory: string): boolean {
  const between = relative(directory, path);
  return between.split(/[\\/]/)[0] !== ".." && !isAbsolute(between);
}

/**
 * Returns the disk without the paths that are not named: its operations throw {@link UnnamedPathError} for them. Symbolic
 * links are followed before a path is compared, so that none in a named directory leads out of it; a named path may itself
 * be a link. The directories above a named path may be looked at, created and synced, as a new data directory requires.
 *
 * This prevents mistakes and malicious files, not a program of the same user that exchanges a link between the check and
 * the use: that program could use the files itself.
 */
export function confinedDisk(disk: Disk, { reads, writes }: NamedPaths): Disk {
  const readable = [...reads, ...writes];
  const forReading = (path: string): string => named(path, readable, "reads");
  const forWriting = (path: string): string => named(path, writes, "writes");
  const isAbove = (path: string): boolean => readable.some((one) => isWithin(one, resolve(path)));
  return {
    stat: (path) => disk.stat(isAbove(path) ? path : forReading(path)),
    isPrivate: (path) => disk.isPrivate(forReading(path)),
    open: (path, mode) => disk.open(mode === "read" ? forReading(path) : forWriting(path), mode),
    list: (path) => disk.list(forReading(path)),
    createDirectory: (path) => disk.createDirectory(isAbove(path) ? path : forWriting(path)),
    syncDirectory: (path) => disk.syncDirectory(isAbove(path) ? path : forWriting(path)),
    rename: (from, to) => disk.rename(forWriting(from), forWriting(to)),
    remove: (path) => disk.remove(forWriting(path)),
    lock: (path) => disk.lock(forWriting(path)),
  };
}

/** Returns `path` if it, and what it is a symbolic link to, is one of `names` or below one. */
function named(path: string, names: readonly string[], verb: "reads" | "writes"): string {
  const absolute = resolve(path);
  if (names.includes(absolute)) return path;
  const real = realPath(absolute);
  const isNamed = names.some((one) => isWithin(absolute, one) && isWithin(real, realPath(one)));
  if (isNamed) return path;
  throw new UnnamedPathError(
    real === absolute
      ? `this program ${verb} only what its flags name, which ${absolute} is not`
      : `${absolute} is a symbolic link to ${real}, and this program ${verb} only what its flags name`,
  );
}

/** Returns an absolute path without symbolic links; of the part that does not exist, the names are kept. */
export function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch (error) {
    const parent = dirname(path);
    if (errorCode(error) !== "ENOENT" || parent === path) throw error;
    // A link without a target would be created at its target.
    const target = linkTarget(path);
    return target === null ? join(realPath(parent), basename(path)) : realPath(resolve(parent, target));
  }
}

function linkTarget(path: string): string | null {
  try {
    return fs.readlinkSync(path);
  } catch {
    return null;
  }
}
