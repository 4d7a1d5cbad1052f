/** Waiting for time to pass, and doing no more than so much in a second. */
import type { Stopwatch } from "./system.ts";

/** Waits; ends early, and without an error, when `signal` is aborted. */
export async function pause(
  durationMs: number,
  { clock, signal }: { readonly clock: Stopwatch; readonly signal: AbortSignal | null },
): Promise<void> {
  if (signal?.aborted === true) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => resolve();
  const timer = clock.after(durationMs, end);
  signal?.addEventListener("abort", end);
  try {
    await promise;
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", end);
  }
}

/** Holds work back so that it stays under a rate, counted from the beginning. */
export class Pace {
  readonly #clock: Stopwatch;
  readonly #startedAt: number;
  readonly #perSecond: number | null;

  /** `perSecond`: null for as fast as it goes. */
  constructor(perSecond: number | null, clock: Stopwatch) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#perSecond = perSecond;
  }

  /** Milliseconds since the beginning. */
  get elapsedMs(): number {
    return this.#clock.now() - this.#startedAt;
  }

  /** Waits until `count` may have been done. */
  async reach(count: number, signal: AbortSignal | null): Promise<void> {
    if (this.#perSecond === null) return;
    const waitMs = count / this.#perSecond * 1_000 - this.elapsedMs;
    if (waitMs >= 1) await pause(waitMs, { clock: this.#clock, signal });
  }
}
