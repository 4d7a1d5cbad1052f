/** The door of the consensus core: inputs in, one `Ready` out. See mod.ts for what the core is. */
import { assert, assertNever } from "../platform/assert.ts";
import { settleElection, settlePreVote, stepCandidate, tickCandidate } from "./candidate.ts";
import type { RaftConfig } from "./config.ts";
import type { RaftDump } from "./dump.ts";
import { answerPreVote, inLeaderLease } from "./election.ts";
import { campaignSoon, forwardRead, stepFollower, tickFollower } from "./follower.ts";
import {
  appendProposal,
  bestSuccessor,
  canServeReads,
  holdsLease,
  sendHeartbeats,
  startTransfer,
  stepLeader,
  takeRead,
  tickLeader,
} from "./leader.ts";
import { entryBytes } from "./log.ts";
import type { IgnoredReason, Message } from "./message.ts";
import { type ConfigurationRefusal, proposeChange, settleConfiguration } from "./membership.ts";
import { assertPeer, probeAgain } from "./progress.ts";
import type { EntryRead, ReadState, Ready } from "./ready.ts";
import { advanceCommit, replicate, sendEntriesRead } from "./replication.ts";
import { RaftState } from "./state.ts";
import { leaderKnownTo, type RaftStatus, statusOf } from "./status.ts";
import { becomeFollower } from "./transitions.ts";
import type { Configuration, Entry, NodeId, SnapshotMetadata } from "./types.ts";

/** What became of a proposal. `busy`: too much is uncommitted, or leadership is being handed over. */
export type Proposed =
  | { readonly kind: "accepted"; readonly index: number; readonly term: number }
  | { readonly kind: "refused"; readonly reason: "notLeader" | "busy" | "transferring" };

/**
 * What became of a proposed configuration. `changeUnderWay`: the one before is not committed yet, or is a joint one;
 * `notReady`: this leader has not committed in its term yet. Try again.
 */
export type ConfigurationProposed =
  | { readonly kind: "accepted"; readonly index: number; readonly term: number }
  | { readonly kind: "refused"; readonly reason: "notLeader" | ConfigurationRefusal };

/** What became of a request for a read index; an accepted one is answered by a {@link ReadState} with its id. */
export type ReadRequested =
  | { readonly kind: "accepted"; readonly readId: number }
  | { readonly kind: "refused" };

/** One node of the consensus core. */
export class Raft {
  readonly #state: RaftState;

  constructor(config: RaftConfig) {
    this.#state = new RaftState(config);
  }

  /** Who leads, as far as this node knows. */
  get leader(): NodeId | null {
    return leaderKnownTo(this.#state);
  }

  /** Whether this node leads. */
  get isLeader(): boolean {
    return this.#state.role.kind === "leader";
  }

  /** Whether this node leads and answers reads under a lease at this moment. */
  get holdsLease(): boolean {
    const { role } = this.#state;
    return role.kind === "leader" && holdsLease(this.#state, role);
  }

  /** The current term. */
  get term(): number {
    return this.#state.term;
  }

  /** The newest configuration in the log, committed or not: the one that decides (thesis §4.1). */
  get configuration(): Configuration {
    return this.#state.log.configurations.newest;
  }

  /** The newest configuration that is known to be committed. */
  get committedConfiguration(): Configuration {
    const { configurations, commitIndex } = this.#state.log;
    return configurations.at(commitIndex);
  }

  /**
   * The configuration as of a committed index that is not below the newest snapshot's. A node that was added knows none
   * before the first configuration entry that it got: its snapshots had better wait for that.
   */
  configurationAt(index: number): Configuration {
    assert(index <= this.#state.log.commitIndex, "what is not committed may still change");
    return this.#state.log.configurations.at(index);
  }

  /**
   * Asks for another configuration, without outgoing voters: they are the core's affair. When voters change, what is
   * accepted is the joint configuration, and the leader goes on to the target by itself once that is committed.
   */
  proposeConfiguration(target: Configuration): ConfigurationProposed {
    const { role } = this.#state;
    if (role.kind !== "leader") return { kind: "refused", reason: "notLeader" };
    const entry = proposeChange(this.#state, role, target);
    if (typeof entry === "string") return { kind: "refused", reason: entry };
    this.#assertInvariants();
    return { kind: "accepted", index: entry.index, term: entry.term };
  }

  /** A durable snapshot exists, and the entries up to `compactedIndex` are gone (compactedIndex ≤ snapshot.index ≤ appliedIndex). */
  compact(
    { snapshot, compactedIndex }: { readonly snapshot: SnapshotMetadata; readonly compactedIndex: number },
  ): void {
    const { log } = this.#state;
    const known = log.termAt(snapshot.index);
    assert(known === null || known === snapshot.term, "a snapshot is of this log");
    log.compact({ snapshotIndex: snapshot.index, compactedIndex });
    this.#assertInvariants();
  }

  /** Sending a snapshot to `node` was given up, or it was sent and its answer may be lost: it is asked what it has. */
  snapshotFailed(node: NodeId): void {
    const { role, log } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (peer?.progress.kind === "snapshot") probeAgain(peer, log.compacted.index);
  }

  /** This node's view of itself. */
  status(): RaftStatus {
    return statusOf(this.#state);
  }

  /** All that this node remembers, for tests that compare and explore states. */
  dump(): RaftDump {
    return this.#state.dump();
  }

  /** One unit of logical time has passed. */
  tick(): void {
    const state = this.#state;
    if (state.persistingTicks !== null) state.persistingTicks++;
    const { role } = state;
    switch (role.kind) {
      case "follower":
        tickFollower(state, role);
        break;
      case "preCandidate":
      case "candidate":
        tickCandidate(state, role);
        break;
      case "leader":
        tickLeader(state, role);
        break;
      default:
        assertNever(role);
    }
    // A cluster of one has won before anybody answers.
    if (state.role.kind === "preCandidate") settlePreVote(state, state.role);
    this.#settle();
  }

  /** A message came in. Returns null when it was taken, else why it was ignored; neither is an error. */
  step(message: Message): IgnoredReason | null {
    const ignored = this.#step(message);
    this.#settle();
    return ignored;
  }

  /** Asks for a command to be replicated. What becomes of it shows in `committed`, at this index and in this term. */
  propose(data: Uint8Array): Proposed {
    const { role } = this.#state;
    if (role.kind !== "leader") return { kind: "refused", reason: "notLeader" };
    const entry = appendProposal(this.#state, role, data);
    if (entry === "busy" || entry === "transferring") return { kind: "refused", reason: entry };
    return { kind: "accepted", index: entry.index, term: entry.term };
  }

  /**
   * Asks at what index a read that has just come in may be answered. Refused without a leader, and at a leader that
   * has not committed in its term yet: try again.
   */
  readIndex(): ReadRequested {
    const state = this.#state;
    const { role } = state;
    if (role.kind === "follower") {
      const readId = forwardRead(state, role);
      return readId === null ? { kind: "refused" } : { kind: "accepted", readId };
    }
    if (role.kind !== "leader" || !canServeReads(state, role)) return { kind: "refused" };
    const readId = state.nextReadId();
    takeRead(state, role, { readId, from: state.id });
    return { kind: "accepted", readId };
  }

  /**
   * Begins a round of heartbeats: nodes that answer it show it in `confirmedRound` of their {@link RaftStatus.peers}. Null
   * when this node does not lead.
   */
  beginRound(): number | null {
    const { role } = this.#state;
    if (role.kind !== "leader") return null;
    sendHeartbeats(this.#state, role);
    return role.reads.lastRound;
  }

  /** Whether leadership is being handed over, and nothing is proposed meanwhile. */
  get isTransferring(): boolean {
    const { role } = this.#state;
    return role.kind === "leader" && role.transfer !== null;
  }

  /** Whether this node's disk has room for more of the log: it tells the leader, which prefers successors that have. */
  noteRoom(hasRoom: boolean): void {
    this.#state.hasRoom = hasRoom;
  }

  /** Hands leadership to the best-placed follower that has room on its disk. Returns whom, or null if there is none. */
  transferToRoom(): NodeId | null {
    const { role } = this.#state;
    if (role.kind !== "leader") return null;
    const target = bestSuccessor(this.#state, role);
    return target !== null && role.peers.get(target)?.hasRoom === true
      ? startTransfer(this.#state, role, target)
      : null;
  }

  /** Hands leadership to `target`, or to the best-placed follower when null. Returns whom, or null if it can't. */
  transferLeadership(target: NodeId | null): NodeId | null {
    const { role } = this.#state;
    return role.kind === "leader" ? startTransfer(this.#state, role, target) : null;
  }

  /** The write of the last Ready with `persist`, whose log ended in (index, term), is durable. */
  persisted(index: number, term: number): void {
    const state = this.#state;
    state.persisted(index, term);
    const { role } = state;
    if (role.kind === "candidate" && state.isVoteDurable) {
      role.votes.set(state.id, true);
      settleElection(state, role);
    } else if (role.kind === "leader") {
      advanceCommit(state, role);
    }
    this.#settle();
  }

  /**
   * The disk does not take the write under way (it is full, say): this node does not campaign, and a leader steps down at
   * once. The best-placed voter need not wait for its silence (thesis §3.10).
   */
  storageStalled(): void {
    const state = this.#state;
    assert(state.persistingTicks !== null, "only a write that is under way can stall");
    state.persistingTicks = Math.max(state.persistingTicks, state.electionTicks);
    const { role, id: from, term } = state;
    if (role.kind !== "leader") return;
    const to = bestSuccessor(state, role);
    if (to !== null) state.send({ kind: "timeoutNow", from, to, term });
    becomeFollower(state, term, null);
  }

  /** Entries that a {@link EntryRead} asked for; consecutive, from its firstIndex on. */
  entriesRead(entryRead: EntryRead, entries: readonly Entry[]): void {
    const state = this.#state;
    if (entryRead.to !== null) {
      if (state.role.kind === "leader") sendEntriesRead(state, state.role, entryRead.to, entries);
      return;
    }
    state.isReadingCommitted = false;
    const { log } = state;
    const { appliedIndex, commitIndex } = log;
    // The read may have met an entry that was rewritten since, and whose successor is committed by now.
    const committed = entries.filter(({ index, term }) => index <= commitIndex && log.termAt(index) === term);
    if (committed[0]?.index !== appliedIndex + 1) return;
    state.committedEntriesRead = committed;
    log.markApplied(committed);
  }

  /**
   * Messages to `node` may have been lost (its connection broke, or is new): what was pipelined is sent again from
   * where the logs are known to agree. (Not a snapshot: whoever sends it goes on with it.)
   */
  messagesLost(node: NodeId): void {
    const { role, log } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (peer !== undefined && peer.progress.kind !== "snapshot") probeAgain(peer, log.compacted.index);
  }

  /** The process of `node` is gone: nobody listens at its address any more. */
  reportUnreachable(node: NodeId): void {
    const { role } = this.#state;
    if (role.kind === "follower" && role.leader === node) campaignSoon(this.#state, role);
  }

  /** What must now be done, or null when there is nothing. */
  takeReady(): Ready | null {
    const state = this.#state;
    const persist = state.takePersist();
    const { role } = state;
    if (role.kind === "leader") {
      if (role.reads.wantsRound) sendHeartbeats(state, role);
      replicate(state, role);
    }
    const { restore } = state;
    state.restore = null;
    const committed = this.#takeCommitted();
    const messages = state.takeMessages();
    const reads: ReadState[] = state.reads.splice(0);
    const entryReads = state.entryReads.splice(0);
    const snapshots = state.snapshots.splice(0);
    this.#assertInvariants();
    const idle = persist === null && restore === null &&
      [messages, committed, reads, entryReads, snapshots].every(({ length }) => length === 0);
    return idle ? null : { persist, messages, restore, committed, reads, entryReads, snapshots };
  }

  #takeCommitted(): readonly Entry[] {
    const state = this.#state;
    let committed: readonly Entry[] | null = state.committedEntriesRead;
    state.committedEntriesRead = [];
    if (committed.length === 0) {
      if (state.isReadingCommitted) return [];
      committed = state.log.takeCommitted(state.limits.applyBytes);
      if (committed === null) {
        state.isReadingCommitted = true;
        const firstIndex = state.log.appliedIndex + 1;
        state.entryReads.push({ to: null, firstIndex, maxBytes: state.limits.applyBytes });
        return [];
      }
    }
    if (state.role.kind === "leader") {
      for (const entry of committed) {
        if (entry.term === state.term) state.role.unappliedBytes -= entryBytes(entry);
      }
    }
    return committed;
  }

  #step(message: Message): IgnoredReason | null {
    const state = this.#state;
    if (message.to !== state.id) return "wrongRecipient";
    if (message.from === state.id || this.#isAnswerOfStranger(message)) return "unknownSender";
    if (message.term < state.term) return this.#stepEarlier(message);
    if (message.kind === "preVote") {
      answerPreVote(state, message);
      return null;
    }
    if (message.kind === "preVoteResponse" && message.granted) {
      // It repeats the term that was asked for: one asked for before the present term began counts no more.
      if (message.term !== state.term + 1) return "stalePreVote";
    } else if (message.term > state.term) {
      if (message.kind === "requestVote" && !message.leadershipTransfer && inLeaderLease(state)) {
        return "leaderIsAlive";
      }
      becomeFollower(state, message.term, leaderOf(message));
    }
    let { role } = state;
    if ((role.kind === "preCandidate" || role.kind === "candidate") && leaderOf(message) !== null) {
      // Somebody else has won this term (Raft §5.2).
      becomeFollower(state, message.term, message.from);
      role = state.role;
    }
    switch (role.kind) {
      case "follower":
        return stepFollower(state, role, message);
      case "preCandidate":
      case "candidate":
        return stepCandidate(state, role, message);
      case "leader":
        return stepLeader(state, role, message);
      default:
        return assertNever(role);
    }
  }

  /**
   * What a leader or a candidate asks is heard whoever it is: it may belong to a configuration that this node has not
   * heard of (thesis §4.1). An answer counts only from those whom this node may have asked.
   */
  #isAnswerOfStranger({ kind, from }: Message): boolean {
    const { log: { configurations, commitIndex }, role } = this.#state;
    switch (kind) {
      case "preVoteResponse":
      case "requestVoteResponse":
      case "appendEntriesResponse":
      case "heartbeatResponse":
        return role.kind === "leader"
          ? !role.peers.has(from)
          : !configurations.nodesFrom(commitIndex).has(from);
      case "preVote":
      case "requestVote":
      case "appendEntries":
      case "heartbeat":
      case "timeoutNow":
      case "installSnapshot":
      case "readIndex":
      case "readIndexResponse":
        return false;
      default:
        return assertNever(kind);
    }
  }

  /**
   * A request of an earlier term is answered with the present one, so that its sender learns of it: without that, a
   * node with a higher term and an older log, and a leader that ignores its votes, would never come together.
   *
   * By the time the answer arrives its receiver may lead this very term, so it must say nothing untrue there: it
   * confirms no round of heartbeats (0 is none) and promises nothing, and its hint is a place where this log really
   * stands.
   */
  #stepEarlier(message: Message): IgnoredReason | null {
    const { id: from, term } = this.#state;
    const to = message.from;
    switch (message.kind) {
      case "preVote":
        this.#state.sendAnswer({ kind: "preVoteResponse", from, to, term, granted: false });
        break;
      case "requestVote":
        this.#state.sendAnswer({ kind: "requestVoteResponse", from, to, term, granted: false });
        break;
      case "appendEntries": {
        const { prevLogIndex, prevLogTerm } = message;
        const { index: conflictIndex, term: conflictTerm } = this.#state.log.findConflictByTerm(
          prevLogIndex,
          prevLogTerm,
        );
        const result = { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm } as const;
        this.#state.sendAnswer({ kind: "appendEntriesResponse", from, to, term, result });
        break;
      }
      case "heartbeat": {
        const { hasRoom } = this.#state;
        this.#state.sendAnswer({
          kind: "heartbeatResponse",
          from,
          to,
          term,
          round: 0,
          promisedMs: 0,
          hasRoom,
        });
        break;
      }
      case "installSnapshot":
      case "preVoteResponse":
      case "requestVoteResponse":
      case "appendEntriesResponse":
      case "heartbeatResponse":
      case "timeoutNow":
      case "readIndex":
      case "readIndexResponse":
        break;
      default:
        assertNever(message);
    }
    return "staleTerm";
  }

  /** Whatever has come to be known, a leader's configuration takes the steps that follow from it. */
  #settle(): void {
    const { role } = this.#state;
    if (role.kind === "leader") settleConfiguration(this.#state, role);
    this.#assertInvariants();
  }

  #assertInvariants(): void {
    const { log, role, term } = this.#state;
    log.assertInvariants();
    assert(log.lastTerm <= term, "no entry is of a later term than the node");
    if (role.kind === "leader") {
      for (const peer of role.peers.values()) assertPeer(peer);
    }
  }
}

/** The sender, if only a leader sends such a message. */
function leaderOf(message: Message): NodeId | null {
  switch (message.kind) {
    case "appendEntries":
    case "heartbeat":
    case "installSnapshot":
      return message.from;
    default:
      return null;
  }
}
