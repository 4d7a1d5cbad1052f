/**
 * Finds out whether the disk has space, before a write of the log finds out that it has none.
 *
 * The log reserves its files in advance, and writes into them for a long time while a full disk fails snapshots and
 * backups. So a small file is written and removed at intervals. There is no cheaper sign: Deno gives the free space of a
 * file system only to a program with `--allow-sys`. The file is never synced, and is written rarely while the log does
 * not grow, for the disk of an idle machine to rest.
 *
 * While the log has no space for its next file, its preparation is retried. The log itself tries only when it writes; but
 * then all writes that add data are refused, so little is written and they would be refused forever. Space comes back
 * when the log is cut behind a snapshot. So each check also considers a snapshot, and prepares no file while one is
 * written or received, which needs the space.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { type Disk, isDiskFull } from "../platform/disk.ts";

/** Interval between checks. */
const CHECK_MS = 1_000;
/** Checks between two small files while the log grows, and while it does not. A full disk is tried at each check. */
const CHECKS_PER_PROBE = 10;
const CHECKS_PER_IDLE_PROBE = 60;
/** The small file. */
const PROBE = new Uint8Array(65_536);
/** Its name in the data directory. A crash may leave it; the first check after the next start removes it. */
export const PROBE_NAME = "space.new";

/** The disk space of a log. */
export interface LogSpace {
  /** Returns the bytes of the entries after one. */
  bytesSince(index: number): number;
  /** Whether the log had no space for its next file. */
  readonly isNearlyFull: boolean;
  /** Tries to prepare the next file. */
  checkDiskSpace(): void;
}

/** The parts of a node that a {@link DiskSpaceMonitor} uses. */
export interface DiskSpaceMonitorOptions {
  readonly clock: Clock;
  /** This node's own snapshots. */
  readonly snapshots: { readonly isTaking: boolean; consider(): void };
  /** Snapshots of other nodes. */
  readonly exchange: { readonly isReceiving: boolean };
  readonly disk: Disk;
  /** Directory of the small file. */
  readonly dataDir: string;
}

/**
 * Writes a small file in a directory and removes it, also if it could not be written. Throws what the disk throws. It is
 * one step of the event loop, so that no write of the log or of a snapshot finds the space taken.
 */
export function writeProbe(disk: Disk, directory: string): void {
  const path = `${directory}/${PROBE_NAME}`;
  const file = disk.open(path, "create");
  try {
    file.write(PROBE, 0);
  } finally {
    file.close();
    disk.remove(path);
  }
}

/** Checks the space on a node's disk periodically. */
export class DiskSpaceMonitor {
  readonly #log: LogSpace;
  readonly #options: DiskSpaceMonitorOptions;
  #timer: Timer | null = null;
  /** Whether the last small file found no space. */
  #isFull = false;
  #checksSinceProbe = CHECKS_PER_IDLE_PROBE;
  /** Size of the log at the last small file. */
  #probedLogBytes = 0;

  constructor(log: LogSpace, options: DiskSpaceMonitorOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Whether the disk has no space for another file. The log may still write into what it has reserved. */
  get isNearlyFull(): boolean {
    return this.#isFull || this.#log.isNearlyFull;
  }

  /** Begins to check. */
  start(): void {
    this.#timer = this.#options.clock.after(CHECK_MS, () => {
      this.start();
      this.#probe();
      this.#prepareLog();
    });
  }

  /** Ends the checks. */
  stop(): void {
    this.#timer?.cancel();
  }

  #probe(): void {
    const logBytes = this.#log.bytesSince(0);
    const interval = logBytes === this.#probedLogBytes ? CHECKS_PER_IDLE_PROBE : CHECKS_PER_PROBE;
    this.#checksSinceProbe += 1;
    if (!this.#isFull && this.#checksSinceProbe < interval) return;
    this.#checksSinceProbe = 0;
    this.#probedLogBytes = logBytes;
    const { disk, dataDir } = this.#options;
    try {
      writeProbe(disk, dataDir);
      this.#isFull = false;
    } catch (error) {
      // Another failure, such as a lack of file descriptors, says nothing about space.
      if (isDiskFull(error)) this.#isFull = true;
    }
  }

  #prepareLog(): void {
    const { snapshots, exchange } = this.#options;
    const log = this.#log;
    if (!log.isNearlyFull) return;
    snapshots.consider();
    if (snapshots.isTaking || exchange.isReceiving) return;
    try {
      log.checkDiskSpace();
    } catch {
      // The log has failed: the driver's next write fails, too, and ends the node.
    }
  }
}
