/** The interface of the consensus core: inputs, and one {@link Ready} as the output. mod.ts describes the core. */
import { assert, assertNever } from "../platform/assert.ts";
import type { RaftConfig } from "./config.ts";
import {
  becomeFollower,
  concludeElection,
  concludePreVote,
  handlePreVote,
  inLeaderLease,
  stepCandidate,
  tickCandidate,
} from "./election.ts";
import { campaignSoon, forwardRead, stepFollower, tickFollower } from "./follower.ts";
import {
  appendProposal,
  canServeReads,
  holdsLease,
  sendHeartbeats,
  stepLeader,
  takeRead,
  tickLeader,
} from "./leader.ts";
import { entryBytes } from "./log.ts";
import {
  advanceConfiguration,
  announceCommit,
  type ConfigurationProposed,
  proposeChange,
} from "./membership.ts";
import type { IgnoredReason, Message } from "./message.ts";
import { assertPeer, restartProbe } from "./progress.ts";
import type { EntryRead, ReadRequested, ReadState, Ready } from "./ready.ts";
import { advanceCommit, replicate, sendEntriesRead } from "./replication.ts";
import { type RaftDump, RaftState } from "./state.ts";
import { leaderKnownTo, type RaftStatus, statusOf } from "./status.ts";
import { bestSuccessor, sendTimeoutNowToSuccessor, startTransfer } from "./transfer.ts";
import type { Configuration, Entry, NodeId, SnapshotMetadata } from "./types.ts";

/**
 * The result of a proposal. `busy`: too many bytes are uncommitted. `transferring`: a leadership transfer is in
 * progress.
 */
export type Proposed =
  | { readonly kind: "accepted"; readonly index: number; readonly term: number }
  | { readonly kind: "refused"; readonly reason: "notLeader" | "busy" | "transferring" };

/** One node of the consensus core. */
export class Raft {
  readonly #state: RaftState;

  constructor(config: RaftConfig) {
    this.#state = new RaftState(config);
  }

  /** The leader that this node knows, or null. */
  get leader(): NodeId | null {
    return leaderKnownTo(this.#state);
  }

  /** Whether this node leads. */
  get isLeader(): boolean {
    return this.#state.role.kind === "leader";
  }

  /** Whether this node leads and holds a lease now. */
  get holdsLease(): boolean {
    const { role } = this.#state;
    return role.kind === "leader" && holdsLease(this.#state, role);
  }

  /** The current term. */
  get term(): number {
    return this.#state.term;
  }

  /** The newest configuration in the log, committed or not: the one in force (thesis §4.1). */
  get configuration(): Configuration {
    return this.#state.log.configurations.newest;
  }

  /** The newest configuration that is known to be committed. */
  get committedConfiguration(): Configuration {
    const { configurations, commitIndex } = this.#state.log;
    return configurations.at(commitIndex);
  }

  /**
   * Returns the configuration as of a committed index that is not below the newest snapshot's. An added node knows none
   * before the first configuration entry that it received, so it takes no snapshot before that.
   */
  configurationAt(index: number): Configuration {
    assert(index <= this.#state.log.commitIndex, "an uncommitted configuration may still change");
    return this.#state.log.configurations.at(index);
  }

  /**
   * Proposes another configuration, without outgoing voters. When voters change, the accepted entry is the joint
   * configuration, and the leader appends the target by itself once that is committed.
   */
  proposeConfiguration(target: Configuration): ConfigurationProposed {
    const { role } = this.#state;
    if (role.kind !== "leader") return { kind: "refused", reason: "notLeader" };
    const entry = proposeChange(this.#state, role, target);
    if (typeof entry === "string") return { kind: "refused", reason: entry };
    this.#assertInvariants();
    return { kind: "accepted", index: entry.index, term: entry.term };
  }

  /** Compacts the log up to `compactedIndex` ≤ snapshot.index ≤ appliedIndex: storage has a durable snapshot. */
  compact(
    { snapshot, compactedIndex }: { readonly snapshot: SnapshotMetadata; readonly compactedIndex: number },
  ): void {
    const { log } = this.#state;
    const known = log.termAt(snapshot.index);
    assert(known === null || known === snapshot.term, "a snapshot belongs to this log");
    log.compact({ snapshotIndex: snapshot.index, compactedIndex });
    this.#assertInvariants();
  }

  /** Reports that sending a snapshot to `node` failed, or that its response may be lost. The peer is probed again. */
  snapshotFailed(node: NodeId): void {
    const { role, log } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (peer?.progress.kind === "snapshot") restartProbe(peer, log.compacted.index);
  }

  /** Returns this node's view of itself and its cluster. */
  status(): RaftStatus {
    return statusOf(this.#state);
  }

  /** Returns the complete state, for tests that compare and explore states. */
  dump(): RaftDump {
    return this.#state.dump();
  }

  /** Advances logical time by one tick. */
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
    // In a cluster of one the own vote is the majority.
    if (state.role.kind === "preCandidate") concludePreVote(state, state.role);
    this.#afterInput();
  }

  /** Handles a message. Returns null, or why it was ignored; neither is an error. */
  step(message: Message): IgnoredReason | null {
    const ignored = this.#step(message);
    this.#afterInput();
    return ignored;
  }

  /** Proposes a command. It took effect if an entry with this index and term appears in `committed`. */
  propose(data: Uint8Array): Proposed {
    const { role } = this.#state;
    if (role.kind !== "leader") return { kind: "refused", reason: "notLeader" };
    const entry = appendProposal(this.#state, role, data);
    if (entry === "busy" || entry === "transferring") return { kind: "refused", reason: entry };
    return { kind: "accepted", index: entry.index, term: entry.term };
  }

  /**
   * Requests the read index for a read that has just arrived. Refused without a leader, and at a leader that has not
   * committed an entry of its term yet; try again.
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
   * Begins a round of heartbeats and returns its number, or null when this node does not lead. Peers that have
   * responded have it as `confirmedRound` in {@link RaftStatus.peers}.
   */
  beginRound(): number | null {
    const { role } = this.#state;
    if (role.kind !== "leader") return null;
    sendHeartbeats(this.#state, role);
    return role.reads.lastRound;
  }

  /** Tells a peer of this leader how much of its log is committed, before the next entries or round of heartbeats do. */
  announceCommit(node: NodeId): void {
    const { role } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (role.kind === "leader" && peer !== undefined) announceCommit(this.#state, role, [node, peer]);
  }

  /** Whether a leadership transfer is in progress, during which proposals are refused. */
  get isTransferring(): boolean {
    const { role } = this.#state;
    return role.kind === "leader" && role.transfer !== null;
  }

  /** Reports whether this node's disk has space for more of the log; the leader prefers successors that have. */
  reportDiskSpace(hasDiskSpace: boolean): void {
    this.#state.hasDiskSpace = hasDiskSpace;
  }

  /** Transfers leadership to the best successor if its disk has free space. Returns the target, or null. */
  transferFromFullDisk(): NodeId | null {
    const { role } = this.#state;
    if (role.kind !== "leader") return null;
    const target = bestSuccessor(this.#state, role);
    return target !== null && role.peers.get(target)?.hasDiskSpace === true
      ? startTransfer(this.#state, role, target)
      : null;
  }

  /** Transfers leadership to `target`, or to the best successor when null. Returns the target, or null if refused. */
  transferLeadership(target: NodeId | null): NodeId | null {
    const { role } = this.#state;
    return role.kind === "leader" ? startTransfer(this.#state, role, target) : null;
  }

  /** Reports that the write of the last Ready with `persist`, whose log ends in (index, term), is durable. */
  persisted(index: number, term: number): void {
    const state = this.#state;
    state.persisted(index, term);
    const { role } = state;
    if (role.kind === "candidate" && state.isVoteDurable) {
      role.votes.set(state.id, true);
      concludeElection(state, role);
    } else if (role.kind === "leader") {
      advanceCommit(state, role);
    }
    this.#afterInput();
  }

  /**
   * Reports that the disk does not accept the write in progress, because it is full for example. This node does not
   * campaign, and a leader steps down at once.
   */
  storageStalled(): void {
    const state = this.#state;
    assert(state.persistingTicks !== null, "only a write in progress can stall");
    state.persistingTicks = Math.max(state.persistingTicks, state.electionTicks);
    const { role } = state;
    if (role.kind !== "leader") return;
    sendTimeoutNowToSuccessor(state, role);
    becomeFollower(state, state.term, null);
  }

  /** Takes the entries of an {@link EntryRead}: consecutive, from its firstIndex on. */
  entriesRead(entryRead: EntryRead, entries: readonly Entry[]): void {
    const state = this.#state;
    if (entryRead.to !== null) {
      if (state.role.kind === "leader") sendEntriesRead(state, state.role, entryRead.to, entries);
      return;
    }
    state.isReadingCommitted = false;
    const { log } = state;
    const { appliedIndex, commitIndex } = log;
    // Storage may have read an entry that was overwritten since, by one that is committed now.
    const committed = entries.filter(({ index, term }) => index <= commitIndex && log.termAt(index) === term);
    if (committed[0]?.index !== appliedIndex + 1) return;
    state.committedEntriesRead = committed;
    log.markApplied(committed);
  }

  /**
   * Reports that messages to `node` may be lost, because its connection broke or is new. Pipelined entries are sent
   * again from matchIndex on. A snapshot transfer continues: the server that sends it resumes it.
   */
  messagesLost(node: NodeId): void {
    const { role, log } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (peer !== undefined && peer.progress.kind !== "snapshot") restartProbe(peer, log.compacted.index);
  }

  /** Reports that the address of `node` refuses connections: its process has ended. */
  reportUnreachable(node: NodeId): void {
    const { role } = this.#state;
    if (role.kind === "follower" && role.leader === node) campaignSoon(this.#state, role);
  }

  /**
   * Returns the next batch of work, or null when there is none. It has committed entries of at most `applyBytes`, or one,
   * and not more than the limits say.
   */
  takeReady(applyBytes = Infinity): Ready | null {
    const state = this.#state;
    const persist = state.takePersist();
    const { role } = state;
    let hasMoreToSend = false;
    if (role.kind === "leader") {
      if (role.reads.wantsRound) sendHeartbeats(state, role);
      hasMoreToSend = replicate(state, role);
    }
    const { restore, log: { commitIndex } } = state;
    state.restore = null;
    const committed = this.#takeCommitted(Math.min(applyBytes, state.limits.applyBytes));
    const messages = state.takeMessages();
    const reads: ReadState[] = state.reads.splice(0);
    const entryReads = state.entryReads.splice(0);
    const snapshots = state.snapshots.splice(0);
    this.#assertInvariants();
    const idle = persist === null && restore === null &&
      [messages, committed, reads, entryReads, snapshots].every(({ length }) => length === 0);
    return idle
      ? null
      : { persist, messages, hasMoreToSend, restore, committed, commitIndex, reads, entryReads, snapshots };
  }

  #takeCommitted(applyBytes: number): readonly Entry[] {
    const state = this.#state;
    let committed: readonly Entry[] | null = state.committedEntriesRead;
    state.committedEntriesRead = [];
    if (committed.length === 0) {
      if (state.isReadingCommitted) return [];
      committed = state.log.takeCommitted(applyBytes);
      if (committed === null) {
        state.isReadingCommitted = true;
        const firstIndex = state.log.appliedIndex + 1;
        state.entryReads.push({ to: null, firstIndex, maxBytes: applyBytes });
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
    if (message.from === state.id || this.#isFromUnknownSender(message)) return "unknownSender";
    if (message.term < state.term) return this.#respondToStale(message);
    if (message.kind === "preVote") {
      handlePreVote(state, message);
      return null;
    }
    if (message.kind === "preVoteResponse" && message.granted) {
      // It repeats the requested term: one requested before the current term began is stale.
      if (message.term !== state.term + 1) return "stalePreVote";
    } else if (message.term > state.term) {
      if (message.kind === "requestVote" && !message.leadershipTransfer && inLeaderLease(state)) {
        return "leaderIsAlive";
      }
      becomeFollower(state, message.term, leaderOf(message));
    }
    let { role } = state;
    if ((role.kind === "preCandidate" || role.kind === "candidate") && leaderOf(message) !== null) {
      // Another node has won this term (Raft §5.2).
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
   * Requests of any leader or candidate are handled: it may belong to a configuration that this node does not have yet
   * (thesis §4.1). A response counts only from a node to which this one may have sent a request.
   */
  #isFromUnknownSender({ kind, from }: Message): boolean {
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
   * Responds to a request of an earlier term with the current term, so that its sender adopts it. Without that, a node
   * with a higher term and an older log could never rejoin a leader that ignores its vote requests.
   *
   * When the response arrives, its receiver may lead the current term and take it for a response to its own request. So
   * the response must be true: it confirms no round of heartbeats (round 0), grants no lease, and its conflict hint is
   * an index of this log.
   */
  #respondToStale(message: Message): IgnoredReason | null {
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
        const { hasDiskSpace } = this.#state;
        this.#state.sendAnswer({
          kind: "heartbeatResponse",
          from,
          to,
          term,
          round: 0,
          promisedMs: 0,
          hasDiskSpace,
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

  /** Checks, after every input, whether a leader can leave a joint configuration or drop removed peers. */
  #afterInput(): void {
    const { role } = this.#state;
    if (role.kind === "leader") advanceConfiguration(this.#state, role);
    this.#assertInvariants();
  }

  #assertInvariants(): void {
    const { log, role, term } = this.#state;
    log.assertInvariants();
    assert(log.lastTerm <= term, "no entry has a later term than the node");
    if (role.kind === "leader") {
      for (const peer of role.peers.values()) assertPeer(peer);
    }
  }
}

/** Returns the sender of a message that only a leader sends, else null. */
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
