/** Exit codes of the command line, and its own errors. */
import { errorMessage } from "../platform/errors.ts";
import { AuthenticationError, KvraftError, type KvraftErrorCode } from "../client/errors.ts";
import { assertNever } from "../platform/assert.ts";

/**
 * Exit codes of the process. They are stable: scripts and supervisors depend on them. A greater code is a worse result,
 * so that several commands end with the greatest one. A server ends with done, no, usage or internal.
 */
export const ExitCode = {
  /** Done. */
  done: 0,
  /**
   * The answer is no: key not found, compare failed, conditions did not hold, transaction or membership change refused,
   * no such lease, lock lost or not had in time.
   * For a server: an error that a restart cannot fix (the node was removed, or its directory is damaged, missing or another
   * node's).
   */
  no: 1,
  /** Wrong usage, or a revision that the history does not have; nothing was done. */
  usage: 2,
  /** The cluster could not be reached, or has no leader; nothing happened. */
  unavailable: 3,
  /** A write whose outcome is not known. */
  unknown: 4,
  /**
   * The command was carried out, but its answer could not be had or written: standard output did not take it, or the
   * results of a transaction are no longer remembered. Standard error has the outcome.
   */
  output: 5,
  /**
   * The cluster did not take the user's password, token or certificate, or the user has no right to it; nothing was changed
   * by the command that was refused.
   */
  denied: 6,
  /** A fault in kvraft. For a server: any other error, which may be absent after a restart (EX_SOFTWARE). */
  internal: 70,
} as const;

/** One of {@link ExitCode}. */
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** An error in what was typed. The message says what is wrong and what is allowed. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  /** Stable name of this error. */
  readonly code = "usage";
}

/**
 * A secret among the arguments, or a place for one. The message does not have it, and the shell does not remember the
 * line.
 */
export class SecretArgumentError extends UsageError {
  /** Why secrets are not taken from arguments, as a sentence. */
  static readonly REASON =
    "Passwords and tokens are no arguments: other users of this machine could read them, and shells remember them.";
  override readonly name = "SecretArgumentError";
}

/** Standard output was closed by its reader (`kvraft … | head`), which ends the program without a message. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
  /** Stable name of this error. */
  readonly code = "outputClosed";
}

/** Standard input cannot be read. */
export class InputError extends UsageError {
  override readonly name = "InputError";
}

/** Standard output cannot be written, for example because the disk is full. */
export class OutputError extends Error {
  override readonly name = "OutputError";
  /** Stable name of this error. */
  readonly code = "output";
  /** The reason that the operating system gave, as part of a sentence. */
  readonly reason: string;

  constructor(reason: string, options: { readonly cause: unknown }) {
    super(`Cannot write to standard output: ${reason}.`, options);
    this.reason = reason;
  }
}

/** An operation ended before it was complete. The message says how much was done, and how to continue. */
export class HalfwayError extends Error {
  override readonly name = "HalfwayError";
  /** Stable name: that of the cause, if there is one. */
  readonly code: string;
  /** Exit code of the process. */
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

/** The report of an error: code and message for the user, exit code for the process. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCode;
}

/** Returns the report of an error of a client command. `signInBy`: what a user who has not signed in has to do. */
export function failureOf(
  error: unknown,
  { signInBy = "kvraft client --user <name>, or --token-file <path>" }: { readonly signInBy?: string } = {},
): Failure {
  if (error instanceof UsageError) {
    return { code: error.code, message: error.message, exitCode: ExitCode.usage };
  }
  if (error instanceof OutputError) {
    return { code: error.code, message: error.message, exitCode: ExitCode.output };
  }
  if (error instanceof HalfwayError) {
    return { code: error.code, message: error.message, exitCode: error.exitCode };
  }
  if (error instanceof AuthenticationError && error.reason === "unauthenticated" && error.user === null) {
    const message = `${error.message} Sign in: ${signInBy}.`;
    return { code: error.code, message, exitCode: exitCodeOf(error) };
  }
  if (error instanceof KvraftError) {
    return { code: error.code, message: error.message, exitCode: exitCodeOf(error) };
  }
  const message = errorMessage(error);
  return { code: "internal", message: `A fault in kvraft: ${message}`, exitCode: ExitCode.internal };
}

/**
 * Stable names of the server errors that a restart cannot fix: the node was removed, or its directory is another node's,
 * damaged, incomplete, or of a newer version. Any other error (no descriptors, a full or failing disk, a port in use, a
 * directory that another process still uses, an assertion) may be absent after a restart.
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

/** Returns the exit code of a server that could not start or continue. */
export function exitCodeOfServer(error: unknown): ExitCode {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "invalidConfig") return ExitCode.usage;
  return PERMANENT_ERRORS.has(code) ? ExitCode.no : ExitCode.internal;
}

function exitCodeOf({ outcome, code }: KvraftError): ExitCode {
  switch (outcome) {
    case "unknown":
      return ExitCode.unknown;
    case "applied":
      return ExitCode.output;
    case "not-applied":
      return exitCodeOfNothingHappened(code);
    default:
      return assertNever(outcome);
  }
}

function exitCodeOfNothingHappened(code: KvraftErrorCode): ExitCode {
  switch (code) {
    case "keyTooLarge":
    case "valueTooLarge":
    case "invalidRequest":
    case "compacted":
    case "futureRevision":
      return ExitCode.usage;
    case "membershipRefused":
    case "transactionFailed":
    case "leaseNotFound":
    case "leaseExists":
    case "tooManyLeases":
    case "tooManyLeaseKeys":
    case "leaseLost":
    case "authChangeRefused":
    case "databaseNotFound":
    case "databasesChangeRefused":
      return ExitCode.no;
    case "authentication":
    case "permissionDenied":
      return ExitCode.denied;
    case "answerOmitted":
      return ExitCode.output;
    case "notLeader":
    case "noLeader":
    case "timeout":
    case "storageFull":
    case "versionMismatch":
    case "busy":
    case "tooManyWatches":
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
