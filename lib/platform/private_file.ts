/**
 * The files that a server reads at its start and again while it runs: those with secrets (keys of certificates, the peer
 * secret) and those without (certificates, the configuration).
 */
import fs from "node:fs";
import { errorCode, errorMessage, wrongPathReason } from "./errors.ts";

/** Permissions of others than the owner; with GROUP_READ among them, of others than the owner and the group's readers. */
const OTHERS = 0o077;
const GROUP_READ = 0o040;

/** Options of {@link readPrivateFile}. */
export interface PrivateFileOptions {
  /** Longest file that is read. */
  readonly maxBytes: number;
  /** Whether the group may read it too, as of files that Kubernetes mounts. */
  readonly mayGroupRead: boolean;
}

/** Reads a file with a secret. See {@link readPrivateFile}. */
export type ReadPrivateFile = (path: string, options: PrivateFileOptions) => string;

/**
 * Returns the text of a file that only its owner may read. Throws an Error whose message is the reason, as the end of
 * "cannot use <path>: …", and has nothing of the content. Of a symbolic link the mode of its target counts.
 */
export function readPrivateFile(path: string, { maxBytes, mayGroupRead }: PrivateFileOptions): string {
  return readText(path, maxBytes, (mode) => problemOfMode(mode, { path, mayGroupRead }));
}

/** Returns the text of a file that has no secret. Throws as {@link readPrivateFile}. */
export function readPublicFile(path: string, maxBytes: number): string {
  return readText(path, maxBytes, () => null);
}

/** The mode and the owner of a file; null on Windows. */
interface FileMode {
  readonly mode: number | null;
  readonly uid: number | null;
}

/** Returns why a file may not be used, or null. */
type ModeCheck = (mode: FileMode) => string | null;

function readText(path: string, maxBytes: number, check: ModeCheck): string {
  let bytes: Uint8Array;
  try {
    bytes = readChecked(path, maxBytes, check);
  } catch (error) {
    if (error instanceof PrivateFileError) throw error;
    throw new PrivateFileError(fileErrorReason(error), { cause: error });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new PrivateFileError("it is not UTF-8");
  }
}

/** A file cannot be used; the message is the reason. */
export class PrivateFileError extends Error {
  override readonly name = "PrivateFileError";
  /** Stable name of this error. */
  readonly code = "privateFile";
}

/** The reason for which a pipe is refused that a server would read while it runs. */
export const NOT_A_FILE = "it is not a regular file";

/** The reason of {@link fileErrorReason} for a file that does not exist. */
export const NO_SUCH_FILE = "there is no such file";

/** Returns why a file could not be read or written, as part of a sentence. */
export function fileErrorReason(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    return "the permissions that this program was compiled or started with exclude it";
  }
  if (error instanceof Deno.errors.NotFound || errorCode(error) === "ENOENT") return NO_SUCH_FILE;
  if (error instanceof Deno.errors.PermissionDenied || errorCode(error) === "EACCES") {
    return "its owner does not permit it";
  }
  return wrongPathReason(error) ?? errorMessage(error).replace(/ \(os error \d+\).*$/, "");
}

function readChecked(path: string, maxBytes: number, check: ModeCheck): Uint8Array {
  // Opening a pipe would wait for its other end, and with it the whole node.
  if (!fs.statSync(path).isFile()) throw new PrivateFileError(NOT_A_FILE);
  const descriptor = fs.openSync(path, "r");
  try {
    const { mode, uid, size } = fs.fstatSync(descriptor);
    const problem = check({ mode, uid });
    if (problem !== null) throw new PrivateFileError(problem);
    if (size > maxBytes) throw new PrivateFileError(`it is longer than ${maxBytes} bytes`);
    const bytes = new Uint8Array(maxBytes + 1);
    let length = 0;
    while (length < bytes.length) {
      const count = fs.readSync(descriptor, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    if (length > maxBytes) throw new PrivateFileError(`it is longer than ${maxBytes} bytes`);
    return bytes.slice(0, length);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Returns why others may open a file, and how to prevent it; null where they may not. The client warns of it. */
export function problemOfMode(
  { mode, uid }: FileMode,
  { path, mayGroupRead }: { readonly path: string; readonly mayGroupRead: boolean },
): string | null {
  const refused = mayGroupRead ? OTHERS & ~GROUP_READ : OTHERS;
  // Windows has no modes.
  if (mode === null || Deno.build.os === "windows" || (mode & refused) === 0) return null;
  return `others than its owner may open it: its mode is ${octal(mode)}, its owner user ${uid}. Run: chmod ${
    octal(mayGroupRead ? 0o640 : 0o600)
  } ${path}`;
}

/** `0600`. */
function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8).padStart(3, "0")}`;
}
