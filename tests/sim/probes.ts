/**
 * What is seen of the production code while it runs: the public doors of the core, the log and the state machine are
 * wrapped for the time of a run, so that no production file has to know of a simulator.
 *
 * The wraps change nothing: they look at what goes in and comes out. There is one world at a time in a program.
 */
import type { Command, CommandResult } from "../../lib/kv/mod.ts";
import { StateMachine } from "../../lib/kv/mod.ts";
import { Node } from "../../lib/server/node.ts";
import { OpenWrites } from "../../lib/server/open_writes.ts";
import { type Message, Raft, type RaftStatus, type Ready } from "../../lib/raft/mod.ts";
import { type RecoveredLog, WriteAheadLog } from "../../lib/storage/mod.ts";
import type { RareState } from "./coverage.ts";

/** Takes what is seen. */
export interface Observer {
  /** A node has read its log back. */
  recovered(node: number, recovered: RecoveredLog): void;
  /** A node of the core heard a message; `ignored` says why it took no notice, if so. */
  stepped(message: Message, ignored: string | null): void;
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
    wrapOpenWrites(observer),
  ];
  return () => undo.forEach((one) => one());
}

function wrapRaft(observer: Observer): () => void {
  const { step, takeReady, persisted } = Raft.prototype;
  Raft.prototype.step = function (message): ReturnType<typeof step> {
    const disposition = step.call(this, message);
    observer.stepped(message, disposition);
    return disposition;
  };
  Raft.prototype.takeReady = function (): Ready | null {
    const ready = takeReady.call(this);
    observer.tookReady(this.status(), ready);
    return ready;
  };
  Raft.prototype.persisted = function (index, term): void {
    observer.persisted(this.status().id, index, term);
    persisted.call(this, index, term);
  };
  return () => void Object.assign(Raft.prototype, { step, takeReady, persisted });
}

/** What the core is asked for, and refuses. */
function wrapRequests(observer: Observer): () => void {
  const { propose, readIndex, storageStalled, messagesLost } = Raft.prototype;
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
    const requested = readIndex.call(this);
    if (requested.kind === "refused") observer.noticed("refusedReads");
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
  WriteAheadLog.open = async (options): ReturnType<typeof open> => {
    const opened = await open.call(WriteAheadLog, options);
    observer.recovered(options.identity.nodeId, opened.recovered);
    return opened;
  };
  return () => void (WriteAheadLog.open = open);
}

function wrapStateMachine(observer: Observer): () => void {
  const { apply, applyNoop } = StateMachine.prototype;
  StateMachine.prototype.apply = function (index, command): CommandResult {
    const result = apply.call(this, index, command);
    observer.applied(this, index, { command, result });
    return result;
  };
  StateMachine.prototype.applyNoop = function (index): void {
    applyNoop.call(this, index);
    observer.applied(this, index, null);
  };
  return () => void Object.assign(StateMachine.prototype, { apply, applyNoop });
}

function wrapNode(observer: Observer): () => void {
  const { receive } = Node.prototype;
  Node.prototype.receive = function (from, message): void {
    if (message.kind === "forward") observer.noticed("forwardedWrites");
    receive.call(this, from, message);
  };
  return () => void (Node.prototype.receive = receive);
}

function wrapOpenWrites(observer: Observer): () => void {
  const { join } = OpenWrites.prototype;
  OpenWrites.prototype.join = function (stamp, answer): boolean {
    const joined = join.call(this, stamp, answer);
    if (joined) observer.noticed("retriesJoined");
    return joined;
  };
  return () => void (OpenWrites.prototype.join = join);
}
