/**
 * The errors of the client library. Each class has a stable `code`, and each error says whether the call may have
 * changed something: after `outcome: "unknown"` a program reads before it writes again.
 */
import type { AuthFailure } from "../kv/auth/auth_command.ts";
import type { TransactionFailure } from "../kv/branching_command.ts";
import type { DatabasesFailure } from "../kv/databases/database_command.ts";
import type { Outcome } from "../protocol/messages.ts";

/** The values of {@link KvraftError.code}. They are stable: scripts depend on them. */
export type KvraftErrorCode =
  | "notLeader"
  | "noLeader"
  | "timeout"
  | "keyTooLarge"
  | "valueTooLarge"
  | "invalidRequest"
  | "storageFull"
  | "membershipRefused"
  | "compacted"
  | "futureRevision"
  | "versionMismatch"
  | "authentication"
  | "permissionDenied"
  | "authChangeRefused"
  | "busy"
  | "unavailable"
  | "sessionExpired"
  | "transactionFailed"
  | "answerOmitted"
  | "tooManyWatches"
  | "leaseNotFound"
  | "leaseExists"
  | "tooManyLeases"
  | "tooManyLeaseKeys"
  | "leaseLost"
  | "databaseNotFound"
  | "databasesChangeRefused"
  | "aborted"
  | "closed"
  | "internal";

/**
 * Whether a call has changed something. "not-applied": it changed nothing and never will. "unknown": it may have been
 * applied, or may yet be. "applied": it was carried out, but its answer cannot be given ({@link AnswerOmittedError}).
 */
export type CallOutcome = Outcome | "applied";

/** Options of the constructor of an error. */
export interface KvraftErrorOptions extends ErrorOptions {
  /**
   * Whether the call may have changed something.
   *
   * @default "not-applied"
   */
  readonly outcome?: CallOutcome;
}

/**
 * The base class of every error of the client library.
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
   * "applied": it was carried out; only {@link AnswerOmittedError} has it. A read changes nothing, so it is always
   * "not-applied".
   */
  readonly outcome: CallOutcome;

  /** `message` says what could not be done, why, and what to do. */
  constructor(message: string, options: KvraftErrorOptions = {}) {
    super(message, options);
    this.outcome = options.outcome ?? "not-applied";
  }
}

/** The node that was asked does not lead and could not forward the request. */
export class NotLeaderError extends KvraftError {
  /** The name of the class. */
  override readonly name = "NotLeaderError";
  /** The stable code of this error. */
  override readonly code = "notLeader";
}

/** The cluster had no leader, or the node that was asked was cut off from the majority. */
export class NoLeaderError extends KvraftError {
  /** The name of the class. */
  override readonly name = "NoLeaderError";
  /** The stable code of this error. */
  override readonly code = "noLeader";
}

/** The deadline of the call passed. `cause` is the last failure, if there was one. */
export class TimeoutError extends KvraftError {
  /** The name of the class. */
  override readonly name = "TimeoutError";
  /** The stable code of this error. */
  override readonly code = "timeout";
}

/** A key is empty or longer than the cluster takes. */
export class KeyTooLargeError extends KvraftError {
  /** The name of the class. */
  override readonly name = "KeyTooLargeError";
  /** The stable code of this error. */
  override readonly code = "keyTooLarge";
}

/** A value is longer than the cluster takes. */
export class ValueTooLargeError extends KvraftError {
  /** The name of the class. */
  override readonly name = "ValueTooLargeError";
  /** The stable code of this error. */
  override readonly code = "valueTooLarge";
}

/** The arguments of the call are not a valid request. */
export class InvalidRequestError extends KvraftError {
  /** The name of the class. */
  override readonly name = "InvalidRequestError";
  /** The stable code of this error. */
  override readonly code = "invalidRequest";
}

/** The leader's disk is full. Reads go on; writes need space, or another leader. */
export class StorageFullError extends KvraftError {
  /** The name of the class. */
  override readonly name = "StorageFullError";
  /** The stable code of this error. */
  override readonly code = "storageFull";
}

/** The cluster refused a change of its members; the message says why. */
export class MembershipRefusedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "MembershipRefusedError";
  /** The stable code of this error. */
  override readonly code = "membershipRefused";
}

/** The revision to read is below the compacted one: the history is not kept that far back. */
export class CompactedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "CompactedError";
  /** The stable code of this error. */
  override readonly code = "compacted";
  /** Reads are possible as of this revision and later ones, until the next compaction. */
  readonly compactedRevision: number;

  /** `compactedRevision` is the one that the node named. */
  constructor(message: string, options: KvraftErrorOptions & { readonly compactedRevision: number }) {
    super(message, options);
    this.compactedRevision = options.compactedRevision;
  }
}

/** The revision to read, or to compact at, is above the present one: no write has made it yet. */
export class FutureRevisionError extends KvraftError {
  /** The name of the class. */
  override readonly name = "FutureRevisionError";
  /** The stable code of this error. */
  override readonly code = "futureRevision";
}

/** The node and this client share no version of the protocol, or the node does not know this kind of request. */
export class VersionMismatchError extends KvraftError {
  /** The name of the class. */
  override readonly name = "VersionMismatchError";
  /** The stable code of this error. */
  override readonly code = "versionMismatch";
}

/** The reason of an {@link AuthenticationError}. */
export type AuthenticationReason =
  /** The user does not exist, or the password or token is wrong: a node does not say which. */
  | "signInFailed"
  /** The token has expired. */
  | "tokenExpired"
  /** The request needs a user, and this client has none, or its user, password or token was removed. */
  | "unauthenticated"
  /** A node needs a certificate, or did not accept that of this client. */
  | "certificate"
  /** The function that returns the password or token failed. */
  | "noSecret";

/**
 * The cluster did not accept this client's credentials, or it has none. The message says whose and what to do; it never has
 * the password or the token.
 */
export class AuthenticationError extends KvraftError {
  /** The name of the class. */
  override readonly name = "AuthenticationError";
  /** The stable code of this error. */
  override readonly code = "authentication";
  /** Why. */
  readonly reason: AuthenticationReason;
  /** The user who was to sign in by a password; null for a token or a certificate. */
  readonly user: string | null;

  /** `message` says what could not be done, why, and what to do. */
  constructor(
    message: string,
    { reason, user, ...options }: KvraftErrorOptions & Pick<AuthenticationError, "reason" | "user">,
  ) {
    super(message, options);
    this.reason = reason;
    this.user = user;
  }
}

/** The user of this client does not have the right to the request. The message names the user, the right and the keys. */
export class PermissionDeniedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "PermissionDeniedError";
  /** The stable code of this error. */
  override readonly code = "permissionDenied";
}

/** The reason of an {@link AuthChangeRefusedError}. */
export type AuthChangeRefusalReason = AuthFailure;

/** The cluster did not make a change of users, roles or tokens; `reason` says why. */
export class AuthChangeRefusedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "AuthChangeRefusedError";
  /** The stable code of this error. */
  override readonly code = "authChangeRefused";
  /**
   * "userExists", "userNotFound", "roleExists", "roleNotFound" (also: the user does not have it), "tokenExists",
   * "tokenNotFound", "grantNotFound"; "noRoot": authentication cannot be enabled before a user with the role root has a
   * password or a token that never expires; "lastRoot": no such user would be left; "rootRole": the role root cannot be changed; "tooMany": a limit is reached.
   */
  readonly reason: AuthChangeRefusalReason;

  /** `message` says what could not be done, why, and what to do. */
  constructor(message: string, { reason }: Pick<AuthChangeRefusedError, "reason">) {
    super(message);
    this.reason = reason;
  }
}

/** Too many calls are in flight, in this client or at the node. */
export class BusyError extends KvraftError {
  /** The name of the class. */
  override readonly name = "BusyError";
  /** The stable code of this error. */
  override readonly code = "busy";
}

/** No node could be reached, or the connection was lost. The message names each address and why. */
export class ConnectionError extends KvraftError {
  /** The name of the class. */
  override readonly name = "ConnectionError";
  /** The stable code of this error. */
  override readonly code = "unavailable";
}

/** The cluster had dropped this client's session when a retry arrived, so the outcome of the first attempt is unknown. */
export class SessionExpiredError extends KvraftError {
  /** The name of the class. */
  override readonly name = "SessionExpiredError";
  /** The stable code of this error. */
  override readonly code = "sessionExpired";
}

/** The reason of a {@link TransactionFailedError}. */
export type TransactionFailureReason = TransactionFailure;

/** A transaction with branches met data for which one of its operations is not defined. It changed nothing. */
export class TransactionFailedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "TransactionFailedError";
  /** The stable code of this error. */
  override readonly code = "transactionFailed";
  /**
   * "tooManyKeys": its ranges have more than 10,000 keys, or too much to compare. "resultTooLarge": its result has more than 4 MiB.
   * "notANumber": the value of a counter is not of 8 bytes. "keyNotFound": the key whose value a put was to keep does not
   * exist. "compacted", "futureRevision": a get names a revision below the compacted one, or above the present one.
   */
  readonly reason: TransactionFailureReason;
  /** The operation that failed, such as `then[1]` or `then[0].else[2]`; `checks` for the checks of a transaction. */
  readonly position: string;
  /** The store's revision at that time. */
  readonly revision: number;

  /** `message` says which operation failed, why, and what to do. */
  constructor(
    message: string,
    { reason, position, revision }: Pick<TransactionFailedError, "reason" | "position" | "revision">,
  ) {
    super(message);
    this.reason = reason;
    this.position = position;
    this.revision = revision;
  }
}

/**
 * A transaction with branches was executed, but the answer has no results: a retry got it, and the store remembers the
 * results of a transaction only up to 4 KiB. Its outcome is "applied".
 */
export class AnswerOmittedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "AnswerOmittedError";
  /** The stable code of this error. */
  override readonly code = "answerOmitted";
  /** Whether all checks held, so that `then` ran. */
  readonly succeeded: boolean;
  /** The store's revision after the transaction. */
  readonly revision: number;

  /** `message` says that the transaction was executed, and what to do. */
  constructor(message: string, { succeeded, revision }: Pick<AnswerOmittedError, "succeeded" | "revision">) {
    super(message, { outcome: "applied" });
    this.succeeded = succeeded;
    this.revision = revision;
  }
}

/** The client, or a connection of it, has as many watches as it may have. */
export class TooManyWatchesError extends KvraftError {
  /** The name of the class. */
  override readonly name = "TooManyWatchesError";
  /** The stable code of this error. */
  override readonly code = "tooManyWatches";
}

/** There is no such lease: it was never granted, or it has ended. */
export class LeaseNotFoundError extends KvraftError {
  /** The name of the class. */
  override readonly name = "LeaseNotFoundError";
  /** The stable code of this error. */
  override readonly code = "leaseNotFound";
}

/** A lease of the chosen id exists. */
export class LeaseExistsError extends KvraftError {
  /** The name of the class. */
  override readonly name = "LeaseExistsError";
  /** The stable code of this error. */
  override readonly code = "leaseExists";
}

/** The store has as many leases as it may have. */
export class TooManyLeasesError extends KvraftError {
  /** The name of the class. */
  override readonly name = "TooManyLeasesError";
  /** The stable code of this error. */
  override readonly code = "tooManyLeases";
}

/** The lease has as many keys as one may have. */
export class TooManyLeaseKeysError extends KvraftError {
  /** The name of the class. */
  override readonly name = "TooManyLeaseKeysError";
  /** The stable code of this error. */
  override readonly code = "tooManyLeaseKeys";
}

/**
 * A lease that this client held has ended, or may have: no keep-alive was confirmed within its time to live. A lock that it
 * held may have another holder now. The reasons of the signals `lost` are of this class.
 */
export class LeaseLostError extends KvraftError {
  /** The name of the class. */
  override readonly name = "LeaseLostError";
  /** The stable code of this error. */
  override readonly code = "leaseLost";
}

/** There is no such database: it was never created, or it was removed. */
export class DatabaseNotFoundError extends KvraftError {
  /** The name of the class. */
  override readonly name = "DatabaseNotFoundError";
  /** The stable code of this error. */
  override readonly code = "databaseNotFound";
}

/** The reason of a {@link DatabasesChangeRefusedError}. */
export type DatabasesChangeRefusalReason = DatabasesFailure;

/** The cluster did not make a change of the databases or their access tokens; `reason` says why. */
export class DatabasesChangeRefusedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "DatabasesChangeRefusedError";
  /** The stable code of this error. */
  override readonly code = "databasesChangeRefused";
  /**
   * "databaseExists", "databaseNotFound", "databaseNotEmpty": the database to remove has keys; "defaultDatabase": it cannot
   * be created or removed; "tokenExists", "tokenNotFound"; "tooMany": a limit is reached.
   */
  readonly reason: DatabasesChangeRefusalReason;

  /** `message` says what could not be done, why, and what to do. */
  constructor(message: string, { reason }: Pick<DatabasesChangeRefusedError, "reason">) {
    super(message);
    this.reason = reason;
  }
}

/** The caller's `signal` ended the call. Its name is the platform's `AbortError`; `cause` is the signal's reason. */
export class AbortError extends KvraftError {
  /** The name of the class. */
  override readonly name = "AbortError";
  /** The stable code of this error. */
  override readonly code = "aborted";
}

/** The client was closed before the call ended. */
export class ClosedError extends KvraftError {
  /** The name of the class. */
  override readonly name = "ClosedError";
  /** The stable code of this error. */
  override readonly code = "closed";
}

/** A node failed unexpectedly, or sent a wrong answer. */
export class InternalError extends KvraftError {
  /** The name of the class. */
  override readonly name = "InternalError";
  /** The stable code of this error. */
  override readonly code = "internal";
}
