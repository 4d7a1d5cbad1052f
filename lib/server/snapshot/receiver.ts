/**
 * Receives a snapshot from the leader: piece by piece into a temporary file, which is then read, checked and made into a
 * state machine, and only then passed to the core, which decides whether it is newer than the state of this node.
 *
 * A broken connection, another leader that sends the same snapshot, and repeated pieces lose nothing; nor does a term that
 * ends while the snapshot is read: the core gets it once a leader of the new term sends a piece of it. A piece of another
 * snapshot starts from the beginning. At most one snapshot is being received.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { StateMachineOptions } from "../../kv/mod.ts";
import type { Logger } from "../../platform/logger.ts";
import type { SnapshotChunk, SnapshotProgress } from "../../protocol/peer_frames.ts";
import type { NodeId } from "../../raft/mod.ts";
import {
  isOutOfDescriptors,
  SnapshotDamagedError,
  type SnapshotReceiver,
  type SnapshotStore,
  type StoredSnapshot,
} from "../../storage/mod.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { type LoadedSnapshot, readSnapshotState } from "./state_codec.ts";

/** Bytes that may wait in the page cache: a sync of more would delay that of the log. The sender waits for the sync. */
const FLUSH_BYTES = 4_194_304;

/** A complete and checked snapshot. */
export interface ReceivedSnapshot extends LoadedSnapshot {
  /** Renames the file durably. May be called again without effect. */
  install(): void;
}

/** The parts of a node that receiving involves. */
export interface SnapshotReceivingOptions {
  readonly store: SnapshotStore;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly stateMachineOptions: StateMachineOptions;
  readonly yieldToEventLoop: YieldToEventLoop;
  /** Returns this node's term and applied index. */
  readonly situation: () => { readonly term: number; readonly appliedIndex: number };
  readonly send: (to: NodeId, message: SnapshotProgress) => void;
  /** Takes a checked snapshot, whose last piece `from` sent in `term`. */
  readonly received: (snapshot: ReceivedSnapshot, from: NodeId, term: number) => void;
  /** Takes a piece of a snapshot that this node does not need, since it has applied as much. */
  readonly notNeeded: (chunk: SnapshotChunk, from: NodeId) => void;
}

/** A snapshot that is being received. */
interface Receiving {
  readonly receiver: SnapshotReceiver<StoredSnapshot>;
  /** The sender of the last piece, and its term. */
  from: NodeId;
  term: number;
  /** Whether all pieces were received, so that it is being read or was checked. */
  isComplete: boolean;
  /** The checked snapshot; null before it was read. */
  checked: ReceivedSnapshot | null;
  /** Whether the core has got it. Until then it waits for a piece of it in this node's term. */
  isShown: boolean;
  /** Bytes received since the last flush began; an answer waits for the flush in progress. */
  unflushedBytes: number;
  isFlushing: boolean;
}

/** Receives the snapshots of one node. */
export class SnapshotReceiving {
  readonly #options: SnapshotReceivingOptions;
  #current: Receiving | null = null;
  #reading: Promise<void> = Promise.resolve();
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SnapshotReceivingOptions) {
    this.#options = options;
  }

  /** Whether a snapshot is being received. */
  get isReceiving(): boolean {
    return this.#current !== null;
  }

  /** Takes a piece. */
  chunk(from: NodeId, chunk: SnapshotChunk): void {
    const { term, appliedIndex } = this.#options.situation();
    // Pieces of a newer leader may arrive before the core has received a message of it, and pieces of an older one after.
    if (this.#closed || chunk.term < Math.max(term, this.#current?.term ?? 0)) return;
    if (chunk.index <= appliedIndex) return this.#options.notNeeded(chunk, from);
    const current = this.#receivingOf(chunk, from);
    if (current === null) return;
    if (!current.isComplete && !this.#write(current, chunk)) return;
    this.#answerWhenFlushed(current, chunk);
    if (!current.isComplete && current.receiver.nextOffset === chunk.totalBytes) this.#finish(current, chunk);
    else if (isWaiting(current)) this.#show(current);
  }

  /** Stops receiving a snapshot that is not above the applied index. */
  applied(index: number): void {
    const current = this.#current;
    if (current === null || current.receiver.announced.index > index) return;
    if (!current.isComplete || isWaiting(current)) this.settle();
  }

  /** Releases the received snapshot: the core has refused it, or it is installed. */
  settle(): void {
    const current = this.#current;
    this.#current = null;
    current?.receiver.discard();
  }

  /** Stops receiving; resolves when the temporary file is removed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#reading, this.#flushing]);
    this.settle();
  }

  /** Returns the receiving of the piece's snapshot, begun if needed; null when that is not possible. */
  #receivingOf(chunk: SnapshotChunk, from: NodeId): Receiving | null {
    const { index, snapshotTerm, totalBytes, term } = chunk;
    const current = this.#current;
    if (current !== null) {
      const { receiver } = current;
      const { announced } = receiver;
      const isSame = announced.index === index && announced.term === snapshotTerm &&
        announced.totalBytes === totalBytes;
      if (isSame) {
        Object.assign(current, { from, term });
        return current;
      }
      // The newer one waits until the core has decided about this one, which is being read.
      if (current.isComplete && !isWaiting(current)) return null;
      this.settle();
    }
    try {
      const receiver = this.#options.store.receive({ index, term: snapshotTerm, totalBytes });
      this.#options.logger.info("receiving a snapshot", { from, index, bytes: totalBytes });
      this.#current = {
        receiver,
        from,
        term,
        isComplete: false,
        checked: null,
        isShown: false,
        unflushedBytes: 0,
        isFlushing: false,
      };
    } catch (error) {
      this.#options.logger.error("cannot receive a snapshot", { from, index, reason: failureReason(error) });
    }
    return this.#current;
  }

  /** Writes a piece at the next offset; any other piece changes nothing. False when the disk accepts no more. */
  #write(current: Receiving, { offset, data }: SnapshotChunk): boolean {
    try {
      current.receiver.write(offset, data);
      current.unflushedBytes += data.length;
      return true;
    } catch (error) {
      this.#refused(current, error);
      return false;
    }
  }

  /** Ends receiving after a failed write. */
  #refused(current: Receiving, error: unknown): void {
    if (this.#current !== current) return;
    const { from, receiver: { announced: { index } } } = current;
    this.#options.logger.error("cannot receive a snapshot", { from, index, reason: failureReason(error) });
    this.settle();
  }

  #answerWhenFlushed(current: Receiving, chunk: SnapshotChunk): void {
    if (current.isFlushing) return;
    if (current.isComplete || current.unflushedBytes < FLUSH_BYTES) return this.#answer(current, chunk);
    current.isFlushing = true;
    current.unflushedBytes = 0;
    const flushed = (): void => {
      current.isFlushing = false;
      if (this.#current === current && !this.#closed) this.#answer(current, chunk);
    };
    this.#flushing = current.receiver.flush().then(flushed, (error) => this.#refused(current, error));
  }

  #answer(current: Receiving, { index, snapshotTerm, totalBytes, term }: SnapshotChunk): void {
    const nextOffset = current.receiver.nextOffset;
    this.#options.send(current.from, {
      kind: "snapshotProgress",
      term,
      index,
      snapshotTerm,
      nextOffset,
      totalBytes,
    });
  }

  #finish(current: Receiving, chunk: SnapshotChunk): void {
    current.isComplete = true;
    this.#reading = this.#readBack(current).catch((error: unknown) => {
      if (this.#closed || this.#current !== current) return;
      if (isOutOfDescriptors(error)) return this.#readBackLater(current, error);
      this.#options.logger.error("cannot use a received snapshot", {
        from: current.from,
        index: chunk.index,
        reason: failureReason(error),
      });
      this.settle();
    });
  }

  /** Waits with the complete file, which cannot be opened now; each request of the leader about it tries again. */
  #readBackLater(current: Receiving, error: unknown): void {
    const { from, receiver: { announced: { index } } } = current;
    this.#options.logger.warn("cannot read a received snapshot for now; trying again", {
      from,
      index,
      reason: failureReason(error),
    });
    current.isComplete = false;
  }

  /** Reads the file into a state machine, which checks all of it. */
  async #readBack(current: Receiving): Promise<void> {
    using reader = await current.receiver.finish();
    const yieldToEventLoop = async (): Promise<void> => {
      await this.#options.yieldToEventLoop();
      if (this.#closed) throw new Error("this node is stopping");
    };
    const loaded = await readSnapshotState(reader, { ...this.#options, yieldToEventLoop });
    if (this.#closed) return;
    let isInstalled = false;
    const install = (): void => {
      if (!isInstalled) current.receiver.install();
      isInstalled = true;
    };
    current.checked = { ...loaded, install };
    this.#show(current);
  }

  /** Passes the checked snapshot to the core, unless its term has ended: a later leader may send the same one. */
  #show(current: Receiving): void {
    const { situation, received } = this.#options;
    if (current.checked === null || current.term < situation().term) return;
    current.isShown = true;
    received(current.checked, current.from, current.term);
  }
}

/** Whether it was checked after its term had ended, and the core has not got it. */
function isWaiting({ checked, isShown }: Receiving): boolean {
  return checked !== null && !isShown;
}

/** Returns the reason of a failure, for the log. */
function failureReason(error: unknown): string {
  if (error instanceof SnapshotDamagedError) return `${error.message} It will be requested again.`;
  return errorMessage(error);
}
