/** Exit codes of the command line, and the errors that it raises itself. */
import { KvraftError, type KvraftErrorCode } from "../client/errors.ts";
import { assertNever } from "../assert.ts";

/** What the process ends with. Fixed: scripts count on it. */
export const ExitCode = {
  /** Done. */
  done: 0,
  /** The operation's answer is no: key not found, compare failed, membership change refused. For a server: it could not start or go on. */
  no: 1,
  /** Wrong usage; nothing was sent. */
  usage: 2,
  /** The cluster could not be reached, or has no leader; nothing happened. */
  unavailable: 3,
  /** A write whose outcome is not known. */
  unknown: 4,
  /** A fault in kvraft itself. */
  internal: 70,
} as const;

/** One of {@link ExitCode}. */
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** What was typed makes no sense. The message says what is wrong and what is allowed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** Stable name of this error. */
  readonly code = "usage";
}

/** Whoever read our output has gone (`kvraft … | head`). Not worth a word. */
export class OutputClosedError extends Error {
  override readonly name = "OutputClosedError";
  /** Stable name of this error. */
  readonly code = "outputClosed";
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
  if (error instanceof HalfwayError) {
    return { code: error.code, message: error.message, exitCode: error.exitCode };
  }
  if (error instanceof KvraftError) {
    const exitCode = error.outcome === "unknown" ? ExitCode.unknown : exitCodeOfNothingHappened(error.code);
    return { code: error.code, message: error.message, exitCode };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "internal", message: `A fault in kvraft itself: ${message}`, exitCode: ExitCode.internal };
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
