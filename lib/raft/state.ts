/**
 * The state of one node of the core: its role, term and vote, the log, and the outputs that the next Ready takes.
 *
 * Invariants: term never falls; within a term the vote changes once, from null; a message that depends on a write (a vote,
 * an acknowledgement, a term) waits in `messagesAfterSync` until that write is durable.
 */
import { assert } from "../platform/assert.ts";
import { assertConfig, type RaftConfig, type RaftLimits } from "./config.ts";
import { type Lease, type LeaseConfig, VoterLease } from "./lease.ts";
import { type LogDump, RaftLog } from "./log.ts";
import type { Message } from "./message.ts";
import type { TrackedPeer } from "./progress.ts";
import { isVoter } from "./quorum.ts";
import type { PendingReads, Read } from "./read_index.ts";
import type { EntryRead, Persist, ReadState, SnapshotTransfer } from "./ready.ts";
import type { ConfigurationCodec, ConfState, Entry, HardState, NodeId, SnapshotMetadata } from "./types.ts";

/** The term before the largest integer: no node campaigns in it. */
const LAST_TERM = Number.MAX_SAFE_INTEGER - 1;

/** Follows the leader of the term, once that is known. */
export interface Follower {
  readonly kind: "follower";
  /** Leader of this term; null while unknown. */
  leader: NodeId | null;
  /** Ticks since the last message of the leader, or since a vote was granted. */
  elapsedTicks: number;
  /** Ticks after which it campaigns. */
  timeoutTicks: number;
  /** Reads that were forwarded to the leader: id, and ticks waited. */
  readonly forwardedReads: Map<number, number>;
}

/** Asks whether it could win an election, before it disturbs other nodes with a new term (thesis §9.6). */
export interface PreCandidate {
  readonly kind: "preCandidate";
  readonly votes: Map<NodeId, boolean>;
  elapsedTicks: number;
  readonly timeoutTicks: number;
}

/** Campaigns for the term. Its own vote counts only once it is durable. */
export interface Candidate {
  readonly kind: "candidate";
  readonly votes: Map<NodeId, boolean>;
  elapsedTicks: number;
  readonly timeoutTicks: number;
}

/** A leadership transfer in progress (transfer.ts). */
export interface Transfer {
  readonly target: NodeId;
  elapsedTicks: number;
  /** Whether TimeoutNow was sent to the target. */
  timeoutNowSent: boolean;
}

/**
 * Leads the term.
 *
 * Invariants: there is a peer for every other node of the newest configuration, of those before it back to the newest
 * committed one, and for a while for removed nodes; commitIndex ≥ termStartIndex before any read is served; during a
 * transfer nothing is proposed.
 */
export interface Leader {
  readonly kind: "leader";
  readonly peers: Map<NodeId, TrackedPeer>;
  /** Index of the no-op with which this leader began its term. */
  readonly termStartIndex: number;
  heartbeatElapsedTicks: number;
  quorumElapsedTicks: number;
  /** Ticks for which removed peers have been waited for; null without any. */
  removalWaitTicks: number | null;
  transfer: Transfer | null;
  readonly reads: PendingReads;
  /** Null where leases are disabled. */
  readonly lease: Lease | null;
  /** Bytes of this term's entries that were not yet passed on to be applied; the measure for backpressure. */
  unappliedBytes: number;
}

/** Role of a node. Each has its own data, which ends with the role. */
export type Role = Follower | PreCandidate | Candidate | Leader;

/**
 * The complete state of a node, with which tests compare states.
 *
 * Two nodes of one configuration whose dumps are equal act alike from then on, given the same inputs and the same
 * random numbers. A dump shares the node's objects: read it at once, and never change it.
 */
export interface RaftDump {
  readonly term: number;
  readonly vote: NodeId | null;
  /** The hard state last handed to storage, and the one that is durable. */
  readonly persistingHardState: HardState;
  readonly durableHardState: HardState;
  readonly role: Role;
  readonly log: LogDump;
  /** Messages to be sent now, and those to be sent after the next sync. */
  readonly messages: readonly Message[];
  readonly messagesAfterSync: readonly Message[];
  readonly reads: readonly ReadState[];
  readonly entryReads: readonly EntryRead[];
  readonly isReadingCommitted: boolean;
  /** Entries read back from storage to be applied. */
  readonly committedEntriesRead: readonly Entry[];
  /** The snapshot that replaces the state machine's state. */
  readonly restore: SnapshotMetadata | null;
  readonly snapshots: readonly SnapshotTransfer[];
  readonly persistingTicks: number | null;
  readonly nextReadId: number;
}

/** The state of one node of the core. raft.ts is its interface; the files of the roles change it. */
export class RaftState {
  readonly id: NodeId;
  readonly configurationCodec: ConfigurationCodec;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  readonly log: RaftLog;
  readonly random: () => number;
  /** Null where leases are disabled. */
  readonly lease: LeaseConfig | null;
  /** The lease that this node has granted as a voter; null where leases are disabled. */
  readonly voterLease: VoterLease | null;
  role: Role;
  /** Whether the disk has space for more of the log. */
  hasDiskSpace = true;

  /** Results of reads, for the next Ready. */
  readonly reads: ReadState[] = [];
  /** Requests for entries, for the next Ready. */
  readonly entryReads: EntryRead[] = [];
  /** Snapshots that peers need, for the next Ready. */
  readonly snapshots: SnapshotTransfer[] = [];
  /** The received snapshot that replaces the state machine's state, for the next Ready. */
  restore: SnapshotMetadata | null = null;
  /** Committed entries that were read back from storage, for the next Ready. */
  committedEntriesRead: readonly Entry[] = [];
  /** Whether committed entries are being read back from storage. */
  isReadingCommitted = false;
  /** Ticks since the write in progress was handed to storage; null without one. */
  persistingTicks: number | null = null;

  #term: number;
  #vote: NodeId | null;
  /** The hard state last handed to storage. */
  #persisting: HardState;
  /** The hard state that is durable. */
  #durable: HardState;
  #messages: Message[] = [];
  #messagesAfterSync: Message[] = [];
  #nextReadId: number;

  constructor(config: RaftConfig) {
    assertConfig(config);
    const { hardState } = config.recovered;
    this.id = config.id;
    this.configurationCodec = config.configurationCodec;
    this.electionTicks = config.electionTicks;
    this.heartbeatTicks = config.heartbeatTicks;
    this.limits = config.limits;
    this.random = config.random;
    this.lease = config.lease ?? null;
    const mayHaveGranted = hardState.term > 0;
    this.voterLease = this.lease === null ? null : new VoterLease(this.lease, { mayHaveGranted });
    this.log = new RaftLog(config.recovered, {
      cacheLimitBytes: config.limits.entryCacheBytes,
      codec: config.configurationCodec,
    });
    this.#term = hardState.term;
    this.#vote = hardState.vote;
    this.#persisting = hardState;
    this.#durable = hardState;
    // A restarted process must not take a response to an earlier process's read for one to its own.
    this.#nextReadId = Math.floor(config.random() * 2 ** 48);
    this.role = {
      kind: "follower",
      leader: null,
      elapsedTicks: 0,
      timeoutTicks: this.drawTimeoutTicks(),
      forwardedReads: new Map(),
    };
  }

  get term(): number {
    return this.#term;
  }

  get vote(): NodeId | null {
    return this.#vote;
  }

  /** The voters and learners in force: those of the newest configuration in the log, committed or not (thesis §4.1). */
  get confState(): ConfState {
    return this.log.configurations.newest.confState;
  }

  /**
   * Whether this node may become leader: it is a voter, and its disk is not stuck.
   *
   * A voter that is being removed may campaign until it knows that its removal is committed: it may be the only node with
   * that entry, and then no other node can win against its longer log (thesis §4.2.2).
   *
   * No node campaigns in the last representable term; it still starts and follows.
   */
  get isPromotable(): boolean {
    const { configurations, commitIndex } = this.log;
    const votes = isVoter(this.confState, this.id) ||
      isVoter(configurations.at(commitIndex).confState, this.id);
    return votes && !this.isDiskStuck && this.#term < LAST_TERM;
  }

  /** Whether this node has granted a lease that has not expired. */
  get isLeased(): boolean {
    return this.voterLease !== null && this.voterLease.isInForce;
  }

  /** Whether a write has been in progress for an election timeout: then this node could acknowledge nothing. */
  get isDiskStuck(): boolean {
    return this.persistingTicks !== null && this.persistingTicks >= this.electionTicks;
  }

  /** Whether the current term is on disk. */
  get isTermDurable(): boolean {
    return this.#durable.term === this.#term;
  }

  /** Whether the vote of the current term is on disk. */
  get isVoteDurable(): boolean {
    return this.isTermDurable && this.#durable.vote === this.#vote;
  }

  /** Enters a later term, without a vote. */
  enterTerm(term: number): void {
    assert(term > this.#term, "term never falls");
    this.#term = term;
    this.#vote = null;
  }

  /** Votes in the current term. */
  voteFor(node: NodeId): void {
    assert(this.#vote === null || this.#vote === node, "one vote a term");
    this.#vote = node;
  }

  /** Returns a random number of ticks in [electionTicks, 2 × electionTicks), so that two nodes seldom campaign at once. */
  drawTimeoutTicks(): number {
    return this.electionTicks + Math.floor(this.random() * this.electionTicks);
  }

  /** Returns an id for a read that this process has not used before. */
  nextReadId(): number {
    this.#nextReadId++;
    return this.#nextReadId;
  }

  /** Sends a message that does not depend on a write in progress. */
  send(message: Message): void {
    // A PreVote names the next term; a granted response repeats the term of its requester, which may be terms ahead.
    const limit = message.kind === "preVote" ? this.#term + 1 : this.#term;
    assert(
      message.term <= limit || message.kind === "preVoteResponse",
      "a message is not of a later term than its sender",
    );
    this.#messages.push(message);
  }

  /** Sends a message once everything that this node has written so far is durable. */
  sendWhenDurable(message: Message): void {
    this.#messagesAfterSync.push(message);
  }

  /** Sends a response that depends only on the durability of the sender's term. */
  sendAnswer(message: Message): void {
    if (this.isTermDurable) this.send(message);
    else this.sendWhenDurable(message);
  }

  /** Takes the messages to send now. */
  takeMessages(): Message[] {
    const taken = this.#messages;
    this.#messages = [];
    return taken;
  }

  /**
   * Takes what must be made durable now, or null if there is nothing or a write is in progress. Messages that waited for
   * a write but need none are sent now.
   */
  takePersist(): Persist | null {
    if (this.persistingTicks !== null) return null;
    // At most durableIndex: if this write is torn, its hard state must not name lost entries as committed.
    const commitIndex = Math.min(this.log.commitIndex, this.log.durableIndex);
    const hardState = { term: this.#term, vote: this.#vote, commitIndex };
    const changed = hardState.term !== this.#persisting.term ||
      hardState.vote !== this.#persisting.vote;
    const messagesAfterSync = this.#messagesAfterSync;
    this.#messagesAfterSync = [];
    if (!changed && !this.log.hasUnpersisted) {
      this.#messages.push(...messagesAfterSync);
      return null;
    }
    // A newer commitIndex alone does not cause a write, but is written with one.
    const write = changed || hardState.commitIndex !== this.#persisting.commitIndex;
    this.#persisting = hardState;
    this.persistingTicks = 0;
    const { snapshot, entries } = this.log.takeUnpersisted();
    return {
      hardState: write ? hardState : null,
      snapshot,
      entries,
      messagesAfterSync,
      lastIndex: this.log.lastIndex,
      lastTerm: this.log.lastTerm,
    };
  }

  /** Records that the write in progress, whose last entry is (index, term), is durable. */
  persisted(index: number, term: number): void {
    assert(this.persistingTicks !== null, "persisted() reports a write in progress");
    this.persistingTicks = null;
    this.#durable = this.#persisting;
    this.log.persisted(index, term);
  }

  /** Refuses a read: tells the node that requested it that it is not confirmed. */
  refuseRead({ readId, from: requester }: Read): void {
    const { id: from, term } = this;
    if (requester === from) this.reads.push({ readId, index: null });
    else this.sendAnswer({ kind: "readIndexResponse", from, to: requester, term, readId, index: null });
  }

  /** Returns the complete state, for tests. */
  dump(): RaftDump {
    const {
      role,
      reads,
      entryReads,
      snapshots,
      restore,
      isReadingCommitted,
      committedEntriesRead,
      persistingTicks,
    } = this;
    return {
      term: this.#term,
      vote: this.#vote,
      persistingHardState: this.#persisting,
      durableHardState: this.#durable,
      role,
      log: this.log.dump(),
      messages: this.#messages,
      messagesAfterSync: this.#messagesAfterSync,
      reads,
      entryReads,
      snapshots,
      restore,
      isReadingCommitted,
      committedEntriesRead,
      persistingTicks,
      nextReadId: this.#nextReadId,
    };
  }
}
