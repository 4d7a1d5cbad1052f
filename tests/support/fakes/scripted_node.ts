/**
 * Nodes that answer as a test directs, with real frames over a network in memory, for tests of the client library.
 */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assert } from "@std/assert";
import { parseAddress } from "../../../lib/platform/address.ts";
import {
  type ClientRequest,
  decodeClientRequest,
  encodeServerMessage,
  type RequestFrame,
  type ServerMessage,
} from "../../../lib/protocol/client_frames.ts";
import type { MemberReport } from "../../../lib/protocol/diagnostics/report.ts";
import type { Member, NodeStatus } from "../../../lib/protocol/messages.ts";
import { decodeCommand, encodeResult } from "../../../lib/protocol/command.ts";
import { FrameChannel } from "../../../lib/transport/frame_channel.ts";
import { decodeHello, encodeRefusal, encodeWelcome, type Refusal } from "../../../lib/protocol/hello.ts";
import { MAX_FRAME_BYTES, MAX_SNAPSHOT_PART_BYTES } from "../../../lib/protocol/limits.ts";
import type { Connection, Listener } from "../../../lib/platform/network.ts";
import type { Operation, OperationOutcome } from "../../../lib/kv/branching_command.ts";
import type { CommandResult, KeyValue, MutationOutcome, Transaction } from "../../../lib/kv/command.ts";
import type { KvClient } from "../../../lib/mod.ts";
import { connectOn } from "../../../lib/testing.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { MemoryNetwork } from "./memory_network.ts";
import { SeededRandom } from "../seeded_random.ts";

/** A node's reaction to a request: it answers, does not answer, or ends the connection. */
export type Reply = ServerMessage | "silence" | "disconnect";

/** A write as a node received it. */
export type ReceivedWrite = Transaction & { readonly stamp: NonNullable<Transaction["session"]> };

/** Step by which time advances. */
const STEP_MS = 20;
/** Time limit of a wait, in the time of the test's clock. */
const MAX_WAIT_MS = 60_000;
const SIZES = { readBytes: 4_096, retainedBytes: 65_536, maxQueuedBytes: MAX_FRAME_BYTES };

/** A node. A test sets its public fields. */
export class FakeNode {
  readonly id: number;
  readonly address: string;
  readonly #cluster: FakeCluster;
  readonly #channels = new Set<FrameChannel>();
  #listener: Listener | null = null;
  /** All received requests, in order. */
  readonly requests: ClientRequest[] = [];
  leader: number | null = 1;
  term = 1;
  appliedIndex = 10;
  maxValueBytes = 1_048_576;
  clusterId = "0123456789abcdef";
  /** The file of every snapshot that it takes. */
  snapshot: Uint8Array = new Uint8Array(0);
  /** Snapshots that it keeps for their readers. */
  keptSnapshots = 0;
  /** While true, it accepts connections and bytes, and does nothing (as after SIGSTOP). */
  isHung = false;
  /** Sent in place of a welcome. */
  refusal: Refusal | null = null;
  /** Its reaction to a request. */
  answer: (request: ClientRequest) => Reply = (request) => this.#obey(request);
  /**
   * Its reaction before that of {@link answer}, or null for none. `send` sends messages over the connection of the request;
   * it is the same function for all requests of a connection.
   */
  serve: (request: ClientRequest, send: (message: ServerMessage) => void) => Reply | null = () => null;

  /** Made by {@link FakeCluster}. */
  constructor(cluster: FakeCluster, id: number) {
    this.#cluster = cluster;
    this.id = id;
    this.address = `10.0.0.${id}:7001`;
  }

  /** The writes among {@link requests}, decoded. */
  get writes(): readonly ReceivedWrite[] {
    return this.requests.filter((request) => request.kind === "write").map(({ command }) =>
      readWrite(command)
    );
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#channels.size;
  }

  /** Listens at its address. */
  start(): void {
    const listener = this.#cluster.network.listen(parseAddress(this.address));
    this.#listener = listener;
    const acceptAll = async (): Promise<void> => {
      for (let next = await listener.accept(); next !== null; next = await listener.accept()) {
        void this.#serve(next);
      }
    };
    void acceptAll();
  }

  /** Serves one connection until it ends. */
  async #serve(connection: Connection): Promise<void> {
    const channel = new FrameChannel(connection, { clock: this.#cluster.clock, sizes: SIZES });
    this.#channels.add(channel);
    try {
      if (this.isHung) return void await channel.readFrames(() => {});
      const first = await channel.readFrame();
      if (first.kind !== "frame") return;
      assert(decodeHello(first.payload).kind === "hello", "a client says hello in our version");
      if (this.refusal !== null) {
        channel.send(encodeRefusal, { ...this.refusal, proof: null });
        return void await channel.finish("refused", 1_000);
      }
      this.#welcome(channel);
      const send = (message: ServerMessage): void => void channel.send(encodeServerMessage, message);
      await channel.readFrames((payload) => this.#receive(channel, payload, send));
    } finally {
      channel.close("done");
      this.#channels.delete(channel);
    }
  }

  /** Sends every client the id of the leader. */
  notify(leader: number | null, term: number): void {
    this.leader = leader;
    this.term = term;
    this.broadcast({ kind: "leader", leader, term });
  }

  /** Sends every client a message. */
  broadcast(message: ServerMessage): void {
    for (const channel of this.#channels) channel.send(encodeServerMessage, message);
  }

  /** Sends every client its list of the cluster's members. */
  notifyMembers(): void {
    const { appliedIndex } = this;
    const { members } = this.#cluster;
    this.broadcast({ kind: "members", appliedIndex, members });
  }

  /** Ends every connection. */
  disconnect(): void {
    for (const channel of this.#channels) channel.close("disconnected by the test");
  }

  /** Closes the listener and all connections, as after kill -9. */
  kill(): void {
    this.#listener?.close();
    this.disconnect();
  }

  #welcome(channel: FrameChannel): void {
    channel.allow({ maxFrameBytes: MAX_FRAME_BYTES, retainedBytes: SIZES.retainedBytes });
    channel.send(encodeWelcome, {
      kind: "welcome",
      version: 1,
      clusterId: this.clusterId,
      nodeId: this.id,
      leader: this.leader,
      term: this.term,
      appliedIndex: this.appliedIndex,
      members: this.#cluster.members,
      limits: { maxKeyBytes: 4_096, maxValueBytes: this.maxValueBytes, maxFrameBytes: MAX_FRAME_BYTES },
      dataId: this.id,
      featureLevel: FEATURE_LEVEL,
      proof: null,
    });
  }

  #receive(channel: FrameChannel, payload: Uint8Array, send: (message: ServerMessage) => void): void {
    // A copy: the command of a write is a view of it.
    const request = decodeClientRequest(payload.slice());
    this.requests.push(request);
    const reply = this.isHung ? "silence" : this.serve(request, send) ?? this.answer(request);
    if (reply === "silence") return;
    if (reply === "disconnect") channel.close("disconnected by the test");
    else channel.send(encodeServerMessage, reply);
  }

  /** Answers ordinary requests. */
  #obey(request: ClientRequest): Reply {
    const { requestId } = request;
    switch (request.kind) {
      case "write":
        return applied(request, this.requests.length);
      case "get":
        return { kind: "getResult", requestId, entry: null, revision: 1 };
      case "list":
        return { kind: "listResult", requestId, page: { ...NO_ENTRIES, revision: 1 } };
      case "getAt":
        return { kind: "getResult", requestId, entry: null, revision: request.revision };
      case "listAt":
        return { kind: "listResult", requestId, page: { ...NO_ENTRIES, revision: request.revision } };
      case "keyHistory":
        return { kind: "keyHistoryResult", requestId, page: NO_VERSIONS };
      case "lease":
        return { kind: "leaseResult", requestId, lease: null, revision: 1 };
      case "listLeases":
        return { kind: "leasesResult", requestId, leases: [], more: false, revision: 1 };
      case "keepAlive":
        return { kind: "keepAliveResult", requestId, ttlsMs: request.leaseIds.map(() => 10_000) };
      case "signIn":
        return { kind: "signedIn", requestId, user: "alice", expiresAtMs: null, ticket: null };
      case "authStatus":
        return { kind: "authStatusResult", requestId, ...NO_AUTHENTICATION };
      case "readAuth":
        return { kind: "authResult", requestId, users: [], roles: [], authRevision: 0, after: null };
      case "watch":
        return { kind: "watchStarted", requestId, revision: 1 };
      case "cancelWatch":
        return { kind: "watchCancelled", requestId };
      case "watchProgress":
        return { kind: "watchProgressResult", requestId, revision: 1, behind: [] };
      case "readEvents":
        return { kind: "eventsResult", requestId, page: NO_EVENTS };
      case "readRanges":
      case "listDatabases":
      case "scan":
        return withoutKeys(request);
      case "status":
      case "memberStatus":
        return { kind: "statusResult", requestId, status: this.status() };
      case "describeNode":
        return { kind: "nodesDescribed", requestId, members: [this.describeMember()] };
      case "stateHash":
        return {
          kind: "stateHashResult",
          requestId,
          appliedIndex: this.appliedIndex,
          revision: 1,
          hash: "ab",
        };
      case "transferLeadership":
        return { kind: "transferLeadershipResult", requestId, leader: request.target ?? 2 };
      case "changeMembership":
        return { kind: "membershipChanged", requestId, members: this.#cluster.members };
      case "takeSnapshot":
        if (request.keep) this.keptSnapshots += 1;
        return this.#takeSnapshot(requestId);
      case "readSnapshot": {
        const data = this.snapshot.slice(request.offset, request.offset + MAX_SNAPSHOT_PART_BYTES);
        return { kind: "snapshotPart", requestId, offset: request.offset, data };
      }
      case "closeSnapshot":
        this.keptSnapshots -= 1;
        return { kind: "snapshotClosed", requestId };
    }
  }

  #takeSnapshot(requestId: number): ServerMessage {
    return {
      kind: "snapshotTaken",
      requestId,
      snapshotId: 1,
      index: this.appliedIndex,
      term: this.term,
      revision: 1,
      bytes: this.snapshot.length,
      takenBy: null,
    };
  }

  /** Returns itself as a member that does not answer. */
  describeMember(): MemberReport {
    return { kind: "unreachable", id: this.id, address: this.address, reason: "it is scripted" };
  }

  /** Returns its status. */
  status(): NodeStatus {
    return {
      id: this.id,
      role: this.leader === this.id ? "leader" : "follower",
      term: this.term,
      leader: this.leader,
      commitIndex: this.appliedIndex,
      appliedIndex: this.appliedIndex,
      lastLogIndex: this.appliedIndex,
      revision: 1,
      keys: 0,
      sessions: 0,
      version: "0.1.0",
      members: this.#cluster.members,
      firstLogIndex: 1,
      snapshotIndex: 0,
      stateBytes: 0,
      peers: [],
      disk: "ok",
      links: [],
      quotaBytes: null,
      etcdUrls: [],
      featureLevel: 2,
    };
  }
}

/** The answer to authStatus where authentication is disabled. */
const NO_AUTHENTICATION = {
  enabled: false,
  authRevision: 0,
  user: null,
  via: null,
  roles: [],
  grants: [],
  more: false,
} as const;

/** A few nodes, their network and their clock. Node 1 leads unless a test sets another. */
export class FakeCluster {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork();
  readonly nodes: readonly FakeNode[];
  /** The members that every node reports: all nodes, unless a test sets others. */
  members: readonly Member[];
  readonly #random = new SeededRandom(1);

  /** Starts them. */
  constructor(size: number) {
    this.nodes = Array.from({ length: size }, (_, position) => new FakeNode(this, position + 1));
    this.members = this.nodes.map(({ id, address }) => ({ id, address, role: "voter" }));
    for (const node of this.nodes) node.start();
  }

  /** Returns the node with this id. */
  node(id: number): FakeNode {
    const node = this.nodes[id - 1];
    assert(node !== undefined, `there is a node ${id}`);
    return node;
  }

  /** Returns a client with the addresses of these nodes, or of all. */
  async connect(ids: readonly number[] = this.nodes.map(({ id }) => id)): Promise<KvClient> {
    const platform = { network: this.network, clock: this.clock, random: () => this.#random.next() };
    return await this.finish(connectOn(platform, { cluster: ids.map((id) => this.node(id).address) }));
  }

  /** Lets this much time pass, with all that happens in it. */
  async pass(durationMs: number): Promise<void> {
    await settle();
    for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
      this.clock.advance(Math.min(STEP_MS, durationMs - passedMs));
      await settle();
    }
  }

  /** Lets time pass until `promise` settles, and returns its result. */
  async finish<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    promise.then(() => isSettled = true, () => isSettled = true);
    await settle();
    const start = this.clock.now();
    while (!isSettled) {
      assert(this.clock.now() - start < MAX_WAIT_MS, "what is waited for comes to an end");
      await this.pass(STEP_MS);
    }
    return await promise;
  }
}

/**
 * Returns the answer to an applied write: every mutation is a first put, or the deletion of an existing key. A
 * transaction with branches executes its `then`, in a store without keys.
 */
export function applied(request: ClientRequest, revision: number): ServerMessage {
  assert(request.kind === "write", "only a write is applied");
  const command = decodeCommand(request.command);
  if (command.kind === "compact") {
    const { revision } = command;
    return writeResult(request, { kind: "compacted", revision, before: 0, present: revision });
  }
  if (command.kind === "branchingTransaction") {
    const outcomes = outcomesOf(command.then, revision);
    return writeResult(request, { kind: "executed", revision, succeeded: true, outcomes });
  }
  const outcomes = readWrite(request.command).mutations.map((mutation): MutationOutcome => {
    switch (mutation.kind) {
      case "put":
      case "expiringPut":
        return { kind: "put", createRevision: revision, version: 1 };
      case "delete":
        return { kind: "delete", deleted: true };
    }
  });
  return writeResult(request, { kind: "applied", revision, outcomes });
}

function outcomesOf(operations: readonly Operation[], revision: number): readonly OperationOutcome[] {
  return operations.map((operation): OperationOutcome => {
    switch (operation.kind) {
      case "put":
      case "sum":
      case "min":
      case "max": {
        const previous = operation.kind === "put" && operation.returnPrevious ? null : "omitted";
        return { kind: "put", createRevision: revision, version: 1, previous };
      }
      case "delete":
        return { kind: "delete", deleted: 0, previous: [] };
      case "get":
        return { kind: "get", entries: [], more: false, count: 0 };
      case "transaction":
        return { kind: "transaction", succeeded: true, outcomes: outcomesOf(operation.then, revision) };
    }
  });
}

/** Returns the answer of a store without keys to a read of ranges or databases. */
function withoutKeys(request: RequestFrame<"readRanges" | "listDatabases" | "scan">): ServerMessage {
  const { requestId } = request;
  if (request.kind === "scan") {
    const page = { entries: [], more: false, revision: 1, after: null, count: 0 };
    return { kind: "scanResult", requestId, page, present: 1 };
  }
  if (request.kind === "listDatabases") {
    return { kind: "databasesResult", requestId, revision: 1, authenticationEnabled: false, databases: [] };
  }
  const ranges = request.ranges.map(() => []);
  return { kind: "readRangesResult", requestId, revision: 1, ranges, next: null };
}

/** A page of an empty listing, and one of the history of a key that never was. */
const NO_ENTRIES = { entries: [], more: false, after: null };
const NO_VERSIONS = { versions: [], more: false, compactedRevision: 0, revision: 1 };
/** A page of a history without events. */
const NO_EVENTS = { revisions: [], next: 2, skip: 0, revision: 1 };

/** Returns an answer to a write. */
export function writeResult(request: ClientRequest, result: CommandResult): ServerMessage {
  return { kind: "writeResult", requestId: request.requestId, result: encodeResult(result) };
}

function readWrite(command: Uint8Array): ReceivedWrite {
  const write = decodeCommand(command);
  assert(
    write.kind === "transaction" && write.session !== null,
    "a client's write is a transaction with a stamp",
  );
  return { ...write, stamp: write.session };
}

/** Returns the requests that node 1 received, without their ids. */
export function sent(cluster: FakeCluster): unknown[] {
  return cluster.node(1).requests.map(({ requestId: _, ...request }) => request);
}

/** Returns the entry of a key with the value "v". */
export function entry(key: string): KeyValue {
  return {
    key: new TextEncoder().encode(key),
    value: new TextEncoder().encode("v"),
    createRevision: 1,
    modRevision: 1,
    version: 1,
  };
}
