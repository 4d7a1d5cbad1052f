/**
 * What to do after an attempt that brought no answer: pure decisions, made in one place.
 *
 * Two questions are kept apart. Can the attempt still be (or already have been) applied? That only grows: once an
 * attempt's fate is unknown, the call's is, until an attempt with the same stamp is answered. And is another attempt
 * of use? A write carries one stamp through all its attempts, so trying again is always safe; a handover of
 * leadership and a change of the members carry none, so they are not repeated once they may have begun.
 */
import { assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";
import type { ErrorCode, Outcome } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";
import {
  BusyError,
  ConnectionError,
  InternalError,
  InvalidRequestError,
  KeyTooLargeError,
  type KvraftError,
  type KvraftErrorOptions,
  MembershipRefusedError,
  NoLeaderError,
  NotLeaderError,
  StorageFullError,
  ValueTooLargeError,
  VersionMismatchError,
} from "./errors.ts";

/** What every error begins with. */
const PREFIX = "Cannot ";
/** What stands between what could not be done and why. No address holds it. */
const SEPARATOR = ": ";

/** The longest that the first attempt of a call waits; each further one may wait twice as long as the one before. */
export const ATTEMPT_TIMEOUT_MS = 1_000;
/** The shortest that an attempt waits, unless the deadline is nearer. */
export const MIN_ATTEMPT_TIMEOUT_MS = 50;
/** The middle of the pause before the second attempt; each further one is twice as long. */
const BACKOFF_MIN_MS = 10;
/** The longest middle of a pause: below the time of an election, so that a new leader is not kept waiting. */
const BACKOFF_MAX_MS = 200;
/** The same while nodes say that they have too much to do: thousands who ask five times a second are too much alone. */
const BUSY_BACKOFF_MAX_MS = 2_000;

/** What kind of call it is that failed. */
export type CallKind =
  /** Changes nothing. */
  | "read"
  /** Changes nothing, and may take the node a while: an attempt has all the time that is left. */
  | "longRead"
  /** Carries a stamp by which the store tells a repetition. */
  | "write"
  /** Carries none, and may take a while: one attempt that begins, with all the time that is left. */
  | "once";

/** There was no connection to send a request over. */
export interface Unreachable {
  readonly kind: "unreachable";
  readonly error: KvraftError;
  /** When dialling again is of use: soon, later (every node said that it is busy), or never, with these addresses. */
  readonly hope: "soon" | "later" | "none";
}

/** How an attempt failed. */
export type AttemptFailure =
  /** A node answered that it did not do it. */
  | {
    readonly kind: "refused";
    readonly node: NodeId;
    readonly code: ErrorCode;
    readonly message: string;
    readonly outcome: Outcome;
  }
  /** The connection ended first. `left`: whether the request's bytes may have been sent. */
  | { readonly kind: "lost"; readonly node: NodeId; readonly left: boolean; readonly reason: string }
  /** Nothing came in the attempt's time. */
  | { readonly kind: "silent"; readonly node: NodeId; readonly left: boolean; readonly waitedMs: number }
  | Unreachable;

/** What follows. */
export type Decision =
  /** Try again; at another node than `except` if another can be reached. */
  | { readonly kind: "retry"; readonly except: NodeId | null }
  /** The call fails with the failure's own error. */
  | { readonly kind: "giveUp" };

/** Whether an attempt without an answer may have been carried out, or may yet be. */
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

/** Whether a call of this kind can change anything. */
export function changesSomething(call: CallKind): boolean {
  return call === "write" || call === "once";
}

/** Whether and where a call of this kind should be tried again. */
export function decide(failure: AttemptFailure, call: CallKind): Decision {
  if (call === "once" && mayHaveApplied(failure)) return { kind: "giveUp" };
  switch (failure.kind) {
    case "refused":
      return decideOnCode(failure.code, failure.node);
    case "lost":
    case "silent":
      return { kind: "retry", except: failure.node };
    case "unreachable":
      return { kind: "retry", except: null };
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
    case "unknownKind":
    case "internal":
      return { kind: "giveUp" };
    default:
      return assertNever(code);
  }
}

/** The failure as an error; `action` is what could not be done: "put a key". */
export function toError(failure: AttemptFailure, action: string, outcome: Outcome): KvraftError {
  const message = `Cannot ${action}: ${describeFailure(failure)} ${describeOutcome(outcome)}`;
  switch (failure.kind) {
    case "refused":
      return refusalError(failure.code, message, { outcome });
    case "lost":
    case "silent":
      return new ConnectionError(message, { outcome });
    case "unreachable":
      return failure.error;
    default:
      return assertNever(failure);
  }
}

/** The failure as a sentence. */
export function describeFailure(failure: AttemptFailure): string {
  switch (failure.kind) {
    case "refused":
      return `node ${failure.node} answered: ${reasonOf(failure.message)}`;
    case "lost":
      return `the connection to node ${failure.node} was lost: ${reasonWithin(failure.reason)}.`;
    case "silent":
      return `node ${failure.node} did not answer within ${Math.ceil(failure.waitedMs)} ms.`;
    case "unreachable":
      return reasonOf(failure.error.message);
    default:
      return assertNever(failure);
  }
}

/** What an outcome means, as a sentence. */
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

/** The same where an answer came: what it was an answer to is not under way any more. */
export const MAY_HAVE_BEEN_APPLIED = "It may have been applied: read before trying again.";

function refusalError(code: ErrorCode, message: string, options: KvraftErrorOptions): KvraftError {
  switch (code) {
    case "noLeader":
      return new NoLeaderError(message, options);
    case "notLeader":
      return new NotLeaderError(message, options);
    case "busy":
      return new BusyError(message, options);
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
    case "unknownKind":
      return new VersionMismatchError(message, options);
    case "internal":
      return new InternalError(message, options);
    default:
      return assertNever(code);
  }
}

/**
 * How long an attempt may wait for its answer. What takes a node a while has all the time there is. Else a hung node must
 * leave time to ask another: at most half of what is left is spent on one attempt. A slow cluster must not be sent more
 * and more copies: the wait grows.
 */
export function attemptTimeoutMs(attempt: number, remainingMs: number, call: CallKind = "read"): number {
  if (call === "longRead" || call === "once") return remainingMs;
  const patienceMs = Math.min(ATTEMPT_TIMEOUT_MS * 2 ** attempt, remainingMs / 2);
  return Math.min(remainingMs, Math.max(MIN_ATTEMPT_TIMEOUT_MS, patienceMs));
}

/** The pause after `attempt` (from 0), jittered so that clients that failed together do not return together. */
export function backoffMs(attempt: number, random: Random, maxMs = BACKOFF_MAX_MS): number {
  const middleMs = Math.min(maxMs, BACKOFF_MIN_MS * 2 ** attempt);
  return middleMs * (0.5 + random());
}

/** The pause between an attempt that failed so and the next one. */
export function pauseAfterMs(failure: AttemptFailure, attempt: number, random: Random): number {
  const isBusy = failure.kind === "unreachable"
    ? failure.hope === "later"
    : failure.kind === "refused" && failure.code === "busy";
  return backoffMs(attempt, random, isBusy ? BUSY_BACKOFF_MAX_MS : BACKOFF_MAX_MS);
}

/** What a message says behind "Cannot …: ", however often it does; the whole message where it says nothing behind it. */
export function reasonOf(message: string): string {
  if (!message.startsWith(PREFIX)) return message;
  const end = message.indexOf(SEPARATOR);
  return end < 0 ? message : reasonOf(message.slice(end + SEPARATOR.length));
}

/** The same as a part of a sentence: without the full stop at its end. */
export function reasonWithin(message: string): string {
  return reasonOf(message).replace(/\.$/, "");
}
