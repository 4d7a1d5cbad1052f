/**
 * What a client and a node say to each other after the hello. docs/protocol.md gives the bytes.
 *
 * A client may have many requests under way on one connection; answers come in any order and carry the request's
 * `requestId`, an integer that the client does not use twice on the connection.
 */
import type { NodeId } from "../raft/types.ts";
import type { KeyValue, ListPage, ListQuery } from "../kv/command.ts";

/** linearizable: no older than any write acknowledged before the read began. stale: what this node has. */
export type Consistency = "linearizable" | "stale";

/** A write: the MessagePack bytes of a {@link import("../kv/command.ts").Command}, passed on as they are. */
export interface WriteRequest {
  readonly kind: "write";
  readonly requestId: number;
  /** An encoded transaction or registerSession. These very bytes become the log entry's data. */
  readonly command: Uint8Array;
}

/** Read one key. */
export interface GetRequest {
  readonly kind: "get";
  readonly requestId: number;
  readonly key: Uint8Array;
  readonly consistency: Consistency;
}

/** Read one page of a range. */
export interface ListRequest {
  readonly kind: "list";
  readonly requestId: number;
  readonly query: ListQuery;
  readonly consistency: Consistency;
}

/** Ask this node about itself. */
export interface StatusRequest {
  readonly kind: "status";
  readonly requestId: number;
}

/** Ask this node for the hash of its state, to compare replicas. */
export interface StateHashRequest {
  readonly kind: "stateHash";
  readonly requestId: number;
}

/** Ask the leader to hand over to `target`, or to the best follower when null. */
export interface TransferLeadershipRequest {
  readonly kind: "transferLeadership";
  readonly requestId: number;
  readonly target: NodeId | null;
}

/** A change of who is a member, or where. Node ids are never used twice. */
export type MembershipChange =
  /** A new node joins as a learner; unless it is to stay one, it becomes a voter by itself once it is close. */
  | { readonly kind: "add"; readonly id: NodeId; readonly address: string; readonly learner: boolean }
  /** A member leaves for good. */
  | { readonly kind: "remove"; readonly id: NodeId }
  /** A learner becomes a voter. */
  | { readonly kind: "promote"; readonly id: NodeId }
  /** A voter becomes a learner. */
  | { readonly kind: "demote"; readonly id: NodeId }
  /** A new node joins, and takes the place of the voter `dead` in one joint change once it is close. */
  | { readonly kind: "replace"; readonly dead: NodeId; readonly id: NodeId; readonly address: string }
  /** A member is to be dialled elsewhere from now on. */
  | { readonly kind: "update"; readonly id: NodeId; readonly address: string };

/** Ask the leader to change the membership; answered once the (learner or joint) change is committed. */
export interface ChangeMembershipRequest {
  readonly kind: "changeMembership";
  readonly requestId: number;
  readonly change: MembershipChange;
  /** Even where it leaves fewer reachable voters than a majority. */
  readonly force: boolean;
}

/** Ask this node to take a snapshot of its state now. */
export interface TakeSnapshotRequest {
  readonly kind: "takeSnapshot";
  readonly requestId: number;
  /** Keep the file readable until the connection ends, {@link CloseSnapshotRequest}, or 60 s without a read. */
  readonly keep: boolean;
}

/** Read on in the file of a snapshot that was taken on this connection and is kept. */
export interface ReadSnapshotRequest {
  readonly kind: "readSnapshot";
  readonly requestId: number;
  readonly snapshotId: number;
  /** In bytes, from the file's beginning. */
  readonly offset: number;
}

/** The file of a snapshot is not needed any more. */
export interface CloseSnapshotRequest {
  readonly kind: "closeSnapshot";
  readonly requestId: number;
  readonly snapshotId: number;
}

/** Everything a client may ask. */
export type ClientRequest =
  | WriteRequest
  | GetRequest
  | ListRequest
  | StatusRequest
  | StateHashRequest
  | TransferLeadershipRequest
  | ChangeMembershipRequest
  | TakeSnapshotRequest
  | ReadSnapshotRequest
  | CloseSnapshotRequest;

/**
 * What a member is: a voter; a learner, which receives everything and does not count; or a voter of the configuration
 * that a change under way leaves behind, which counts until that is done.
 */
export type MemberRole = "voter" | "learner" | "leaving";

/** A member as the cluster knows it. */
export interface Member {
  /** Its id, never given to another. */
  readonly id: NodeId;
  /** Where others dial it: `host:port`, brackets around an IPv6 address. */
  readonly address: string;
  /** What it is in the newest committed configuration. */
  readonly role: MemberRole;
}

/** How far a leader has got with another member. */
export interface PeerStatus {
  /** The member. */
  readonly id: NodeId;
  /** Newest log index that it is known to have. */
  readonly matchIndex: number;
  /** Whether its log's end is being looked for, entries are sent as they come, or it is sent a snapshot. */
  readonly state: "probe" | "replicate" | "snapshot";
  /** Milliseconds since it was last heard from; null when it never was in this leader's term. */
  readonly lastContactMs: number | null;
  /** Bytes that it has of the snapshot it is being sent; 0 while there is none. */
  readonly snapshotSentBytes: number;
  /** Bytes of that snapshot; 0 while there is none. */
  readonly snapshotTotalBytes: number;
  /** Whether its disk has room for more of the log, as it told the leader; null where it has told nothing. */
  readonly hasRoom: boolean | null;
}

/**
 * The room on a node's disk. `nearlyFull`: there was none to prepare the log's next file; a leader hands over to a node
 * that has room. `full`: the last write to the log found none; the node takes part in nothing.
 */
export type DiskState = "ok" | "nearlyFull" | "full";

/** A node's own view of itself. */
export interface NodeStatus {
  /** The node that answers. */
  readonly id: NodeId;
  /** What it is in its term. */
  readonly role: "follower" | "preCandidate" | "candidate" | "leader";
  /** The newest term that it knows. */
  readonly term: number;
  /** Who leads in that term, as far as it knows. */
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
  /** Index of the first entry in its log: what is before it is in snapshots only. */
  readonly firstLogIndex: number;
  /** Index of its newest snapshot; 0 before the first. */
  readonly snapshotIndex: number;
  /** About how many bytes its store holds. */
  readonly stateBytes: number;
  /** How it has got with the others while it leads, sorted by id; empty while it does not. */
  readonly peers: readonly PeerStatus[];
  /** Whether its disk has room. */
  readonly disk: DiskState;
}

/** Why a request was not done. Stable: docs/protocol.md lists them. */
export type ErrorCode =
  /** This node knows of no leader, or lost touch with the majority. Nothing happened; try again. */
  | "noLeader"
  /** This node does not lead and cannot pass the request on. Nothing happened; ask the leader. */
  | "notLeader"
  /** Leadership or the connection to the leader was lost while the write was under way. */
  | "leadershipLost"
  /** Too much is under way. Nothing happened; try again later. */
  | "busy"
  | "keyTooLarge"
  | "valueTooLarge"
  | "invalidRequest"
  | "storageFull"
  /** The membership may not be changed so, or not now; the message says why. */
  | "membershipRefused"
  /** A frame of a kind that this node does not know. */
  | "unknownKind"
  /** This node is stopping. */
  | "stopping"
  | "internal";

/** Whether a refused write may have happened. */
export type Outcome = "not-applied" | "unknown";

/** The answer to a write: the encoded {@link import("../kv/command.ts").CommandResult}, passed on as it is. */
export interface WriteResponse {
  readonly kind: "writeResult";
  readonly requestId: number;
  readonly result: Uint8Array;
}

/** The answer to a get. */
export interface GetResponse {
  readonly kind: "getResult";
  readonly requestId: number;
  readonly entry: KeyValue | null;
  readonly revision: number;
}

/** The answer to a list. */
export interface ListResponse {
  readonly kind: "listResult";
  readonly requestId: number;
  readonly page: ListPage;
}

/** The answer to a status request. */
export interface StatusResponse {
  readonly kind: "statusResult";
  readonly requestId: number;
  readonly status: NodeStatus;
}

/** The answer to a state-hash request. */
export interface StateHashResponse {
  readonly kind: "stateHashResult";
  readonly requestId: number;
  readonly appliedIndex: number;
  readonly revision: number;
  /** SHA-256 of the canonical bytes of the state, in hexadecimal. */
  readonly hash: string;
}

/** The answer to a transfer: who leads now. */
export interface TransferLeadershipResponse {
  readonly kind: "transferLeadershipResult";
  readonly requestId: number;
  readonly leader: NodeId;
}

/** The answer to a change of membership: who the members are now. */
export interface MembershipChangedResponse {
  readonly kind: "membershipChanged";
  readonly requestId: number;
  /** Sorted by id. */
  readonly members: readonly Member[];
}

/** The answer to a takeSnapshot: what there is now. */
export interface SnapshotTakenResponse {
  readonly kind: "snapshotTaken";
  readonly requestId: number;
  /** By which the connection reads it. */
  readonly snapshotId: number;
  /** The last log index in it. */
  readonly index: number;
  /** Term of the entry there. */
  readonly term: number;
  /** The store's revision in it. */
  readonly revision: number;
  /** Length of its file. */
  readonly bytes: number;
}

/** The answer to a readSnapshot. */
export interface SnapshotPartResponse {
  readonly kind: "snapshotPart";
  readonly requestId: number;
  /** As it was asked for. */
  readonly offset: number;
  /** At most MAX_SNAPSHOT_PART_BYTES; empty at the end of the file. */
  readonly data: Uint8Array;
}

/** The answer to a closeSnapshot. */
export interface SnapshotClosedResponse {
  readonly kind: "snapshotClosed";
  readonly requestId: number;
}

/** A request that was not done. */
export interface ErrorResponse {
  readonly kind: "error";
  /** 0 when the request could not be read far enough to know. */
  readonly requestId: number;
  readonly code: ErrorCode;
  /** A sentence for a person. */
  readonly message: string;
  readonly outcome: Outcome;
  /** Who leads, as far as this node knows. */
  readonly leader: NodeId | null;
}

/** Sent unasked to every client when this node learns of another leader. */
export interface LeaderNotice {
  readonly kind: "leader";
  readonly leader: NodeId | null;
  readonly term: number;
}

/** Sent unasked to every client when this node learns that the members have changed. */
export interface MembersNotice {
  readonly kind: "members";
  /** What this node has applied: of two nodes' lists, the one told at the higher index is the newer. */
  readonly appliedIndex: number;
  /** Sorted by id. */
  readonly members: readonly Member[];
}

/** Everything a node says to a client. */
export type ServerMessage =
  | WriteResponse
  | GetResponse
  | ListResponse
  | StatusResponse
  | StateHashResponse
  | TransferLeadershipResponse
  | MembershipChangedResponse
  | SnapshotTakenResponse
  | SnapshotPartResponse
  | SnapshotClosedResponse
  | ErrorResponse
  | LeaderNotice
  | MembersNotice;

/** A write passed on by a node that does not lead (over its link to the leader). */
export interface ForwardRequest {
  readonly kind: "forward";
  /** Chosen by the asker, not used twice by one process. */
  readonly forwardId: number;
  readonly command: Uint8Array;
}

/** What became of a forwarded write. */
export type ForwardResponse =
  & { readonly kind: "forwardResult"; readonly forwardId: number }
  & {
    readonly body:
      | { readonly kind: "result"; readonly result: Uint8Array }
      | {
        readonly kind: "error";
        readonly code: ErrorCode;
        readonly message: string;
        readonly outcome: Outcome;
      };
  };
