/**
 * The real disk. Files go through `node:fs`, because `Deno` has no positional reads and writes: a shared cursor would
 * let a read and a write on one file disturb each other. Locks go through `Deno`, because `node:fs` has none.
 *
 * Measured with Deno 2.9.6: `writeSync` does not wait for a `fdatasync` under way on the same file, a `read` does; so
 * readers open the file for themselves.
 */
import fs from "node:fs";
import { REMOVED_SUFFIX } from "./disk.ts";
import { errorCode } from "./errors.ts";
import type { Disk, DiskFile, DiskLock, OpenMode } from "./disk.ts";

const FLAGS: Readonly<Record<OpenMode, string>> = { read: "r", write: "r+", create: "wx+" };
/** Attempts to create a file whose name another process takes again and again. */
const MAX_CREATIONS = 10;

/** Giving back the blocks of a larger file takes so long (0.5 s for 320 MiB) that a thread does it. */
const SMALL_BYTES = 1024 * 1024;

/** Modes of what is created: keys and values are readable for the user who runs the node only. */
const OWNERS_FILE = 0o600;
const OWNERS_DIRECTORY = 0o700;
/** The bits of a mode that permit access to other users than the owner. */
const OTHERS = 0o077;

/**
 * Names of standard input. Deno lets only a program with all permissions open them, as it does for most files below /dev and
 * /proc, also where reading is permitted; the descriptor needs none.
 */
const STANDARD_INPUT_NAMES: readonly string[] = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
const STANDARD_INPUT = 0;

/** A write that made no progress though the system reported no error. It counts as a full disk. */
class ShortWriteError extends Error {
  override readonly name = "ShortWriteError";
  readonly code = "ENOSPC";
}

/** The files and directories of this machine, within what this process is permitted to reach. */
export class DenoDisk implements Disk {
  stat(path: string): "file" | "directory" | "stream" | null {
    try {
      const found = isStandardInput(path) ? fs.fstatSync(STANDARD_INPUT) : fs.statSync(path);
      return found.isDirectory() ? "directory" : found.isFile() ? "file" : "stream";
    } catch (error) {
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    }
  }

  isPrivate(path: string): boolean {
    return Deno.build.os === "windows" || (fs.statSync(path).mode & OTHERS) === 0;
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (isStandardInput(path) && mode === "read") return new DenoFile(STANDARD_INPUT);
    return new DenoFile(mode === "create" ? createNew(path) : fs.openSync(path, FLAGS[mode]));
  }

  list(path: string): readonly string[] {
    return fs.readdirSync(path).sort();
  }

  createDirectory(path: string): void {
    fs.mkdirSync(path, OWNERS_DIRECTORY);
  }

  syncDirectory(path: string): void {
    const directory = fs.openSync(path, "r");
    try {
      fs.fsyncSync(directory);
    } finally {
      fs.closeSync(directory);
    }
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to);
  }

  remove(path: string): void {
    const isLeaving = path.endsWith(REMOVED_SUFFIX);
    // One that is leaving may be gone at any moment: a thread may have been at it since the start, too.
    if (!isLeaving && fs.lstatSync(path).size <= SMALL_BYTES) return fs.unlinkSync(path);
    const leaving = isLeaving ? path : `${path}${REMOVED_SUFFIX}`;
    if (!isLeaving) fs.renameSync(path, leaving);
    // A failure leaves a file that the next start removes.
    Deno.remove(leaving).catch(() => {});
  }

  lock(path: string): DiskLock | null {
    const file = Deno.openSync(path, { read: true, write: true, create: true, mode: OWNERS_FILE });
    try {
      // Who may open the file may hold the lock, and keep this node from starting.
      if (!this.isPrivate(path)) fs.chmodSync(path, OWNERS_FILE);
      if (file.tryLockSync(true)) return { release: () => file.close() };
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
    return null;
  }
}

/**
 * Creates a file in place of one with its name, and returns the descriptor. In a directory that other users may write, a link
 * or a file of another user could have the name: it is not opened, so nothing is written through it.
 */
function createNew(path: string): number {
  for (let attempt = 1;; attempt++) {
    try {
      return fs.openSync(path, FLAGS.create, OWNERS_FILE);
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || attempt === MAX_CREATIONS) throw error;
    }
    fs.rmSync(path, { force: true });
  }
}

function isStandardInput(path: string): boolean {
  return STANDARD_INPUT_NAMES.includes(path);
}

/** One file of this machine. */
class DenoFile implements DiskFile {
  readonly #descriptor: number;
  /** A pipe has no positions. */
  readonly #isStream: boolean;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#isStream = !fs.fstatSync(descriptor).isFile();
  }

  size(): number {
    return fs.fstatSync(this.#descriptor).size;
  }

  write(bytes: Uint8Array, offset: number): void {
    let written = 0;
    while (written < bytes.length) {
      // Near a full disk the system writes a part and reports no error; the next turn then gets the real one.
      const count = fs.writeSync(this.#descriptor, bytes, written, bytes.length - written, offset + written);
      if (count === 0) {
        throw new ShortWriteError(`Cannot write: ${written} of ${bytes.length} bytes were taken`);
      }
      written += count;
    }
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const count = await this.#readOnce(into, { filled, offset: offset + filled });
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  truncate(size: number): void {
    fs.ftruncateSync(this.#descriptor, size);
  }

  syncData(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#descriptor, (error) => error === null ? resolve() : reject(error));
    });
  }

  syncNow(): void {
    fs.fsyncSync(this.#descriptor);
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }

  #readOnce(into: Uint8Array, from: { filled: number; offset: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      const wanted = into.length - from.filled;
      const position = this.#isStream ? null : from.offset;
      fs.read(this.#descriptor, into, from.filled, wanted, position, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }
}
