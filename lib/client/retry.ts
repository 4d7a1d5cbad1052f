/**
 * The decision after an attempt without an answer: pure functions.
 *
 * Two questions are separate. May the attempt have been applied, or be applied later? Once the outcome of one attempt is
 * unknown, that of the call is, until an attempt with the same stamp is answered. And can another attempt succeed? A
 * write has one stamp for all its attempts, so a retry is always safe; a transfer of leadership and a change of the
 * members have none, so they are not repeated once they may have begun.
 */
import { assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";
import { nodeName } from "../protocol/hello.ts";
import type { ErrorCode, Outcome } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";
import {
  AuthenticationError,
  BusyError,
  CompactedError,
  ConnectionError,
  FutureRevisionError,
  InternalError,
  InvalidRequestError,
  KeyTooLargeError,
  KvraftError,
  type KvraftErrorCode,
  type KvraftErrorOptions,
  MembershipRefusedError,
  NoLeaderError,
  NotLeaderError,
  PermissionDeniedError,
  StorageFullError,
  TooManyWatchesError,
  ValueTooLargeError,
  VersionMismatchError,
} from "./errors.ts";

/** The beginning of every error message. */
const PREFIX = "Cannot ";
/** The text between the action that failed and the reason. No address contains it. */
const SEPARATOR = ": ";

/** The longest wait of the first attempt of a call; each further one may wait twice as long as the one before. */
export const ATTEMPT_TIMEOUT_MS = 1_000;
/** The shortest wait of an attempt, unless the deadline is nearer. */
export const MIN_ATTEMPT_TIMEOUT_MS = 50;
/** The same of a collection: longer than a node waits for the others (ANSWER_TIMEOUT_MS of the server's diagnostics). */
const MIN_COLLECTION_TIMEOUT_MS = 1_500;
/** The middle of the pause before the second attempt; each further one is twice as long. */
const BACKOFF_MIN_MS = 10;
/** The longest middle of a pause: below the time of an election, so that a new leader is not kept waiting. */
export const BACKOFF_MAX_MS = 200;
/** The same while nodes answer "busy": thousands of clients that ask five times a second are too many by themselves. */
export const BUSY_BACKOFF_MAX_MS = 2_000;

/** The kind of a call, which decides how it is retried. */
export type CallKind =
  /** Changes nothing. */
  | "read"
  /** Changes nothing, and the node that is asked waits a second for members that do not answer. */
  | "collection"
  /** Changes nothing and may take long: an attempt has all the time that is left. */
  | "longRead"
  /** Has a stamp by which the store recognizes a retry. */
  | "write"
  /** Has no stamp and may take long: one attempt that may have begun, with all the time that is left. */
  | "once";

/** A failure to open a connection for a request. */
export interface Unreachable {
  readonly kind: "unreachable";
  readonly error: KvraftError;
  /** Whether dialing again may succeed: soon, later (every node is busy), or never with these addresses. */
  readonly hope: "soon" | "later" | "none";
}

/** The failure of an attempt. */
export type AttemptFailure =
  /** A node answered with an error. */
  | {
    readonly kind: "refused";
    readonly node: NodeId;
    readonly code: ErrorCode;
    readonly message: string;
    readonly outcome: Outcome;
    /** With the code "compacted", of a node that names it. */
    readonly compactedRevision?: number;
  }
  /** The connection ended first. `left`: whether the request's bytes may have been sent. */
  | { readonly kind: "lost"; readonly node: NodeId; readonly left: boolean; readonly reason: string }
  /** Nothing came in the attempt's time. */
  | { readonly kind: "silent"; readonly node: NodeId; readonly left: boolean; readonly waitedMs: number }
  | Unreachable;

/** The decision after a failed attempt. */
export type Decision =
  /** Retry, at another node than `except` if another can be reached. */
  | { readonly kind: "retry"; readonly except: NodeId | null }
  /** The call fails with the failure's own error. */
  | { readonly kind: "giveUp" };

/** Returns whether an attempt without an answer may have been applied, or may be later. */
export function mayHaveApplied(
  attempt: AttemptFailure | { readonly kind: "stopped"; readonly left: boolean },
): boolean {
  switch (attempt.kind) {
    case "refused":
      return attempt.outcome === "unknown";
    case "lost":
    case "silent":
    case "stopped":
      return attempt.left;
    case "unreachable":
      return false;
    default:
      return assertNever(attempt);
  }
}

/** Returns whether a call of this kind can change anything. */
export function changesSomething(call: CallKind): boolean {
  return call === "write" || call === "once";
}

/** Returns whether and where a call of this kind is retried. */
export function decide(failure: AttemptFailure, call: CallKind): Decision {
  if (call === "once" && mayHaveApplied(failure)) return { kind: "giveUp" };
  switch (failure.kind) {
    case "refused":
      return decideOnCode(failure.code, failure.node);
    case "lost":
    case "silent":
      return { kind: "retry", except: failure.node };
    case "unreachable":
      // A refused sign-in is refused again at every other node.
      return failure.error instanceof AuthenticationError
        ? { kind: "giveUp" }
        : { kind: "retry", except: null };
    default:
      return assertNever(failure);
  }
}

function decideOnCode(code: ErrorCode, node: NodeId): Decision {
  switch (code) {
    case "busy":
      return { kind: "retry", except: null };
    case "noLeader":
    case "notLeader":
    case "leadershipLost":
    case "stopping":
      return { kind: "retry", except: node };
    case "keyTooLarge":
    case "valueTooLarge":
    case "invalidRequest":
    case "storageFull":
    case "membershipRefused":
    case "compacted":
    case "futureRevision":
    case "unauthenticated":
    case "signInFailed":
    case "tokenExpired":
    case "permissionDenied":
    case "tooManyWatches":
    case "unknownKind":
    case "internal":
      return { kind: "giveUp" };
    default:
      return assertNever(code);
  }
}

/** Errors after which the same call may succeed later. */
const TRANSIENT_CODES: readonly KvraftErrorCode[] = [
  "notLeader",
  "noLeader",
  "timeout",
  "busy",
  "unavailable",
  "sessionExpired",
  "answerOmitted",
];

/** Whether a call that may be repeated may succeed later, as after an election. */
export function isTransient(error: unknown): boolean {
  return error instanceof KvraftError && TRANSIENT_CODES.includes(error.code);
}

/** Returns the error of a failure; `action` is what failed: "put a key". */
export function toError(failure: AttemptFailure, action: string, outcome: Outcome): KvraftError {
  const message = `Cannot ${action}: ${describeFailure(failure)} ${describeOutcome(outcome)}`;
  switch (failure.kind) {
    case "refused":
      return failure.code === "compacted"
        ? new CompactedError(message, { outcome, compactedRevision: failure.compactedRevision ?? 0 })
        : refusalError(failure.code, message, { outcome });
    case "lost":
    case "silent":
      return new ConnectionError(message, { outcome });
    case "unreachable":
      return failure.error;
    default:
      return assertNever(failure);
  }
}

/** Returns a failure as a sentence. */
export function describeFailure(failure: AttemptFailure): string {
  switch (failure.kind) {
    case "refused":
      return isOfOlderNode(failure)
        ? `${
          nodeName(failure.node)
        } runs an older version of kvraft, which does not know this request. Upgrade the node.`
        : `${nodeName(failure.node)} answered: ${reasonOf(failure.message)}`;
    case "lost":
      return `the connection to ${nodeName(failure.node)} was lost: ${reasonWithin(failure.reason)}.`;
    case "silent":
      return `${nodeName(failure.node)} did not answer within ${Math.ceil(failure.waitedMs)} ms.`;
    case "unreachable":
      return reasonOf(failure.error.message);
    default:
      return assertNever(failure);
  }
}

/** Whether a node does not know a request, or the command in a write: the leader may run version 0.1.0. */
function isOfOlderNode({ code, message }: Extract<AttemptFailure, { readonly kind: "refused" }>): boolean {
  return code === "unknownKind" ||
    code === "invalidRequest" && /kind [0-9]+ is not known to this version\.$/.test(message);
}

/** Returns the meaning of an outcome, as a sentence. */
export function describeOutcome(outcome: Outcome): string {
  switch (outcome) {
    case "not-applied":
      return "Nothing was changed.";
    case "unknown":
      return "It may have been applied, or may yet be: read before trying again.";
    default:
      return assertNever(outcome);
  }
}

/** The meaning of an unknown outcome where an answer came: the write is not in flight any more. */
export const MAY_HAVE_BEEN_APPLIED = "It may have been applied: read before trying again.";

/**
 * Returns the error of a command that was refused because of its user when it was applied: a right, or the user, was taken
 * away after a node had let the command through.
 */
export function userRefused(
  reason: "unauthenticated" | "permissionDenied",
  action: string,
  outcome: Outcome,
): AuthenticationError | PermissionDeniedError {
  const fate = describeOutcome(outcome);
  if (reason === "permissionDenied") {
    return new PermissionDeniedError(
      `Cannot ${action}: the user does not have the right to it any more. ${fate}`,
      {
        outcome,
      },
    );
  }
  return new AuthenticationError(
    `Cannot ${action}: authentication is enabled, and this client has not signed in, or its user was removed. ${fate}`,
    { outcome, reason, user: null },
  );
}

/** Whether a node refused a request since the connection's user is not accepted any more: a new sign-in may help. */
export function needsSignIn(
  failure: AttemptFailure,
): failure is Extract<AttemptFailure, { readonly kind: "refused" }> {
  return failure.kind === "refused" &&
    (failure.code === "unauthenticated" || failure.code === "tokenExpired");
}

function refusalError(
  code: Exclude<ErrorCode, "compacted">,
  message: string,
  options: KvraftErrorOptions,
): KvraftError {
  switch (code) {
    case "noLeader":
      return new NoLeaderError(message, options);
    case "notLeader":
      return new NotLeaderError(message, options);
    case "busy":
      return new BusyError(message, options);
    case "tooManyWatches":
      return new TooManyWatchesError(message, options);
    case "leadershipLost":
    case "stopping":
      return new ConnectionError(message, options);
    case "keyTooLarge":
      return new KeyTooLargeError(message, options);
    case "valueTooLarge":
      return new ValueTooLargeError(message, options);
    case "invalidRequest":
      return new InvalidRequestError(message, options);
    case "storageFull":
      return new StorageFullError(message, options);
    case "membershipRefused":
      return new MembershipRefusedError(message, options);
    case "futureRevision":
      return new FutureRevisionError(message, options);
    case "unauthenticated":
    case "signInFailed":
    case "tokenExpired":
      return new AuthenticationError(message, { ...options, reason: code, user: null });
    case "permissionDenied":
      return new PermissionDeniedError(message, options);
    case "unknownKind":
      return new VersionMismatchError(message, options);
    case "internal":
      return new InternalError(message, options);
    default:
      return assertNever(code);
  }
}

/**
 * Returns the time that an attempt may wait for its answer. Long calls and calls that are sent once have all the time that
 * is left. Other attempts get at most half of it, so that there is time for another node after a hung one. The wait grows
 * with each attempt, so that a slow cluster is not sent more and more copies.
 */
export function attemptTimeoutMs(attempt: number, remainingMs: number, call: CallKind = "read"): number {
  if (call === "longRead" || call === "once") return remainingMs;
  const leastMs = call === "collection" ? MIN_COLLECTION_TIMEOUT_MS : MIN_ATTEMPT_TIMEOUT_MS;
  const patienceMs = Math.min(ATTEMPT_TIMEOUT_MS * 2 ** attempt, remainingMs / 2);
  return Math.min(remainingMs, Math.max(leastMs, patienceMs));
}

/** Returns the pause after `attempt` (from 0), with jitter so that clients that failed together do not retry together. */
export function backoffMs(attempt: number, random: Random, maxMs = BACKOFF_MAX_MS): number {
  const middleMs = Math.min(maxMs, BACKOFF_MIN_MS * 2 ** attempt);
  return middleMs * (0.5 + random());
}

/** Returns the pause between a failed attempt and the next one. */
export function pauseAfterMs(failure: AttemptFailure, attempt: number, random: Random): number {
  const isBusy = failure.kind === "unreachable"
    ? failure.hope === "later"
    : failure.kind === "refused" && failure.code === "busy";
  return backoffMs(attempt, random, isBusy ? BUSY_BACKOFF_MAX_MS : BACKOFF_MAX_MS);
}

/** Returns the reason in a message: the text after every "Cannot …: ", or the whole message where there is none. */
export function reasonOf(message: string): string {
  if (!message.startsWith(PREFIX)) return message;
  const end = message.indexOf(SEPARATOR);
  return end < 0 ? message : reasonOf(message.slice(end + SEPARATOR.length));
}

/** Returns the reason in a message without the full stop at its end, for use within a sentence. */
export function reasonWithin(message: string): string {
  return reasonOf(message).replace(/\.$/, "");
}
