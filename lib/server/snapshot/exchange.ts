/**
 * Snapshots between nodes: both directions, and what they have to do with the core.
 *
 * A leader whose log does not reach back far enough for a follower is asked by its core to send one; the follower's
 * core hears of it when it is whole, and answers as it would to entries.
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

/** The links to other nodes. */
export interface PeerSender {
  /** Queues a message for a node; false when it was dropped. */
  send(message: PeerMessage, to: NodeId): boolean;
}

/** What the exchange is made from. */
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
  /** The one that the core is being shown, or has taken and has not made durable yet. */
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

  /** Whether one is being received. */
  get isReceiving(): boolean {
    return this.#receiving.isReceiving;
  }

  /** The log no longer reaches back to `index`. */
  endBelow(index: number): void {
    this.#sender.endBelow(index);
  }

  /** A follower needs a snapshot. */
  start({ to, index }: SnapshotTransfer): void {
    this.#sender.start(to, { term: this.#options.raft.term, index });
  }

  /** A piece came in. */
  chunk(from: NodeId, chunk: SnapshotChunk): void {
    this.#receiving.chunk(from, chunk);
  }

  /** Continues a transfer to a follower; returns the snapshot that it may have found damaged, or null. */
  progressed(from: NodeId, progress: SnapshotProgress): StoredSnapshot | null {
    return this.#sender.progressed(from, progress);
  }

  /** How far the transfer to a node has got; null when there is none. */
  statusOf(to: NodeId): TransferStatus | null {
    return this.#sender.statusOf(to);
  }

  /** The core makes the snapshot that it was shown the beginning of its log. */
  install(snapshot: SnapshotMetadata): void {
    this.#receivedAt(snapshot).install();
  }

  /** The state becomes that of the snapshot that the core was shown. */
  restore(snapshot: SnapshotMetadata): void {
    const { stateMachine, metadata } = this.#receivedAt(snapshot);
    this.#options.replica.restore(stateMachine, metadata);
    this.#options.logger.info("state restored from the leader's snapshot", { index: snapshot.index });
  }

  /** A batch was processed. What the core needs no more is let go of. */
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

  /** This node does not lead any more. */
  leadershipLost(): void {
    this.#sender.close();
  }

  /** Ends all of it. */
  async close(): Promise<void> {
    this.#sender.close();
    await this.#receiving.close();
  }

  /** Shows a snapshot that has come whole to the core, as if the leader had sent it in one message. */
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

  /** The leader does not know how far this node is: the core's answer tells it. */
  #notNeeded({ index, snapshotTerm, term }: SnapshotChunk, from: NodeId): void {
    const { driver, id, raft } = this.#options;
    const snapshot = { index, term: snapshotTerm, configuration: raft.committedConfiguration };
    driver.step({ kind: "installSnapshot", from, to: id, term, snapshot });
  }

  #receivedAt(snapshot: SnapshotMetadata): ReceivedSnapshot {
    const received = this.#received;
    assert(
      received !== null && received.metadata.index === snapshot.index,
      "the core takes what it was shown",
    );
    return received;
  }
}
