/**
 * Sends snapshots to followers for which the log does not reach back far enough (Raft §7).
 *
 * The bytes of the file are sent unchanged, in pieces over the bulk lane, with a window of its own, so that entries never
 * wait long. The follower answers each piece with its progress; after a broken connection an empty piece asks for that,
 * and the transfer continues from there. The file is pinned while it is sent. The core decides when a transfer ends: the
 * follower acknowledges the snapshot's index like that of an entry.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { SnapshotChunk, SnapshotProgress } from "../../protocol/peer_frames.ts";
import type { NodeId } from "../../raft/mod.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { RawSnapshotReader, SnapshotStore, StoredSnapshot } from "../../storage/mod.ts";

/** Unanswered pieces to one follower. */
const WINDOW_CHUNKS = 4;
/** Consecutive intervals without an answer after which a transfer ends; the core requests another when it can. */
const MAX_QUIET_INTERVALS = 30;
/** Maximum number of times that a follower asks for the file from the beginning again, as after damage or a restart. */
const MAX_REWINDS = 5;

/** The parts of a node that sending involves. */
export interface SnapshotSenderOptions {
  readonly store: SnapshotStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Bytes of one piece. */
  readonly chunkBytes: number;
  /** Time without an answer after which the follower is asked for its progress. */
  readonly intervalMs: number;
  /** Sends to a node; false when the message was dropped. */
  readonly send: (to: NodeId, message: SnapshotChunk) => boolean;
  /** Reports that a transfer failed. */
  readonly failed: (to: NodeId) => void;
  /** Counts transfers; null counts none. */
  readonly metrics?: Metrics | null;
}

/** The progress of a transfer. */
export interface TransferStatus {
  readonly sentBytes: number;
  readonly totalBytes: number;
}

/** All transfers of a leader. */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #transfers = new Map<NodeId, Transfer>();
  /** Nodes to which a transfer failed, until this is reported to the core. */
  readonly #resting = new Map<NodeId, Timer>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** The nodes with a transfer, or with one that failed and is not reported yet. */
  get targets(): readonly NodeId[] {
    return [...this.#transfers.keys(), ...this.#resting.keys()];
  }

  /** Index of the oldest snapshot that is being sent; null when there is none. */
  get lowestIndex(): number | null {
    const indexes = [...this.#transfers.values()].map(({ snapshot }) => snapshot.index);
    return indexes.length === 0 ? null : Math.min(...indexes);
  }

  /** Sends the newest snapshot to a node in this term; a transfer in progress continues, unless its snapshot is too old. */
  start(to: NodeId, { term, index }: { readonly term: number; readonly index: number }): void {
    const { store, logger, metrics = null } = this.#options;
    const running = this.#transfers.get(to);
    if (running?.term === term && running.snapshot.index >= index) return;
    this.stop(to);
    const snapshot = store.list().find(({ damage }) => damage === null);
    if (snapshot === undefined) {
      return this.#fail(to, "no undamaged snapshot exists");
    }
    try {
      const ended = (reason: string): void => this.#fail(to, reason);
      this.#transfers.set(to, new Transfer({ ...this.#options, to, term, snapshot, ended }));
      if (metrics !== null) metrics.transfers.begun += 1;
      logger.info("sending a snapshot", { node: to, index: snapshot.index, bytes: snapshot.bytes });
    } catch (error) {
      this.#fail(to, errorMessage(error));
    }
  }

  /**
   * Continues a transfer after a follower reported its progress. Returns the snapshot if the follower had received all of
   * it and asks for it from the beginning again: it may have found it damaged. Else returns null.
   */
  progressed(from: NodeId, progress: SnapshotProgress): StoredSnapshot | null {
    return this.#transfers.get(from)?.progressed(progress) ?? null;
  }

  /** Ends transfers of snapshots below `index`, to which the log no longer reaches back; the core requests newer ones. */
  endBelow(index: number): void {
    for (const [to, { snapshot }] of [...this.#transfers]) {
      if (snapshot.index < index) this.#fail(to, "the log no longer reaches back to it");
    }
  }

  /** Returns the progress of the transfer to a node; null when there is none. */
  statusOf(to: NodeId): TransferStatus | null {
    return this.#transfers.get(to)?.status ?? null;
  }

  /** Ends the transfer to a node: it has caught up, or this node no longer leads. */
  stop(to: NodeId): void {
    this.#transfers.get(to)?.close();
    this.#transfers.delete(to);
    this.#resting.get(to)?.cancel();
    this.#resting.delete(to);
  }

  /** Ends every transfer. */
  close(): void {
    for (const to of this.targets) this.stop(to);
  }

  /** Reports a failure to the core after an interval: the core requests another transfer at once, which would fail, too. */
  #fail(to: NodeId, reason: string): void {
    const { clock, intervalMs, logger, failed, metrics = null } = this.#options;
    if (metrics !== null) metrics.transfers.failed += 1;
    this.stop(to);
    logger.warn("cannot send a snapshot; trying again when the node answers", { node: to, reason });
    const rest = clock.after(intervalMs, () => {
      this.#resting.delete(to);
      failed(to);
    });
    this.#resting.set(to, rest);
  }
}

interface TransferOptions extends Omit<SnapshotSenderOptions, "failed"> {
  readonly to: NodeId;
  readonly term: number;
  readonly snapshot: StoredSnapshot;
  /** Reports that the transfer cannot continue. */
  readonly ended: (reason: string) => void;
}

/**
 * The transfer of one snapshot to one node.
 *
 * Invariants: acknowledged ≤ next ≤ acknowledged + WINDOW_CHUNKS pieces; one read of the file at a time.
 */
class Transfer {
  readonly #options: TransferOptions;
  readonly #reader: RawSnapshotReader;
  readonly #buffer: Uint8Array;
  #timer: Timer;
  /** The follower has everything before this offset. */
  #acknowledged = 0;
  /** Everything before this offset was sent, since the follower was last asked. */
  #next = 0;
  #isPumping = false;
  #quietIntervals = 0;
  #rewinds = 0;
  #closed = false;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#reader = options.store.rawReader(options.snapshot);
    this.#buffer = new Uint8Array(options.chunkBytes);
    this.#timer = this.#watch();
    this.#ask();
  }

  get term(): number {
    return this.#options.term;
  }

  get snapshot(): StoredSnapshot {
    return this.#options.snapshot;
  }

  get status(): TransferStatus {
    return { sentBytes: this.#acknowledged, totalBytes: this.#reader.bytes };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.cancel();
    // A read in progress still needs the file; the pump closes it then.
    if (!this.#isPumping) this.#reader.close();
  }

  progressed({ index, snapshotTerm, totalBytes, nextOffset }: SnapshotProgress): StoredSnapshot | null {
    const { snapshot } = this.#options;
    const isOurs = index === snapshot.index && snapshotTerm === snapshot.term &&
      totalBytes === this.#reader.bytes;
    if (this.#closed || !isOurs || nextOffset > totalBytes) return null;
    this.#quietIntervals = 0;
    const damage = this.#damage();
    if (damage !== null) {
      this.#options.ended(`it is damaged: ${damage}`);
      return null;
    }
    const isRewind = nextOffset < this.#acknowledged;
    const suspect = isRewind && this.#acknowledged === totalBytes ? snapshot : null;
    if (isRewind) {
      this.#rewinds++;
      if (this.#rewinds > MAX_REWINDS) {
        this.#options.ended(`it was requested again ${this.#rewinds} times`);
        return suspect;
      }
      this.#next = nextOffset;
    }
    this.#acknowledged = nextOffset;
    this.#next = Math.max(this.#next, nextOffset);
    void this.#pump();
    return suspect;
  }

  /** Returns the damage that was found since the transfer began; null when there is none. */
  #damage(): string | null {
    const { store, snapshot } = this.#options;
    const { index, term } = snapshot;
    return store.list().find((stored) => stored.index === index && stored.term === term)?.damage ?? null;
  }

  /** Asks the follower for its progress. */
  #ask(): void {
    this.#send(this.#acknowledged, new Uint8Array(0));
  }

  #watch(): Timer {
    const before = this.#acknowledged;
    return this.#options.clock.after(this.#options.intervalMs, () => {
      this.#timer = this.#watch();
      if (this.#acknowledged > before) return;
      this.#quietIntervals++;
      if (this.#quietIntervals > MAX_QUIET_INTERVALS) return this.#options.ended("the node does not answer");
      // Pieces after it may be lost.
      this.#next = this.#acknowledged;
      this.#ask();
    });
  }

  /** Sends as much as the window allows. Never rejects. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#hasWindow()) {
        const offset = this.#next;
        const length = await this.#reader.read(offset, this.#buffer);
        // The follower may have asked for another offset meanwhile.
        if (this.#closed || offset !== this.#next) continue;
        if (length === 0) throw new Error("the file is shorter than it was");
        if (!this.#send(offset, this.#buffer.slice(0, length))) break;
        this.#next = offset + length;
      }
    } catch (error) {
      if (!this.#closed) this.#options.ended(`cannot read it: ${errorMessage(error)}`);
    } finally {
      this.#isPumping = false;
      if (this.#closed) this.#reader.close();
    }
  }

  #hasWindow(): boolean {
    const windowBytes = WINDOW_CHUNKS * this.#options.chunkBytes;
    return !this.#closed && this.#next < this.#reader.bytes && this.#next - this.#acknowledged < windowBytes;
  }

  #send(offset: number, data: Uint8Array): boolean {
    const { to, term, snapshot } = this.#options;
    return this.#options.send(to, {
      kind: "snapshotChunk",
      term,
      index: snapshot.index,
      snapshotTerm: snapshot.term,
      totalBytes: this.#reader.bytes,
      offset,
      data,
    });
  }
}
