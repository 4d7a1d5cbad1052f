/**
 * The commands of leases and of keys that expire, their results, and their limits. They exist from feature level 2 on.
 *
 * A lease has a time to live. A put may attach its key to a lease; when the lease ends, because its time is over or
 * because it is revoked, its keys are deleted, all in one revision. The time is that of the log (ExpireSessions in
 * command.ts), so a lease has the same time left on every node, and elections, restarts and snapshots change nothing.
 *
 * A key may also have a time of the wall clock from which on the leader proposes to delete it.
 */
import type { SessionStamp } from "../command.ts";

/** Shortest and longest time to live of a lease, in milliseconds. */
export const MIN_LEASE_TTL_MS = 1_000;
export const MAX_LEASE_TTL_MS = 9_000_000_000_000;
/** Leases of a store. One more is refused. */
export const MAX_LEASES = 250_000;
/** Keys that are attached to one lease. A transaction that attaches one more fails. */
export const MAX_LEASE_KEYS = 10_000;
/**
 * Leases and their keys, together, that one entry ends because their time is over: about 10 ms of work. It ends at least
 * one lease; the others wait for the next such entry.
 */
export const MAX_ENDED_KEYS = 2_000;
/** Leases that one entry keeps alive. */
export const MAX_KEEP_ALIVES = 10_000;
/** Keys that one entry deletes because their time of the wall clock has passed. */
export const MAX_EXPIRED_KEYS = 500;

/** Grants a lease. */
export interface GrantLease {
  /** Discriminates the command. */
  readonly kind: "grantLease";
  /** Null for a write that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
  /** Chosen by the client, at random or by its user; 1 … 2^53 − 1. One that exists is refused. */
  readonly leaseId: number;
  /** MIN_LEASE_TTL_MS … MAX_LEASE_TTL_MS. */
  readonly ttlMs: number;
}

/** Ends a lease and deletes its keys. */
export interface RevokeLease {
  /** Discriminates the command. */
  readonly kind: "revokeLease";
  /** As in {@link GrantLease}. */
  readonly session: SessionStamp | null;
  readonly leaseId: number;
}

/**
 * Restores the whole time to live of leases, from now on. It has no session: applied twice, it only lasts longer. A
 * lease whose time is over exists until an entry has ended it, and can be kept alive until then.
 */
export interface KeepLeasesAlive {
  /** Discriminates the command. */
  readonly kind: "keepLeasesAlive";
  /** 1 … MAX_KEEP_ALIVES of them. */
  readonly leaseIds: readonly number[];
}

/**
 * Deletes keys whose time of the wall clock has passed, those with the lowest time first, at most MAX_EXPIRED_KEYS.
 * Proposed by the leader.
 */
export interface DeleteExpired {
  /** Discriminates the command. */
  readonly kind: "deleteExpired";
  /** Wall-clock time of the leader, in milliseconds since 1970: keys with `expiresAtMs` up to it are deleted. */
  readonly untilMs: number;
}

/** The commands of leases and expiring keys. */
export type LeaseCommand = GrantLease | RevokeLease | KeepLeasesAlive | DeleteExpired;

/** Reason for which a lease is not granted or not revoked: nothing changed. */
export type LeaseFailure = "leaseExists" | "leaseNotFound" | "tooManyLeases";

/** The result of a command with a session, which its session remembers. */
export type LeaseWriteResult =
  /** `ttlMs` is the granted time to live. */
  | { readonly kind: "leaseGranted"; readonly revision: number; readonly ttlMs: number }
  /** `deleted` keys were deleted in `revision`; without keys that is the revision of the last change. */
  | { readonly kind: "leaseRevoked"; readonly revision: number; readonly deleted: number }
  | { readonly kind: "leaseFailed"; readonly revision: number; readonly reason: LeaseFailure };

/** The results of the commands of leases and expiring keys. */
export type LeaseResult =
  | LeaseWriteResult
  /** The time to live of each lease, in the order of the command; 0 for one that does not exist. */
  | { readonly kind: "leasesKeptAlive"; readonly ttlsMs: readonly number[] }
  | { readonly kind: "expiredDeleted"; readonly revision: number; readonly deleted: number };

/** A lease as it is now. */
export interface LeaseState {
  readonly leaseId: number;
  /** Its time to live when it is granted or kept alive. */
  readonly ttlMs: number;
  /** It is over once the time of the log is above this. */
  readonly deadlineMs: number;
  /** The user who has granted it; 0 if authentication was disabled. */
  readonly ownerId: number;
  /** Number of keys that are attached to it. */
  readonly keyCount: number;
}

/** One page of the leases. */
export interface LeasePage {
  /** By id. */
  readonly leases: readonly LeaseState[];
  /** Whether there are leases after those of the page. */
  readonly more: boolean;
}

/** The part of the keys of a lease that is read. */
export interface LeaseKeysQuery {
  /** Continue after this key, or null. */
  readonly after: Uint8Array | null;
  readonly limit: number;
}

/** One page of the keys of a lease. */
export interface LeaseKeysPage {
  /** In order; the caller owns them. */
  readonly keys: readonly Uint8Array[];
  /** Whether the lease has keys after those of the page. */
  readonly more: boolean;
}
