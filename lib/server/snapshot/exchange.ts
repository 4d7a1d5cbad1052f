/**
 * Connects the sending and receiving of snapshots with the core. The core of a leader whose log does not reach back far
 * enough for a follower requests a transfer; the follower's core gets the complete snapshot as one message.
 */
import type { Clock } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { PeerMessage, SnapshotChunk, SnapshotProgress } from "../../protocol/peer_frames.ts";
import { assert } from "../../platform/assert.ts";
import type { NodeId, Raft, SnapshotMetadata, SnapshotTransfer } from "../../raft/mod.ts";
import type { SnapshotStore, StoredSnapshot } from "../../storage/mod.ts";
import type { Driver } from "../driver.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Replica } from "../replica.ts";
import { type ServerLimits, stateMachineOptionsOf } from "../config/server_limits.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { type ReceivedSnapshot, SnapshotReceiving } from "./receiver.ts";
import { SnapshotSender, type TransferStatus } from "./sender.ts";

/** The connections to other nodes. */
export interface PeerSender {
  /** Queues a message for a node; false when it was dropped. */
  send(message: PeerMessage, to: NodeId): boolean;
}

/** The parts of a node that the exchange involves. */
export interface SnapshotExchangeOptions {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly electionTimeoutMs: number;
  readonly limits: ServerLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: SnapshotStore;
  readonly raft: Raft;
  readonly driver: Driver;
  readonly replica: Replica;
  readonly yieldToEventLoop: YieldToEventLoop;
  /** Counts transfers; null counts none. */
  readonly metrics: Metrics | null;
  readonly peers: PeerSender;
}

/** Sends and receives snapshots. */
export class SnapshotExchange {
  readonly #options: SnapshotExchangeOptions;
  readonly #sender: SnapshotSender;
  readonly #receiving: SnapshotReceiving;
  /** The snapshot that the core is deciding about, or has accepted and not made durable yet. */
  #received: ReceivedSnapshot | null = null;

  constructor(options: SnapshotExchangeOptions) {
    const {
      store,
      clock,
      logger,
      clusterId,
      limits,
      raft,
      replica,
      driver,
      yieldToEventLoop,
      peers,
      metrics,
    } = options;
    this.#options = options;
    this.#sender = new SnapshotSender({
      store,
      clock,
      logger,
      chunkBytes: limits.snapshotChunkBytes,
      intervalMs: options.electionTimeoutMs,
      metrics,
      send: (to, message) => peers.send(message, to),
      failed: (to) => driver.snapshotFailed(to),
    });
    this.#receiving = new SnapshotReceiving({
      store,
      logger,
      clusterId,
      stateMachineOptions: stateMachineOptionsOf(limits),
      yieldToEventLoop,
      situation: () => ({ term: raft.term, appliedIndex: replica.applied.index }),
      send: (to, message) => void peers.send(message, to),
      received: (snapshot, from, term) => this.#show(snapshot, from, term),
      notNeeded: (chunk, from) => this.#notNeeded(chunk, from),
    });
  }

  /** Index of the oldest snapshot that is being sent; null when there is none. */
  get lowestSending(): number | null {
    return this.#sender.lowestIndex;
  }

  /** Whether a snapshot is being received. */
  get isReceiving(): boolean {
    return this.#receiving.isReceiving;
  }

  /** Ends transfers of snapshots below `index`: the log no longer reaches back to them. */
  endBelow(index: number): void {
    this.#sender.endBelow(index);
  }

  /** Begins to send a snapshot to a follower. */
  start({ to, index }: SnapshotTransfer): void {
    this.#sender.start(to, { term: this.#options.raft.term, index });
  }

  /** Takes a piece from the leader. */
  chunk(from: NodeId, chunk: SnapshotChunk): void {
    this.#receiving.chunk(from, chunk);
  }

  /** Continues a transfer to a follower; returns the snapshot that it may have found damaged, or null. */
  progressed(from: NodeId, progress: SnapshotProgress): StoredSnapshot | null {
    return this.#sender.progressed(from, progress);
  }

  /** Returns the progress of the transfer to a node; null when there is none. */
  statusOf(to: NodeId): TransferStatus | null {
    return this.#sender.statusOf(to);
  }

  /** Renames the file of the received snapshot: the core begins its log behind it. */
  install(snapshot: SnapshotMetadata): void {
    this.#receivedAt(snapshot).install();
  }

  /** Replaces the state by that of the received snapshot. */
  restore(snapshot: SnapshotMetadata): void {
    const { stateMachine, metadata } = this.#receivedAt(snapshot);
    this.#options.replica.restore(stateMachine, metadata);
    this.#options.logger.info("state restored from the leader's snapshot", {
      event: "snapshotReceived",
      index: snapshot.index,
    });
  }

  /** Ends transfers that the core no longer needs, and releases a received snapshot: a batch was processed. */
  settled(): void {
    const { targets } = this.#sender;
    if (targets.length > 0) {
      const { peers } = this.#options.raft.status();
      const waiting = new Set(peers.filter(({ kind }) => kind === "snapshot").map(({ id }) => id));
      for (const to of targets) if (!waiting.has(to)) this.#sender.stop(to);
    }
    this.#receiving.applied(this.#options.replica.applied.index);
    if (this.#received === null || this.#options.driver.isPersisting) return;
    this.#received = null;
    this.#receiving.settle();
  }

  /** Ends every transfer: this node no longer leads. */
  leadershipLost(): void {
    this.#sender.close();
  }

  /** Ends sending and receiving. */
  async close(): Promise<void> {
    this.#sender.close();
    await this.#receiving.close();
  }

  /** Passes a received snapshot to the core as one message of the leader. */
  #show(snapshot: ReceivedSnapshot, from: NodeId, term: number): void {
    this.#received = snapshot;
    this.#options.driver.step({
      kind: "installSnapshot",
      from,
      to: this.#options.id,
      term,
      snapshot: snapshot.metadata,
    });
  }

  /** Passes a snapshot that is not needed to the core, whose answer reports this node's progress to the leader. */
  #notNeeded({ index, snapshotTerm, term }: SnapshotChunk, from: NodeId): void {
    const { driver, id, raft } = this.#options;
    const snapshot = { index, term: snapshotTerm, configuration: raft.committedConfiguration };
    driver.step({ kind: "installSnapshot", from, to: id, term, snapshot });
  }

  #receivedAt(snapshot: SnapshotMetadata): ReceivedSnapshot {
    const received = this.#received;
    assert(
      received !== null && received.metadata.index === snapshot.index,
      "the core installs the snapshot that it was passed",
    );
    return received;
  }
}
