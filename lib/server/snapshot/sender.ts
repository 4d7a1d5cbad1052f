/**
 * Sends snapshots to followers for which the log does not reach back far enough (Raft §7), beside everything else.
 *
 * The file goes out as it lies on the disk, piece by piece over the bulk lane, with a window of its own, so that it
 * never queues much before the entries or heartbeats of anybody. Every piece is answered with how far the other end
 * has got; after a broken connection an empty piece asks for that, and the transfer goes on from there. The file is
 * pinned while it is sent. The end of a transfer is told by the core: the follower acknowledges the snapshot's index
 * as it would an entry's.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { SnapshotChunk, SnapshotProgress } from "../../protocol/peer_frames.ts";
import type { NodeId } from "../../raft/mod.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { RawSnapshotReader, SnapshotStore, StoredSnapshot } from "../../storage/mod.ts";

/** Pieces under way to one follower without an answer. */
const WINDOW_CHUNKS = 4;
/** Intervals in a row without an answer after which a transfer is given up; the core begins anew when it can. */
const MAX_QUIET_INTERVALS = 30;
/** How often a follower may ask for the file from its beginning again: it found it damaged, or restarted. */
const MAX_REWINDS = 5;

/** What sending takes from its surroundings. */
export interface SnapshotSenderOptions {
  readonly store: SnapshotStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Bytes of one piece. */
  readonly chunkBytes: number;
  /** Without an answer for so long, the other end is asked how far it has got. */
  readonly intervalMs: number;
  /** Sends to a node; false when it was dropped. */
  readonly send: (to: NodeId, message: SnapshotChunk) => boolean;
  /** A transfer was given up. */
  readonly failed: (to: NodeId) => void;
  /** Counts transfers; null counts none. */
  readonly metrics?: Metrics | null;
}

/** How far a transfer has got. */
export interface TransferStatus {
  readonly sentBytes: number;
  readonly totalBytes: number;
}

/** All transfers of a leader. */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #transfers = new Map<NodeId, Transfer>();
  /** Nodes to which it failed, until the core may ask again. */
  readonly #resting = new Map<NodeId, Timer>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** The nodes that are being sent a snapshot, or will be. */
  get targets(): readonly NodeId[] {
    return [...this.#transfers.keys(), ...this.#resting.keys()];
  }

  /** Index of the oldest snapshot that is being sent; null when there is none. */
  get lowestIndex(): number | null {
    const indexes = [...this.#transfers.values()].map(({ snapshot }) => snapshot.index);
    return indexes.length === 0 ? null : Math.min(...indexes);
  }

  /** Sends the newest snapshot to a node, in this term; one to it that is under way goes on, unless it is too old. */
  start(to: NodeId, { term, index }: { readonly term: number; readonly index: number }): void {
    const { store, logger, metrics = null } = this.#options;
    const running = this.#transfers.get(to);
    if (running?.term === term && running.snapshot.index >= index) return;
    this.stop(to);
    const snapshot = store.list().find(({ damage }) => damage === null);
    if (snapshot === undefined) {
      return this.#fail(to, "there is none that is whole");
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

  /**
   * The log no longer reaches back to `index`: transfers of snapshots below it end, and the core asks for a newer one.
   */
  endBelow(index: number): void {
    for (const [to, { snapshot }] of [...this.#transfers]) {
      if (snapshot.index < index) this.#fail(to, "the log has outgrown what is kept for it");
    }
  }

  /** How far the transfer to a node has got; null when there is none. */
  statusOf(to: NodeId): TransferStatus | null {
    return this.#transfers.get(to)?.status ?? null;
  }

  /** Ends the transfer to a node: it has what it needed, or nobody leads it any more. */
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

  /** The core hears of it after a while: it asks again at once, and what failed now would fail again. */
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
  /** It can't go on. */
  readonly ended: (reason: string) => void;
}

/**
 * One snapshot on its way to one node.
 *
 * Invariants: acknowledged ≤ next ≤ acknowledged + WINDOW_CHUNKS pieces; one read of the file at a time.
 */
class Transfer {
  readonly #options: TransferOptions;
  readonly #reader: RawSnapshotReader;
  readonly #buffer: Uint8Array;
  #timer: Timer;
  /** The other end has everything before. */
  #acknowledged = 0;
  /** Everything before was sent, since the other end was last asked. */
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
    // A read under way still needs the file; the pump closes it then.
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
        this.#options.ended(`it was asked for again ${this.#rewinds} times`);
        return suspect;
      }
      this.#next = nextOffset;
    }
    this.#acknowledged = nextOffset;
    this.#next = Math.max(this.#next, nextOffset);
    void this.#pump();
    return suspect;
  }

  /** What was found wrong with the snapshot since the transfer began; null when nothing was. */
  #damage(): string | null {
    const { store, snapshot } = this.#options;
    const { index, term } = snapshot;
    return store.list().find((stored) => stored.index === index && stored.term === term)?.damage ?? null;
  }

  /** Asks how far the other end has got. */
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
      // What was sent behind it may be lost.
      this.#next = this.#acknowledged;
      this.#ask();
    });
  }

  /** Sends as much as the window lets. Never rejects. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#hasWindow()) {
        const offset = this.#next;
        const length = await this.#reader.read(offset, this.#buffer);
        // The other end may have asked for another place meanwhile.
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
