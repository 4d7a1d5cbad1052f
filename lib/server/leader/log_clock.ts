/**
 * The log's clock, by which leases end and sessions expire. The store's only time is the log: a leader proposes counts,
 * entries that say how much time has passed since the count before.
 *
 * **A lease never ends early.** Two counts never cover the same time, and a count that follows the start of a lease's time
 * covers no time before it:
 *
 * - Every node notes on its own monotonic clock when it applied the last count. That is later than the count was proposed,
 *   so a new leader may continue from there. It counts once it has applied all entries of earlier terms.
 * - A leader continues from the time of the last count that it proposed in its term, applied or not: those counts are
 *   committed in order, or not at all and then it does not lead any more.
 * - Before a leader proposes a command that starts a lease's time, it proposes a count of its own, unless its last one is
 *   less than a millisecond old. So every node that applies the command has also noted the time at which it began.
 *
 * **A lease ends in time.** While there are leases, a leader counts every LEASE_COUNT_MS and when the next lease is due.
 * A change of leader loses the time that the last count took to reach the new leader. A time without a leader is counted.
 *
 * A clock that runs at a wrong rate makes leases and sessions end early or late, never differently on two nodes.
 */
import { assert } from "../../platform/assert.ts";
import { MAX_ELAPSED_MS } from "../../kv/mod.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { encodeCommand } from "../../protocol/command.ts";
import type { LeaderProposals } from "./leader_proposals.ts";

/** Interval between checks whether a count is due, on nodes that do not lead or have no leases. */
const CHECK_MS = 5_000;
/** Minimum time of a count for sessions, so that an idle cluster writes little; one that is a check late fits an entry. */
const SESSION_COUNT_MS = MAX_ELAPSED_MS - 2 * CHECK_MS;
assert(SESSION_COUNT_MS > 0, "a count that is a check late fits an entry");
/**
 * Maximum time between two counts while there are leases: a bound on what is lost with a leader whose successor was
 * suspended, restarted or behind. Less than any lease lasts, so no lease is due before the next check.
 */
const LEASE_COUNT_MS = 500;
/** Minimum time between two counts because leases are due, so that leases that are due one by one end many at a time. */
const MIN_END_INTERVAL_MS = 50;
/**
 * Maximum time that is counted at once: the rest is dropped, so that sessions, which last for an hour, survive a time in
 * which there was no leader and their clients could not use them.
 */
const MAX_CATCH_UP_MS = 30 * MAX_ELAPSED_MS;

/** The time of the log, and the things that end by it, as a node has applied them. */
export interface AppliedTime {
  /** The log's time in milliseconds. */
  readonly logTimeMs: number;
  readonly sessionCount: number;
  readonly leaseCount: number;
  /** Returns the earliest deadline of a lease below a log time; null if there is none. The lease ends above it. */
  leaseDeadlineBefore(logTimeMs: number): number | null;
}

/** The dependencies of the clock. */
export interface LogClockOptions extends LeaderProposals {
  readonly clock: Clock;
  readonly applied: () => AppliedTime;
  /** Returns the index of the last applied count; after a snapshot was installed another number than before. */
  readonly countIndex: () => number;
}

/** A proposed count, and the time on this node's clock up to which it counts. */
interface Count {
  readonly index: number;
  readonly atMs: number;
}

/** The counts that this node has proposed in a term that it leads. */
interface OwnCounts {
  readonly term: number;
  /** Those that are not applied yet; bounded by the entries that the core accepts. */
  readonly inFlight: Count[];
  /** The time on this node's clock up to which they count. */
  countedToMs: number;
}

/** Counts the log's time while this node leads, and estimates it always. */
export class LogClock {
  readonly #options: LogClockOptions;
  #timer: Timer | null = null;
  /** Whether the timer is set for a leader with leases. */
  #isFrequent = false;
  /** The last count that this node has applied, and the time on its own clock up to which the log's time counts. */
  #countIndex: number;
  #countedAtMs: number;
  /** Null before the first; those of an earlier term are applied or lost. */
  #own: OwnCounts | null = null;

  constructor(options: LogClockOptions) {
    this.#options = options;
    this.#countIndex = options.countIndex();
    this.#countedAtMs = options.clock.now();
  }

  /** Begins to count. */
  start(): void {
    this.#schedule(CHECK_MS);
  }

  /** Ends counting. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** The log's time as far as this node knows: what it has applied and the time since. Not ahead of what leaders count. */
  get nowMs(): number {
    const { clock, applied } = this.#options;
    return applied().logTimeMs + Math.max(0, Math.floor(clock.now() - this.#countedAtMs));
  }

  /** Notes applied counts, after entries or a snapshot were applied. O(1). */
  noteApplied(): void {
    const { clock, countIndex, leadingTerm, applied } = this.#options;
    const index = countIndex();
    if (index !== this.#countIndex) {
      this.#countIndex = index;
      this.#countedAtMs = this.#takeOwn(index)?.atMs ?? clock.now();
    }
    const { leaseCount, logTimeMs } = applied();
    const term = leadingTerm();
    if (leaseCount === 0 || this.#timer === null || term === null) return;
    if (!this.#isFrequent) return this.#check();
    // More was due than one entry may end.
    if (this.#isDue(logTimeMs) && !this.#hasInFlight(term)) this.#count(term, clock.now());
  }

  /**
   * Counts up to now, before this leader proposes a command that starts the time of a lease. Returns false when it cannot:
   * then it must not propose the command, whose lease could end early.
   */
  countNow(): boolean {
    const { clock, leadingTerm } = this.#options;
    const term = leadingTerm();
    if (term === null) return false;
    const now = clock.now();
    const isCounted = this.#own?.term === term && now - this.#own.countedToMs < 1;
    return isCounted || this.#count(term, now);
  }

  /** Counts if that is due, and sets the timer for the next check. */
  #check(): void {
    const { clock, applied, leadingTerm } = this.#options;
    const now = clock.now();
    const { sessionCount, leaseCount } = applied();
    if (sessionCount === 0 && leaseCount === 0) this.#countedAtMs = now;
    const term = leadingTerm();
    if (term === null) return this.#schedule(CHECK_MS);
    const intervalMs = leaseCount === 0 ? SESSION_COUNT_MS : LEASE_COUNT_MS;
    // A count in flight may end what is due; if not, the next check is soon.
    const isEndDue = this.#isDue(this.nowMs) && !this.#hasInFlight(term);
    if (isEndDue || now - this.#countedTo(term) >= intervalMs) this.#count(term, now);
    if (leaseCount === 0) return this.#schedule(CHECK_MS);
    const untilCountMs = this.#countedTo(term) + LEASE_COUNT_MS - now;
    const nextDeadlineMs = applied().leaseDeadlineBefore(this.nowMs + LEASE_COUNT_MS);
    const untilEndMs = nextDeadlineMs === null ? Infinity : nextDeadlineMs + 1 - this.nowMs;
    this.#schedule(Math.max(MIN_END_INTERVAL_MS, Math.min(untilCountMs, untilEndMs)));
    this.#isFrequent = true;
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#isFrequent = false;
    this.#timer = this.#options.clock.after(delayMs, () => this.#check());
  }

  /** Proposes the counts from the last one to now; returns false if one of them was not accepted. */
  #count(term: number, now: number): boolean {
    let countedToMs = Math.max(this.#countedTo(term), now - MAX_CATCH_UP_MS);
    do {
      const elapsedMs = Math.max(0, Math.min(MAX_ELAPSED_MS, Math.floor(now - countedToMs)));
      const index = this.#options.propose(encodeCommand({ kind: "expireSessions", elapsedMs }));
      if (index === null) return false;
      countedToMs += elapsedMs;
      if (this.#own?.term !== term) this.#own = { term, inFlight: [], countedToMs };
      this.#own.countedToMs = countedToMs;
      this.#own.inFlight.push({ index, atMs: countedToMs });
    } while (now - countedToMs >= 1);
    return true;
  }

  /** Returns the time up to which the counts of this node count that are applied or proposed in this term. */
  #countedTo(term: number): number {
    return this.#own?.term === term ? Math.max(this.#countedAtMs, this.#own.countedToMs) : this.#countedAtMs;
  }

  /** Returns the count with this index, if this node proposed it in the term that it leads; forgets it and earlier ones. */
  #takeOwn(index: number): Count | null {
    if (this.#own === null || this.#own.term !== this.#options.leadingTerm()) return null;
    const { inFlight } = this.#own;
    const last = inFlight.findLastIndex((count) => count.index <= index);
    const taken = inFlight.splice(0, last + 1).at(-1);
    return taken?.index === index ? taken : null;
  }

  #hasInFlight(term: number): boolean {
    return this.#own?.term === term && this.#own.inFlight.length > 0;
  }

  /** Whether a lease ends once the log's time is `logTimeMs`. */
  #isDue(logTimeMs: number): boolean {
    return this.#options.applied().leaseDeadlineBefore(logTimeMs) !== null;
  }
}
