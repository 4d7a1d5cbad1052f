/** The four roles. Each has its own data and nothing else's: a role that ends takes its data with it. */
import type { Lease } from "./lease.ts";
import type { Peer } from "./progress.ts";
import type { PendingReads } from "./read_index.ts";
import type { NodeId } from "./types.ts";

/** Follows whoever leads the term, or waits to find out. */
export interface Follower {
  readonly kind: "follower";
  /** Who leads this term, once known. */
  leader: NodeId | null;
  /** Ticks since the leader was heard from, or since a vote was granted. */
  elapsedTicks: number;
  /** Campaign after so many. */
  timeoutTicks: number;
  /** Reads that were sent on to the leader: id, and ticks waited. */
  readonly forwardedReads: Map<number, number>;
}

/** Asks whether an election could be won, before it disturbs anybody with a new term (thesis §9.6). */
export interface PreCandidate {
  readonly kind: "preCandidate";
  readonly votes: Map<NodeId, boolean>;
  elapsedTicks: number;
  readonly timeoutTicks: number;
}

/** Campaigns. Its own vote counts only once it is durable. */
export interface Candidate {
  readonly kind: "candidate";
  readonly votes: Map<NodeId, boolean>;
  elapsedTicks: number;
  readonly timeoutTicks: number;
}

/** A leader that is handing over. */
export interface Transfer {
  readonly target: NodeId;
  elapsedTicks: number;
  /** Whether the target has been told to campaign. */
  timeoutNowSent: boolean;
}

/**
 * Leads the term.
 *
 * Invariants: there is a peer for every other node of the newest configuration, and of those before it back to the
 * newest committed one, and for a while for those that were let go; commitIndex ≥ termStartIndex before any read is served;
 * while a transfer is under way nothing is proposed.
 */
export interface Leader {
  readonly kind: "leader";
  readonly peers: Map<NodeId, Peer>;
  /** Index of the no-op with which this leader began its term. */
  readonly termStartIndex: number;
  heartbeatElapsedTicks: number;
  quorumElapsedTicks: number;
  /** Ticks for which nodes that are out by a committed configuration have been waited for; null without any. */
  removalWaitTicks: number | null;
  transfer: Transfer | null;
  readonly reads: PendingReads;
  /** Null where reads are not answered under a lease. */
  readonly lease: Lease | null;
  /** Bytes of this term's entries that were not yet handed out to be applied: what backpressure goes by. */
  unappliedBytes: number;
}

/** What a node is at the moment. */
export type Role = Follower | PreCandidate | Candidate | Leader;
