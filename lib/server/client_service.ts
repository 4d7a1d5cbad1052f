/** Answers what clients ask: every request gets one answer, at once or when its write or read is settled. */
import { assertNever } from "../assert.ts";
import { validateKey, validateListQuery } from "../kv/mod.ts";
import type {
  ClientRequest,
  Consistency,
  GetRequest,
  ListRequest,
  NodeStatus,
  ServerMessage,
  StateHashRequest,
  TransferLeadershipRequest,
} from "../net/client_messages.ts";
import type { Clock } from "../net/clock.ts";
import { notApplied, type Refusal, unknownOutcome } from "./answers.ts";
import type { Driver } from "./driver.ts";
import type { Membership } from "./membership.ts";
import type { Meter } from "./meter.ts";
import type { Pause } from "./slices.ts";
import type { SnapshotDownloads } from "./snapshot_downloads.ts";
import type { LeadershipWatch } from "./leadership.ts";
import type { Replica } from "./replica.ts";
import { hashState } from "./state_hash.ts";
import { stateRecordEncoder } from "./state_codec.ts";
import type { Writes } from "./writes.ts";

/** Sends one message to the client that asked; drops it when the client is gone. */
export type Send = (message: ServerMessage) => void;

/** What the service leads to. */
export interface ClientServiceOptions {
  readonly driver: Driver;
  readonly replica: Replica;
  readonly writes: Writes;
  readonly leadership: LeadershipWatch;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly pause: Pause;
  /** How long a transfer of leadership may take. */
  readonly transferTimeoutMs: number;
  /** This node's view of itself. */
  readonly status: () => NodeStatus;
  /** Counts requests; null counts none. */
  readonly meter: Meter | null;
}

/** Serves the clients of one node. */
export class ClientService {
  readonly #options: ClientServiceOptions;
  #stopping = false;
  /** Hashes under way; one at a time, since each walks the whole state. */
  #hashing: Promise<void> = Promise.resolve();
  /** Gives up a transfer that waits for its end. */
  readonly #transfers = new Set<() => void>();

  constructor(options: ClientServiceOptions) {
    this.#options = options;
  }

  /** From now on every request is refused; another node will serve it. */
  stop(): void {
    this.#stopping = true;
    for (const giveUp of this.#transfers) giveUp();
  }

  /** Answers `request` through `send`; `downloads` are the snapshots of the connection that it came on. */
  handle(request: ClientRequest, send: Send, downloads: SnapshotDownloads): void {
    const begin = this.#options.meter?.requestBegan(request.kind) ?? 0;
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
        return this.#get(request, begin, send);
      case "list":
        return this.#list(request, begin, send);
      case "status":
        return this.#answer(request, begin, send, {
          kind: "statusResult",
          requestId: request.requestId,
          status: this.#options.status(),
        });
      case "stateHash":
        return this.#stateHash(request, begin, send);
      case "transferLeadership":
        return this.#transferLeadership(request, begin, send);
      case "changeMembership":
        return void this.#options.membership.change(request, (answer) => {
          if (answer.kind === "error") return this.#refuse(request, begin, send, answer);
          this.#answer(request, begin, send, {
            kind: "membershipChanged",
            requestId: request.requestId,
            members: answer.members,
          });
        });
      case "takeSnapshot":
      case "readSnapshot":
      case "closeSnapshot":
        return void downloads.handle(request).then((answer) => {
          if (answer.kind === "error") return this.#refuse(request, begin, send, answer);
          this.#answer(request, begin, send, answer);
        });
      default:
        return assertNever(request);
    }
  }

  /** A retry must not hear that nothing was done while its first attempt is under way. */
  #stoppingRefusal(request: ClientRequest): Refusal {
    return request.kind === "write" && this.#options.writes.isUnderWay(request.command)
      ? unknownOutcome(
        "stopping",
        "Cannot tell whether the write took effect: this node is stopping, and an earlier attempt is under way.",
      )
      : notApplied("stopping", "Cannot serve: this node is stopping.");
  }

  #get(request: GetRequest, begin: number, send: Send): void {
    const problem = validateKey(request.key);
    if (problem !== null) {
      return this.#refuse(request, begin, send, notApplied(problem.kind, problem.message));
    }
    this.#whenReadable(request, begin, send, () => {
      const { stateMachine } = this.#options.replica;
      const entry = stateMachine.get(request.key);
      this.#answer(request, begin, send, {
        kind: "getResult",
        requestId: request.requestId,
        entry,
        revision: stateMachine.revision,
      });
    });
  }

  #list(request: ListRequest, begin: number, send: Send): void {
    const problem = validateListQuery(request.query);
    if (problem !== null) {
      return this.#refuse(request, begin, send, notApplied(problem.kind, problem.message));
    }
    this.#whenReadable(request, begin, send, () => {
      const page = this.#options.replica.stateMachine.list(request.query);
      this.#answer(request, begin, send, { kind: "listResult", requestId: request.requestId, page });
    });
  }

  /** Calls `read` once this node's state may answer the request, or refuses it. */
  #whenReadable(
    request: ClientRequest & { consistency: Consistency },
    begin: number,
    send: Send,
    read: () => void,
  ): void {
    if (request.consistency === "stale") return read();
    const { driver, replica } = this.#options;
    const asked = driver.ask((raft) => raft.readIndex());
    if (asked.kind === "refused") return this.#refuse(request, begin, send, notReadable());
    replica.awaitRead(
      asked.readId,
      (ready) => ready ? read() : this.#refuse(request, begin, send, notReadable()),
    );
  }

  #stateHash(request: StateHashRequest, begin: number, send: Send): void {
    const { replica, pause } = this.#options;
    this.#hashing = this.#hashing.then(async () => {
      const view = replica.stateMachine.snapshot();
      const { appliedIndex, revision } = view;
      const hash = await hashState(view, { encode: stateRecordEncoder(), pause });
      this.#answer(request, begin, send, {
        kind: "stateHashResult",
        requestId: request.requestId,
        appliedIndex,
        revision,
        hash,
      });
    });
  }

  #transferLeadership(request: TransferLeadershipRequest, begin: number, send: Send): void {
    const { driver, leadership, clock, transferTimeoutMs } = this.#options;
    const { requestId, target } = request;
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
      const whom = target === null ? "no other node is close enough" : `node ${target} cannot take over now`;
      return this.#refuse(
        request,
        begin,
        send,
        notApplied("invalidRequest", `Cannot hand over leadership: ${whom}.`),
      );
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
      this.#transfers.delete(giveUp);
    };
    this.#transfers.add(giveUp);
  }

  #answer(request: ClientRequest, begin: number, send: Send, message: ServerMessage): void {
    send(message);
    const outcome = message.kind === "error" ? message.code : "ok";
    this.#options.meter?.requestAnswered(request.kind, outcome, begin);
  }

  #refuse(request: ClientRequest, begin: number, send: Send, { code, message, outcome }: Refusal): void {
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

function notReadable(): Refusal {
  return notApplied(
    "noLeader",
    "Cannot read: no leader has confirmed that this node is up to date. Try again.",
  );
}
