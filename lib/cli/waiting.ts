/** Waiting: the line that says what a command waits for, pauses, and a limit of operations per second. */
import type { Stopwatch } from "./environment.ts";
import type { Timer } from "../platform/clock.ts";

/** How long a command runs before the line is shown. */
const PATIENCE_MS = 500;
/** Interval at which the line is updated. */
const LOOK_INTERVAL_MS = 500;
/** Deadline of the status of a node; a slower one counts as not answering. */
export const LOOK_TIMEOUT_MS = 400;

/** Display of the line. */
interface WaitingDisplay {
  readonly clock: Stopwatch;
  /** Returns what the command waits for; null shows nothing this time. */
  look(): Promise<string | null>;
  /** Shows a line in place of the one before. */
  show(line: string): void;
  /** Removes the line. */
  clear(): void;
}

/** Waits for `work`, and shows what it waits for if that takes long. */
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

/** Waits; resolves early when `signal` is aborted. */
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

/** Delays work to keep it below a rate, counted from the start. */
export class Pace {
  readonly #clock: Stopwatch;
  readonly #startedAt: number;
  readonly #perSecond: number | null;

  /** `perSecond`: null for no limit. */
  constructor(perSecond: number | null, clock: Stopwatch) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#perSecond = perSecond;
  }

  /** Milliseconds since the start. */
  get elapsedMs(): number {
    return this.#clock.now() - this.#startedAt;
  }

  /** Waits until the rate allows `count` operations. */
  async reach(count: number, signal: AbortSignal | null): Promise<void> {
    if (this.#perSecond === null) return;
    const waitMs = count / this.#perSecond * 1_000 - this.elapsedMs;
    if (waitMs >= 1) await pause(waitMs, { clock: this.#clock, signal });
  }
}
