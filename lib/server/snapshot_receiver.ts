/**
 * Receives a snapshot from the leader: into a file beside, piece by piece; then read back, checked and made into a
 * state machine; and only then shown to the core, which decides whether it is newer than what this node has.
 *
 * A broken connection, another leader that sends the very same snapshot, or pieces that come twice lose nothing; a
 * piece of another snapshot begins anew. At most one snapshot is being received.
 */
import { StateMachine, type StateMachineOptions } from "../kv/mod.ts";
import { decodeConfiguration } from "../net/configuration_codec.ts";
import { DecodeError } from "../net/errors.ts";
import type { Logger } from "../net/logger.ts";
import type { SnapshotChunk, SnapshotProgress } from "../net/snapshot_frames.ts";
import type { NodeId, SnapshotMetadata } from "../raft/mod.ts";
import {
  SnapshotDamagedError,
  type SnapshotReceiver,
  type SnapshotStore,
  type StoredSnapshot,
} from "../storage/mod.ts";
import type { Pause } from "./slices.ts";
import { readState } from "./state_codec.ts";

/** A snapshot that has come whole and was checked. */
export interface ReceivedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly stateMachine: StateMachine;
  /** Gives the file its name, durably. May be called again without effect. */
  install(): void;
}

/** What receiving takes from its surroundings. */
export interface SnapshotReceivingOptions {
  readonly store: SnapshotStore;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly stateMachineOptions: StateMachineOptions;
  readonly pause: Pause;
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
  /** Whether it is whole, and is being read back or has been handed over. */
  isWhole: boolean;
}

/** Takes pieces of snapshots. */
export class SnapshotReceiving {
  readonly #options: SnapshotReceivingOptions;
  #current: Receiving | null = null;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SnapshotReceivingOptions) {
    this.#options = options;
  }

  /** A piece came in. */
  chunk(from: NodeId, chunk: SnapshotChunk): void {
    const { term, appliedIndex } = this.#options.situation();
    if (this.#closed || chunk.term < term) return;
    if (chunk.index <= appliedIndex) return this.#options.notNeeded(chunk, from);
    const current = this.#receivingOf(chunk, from);
    if (current === null) return;
    if (!current.isWhole && chunk.offset === current.receiver.nextOffset && chunk.data.length > 0) {
      if (!this.#write(current, chunk)) return;
    }
    this.#answer(current, chunk);
    if (!current.isWhole && current.receiver.nextOffset === chunk.totalBytes) this.#finish(current, chunk);
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
    await this.#reading;
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
      if (current.isWhole) return null;
      this.settle();
    }
    try {
      const receiver = this.#options.store.receive({ index, term: snapshotTerm, totalBytes });
      this.#options.logger.info("receiving a snapshot", { from, index, bytes: totalBytes });
      this.#current = { receiver, from, term, isWhole: false };
    } catch (error) {
      this.#options.logger.error("cannot receive a snapshot", { from, index, reason: reasonOf(error) });
    }
    return this.#current;
  }

  #write(current: Receiving, { offset, data, index }: SnapshotChunk): boolean {
    try {
      current.receiver.write(offset, data);
      return true;
    } catch (error) {
      this.#options.logger.error("cannot receive a snapshot", {
        from: current.from,
        index,
        reason: reasonOf(error),
      });
      this.settle();
      return false;
    }
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
    this.#reading = this.#readBack(current, chunk).catch((error: unknown) => {
      if (this.#closed || this.#current !== current) return;
      this.#options.logger.error("a snapshot that was received can't be used", {
        from: current.from,
        index: chunk.index,
        reason: reasonOf(error),
      });
      this.settle();
    });
  }

  /** Makes a state machine of the file, which checks all of it. */
  async #readBack(current: Receiving, { index, snapshotTerm }: SnapshotChunk): Promise<void> {
    const { clusterId, stateMachineOptions, pause, received } = this.#options;
    const reader = await current.receiver.finish();
    try {
      const { header } = reader;
      const isRight = header.clusterId === clusterId && header.index === index &&
        header.term === snapshotTerm;
      if (!isRight) throw new DecodeError("Cannot use a snapshot: it is not the one that it was said to be.");
      const configuration = decodeConfiguration(header.configuration);
      const restoring = StateMachine.restoring(stateMachineOptions);
      await readState(reader.chunks(), { restoring, pause });
      const stateMachine = restoring.finish();
      if (stateMachine.appliedIndex !== index) {
        throw new DecodeError(
          `Cannot use a snapshot: its state is of index ${stateMachine.appliedIndex}, not ${index}.`,
        );
      }
      if (this.#closed) return;
      const metadata = { index, term: snapshotTerm, configuration };
      const install = (): void => void current.receiver.install();
      received({ metadata, stateMachine, install }, current.from, current.term);
    } finally {
      reader.close();
    }
  }
}

/** What a person should know of why. */
function reasonOf(error: unknown): string {
  if (error instanceof SnapshotDamagedError) return `${error.message} It will be asked for again.`;
  return error instanceof Error ? error.message : String(error);
}
