/**
 * Wraps public methods of the production code during a run, so that an observer sees their inputs and outputs. The
 * wrappers change no behaviour, and production code has no hooks for them. A program runs one simulation at a time.
 */
import {
  type RecoveredLog,
  SnapshotStore,
  type StoredSnapshot,
  WriteAheadLog,
} from "../../../lib/storage/mod.ts";
import { type Command, type CommandResult, StateMachine } from "../../../lib/kv/mod.ts";
import type { NodeId } from "../../../lib/raft/mod.ts";
import { Node } from "../../../lib/server/node.ts";
import { ConnectionWatches } from "../../../lib/server/watch/connection_watches.ts";
import { HistoryFeed } from "../../../lib/server/watch/history_feed.ts";
import { WatchHub } from "../../../lib/server/watch/watch_hub.ts";
import { Reply } from "../../../lib/server/reply.ts";
import { InFlightWrites } from "../../../lib/server/writes.ts";
import { SnapshotExchange } from "../../../lib/server/snapshot/exchange.ts";
import { type CoreObserver, observeCore } from "../../support/raft/core_probes.ts";

/** Observer of the production code. */
export interface Observer extends CoreObserver {
  /** A node has read its log back. */
  recovered(node: number, recovered: RecoveredLog): void;
  /** A state was read from a snapshot. */
  restored(machine: StateMachine): void;
  /** A node sends the reply to a request. */
  replied(requestId: number): void;
  /** A state machine applied the entry at `index`; null for an entry that changes nothing. */
  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void;
}

/** Installs `observer` until the returned function is called. */
export function observe(observer: Observer): () => void {
  const undo = [
    observeCore(observer),
    wrapStorage(observer),
    wrapStateMachine(observer),
    wrapNode(observer),
    wrapReply(observer),
    wrapInFlightWrites(observer),
    wrapExchange(observer),
    wrapWatches(observer),
  ];
  return () => undo.forEach((one) => one());
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
    const { add, finishing } = restoring.call(StateMachine, options);
    return {
      add,
      finishing: function* (): Generator<void, StateMachine> {
        const machine = yield* finishing();
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

function wrapReply(observer: Observer): () => void {
  const { send } = Reply.prototype;
  Reply.prototype.send = function (message): void {
    if ("requestId" in message) observer.replied(message.requestId);
    send.call(this, message);
  };
  return () => void (Reply.prototype.send = send);
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

function wrapWatches(observer: Observer): () => void {
  const { restored } = WatchHub.prototype;
  const { add } = HistoryFeed.prototype;
  const { resume } = ConnectionWatches.prototype;
  WatchHub.prototype.restored = function (machine): void {
    if (this.size > 0) observer.noticed("watchesRestored");
    restored.call(this, machine);
  };
  HistoryFeed.prototype.add = function (watch): void {
    observer.noticed("watchesSetBack");
    add.call(this, watch);
  };
  ConnectionWatches.prototype.resume = function (): void {
    if (this.held.size > 0) observer.noticed("watchesHeld");
    resume.call(this);
  };
  return () => {
    Object.assign(WatchHub.prototype, { restored });
    Object.assign(HistoryFeed.prototype, { add });
    Object.assign(ConnectionWatches.prototype, { resume });
  };
}

/** Snapshots between nodes. */
function wrapExchange(observer: Observer): () => void {
  const { start, chunk, progressed, install, restore } = SnapshotExchange.prototype;
  /** Transfers without an answer yet. */
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
  SnapshotExchange.prototype.progressed = function (from, progress): StoredSnapshot | null {
    const isFirst = fresh.get(this)?.delete(from) === true;
    if (isFirst && progress.nextOffset > 0) observer.noticed("snapshotsResumed");
    return progressed.call(this, from, progress);
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
