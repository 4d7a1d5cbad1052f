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

/** Everything a client may ask. */
export type ClientRequest =
  | WriteRequest
  | GetRequest
  | ListRequest
  | StatusRequest
  | StateHashRequest
  | TransferLeadershipRequest;

/** A member as the cluster knows it. */
export interface Member {
  /** Its id, never given to another. */
  readonly id: NodeId;
  /** Where others dial it: `host:port`, brackets around an IPv6 address. */
  readonly address: string;
}

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
  /** All nodes, sorted by id. */
  readonly members: readonly Member[];
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

/** Everything a node says to a client. */
export type ServerMessage =
  | WriteResponse
  | GetResponse
  | ListResponse
  | StatusResponse
  | StateHashResponse
  | TransferLeadershipResponse
  | ErrorResponse
  | LeaderNotice;

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
