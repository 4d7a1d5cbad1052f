/** A store in memory with the client interface of the commands; its calls can be made to fail. */
import type { StoreClient } from "../../../../lib/cli/command.ts";
import type {
  Bytes,
  CallOptions,
  ClusterStatus,
  CompactResult,
  CompareAndSetResult,
  ConnectionState,
  CountOptions,
  CountResult,
  DeleteResult,
  HistoryOptions,
  HistoryResult,
  ListOptions,
  ListResult,
  NodeDescription,
  PutOptions,
  PutResult,
  ReadOptions,
  SnapshotDownload,
  SnapshotInfo,
  StateHash,
  TransactionCheck,
  TransactionRequest,
  TransactionResult,
} from "../../../../lib/client/types.ts";
import { CompactedError, InvalidRequestError } from "../../../../lib/client/errors.ts";
import type {
  BranchingRequest,
  BranchingResult,
  TransactionOperation,
  UnconditionalRequest,
  UnconditionalResult,
} from "../../../../lib/client/transaction/types.ts";
import type { WatchBatch, WatchRequest } from "../../../../lib/client/watch/types.ts";
import type { Leadership, Lock, LockOptions } from "../../../../lib/client/locks/types.ts";
import { FakeAuth } from "./fake_auth.ts";
import { FakeDatabases } from "./fake_databases.ts";
import { FakeContender, FakeLeases } from "./fake_leases.ts";
import { FakeWatch } from "./fake_watch.ts";
import type { Attachment, KeyValue, KeyVersion } from "../../../../lib/kv/command.ts";
import type { MemberReport } from "../../../../lib/protocol/diagnostics/report.ts";
import type { Member, MembershipChange, PeerStatus } from "../../../../lib/protocol/messages.ts";

/** A node that is well, as `status` shows it. */
export function healthy(id: number, role: "leader" | "follower"): ClusterStatus["nodes"][number] {
  return {
    reachable: true,
    id,
    address: `127.0.0.1:700${id}`,
    role,
    term: 5,
    leader: 2,
    commitIndex: 12,
    appliedIndex: 12,
    lastLogIndex: 12,
    revision: 7,
    keys: 1,
    sessions: 1,
    version: "0.1.0",
    firstLogIndex: 1,
    snapshotIndex: 0,
    stateBytes: 64,
    peers: [],
    disk: "ok",
    links: [],
    quotaBytes: null,
    etcdUrls: [],
    featureLevel: 2,
  };
}

/** A follower that is well, as its leader knows it. */
export function peer(id: number, differences: Partial<PeerStatus> = {}): PeerStatus {
  const sizes = { snapshotSentBytes: 0, snapshotTotalBytes: 0, hasDiskSpace: true };
  return { id, matchIndex: 12, state: "replicate", lastContactMs: 40, ...sizes, ...differences };
}

/** Node 1 is down, node 2 leads, node 3 follows. */
export const STATUS: ClusterStatus = {
  leader: 2,
  term: 5,
  nodes: [
    {
      reachable: false,
      id: 1,
      address: "127.0.0.1:7001",
      state: "unreachable",
      reason: "nothing listens there",
    },
    healthy(2, "leader"),
    healthy(3, "follower"),
  ],
};

/** The store. */
export class FakeStore implements StoreClient {
  /** The calls on the cluster are methods of this class, too. */
  readonly cluster: StoreClient["cluster"] = this;
  readonly entries = new Map<string, KeyValue>();
  /** Every version of every key, the oldest first. */
  readonly past: { readonly key: string; readonly version: KeyVersion }[] = [];
  revision = 0;
  compactedRevision = 0;
  state: ConnectionState = { kind: "connected", node: 2, leader: 2 };
  clusterStatus: ClusterStatus = STATUS;
  memberList: readonly Member[] = [
    { id: 1, address: "127.0.0.1:7001", role: "voter" },
    { id: 2, address: "[::1]:7002", role: "voter" },
  ];
  /** Changes of the membership that were requested. */
  readonly changes: unknown[] = [];
  /** Effect of a change on `memberList`, or its refusal. */
  onChange: (change: MembershipChange) => Promise<void> = () => Promise.resolve();
  snapshot: SnapshotInfo = { nodeId: 2, index: 12, term: 5, revision: 7, bytes: 6 };
  /** Chunks of the snapshot file. */
  snapshotChunks: () => AsyncIterable<Uint8Array> = () => ReadableStream.from([]);
  /** Number of snapshots that are open. */
  openSnapshots = 0;
  /** Awaited by each call on keys; it can delay or fail the call. */
  before: (options: { readonly signal?: AbortSignal }) => Promise<void> = () => Promise.resolve();
  /** Transactions with branches that were requested, in order. */
  readonly transactions: unknown[] = [];
  /** The result of every transaction with branches; null: they are refused. */
  branchingResult: BranchingResult | null = { succeeded: true, results: [], revision: 0 };
  /** The result of a transaction with branches, in place of `branchingResult`; null: that. */
  onBranches: (request: BranchingRequest) => BranchingResult | null = () => null;
  readonly auth = new FakeAuth((name, options) => this.#call(name, options));
  readonly databases = new FakeDatabases((name, options) => this.#call(name, options));
  readonly leases = new FakeLeases((name, options) => this.#call(name, options));
  /** Locks and leaderships that were requested, in order. */
  readonly contenders: FakeContender[] = [];
  /** Leaders that observers see. */
  leaders: AsyncIterable<KeyValue | null> = ReadableStream.from([]);
  /** The watches, in the order in which they were requested. */
  readonly watches: FakeWatch[] = [];
  /** Options of every call, in order. */
  readonly calls: unknown[] = [];
  closed = 0;
  readonly #listeners = new Set<(state: ConnectionState) => void>();

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** The connection, or who leads, changes. */
  become(state: ConnectionState): void {
    this.state = state;
    for (const listener of this.#listeners) listener(state);
  }

  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResult> {
    await this.#call("put", options);
    this.#set(key, value, lifetimeOf(options));
    return { revision: this.revision };
  }

  async get(key: Bytes, options: ReadOptions = {}): Promise<KeyValue | null> {
    await this.#call("get", options);
    return this.#entriesAt(options.revision).get(id(key)) ?? null;
  }

  async delete(key: Bytes, options: { readonly signal?: AbortSignal } = {}): Promise<DeleteResult> {
    await this.#call("delete", options);
    this.revision += 1;
    return { deleted: this.#delete(key), revision: this.revision };
  }

  async list(options: ListOptions = {}): Promise<ListResult> {
    await this.#call("list", options);
    const { prefix = "", start = "", end = null, reverse = false, limit = 100, cursor = null } = options;
    const all = this.#entriesAt(options.revision);
    const keys = [...all.keys()].filter((key) =>
      key.startsWith(id(prefix)) && key >= id(start) && (end === null || key < id(end)) &&
      (cursor === null || (reverse ? key < cursor : key > cursor))
    ).sort();
    if (reverse) keys.reverse();
    const entries = keys.flatMap((key) => all.get(key) ?? []).slice(0, limit)
      .map((entry) => options.keysOnly === true ? { ...entry, value: new Uint8Array(0) } : entry);
    const next = keys[limit - 1] ?? null;
    const { revision = this.revision } = options;
    return { entries, cursor: keys.length > limit ? next : null, revision };
  }

  async count(options: CountOptions = {}): Promise<CountResult> {
    const { entries, revision } = await this.list({ ...options, limit: Infinity });
    return { count: entries.length, revision };
  }

  async history(key: Bytes, options: HistoryOptions = {}): Promise<HistoryResult> {
    await this.#call("history", options);
    const { limit = 100, before = null } = options;
    const found = this.past.filter((change) =>
      change.key === id(key) && (before === null || change.version.modRevision < before)
    ).map(({ version }) => version).toReversed();
    const versions = found.slice(0, limit);
    const { compactedRevision, revision } = this;
    const next = found.length > limit ? versions.at(-1)?.modRevision ?? null : null;
    return { versions, before: next, compactedRevision, revision };
  }

  async compact(revision: number, options: CallOptions = {}): Promise<CompactResult> {
    await this.#call("compact", options);
    this.compactedRevision = Math.max(this.compactedRevision, revision);
    return { compactedRevision: this.compactedRevision };
  }

  async compareAndSet(
    key: Bytes,
    change: { readonly expect: Bytes | null; readonly value: Bytes; readonly signal?: AbortSignal },
  ): Promise<CompareAndSetResult> {
    const { signal } = change;
    await this.#call("cas", signal === undefined ? {} : { signal });
    const current = this.entries.get(id(key)) ?? null;
    const holds = change.expect === null
      ? current === null
      : current !== null && id(current.value) === id(change.expect);
    if (!holds) return { succeeded: false, current, revision: this.revision };
    return { succeeded: true, current: this.#set(key, change.value), revision: this.revision };
  }

  transaction(request: TransactionRequest & CallOptions): Promise<TransactionResult>;
  transaction<Then extends readonly TransactionOperation[]>(
    request: UnconditionalRequest<Then> & CallOptions,
  ): Promise<UnconditionalResult<Then>>;
  transaction<Then extends readonly TransactionOperation[], Else extends readonly TransactionOperation[]>(
    request: BranchingRequest<Then, Else> & CallOptions,
  ): Promise<BranchingResult<Then, Else>>;
  async transaction(
    request: (TransactionRequest | BranchingRequest) & CallOptions,
  ): Promise<TransactionResult | BranchingResult> {
    if (request.mutations === undefined) {
      const { checks, then, else: otherwise, ...options } = request;
      await this.#call("transaction", options);
      this.transactions.push({ checks, then, else: otherwise });
      const result = this.onBranches(request) ?? this.branchingResult;
      if (result !== null) return result;
      throw new InvalidRequestError("every node must run kvraft 0.2 or later");
    }
    const { checks = [], mutations, ...options } = request;
    await this.#call("transaction", options);
    const failedChecks = checks.flatMap((check, position) => this.#holds(check) ? [] : [position]);
    if (failedChecks.length > 0) return { succeeded: false, failedChecks, revision: this.revision };
    this.revision += 1;
    for (const mutation of mutations) {
      if (mutation.kind === "delete") this.#delete(mutation.key);
      else this.#put(mutation.key, mutation.value, lifetimeOf(mutation));
    }
    return { succeeded: true, failedChecks, revision: this.revision };
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    const watch = new FakeWatch(request);
    this.watches.push(watch);
    return watch;
  }

  lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return this.#contend({ name, options });
  }

  elect(name: string, value: Bytes, options: LockOptions = {}): Promise<Leadership> {
    return this.#contend({ name, options, value });
  }

  observe(name: string): AsyncIterable<KeyValue | null> {
    this.calls.push({ name: "observe", election: name });
    return this.leaders;
  }

  status(): Promise<ClusterStatus> {
    return Promise.resolve(this.clusterStatus);
  }

  members(): Promise<readonly Member[]> {
    return Promise.resolve(this.memberList);
  }

  async changeMembership(
    change: MembershipChange,
    { force = false, timeoutMs }: CallOptions & { readonly force?: boolean } = {},
  ): Promise<readonly Member[]> {
    this.changes.push({ ...change, force, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    await this.onChange(change);
    return this.memberList;
  }

  async takeSnapshot(options: CallOptions = {}): Promise<SnapshotInfo> {
    await this.#call("takeSnapshot", options);
    return this.snapshot;
  }

  async openSnapshot(options: CallOptions = {}): Promise<SnapshotDownload> {
    await this.#call("openSnapshot", options);
    this.openSnapshots += 1;
    return {
      ...this.snapshot,
      chunks: this.snapshotChunks,
      [Symbol.asyncDispose]: () => Promise.resolve(void (this.openSnapshots -= 1)),
    };
  }

  /** The result of `describe`. */
  reports: readonly MemberReport[] = [];

  describe(): Promise<readonly MemberReport[]> {
    return Promise.resolve(this.reports);
  }

  /** The result of `describeEach`. */
  descriptions: readonly NodeDescription[] = [];

  describeEach(): Promise<readonly NodeDescription[]> {
    return Promise.resolve(this.descriptions);
  }

  stateHash(): Promise<StateHash> {
    return Promise.resolve({ appliedIndex: 12, revision: this.revision, hash: "ab" });
  }

  transferLeadership(target: number | null): Promise<number> {
    return Promise.resolve(target ?? 3);
  }

  connectionState(): ConnectionState {
    return this.state;
  }

  onStateChange(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  async #call(name: string, options: { readonly signal?: AbortSignal }): Promise<void> {
    const { signal: _, ...recorded } = options;
    this.calls.push({ name, ...recorded });
    await this.before(options);
  }

  #contend(request: FakeContender["request"]): Promise<FakeContender> {
    const contender = new FakeContender(request);
    this.contenders.push(contender);
    return contender.holds;
  }

  #holds(check: TransactionCheck): boolean {
    const entry = this.entries.get(id(check.key));
    if ("exists" in check) return (entry !== undefined) === check.exists;
    if ("modRevision" in check) return (entry?.modRevision ?? 0) === check.modRevision;
    return entry !== undefined && id(entry.value) === id(check.value);
  }

  /** Returns the entries as of a revision, or the present ones. */
  #entriesAt(revision: number | undefined): ReadonlyMap<string, KeyValue> {
    if (revision === undefined) return this.entries;
    const { compactedRevision } = this;
    if (revision < compactedRevision) {
      throw new CompactedError("Cannot read as of that revision: it is compacted.", { compactedRevision });
    }
    const entries = new Map<string, KeyValue>();
    for (const { key, version: { value, ...numbers } } of this.past) {
      if (numbers.modRevision > revision) continue;
      if (value === null) entries.delete(key);
      else entries.set(key, { key: Uint8Array.from(key, (byte) => byte.charCodeAt(0)), value, ...numbers });
    }
    return entries;
  }

  #delete(key: Bytes): boolean {
    const deleted = this.entries.delete(id(key));
    const version = { createRevision: 0, modRevision: this.revision, version: 0, value: null };
    if (deleted) this.past.push({ key: id(key), version });
    return deleted;
  }

  #set(key: Bytes, value: Bytes, lifetime: Attachment = {}): KeyValue {
    this.revision += 1;
    return this.#put(key, value, lifetime);
  }

  #put(key: Bytes, value: Bytes, lifetime: Attachment = {}): KeyValue {
    const old = this.entries.get(id(key));
    const entry = {
      key: bytes(key),
      value: bytes(value),
      createRevision: old?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (old?.version ?? 0) + 1,
      ...lifetime,
    };
    this.entries.set(id(key), entry);
    const { key: _, ...version } = entry;
    this.past.push({ key: id(key), version });
    return entry;
  }
}

function lifetimeOf({ leaseId, expiresAtMs }: Attachment): Attachment {
  return {
    ...(leaseId !== undefined && { leaseId }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

function bytes(given: Bytes): Uint8Array {
  return typeof given === "string" ? new TextEncoder().encode(given) : given;
}

/** Equal for equal bytes, and in their order. */
function id(given: Bytes): string {
  return String.fromCharCode(...bytes(given));
}
