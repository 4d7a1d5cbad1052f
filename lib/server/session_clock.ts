/**
 * Lets sessions expire. The store's only clock is the log: the leader proposes from time to time how much time has passed
 * since the last such entry.
 *
 * Every node notes on its own monotonic clock when the log's time last advanced, so that a new leader continues the
 * count. Log time never runs ahead of real time: a leader counts from no earlier than the previous count was proposed, and
 * proposes only once it has applied all counts before its own. It falls behind where a count reached a node late, and by
 * all but MAX_ELAPSED_MS of a time without a leader, in which clients could not keep their sessions. A wrong clock makes
 * sessions expire early or late, never differently on two nodes, and never makes a write apply twice.
 */
import { assert } from "../platform/assert.ts";
import { MAX_ELAPSED_MS } from "../kv/mod.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import { encodeCommand } from "../protocol/command.ts";
import type { LeaderProposals } from "./leader_proposals.ts";

/** Interval between checks whether a count is due: a leader that leads for longer than this counts. */
const CHECK_MS = 5_000;
/** Minimum time of a count, so that an idle cluster writes little; a count that is one check late loses nothing. */
const MIN_COUNT_MS = MAX_ELAPSED_MS - 2 * CHECK_MS;
assert(MIN_COUNT_MS > 0, "a count that is a check late fits an entry");

/** The dependencies of a session clock. */
export interface SessionClockOptions extends LeaderProposals {
  readonly clock: Clock;
  /** Returns the log's time and the number of sessions, as this node has applied them. */
  readonly applied: () => { readonly logTimeMs: number; readonly sessionCount: number };
}

/** Proposes `expireSessions` while this node leads. */
export class SessionClock {
  readonly #options: SessionClockOptions;
  #timer: Timer | null = null;
  /** The log's time that this node has applied last, and the time on its own clock up to which that counts. */
  #logTimeMs: number;
  #countedAt: number;
  /** The count of this node that is not applied yet; one of an earlier term is applied or lost. */
  #proposed: { readonly term: number; readonly at: number } | null = null;

  constructor(options: SessionClockOptions) {
    this.#options = options;
    this.#logTimeMs = options.applied().logTimeMs;
    this.#countedAt = options.clock.now();
  }

  /** Begins to count. */
  start(): void {
    this.#timer = this.#options.clock.after(CHECK_MS, () => {
      this.start();
      this.#count();
    });
  }

  /** Ends counting. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Notes whether the log's time has advanced, after entries or a snapshot were applied. */
  noteApplied(): void {
    const { clock, applied, leadingTerm } = this.#options;
    const { logTimeMs } = applied();
    if (logTimeMs === this.#logTimeMs) return;
    this.#logTimeMs = logTimeMs;
    const proposed = this.#proposed;
    this.#countedAt = proposed !== null && proposed.term === leadingTerm() ? proposed.at : clock.now();
    this.#proposed = null;
  }

  #count(): void {
    const { clock, applied, leadingTerm, propose } = this.#options;
    const now = clock.now();
    if (applied().sessionCount === 0) this.#countedAt = now;
    const term = leadingTerm();
    if (term === null || this.#proposed?.term === term) return;
    const elapsedMs = Math.min(MAX_ELAPSED_MS, Math.floor(now - this.#countedAt));
    if (elapsedMs < MIN_COUNT_MS) return;
    if (propose(encodeCommand({ kind: "expireSessions", elapsedMs }))) this.#proposed = { term, at: now };
  }
}
