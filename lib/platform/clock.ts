/**
 * Time and randomness as kvraft uses them: `system.ts` has the real clock; a simulator provides another.
 * Time here is monotonic and has no date: nothing that matters to safety is decided by it, but for reads under a lease
 * (lib/raft/lease.ts), which have to be asked for.
 */

/** A timer that can be stopped. */
export interface Timer {
  /** Stops it; without effect once it fired or was stopped. */
  cancel(): void;
}

/** Monotonic time. */
export interface Clock {
  /** Milliseconds since some fixed point; never falls. */
  now(): number;
  /** Calls `callback` once after `delayMs`. */
  after(delayMs: number, callback: () => void): Timer;
  /**
   * Calls `callback` once, after everything that has already arrived in this turn of the event loop was handled:
   * what is gathered until then becomes one batch.
   */
  endOfTurn(callback: () => void): void;
}

/** A source of random numbers in [0, 1). */
export type Random = () => number;
