/**
 * Bounds the frames of a peer that cost time and lead to nothing: pings, settings, priorities, updates of windows, empty
 * frames, requests that it resets at once, and requests beyond the limit of streams. A correct client sends the first five in
 * proportion to its requests and answers, which earn it allowance; it learns the limit before it has as many requests.
 */

/** Frames without progress that a connection may send at any time, and how many more it may in each second. */
const FRAMES_BURST = 10_000;
const FRAMES_PER_SECOND = 2_000;
/** Allowance for each request, and for each part of a body in either direction. */
const FRAMES_PER_PROGRESS = 4;
/** Requests that a client may reset before they are answered, or send beyond the limit, and how many more in each second. */
const RESETS_BURST = 1_000;
const RESETS_PER_SECOND = 100;

/** The allowance of one connection. */
export class FloodGuard {
  #frames = FRAMES_BURST;
  #resets = RESETS_BURST;
  #refilledMs: number;

  /** Begins with the whole allowance. */
  constructor(nowMs: number) {
    this.#refilledMs = nowMs;
  }

  /** Adds the allowance of the time that has passed. */
  refill(nowMs: number): void {
    const seconds = (nowMs - this.#refilledMs) / 1_000;
    this.#refilledMs = nowMs;
    this.#frames = Math.min(FRAMES_BURST, this.#frames + seconds * FRAMES_PER_SECOND);
    this.#resets = Math.min(RESETS_BURST, this.#resets + seconds * RESETS_PER_SECOND);
  }

  /** Notes a request, or a part of a body. */
  progress(): void {
    this.#frames = Math.min(FRAMES_BURST, this.#frames + FRAMES_PER_PROGRESS);
  }

  /** Notes a frame without progress, or one that costs as much as several; returns false if there were too many. */
  frame(cost = 1): boolean {
    this.#frames -= cost;
    return this.#frames >= 0;
  }

  /** Notes a request that was reset before its answer, or refused; returns false if there were too many. */
  reset(): boolean {
    this.#resets -= 1;
    return this.#resets >= 0;
  }
}
