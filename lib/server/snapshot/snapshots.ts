/**
 * Takes this node's snapshots, and cuts the log behind them.
 *
 * A snapshot is due when the log has outgrown the state: what a start would replay costs more than what it would
 * load. The state is written from a copy-on-write view, in slices; serving goes on. Two snapshots are kept, and the
 * log from the older one on: should the newer turn out damaged, the older and the log give the same state.
 *
 * Invariants: one snapshot is taken at a time; the log is cut only below a snapshot that is durable, never above the
 * one before it, never above one that is being sent, and never into the tail for followers that are a little behind.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import { encodeConfiguration } from "../../protocol/configuration.ts";
import type { Logger } from "../../platform/logger.ts";
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
import { writeState } from "./state_codec.ts";

/** Snapshots that are kept. */
export const KEPT_SNAPSHOTS = 2;
/** After a snapshot that could not be taken (a full disk, say), none is begun by itself for so long. */
const RETRY_MS = 10_000;
/**
 * Bytes of a snapshot that may wait in the page cache, so that its sync never holds up the log's for long. Beside a log
 * that is synced all the time, a sync of so many took 1 to 2 ms, one of 4 MiB 10.
 */
const FLUSH_BYTES = 262_144;

/** When snapshots are taken, and what is left of the log then. */
export interface SnapshotLimits {
  /** Bytes of log since the last snapshot below which none is taken by itself. */
  readonly logBytes: number;
  /** None is taken either before the log since the last one is this many times as large as that one was. */
  readonly logRatio: number;
  /** Entries kept behind a snapshot for followers that are a little behind, unless they are more than {@link tailBytes}. */
  readonly tailEntries: number;
  /** Bytes of log kept behind a snapshot at most. */
  readonly tailBytes: number;
  /**
   * Bytes of log kept at most for followers that are being sent an older snapshot, or as many as the newest snapshot
   * has, if those are more. Beyond that the log is cut, and the transfer begins anew with the newest snapshot: a node
   * that takes hours for the old one would need a newer one behind it in any case.
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

/** The log as far as snapshots are concerned. */
export interface CompactableLog {
  /** Index of the first entry there is. */
  readonly firstIndex: number;
  /** About how many bytes of the log lie above an entry. */
  bytesSince(index: number): number;
  /** Lets go of entries below `index`. */
  removeBefore(index: number): void;
}

/** The snapshots that are being sent to other nodes. */
export interface SnapshotTransfers {
  /** The lowest index of them; null when there are none. */
  readonly lowestSending: number | null;
  /** Ends transfers of snapshots below `index`: the log no longer reaches back to them. */
  endBelow(index: number): void;
}

/** A snapshot with what it is a snapshot of. */
export interface TakenSnapshot extends StoredSnapshot {
  readonly revision: number;
}

/** What taking snapshots needs. */
export interface SnapshotsOptions {
  readonly store: SnapshotStore;
  readonly log: CompactableLog;
  readonly replica: Replica;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly limits: SnapshotLimits;
  /** Position of this node among the members, from 0 up, and their number: nodes with equal logs take turns. */
  readonly turn: () => { readonly position: number; readonly nodes: number };
  readonly transfers: SnapshotTransfers;
  /**
   * A snapshot is durable: the core may forget entries up to `compactedIndex`. Gives the index up to which it did: it keeps
   * what was not yet confirmed to be durable, and the log must keep what the core does.
   */
  readonly compact: (
    compaction: { readonly snapshot: SnapshotMetadata; readonly compactedIndex: number },
  ) => number;
  /** Leaves the event loop to those who are served, several times as long as a slice of the writing took. */
  readonly yieldToEventLoop: YieldToEventLoop;
  /** Counts snapshots; null counts none. */
  readonly metrics?: Metrics | null;
}

/** A snapshot is not taken, though nothing is wrong. */
export class SnapshotRefusedError extends Error {
  override readonly name = "SnapshotRefusedError";
  /** Stable name of this error. */
  readonly code: "stopping" | "noLeader";

  constructor(code: "stopping" | "noLeader", message: string) {
    super(message);
    this.code = code;
  }
}

/** Takes snapshots. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  #taking: Promise<TakenSnapshot> | null = null;
  /** None is begun by itself before this time. */
  #notBefore = 0;
  #stopped = false;
  #verifying = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** Index of the newest snapshot; 0 before the first. */
  get newestIndex(): number {
    return this.#options.store.list().find(({ damage }) => damage === null)?.index ?? 0;
  }

  /** Whether one is being written. */
  get isTaking(): boolean {
    return this.#taking !== null;
  }

  /** Takes one if it is due. Called often; cheap when it is not. */
  consider(): void {
    const { replica, clock, logger } = this.#options;
    if (this.#taking !== null || this.#stopped || !this.#isDue() || clock.now() < this.#notBefore) return;
    if (replica.applied.index <= this.newestIndex || !knowsMembers(replica.applied)) return;
    this.take().catch((error: unknown) => {
      this.#notBefore = clock.now() + RETRY_MS;
      if (!this.#stopped) logger.error("cannot take a snapshot", { reason: errorMessage(error) });
    });
  }

  /** Takes one now; whoever asks while one is being taken gets that one. Throws {@link SnapshotRefusedError}. */
  take(): Promise<TakenSnapshot> {
    this.#taking ??= this.#take().finally(() => this.#taking = null);
    return this.#taking;
  }

  /**
   * Reads one that somebody who was sent it may have found damaged; where it is, the next is taken in its place, so that
   * a leader whose newest has rotted can bring others up to date. Never rejects.
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
      await this.take().catch((cause: unknown) =>
        logger.error("cannot take a snapshot", { reason: errorMessage(cause) })
      );
    } finally {
      this.#verifying = false;
    }
  }

  /** Gives up the one that is being taken; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#taking?.catch(() => {});
  }

  /** A snapshot came from the leader and was put in place: older ones are let go, with the log before them. */
  received(): void {
    const { store, metrics = null } = this.#options;
    if (metrics !== null) metrics.snapshots.received += 1;
    store.removeOld(KEPT_SNAPSHOTS);
  }

  #isDue(): boolean {
    const { log, limits, turn, store } = this.#options;
    const newest = store.list().find(({ damage }) => damage === null);
    const { position, nodes } = turn();
    // Nodes that share a log would all reach the limit with the same entry; so each has a limit of its own.
    const patience = 1 + position / (2 * nodes);
    const dueBytes = Math.max(limits.logBytes, (newest?.bytes ?? 0) * limits.logRatio) * patience;
    return log.bytesSince(newest?.index ?? 0) >= dueBytes;
  }

  async #take(): Promise<TakenSnapshot> {
    const { store, replica, clusterId, clock, logger, metrics = null } = this.#options;
    this.#requireRunning();
    if (!knowsMembers(replica.applied)) {
      throw new SnapshotRefusedError("noLeader", "this node has not heard from its cluster yet.");
    }
    using view = replica.stateMachine.snapshot();
    const { term, configuration } = replica.applied;
    const metadata: SnapshotMetadata = { index: view.appliedIndex, term, configuration };
    const same = store.list().find(({ index, damage }) => index === metadata.index && damage === null);
    if (same !== undefined) return { ...same, revision: view.revision };
    const begin = clock.now();
    const writer = store.create({
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
    const tookMs = Math.round(clock.now() - begin);
    metrics?.snapshotTaken(stored.bytes, tookMs);
    this.#cut(metadata);
    logger.info("snapshot taken", { index: stored.index, bytes: stored.bytes, tookMs });
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

  /** Lets go of what nobody needs any more behind a snapshot that is durable. */
  #cut(snapshot: SnapshotMetadata): void {
    const { store, log, compact } = this.#options;
    store.removeOld(KEPT_SNAPSHOTS);
    // One that came from the leader meanwhile is newer, and the log begins behind it.
    if (snapshot.index < this.newestIndex) return;
    const compactedIndex = Math.max(this.#baseFor(snapshot.index), log.firstIndex - 1);
    // The core may begin behind a later snapshot from the leader already, which has no name on the disk yet.
    const keptBehind = Math.min(compact({ snapshot, compactedIndex }), compactedIndex);
    log.removeBefore(keptBehind + 1);
    this.#options.transfers.endBelow(keptBehind);
  }

  #baseFor(newestIndex: number): number {
    const previous = this.#options.store.list().filter(({ damage }) => damage === null)[1]?.index ?? 0;
    return Math.min(previous, this.#sendingBase() ?? newestIndex, this.#tailBase(newestIndex));
  }

  /** The oldest snapshot that is being sent, if the log behind it is to be kept; null when there is none. */
  #sendingBase(): number | null {
    const { store, log, limits, transfers } = this.#options;
    const index = transfers.lowestSending;
    if (index === null) return null;
    const newestBytes = store.list().find(({ damage }) => damage === null)?.bytes ?? 0;
    return log.bytesSince(index) <= Math.max(limits.sendingBytes, newestBytes) ? index : null;
  }

  /** The entry behind which the tail begins: the lowest that leaves neither too many entries nor too many bytes. */
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

/** A node that was added reads the log from its beginning, and does not know the founders before it is told who is who. */
function knowsMembers({ index, configuration }: SnapshotMetadata): boolean {
  return index > 0 && configuration.members.length > 0;
}
