/**
 * Leases in real time, which only a simulation knows: none ends before its holder's time is over, and none ends more than
 * a moment after it, but for the time without a leader that makes progress.
 */
import type { Coverage } from "../coverage.ts";

/** A node may end leases so long after they are over: a second by the contract, and the commit of an entry. */
const LATE_MS = 1_500;
/** Time after which a leader without progress counts as none, and time that one has to begin its work. */
const STALL_MS = 400;
const GRACE_MS = 1_500;
/** Interval of the calls of {@link LeaseTimes.look}. */
export const LOOK_MS = 100;
/** The log counts whole milliseconds, and notes the beginning of one up to a millisecond late. */
const ROUNDING_MS = 2;

/** A lease from its first entry to its end. */
interface TimedLease {
  readonly ttlMs: number;
  /** The time of sending of the last request that was confirmed to the holder. */
  confirmedAt: number;
  /** The term of the leader under which it was renewed. */
  term: number;
  /** The time at which an entry that renewed it was first applied, and the time without a leader until then. */
  renewedAt: number;
  leaderlessAtRenewal: number;
  endedAt: number | null;
  isRevoked: boolean;
}

/** The leader of the highest term, as its process sees itself. */
export interface SeenLeader {
  readonly node: number;
  readonly term: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
}

/** Options of {@link LeaseTimes}. */
export interface LeaseTimesOptions {
  readonly now: () => number;
  /** Speeds of the slowest and the fastest clock of a node. */
  readonly slowest: number;
  readonly fastest: number;
  readonly coverage: Coverage;
  readonly violated: (message: string) => void;
}

/** The leases of one run. */
export class LeaseTimes {
  readonly #options: LeaseTimesOptions;
  readonly #leases = new Map<number, TimedLease>();
  /** Time up to now in which no leader made progress. */
  #leaderlessMs = 0;
  #lookedAt = 0;
  /** The leader at the last look, with the time since which it makes progress. */
  #leading: { readonly node: number; readonly term: number; readonly since: number } | null = null;
  /** The entry that the leader has to commit before it counts as working again, and the time since which it waits. */
  #waitsFor: { readonly index: number; readonly since: number } | null = null;
  /** The term of the leader that was seen last, and the time since which it is. */
  #term = 0;
  #wonAt = 0;
  #jumpedAt = -Infinity;

  /** Makes the times of a run without leases. */
  constructor(options: LeaseTimesOptions) {
    this.#options = options;
  }

  /** The clock of a node has jumped ahead: leases that exist may end early. */
  jumped(): void {
    this.#jumpedAt = this.#options.now();
  }

  /** An entry that grants a lease or keeps it alive was first applied. */
  renewed(leaseId: number, ttlMs: number): void {
    const now = this.#options.now();
    const lease = this.#leases.get(leaseId) ?? {
      ttlMs,
      confirmedAt: -Infinity,
      term: 0,
      renewedAt: now,
      leaderlessAtRenewal: 0,
      endedAt: null,
      isRevoked: false,
    };
    this.#leases.set(leaseId, lease);
    lease.term = this.#leading?.term ?? 0;
    lease.renewedAt = now;
    lease.leaderlessAtRenewal = this.#leaderlessMs;
  }

  /** The holder of a lease learns that a request which it sent at `sentAt` has granted it or kept it alive. */
  confirmed(leaseId: number, sentAt: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) {
      return this.#options.violated(
        `lease ${leaseId} is confirmed to its holder, and no entry has granted it`,
      );
    }
    lease.confirmedAt = Math.max(lease.confirmedAt, sentAt);
    if (lease.endedAt !== null && !lease.isRevoked) this.#checkEarly(leaseId, lease, lease.endedAt);
  }

  /** An entry was first applied that ends a lease because it is over. */
  over(leaseId: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return;
    lease.endedAt = this.#options.now();
    this.#checkEarly(leaseId, lease, lease.endedAt);
    const { coverage } = this.#options;
    if (this.#leading !== null && this.#leading.term !== lease.term) {
      coverage.count("leasesEndedByAnotherLeader");
    }
    if (this.#wonAt > lease.renewedAt + lease.ttlMs) coverage.count("leasesDueAtElection");
  }

  /** A lease was revoked. */
  revoked(leaseId: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease !== undefined) Object.assign(lease, { endedAt: this.#options.now(), isRevoked: true });
  }

  /** Whether a lease has ended, or was never granted. */
  hasEnded(leaseId: number): boolean {
    return this.#leases.get(leaseId)?.endedAt !== null;
  }

  /** Returns the time at which a lease ended; null if it was never granted, or has not ended. */
  endOf(leaseId: number): number | null {
    return this.#leases.get(leaseId)?.endedAt ?? null;
  }

  /** Whether every lease has ended. */
  get areAllOver(): boolean {
    return [...this.#leases.values()].every(({ endedAt }) => endedAt !== null);
  }

  /**
   * Measures the time without a leader, and checks that no lease is late. Called every LOOK_MS, with null while there is no
   * leader whose process can run.
   */
  look(leader: SeenLeader | null): void {
    const now = this.#options.now();
    const passedMs = now - this.#lookedAt;
    this.#lookedAt = now;
    const isSame = leader !== null && leader.node === this.#leading?.node &&
      leader.term === this.#leading.term;
    if (leader === null) this.#leading = null;
    else if (!isSame) {
      if (leader.term !== this.#term) this.#wonAt = now;
      this.#term = leader.term;
      this.#leading = { node: leader.node, term: leader.term, since: now };
    }
    if (leader === null || leader.lastIndex <= leader.commitIndex) this.#waitsFor = null;
    else if (!isSame || this.#waitsFor === null || this.#waitsFor.index <= leader.commitIndex) {
      this.#waitsFor = { index: leader.lastIndex, since: now };
    }
    if (leader !== null && this.#waitsFor !== null && now - this.#waitsFor.since > STALL_MS) {
      this.#leading = { node: leader.node, term: leader.term, since: now };
    }
    const isWorking = this.#leading !== null && now - this.#leading.since >= GRACE_MS;
    if (!isWorking) this.#leaderlessMs += passedMs;
    for (const [leaseId, lease] of this.#leases) {
      if (lease.endedAt === null) this.#checkLate(leaseId, lease, now);
    }
  }

  #checkEarly(leaseId: number, lease: TimedLease, endedAt: number): void {
    const { fastest, violated } = this.#options;
    if (this.#jumpedAt >= lease.confirmedAt - ROUNDING_MS) return;
    const heldMs = endedAt - lease.confirmedAt;
    if (heldMs >= lease.ttlMs / fastest - ROUNDING_MS) return;
    violated(
      `lease ${leaseId} of ${lease.ttlMs} ms ended ${
        heldMs.toFixed(1)
      } ms after its holder sent a request that was confirmed`,
    );
  }

  #checkLate(leaseId: number, lease: TimedLease, now: number): void {
    const { slowest, violated } = this.#options;
    const waitedMs = now - lease.renewedAt - (this.#leaderlessMs - lease.leaderlessAtRenewal);
    if (waitedMs <= (lease.ttlMs + LATE_MS) / slowest) return;
    lease.endedAt = now;
    violated(
      `lease ${leaseId} of ${lease.ttlMs} ms has not ended ${waitedMs.toFixed(1)} ms after it was renewed, ` +
        "without the time in which no leader made progress",
    );
  }
}
