/**
 * Receives a snapshot from the leader: into a file beside, piece by piece; then read back, checked and made into a
 * state machine; and only then shown to the core, which decides whether it is newer than what this node has.
 *
 * A broken connection, another leader that sends the very same snapshot, or pieces that come twice lose nothing; nor
 * does a term that ends while the snapshot is read back: it is shown once a leader of the new term sends a piece of it.
 * A piece of another snapshot begins anew. At most one snapshot is being received.
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

/** Bytes that may wait in the page cache: the sync of more would hold up that of the log. The sender waits for it. */
const FLUSH_BYTES = 4_194_304;

/** A snapshot that has come whole and was checked. */
export interface ReceivedSnapshot extends LoadedSnapshot {
  /** Gives the file its name, durably. May be called again without effect. */
  install(): void;
}

/** What receiving takes from its surroundings. */
export interface SnapshotReceivingOptions {
  readonly store: SnapshotStore;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly stateMachineOptions: StateMachineOptions;
  readonly yieldToEventLoop: YieldToEventLoop;
  /** This node's term, and what it has applied. */
  readonly situation: () => { readonly term: number; readonly appliedIndex: number };
  readonly send: (to: NodeId, message: SnapshotProgress) => void;
  /** One is ready to be shown to the core: sent by `from`, last in `term`. */
  readonly received: (snapshot: ReceivedSnapshot, from: NodeId, term: number) => void;
  /** The leader sends what this node has no need for: it has applied that much. */
  readonly notNeeded: (chunk: SnapshotChunk, from: NodeId) => void;
}

/** One that is being received. */
interface Receiving {
  readonly receiver: SnapshotReceiver<StoredSnapshot>;
  /** Who sent the last piece of it, and in which term. */
  from: NodeId;
  term: number;
  /** Whether it is whole, and is being read back or was checked. */
  isWhole: boolean;
  /** What was read back; null before. */
  checked: ReceivedSnapshot | null;
  /** Whether the core was shown it. Until then it waits for a piece of it in this node's term. */
  isShown: boolean;
  /** Bytes that came since the last flush began; an answer waits for the one under way. */
  unflushedBytes: number;
  isFlushing: boolean;
}

/** Takes pieces of snapshots. */
export class SnapshotReceiving {
  readonly #options: SnapshotReceivingOptions;
  #current: Receiving | null = null;
  #reading: Promise<void> = Promise.resolve();
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SnapshotReceivingOptions) {
    this.#options = options;
  }

  /** Whether one is being received. */
  get isReceiving(): boolean {
    return this.#current !== null;
  }

  /** A piece came in. */
  chunk(from: NodeId, chunk: SnapshotChunk): void {
    const { term, appliedIndex } = this.#options.situation();
    // The core may not have heard of the newer leader yet, whose pieces have come before an older one's.
    if (this.#closed || chunk.term < Math.max(term, this.#current?.term ?? 0)) return;
    if (chunk.index <= appliedIndex) return this.#options.notNeeded(chunk, from);
    const current = this.#receivingOf(chunk, from);
    if (current === null) return;
    if (!current.isWhole && !this.#write(current, chunk)) return;
    this.#answerWhenFlushed(current, chunk);
    if (!current.isWhole && current.receiver.nextOffset === chunk.totalBytes) this.#finish(current, chunk);
    else if (isWaiting(current)) this.#show(current);
  }

  /** This node has applied so much: what is not above it is not received any further. */
  applied(index: number): void {
    const current = this.#current;
    if (current === null || current.receiver.announced.index > index) return;
    if (!current.isWhole || isWaiting(current)) this.settle();
  }

  /** What was received was not taken by the core, or is in place: it is let go of. */
  settle(): void {
    const current = this.#current;
    this.#current = null;
    current?.receiver.discard();
  }

  /** Gives up what is being received; resolves when nothing is left of it. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#reading, this.#flushing]);
    this.settle();
  }

  /** What is being received of the chunk's snapshot; null when it can't be begun. */
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
      // It is being read back: the newer one can wait until the core has decided about this.
      if (current.isWhole && !isWaiting(current)) return null;
      this.settle();
    }
    try {
      const receiver = this.#options.store.receive({ index, term: snapshotTerm, totalBytes });
      this.#options.logger.info("receiving a snapshot", { from, index, bytes: totalBytes });
      this.#current = {
        receiver,
        from,
        term,
        isWhole: false,
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

  /** Takes a piece that stands at the next place; any other changes nothing. False when the disk takes no more. */
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

  /** The disk takes no more of it. */
  #refused(current: Receiving, error: unknown): void {
    if (this.#current !== current) return;
    const { from, receiver: { announced: { index } } } = current;
    this.#options.logger.error("cannot receive a snapshot", { from, index, reason: failureReason(error) });
    this.settle();
  }

  #answerWhenFlushed(current: Receiving, chunk: SnapshotChunk): void {
    if (current.isFlushing) return;
    if (current.isWhole || current.unflushedBytes < FLUSH_BYTES) return this.#answer(current, chunk);
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
    current.isWhole = true;
    this.#reading = this.#readBack(current).catch((error: unknown) => {
      if (this.#closed || this.#current !== current) return;
      if (isOutOfDescriptors(error)) return this.#readBackLater(current, error);
      this.#options.logger.error("a snapshot that was received can't be used", {
        from: current.from,
        index: chunk.index,
        reason: failureReason(error),
      });
      this.settle();
    });
  }

  /** The file is whole and can't be opened for now. The leader asks for it again and again, and each time it is tried. */
  #readBackLater(current: Receiving, error: unknown): void {
    const { from, receiver: { announced: { index } } } = current;
    this.#options.logger.warn("cannot read a received snapshot for now; trying again", {
      from,
      index,
      reason: failureReason(error),
    });
    current.isWhole = false;
  }

  /** Makes a state machine of the file, which checks all of it. */
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

  /** Shows the core what was checked, unless its leader is one no longer: a later one may send the same. */
  #show(current: Receiving): void {
    const { situation, received } = this.#options;
    if (current.checked === null || current.term < situation().term) return;
    current.isShown = true;
    received(current.checked, current.from, current.term);
  }
}

/** Whether it was checked in a term that was over by then, and the core has not been shown it. */
function isWaiting({ checked, isShown }: Receiving): boolean {
  return checked !== null && !isShown;
}

/** What a person should know of why. */
function failureReason(error: unknown): string {
  if (error instanceof SnapshotDamagedError) return `${error.message} It will be asked for again.`;
  return errorMessage(error);
}
