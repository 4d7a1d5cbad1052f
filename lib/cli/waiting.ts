/** Waiting: the line that says what a command waits for, pauses, and a limit on operations per second. */
import type { Stopwatch } from "./environment.ts";
import type { Timer } from "../platform/clock.ts";

/** Nothing is said before. */
const PATIENCE_MS = 500;
/** Between two looks at the cluster. */
const LOOK_INTERVAL_MS = 500;
/** A node that takes longer to say how it is counts as not answering. */
export const LOOK_TIMEOUT_MS = 400;

/** How waiting is shown. */
export interface WaitingDisplay {
  readonly clock: Stopwatch;
  /** Says what is waited for; null says nothing this time. */
  look(): Promise<string | null>;
  /** Shows a line in place of the one shown before. */
  show(line: string): void;
  /** Takes the line away. */
  clear(): void;
}

/** Waits for `work`, and says for what when it takes long. */
export async function withWaitingLine<T>(work: Promise<T>, display: WaitingDisplay): Promise<T> {
  let timer: Timer | null = null;
  let isOver = false;
  let isShown = false;
  const look = async (): Promise<void> => {
    const sentence = await display.look().catch(() => "waiting for an answer");
    if (isOver) return;
    if (sentence !== null) {
      isShown = true;
      display.show(`${sentence}; Ctrl-C cancels`);
    }
    timer = display.clock.after(LOOK_INTERVAL_MS, () => void look());
  };
  timer = display.clock.after(PATIENCE_MS, () => void look());
  try {
    return await work;
  } finally {
    isOver = true;
    timer.cancel();
    if (isShown) display.clear();
  }
}

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
