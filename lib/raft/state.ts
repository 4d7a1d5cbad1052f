/**
 * What every role of a node shares: term and vote, the log, what waits to be sent, and how it is sent.
 *
 * Invariants: term never falls; within a term the vote changes once, from null; a message that promises something
 * (a vote, an acknowledgement, a term) waits in `promises` until what it promises is durable.
 */
import { assert } from "../platform/assert.ts";
import { assertConfig, type RaftConfig, type RaftLimits } from "./config.ts";
import type { RaftDump } from "./dump.ts";
import { type LeaseConfig, VoterLease } from "./lease.ts";
import { RaftLog } from "./log.ts";
import type { Message } from "./message.ts";
import { isVoter } from "./quorum.ts";
import type { EntryRead, Persist, ReadState, SnapshotRequest } from "./ready.ts";
import type { Role } from "./role.ts";
import type { ConfigurationCodec, ConfState, Entry, HardState, NodeId, SnapshotMetadata } from "./types.ts";

/** The term before the largest integer: no election leads beyond that. */
const LAST_TERM = Number.MAX_SAFE_INTEGER - 1;

/** The state of one node of the core. The files of the roles act on it; raft.ts is the door. */
export class RaftState {
  readonly id: NodeId;
  readonly configurationCodec: ConfigurationCodec;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  readonly log: RaftLog;
  readonly random: () => number;
  /** Null where this node takes no part in leases. */
  readonly lease: LeaseConfig | null;
  /** What this node has promised to leaders; null where it takes no part. */
  readonly promise: VoterLease | null;
  role: Role;
  /** Whether the disk has room for more of the log. */
  hasRoom = true;

  /** Reads that are decided and not yet handed out. */
  readonly reads: ReadState[] = [];
  /** Reads of entries that are wanted and not yet handed out. */
  readonly entryReads: EntryRead[] = [];
  /** Snapshots that followers need, not yet handed out. */
  readonly snapshots: SnapshotRequest[] = [];
  /** The received snapshot that the state machine is to become, not yet handed out. */
  restore: SnapshotMetadata | null = null;
  /** Entries read back from storage to be applied, not yet handed out. */
  committedEntriesRead: readonly Entry[] = [];
  /** Whether entries to apply here are being read back from storage. */
  isReadingCommitted = false;
  /** Ticks since the write under way was handed out; null without one. */
  persistingTicks: number | null = null;

  #term: number;
  #vote: NodeId | null;
  /** The hard state last handed out, durable once its write has ended. */
  #handed: HardState;
  /** The hard state that is durable: what messages may speak of before anything else is synced. */
  #durable: HardState;
  #messages: Message[] = [];
  #promises: Message[] = [];
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
    const mayHavePromised = hardState.term > 0;
    this.promise = this.lease === null ? null : new VoterLease(this.lease, { mayHavePromised });
    this.log = new RaftLog(config.recovered, {
      cacheLimitBytes: config.limits.entryCacheBytes,
      codec: config.configurationCodec,
    });
    this.#term = hardState.term;
    this.#vote = hardState.vote;
    this.#handed = hardState;
    this.#durable = hardState;
    // A restarted process must not take an answer to its predecessor's read for one to its own (reliability §3, f).
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

  /** Who decides: by the newest configuration in the log, committed or not (thesis §4.1). */
  get confState(): ConfState {
    return this.log.configurations.newest.confState;
  }

  /**
   * Whether this node may become a leader: it votes, and its disk answers.
   *
   * A voter that is on its way out still campaigns until it knows that it is out for good: it may be the only one that
   * has the entry which says so, and then nobody else can win against its longer log (thesis §4.2.2).
   *
   * In the last term that there is a number for, nobody campaigns any more: such a node still starts, and follows.
   */
  get isPromotable(): boolean {
    const { configurations, commitIndex } = this.log;
    const votes = isVoter(this.confState, this.id) ||
      isVoter(configurations.at(commitIndex).confState, this.id);
    return votes && !this.isDiskStuck && this.#term < LAST_TERM;
  }

  /** Whether this node has promised a leader to help elect nobody else for now. */
  get isLeased(): boolean {
    return this.promise !== null && this.promise.isInForce;
  }

  /** Whether a write has been under way for longer than an election takes: such a node can't keep promises. */
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

  /** Enters a later term, in which nobody was voted for yet. */
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

  /** A number of ticks in [electionTicks, 2 × electionTicks), so that seldom two nodes campaign at once. */
  drawTimeoutTicks(): number {
    return this.electionTicks + Math.floor(this.random() * this.electionTicks);
  }

  /** An id for a read of this node, not used before by this process. */
  nextReadId(): number {
    this.#nextReadId++;
    return this.#nextReadId;
  }

  /** Sends a message that promises nothing which is not durable already. */
  send(message: Message): void {
    // A PreVote asks for the next term; a granted one repeats what was asked, by a node that may be terms ahead.
    const limit = message.kind === "preVote" ? this.#term + 1 : this.#term;
    assert(message.term <= limit || message.kind === "preVoteResponse", "nobody speaks for a later term");
    this.#messages.push(message);
  }

  /** Sends a message once everything that this node holds at the moment is durable. */
  sendWhenDurable(message: Message): void {
    this.#promises.push(message);
  }

  /** Sends an answer that promises no more than the sender's term. */
  sendAnswer(message: Message): void {
    if (this.isTermDurable) this.send(message);
    else this.sendWhenDurable(message);
  }

  /** The messages that may leave now. */
  takeMessages(): Message[] {
    const taken = this.#messages;
    this.#messages = [];
    return taken;
  }

  /**
   * What is to be made durable now, if anything, and no write is under way; promises leave with it. Promises that
   * need nothing more join the messages that may leave now.
   */
  takePersist(): Persist | null {
    if (this.persistingTicks !== null) return null;
    // Not beyond what is durable already: were this write torn, its hard state must not speak of lost entries.
    const commitIndex = Math.min(this.log.commitIndex, this.log.durableIndex);
    const hardState = { term: this.#term, vote: this.#vote, commitIndex };
    const changed = hardState.term !== this.#handed.term || hardState.vote !== this.#handed.vote;
    const promises = this.#promises;
    this.#promises = [];
    if (!changed && !this.log.hasUnpersisted) {
      this.#messages.push(...promises);
      return null;
    }
    // A newer commitIndex alone is not worth a write; beside one it costs nothing.
    const write = changed || hardState.commitIndex !== this.#handed.commitIndex;
    this.#handed = hardState;
    this.persistingTicks = 0;
    const { snapshot, entries } = this.log.takeUnpersisted();
    return {
      hardState: write ? hardState : null,
      snapshot,
      entries,
      messagesAfterSync: promises,
      lastIndex: this.log.lastIndex,
      lastTerm: this.log.lastTerm,
    };
  }

  /** The write under way, whose last entry is (index, term), is durable. */
  persisted(index: number, term: number): void {
    assert(this.persistingTicks !== null, "persisted() answers a write that was handed out");
    this.persistingTicks = null;
    this.#durable = this.#handed;
    this.log.persisted(index, term);
  }

  /** All that this node remembers; see {@link RaftDump}. */
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
      handed: this.#handed,
      durable: this.#durable,
      role,
      log: this.log.dump(),
      messages: this.#messages,
      promises: this.#promises,
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
