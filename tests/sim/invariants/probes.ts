/**
 * What is seen of the production code while it runs: the public doors of the core, the log and the state machine are
 * wrapped for the time of a run, so that no production file has to know of a simulator.
 *
 * The wraps change nothing: they look at what goes in and comes out. There is one world at a time in a program.
 */
import type { Command, CommandResult } from "../../../lib/kv/mod.ts";
import { StateMachine } from "../../../lib/kv/mod.ts";
import { Node } from "../../../lib/server/node.ts";
import { InFlightWrites } from "../../../lib/server/in_flight_writes.ts";
import {
  type Configuration,
  type Message,
  type NodeId,
  Raft,
  type RaftStatus,
  type Ready,
  type SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import { SnapshotExchange } from "../../../lib/server/snapshot/exchange.ts";
import { type RecoveredLog, SnapshotStore, WriteAheadLog } from "../../../lib/storage/mod.ts";
import type { RareState } from "../coverage.ts";

/** Takes what is seen. */
export interface Observer {
  /** A node has read its log back. */
  recovered(node: number, recovered: RecoveredLog): void;
  /** A node of the core heard a message; `ignored` says why it took no notice, if so. */
  stepped(message: Message, ignored: string | null): void;
  /** A node leads, or did, and had an input that was decided by this configuration; it may have won with it. */
  led(
    status: RaftStatus,
    decided: Configuration,
    how: { readonly hasWon: boolean; holdsLease(): boolean },
  ): void;
  /** A leader is asked for a read, and answers it at once. */
  readUnderLease(status: RaftStatus): void;
  /** A node has taken a snapshot. */
  compacted(node: NodeId, snapshot: SnapshotMetadata): void;
  /** A state came out of a snapshot. */
  restored(machine: StateMachine): void;
  /** A node of the core gave out work, or had none, and stands so now. */
  tookReady(status: RaftStatus, ready: Ready | null): void;
  /** A write that ends in (index, term) is durable. */
  persisted(node: number, index: number, term: number): void;
  /** One of the listed rare states occurred, at a door where nothing is to be judged. */
  noticed(state: RareState): void;
  /** A state machine applied the entry at `index`; null: it changes nothing. */
  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void;
}

/** Lets `observer` see everything until the function given back is called. */
export function observe(observer: Observer): () => void {
  const undo = [
    wrapRaft(observer),
    wrapRequests(observer),
    wrapStorage(observer),
    wrapStateMachine(observer),
    wrapNode(observer),
    wrapInFlightWrites(observer),
    wrapExchange(observer),
  ];
  return () => undo.forEach((one) => one());
}

function wrapRaft(observer: Observer): () => void {
  const { step, takeReady, persisted, tick, compact } = Raft.prototype;
  /** Runs an input of the core; by which configuration it decided is known before only. */
  const input = <Result>(raft: Raft, act: () => Result, seen: (result: Result) => void): Result => {
    const { isLeader, configuration, term } = raft;
    const result = act();
    seen(result);
    // One that is out commits that, and leads no more, in one input.
    if (raft.isLeader || isLeader) {
      const hasWon = raft.isLeader && (!isLeader || raft.term !== term);
      observer.led(raft.status(), configuration, { hasWon, holdsLease: () => raft.holdsLease });
    }
    return result;
  };
  Raft.prototype.step = function (message): ReturnType<typeof step> {
    const { commitIndex } = this.status();
    const isNews = message.kind === "installSnapshot" && message.snapshot.index > commitIndex;
    if (message.kind === "installSnapshot" && !isNews) observer.noticed("snapshotsRefusedAsOlder");
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

/** What the core is asked for, and refuses. */
function wrapRequests(observer: Observer): () => void {
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
    else if (holdsLease) observer.readUnderLease(this.status());
    else if (ledUnderLease.has(this)) observer.noticed("leasesRunOut");
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

function wrapStorage(observer: Observer): () => void {
  const { open } = WriteAheadLog;
  const { create } = SnapshotStore.prototype;
  SnapshotStore.prototype.create = function (header): ReturnType<typeof create> {
    observer.noticed("snapshotsBegun");
    return create.call(this, header);
  };
  WriteAheadLog.open = async (options): ReturnType<typeof open> => {
    const opened = await open.call(WriteAheadLog, options);
    observer.recovered(options.identity.nodeId, opened.recovered);
    return opened;
  };
  return () => {
    WriteAheadLog.open = open;
    SnapshotStore.prototype.create = create;
  };
}

function wrapStateMachine(observer: Observer): () => void {
  const { apply, applyNoop } = StateMachine.prototype;
  const { restoring } = StateMachine;
  StateMachine.restoring = function (options): ReturnType<typeof restoring> {
    const { add, finish } = restoring.call(StateMachine, options);
    return {
      add,
      finish: (): StateMachine => {
        const machine = finish();
        observer.restored(machine);
        return machine;
      },
    };
  };
  StateMachine.prototype.apply = function (index, command): CommandResult {
    const result = apply.call(this, index, command);
    observer.applied(this, index, { command, result });
    return result;
  };
  StateMachine.prototype.applyNoop = function (index): void {
    applyNoop.call(this, index);
    observer.applied(this, index, null);
  };
  return () => {
    Object.assign(StateMachine.prototype, { apply, applyNoop });
    StateMachine.restoring = restoring;
  };
}

function wrapNode(observer: Observer): () => void {
  const { receive } = Node.prototype;
  Node.prototype.receive = function (from, message): void {
    if (message.kind === "forward") observer.noticed("forwardedWrites");
    receive.call(this, from, message);
  };
  return () => void (Node.prototype.receive = receive);
}

function wrapInFlightWrites(observer: Observer): () => void {
  const { join } = InFlightWrites.prototype;
  InFlightWrites.prototype.join = function (stamp, answer): boolean {
    const joined = join.call(this, stamp, answer);
    if (joined) observer.noticed("retriesJoined");
    return joined;
  };
  return () => void (InFlightWrites.prototype.join = join);
}

/** Snapshots between nodes. */
function wrapExchange(observer: Observer): () => void {
  const { start, chunk, progressed, install, restore } = SnapshotExchange.prototype;
  /** Transfers of which nothing was heard yet. */
  const fresh = new WeakMap<SnapshotExchange, Set<NodeId>>();
  SnapshotExchange.prototype.start = function (request): void {
    start.call(this, request);
    const { to } = request;
    if (this.statusOf(to) === null) return;
    observer.noticed("snapshotsSent");
    fresh.set(this, (fresh.get(this) ?? new Set()).add(to));
  };
  SnapshotExchange.prototype.chunk = function (from, piece): void {
    if (piece.data.length > 0) observer.noticed("snapshotPieces");
    else if (piece.offset > 0) observer.noticed("snapshotsResumed");
    chunk.call(this, from, piece);
  };
  SnapshotExchange.prototype.progressed = function (from, progress): void {
    const isFirst = fresh.get(this)?.delete(from) === true;
    if (isFirst && progress.nextOffset > 0) observer.noticed("snapshotsResumed");
    progressed.call(this, from, progress);
  };
  SnapshotExchange.prototype.install = function (snapshot): void {
    install.call(this, snapshot);
    observer.noticed("snapshotsInstalled");
  };
  SnapshotExchange.prototype.restore = function (snapshot): void {
    restore.call(this, snapshot);
    observer.noticed("statesRestored");
  };
  return () => void Object.assign(SnapshotExchange.prototype, { start, chunk, progressed, install, restore });
}
