/** The time that a request may take. */
import type { Clock, Timer } from "../platform/clock.ts";
import { withResolvers } from "../platform/promise.ts";

/**
 * Time for which a request waits for a leader, which is about an election: then it is answered 503. A client waits after that
 * for 0.2 s (Deno) or at least 1 s (npm) until it tries again.
 */
export const PATIENCE_MS = 2_000;
/** Time for a request. Deno's client has no time limit of its own. */
export const DEADLINE_MS = 10_000;

/** A wait that has not ended. */
interface Waiting {
  readonly endsAt: number;
  readonly end: () => void;
}

/** Waits with the same time limit, under one timer: a timer of its own for each would cost more than the wait. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #limitMs: number;
  /** The one that ends first is the first. */
  readonly #waiting = new Set<Waiting>();
  #timer: Timer | null = null;

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  /** Resolves to the value of `promise`, which never rejects, or to null after the time limit. */
  within<T>(promise: Promise<T>): Promise<T | null> {
    const { promise: ended, resolve } = withResolvers<T | null>();
    const waiting = { endsAt: this.#clock.now() + this.#limitMs, end: () => resolve(null) };
    this.#waiting.add(waiting);
    this.#timer ??= this.#clock.after(this.#limitMs, this.#endOverdue);
    void promise.then((value) => {
      this.#waiting.delete(waiting);
      resolve(value);
    });
    return ended;
  }

  /** Ends all waits. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { end } of this.#waiting) end();
    this.#waiting.clear();
  }

  readonly #endOverdue = (): void => {
    const now = this.#clock.now();
    this.#timer = null;
    for (const waiting of this.#waiting) {
      if (waiting.endsAt > now) {
        this.#timer = this.#clock.after(waiting.endsAt - now, this.#endOverdue);
        return;
      }
      this.#waiting.delete(waiting);
      waiting.end();
    }
  };
}
