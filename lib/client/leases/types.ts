/** Arguments and results of the calls on leases: {@link KvClient.lease} and {@link LeaseClient}. */
import type { CallOptions, ConsistencyOptions } from "../types.ts";

/** The arguments for a new lease. */
export interface LeaseRequest {
  /** Time that the lease lasts after it was granted or last kept alive, in milliseconds: 1,000 to 9 × 10^12. */
  readonly ttlMs: number;
  /**
   * Its id, an integer from 1 to 2^53 - 1.
   *
   * @default chosen at random
   */
  readonly leaseId?: number;
}

/** The result of {@link LeaseClient.grant}. */
export interface GrantedLease {
  /** The id of the lease. */
  readonly leaseId: number;
  /** Its time to live. */
  readonly ttlMs: number;
  /** The store's revision when it was granted. */
  readonly revision: number;
}

/** The result of {@link LeaseClient.revoke}. */
export interface RevokedLease {
  /** The number of keys that were deleted with the lease. */
  readonly deleted: number;
  /** The store's revision after that. */
  readonly revision: number;
}

/** The result of {@link LeaseClient.keepAlive} for one lease. */
export interface KeptLease {
  /** The id of the lease. */
  readonly leaseId: number;
  /** The time that it lasts from the call on; null when there is no such lease (any more). */
  readonly ttlMs: number | null;
}

/** A lease as {@link LeaseClient.list} returns it. */
export interface LeaseSummary {
  /** The id of the lease. */
  readonly leaseId: number;
  /** The time to live for which it was granted. */
  readonly ttlMs: number;
  /** The time that is left of it. */
  readonly remainingMs: number;
  /** The number of its keys. */
  readonly keyCount: number;
}

/** The result of {@link LeaseClient.timeToLive}. */
export interface LeaseDetails extends LeaseSummary {
  /** Its keys in byte order; there if the call asked for them. */
  readonly keys?: readonly Uint8Array[];
}

/** Options of {@link LeaseClient.timeToLive}. */
export interface TimeToLiveOptions extends ConsistencyOptions {
  /**
   * Whether the result has the keys of the lease.
   *
   * @default false
   */
  readonly keys?: boolean;
}

/** Options of {@link LeaseClient.list}. */
export interface LeaseListOptions extends ConsistencyOptions {
  /**
   * The most leases of a page.
   *
   * @default 1000
   */
  readonly limit?: number;
  /**
   * Only leases with a greater id: the `after` of the page before; null for the first page.
   *
   * @default null
   */
  readonly after?: number | null;
}

/** The result of {@link LeaseClient.list}: one page. */
export interface LeaseListResult {
  /** The leases by id. */
  readonly leases: readonly LeaseSummary[];
  /** The `after` of the next page; null when this is the last one. */
  readonly after: number | null;
  /** The store's revision when the page was read. */
  readonly revision: number;
}

/** A lease that this client keeps alive until it is revoked or disposed of: the result of {@link KvClient.lease}. */
export interface Lease extends AsyncDisposable {
  /** The id of the lease, for the puts of keys that end with it. */
  readonly leaseId: number;
  /** Its time to live. */
  readonly ttlMs: number;
  /**
   * Aborted when the lease has ended, or may have: the cluster says so, or no keep-alive that was sent within the time to
   * live was confirmed. Its reason is a {@link LeaseLostError}. Not aborted when the program itself ends the lease.
   *
   * A program that was suspended finds it aborted as soon as it looks here, or its timers run.
   */
  readonly lost: AbortSignal;
  /**
   * Ends the lease now, and deletes its keys in one revision. Without effect when it has ended. Even if the call rejects, the
   * lease is no longer kept alive, so that it ends after its time to live.
   *
   * @throws {KvraftError} one of its classes
   */
  revoke(options?: CallOptions): Promise<void>;
  /** Ends the lease as {@link revoke} does; never rejects. If the cluster is away, it ends after its time to live. */
  [Symbol.asyncDispose](): Promise<void>;
}
