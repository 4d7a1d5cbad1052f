/** Arguments and results of {@link KvClient}. */
import type { KeyValue, KeyVersion } from "../kv/command.ts";
import type { DescribedNodes, MemberReport } from "../protocol/diagnostics/report.ts";
import type { NodeStatus } from "../protocol/messages.ts";

export type { NodeId } from "../raft/types.ts";

/** A key or a value going in: bytes, or text that is sent as UTF-8. */
export type Bytes = string | Uint8Array;

/** Options of {@link KvClient.connect}. */
export interface ConnectOptions {
  /** `host:port` of one or more nodes; ids (`1=host:port`) may be given and are not needed. */
  readonly cluster: readonly string[];
  /**
   * Deadline of each call that names none, in milliseconds.
   *
   * @default 5000
   */
  readonly timeoutMs?: number;
  /**
   * Ends the attempt to connect.
   *
   * @default none
   */
  readonly signal?: AbortSignal;
  /**
   * Connects with TLS. The certificate of each node must be for the host that is dialled, or for `serverName`. A function is
   * called for each connection, so that certificates and authorities can be renewed while the client is open: where it
   * throws, or returns what cannot be used, the ones before stay in use.
   *
   * @default without TLS
   */
  readonly tls?: TlsOptions | (() => TlsOptions);
  /**
   * The user to sign in as, with its password.
   *
   * @default none
   */
  readonly user?: string;
  /**
   * The password of the user, or a function that returns it, which is called at each sign-in. The client signs in on every
   * connection.
   *
   * @default none
   */
  readonly password?: string | (() => string | Promise<string>);
  /**
   * A token to sign in by, in place of a user and a password, or a function that returns the present one: it is called at
   * each sign-in, so a token that expires can be renewed.
   *
   * @default none
   */
  readonly token?: string | (() => string | Promise<string>);
}

/** Certificates and a key for TLS, each as text in PEM or its bytes. */
export interface TlsOptions {
  /** The certificates of the authorities that are trusted, one behind the other. */
  readonly ca: Bytes;
  /**
   * The certificate of this client, with those of intermediate authorities behind it.
   *
   * @default none
   */
  readonly cert?: Bytes;
  /**
   * The private key of `cert`, not encrypted.
   *
   * @default none
   */
  readonly key?: Bytes;
  /**
   * The name that the certificates of the nodes must have.
   *
   * @default the host that is dialled
   */
  readonly serverName?: string;
}

/** Options of every call. */
export interface CallOptions {
  /**
   * Ends the call. The outcome of a write that may have been sent is unknown then.
   *
   * @default none
   */
  readonly signal?: AbortSignal;
  /**
   * Deadline of this call in milliseconds, retries included.
   *
   * @default the `timeoutMs` of the client
   */
  readonly timeoutMs?: number;
}

/** How current a read is. */
export interface ConsistencyOptions extends CallOptions {
  /**
   * "linearizable": no older than any write acknowledged before the read began. "stale": the state of any node, even
   * without a leader; the nodes are asked in turn, so an answer may be older than the one before it.
   *
   * @default "linearizable"
   */
  readonly consistency?: "linearizable" | "stale";
}

/** Options of a read. */
export interface ReadOptions extends ConsistencyOptions {
  /**
   * Reads the store as it was as of this revision, while the history has it. A stale read is answered by any node that
   * has reached the revision.
   *
   * @default the present revision
   */
  readonly revision?: number;
}

/** Options of {@link KvClient.list}: the keys to list. */
export interface ListOptions extends ReadOptions {
  /**
   * Lists only keys with this prefix.
   *
   * @default all keys
   */
  readonly prefix?: Bytes;
  /**
   * First key of the range (included).
   *
   * @default the first key
   */
  readonly start?: Bytes;
  /**
   * End of the range (excluded).
   *
   * @default behind the last key
   */
  readonly end?: Bytes;
  /**
   * Lists from the greatest key down.
   *
   * @default false
   */
  readonly reverse?: boolean;
  /**
   * The most entries of a page.
   *
   * @default 100
   */
  readonly limit?: number;
  /**
   * Whether keys that the user may not read are left out. Without it the listing is refused unless the user may read all of
   * its keys.
   *
   * @default false
   */
  readonly visibleOnly?: boolean;
  /**
   * Whether only the keys are read: the entries then have empty values, which saves their transfer.
   *
   * @default false
   */
  readonly keysOnly?: boolean;
  /**
   * The `cursor` of the page before; null for the first page. That of a page at a `revision` continues at the same one.
   *
   * @default null
   */
  readonly cursor?: string | null;
}

/** Options of {@link KvClient.history}. */
export interface HistoryOptions extends ConsistencyOptions {
  /**
   * The most versions of a page. It may be exceeded by versions of one revision.
   *
   * @default 100
   */
  readonly limit?: number;
  /**
   * Only versions of revisions below this one: the `before` of the page before; null for the first page.
   *
   * @default null
   */
  readonly before?: number | null;
}

/** A condition of a transaction. */
export type TransactionCheck =
  | { readonly key: Bytes; readonly modRevision: number }
  | { readonly key: Bytes; readonly exists: boolean }
  | { readonly key: Bytes; readonly value: Bytes };

/** The events that end a key by themselves. A put without them makes a key that lives until it is deleted. */
export interface Expiry {
  /**
   * The lease with which the key is deleted.
   *
   * @default none
   */
  readonly leaseId?: number;
  /**
   * The time of the wall clock at which the key is deleted, in milliseconds since 1970. The leader's clock decides, to within
   * about a second.
   *
   * @default never
   */
  readonly expiresAtMs?: number;
}

/** Options of {@link KvClient.put}. */
export interface PutOptions extends CallOptions, Expiry {}

/** A change in a transaction. */
export type TransactionMutation =
  | ({ readonly kind: "put"; readonly key: Bytes; readonly value: Bytes } & Expiry)
  | { readonly kind: "delete"; readonly key: Bytes };

/** Checks and mutations, applied completely or not at all. */
export interface TransactionRequest {
  /**
   * Conditions that must all hold.
   *
   * @default none
   */
  readonly checks?: readonly TransactionCheck[];
  /** At least one; no key twice. */
  readonly mutations: readonly TransactionMutation[];
  /** A transaction with branches has these in place of mutations. */
  readonly then?: never;
  /** As `then`. */
  readonly else?: never;
}

/** Arguments of {@link KvClient.compareAndSet}. */
export interface CompareAndSetRequest {
  /** The value that the key must have; null when it must not exist. */
  readonly expect: Bytes | null;
  /** The value to set in that case. */
  readonly value: Bytes;
}

/** The result of {@link KvClient.put}. */
export interface PutResult {
  /** The store's revision that the put made. */
  readonly revision: number;
}

/** The result of {@link KvClient.delete}. */
export interface DeleteResult {
  /** Whether the key existed. */
  readonly deleted: boolean;
  /** The store's revision after the call. */
  readonly revision: number;
}

/** Options of {@link KvClient.count}: the keys to count. */
export type CountOptions = Pick<ListOptions, "prefix" | "start" | "end"> & ReadOptions;

/** The result of {@link KvClient.count}. */
export interface CountResult {
  /** The number of keys. */
  readonly count: number;
  /** The revision as of which they were counted. */
  readonly revision: number;
}

/** The result of {@link KvClient.list}: one page. */
export interface ListResult {
  /** The entries in byte order, in reverse where `reverse` is true. */
  readonly entries: readonly KeyValue[];
  /** The cursor for the next page; null when this is the last one. */
  readonly cursor: string | null;
  /** The revision as of which the page was read. */
  readonly revision: number;
}

/** The result of {@link KvClient.history}: one page of the versions of a key. */
export interface HistoryResult {
  /**
   * The newest first. The oldest one that is kept may be of a revision below `compactedRevision`: it is the one that the
   * key had there.
   */
  readonly versions: readonly KeyVersion[];
  /** The `before` of the next page; null when this is the last one. */
  readonly before: number | null;
  /** The history is kept from this revision on. */
  readonly compactedRevision: number;
  /** The store's revision when the page was read. */
  readonly revision: number;
}

/** The result of {@link KvClient.compact}. */
export interface CompactResult {
  /** The history is kept from this revision on. It is above the requested one if the store was compacted further before. */
  readonly compactedRevision: number;
}

/** The result of {@link KvClient.compareAndSet}. */
export interface CompareAndSetResult {
  /** Whether the key had the expected value. */
  readonly succeeded: boolean;
  /** The key's entry after the call; null when it does not exist. */
  readonly current: KeyValue | null;
  /** The store's revision after the call. */
  readonly revision: number;
}

/** The result of {@link KvClient.transaction}. */
export interface TransactionResult {
  /** Whether all checks held; every mutation was applied then. */
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
    /** "unreachable": no connection could be opened. "notAnswering": no answer came in time, as from a paused process. */
    readonly state: "unreachable" | "notAnswering";
    readonly reason: string;
  };

/** Options of {@link ClusterClient.describe}. */
export interface DescribeOptions extends CallOptions {
  /**
   * "self": the node that answers, alone. "all": it asks every member, and waits a second for each.
   *
   * @default "all"
   */
  readonly scope?: DescribedNodes;
}

/** A member's answer to {@link ClusterClient.describeEach}. */
export type NodeDescription =
  | {
    readonly kind: "answered";
    readonly id: number;
    readonly address: string;
    /** Its own report, and those that it got from the other members, sorted by id. */
    readonly members: readonly MemberReport[];
  }
  | {
    /** A version that knows no reports. */
    readonly kind: "older";
    readonly id: number;
    readonly address: string;
    readonly reason: string;
  }
  | {
    readonly kind: "silent";
    readonly id: number;
    readonly address: string;
    /** "unreachable": no connection could be opened. "notAnswering": no answer came in time. */
    readonly state: "unreachable" | "notAnswering";
    readonly reason: string;
  };

/** The result of {@link ClusterClient.stateHash}. */
export interface StateHash {
  /** The newest log index that the node has applied. */
  readonly appliedIndex: number;
  /** The store's revision there. */
  readonly revision: number;
  /** SHA-256 of the state in hexadecimal: two nodes at one `appliedIndex` have the same. */
  readonly hash: string;
}

/** The result of {@link ClusterClient.status}. */
export interface ClusterStatus {
  /** The leader according to the reachable node with the highest term; null when there is none. */
  readonly leader: number | null;
  /** The highest term that a reachable node knows; 0 when none was reached. */
  readonly term: number;
  /** Sorted by id. */
  readonly nodes: readonly NodeView[];
}

/** Options of {@link ClusterClient.changeMembership}. */
export interface MembershipOptions extends CallOptions {
  /**
   * Makes the change even if it leaves fewer reachable voters than a majority. Nothing can be written then until some
   * are back.
   *
   * @default false
   */
  readonly force?: boolean;
}

/** Options of {@link ClusterClient.takeSnapshot} and {@link ClusterClient.openSnapshot}. */
export interface SnapshotOptions extends CallOptions {
  /**
   * The node that takes the snapshot, and no other.
   *
   * @default the leader, or another node that can be reached
   */
  readonly node?: number;
}

/** The result of {@link ClusterClient.takeSnapshot}. */
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

/** The result of {@link ClusterClient.openSnapshot}: a file that one node keeps until this is disposed of. */
export interface SnapshotDownload extends SnapshotInfo, AsyncDisposable {
  /**
   * Returns the file from its beginning, in order. A file that was read in part is of no use.
   *
   * @throws {KvraftError} when the connection to the node is lost, or a part takes longer than the call's `timeoutMs`
   */
  chunks(): AsyncIterable<Uint8Array>;
}

/** The state of the client's connection, for prompts and status lines. */
export type ConnectionState =
  | { readonly kind: "connected"; readonly node: number; readonly leader: number | null }
  | { readonly kind: "reconnecting"; readonly reason: string };
