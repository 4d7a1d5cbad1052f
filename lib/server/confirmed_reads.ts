/**
 * Reads whose index is known and not applied here yet, as at a follower that is behind. They are answered once it is, in
 * the order of their indexes, or refused: after a while, so that the client can ask a node that is up to date, and at
 * once when MAX_CONFIRMED_READS wait already.
 */
import type { Clock, Timer } from "../platform/clock.ts";

/** Reads that may wait. One more is refused. */
export const MAX_CONFIRMED_READS = 16_384;

/** How long reads may wait. */
export interface ConfirmedReadsOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

interface WaitingRead {
  readonly index: number;
  readonly deadline: number;
  readonly answer: (ready: boolean) => void;
}

/** The reads of one node. */
export class ConfirmedReads {
  readonly #options: ConfirmedReadsOptions;
  /** In ascending order of their indexes. */
  #reads: WaitingRead[] = [];
  #timer: Timer | null = null;

  constructor(options: ConfirmedReadsOptions) {
    this.#options = options;
  }

  /** Reads that wait. */
  get size(): number {
    return this.#reads.length;
  }

  /** Calls `answer` once: with true when {@link applied} reaches `index`, with false when that takes too long. */
  add(index: number, answer: (ready: boolean) => void): void {
    if (this.#reads.length >= MAX_CONFIRMED_READS) return answer(false);
    const { clock, timeoutMs } = this.#options;
    const position = this.#reads.findLastIndex((waiting) => waiting.index <= index) + 1;
    this.#reads.splice(position, 0, { index, deadline: clock.now() + timeoutMs, answer });
    this.#timer ??= clock.after(timeoutMs, this.#refuseLate);
  }

  /** Entries up to `index` are applied. */
  applied(index: number): void {
    if (this.#reads.length === 0) return;
    const later = this.#reads.findIndex((waiting) => waiting.index > index);
    const due = this.#reads.splice(0, later === -1 ? this.#reads.length : later);
    for (const { answer } of due) answer(true);
  }

  /** Refuses all that wait. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { answer } of this.#reads.splice(0)) answer(false);
  }

  /** One timer for all: it fires for the one that has waited longest and sets itself for the next. */
  readonly #refuseLate = (): void => {
    this.#timer = null;
    const { clock } = this.#options;
    const now = clock.now();
    const late = this.#reads.filter(({ deadline }) => deadline <= now);
    this.#reads = this.#reads.filter(({ deadline }) => deadline > now);
    const next = this.#reads.reduce((earliest, { deadline }) => Math.min(earliest, deadline), Infinity);
    if (next !== Infinity) this.#timer = clock.after(next - now, this.#refuseLate);
    for (const { answer } of late) answer(false);
  };
}
