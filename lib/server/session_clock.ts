/**
 * Lets sessions grow old. The store's only clock is the log: whoever leads tells it now and then how much time has
 * passed since the log was told last.
 *
 * Every node notes on its own monotonic clock when the log's time last advanced, so that the count goes on from leader
 * to leader. Log time never runs ahead of real time: a leader counts from no earlier than the previous count was
 * proposed, and proposes only once it has applied all counts before its own. It falls behind where a count reached a
 * node late, and by all but MAX_ELAPSED_MS of a time without a leader, in which clients could not keep their sessions.
 * A wrong clock makes sessions expire early or late, never differently on two nodes, and never makes a write apply twice.
 */
import { assert } from "../platform/assert.ts";
import { MAX_ELAPSED_MS } from "../kv/mod.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import { encodeCommand } from "../protocol/command.ts";

/** How often a node looks whether it has time to count: a leader that leads for longer than this counts. */
const CHECK_MS = 5_000;
/** Counts are proposed for no less, so that an idle cluster writes little; a count that is a check late loses nothing. */
const MIN_COUNT_MS = MAX_ELAPSED_MS - 2 * CHECK_MS;
assert(MIN_COUNT_MS > 0, "a count that is a check late fits an entry");

/** What the clock asks and tells. */
export interface SessionClockOptions {
  readonly clock: Clock;
  /** The log's time and the number of sessions, as this node has applied them. */
  readonly applied: () => { readonly logTimeMs: number; readonly sessions: number };
  /** The term that this node leads, once it has applied an entry of it and so every earlier leader's; else null. */
  readonly leadingTerm: () => number | null;
  /** Proposes an entry; whether it was taken. */
  readonly propose: (command: Uint8Array) => boolean;
}

/** Proposes `expireSessions` while this node leads. */
export class SessionClock {
  readonly #options: SessionClockOptions;
  #timer: Timer | null = null;
  /** The log's time that this node has seen last, and up to when on this node's clock it counts. */
  #logTimeMs: number;
  #countedAt: number;
  /** The count of this node that is not applied yet. One of an earlier term is applied or lost, and was replaced. */
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

  /** Entries were applied, or a snapshot took the place of the state: the log's time may have advanced. */
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
    if (applied().sessions === 0) this.#countedAt = now;
    const term = leadingTerm();
    if (term === null || this.#proposed?.term === term) return;
    const elapsedMs = Math.min(MAX_ELAPSED_MS, Math.floor(now - this.#countedAt));
    if (elapsedMs < MIN_COUNT_MS) return;
    if (propose(encodeCommand({ kind: "expireSessions", elapsedMs }))) this.#proposed = { term, at: now };
  }
}
