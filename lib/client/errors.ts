/**
 * The errors of the client library. Each class has a stable `code`, and each says whether the call may have
 * changed something: a caller that sees `outcome: "unknown"` must look before it writes again.
 */
import type { Outcome } from "../protocol/messages.ts";

/** What {@link KvraftError.code} may be. Stable: scripts count on these words. */
export type KvraftErrorCode =
  | "notLeader"
  | "noLeader"
  | "timeout"
  | "keyTooLarge"
  | "valueTooLarge"
  | "invalidRequest"
  | "storageFull"
  | "membershipRefused"
  | "versionMismatch"
  | "authentication"
  | "busy"
  | "unavailable"
  | "sessionExpired"
  | "aborted"
  | "closed"
  | "internal";

/** What the maker of an error knows beside its message. */
export interface KvraftErrorOptions extends ErrorOptions {
  /** Default "not-applied". */
  readonly outcome?: Outcome;
}

/**
 * What every error of the client library is.
 *
 * @example Telling "did not happen" from "can't be known"
 * ```ts
 * import { KvClient, KvraftError } from "@kvraft/kvraft";
 *
 * export async function greet(client: KvClient): Promise<void> {
 *   try {
 *     await client.put("greeting", "hello");
 *   } catch (error) {
 *     if (error instanceof KvraftError && error.outcome === "not-applied") return; // nothing changed: try later
 *     throw error; // unknown: read the key before writing again
 *   }
 * }
 * ```
 */
export abstract class KvraftError extends Error {
  /** Which error this is, for programs. */
  abstract readonly code: KvraftErrorCode;
  /**
   * "not-applied": the call changed nothing and never will. "unknown": it may have been applied, or may yet be.
   * A read changes nothing, so it is always "not-applied".
   */
  readonly outcome: Outcome;

  /** `message` says what could not be done, why, and what to do. */
  constructor(message: string, options: KvraftErrorOptions = {}) {
    super(message, options);
    this.outcome = options.outcome ?? "not-applied";
  }
}

/** The node that was asked does not lead and could not pass the request on. */
export class NotLeaderError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "NotLeaderError";
  /** The class, for programs. */
  override readonly code = "notLeader";
}

/** The cluster had no leader, or the node that was asked had lost touch with the majority. */
export class NoLeaderError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "NoLeaderError";
  /** The class, for programs. */
  override readonly code = "noLeader";
}

/** The call's deadline passed. `cause` is what went wrong last, where something did. */
export class TimeoutError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "TimeoutError";
  /** The class, for programs. */
  override readonly code = "timeout";
}

/** A key is empty or longer than the cluster takes. */
export class KeyTooLargeError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "KeyTooLargeError";
  /** The class, for programs. */
  override readonly code = "keyTooLarge";
}

/** A value is longer than the cluster takes. */
export class ValueTooLargeError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "ValueTooLargeError";
  /** The class, for programs. */
  override readonly code = "valueTooLarge";
}

/** The call's arguments make no valid request. */
export class InvalidRequestError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "InvalidRequestError";
  /** The class, for programs. */
  override readonly code = "invalidRequest";
}

/** The leader's disk is full. Reads go on; writes need space, or another leader. */
export class StorageFullError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "StorageFullError";
  /** The class, for programs. */
  override readonly code = "storageFull";
}

/** The cluster's members may not be changed so, or not now; the message says why. */
export class MembershipRefusedError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "MembershipRefusedError";
  /** The class, for programs. */
  override readonly code = "membershipRefused";
}

/** The node and this client share no version of the protocol, or the node does not know this kind of request. */
export class VersionMismatchError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "VersionMismatchError";
  /** The class, for programs. */
  override readonly code = "versionMismatch";
}

/** The cluster did not accept this client's credentials. */
export class AuthenticationError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "AuthenticationError";
  /** The class, for programs. */
  override readonly code = "authentication";
}

/** Too much is under way, in this client or at the node. */
export class BusyError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "BusyError";
  /** The class, for programs. */
  override readonly code = "busy";
}

/** No node could be reached, or the connection was lost. The message names each address and why. */
export class ConnectionError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "ConnectionError";
  /** The class, for programs. */
  override readonly code = "unavailable";
}

/** The cluster had forgotten this client's session when a retry arrived, so the first attempt's fate can't be told. */
export class SessionExpiredError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "SessionExpiredError";
  /** The class, for programs. */
  override readonly code = "sessionExpired";
}

/** The caller's `signal` ended the call. Its name is the platform's `AbortError`; `cause` is the signal's reason. */
export class AbortError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "AbortError";
  /** The class, for programs. */
  override readonly code = "aborted";
}

/** The client was closed before the call ended. */
export class ClosedError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "ClosedError";
  /** The class, for programs. */
  override readonly code = "closed";
}

/** A node failed in a way that it should not, or answered what it should not. */
export class InternalError extends KvraftError {
  /** The class, where only text is seen. */
  override readonly name = "InternalError";
  /** The class, for programs. */
  override readonly code = "internal";
}
