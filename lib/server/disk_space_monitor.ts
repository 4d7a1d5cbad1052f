/**
 * Retries the preparation of the log's next file while the disk is nearly full. The log itself tries only when it writes;
 * but on a full disk all writes that add data are refused, so little is written and they would be refused forever.
 * Space comes back when the log is cut behind a snapshot. So each check also considers a snapshot, and prepares no file
 * while one is written or received, which needs the space.
 */
import type { Clock, Timer } from "../platform/clock.ts";

/** Interval between checks. */
const RETRY_MS = 1_000;

/** The disk space of a log. */
export interface LogSpace {
  /** Whether the disk had no space for the next file. */
  readonly isNearlyFull: boolean;
  /** Tries again to prepare the next file. Throws when the log has failed. */
  checkDiskSpace(): void;
}

/** The parts of a node that a check involves. */
export interface DiskSpaceMonitorOptions {
  readonly clock: Clock;
  /** This node's own snapshots; `consider` takes one if it is due. */
  readonly snapshots: { readonly isTaking: boolean; consider(): void };
  /** Snapshots of other nodes. */
  readonly exchange: { readonly isReceiving: boolean };
}

/** Checks the disk space of a log periodically. */
export class DiskSpaceMonitor {
  readonly #log: LogSpace;
  readonly #options: DiskSpaceMonitorOptions;
  #timer: Timer | null = null;

  constructor(log: LogSpace, options: DiskSpaceMonitorOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Begins to check. */
  start(): void {
    const { clock, snapshots, exchange } = this.#options;
    const log = this.#log;
    this.#timer = clock.after(RETRY_MS, () => {
      this.start();
      if (!log.isNearlyFull) return;
      snapshots.consider();
      if (snapshots.isTaking || exchange.isReceiving) return;
      try {
        log.checkDiskSpace();
      } catch {
        // The log has failed: the driver's next write fails, too, and ends the node.
      }
    });
  }

  /** Ends the checks. */
  stop(): void {
    this.#timer?.cancel();
  }
}
