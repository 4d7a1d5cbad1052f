/**
 * Refuses terms that no correct node sends.
 *
 * Terms only grow, and a node stores them. One frame with a term near the largest integer would leave a cluster without
 * a next term forever. So messages may raise a node's term by at most MAX_TERM_LEAP a second: at that rate the integers
 * last for 17 years. Elections raise a term by one.
 *
 * A refused term is not refused forever: after each second with a refusal, the bound of the next second is higher by the
 * same amount. So a node whose term a faulty node has raised can communicate with the others again.
 */
import type { Clock } from "../platform/clock.ts";

/**
 * Maximum rise of a node's term within TERM_WINDOW_MS; a message with a higher term ends its connection. A node that was
 * down is behind by the elections it has missed: one a second adds up to this in half a year.
 */
export const MAX_TERM_LEAP = 2 ** 24;
/** Window of that bound, in milliseconds. */
export const TERM_WINDOW_MS = 1_000;

/** Bounds how fast messages raise this node's term. */
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
    // A node in term 0, such as a new member, accepts the term of its cluster.
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
