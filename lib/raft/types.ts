/**
 * The data types of the consensus core: entries, durable state, configurations.
 *
 * Terms and indexes are integers in the safe range of a number. Input from the wire or the disk is checked before it
 * becomes one of these types.
 */

/** Id of a node of the cluster: an integer from 1 up, never used twice. */
export type NodeId = number;

/** Purpose of an entry. The core decodes only the payload of a `configuration` entry, a {@link Configuration}. */
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
  /** Purpose of the entry. */
  readonly kind: EntryKind;
  /** The payload as its proposer encoded it; empty for a no-op. */
  readonly data: Uint8Array;
}

/** Identity of an entry: entries with equal index and term are the same entry (log matching, Raft §5.3). */
export interface EntryId {
  readonly index: number;
  readonly term: number;
}

/**
 * The state that a node keeps across restarts beside its log (Raft Figure 2).
 *
 * Invariants: term never falls; within a term, vote goes from null to one node and stays.
 * `commitIndex` is a hint that lets a restarted node apply entries at once: it may be older than the real one, never newer.
 */
export interface HardState {
  /** Latest term this node has seen; 0 before the first. */
  readonly term: number;
  /** Node that it voted for in that term, or null. */
  readonly vote: NodeId | null;
  /** Highest index known to be committed when this was written. */
  readonly commitIndex: number;
}

/**
 * Voters and learners (Raft §6, thesis §4.3). Every list is sorted and without repetition.
 *
 * `votersOutgoing` is empty except in a joint configuration, in which both majorities decide. Learners receive entries
 * and count in no majority. During a demotion the voter is in both `votersOutgoing` and `learners`.
 */
export interface ConfState {
  /** Nodes whose majority decides. */
  readonly voters: readonly NodeId[];
  /** Nodes that receive the log without a vote. */
  readonly learners: readonly NodeId[];
  /** Voters of the configuration being left, in a joint configuration; else empty. */
  readonly votersOutgoing: readonly NodeId[];
}

/** A member as the replicated configuration records it. */
export interface MemberRecord {
  /** Its id, never reused for another node. */
  readonly id: NodeId;
  /** `host:port` that other nodes dial. */
  readonly address: string;
  /** Random id of the member's data directory; null until a leader has learned it. */
  readonly dataId: number | null;
  /** Whether the leader promotes this learner to voter by itself once its log has nearly caught up. */
  readonly autoPromote: boolean;
  /** The voter that it replaces at its promotion, in one joint change; null for none. */
  readonly replaces: NodeId | null;
}

/**
 * The members of the cluster, the payload of an entry of kind `configuration`. It takes effect when the entry is appended,
 * is rolled back when the entry is truncated (thesis §4.1), and is part of every snapshot.
 *
 * Invariants: `members` are exactly the nodes of `confState`; none of them is among `removedIds`.
 */
export interface Configuration {
  /** Voters and learners; learners may overlap votersOutgoing (a voter being demoted). */
  readonly confState: ConfState;
  /** Exactly the nodes of `confState`, sorted by id. */
  readonly members: readonly MemberRecord[];
  /** Former members, sorted; their ids are never used again. */
  readonly removedIds: readonly NodeId[];
}

/** Position of a snapshot in the log, and the configuration as of its index. */
export interface SnapshotMetadata {
  /** Index of the last entry that the snapshot includes; 0 for none. */
  readonly index: number;
  /** The term of that entry. */
  readonly term: number;
  /** The newest configuration at or below `index`. */
  readonly configuration: Configuration;
}

/** Encoding of a configuration in an entry; lib/protocol/configuration.ts has the one that servers use. */
export interface ConfigurationCodec {
  /** Returns the data of a configuration entry. */
  encode(configuration: Configuration): Uint8Array;
  /** Decodes such data. Throws on malformed data, which is refused where entries enter the node. */
  decode(data: Uint8Array): Configuration;
}

/** The term of all entries from `firstIndex` up to the next range. */
export interface TermRange {
  /** First index of the range. */
  readonly firstIndex: number;
  /** Term of all entries in it. */
  readonly term: number;
}
