/**
 * The messages between nodes. The names are the paper's; each message has only the fields it needs.
 *
 * Every message carries the sender's term. A message is a request or a response. A response identifies its request, so
 * that the receiver can recognize a late, repeated or reordered one.
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

/** Asks whether an election could be won, before the term is incremented (thesis §9.6). Changes no state at the receiver. */
export interface PreVote extends Envelope {
  readonly kind: "preVote";
  /** Index of the sender's last entry. */
  readonly lastLogIndex: number;
  /** Term of that entry. */
  readonly lastLogTerm: number;
}

/**
 * Response to {@link PreVote}. When granted, `term` repeats the requested term; when refused, it is the responder's own
 * term, which a requester with a lower term adopts.
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
  /** The leader requested this election (TimeoutNow), so voters ignore leader stickiness. */
  readonly leadershipTransfer: boolean;
}

/** Response to {@link RequestVote}, sent only once the vote is durable. */
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
 * Response to {@link AppendEntries}, sent only once the accepted entries are durable.
 *
 * accepted: everything up to `matchIndex` (= prevLogIndex + number of entries of the request) matches and is durable.
 * rejected: there is no entry (prevLogIndex, prevLogTerm). `conflictTerm` is the term of the receiver's entry at
 * `conflictIndex`, the highest index at or below prevLogIndex whose term is not above prevLogTerm
 * (0, 0 when there is none): the next index worth probing. Compacted entries are not searched: below them the term is that
 * of the last compacted entry.
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
 * The leader's heartbeat. It is small and sent apart from bulk data.
 * `leaderCommit` never exceeds the receiver's matchIndex.
 */
export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  readonly leaderCommit: number;
  /** Counts up within the leader's term; a response to round r confirms reads that arrived before r was sent (thesis §6.4). */
  readonly round: number;
}

/** Response to {@link Heartbeat}: in `term`, the sender still followed the leader when `round` arrived. */
export interface HeartbeatResponse extends Envelope {
  readonly kind: "heartbeatResponse";
  readonly round: number;
  /** Milliseconds for which the sender votes for no other node (a lease); 0 where leases are disabled. */
  readonly promisedMs: number;
  /** Whether the sender's disk has space for more of the log; a node without should not lead. */
  readonly hasDiskSpace: boolean;
}

/** Leadership transfer: the receiver campaigns at once, without PreVote (thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: "timeoutNow";
}

/** A follower requests the read index for a read that arrived at the follower (thesis §6.4). */
export interface ReadIndex extends Envelope {
  readonly kind: "readIndex";
  /** Chosen by the follower, never used twice by one process. */
  readonly readId: number;
}

/** Response to {@link ReadIndex}; null when the leader cannot serve reads (it no longer leads, or has not committed in its term). */
export interface ReadIndexResponse extends Envelope {
  readonly kind: "readIndexResponse";
  readonly readId: number;
  /** Once the follower has applied this index, its state has every write acknowledged before the read arrived. */
  readonly index: number | null;
}

/**
 * InstallSnapshot (Raft §7) as the core sees it: the server transfers and checks the data beside the core, and makes this
 * message at the receiver once all of it has arrived. It never goes over the wire.
 *
 * The response is an accepted {@link AppendEntriesResponse}: with the snapshot's index once that is durable, or with the
 * receiver's commitIndex when that is at least as high, in which case the snapshot is not installed.
 */
export interface InstallSnapshot extends Envelope {
  readonly kind: "installSnapshot";
  readonly snapshot: SnapshotMetadata;
}

/** Every message that the core handles. */
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

/** Kind of a message. */
export type MessageKind = Message["kind"];

/**
 * Why the core ignored a message. A late, repeated, reordered or misdirected message is not an error: the core expects it,
 * and it changes nothing. The codes are stable; logs and tests show them.
 */
export type IgnoredReason =
  /** It is addressed to another node. */
  | "wrongRecipient"
  /** A response from a node that this one cannot have asked, or from this node itself. */
  | "unknownSender"
  /** It is of an earlier term. A request is answered with the current term (Raft §5.1). */
  | "staleTerm"
  /** A vote was requested while this node is in contact with a leader (leader stickiness, thesis §4.2.3). */
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
