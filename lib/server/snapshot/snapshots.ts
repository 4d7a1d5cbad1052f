/**
 * Takes this node's snapshots, and compacts the log behind them.
 *
 * A snapshot is due when the log is larger than the state, since a start would then take longer to replay the log than to
 * load the snapshot. One is also due when the feature level has raised the format of snapshots: an earlier version cannot see
 * that in the log, and would apply it wrongly, but it refuses a snapshot of the new format. The state is written in slices from
 * a copy-on-write view, while requests are served. Two snapshots are kept, and the log from the older one on: if the newer is
 * damaged, the older and the log give the same state.
 *
 * Invariants: one snapshot is taken at a time. The log is removed only below a durable snapshot, never above the one
 * before it, never above one that is being sent, and never in the tail for followers that are a little behind.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import { encodeConfiguration } from "../../protocol/configuration.ts";
import type { LogFields, Logger } from "../../platform/logger.ts";
import type { NodeReport } from "../../protocol/diagnostics/report.ts";
import type { SnapshotMetadata } from "../../raft/mod.ts";
import {
  SnapshotDamagedError,
  type SnapshotStore,
  SnapshotUnreadableError,
  type SnapshotWriter,
  type StoredSnapshot,
} from "../../storage/mod.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Replica } from "../replica.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { formatVersionOf, writeState } from "./state_codec.ts";

/** Number of snapshots that are kept. */
export const KEPT_SNAPSHOTS = 2;
/** Time after a failed snapshot (the disk was full, for example) in which the node begins no other by itself. */
const RETRY_MS = 10_000;
/**
 * Bytes of a snapshot that may wait in the page cache, so that its sync delays that of the log little. While the log was
 * synced all the time, a sync of this size took 1 to 2 ms, one of 4 MiB 10 ms.
 */
const FLUSH_BYTES = 262_144;

/** The sizes that decide when a snapshot is taken, and how much of the log is kept. */
export interface SnapshotLimits {
  /** Minimum bytes of log since the last snapshot. */
  readonly logBytes: number;
  /**
   * Minimum size of the log since the last snapshot, as a multiple of the size of that snapshot, in which its history
   * counts twice.
   */
  readonly logRatio: number;
  /** Entries kept for followers that are a little behind, unless they have more than {@link tailBytes}. */
  readonly tailEntries: number;
  /** Maximum bytes of log kept for followers that are a little behind. */
  readonly tailBytes: number;
  /**
   * Maximum bytes of log kept for followers that are being sent an older snapshot, or the size of the newest snapshot if
   * that is more. Beyond that the log is removed and the transfer starts again with the newest snapshot: a node that takes
   * hours for the old one would need a newer one after it in any case.
   */
  readonly sendingBytes: number;
}

/** The limits of every server; `--snapshot-log-bytes` sets the first. */
export const SNAPSHOT_LIMITS: SnapshotLimits = {
  logBytes: 67_108_864,
  logRatio: 1,
  tailEntries: 10_000,
  tailBytes: 16_777_216,
  sendingBytes: 1_073_741_824,
};

/** The log as snapshots use it. */
export interface CompactableLog {
  /** Index of the first entry. */
  readonly firstIndex: number;
  /** Returns the approximate bytes of the log after an entry. */
  bytesSince(index: number): number;
  /** Removes entries below `index`. */
  removeBefore(index: number): void;
}

/** The snapshots that are being sent to other nodes. */
export interface SnapshotTransfers {
  /** The lowest index of them; null when there are none. */
  readonly lowestSending: number | null;
  /** Ends transfers of snapshots below `index`: the log no longer reaches back to them. */
  endBelow(index: number): void;
}

/** A snapshot with the revision of its state. */
export interface TakenSnapshot extends StoredSnapshot {
  readonly revision: number;
}

/** The newest snapshot of a node, for reports. */
export type SnapshotFigures = NodeReport["snapshot"];

/** The parts of a node that taking snapshots involves. */
export interface SnapshotsOptions {
  readonly store: SnapshotStore;
  readonly log: CompactableLog;
  readonly replica: Replica;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly limits: SnapshotLimits;
  /** Returns the position of this node among the members, from 0, and their number: nodes with equal logs take turns. */
  readonly turn: () => { readonly position: number; readonly nodes: number };
  readonly transfers: SnapshotTransfers;
  /**
   * Has the core discard entries up to `compactedIndex`: the snapshot is durable. Returns the index up to which it did: it
   * keeps entries that are not known to be durable, and the log must keep them, too.
   */
  readonly compact: (
    compaction: { readonly snapshot: SnapshotMetadata; readonly compactedIndex: number },
  ) => number;
  /** Leaves the event loop to requests for several times as long as a slice takes. */
  readonly yieldToEventLoop: YieldToEventLoop;
  /** Counts snapshots; null counts none. */
  readonly metrics?: Metrics | null;
}

/** A snapshot is refused, though nothing has failed. */
export class SnapshotRefusedError extends Error {
  override readonly name = "SnapshotRefusedError";
  /** Stable name of this error. */
  readonly code: "stopping" | "noLeader";

  constructor(code: "stopping" | "noLeader", message: string) {
    super(message);
    this.code = code;
  }
}

/** The snapshots of one node. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  #taking: Promise<TakenSnapshot> | null = null;
  /** No snapshot is begun by itself before this time. */
  #notBefore = 0;
  #stopped = false;
  #verifying = false;
  /** Format of the newest snapshot; before the first, that of the earliest version. */
  #formatVersion: number;
  /** Bytes of history in the last snapshot that this node took; 0 before the first. */
  #historyBytes = 0;
  /** When this process took or received its newest snapshot; null before that. */
  #newestAtMs: number | null = null;
  /** Why the last attempt failed; null after a success. */
  #lastFailure: string | null = null;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    // At the start the state is that of the newest snapshot.
    this.#formatVersion = formatVersionOf(options.replica.stateMachine.featureLevel);
  }

  /** Index of the newest snapshot; 0 before the first. */
  get newestIndex(): number {
    return this.#options.store.list().find(({ damage }) => damage === null)?.index ?? 0;
  }

  /** The newest snapshot, and whether the next one fails. */
  get figures(): SnapshotFigures {
    const newest = this.#options.store.list().find(({ damage }) => damage === null);
    return {
      index: newest?.index ?? 0,
      bytes: newest?.bytes ?? 0,
      ageMs: this.#newestAtMs === null ? null : Math.round(this.#options.clock.now() - this.#newestAtMs),
      lastFailure: this.#lastFailure,
    };
  }

  /** Whether a snapshot is being written. */
  get isTaking(): boolean {
    return this.#taking !== null;
  }

  /** Takes a snapshot if one is due. Called often; cheap when none is. */
  consider(): void {
    const { replica, clock, logger } = this.#options;
    if (this.#taking !== null || this.#stopped || !this.#isDue() || clock.now() < this.#notBefore) return;
    if (replica.applied.index <= this.newestIndex || !knowsMembers(replica.applied)) return;
    this.take().catch((error: unknown) => {
      this.#notBefore = clock.now() + RETRY_MS;
      if (!this.#stopped) logger.error("cannot take a snapshot", failed(error));
    });
  }

  /** Takes a snapshot now; concurrent calls get the same one. Rejects with {@link SnapshotRefusedError}. */
  take(): Promise<TakenSnapshot> {
    this.#taking ??= this.#take().catch((error: unknown) => {
      if (!(error instanceof SnapshotRefusedError)) this.#lastFailure = errorMessage(error);
      throw error;
    }).finally(() => this.#taking = null);
    return this.#taking;
  }

  /**
   * Reads a snapshot that a follower may have found damaged. If it is damaged, another is taken, so that the leader can
   * bring followers up to date. Never rejects.
   */
  async verify(snapshot: StoredSnapshot): Promise<void> {
    const { store, logger, yieldToEventLoop } = this.#options;
    if (this.#verifying || this.#stopped) return;
    this.#verifying = true;
    try {
      using reader = await store.reader(snapshot);
      for await (const _chunk of reader.chunks()) await yieldToEventLoop();
    } catch (error) {
      if (this.#stopped) return;
      const isDamaged = error instanceof SnapshotDamagedError;
      if (!isDamaged && !(error instanceof SnapshotUnreadableError)) {
        return logger.error("cannot open a snapshot that may be damaged", { reason: errorMessage(error) });
      }
      const what = isDamaged
        ? "a snapshot is damaged; taking another"
        : "cannot read a snapshot; taking another";
      logger.error(what, { reason: errorMessage(error) });
      await this.take().catch((cause: unknown) => logger.error("cannot take a snapshot", failed(cause)));
    } finally {
      this.#verifying = false;
    }
  }

  /** Stops taking snapshots; resolves when the temporary file is removed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#taking?.catch(() => {});
  }

  /** Removes old snapshots after one of the leader was installed. */
  received(): void {
    const { store, replica, clock, metrics = null } = this.#options;
    this.#formatVersion = formatVersionOf(replica.stateMachine.featureLevel);
    this.#newestAtMs = clock.now();
    if (metrics !== null) metrics.snapshots.received += 1;
    store.removeOld(KEPT_SNAPSHOTS);
  }

  #isDue(): boolean {
    const { log, limits, turn, store } = this.#options;
    const newest = store.list().find(({ damage }) => damage === null);
    if (this.#isFormatOld(newest !== undefined)) return true;
    const { position, nodes } = turn();
    // Nodes with equal logs would all reach a limit with the same entry, so each has its own.
    const patience = 1 + position / (2 * nodes);
    // Every snapshot repeats the whole history. Without a longer log before the next one, writing it again would cost a
    // node that overwrites few keys as much as writing its log.
    const repeatedBytes = ((newest?.bytes ?? 0) + this.#historyBytes) * limits.logRatio;
    const dueBytes = Math.max(limits.logBytes, repeatedBytes) * patience;
    return log.bytesSince(newest?.index ?? 0) >= dueBytes;
  }

  /** Whether an earlier version could start on what is on the disk, though the state is of a level that it does not know. */
  #isFormatOld(hasSnapshot: boolean): boolean {
    const { featureLevel, compactedRevision } = this.#options.replica.stateMachine;
    if (formatVersionOf(featureLevel) <= this.#formatVersion) return false;
    // The history begins with the level, at the revision of that moment: a cluster that was founded with this version and
    // has nothing to compact has never been one of an earlier version.
    return hasSnapshot || compactedRevision > 0;
  }

  async #take(): Promise<TakenSnapshot> {
    const { store, replica, clusterId, clock, logger, metrics = null } = this.#options;
    this.#requireRunning();
    if (!knowsMembers(replica.applied)) {
      throw new SnapshotRefusedError("noLeader", "this node has not heard from its cluster yet.");
    }
    using view = replica.stateMachine.snapshot();
    const { historyBytes } = replica.stateMachine;
    const { term, configuration } = replica.applied;
    const metadata: SnapshotMetadata = { index: view.appliedIndex, term, configuration };
    const same = store.list().find(({ index, damage }) => index === metadata.index && damage === null);
    if (same !== undefined) return { ...same, revision: view.revision };
    const begin = clock.now();
    const writer = store.create({
      formatVersion: formatVersionOf(view.featureLevel),
      clusterId,
      index: metadata.index,
      term,
      revision: view.revision,
      configuration: encodeConfiguration(configuration),
    });
    let stored: StoredSnapshot;
    try {
      await this.#write(view, writer);
      stored = await writer.commit();
    } catch (error) {
      writer.discard();
      if (metrics !== null) metrics.snapshots.failed += 1;
      throw error;
    }
    this.#formatVersion = formatVersionOf(view.featureLevel);
    this.#historyBytes = historyBytes;
    this.#newestAtMs = clock.now();
    this.#lastFailure = null;
    const tookMs = Math.round(clock.now() - begin);
    metrics?.snapshotTaken(stored.bytes, tookMs);
    this.#cut(metadata);
    logger.info("snapshot taken", {
      event: "snapshotTaken",
      index: stored.index,
      bytes: stored.bytes,
      tookMs,
    });
    return { ...stored, revision: view.revision };
  }

  async #write(
    view: Parameters<typeof writeState>[0],
    writer: SnapshotWriter<StoredSnapshot>,
  ): Promise<void> {
    let unflushedBytes = 0;
    await writeState(view, {
      yieldToEventLoop: this.#options.yieldToEventLoop,
      write: async (chunk) => {
        this.#requireRunning();
        writer.write(chunk);
        unflushedBytes += chunk.length;
        if (unflushedBytes < FLUSH_BYTES) return;
        unflushedBytes = 0;
        await writer.flush();
      },
    });
  }

  #requireRunning(): void {
    if (this.#stopped) throw new SnapshotRefusedError("stopping", "this node is stopping");
  }

  /** Removes old snapshots, and the log that is not needed behind a durable snapshot. */
  #cut(snapshot: SnapshotMetadata): void {
    const { store, log, compact } = this.#options;
    store.removeOld(KEPT_SNAPSHOTS);
    // A newer snapshot of the leader was installed meanwhile, and the log begins behind that.
    if (snapshot.index < this.newestIndex) return;
    const compactedIndex = Math.max(this.#baseFor(snapshot.index), log.firstIndex - 1);
    // The core may already begin behind a later snapshot of the leader, whose file has no name yet.
    const keptBehind = Math.min(compact({ snapshot, compactedIndex }), compactedIndex);
    log.removeBefore(keptBehind + 1);
    this.#options.transfers.endBelow(keptBehind);
  }

  #baseFor(newestIndex: number): number {
    const previous = this.#options.store.list().filter(({ damage }) => damage === null)[1]?.index ?? 0;
    return Math.min(previous, this.#sendingBase() ?? newestIndex, this.#tailBase(newestIndex));
  }

  /** Returns the index of the oldest snapshot that is being sent, if the log behind it is kept; else null. */
  #sendingBase(): number | null {
    const { store, log, limits, transfers } = this.#options;
    const index = transfers.lowestSending;
    if (index === null) return null;
    const newestBytes = store.list().find(({ damage }) => damage === null)?.bytes ?? 0;
    return log.bytesSince(index) <= Math.max(limits.sendingBytes, newestBytes) ? index : null;
  }

  /** Returns the index behind which the tail begins: the lowest that keeps neither too many entries nor bytes. */
  #tailBase(newestIndex: number): number {
    const { log, limits } = this.#options;
    let low = Math.max(0, newestIndex - limits.tailEntries);
    let high = newestIndex;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (log.bytesSince(middle) - log.bytesSince(newestIndex) <= limits.tailBytes) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function failed(error: unknown): LogFields {
  return { event: "snapshotFailed", reason: errorMessage(error) };
}

/** Whether a configuration is known: a new node reads the log from the beginning, and knows none before the first. */
function knowsMembers({ index, configuration }: SnapshotMetadata): boolean {
  return index > 0 && configuration.members.length > 0;
}
