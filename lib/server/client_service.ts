/** Serves clients: every request gets one reply, at once or when its write, read or change is finished. */
import { assertNever } from "../platform/assert.ts";
import { type CommandProblem, listingBelowReserved, type ListPage, validateLeaseCommand } from "../kv/mod.ts";
import type { ClientRequest, RequestFrame, ServerMessage } from "../protocol/client_frames.ts";
import type { NodeStatus } from "../protocol/messages.ts";
import type { DescribedNodes, MemberReport } from "../protocol/diagnostics/report.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { NodeId } from "../raft/mod.ts";
import {
  type ErrorAnswer,
  notApplied,
  Reply,
  type ReplyOptions,
  type ReplyTarget,
  unknownOutcome,
  type WriteAnswer,
} from "./reply.ts";
import type { LiveSettings } from "./config/config.ts";
import { SlowRequests } from "./diagnostics/slow_requests.ts";
import type { Driver } from "./driver.ts";
import type { FeatureLevels } from "./membership/feature_levels.ts";
import type { Membership } from "./membership/membership.ts";
import type { YieldToEventLoop } from "./yield_to_event_loop.ts";
import type { LeadershipTransfers, TransferClient } from "./leadership_transfer.ts";
import type { Replica } from "./replica.ts";
import { type Read, type ReadQueue, ReadScheduler, type ReadSize, requestBytes } from "./read_scheduler.ts";
import { answerAuthRead, authStatus } from "./auth/auth_reads.ts";
import { KeepAlives } from "./leases/keep_alives.ts";
import { answerDatabases } from "./databases/database_list.ts";
import { answerParts, pastRevision, problemOf, stateRefusal } from "./reads/read_requests.ts";
import { answerLeaseRead } from "./leases/lease_reads.ts";
import { StateHashes } from "./snapshot/state_hashes.ts";
import type { ConnectionIdentity } from "./auth/connection_identity.ts";
import { type Listing, type LookedPage, visiblePage } from "./auth/visible_page.ts";
import type { ConnectionWatches } from "./watch/connection_watches.ts";
import type { WatchRequests } from "./watch/watch_requests.ts";
import { whenUpToDate } from "./up_to_date.ts";
import type { SignIns } from "./auth/sign_ins.ts";
import type { Writes } from "./writes.ts";
import type { SnapshotDownloads } from "./snapshot/downloads.ts";

/** Maximum bytes of reads that wait for the core. A read beyond that is refused as busy. */
export const MAX_ASKED_BYTES = 134_217_728;

/** The parts of a node that requests lead to. */
export interface ClientServiceOptions extends ReplyOptions {
  readonly driver: Driver;
  readonly replica: Replica;
  readonly writes: Writes;
  readonly transfers: LeadershipTransfers;
  readonly membership: Membership;
  readonly levels: FeatureLevels;
  readonly watches: WatchRequests;
  readonly signIns: SignIns;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly live: Pick<LiveSettings, "slowMs">;
  readonly yieldToEventLoop: YieldToEventLoop;
  readonly status: () => NodeStatus;
  /** Returns reports about nodes; never rejects. */
  readonly describe: (nodes: DescribedNodes) => Promise<readonly MemberReport[]>;
  /** The cluster of the node, by whose id the default database is known. */
  readonly clusterId: string;
  /** Returns the log's time as this node estimates it. */
  readonly logTimeMs: () => number;
}

/** Serves the clients of one node. */
export class ClientService {
  /** The reads of all connections. */
  readonly reads: ReadScheduler;
  readonly #options: ClientServiceOptions;
  #stopping = false;
  /** Bytes of the reads that wait for the core, see {@link requestBytes}. */
  #askedBytes = 0;
  readonly #hashes: StateHashes;
  readonly #keepAlives: KeepAlives;
  readonly #slow: SlowRequests;
  /** The parts that replies share. */
  readonly #replies: ReplyOptions;

  constructor(options: ClientServiceOptions) {
    this.#options = options;
    this.#slow = new SlowRequests(options);
    this.#replies = { ...options, slow: this.#slow };
    const { clock, replica, yieldToEventLoop } = options;
    this.reads = new ReadScheduler({
      clock,
      answer: (read) => this.#answerRead(read),
      refused: ({ reply }) => reply.refuse(stopping()),
      dropped: ({ reply }) => reply.drop(),
    });
    this.#keepAlives = new KeepAlives({ ...options, auth: () => options.access.auth });
    this.#hashes = new StateHashes({ view: () => replica.stateMachine.snapshot(), yieldToEventLoop });
  }

  /** Refuses every request from now on; another node will serve it. */
  stop(): void {
    this.#stopping = true;
    this.reads.stop();
    this.#hashes.stop();
    this.#options.watches.stop();
    this.#options.transfers.stop();
    this.#slow.close();
  }

  /** Replies to a write that node `from` has forwarded. */
  handleForwarded(bytes: Uint8Array, from: NodeId, answer: (body: WriteAnswer) => void): void {
    const { metrics, writes } = this.#options;
    const begin = metrics?.requestBegan("forward") ?? 0;
    const { length } = bytes;
    writes.submitForwarded(bytes, from, (body) => {
      answer(body);
      if (metrics === null) return;
      const outcome = body.kind === "error" ? body.code : "ok";
      const elapsed = metrics.requestAnswered("forward", outcome, begin);
      if (elapsed < this.#slow.boundMicros) return;
      this.#slow.note({
        kind: "forward",
        outcome,
        begin,
        elapsed,
        index: body.index ?? null,
        readyAt: null,
        applyMs: 0,
        bytes: length,
        from: { node: from },
      });
    });
  }

  /** Replies to a request of `client`, at once or once its write, read or change is finished. */
  handle(request: ClientRequest, client: ClientWork): void {
    const { writes, membership, transfers, watches, signIns, access } = this.#options;
    const { requestId } = request;
    const reply = new Reply(request, client, this.#replies);
    const refusal = this.#stopping ? stopping() : reply.refusal();
    if (refusal !== null) return this.#refuse(request, reply, refusal);
    switch (request.kind) {
      case "write":
        return writes.submit(request.command, client.identity, (answer) => {
          if (answer.kind === "error") return reply.refuse(answer);
          reply.send({ kind: "writeResult", requestId, result: answer.result }, answer.index);
        });
      case "get":
      case "getAt":
      case "list":
      case "listAt":
      case "keyHistory":
      case "lease":
      case "listLeases":
      case "readAuth":
      case "listDatabases":
      case "readRanges":
      case "scan":
      case "readEvents":
        return this.#read({ request, reply }, client, problemOf(request));
      case "keepAlive":
        return this.#keepAlive(request, reply, client);
      case "signIn":
        return signIns.request(request, reply, client);
      case "authStatus":
        return reply.send(authStatus(requestId, access.auth, client.identity.user(access.auth)));
      case "watch":
      case "cancelWatch":
      case "watchProgress":
        return watches.handle(request, reply, client.watches);
      case "status":
      case "memberStatus":
        return this.#status(request, reply);
      case "stateHash":
        return this.#hashes.ask(client, (hash) => {
          if (hash === null) return reply.drop();
          const lateRefusal = reply.lateRefusal();
          if (lateRefusal !== null) return reply.refuse(lateRefusal);
          reply.send({ kind: "stateHashResult", requestId, ...hash });
        });
      case "describeNode":
        return void this.#describe(request, reply).catch(client.fail);
      case "transferLeadership":
        return transfers.request(request, reply, client);
      case "changeMembership":
        return void membership.change(request, {
          lateRefusal: () => reply.lateRefusal(),
          answer: (answer) => {
            if (answer.kind === "error") return reply.refuse(answer);
            reply.send({ kind: "membershipChanged", requestId, members: answer.members });
          },
        }).catch(client.fail);
      case "takeSnapshot":
      case "readSnapshot":
      case "closeSnapshot":
        return void client.downloads.handle(request).then((answer) => {
          if (answer.kind === "error") return reply.refuse(answer);
          const lateRefusal = reply.lateRefusal();
          if (lateRefusal !== null) return reply.refuse(lateRefusal);
          reply.send(answer);
        }).catch(client.fail);
      default:
        return assertNever(request);
    }
  }

  async #describe({ requestId, scope }: RequestFrame<"describeNode">, reply: Reply): Promise<void> {
    const members = await this.#options.describe(scope);
    const lateRefusal = reply.lateRefusal();
    if (lateRefusal !== null) return reply.refuse(lateRefusal);
    reply.send({ kind: "nodesDescribed", requestId, members });
  }

  /** Refuses a request. A retry is not called "not applied" while its first attempt is in progress. */
  #refuse(request: ClientRequest, reply: Reply, refusal: ErrorAnswer): void {
    const isInProgress = request.kind === "write" && this.#options.writes.isInProgress(request.command);
    if (!isInProgress) return reply.refuse(refusal);
    reply.refuse(
      unknownOutcome(refusal.code, `${refusal.message} An earlier attempt of the write is in progress.`),
    );
  }

  #status(request: RequestFrame<"status" | "memberStatus">, reply: Reply): void {
    const { requestId } = request;
    const status = this.#options.status();
    const node = request.kind === "status" ? status.id : request.node;
    if (node === status.id) return reply.send({ kind: "statusResult", requestId, status });
    const message = `Cannot give the status of node ${node}: this is node ${status.id}. Ask that node.`;
    reply.refuse(notApplied("invalidRequest", message));
  }

  #keepAlive(
    { requestId, leaseIds }: RequestFrame<"keepAlive">,
    reply: Reply,
    { identity }: ClientWork,
  ): void {
    const problem = validateLeaseCommand({ kind: "keepLeasesAlive", leaseIds });
    if (problem !== null) return reply.refuse(notApplied(problem.kind, problem.message));
    this.#keepAlives.request({
      leaseIds,
      identity,
      answer: (answer) => {
        if (answer.kind === "error") return reply.refuse(answer);
        reply.send({ kind: "keepAliveResult", requestId, ttlsMs: answer.ttlsMs });
      },
    });
  }

  /** Replies to a read once this node's state may answer it and its turn has come. */
  #read(read: Read, client: ClientWork, problem: CommandProblem | null): void {
    const { request, reply } = read;
    if (problem !== null) return reply.refuse(notApplied(problem.kind, problem.message));
    const { driver, replica } = this.#options;
    const isStale = request.consistency === "stale";
    // A stale read of a revision that this node has not reached waits for it as a linearizable read does: the pages of a
    // listing are read from several nodes.
    if (isStale && (pastRevision(request) ?? 0) <= replica.stateMachine.revision) {
      return client.reads.add(read);
    }
    const bytes = requestBytes(read);
    if (this.#askedBytes + bytes > MAX_ASKED_BYTES) {
      return reply.refuse(notApplied("busy", "Cannot read: too many reads wait. Try again later."));
    }
    this.#askedBytes += bytes;
    whenUpToDate({ driver, replica }, (ready, applyMs = 0) => {
      this.#askedBytes -= bytes;
      reply.confirmed(applyMs);
      if (ready) client.reads.add(read);
      else reply.refuse(notReadable());
    });
  }

  /** Answers a read. Never throws: an error must end neither the turn of other clients' reads nor the core's. */
  #answerRead(read: Read): ReadSize {
    try {
      return this.#answerFromState(read);
    } catch (error) {
      read.reply.fail(error);
      return NOTHING_READ;
    }
  }

  #answerFromState({ request, reply }: Read): ReadSize {
    const { requestId } = request;
    const { stateMachine } = this.#options.replica;
    const refusal = reply.lateRefusal() ?? stateRefusal(request, this.#options);
    if (refusal !== null) {
      reply.refuse(refusal);
      return NOTHING_READ;
    }
    switch (request.kind) {
      case "get": {
        // The bytes of this entry, and of the page below, are the state's own: the answer is encoded when it is sent.
        const entry = stateMachine.get(request.key);
        const { revision } = stateMachine;
        reply.send({ kind: "getResult", requestId, entry, revision });
        return { entries: 0, bytes: entry?.value.length ?? 0, looked: 0 };
      }
      case "getAt": {
        const { revision } = request;
        const { result: entry, looked } = stateMachine.getAt(request.key, revision);
        reply.send({ kind: "getResult", requestId, entry, revision });
        return { entries: 0, bytes: entry?.value.length ?? 0, looked };
      }
      case "list": {
        const { result: page, looked } = listed(request, reply, {
          list: (query) => ({ result: stateMachine.list(query), looked: 0 }),
          revision: stateMachine.revision,
        });
        reply.send({ kind: "listResult", requestId, page });
        return { entries: page.entries.length, bytes: bytesOf(page), looked };
      }
      case "listAt": {
        const { revision } = request;
        const { result: page, looked } = listed(request, reply, {
          list: (query) => stateMachine.listAt(query, revision),
          revision,
        });
        reply.send({ kind: "listResult", requestId, page });
        return { entries: page.entries.length, bytes: bytesOf(page), looked };
      }
      case "keyHistory": {
        const { result: page, looked } = stateMachine.history(request.query);
        reply.send({ kind: "keyHistoryResult", requestId, page });
        const bytes = page.versions.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
        return { entries: page.versions.length, bytes, looked };
      }
      case "lease":
      case "listLeases": {
        const logTimeMs = this.#options.logTimeMs();
        const { answer, size } = answerLeaseRead(request, { stateMachine, logTimeMs });
        reply.send(answer);
        return size;
      }
      case "readAuth":
        reply.send(answerAuthRead(request, stateMachine.auth));
        return NOTHING_READ;
      case "readRanges":
      case "scan":
      case "readEvents": {
        const { answer, size } = answerParts(request, stateMachine);
        reply.send(answer);
        return size;
      }
      case "listDatabases":
        reply.send(answerDatabases(request, stateMachine, this.#options.clusterId));
        return NOTHING_READ;
      default:
        return assertNever(request);
    }
  }
}

/** Returns a page of a listing, of the keys alone that the user may read if it asks for these. */
function listed(
  { query, visibleOnly }: RequestFrame<"list" | "listAt">,
  reply: Reply,
  listing: Listing,
): LookedPage {
  const visible = visibleOnly ? reply.readableRanges : null;
  // Not within each visible range: a range of reserved keys would be listed as one that begins there.
  return visible === null ? listing.list(query) : visiblePage(listingBelowReserved(query), visible, listing);
}

const NOTHING_READ: ReadSize = { entries: 0, bytes: 0, looked: 0 };

function bytesOf({ entries }: ListPage): number {
  return entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
}

function stopping(): ErrorAnswer {
  return notApplied("stopping", "Cannot serve: this node is stopping.");
}

function notReadable(): ErrorAnswer {
  return notApplied(
    "noLeader",
    "Cannot read: no leader has confirmed that this node is up to date. Try again.",
  );
}

/** The connection whose work this is. */
export interface ClientWorkOptions extends ReplyTarget {
  /** Whether so much waits to be sent that no further reads may be answered, and no events sent. */
  readonly isHeld: () => boolean;
  /** Reports how many bytes the client's waiting reads take. */
  readonly hold: (bytes: number) => void;
  readonly reads: ReadScheduler;
  readonly downloads: SnapshotDownloads;
  readonly watches: ConnectionWatches;
}

/**
 * The work that one connection has in progress at this node: its reads, its snapshots and everything else that waits. All
 * of it is dropped when the connection closes, since its answers would reach no client.
 */
export class ClientWork implements ReplyTarget, TransferClient {
  readonly identity: ConnectionIdentity;
  readonly send: (message: ServerMessage) => void;
  readonly fail: (error: unknown) => void;
  /** The reads that may be answered. */
  readonly reads: ReadQueue;
  /** The snapshots that the client reads. */
  readonly downloads: SnapshotDownloads;
  /** The keys that the client watches. */
  readonly watches: ConnectionWatches;
  readonly #drops = new Set<() => void>();
  #isClosed = false;

  constructor({ identity, send, fail, isHeld, hold, reads, downloads, watches }: ClientWorkOptions) {
    this.identity = identity;
    this.send = send;
    this.fail = fail;
    this.reads = reads.queue({ isHeld, hold });
    this.downloads = downloads;
    this.watches = watches;
  }

  /** Whether the connection is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Calls `drop` once the connection is closed, unless the returned function is called before. */
  onClosed(drop: () => void): () => void {
    this.#drops.add(drop);
    return () => this.#drops.delete(drop);
  }

  /** Answers waiting reads and feeds watches: the client has received some of what was queued for it. */
  resume(): void {
    this.reads.resume();
    this.watches.resume();
  }

  /** Ends the watches of keys that the user may not read: the connection has another user. */
  userChanged(): void {
    this.watches.recheck();
  }

  /** Drops all of it: the connection is closed. */
  close(): void {
    this.#isClosed = true;
    this.reads.close();
    this.downloads.close();
    this.watches.close();
    for (const drop of this.#drops) drop();
    this.#drops.clear();
  }
}
