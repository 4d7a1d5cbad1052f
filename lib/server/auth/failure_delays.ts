/**
 * The delays of sign-ins after failed ones, one table for addresses and one for user names.
 *
 * Each failure doubles the delay of the next attempts of the same address, and of attempts for the same user, up to
 * MAX_DELAY_MS. A user is never locked out: attempts of others with its name delay it by ten seconds at most.
 * Names that no user has are counted as well, so that a delay does not show which users exist.
 */
import type { Clock } from "../../platform/clock.ts";

/** Delay after the first failure, and the longest one. */
export const FIRST_DELAY_MS = 100;
export const MAX_DELAY_MS = 10_000;
/** Time without a further failure after which the failures are forgotten. */
export const FORGET_MS = 60_000;
/**
 * Addresses or names with failures that are remembered. Beyond it the one whose last failure is oldest is forgotten: that
 * takes more failures in FORGET_MS than this node can hash passwords.
 */
export const MAX_REMEMBERED = 8_192;

/** The failures of one address or name. */
interface Failures {
  readonly count: number;
  readonly lastMs: number;
}

/** Counts failures by a key. */
export class FailureDelays {
  readonly #clock: Pick<Clock, "now">;
  /** Those whose last failure is oldest are first. */
  readonly #failures = new Map<string, Failures>();

  /** Makes a table without failures. */
  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Number of keys that are remembered. */
  get size(): number {
    return this.#failures.size;
  }

  /** Returns for how long an attempt is delayed that begins now; 0 without failures. */
  delayMs(key: string): number {
    const count = this.#countOf(key);
    return count === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (count - 1));
  }

  /** Notes a failed attempt. */
  failed(key: string): void {
    const count = this.#countOf(key) + 1;
    this.#failures.delete(key);
    this.#failures.set(key, { count, lastMs: this.#clock.now() });
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= MAX_REMEMBERED) return;
      this.#failures.delete(oldest);
    }
  }

  /** Forgets the failures of a key. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  #countOf(key: string): number {
    const failures = this.#failures.get(key);
    if (failures === undefined) return 0;
    if (this.#clock.now() - failures.lastMs < FORGET_MS) return failures.count;
    this.#failures.delete(key);
    return 0;
  }
}
