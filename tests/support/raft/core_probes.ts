/**
 * Wraps the public methods of the core, so that an observer sees their inputs and outputs. The wrappers change no
 * behaviour, and production code has no hooks for them. A program has one observer at a time.
 */
import {
  type Configuration,
  type Message,
  type NodeId,
  Raft,
  type RaftStatus,
  type Ready,
  type SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import type { RareState } from "../../sim/coverage.ts";

/** Observer of the core. */
export interface CoreObserver {
  /** A node stepped a message; `ignored` is the reason if it ignored the message. */
  stepped(message: Message, ignored: string | null): void;
  /** A node that leads, or led, handled an input that this configuration decided; it may have won the election with it. */
  led(
    status: RaftStatus,
    decided: Configuration,
    how: { readonly hasWon: boolean; holdsLease(): boolean },
  ): void;
  /** A node accepted a read. */
  readAccepted(status: RaftStatus, readId: number): void;
  /** A leader answers a requested read under its lease. */
  readUnderLease(status: RaftStatus): void;
  /** A node has taken a snapshot. */
  compacted(node: NodeId, snapshot: SnapshotMetadata): void;
  /** A node returned a Ready, or had none, and has this status now. */
  tookReady(status: RaftStatus, ready: Ready | null): void;
  /** A write whose last entry is (index, term) is durable. */
  persisted(node: number, index: number, term: number): void;
  /** One of the listed rare states occurred. */
  noticed(state: RareState): void;
}

/** Installs `observer` for all cores until the returned function is called. */
export function observeCore(observer: CoreObserver): () => void {
  const undo = [wrapInputs(observer), wrapRequests(observer)];
  return () => undo.forEach((one) => one());
}

function wrapInputs(observer: CoreObserver): () => void {
  const { step, takeReady, persisted, tick, compact } = Raft.prototype;
  /** Runs an input of the core; the configuration that decides it must be read before. */
  const input = <Result>(raft: Raft, act: () => Result, seen: (result: Result) => void): Result => {
    const { isLeader, configuration, term } = raft;
    const result = act();
    seen(result);
    // A removed leader commits its removal, and steps down, in one input.
    if (raft.isLeader || isLeader) {
      const hasWon = raft.isLeader && (!isLeader || raft.term !== term);
      observer.led(raft.status(), configuration, { hasWon, holdsLease: () => raft.holdsLease });
    }
    return result;
  };
  Raft.prototype.step = function (message): ReturnType<typeof step> {
    let isNews = false;
    if (message.kind === "installSnapshot") {
      isNews = message.snapshot.index > this.status().commitIndex;
      if (!isNews) observer.noticed("snapshotsRefusedAsOlder");
    }
    return input(this, () => step.call(this, message), (ignored) => {
      if (isNews && ignored === null) observer.noticed("snapshotsReceived");
      observer.stepped(message, ignored);
    });
  };
  Raft.prototype.tick = function (): void {
    input(this, () => tick.call(this), () => {});
  };
  Raft.prototype.takeReady = function (): Ready | null {
    const ready = takeReady.call(this);
    observer.tookReady(this.status(), ready);
    return ready;
  };
  Raft.prototype.persisted = function (index, term): void {
    observer.persisted(this.status().id, index, term);
    input(this, () => persisted.call(this, index, term), () => {});
  };
  Raft.prototype.compact = function (compaction): void {
    const { id, firstIndex } = this.status();
    compact.call(this, compaction);
    observer.compacted(id, compaction.snapshot);
    if (this.status().firstIndex > firstIndex) observer.noticed("logsCut");
  };
  return () => void Object.assign(Raft.prototype, { step, takeReady, persisted, tick, compact });
}

/** Wraps requests, which the core may refuse. */
function wrapRequests(observer: CoreObserver): () => void {
  const { propose, readIndex, storageStalled, messagesLost } = Raft.prototype;
  const ledUnderLease = new WeakSet<Raft>();
  Raft.prototype.propose = function (data): ReturnType<typeof propose> {
    const proposed = propose.call(this, data);
    if (proposed.kind === "refused") {
      const { reason } = proposed;
      if (reason === "busy") observer.noticed("busyLeaders");
      if (reason === "transferring") observer.noticed("writesDuringTransfers");
    }
    return proposed;
  };
  Raft.prototype.readIndex = function (): ReturnType<typeof readIndex> {
    const { holdsLease } = this;
    const requested = readIndex.call(this);
    if (requested.kind === "refused") observer.noticed("refusedReads");
    else {
      const status = this.status();
      observer.readAccepted(status, requested.readId);
      if (holdsLease) observer.readUnderLease(status);
      else if (ledUnderLease.has(this)) observer.noticed("leasesRunOut");
    }
    if (holdsLease) ledUnderLease.add(this);
    return requested;
  };
  Raft.prototype.storageStalled = function (): void {
    observer.noticed("stalledWrites");
    storageStalled.call(this);
  };
  Raft.prototype.messagesLost = function (node): void {
    if (this.isLeader) observer.noticed("lostPipelines");
    messagesLost.call(this, node);
  };
  return () => void Object.assign(Raft.prototype, { propose, readIndex, storageStalled, messagesLost });
}
