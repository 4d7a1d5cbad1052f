/** Exit codes of the command line, and the errors that it raises itself. */
import { errorMessage } from "../platform/errors.ts";
import { KvraftError, type KvraftErrorCode } from "../client/errors.ts";
import { assertNever } from "../platform/assert.ts";

/**
 * What the process ends with. Fixed: scripts and supervisors count on it. A client's codes grow with how bad the end
 * is, so that of several commands the highest counts. A server ends with done, no, usage or internal.
 */
export const ExitCode = {
  /** Done. */
  done: 0,
  /**
   * The operation's answer is no: key not found, compare failed, membership change refused. For a server: what no
   * restart mends (it was removed, or its folder is damaged, missing or another node's).
   */
  no: 1,
  /** Wrong usage; nothing was done. */
  usage: 2,
  /** The cluster could not be reached, or has no leader; nothing happened. */
  unavailable: 3,
  /** A write whose outcome is not known. */
  unknown: 4,
  /** The command came to its end, and standard output did not take the answer; standard error tells the outcome. */
  output: 5,
  /** A fault in kvraft itself. For a server: any other reason to stop, which a restart may mend (EX_SOFTWARE). */
  internal: 70,
} as const;

/** One of {@link ExitCode}. */
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** What was typed makes no sense. The message says what is wrong and what is allowed. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  /** Stable name of this error. */
  readonly code = "usage";
}

/** Whoever read our output has gone (`kvraft … | head`). Not worth a word. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
  /** Stable name of this error. */
  readonly code = "outputClosed";
}

/** Standard input can't be read. */
export class InputError extends UsageError {
  override readonly name = "InputError";
}

/** Standard output did not take all that was written to it: the disk is full, for one. */
export class OutputError extends Error {
  override readonly name = "OutputError";
  /** Stable name of this error. */
  readonly code = "output";
  /** What the system said, as part of a sentence. */
  readonly reason: string;

  constructor(reason: string, options: { readonly cause: unknown }) {
    super(`Cannot write to standard output: ${reason}.`, options);
    this.reason = reason;
  }
}

/** Something that was begun came to an end halfway. The message says how far it is, and what to do with it. */
export class HalfwayError extends Error {
  override readonly name = "HalfwayError";
  /** Stable name: that of the error behind it, where there is one. */
  readonly code: string;
  /** What the process ends with. */
  readonly exitCode: ExitCode;

  constructor(
    message: string,
    options: { readonly code: string; readonly exitCode: ExitCode; cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.code = options.code;
    this.exitCode = options.exitCode;
  }
}

/** An error as it is reported: code and message for the user, exit code for the process. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCode;
}

/** What to report for an error that a client command ended with. */
export function failureOf(error: unknown): Failure {
  if (error instanceof UsageError) {
    return { code: error.code, message: error.message, exitCode: ExitCode.usage };
  }
  if (error instanceof OutputError) {
    return { code: error.code, message: error.message, exitCode: ExitCode.output };
  }
  if (error instanceof HalfwayError) {
    return { code: error.code, message: error.message, exitCode: error.exitCode };
  }
  if (error instanceof KvraftError) {
    const exitCode = error.outcome === "unknown" ? ExitCode.unknown : exitCodeOfNothingHappened(error.code);
    return { code: error.code, message: error.message, exitCode };
  }
  const message = errorMessage(error);
  return { code: "internal", message: `A fault in kvraft itself: ${message}`, exitCode: ExitCode.internal };
}

/**
 * Errors of a server that no restart mends, by their stable names: the node was removed, or its folder is another's,
 * damaged, incomplete, or of a newer version. Any other error (no descriptors, a full or failing disk, a port in use,
 * a folder that another process still holds, an assertion) may be gone at the next start.
 */
const PERMANENT_ERRORS: ReadonlySet<string> = new Set([
  "nodeRefused",
  "folderLost",
  "foreignNode",
  "foreignCluster",
  "newerFormat",
  "newerSnapshot",
  "dataDirectoryDamaged",
  "dataDirectoryUnfinished",
  "logDamaged",
  "logMissing",
  "snapshotDamaged",
  "snapshotMissing",
]);

/** What a server ends with that could not start, or not go on. */
export function exitCodeOfServer(error: unknown): ExitCode {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "invalidConfig") return ExitCode.usage;
  return PERMANENT_ERRORS.has(code) ? ExitCode.no : ExitCode.internal;
}

function exitCodeOfNothingHappened(code: KvraftErrorCode): ExitCode {
  switch (code) {
    case "keyTooLarge":
    case "valueTooLarge":
    case "invalidRequest":
      return ExitCode.usage;
    case "membershipRefused":
      return ExitCode.no;
    case "notLeader":
    case "noLeader":
    case "timeout":
    case "storageFull":
    case "versionMismatch":
    case "authentication":
    case "busy":
    case "unavailable":
    case "sessionExpired":
    case "aborted":
    case "closed":
    case "internal":
      return ExitCode.unavailable;
    default:
      return assertNever(code);
  }
}
