/**
 * The nouns of the consensus core: entries, durable state, configuration.
 *
 * Terms and indexes are integers in the safe range of a number; whatever comes from outside (wire, disk) is
 * checked before it becomes one of these types.
 */

/** Identifies a node of the cluster: an integer from 1 up, never used twice. */
export type NodeId = number;

/** What an entry is for. Of all payloads the core looks only into that of a `configuration`: a {@link Configuration}. */
export type EntryKind = "noop" | "command" | "configuration";

/**
 * One entry of the replicated log (Raft §5.3).
 *
 * Invariants: index ≥ 1 and term ≥ 1; two entries with the same index and term are the same entry (log matching);
 * `data` is owned by the entry and never changes.
 */
export interface Entry {
  /** Position in the log, from 1 up without gaps. */
  readonly index: number;
  /** Term of the leader that created it. */
  readonly term: number;
  /** What it is for. */
  readonly kind: EntryKind;
  /** The payload as its proposer encoded it; empty for a no-op. */
  readonly data: Uint8Array;
}

/**
 * What a node must remember across restarts beside its log (Raft Figure 2).
 *
 * Invariants: term never falls; within a term, vote goes from null to one node and stays.
 * `commitIndex` is a hint that lets a restarted node apply at once: it may be older than what was known, never newer.
 */
export interface HardState {
  /** Latest term this node has seen; 0 before the first. */
  readonly term: number;
  /** Whom it voted for in that term, or null. */
  readonly vote: NodeId | null;
  /** Highest index known to be committed when this was written. */
  readonly commitIndex: number;
}

/**
 * Who takes part (Raft §6, thesis §4.3). Every list is sorted and without repetition.
 *
 * `votersOutgoing` is not empty only during a joint configuration; then both majorities decide. Learners receive
 * entries and do not count. A voter that is to become a learner is in both of the other lists meanwhile.
 */
export interface ConfState {
  /** Nodes whose majority decides. */
  readonly voters: readonly NodeId[];
  /** Nodes that receive the log without a vote. */
  readonly learners: readonly NodeId[];
  /** Voters of the configuration being left, in a joint configuration; else empty. */
  readonly votersOutgoing: readonly NodeId[];
}

/** A member as the replicated configuration knows it. */
export interface MemberRecord {
  /** Its id, never given to another. */
  readonly id: NodeId;
  /** `host:port` that others dial. */
  readonly address: string;
  /** Which data folder is this member's (random, made with the folder); null until a leader has learned it. */
  readonly dataId: number | null;
  /** Whether the leader makes this learner a voter by itself once it is close. */
  readonly autoPromote: boolean;
  /** The voter whose place it takes then, in one joint change; null: nobody's. */
  readonly replaces: NodeId | null;
}

/**
 * Who belongs to the cluster: what an entry of kind `configuration` says. It takes effect when it is appended, is
 * rolled back when it is truncated (thesis §4.1), and is part of every snapshot.
 *
 * Invariants: `members` are exactly the nodes of `confState`; none of them is among `removedIds`.
 */
export interface Configuration {
  /** Who votes and who learns; learners may overlap votersOutgoing (a voter being demoted). */
  readonly confState: ConfState;
  /** Exactly the nodes of `confState`, sorted by id. */
  readonly members: readonly MemberRecord[];
  /** Nodes that were members once, sorted; their ids are never used again. */
  readonly removedIds: readonly NodeId[];
}

/** What the core knows of a snapshot: which entries it stands for, and the configuration as of its index. */
export interface SnapshotMetadata {
  /** The last entry that is in it; 0 for none. */
  readonly index: number;
  /** The term of that entry. */
  readonly term: number;
  /** The newest configuration at or below `index`. */
  readonly configuration: Configuration;
}

/** How a configuration is written into an entry; lib/protocol/configuration.ts is the real one. */
export interface ConfigurationCodec {
  /** The data of a configuration entry. */
  encode(configuration: Configuration): Uint8Array;
  /** The configuration in such data. May throw: an entry is checked where it comes in. */
  decode(data: Uint8Array): Configuration;
}

/** A run of entries of one term: the term of every entry from `firstIndex` up to the next run. */
export interface TermRange {
  /** First index of the run. */
  readonly firstIndex: number;
  /** Term of all entries in it. */
  readonly term: number;
}
