/**
 * What nodes say to each other. The names are the paper's; each message has only the fields it needs.
 *
 * Every message carries the sender's term. A message is a request or a response; a response says what it answers,
 * so that a late, repeated or reordered one can be told from a fresh one.
 */
import type { Entry, NodeId, SnapshotMetadata } from "./types.ts";

/** Fields of every message. */
interface Envelope {
  /** Sender. */
  readonly from: NodeId;
  /** Addressee. */
  readonly to: NodeId;
  /** The sender's current term (in a PreVote request: the term it would campaign in). */
  readonly term: number;
}

/** "Would you vote for me?", asked before a term is begun (thesis §9.6). Changes nothing at the receiver. */
export interface PreVote extends Envelope {
  readonly kind: "preVote";
  /** Index of the sender's last entry. */
  readonly lastLogIndex: number;
  /** Term of that entry. */
  readonly lastLogTerm: number;
}

/**
 * Answer to {@link PreVote}. When granted, `term` repeats the term asked for; when refused, it is the refuser's
 * own term, which an asker that is behind adopts (a node must be able to learn that it is behind).
 */
export interface PreVoteResponse extends Envelope {
  readonly kind: "preVoteResponse";
  readonly granted: boolean;
}

/** RequestVote (Raft §5.2). */
export interface RequestVote extends Envelope {
  readonly kind: "requestVote";
  readonly lastLogIndex: number;
  readonly lastLogTerm: number;
  /** The leader itself asked for this election (TimeoutNow), so stickiness to a live leader does not apply. */
  readonly leadershipTransfer: boolean;
}

/** Answer to {@link RequestVote}, sent only once the vote is durable. */
export interface RequestVoteResponse extends Envelope {
  readonly kind: "requestVoteResponse";
  readonly granted: boolean;
}

/** AppendEntries with entries, or without any as a probe (Raft §5.3). */
export interface AppendEntries extends Envelope {
  readonly kind: "appendEntries";
  readonly prevLogIndex: number;
  readonly prevLogTerm: number;
  readonly leaderCommit: number;
  /** Consecutive, from prevLogIndex + 1. */
  readonly entries: readonly Entry[];
}

/**
 * Answer to {@link AppendEntries}, sent only once what it accepts is durable.
 *
 * accepted: everything up to `matchIndex` (= prevLogIndex + number of entries of the request) matches and is durable.
 * rejected: there is no entry (prevLogIndex, prevLogTerm). `conflictTerm` is the term of the receiver's entry at
 * `conflictIndex`, the highest index at or below prevLogIndex whose term is not above prevLogTerm
 * (0, 0 when there is none): the next place worth probing. What a snapshot stands for is not searched: there, the term
 * is that of the last entry before the log.
 */
export type AppendEntriesResponse =
  & Envelope
  & {
    readonly kind: "appendEntriesResponse";
    readonly result:
      | { readonly kind: "accepted"; readonly matchIndex: number }
      | {
        readonly kind: "rejected";
        readonly prevLogIndex: number;
        readonly conflictIndex: number;
        readonly conflictTerm: number;
      };
  };

/**
 * The leader's sign of life. Small, and sent apart from bulk data.
 * `leaderCommit` never exceeds what the receiver is known to have.
 */
export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  readonly leaderCommit: number;
  /** Counts up within the leader's term; an answer to round r confirms reads asked before r was sent (§6.4). */
  readonly round: number;
}

/** Answer to {@link Heartbeat}: in `term`, the sender still followed the leader when `round` arrived. */
export interface HeartbeatResponse extends Envelope {
  readonly kind: "heartbeatResponse";
  readonly round: number;
  /** Milliseconds from then for which the sender helps elect nobody else; 0 where it takes no part in leases. */
  readonly promisedMs: number;
  /** Whether the sender's disk has room for more of the log: one that has none should not lead. */
  readonly hasRoom: boolean;
}

/** Leadership transfer: "campaign now, without waiting and without PreVote" (thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: "timeoutNow";
}

/** A follower asks the leader at what index a read that came in at the follower may be answered (thesis §6.4). */
export interface ReadIndex extends Envelope {
  readonly kind: "readIndex";
  /** Chosen by the asker, never used twice by one process. */
  readonly readId: number;
}

/** Answer to {@link ReadIndex}; null when the leader cannot serve reads (it does not lead any more, or not yet). */
export interface ReadIndexResponse extends Envelope {
  readonly kind: "readIndexResponse";
  readonly readId: number;
  /** Once the asker has applied this index, its state holds every write acknowledged before the read came in. */
  readonly index: number | null;
}

/**
 * InstallSnapshot (Raft §7), as the core hears of it: the data travels beside the core, and when all of it is there and
 * was checked, the receiver's server makes this message. It never goes over the wire.
 *
 * Answered by an accepted {@link AppendEntriesResponse}: with the snapshot's index once that is durable, or with the
 * receiver's commitIndex when that is no lower, and then nothing is installed.
 */
export interface InstallSnapshot extends Envelope {
  readonly kind: "installSnapshot";
  readonly snapshot: SnapshotMetadata;
}

/** Everything a node of the core may hear. */
export type Message =
  | PreVote
  | PreVoteResponse
  | RequestVote
  | RequestVoteResponse
  | AppendEntries
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow
  | InstallSnapshot
  | ReadIndex
  | ReadIndexResponse;

/** The names of all messages. */
export type MessageKind = Message["kind"];

/**
 * Why the core ignored a message. A late, repeated, reordered or foreign message is not an error: the core expects it,
 * and it changes nothing. The codes are stable; logs and tests show them.
 */
export type IgnoredReason =
  /** It is addressed to another node. */
  | "wrongRecipient"
  /** A response from a node that this one cannot have asked, or from this node itself. */
  | "unknownSender"
  /** It is of an earlier term. A request is answered with the current term (Raft §5.1). */
  | "staleTerm"
  /** A vote was requested while the leader is in contact (leader stickiness, thesis §4.2.3). */
  | "leaderIsAlive"
  /** A response to a request that this node sent in a role which has ended. */
  | "staleRole"
  /** A pre-vote that was granted for an earlier term. */
  | "stalePreVote"
  /** A second node claims to lead the term. */
  | "secondLeader"
  /** Only the leader may send this. */
  | "notFromLeader"
  /** TimeoutNow at a node that cannot become leader. */
  | "notPromotable"
  /** A read index for a read that does not wait. */
  | "unknownRead"
  /** It would overwrite a committed entry. */
  | "conflictsWithCommitted"
  /** Too many bytes wait for this node's disk. */
  | "diskBacklog"
  /** A heartbeat whose leaderCommit is beyond the log. */
  | "commitBeyondLog"
  /** It acknowledges entries or a round that was not sent. */
  | "acknowledgesUnsent"
  /** It answers no outstanding request. */
  | "notOutstanding";
