/**
 * Refuses terms that no honest node names.
 *
 * Terms only rise, and a node keeps them for good. One frame with a term near the largest integer would leave a cluster
 * without a next term, for ever. So the terms that others name may raise a node's own by no more than MAX_TERM_LEAP a
 * second: at that rate, kept up without a pause, the integers last for 17 years. Elections raise a term by one.
 *
 * A term that was refused is not refused for good: for each second in which one was, the next second's bound is as much
 * higher. So a node that was driven ahead of the others by a faulty one finds together with them again.
 */
import type { Clock } from "../platform/clock.ts";

/**
 * By how much the terms of others may raise a node's own within TERM_WINDOW_MS; a message with a higher one ends its
 * connection. A node that was away is behind by the elections it has missed: one a second makes this in half a year.
 */
export const MAX_TERM_LEAP = 2 ** 24;
/** How long that bound is for, in milliseconds. */
export const TERM_WINDOW_MS = 1_000;

/** Knows by how much the terms of others have raised this node's own of late. */
export class TermGuard {
  readonly #clock: Clock;
  #windowBeganAt: number | null = null;
  #highestTerm = 0;
  /** Whether a term was refused since the window began. */
  #hasRefused = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a message may carry `term` while this node is in `ownTerm`. */
  allows(term: number, ownTerm: number): boolean {
    // A node that was in no term yet, a new member say, takes whichever its cluster is in: it has nothing to lose.
    if (term <= ownTerm || ownTerm === 0) return true;
    const now = this.#clock.now();
    if (this.#windowBeganAt === null || now - this.#windowBeganAt >= TERM_WINDOW_MS) {
      this.#windowBeganAt = now;
      this.#highestTerm = (this.#hasRefused ? Math.max(this.#highestTerm, ownTerm) : ownTerm) + MAX_TERM_LEAP;
      this.#hasRefused = false;
    }
    if (term <= this.#highestTerm) return true;
    this.#hasRefused = true;
    return false;
  }
}
