/**
 * The data in the frames between clients and nodes: members, a node's status, errors. The frames themselves are
 * declared in client_frames.ts.
 */
import type { NodeId } from "../raft/types.ts";

/** How current a read must be, with its number on the wire. */
export const CONSISTENCY = {
  /** No older than any write acknowledged before the read began. */
  linearizable: 1,
  /** The state of the node that answers, even if it is old. */
  stale: 2,
} as const;
/** How current a read must be. */
export type Consistency = keyof typeof CONSISTENCY;

/** A change of the members, or of a member's address. Node ids are never used twice. */
export type MembershipChange =
  /** A new node joins as a learner; unless it is to stay one, the leader makes it a voter once it is close. */
  | { readonly kind: "add"; readonly id: NodeId; readonly address: string; readonly learner: boolean }
  /** A member leaves for good. */
  | { readonly kind: "remove"; readonly id: NodeId }
  /** A learner becomes a voter. */
  | { readonly kind: "promote"; readonly id: NodeId }
  /** A voter becomes a learner. */
  | { readonly kind: "demote"; readonly id: NodeId }
  /** A new node joins, and takes the place of the voter `dead` in one joint change once it is close. */
  | { readonly kind: "replace"; readonly dead: NodeId; readonly id: NodeId; readonly address: string }
  /** The other nodes dial the member at another address from now on. */
  | { readonly kind: "update"; readonly id: NodeId; readonly address: string };

/**
 * The role of a member: a voter; a learner, which receives everything and does not count; or a voter of the
 * configuration that a change under way leaves behind, which counts until the change is done.
 */
export type MemberRole = "voter" | "learner" | "leaving";

/** A member of the cluster. */
export interface Member {
  /** Its id, never given to another. */
  readonly id: NodeId;
  /** Where others dial it: `host:port`, brackets around an IPv6 address. */
  readonly address: string;
  /** Its role in the newest committed configuration. */
  readonly role: MemberRole;
}

/**
 * How two nodes have shown each other that they belong to one cluster: by certificates, by the peer secret, or not at
 * all.
 */
export type PeerAuthenticatedBy = "certificate" | "secret" | "none";
/** Each of them, the strongest first. */
export const PEER_AUTHENTICATIONS: readonly PeerAuthenticatedBy[] = ["certificate", "secret", "none"];

/** Returns the least of these; null of none. One connection that is not authenticated is enough for an attacker. */
export function leastOf(authentications: readonly PeerAuthenticatedBy[]): PeerAuthenticatedBy | null {
  return PEER_AUTHENTICATIONS.findLast((by) => authentications.includes(by)) ?? null;
}

/** The connections between a node and another member. */
export interface PeerLink {
  /** The member. */
  readonly id: NodeId;
  /** How they are authenticated, the least of them. */
  readonly authenticatedBy: PeerAuthenticatedBy;
}

/** Where a member serves etcd's clients. */
export interface MemberUrl {
  /** The member. */
  readonly id: NodeId;
  /** As other programs reach it: `http://host:port`. */
  readonly url: string;
}

/** A leader's progress with another member. */
export interface PeerStatus {
  /** The member. */
  readonly id: NodeId;
  /** Newest log index that it is known to have. */
  readonly matchIndex: number;
  /** Whether the leader looks for the end of its log, sends entries as they come, or sends it a snapshot. */
  readonly state: "probe" | "replicate" | "snapshot";
  /** Milliseconds since it was last heard from; null when it never was in this leader's term. */
  readonly lastContactMs: number | null;
  /** Bytes that it has of the snapshot it is being sent; 0 while there is none. */
  readonly snapshotSentBytes: number;
  /** Bytes of that snapshot; 0 while there is none. */
  readonly snapshotTotalBytes: number;
  /** Whether its disk has space for more of the log, as it reported to the leader; null before its first report. */
  readonly hasDiskSpace: boolean | null;
}

/**
 * The state of a node's disk. `nearlyFull`: there was no space for another file; once the log has used the
 * space that it has reserved, a leader transfers leadership to a node that has space. `full`: the last write to the log
 * found no space; the node takes part in nothing.
 */
export type DiskState = "ok" | "nearlyFull" | "full";

/** A node's own view of itself. */
export interface NodeStatus {
  /** The node that answers. */
  readonly id: NodeId;
  /** Its role in its term. */
  readonly role: "follower" | "preCandidate" | "candidate" | "leader";
  /** The newest term that it knows. */
  readonly term: number;
  /** The leader of that term that it knows. */
  readonly leader: NodeId | null;
  /** Newest log index that it knows to be committed. */
  readonly commitIndex: number;
  /** Newest log index that its store contains. */
  readonly appliedIndex: number;
  /** Index of the last entry in its log. */
  readonly lastLogIndex: number;
  /** Its store's revision. */
  readonly revision: number;
  /** Keys in its store. */
  readonly keys: number;
  /** Client sessions in its store. */
  readonly sessions: number;
  /** Version of the program. */
  readonly version: string;
  /** All nodes of the newest configuration that it knows to be committed, sorted by id. */
  readonly members: readonly Member[];
  /** Index of the first entry in its log: earlier entries are in snapshots only. */
  readonly firstLogIndex: number;
  /** Index of its newest snapshot; 0 before the first. */
  readonly snapshotIndex: number;
  /** About how many bytes its store holds. */
  readonly stateBytes: number;
  /** Its progress with the others while it leads, sorted by id; empty while it does not. */
  readonly peers: readonly PeerStatus[];
  /** The state of its disk. */
  readonly disk: DiskState;
  /** Its connections to other members, sorted by id; empty from a node of version 0.1.0. */
  readonly links: readonly PeerLink[];
  /** Maximum bytes of keys and values, by its own configuration; null for none. */
  readonly quotaBytes: number | null;
  /** The URLs at which members that have called it serve etcd's clients, and its own, sorted by id. */
  readonly etcdUrls: readonly MemberUrl[];
  /** The feature level of its state; 1 from a node of version 0.1.0, which knows no other. */
  readonly featureLevel: number;
}

/** The kind of credential with which a user has signed in. */
export type Credential = "password" | "token" | "certificate";

/** Reasons for which a request was not done. Stable: docs/protocol.md lists them. */
export const ERROR_CODES = [
  /** This node knows of no leader, or lost touch with the majority. Nothing happened; try again. */
  "noLeader",
  /** This node does not lead and cannot pass the request on. Nothing happened; ask the leader. */
  "notLeader",
  /** Leadership or the connection to the leader was lost while the write was under way. */
  "leadershipLost",
  /** Too much is under way. Nothing happened; try again later. */
  "busy",
  /** A key is longer than MAX_KEY_BYTES. */
  "keyTooLarge",
  /** A value is longer than this cluster takes. */
  "valueTooLarge",
  /** The request breaks a rule; the message says which. */
  "invalidRequest",
  /** The disk or the quota is full. */
  "storageFull",
  /** The membership may not be changed so, or not now; the message says why. */
  "membershipRefused",
  /** The revision to read is below the compacted one, which the error names. */
  "compacted",
  /** The revision to read, or to compact at, is above the present one. */
  "futureRevision",
  /** Authentication is enabled and the connection is no user's, or the user or its credential was removed: sign in. */
  "unauthenticated",
  /** The user does not exist, or the password or token is wrong: which of them is not said. */
  "signInFailed",
  /** The token has expired, with which the user signed in or wants to. */
  "tokenExpired",
  /** The user does not have the right that the message names. */
  "permissionDenied",
  /** The connection has as many watches as it may have. */
  "tooManyWatches",
  /** A frame of a kind that this node does not know. */
  "unknownKind",
  /** This node is stopping. */
  "stopping",
  /** A fault of the node. */
  "internal",
] as const;
/** One of {@link ERROR_CODES}. */
export type ErrorCode = typeof ERROR_CODES[number];

/** Reasons for which a node ends a watch. Stable: docs/protocol.md lists them. */
export const WATCH_END_CODES = [
  /** The history is compacted above a revision that the watch was not sent yet. */
  "compacted",
  /** The node is stopping. */
  "stopping",
  /** The node has known of no leader for a while: others may have newer revisions. */
  "noLeader",
  /** The node has too many watches. */
  "busy",
  /** The user was removed, or its credential, or its token has expired. */
  "unauthenticated",
  /** The user may not read the keys any more. */
  "permissionDenied",
  /** A fault of the node. */
  "internal",
] as const;
/** One of {@link WATCH_END_CODES}. */
export type WatchEndCode = typeof WATCH_END_CODES[number];

/** Whether a refused write may have happened. */
export type Outcome = "not-applied" | "unknown";
