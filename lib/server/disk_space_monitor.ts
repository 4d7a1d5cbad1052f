/**
 * Watches for room on the disk of the log. The log itself tries to prepare its next file only when it writes; while
 * the quota lets nothing in that grows, nothing much is written, and the door would stay closed for ever.
 * What it needs is room for a snapshot, behind which the log is cut: so a snapshot is considered each time, and while one
 * is written the log reserves nothing.
 */
import type { Clock, Timer } from "../platform/clock.ts";

/** How often room is looked for while there is too little. */
const RETRY_MS = 1_000;

/** The log as far as its room is concerned. */
export interface LogSpace {
  /** Whether there was no room to prepare the next file. */
  readonly isNearlyFull: boolean;
  /** Tries again to prepare it. Throws when the log has failed. */
  checkRoom(): void;
}

/** What watching needs. */
export interface DiskSpaceMonitorOptions {
  readonly clock: Clock;
  /** This node's snapshots: whether one is being written; `consider` takes one if it is due. */
  readonly snapshots: { readonly isTaking: boolean; consider(): void };
  /** Those of other nodes: whether one is being received. */
  readonly exchange: { readonly isReceiving: boolean };
}

/** Looks for room again and again until there is some. */
export class DiskSpaceMonitor {
  readonly #log: LogSpace;
  readonly #options: DiskSpaceMonitorOptions;
  #timer: Timer | null = null;

  constructor(log: LogSpace, options: DiskSpaceMonitorOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Begins to watch. */
  start(): void {
    const { clock, snapshots, exchange } = this.#options;
    const log = this.#log;
    this.#timer = clock.after(RETRY_MS, () => {
      this.start();
      if (!log.isNearlyFull) return;
      snapshots.consider();
      if (snapshots.isTaking || exchange.isReceiving) return;
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
