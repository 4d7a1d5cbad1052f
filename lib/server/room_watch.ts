/**
 * Looks whether a disk that was nearly full has room again, so that writes are taken again by themselves: while they
 * are refused nothing is appended, and the log would have no occasion to find out.
 */
import type { Clock, Timer } from "../net/clock.ts";

/** Between two looks. */
const INTERVAL_MS = 500;

/** The log as far as room is concerned. */
export interface RoomyLog {
  /** Whether writes had better be refused. */
  readonly isNearlyFull: boolean;
  /** Tries again to make room for the next part of the log. Throws when the log is of no more use. */
  checkRoom(): void;
}

/** What the watch takes from its surroundings. */
export interface RoomWatchOptions {
  readonly log: RoomyLog;
  readonly clock: Clock;
  readonly failed: (error: unknown) => void;
}

/** Looks now and then. */
export class RoomWatch {
  readonly #options: RoomWatchOptions;
  #timer: Timer | null = null;

  constructor(options: RoomWatchOptions) {
    this.#options = options;
  }

  /** Begins to look. */
  start(): void {
    this.#timer = this.#options.clock.after(INTERVAL_MS, () => {
      this.start();
      this.#look();
    });
  }

  /** Ends it. */
  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { log, failed } = this.#options;
    if (!log.isNearlyFull) return;
    try {
      log.checkRoom();
    } catch (error) {
      failed(error);
    }
  }
}
