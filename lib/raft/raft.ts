/** The door of the consensus core: inputs in, one `Ready` out. See mod.ts for what the core is. */
import { assert, assertNever } from "../assert.ts";
import { settleElection, settlePreVote, stepCandidate, tickCandidate } from "./candidate.ts";
import type { RaftConfig } from "./config.ts";
import type { Disposition } from "./disposition.ts";
import type { RaftDump } from "./dump.ts";
import { answerPreVote, hearsLiveLeader } from "./election.ts";
import { forwardRead, stepFollower, tickFollower } from "./follower.ts";
import {
  appendProposal,
  canServeReads,
  sendHeartbeats,
  startTransfer,
  stepLeader,
  tickLeader,
} from "./leader.ts";
import { entryBytes } from "./log.ts";
import type { Message } from "./message.ts";
import { assertPeer, probeAgain } from "./progress.ts";
import { members } from "./quorum.ts";
import type { Load, ReadState, Ready } from "./ready.ts";
import { advanceCommit, replicate, sendLoaded } from "./replication.ts";
import type { Role } from "./role.ts";
import { RaftState } from "./state.ts";
import { becomeFollower } from "./transitions.ts";
import type { Progress } from "./progress.ts";
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
  | {
    readonly kind: "refused";
    readonly reason: "notLeader" | "transferring" | "busy" | "changeUnderWay" | "notReady";
  };

/** What a leader knows of another node. */
export interface PeerView {
  readonly id: NodeId;
  readonly matchIndex: number;
  readonly kind: Progress["kind"];
  /** Whether it was heard from since the last CheckQuorum. */
  readonly isActive: boolean;
  /** Ticks since it was last heard from in this term; null when it never was. */
  readonly ticksSinceContact: number | null;
}

/** What became of a request for a read index; an accepted one is answered by a {@link ReadState} with its id. */
export type ReadRequested =
  | { readonly kind: "accepted"; readonly readId: number }
  | { readonly kind: "refused" };

/** A node's view of itself and its cluster, for status pages and tests. */
export interface RaftStatus {
  readonly id: NodeId;
  readonly role: Role["kind"];
  readonly term: number;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** Index of the first entry in the log, whether there is one or not. */
  readonly firstIndex: number;
  /** Index of the newest snapshot; 0 for none. */
  readonly snapshotIndex: number;
  /** The newest configuration in the log, committed or not. */
  readonly configuration: Configuration;
  /** Of a leader: what it knows of every other node, by id; else empty. */
  readonly peers: readonly PeerView[];
}

/** One node of the consensus core. */
export class Raft {
  readonly #state: RaftState;
  readonly #members: ReadonlySet<NodeId>;
  /** Entries read back from storage to be applied, not yet handed out. */
  #loadedCommitted: readonly Entry[] = [];

  constructor(config: RaftConfig) {
    this.#state = new RaftState(config);
    this.#members = new Set(members(config.recovered.snapshot.configuration.confState));
  }

  /** Who leads, as far as this node knows. */
  get leader(): NodeId | null {
    const { role, id } = this.#state;
    if (role.kind === "leader") return id;
    return role.kind === "follower" ? role.leader : null;
  }

  /** Whether this node leads. */
  get isLeader(): boolean {
    return this.#state.role.kind === "leader";
  }

  /** The current term. */
  get term(): number {
    return this.#state.term;
  }

  /** The newest configuration in the log, committed or not: the one that decides (thesis §4.1). */
  get configuration(): Configuration {
    return this.configurationAt(0);
  }

  /** The newest configuration that is known to be committed. */
  get committedConfiguration(): Configuration {
    return this.configurationAt(0);
  }

  /** The configuration as of a committed index that is not below the newest snapshot's. */
  configurationAt(_index: number): Configuration {
    throw new Error("to come");
  }

  /**
   * Asks for another configuration, without outgoing voters: they are the core's affair. When voters change, what is
   * accepted is the joint configuration, and the leader goes on to the target by itself once that is committed.
   */
  proposeConfiguration(_target: Configuration): ConfigurationProposed {
    return { kind: "refused", reason: "notReady" };
  }

  /** A durable snapshot exists, and the entries up to `baseIndex` are gone (baseIndex ≤ snapshot.index ≤ appliedIndex). */
  compact(_durable: { readonly snapshot: SnapshotMetadata; readonly baseIndex: number }): void {}

  /** Sending a snapshot to `node` was given up, or it was sent and its answer may be lost: it is asked what it has. */
  snapshotFailed(_node: NodeId): void {}

  /** This node's view of itself. */
  status(): RaftStatus {
    const { id, role, term, vote, log } = this.#state;
    const { commitIndex, appliedIndex, lastIndex } = log;
    return {
      id,
      role: role.kind,
      term,
      vote,
      leader: this.leader,
      commitIndex,
      appliedIndex,
      lastIndex,
      firstIndex: 1,
      snapshotIndex: 0,
      configuration: this.configuration,
      peers: [],
    };
  }

  /** All that this node remembers, for tests that compare and explore states. */
  dump(): RaftDump {
    return { ...this.#state.dump(), loadedCommitted: this.#loadedCommitted };
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
    this.#assertInvariants();
  }

  /** A message came in. Returns null when it was taken, else why it was ignored; neither is an error. */
  step(message: Message): Disposition {
    const disposition = this.#step(message);
    this.#assertInvariants();
    return disposition;
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
    role.reads.add({ readId, from: state.id });
    return { kind: "accepted", readId };
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
    this.#assertInvariants();
  }

  /** The disk does not take the write under way (it is full, say): a leader steps down at once, nobody campaigns. */
  storageStalled(): void {
    const state = this.#state;
    assert(state.persistingTicks !== null, "only a write that is under way can stall");
    state.persistingTicks = Math.max(state.persistingTicks, state.electionTicks);
    if (state.role.kind === "leader") becomeFollower(state, state.term, null);
  }

  /** Entries that a {@link Load} asked for; consecutive, from its firstIndex on. */
  loaded(load: Load, entries: readonly Entry[]): void {
    const state = this.#state;
    if (load.to !== null) {
      if (state.role.kind === "leader") sendLoaded(state, state.role, load.to, entries);
      return;
    }
    state.loadingCommitted = false;
    const { log } = state;
    const { appliedIndex, commitIndex } = log;
    // The read may have met an entry that was rewritten since, and whose successor is committed by now.
    const committed = entries.filter(({ index, term }) => index <= commitIndex && log.termAt(index) === term);
    if (committed[0]?.index !== appliedIndex + 1) return;
    this.#loadedCommitted = committed;
    log.markApplied(committed);
  }

  /**
   * Messages to `node` may have been lost (its connection broke, or is new): what was pipelined is sent again from
   * where the logs are known to agree.
   */
  messagesLost(node: NodeId): void {
    const { role } = this.#state;
    const peer = role.kind === "leader" ? role.peers.get(node) : undefined;
    if (peer !== undefined) probeAgain(peer);
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
    const committed = this.#takeCommitted();
    const messages = state.takeMessages();
    const reads: ReadState[] = state.reads.splice(0);
    const loads = state.loads.splice(0);
    this.#assertInvariants();
    const idle = persist === null && messages.length === 0 && committed.length === 0 && reads.length === 0 &&
      loads.length === 0;
    return idle ? null : { persist, messages, restore: null, committed, reads, loads, snapshots: [] };
  }

  #takeCommitted(): readonly Entry[] {
    const state = this.#state;
    let committed: readonly Entry[] | null = this.#loadedCommitted;
    this.#loadedCommitted = [];
    if (committed.length === 0) {
      if (state.loadingCommitted) return [];
      committed = state.log.takeCommitted(state.limits.applyBytes);
      if (committed === null) {
        state.loadingCommitted = true;
        const firstIndex = state.log.appliedIndex + 1;
        state.loads.push({ to: null, firstIndex, maxBytes: state.limits.applyBytes });
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

  #step(message: Message): Disposition {
    const state = this.#state;
    if (message.to !== state.id) return "addressed to another node";
    if (message.from === state.id || !this.#members.has(message.from)) return "from a stranger";
    if (message.term < state.term) return this.#stepEarlier(message);
    if (message.kind === "preVote") {
      answerPreVote(state, message);
      return null;
    }
    if (message.kind === "preVoteResponse" && message.granted) {
      // It repeats the term that was asked for: one asked for before the present term began counts no more.
      if (message.term !== state.term + 1) return "answer to an earlier term";
    } else if (message.term > state.term) {
      if (message.kind === "requestVote" && !message.leadershipTransfer && hearsLiveLeader(state)) {
        return "leader is alive";
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
   * A request of an earlier term is answered with the present one, so that its sender learns of it: without that, a
   * node with a higher term and an older log, and a leader that ignores its votes, would never come together.
   *
   * By the time the answer arrives its receiver may lead this very term, so it must say nothing untrue there: it
   * confirms no round of heartbeats (0 is none), and its hint is a place where this log really stands.
   */
  #stepEarlier(message: Message): Disposition {
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
        const { index: conflictIndex, term: conflictTerm } = this.#state.log.lastNotAbove(
          prevLogIndex,
          prevLogTerm,
        );
        const result = { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm } as const;
        this.#state.sendAnswer({ kind: "appendEntriesResponse", from, to, term, result });
        break;
      }
      case "heartbeat":
        this.#state.sendAnswer({ kind: "heartbeatResponse", from, to, term, round: 0 });
        break;
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
    return "of an earlier term";
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
  return message.kind === "appendEntries" || message.kind === "heartbeat" ? message.from : null;
}
