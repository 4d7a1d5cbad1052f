/**
 * Backups that a node writes by itself, at an interval, into a directory (`--backup-to`).
 *
 * Every node that has the option writes its own: of the state that it has applied, while it knows a leader. An operator
 * gives the option to followers that the load of the leader does not matter to, or to all. A backup is the file of a
 * snapshot, taken as usual, copied, verified and renamed; of a state that has a backup already none is written, so that an
 * idle cluster does not push its older backups out. No failure has an effect on the node: it is logged, counted and
 * reported, and the next attempt is made later.
 *
 * Only files with names of this node are removed, of which the header names this cluster.
 */
import { errorMessage } from "../../platform/errors.ts";
import { assert } from "../../platform/assert.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Disk } from "../../platform/disk.ts";
import type { Logger } from "../../platform/logger.ts";
import type { NodeReport } from "../../protocol/diagnostics/report.ts";
import type { NodeStatus } from "../../protocol/messages.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../../protocol/limits.ts";
import {
  type Identity,
  readSnapshotStream,
  type SnapshotHeader,
  type SnapshotStore,
  withSnapshotFile,
} from "../../storage/mod.ts";
import type { ServerConfig } from "../config/config.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Snapshots, TakenSnapshot } from "../snapshot/snapshots.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { writeBackup } from "./backup_file.ts";
import { backupName, parseBackupName, parseUnfinishedName, unfinishedName } from "./backup_name.ts";

/** Time from the start of a node to its first backup, unless the interval is shorter: it has other work then. */
const FIRST_MS = 10_000;
/** Time after which a failed backup is tried again, unless the interval is shorter. */
const RETRY_MS = 60_000;
/** Rest after each slice of the work, as for snapshots. */
const REST_MS = 2;

/** The settings of scheduled backups. */
export interface BackupSchedule {
  /** The directory. */
  readonly path: string;
  /** Time between two backups. */
  readonly everyMs: number;
  /** Number of backups that are kept. */
  readonly keep: number;
}

/** The dependencies of {@link ScheduledBackups}. */
export interface ScheduledBackupsOptions extends BackupSchedule {
  readonly disk: Disk;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly logger: Logger;
  readonly identity: Pick<Identity, "clusterId" | "clusterName" | "nodeId">;
  readonly store: Pick<SnapshotStore, "rawReader">;
  /** Takes a snapshot, or returns the newest one if nothing was applied since. */
  readonly takeSnapshot: () => Promise<TakenSnapshot>;
  /** Whether the node knows a leader: else its state may be of long ago. */
  readonly knowsLeader: () => boolean;
  /** Whether the disk of the log has space: a backup on the same disk must not take the last of it. */
  readonly hasDiskSpace: () => boolean;
  readonly metrics: Metrics | null;
}

/** The parts of a server that its backups use. */
interface BackedUpServer
  extends Pick<ScheduledBackupsOptions, "disk" | "clock" | "wallClock" | "logger" | "identity" | "metrics"> {
  readonly start: { readonly snapshots: Pick<SnapshotStore, "rawReader"> };
  readonly node: {
    readonly snapshots: Pick<Snapshots, "take">;
    readonly status: () => Pick<NodeStatus, "leader" | "disk">;
  };
}

/** Returns the backups that a server writes by itself; null where it writes none. */
export function scheduledBackupsOf(
  { backupTo: path, backupEveryMs: everyMs, backupKeep: keep }: ServerConfig,
  { start, node, ...server }: BackedUpServer,
): ScheduledBackups | null {
  if (path === null) return null;
  return new ScheduledBackups({
    ...server,
    path,
    everyMs,
    keep,
    store: start.snapshots,
    takeSnapshot: () => node.snapshots.take(),
    knowsLeader: () => node.status().leader !== null,
    hasDiskSpace: () => node.status().disk === "ok",
  });
}

/** A backup in the directory. */
interface KeptBackup {
  readonly name: string;
  readonly atMs: number;
}

/** This node stopped while it wrote a backup. */
class StoppedError extends Error {
  override readonly name = "StoppedError";
}

/** The scheduled backups of one node. */
export class ScheduledBackups {
  readonly #options: ScheduledBackupsOptions;
  readonly #yield: YieldToEventLoop;
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  /** When the newest backup was found or made, in milliseconds since 1970; null before that. */
  #lastSuccessAtMs: number | null = null;
  #lastFailure: string | null = null;

  constructor(options: ScheduledBackupsOptions) {
    this.#options = options;
    const { clock } = options;
    this.#yield = () => new Promise((resolve) => clock.after(REST_MS, resolve));
  }

  /** The state of the backups, for reports. */
  get figures(): NonNullable<NodeReport["backup"]> {
    const { everyMs } = this.#options;
    return { everyMs, lastSuccessAtMs: this.#lastSuccessAtMs, lastFailure: this.#lastFailure };
  }

  /** Begins to write backups. */
  start(): void {
    this.#options.metrics?.backupsScheduled(this.#options.everyMs);
    this.#after(Math.min(this.#options.everyMs, FIRST_MS));
  }

  /** Ends a backup in progress; resolves when its file is removed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #after(ms: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(ms, () => {
      this.#running = this.#run();
    });
  }

  /** Makes a backup if one is due, and schedules the next attempt. Never rejects. */
  async #run(): Promise<void> {
    const { everyMs, logger, metrics, wallClock } = this.#options;
    try {
      const dueInMs = await this.#dueInMs();
      if (dueInMs > 0) return this.#after(dueInMs);
      if (!this.#options.knowsLeader()) return this.#after(Math.min(everyMs, RETRY_MS));
      const result = await this.#backUp();
      this.#lastFailure = null;
      this.#lastSuccessAtMs = Math.round(wallClock());
      metrics?.backedUp(result, this.#lastSuccessAtMs);
      this.#after(everyMs);
    } catch (error) {
      if (this.#stopped) return;
      this.#lastFailure = errorMessage(error);
      metrics?.backedUp("failed", null);
      logger.error("cannot write a backup", { event: "backupFailed", reason: this.#lastFailure });
      this.#after(Math.min(everyMs, RETRY_MS));
    }
  }

  /** Returns the time until the next backup is due, by the newest file; a restart does not begin the interval again. */
  async #dueInMs(): Promise<number> {
    if (this.#lastSuccessAtMs !== null) return 0;
    const { wallClock, everyMs, metrics } = this.#options;
    this.#makeDirectory();
    this.#removeUnfinished();
    const newest = (await this.#kept()).at(-1);
    if (newest === undefined) return 0;
    this.#lastSuccessAtMs = newest.atMs;
    metrics?.foundBackup(newest.atMs);
    // A time ahead of this clock is not waited for.
    return newest.atMs > wallClock() ? 0 : Math.max(0, newest.atMs + everyMs - wallClock());
  }

  async #backUp(): Promise<"written" | "unchanged"> {
    const { disk, path, keep, identity, wallClock, logger, takeSnapshot, store } = this.#options;
    this.#makeDirectory();
    this.#requireDiskSpace();
    const taken = await takeSnapshot();
    if (await this.#isBackedUp(taken)) return "unchanged";
    const name = backupName({
      ...identity,
      atMs: Math.floor(wallClock() / 1_000) * 1_000,
      revision: taken.revision,
    });
    using reader = store.rawReader(taken);
    const { bytes, keys, header } = await writeBackup({
      disk,
      path: `${path}/${name}`,
      temporaryPath: `${path}/${unfinishedName(name)}`,
      chunks: this.#partsOf(reader),
      yieldToEventLoop: async () => {
        await this.#yield();
        if (this.#stopped) throw new StoppedError("this node is stopping");
        this.#requireDiskSpace();
      },
    });
    const kept = await this.#kept();
    for (const old of kept.slice(0, -keep)) disk.remove(`${path}/${old.name}`);
    const { revision } = header;
    logger.info("backup written", { event: "backupWritten", file: name, revision, keys, bytes });
    return "written";
  }

  async *#partsOf(
    reader: { readonly bytes: number; read(offset: number, into: Uint8Array): Promise<number> },
  ): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < reader.bytes;) {
      const part = new Uint8Array(Math.min(MAX_SNAPSHOT_PART_BYTES, reader.bytes - offset));
      const count = await reader.read(offset, part);
      assert(count > 0, "the file of a snapshot has all its bytes");
      yield part.subarray(0, count);
      offset += count;
    }
  }

  /** Whether the newest backup is of the same state. */
  async #isBackedUp({ index, term }: TakenSnapshot): Promise<boolean> {
    const newest = (await this.#kept()).at(-1);
    const header = newest === undefined ? null : await this.#headerOf(newest.name);
    return header?.index === index && header.term === term;
  }

  /** Returns the backups of this node and cluster, the oldest first. */
  async #kept(): Promise<readonly KeptBackup[]> {
    const { disk, path, identity: { clusterId, clusterName, nodeId } } = this.#options;
    const kept: KeptBackup[] = [];
    for (const name of disk.list(path)) {
      const parsed = parseBackupName(name);
      if (parsed?.clusterName !== clusterName || parsed.nodeId !== nodeId) continue;
      // Another cluster may have the same name.
      if ((await this.#headerOf(name))?.clusterId === clusterId) kept.push({ name, atMs: parsed.atMs });
    }
    return kept;
  }

  /** Returns the header of a file in the directory; null where it has none that can be read. */
  async #headerOf(name: string): Promise<SnapshotHeader | null> {
    const { disk, path } = this.#options;
    try {
      // To open a pipe would wait for its other end.
      if (disk.stat(`${path}/${name}`) !== "file") return null;
      return await withSnapshotFile({ disk, file: `${path}/${name}` }, async (source) => {
        const { header } = await readSnapshotStream(source);
        return header;
      });
    } catch {
      return null;
    }
  }

  #makeDirectory(): void {
    const { disk, path } = this.#options;
    if (disk.stat(path) === null) disk.createDirectory(path);
  }

  /** Removes what a crash left of this node's files. */
  #removeUnfinished(): void {
    const { disk, path, identity: { clusterName, nodeId } } = this.#options;
    for (const name of disk.list(path)) {
      const parsed = parseUnfinishedName(name);
      if (parsed?.clusterName === clusterName && parsed.nodeId === nodeId) disk.remove(`${path}/${name}`);
    }
  }

  #requireDiskSpace(): void {
    if (this.#options.hasDiskSpace()) return;
    throw new Error(
      "the disk of the data directory is nearly full, and a backup there could stop the node. Free disk space, or name a " +
        "directory on another disk with --backup-to.",
    );
  }
}
