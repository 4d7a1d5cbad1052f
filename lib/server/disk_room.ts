/**
 * Watches for room on the disk of the log. The log itself tries to prepare its next file only when it writes; while
 * the quota lets nothing in that grows, nothing much is written, and the door would stay closed for ever.
 */
import type { Clock, Timer } from "../net/clock.ts";

/** How often room is looked for while there is too little. */
const RETRY_MS = 1_000;

/** The log as far as its room is concerned. */
export interface RoomyLog {
  /** Whether there was no room to prepare the next file. */
  readonly isNearlyFull: boolean;
  /** Tries again to prepare it. Throws when the log has failed. */
  checkRoom(): void;
}

/** Looks for room again and again until there is some. */
export class DiskRoom {
  readonly #options: { readonly log: RoomyLog; readonly clock: Clock };
  #timer: Timer | null = null;

  constructor(options: { readonly log: RoomyLog; readonly clock: Clock }) {
    this.#options = options;
  }

  /** Begins to watch. */
  start(): void {
    const { log, clock } = this.#options;
    this.#timer = clock.after(RETRY_MS, () => {
      this.start();
      if (!log.isNearlyFull) return;
      try {
        log.checkRoom();
      } catch {
        // The log has failed; the driver's next write meets that, and ends the node.
      }
    });
  }

  /** Ends watching. */
  stop(): void {
    this.#timer?.cancel();
  }
}
