/** What programs pass to {@link KvClient} and get from it. */
import type { KeyValue } from "../kv/command.ts";
import type { NodeStatus } from "../protocol/messages.ts";

export type { NodeId } from "../raft/types.ts";

/** A key or a value going in: bytes, or text that is sent as UTF-8. */
export type Bytes = string | Uint8Array;

/** How to reach a cluster. */
export interface ConnectOptions {
  /** `host:port` of one or more nodes; ids (`1=host:port`) may be given and are not needed. */
  readonly cluster: readonly string[];
  /** Deadline of each call that names none, in milliseconds. Default 5000. */
  readonly timeoutMs?: number;
  /** Ends the attempt to connect. */
  readonly signal?: AbortSignal;
}

/** Options of every call. */
export interface CallOptions {
  /** Ends the call; a write that may have left is then unknown. */
  readonly signal?: AbortSignal;
  /** Deadline of this call in milliseconds, retries included. */
  readonly timeoutMs?: number;
}

/** Options of a read. */
export interface ReadOptions extends CallOptions {
  /**
   * Default "linearizable". "stale" answers from any node, even without a leader: all share the work, asked in turn, and
   * one answer may be older than the one before it.
   */
  readonly consistency?: "linearizable" | "stale";
}

/** Which keys to list. */
export interface ListOptions extends ReadOptions {
  /** Only keys that begin so. */
  readonly prefix?: Bytes;
  /** First key (included). */
  readonly start?: Bytes;
  /** End (excluded). */
  readonly end?: Bytes;
  /** From the greatest key down. */
  readonly reverse?: boolean;
  /** Entries of a page. Default 100. */
  readonly limit?: number;
  /** The `cursor` of the page before; null or left out for the first page. */
  readonly cursor?: string | null;
}

/** A condition of a transaction. */
export type TransactionCheck =
  | { readonly key: Bytes; readonly modRevision: number }
  | { readonly key: Bytes; readonly exists: boolean }
  | { readonly key: Bytes; readonly value: Bytes };

/** A change in a transaction. */
export type TransactionMutation =
  | { readonly kind: "put"; readonly key: Bytes; readonly value: Bytes }
  | { readonly kind: "delete"; readonly key: Bytes };

/** Checks and mutations, applied whole or not at all. */
export interface TransactionRequest {
  /** All of them must hold. Left out: none. */
  readonly checks?: readonly TransactionCheck[];
  /** At least one; no key twice. */
  readonly mutations: readonly TransactionMutation[];
}

/** What {@link KvClient.compareAndSet} compares with, and puts. */
export interface CompareAndSetRequest {
  /** The value that the key must have; null when it must not exist. */
  readonly expect: Bytes | null;
  /** What to put if so. */
  readonly value: Bytes;
}

/** What {@link KvClient.put} gives. */
export interface PutResult {
  /** The store's revision that the put made. */
  readonly revision: number;
}

/** What {@link KvClient.delete} gives. */
export interface DeleteResult {
  /** Whether the key existed. */
  readonly deleted: boolean;
  /** The store's revision after the call. */
  readonly revision: number;
}

/** What {@link KvClient.list} gives. */
export interface ListResult {
  /** In byte order, or against it where `reverse` was asked for. */
  readonly entries: readonly KeyValue[];
  /** Pass to the next call to go on; null when this was the last page. */
  readonly cursor: string | null;
  /** Revision of this page. Pages of different revisions may be told apart by it. */
  readonly revision: number;
}

/** What {@link KvClient.compareAndSet} gives. */
export interface CompareAndSetResult {
  /** Whether the key had the expected value. */
  readonly succeeded: boolean;
  /** The key as it stands after the call; null when it does not exist. */
  readonly current: KeyValue | null;
  /** The store's revision after the call. */
  readonly revision: number;
}

/** What {@link KvClient.transaction} gives. */
export interface TransactionResult {
  /** Whether all checks held; then every mutation was made. */
  readonly succeeded: boolean;
  /** Positions of the checks that did not hold. */
  readonly failedChecks: readonly number[];
  /** The store's revision after the call. */
  readonly revision: number;
}

/** One node as the client sees it. */
export type NodeView =
  | ({ readonly reachable: true; readonly address: string } & Omit<NodeStatus, "members">)
  | {
    readonly reachable: false;
    readonly address: string;
    readonly id: number | null;
    /** "unreachable": no connection to it could be had. "notAnswering": nothing came from it in time, as when its process or machine is stopped. */
    readonly state: "unreachable" | "notAnswering";
    readonly reason: string;
  };

/** What {@link ClusterClient.stateHash} gives. */
export interface StateHash {
  /** The newest log index that the node has applied. */
  readonly appliedIndex: number;
  /** The store's revision there. */
  readonly revision: number;
  /** SHA-256 of the state in hexadecimal: two nodes at one `appliedIndex` have the same. */
  readonly hash: string;
}

/** What {@link ClusterClient.status} gives. */
export interface ClusterStatus {
  /** Who leads according to the reachable node with the highest term; null when none does. */
  readonly leader: number | null;
  /** The highest term that a reachable node knows; 0 when none was reached. */
  readonly term: number;
  /** Sorted by id. */
  readonly nodes: readonly NodeView[];
}

/** Options of {@link ClusterClient.changeMembership}. */
export interface MembershipOptions extends CallOptions {
  /** Even where it leaves fewer reachable voters than a majority: nothing can be written then until some are back. */
  readonly force?: boolean;
}

/** Options of {@link ClusterClient.takeSnapshot} and {@link ClusterClient.openSnapshot}. */
export interface SnapshotOptions extends CallOptions {
  /** Which node takes it, and no other. Default: the leader, or who can be reached. */
  readonly node?: number;
}

/** What {@link ClusterClient.takeSnapshot} gives. */
export interface SnapshotInfo {
  /** The node that took it. */
  readonly nodeId: number;
  /** The last log index in it. */
  readonly index: number;
  /** Term of the entry there. */
  readonly term: number;
  /** The store's revision in it. */
  readonly revision: number;
  /** Length of its file. */
  readonly bytes: number;
}

/** What {@link ClusterClient.openSnapshot} gives: a snapshot's file, kept by one node until this is disposed of. */
export interface SnapshotDownload extends SnapshotInfo, AsyncDisposable {
  /**
   * The file from its beginning, in order. Rejects with a {@link KvraftError} when the node or the connection to it is
   * lost, or a part takes longer than the call's `timeoutMs`; what was read is then of no use without the rest.
   */
  chunks(): AsyncIterable<Uint8Array>;
}

/** The state of the client's connection, for prompts and status lines. */
export type ConnectionState =
  | { readonly kind: "connected"; readonly node: number; readonly leader: number | null }
  | { readonly kind: "reconnecting"; readonly reason: string };
