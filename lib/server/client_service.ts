/** Answers what clients ask: every request gets one answer, at once or when its write or read is settled. */
import { assertNever } from "../platform/assert.ts";
import { type CommandProblem, validateKey, validateListQuery } from "../kv/mod.ts";
import type {
  ClientRequest,
  Member,
  NodeStatus,
  ServerMessage,
  StateHashRequest,
  TransferLeadershipRequest,
} from "../protocol/messages.ts";
import type { Clock } from "../platform/clock.ts";
import { type ErrorAnswer, notApplied, unknownOutcome } from "./answers.ts";
import type { NodeId } from "../raft/mod.ts";
import type { Driver } from "./driver.ts";
import type { Membership } from "./membership/membership.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { YieldToEventLoop } from "./yield_to_event_loop.ts";
import type { LeadershipWatch } from "./leadership.ts";
import type { Replica } from "./replica.ts";
import { type Read, type ReadQueue, ReadScheduler, type ReadSize, requestBytes } from "./read_scheduler.ts";
import { StateHashes } from "./snapshot/state_hashes.ts";
import type { Writes } from "./writes.ts";
import type { SnapshotDownloads } from "./snapshot/downloads.ts";

/** Bytes of reads that wait for the core. One more read is refused as busy. */
export const MAX_ASKED_BYTES = 134_217_728;
/**
 * Transfers of leadership whose end clients wait for. One more is refused as busy. The core takes one at a time and gives
 * it up after an election timeout, so that a few are the most as long as clients wait for two of these.
 */
export const MAX_TRANSFERS = 256;

type Send = (message: ServerMessage) => void;

/** What the service leads to. */
export interface ClientServiceOptions {
  readonly driver: Driver;
  readonly replica: Replica;
  readonly writes: Writes;
  readonly leadership: LeadershipWatch;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly yieldToEventLoop: YieldToEventLoop;
  /** How long a transfer of leadership may take. */
  readonly transferTimeoutMs: number;
  /** This node's view of itself. */
  readonly status: () => NodeStatus;
  /** Counts requests; null counts none. */
  readonly metrics: Metrics | null;
}

/** Serves the clients of one node. */
export class ClientService {
  /** The reads of all connections. */
  readonly reads: ReadScheduler;
  readonly #options: ClientServiceOptions;
  #stopping = false;
  /** Of reads that wait for the core, see {@link requestBytes}. */
  #askedBytes = 0;
  readonly #hashes: StateHashes;
  /** Gives up a transfer that waits for its end. */
  readonly #transfers = new Set<() => void>();

  constructor(options: ClientServiceOptions) {
    this.#options = options;
    const { clock, replica, yieldToEventLoop, metrics } = options;
    this.reads = new ReadScheduler({
      clock,
      answer: (read) => this.#answerRead(read),
      refused: ({ request, begin, client }) => this.#refuse(request, begin, client.send, stopping()),
      dropped: ({ request }) => metrics?.requestDropped(request.kind),
    });
    this.#hashes = new StateHashes({ view: () => replica.stateMachine.snapshot(), yieldToEventLoop });
  }

  /** From now on every request is refused; another node will serve it. */
  stop(): void {
    this.#stopping = true;
    this.reads.stop();
    this.#hashes.stop();
    for (const giveUp of this.#transfers) giveUp();
  }

  /** Answers a request of `client`. */
  handle(request: ClientRequest, client: ClientWork): void {
    const { send } = client;
    const begin = this.#options.metrics?.requestBegan(request.kind) ?? 0;
    if (this.#stopping) return this.#refuse(request, begin, send, this.#stoppingRefusal(request));
    switch (request.kind) {
      case "write":
        return this.#options.writes.submit(request.command, (answer) => {
          if (answer.kind === "error") return this.#refuse(request, begin, send, answer);
          this.#answer(request, begin, send, {
            kind: "writeResult",
            requestId: request.requestId,
            result: answer.result,
          });
        });
      case "get":
        return this.#read({ request, begin, client }, validateKey(request.key));
      case "list":
        return this.#read({ request, begin, client }, validateListQuery(request.query));
      case "status":
        return this.#answer(request, begin, send, {
          kind: "statusResult",
          requestId: request.requestId,
          status: this.#options.status(),
        });
      case "stateHash":
        return this.#stateHash(request, begin, client);
      case "transferLeadership":
        return this.#transferLeadership(request, begin, client);
      case "changeMembership":
        return void this.#options.membership.change(request, (answer) => {
          if (answer.kind === "error") return this.#refuse(request, begin, send, answer);
          this.#answer(request, begin, send, {
            kind: "membershipChanged",
            requestId: request.requestId,
            members: answer.members,
          });
        }).catch(client.fail);
      case "takeSnapshot":
      case "readSnapshot":
      case "closeSnapshot":
        return void client.downloads.handle(request).then((answer) => {
          if (answer.kind === "error") return this.#refuse(request, begin, send, answer);
          this.#answer(request, begin, send, answer);
        }).catch(client.fail);
      default:
        return assertNever(request);
    }
  }

  /** A retry must not hear that nothing was done while its first attempt is under way. */
  #stoppingRefusal(request: ClientRequest): ErrorAnswer {
    return request.kind === "write" && this.#options.writes.isUnderWay(request.command)
      ? unknownOutcome(
        "stopping",
        "Cannot tell whether the write took effect: this node is stopping, and an earlier attempt is under way.",
      )
      : stopping();
  }

  /** Answers a read once this node's state may, in its turn, or refuses it. */
  #read(read: Read, problem: CommandProblem | null): void {
    const { request, begin, client } = read;
    if (problem !== null) {
      return this.#refuse(request, begin, client.send, notApplied(problem.kind, problem.message));
    }
    if (request.consistency === "stale") return client.reads.add(read);
    const { driver, replica } = this.#options;
    const bytes = requestBytes(read);
    if (this.#askedBytes + bytes > MAX_ASKED_BYTES) {
      return this.#refuse(
        request,
        begin,
        client.send,
        notApplied("busy", "Cannot read: too many reads wait. Try again later."),
      );
    }
    const asked = driver.ask((raft) => raft.readIndex());
    if (asked.kind === "refused") return this.#refuse(request, begin, client.send, notReadable());
    this.#askedBytes += bytes;
    replica.awaitRead(asked.readId, (ready) => {
      this.#askedBytes -= bytes;
      if (ready) client.reads.add(read);
      else this.#refuse(request, begin, client.send, notReadable());
    });
  }

  /** Never throws: what a read of one client meets must not end the turn of all others', or of the core. */
  #answerRead(read: Read): ReadSize {
    try {
      return this.#answerFromState(read);
    } catch (error) {
      read.client.fail(error);
      return { entries: 0, bytes: 0 };
    }
  }

  #answerFromState({ request, begin, client: { send } }: Read): ReadSize {
    const { requestId } = request;
    const { stateMachine } = this.#options.replica;
    switch (request.kind) {
      case "get": {
        const entry = stateMachine.get(request.key);
        const { revision } = stateMachine;
        this.#answer(request, begin, send, { kind: "getResult", requestId, entry, revision });
        return { entries: 0, bytes: entry?.value.length ?? 0 };
      }
      case "list": {
        const page = stateMachine.list(request.query);
        this.#answer(request, begin, send, { kind: "listResult", requestId, page });
        const bytes = page.entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
        return { entries: page.entries.length, bytes };
      }
      default:
        return assertNever(request);
    }
  }

  #stateHash(request: StateHashRequest, begin: number, client: ClientWork): void {
    this.#hashes.ask(client, (answer) => {
      if (answer === null) return this.#options.metrics?.requestDropped(request.kind);
      this.#answer(request, begin, client.send, {
        kind: "stateHashResult",
        requestId: request.requestId,
        ...answer,
      });
    });
  }

  #transferLeadership(request: TransferLeadershipRequest, begin: number, client: ClientWork): void {
    const { driver, leadership, clock, transferTimeoutMs } = this.#options;
    const { requestId, target } = request;
    const { send } = client;
    if (this.#transfers.size >= MAX_TRANSFERS) {
      return this.#refuse(
        request,
        begin,
        send,
        notApplied("busy", "Cannot hand over: too many wait for that."),
      );
    }
    const { leader, self, accepted } = driver.ask((raft) => ({
      leader: raft.leader,
      self: raft.status().id,
      accepted: raft.isLeader && target !== raft.status().id ? raft.transferLeadership(target) : null,
    }));
    if (leader === self && target === self) {
      return this.#answer(request, begin, send, { kind: "transferLeadershipResult", requestId, leader });
    }
    if (leader !== self) {
      return this.#refuse(
        request,
        begin,
        send,
        notApplied("notLeader", "Cannot hand over: this node does not lead. Ask the leader."),
      );
    }
    if (accepted === null) {
      return this.#refuse(request, begin, send, whyNotHandedOver(target, this.#options.status().members));
    }
    const unwatch = leadership.onChange(({ leader }) => {
      if (leader === null || leader === self) return;
      end();
      this.#answer(request, begin, send, { kind: "transferLeadershipResult", requestId, leader });
    });
    const giveUp = (): void => {
      end();
      const message = `Cannot tell who will lead: node ${accepted} has not taken over yet.`;
      this.#refuse(request, begin, send, unknownOutcome("noLeader", message));
    };
    const timer = clock.after(transferTimeoutMs, giveUp);
    const end = (): void => {
      timer.cancel();
      unwatch();
      keep();
      this.#transfers.delete(giveUp);
    };
    const keep = client.onGone(() => {
      end();
      this.#options.metrics?.requestDropped(request.kind);
    });
    this.#transfers.add(giveUp);
  }

  #answer(request: ClientRequest, begin: number, send: Send, message: ServerMessage): void {
    send(message);
    const outcome = message.kind === "error" ? message.code : "ok";
    this.#options.metrics?.requestAnswered(request.kind, outcome, begin);
  }

  #refuse(request: ClientRequest, begin: number, send: Send, { code, message, outcome }: ErrorAnswer): void {
    const { leader } = this.#options.leadership.current;
    this.#answer(request, begin, send, {
      kind: "error",
      requestId: request.requestId,
      code,
      message,
      outcome,
      leader,
    });
  }
}

function stopping(): ErrorAnswer {
  return notApplied("stopping", "Cannot serve: this node is stopping.");
}

/** Why the core took no handover to `target`, or to any other node where that is null. */
function whyNotHandedOver(target: NodeId | null, members: readonly Member[]): ErrorAnswer {
  const refuse = (code: "invalidRequest" | "busy", reason: string): ErrorAnswer =>
    notApplied(code, `Cannot hand over leadership: ${reason}`);
  if (target === null) {
    return refuse(
      "invalidRequest",
      "no other voter was heard from lately, or another handover is under way. See `members`.",
    );
  }
  const member = members.find(({ id }) => id === target);
  if (member === undefined) {
    const ids = members.map(({ id }) => id).join(", ");
    return refuse("invalidRequest", `node ${target} is no member. Members: ${ids}.`);
  }
  switch (member.role) {
    case "learner":
      return refuse("invalidRequest", `node ${target} is a learner. Promote it first.`);
    case "leaving":
      return refuse("invalidRequest", `node ${target} is leaving the cluster. Choose another.`);
    case "voter":
      return refuse("busy", "another handover is under way. Try again.");
    default:
      return assertNever(member.role);
  }
}

function notReadable(): ErrorAnswer {
  return notApplied(
    "noLeader",
    "Cannot read: no leader has confirmed that this node is up to date. Try again.",
  );
}

/** What a connection's work is made from. */
export interface ClientWorkOptions {
  /** Sends one message to the client; drops it when the client is gone. */
  readonly send: (message: ServerMessage) => void;
  /** Something threw that nothing foresaw while the client was served: its connection is to end. */
  readonly fail: (error: unknown) => void;
  /** Whether so much waits to be sent that the client shall get no answers to reads for now. */
  readonly isHeld: () => boolean;
  /** So many bytes of requests are held for the client until it takes their answers. */
  readonly hold: (bytes: number) => void;
  readonly reads: ReadScheduler;
  readonly downloads: SnapshotDownloads;
}

/** The work of one connection. */
export class ClientWork {
  /** Sends one message to the client; drops it when the client is gone. */
  readonly send: (message: ServerMessage) => void;
  /** Something threw that nothing foresaw while the client was served: its connection is to end. */
  readonly fail: (error: unknown) => void;
  /** Its reads that may be answered. */
  readonly reads: ReadQueue;
  /** The snapshots that it reads. */
  readonly downloads: SnapshotDownloads;
  readonly #drops = new Set<() => void>();
  #isGone = false;

  constructor({ send, fail, isHeld, hold, reads, downloads }: ClientWorkOptions) {
    this.send = send;
    this.fail = fail;
    this.reads = reads.queue({ isHeld, hold });
    this.downloads = downloads;
  }

  /** Whether the connection is gone. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Calls `drop` once the connection is gone, unless the returned function is called before. */
  onGone(drop: () => void): () => void {
    this.#drops.add(drop);
    return () => this.#drops.delete(drop);
  }

  /** The client has taken some of what waited. */
  resume(): void {
    this.reads.resume();
  }

  /** The connection is gone. */
  close(): void {
    this.#isGone = true;
    this.reads.close();
    this.downloads.close();
    for (const drop of this.#drops) drop();
    this.#drops.clear();
  }
}
