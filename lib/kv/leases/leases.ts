/**
 * The leases of a state machine: which exist, until when, and in which order they end. Their keys are in the store.
 */
import { assert } from "../../platform/assert.ts";
import { DeadlineHeap } from "./deadline_heap.ts";
import { type LeaseFailure, MAX_ENDED_KEYS, MAX_LEASE_KEYS, MAX_LEASES } from "./lease_command.ts";
import { LeaseTable, type LeaseTimes } from "./lease_table.ts";

/** Limits of leases. All nodes must use the same, or replicas diverge. */
export interface LeaseLimits {
  readonly maxLeases: number;
  /** Keys of one lease. */
  readonly maxLeaseKeys: number;
  /** Leases and their keys, together, that one entry ends because their time is over. */
  readonly maxEndedKeys: number;
}

/** The limits of every cluster; only tests use others. */
export const LEASE_LIMITS: LeaseLimits = {
  maxLeases: MAX_LEASES,
  maxLeaseKeys: MAX_LEASE_KEYS,
  maxEndedKeys: MAX_ENDED_KEYS,
};

/** Entries of the heap that belong to no lease any more, at least, for which it is rebuilt. */
const MIN_STALE_ENTRIES = 64;

/**
 * The leases.
 *
 * Invariant: every lease has an entry in the heap whose deadline is at most the lease's. A keep-alive changes the table
 * alone; entries with an earlier deadline than their lease are corrected when they come first.
 */
export class Leases {
  readonly limits: LeaseLimits;
  readonly #table = new LeaseTable();
  readonly #deadlines = new DeadlineHeap();

  /** Makes a collection without leases. */
  constructor(limits: LeaseLimits = LEASE_LIMITS) {
    this.limits = limits;
  }

  /** Number of leases. */
  get size(): number {
    return this.#table.size;
  }

  /** Whether a lease exists. */
  has(leaseId: number): boolean {
    return this.#table.ttlMs(leaseId) !== 0;
  }

  /** Returns a lease, or null. O(log n). */
  get(leaseId: number): LeaseTimes | null {
    return this.#table.get(leaseId);
  }

  /** Grants a lease; returns the reason if it is refused. O(log n). */
  grant({ leaseId, ttlMs, ownerId }: Omit<LeaseTimes, "deadlineMs">, nowMs: number): LeaseFailure | null {
    if (this.has(leaseId)) return "leaseExists";
    if (this.size >= this.limits.maxLeases) return "tooManyLeases";
    this.add({ leaseId, ttlMs, deadlineMs: nowMs + ttlMs, ownerId });
    return null;
  }

  /** Adds a lease that does not exist, with its deadline. O(log n). */
  add(lease: LeaseTimes): void {
    this.#table.add(lease);
    this.#deadlines.push(lease.deadlineMs, lease.leaseId);
  }

  /** Restores the whole time to live of a lease; returns it, or 0 when the lease does not exist. O(log n). */
  keepAlive(leaseId: number, nowMs: number): number {
    const ttlMs = this.#table.ttlMs(leaseId);
    if (ttlMs !== 0) this.#table.setDeadline(leaseId, nowMs + ttlMs);
    return ttlMs;
  }

  /** Removes a lease that exists; its keys are deleted by the caller. O(log n), amortized. */
  remove(leaseId: number): void {
    this.#table.remove(leaseId);
    if (this.#deadlines.size > 2 * this.size + MIN_STALE_ENTRIES) this.#rebuildHeap();
  }

  /**
   * Returns the lease that is over the longest, of several that with the lowest id; null if none is over. A lease is over
   * once the log's time is above its deadline, not at it: up to a millisecond may have passed between the last count of
   * time and the grant or keep-alive, and no lease ends early.
   */
  nextDue(nowMs: number): number | null {
    const heap = this.#deadlines;
    while (heap.size > 0 && heap.firstDeadlineMs < nowMs) if (this.#isFirstExact()) return heap.firstId;
    assert(heap.size > 0 || this.size === 0, "every lease has an entry in the heap of deadlines");
    return null;
  }

  /** Returns the earliest deadline below a time, or null. Later entries are not corrected. O(log n), amortized. */
  deadlineBefore(timeMs: number): number | null {
    return this.nextDue(timeMs) === null ? null : this.#deadlines.firstDeadlineMs;
  }

  /** Whether the first entry of the heap has its lease's deadline; if not, the entry is corrected or removed. */
  #isFirstExact(): boolean {
    const heap = this.#deadlines;
    const { firstId: leaseId, firstDeadlineMs } = heap;
    const deadlineMs = this.#table.deadlineMs(leaseId);
    if (deadlineMs === firstDeadlineMs) return true;
    heap.pop();
    if (deadlineMs !== null) heap.push(deadlineMs, leaseId);
    return false;
  }

  /** Yields the leases after an id, in order. None may be changed meanwhile. */
  after(leaseId: number): Iterable<LeaseTimes> {
    return this.#table.after(leaseId);
  }

  /** Returns all leases as of now, by id; later changes do not show. */
  view(): Iterable<LeaseTimes> {
    return this.#table.view();
  }

  #rebuildHeap(): void {
    this.#deadlines.clear();
    for (const { leaseId, deadlineMs } of this.#table.after(0)) this.#deadlines.push(deadlineMs, leaseId);
  }
}
