/** The pace of the frames of a watch. */

/** Frames that may be sent without a pause, after as many intervals without any. */
export const FRAMES_AT_ONCE = 10;
/**
 * Time for which each frame counts. A client delivers every frame to its program in order, so a program that takes as long
 * for one is always up to date, however often its keys change.
 */
export const FRAME_INTERVAL_MS = 100;
/** Watches of the same keys above which the interval grows with their number, which bounds the frames of a node. */
export const WATCHES_PER_INTERVAL = 1_000;

/** Allows {@link FRAMES_AT_ONCE} frames at once, and one each {@link FRAME_INTERVAL_MS} in the long run. */
export class FramePace {
  /** When all frames sent so far no longer count; in the past for a watch without frames lately. */
  #freeAt = -Infinity;

  /** Returns the time until a frame may be sent; 0 if it may be sent now. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#freeAt - (FRAMES_AT_ONCE - 1) * FRAME_INTERVAL_MS - nowMs);
  }

  /** Counts a frame that is sent now to each of `watches`. */
  sent(nowMs: number, watches: number): void {
    const intervals = Math.max(1, watches / WATCHES_PER_INTERVAL);
    this.#freeAt = Math.max(this.#freeAt, nowMs) + FRAME_INTERVAL_MS * intervals;
  }
}
