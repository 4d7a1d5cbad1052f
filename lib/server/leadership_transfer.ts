/**
 * Transfers of leadership to another node (thesis §3.10): when a client asks for one, before an orderly stop, and when
 * this node's disk has no space left while another's has. A leader whose disk is nearly full refuses every write that
 * adds data, and its followers would accept them.
 *
 * The core sends TimeoutNow and gives a transfer up after an election timeout (`lib/raft`); this file starts transfers
 * and waits for the change of leader.
 */
import { assertNever } from "../platform/assert.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { RequestFrame } from "../protocol/client_frames.ts";
import type { Member } from "../protocol/messages.ts";
import type { NodeId, Raft } from "../raft/mod.ts";
import type { Driver } from "./driver.ts";
import type { LeadershipWatch } from "./leadership.ts";
import { type ErrorAnswer, notApplied, type Reply, unknownOutcome } from "./reply.ts";

/**
 * Transfers that clients may wait for; one more is refused as busy. The core runs one at a time and gives it up after an
 * election timeout, so more than a few wait only while clients wait for two election timeouts.
 */
export const MAX_TRANSFERS = 256;
/** Interval between transfers because of a full disk: proposals wait during each, while reads and deletes go on here. */
const DISK_RETRY_MS = 5_000;
/**
 * Interval after which the other nodes' disks are checked again when none has space. Asking the core schedules another
 * {@link LeadershipTransfers.checkDisk}: without this interval, one turn of the event loop would never end.
 */
const NO_SPACE_RETRY_MS = 1_000;

/** The parts of a node that a transfer involves. */
export interface LeadershipTransferOptions {
  readonly driver: Driver;
  readonly leadership: LeadershipWatch;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Time after which the outcome of a transfer is reported to its client as unknown. */
  readonly timeoutMs: number;
  /** The members, for the reason of a refusal. */
  readonly members: () => readonly Member[];
  /** Whether the disk has space for the log's next file and for the batch that is being written. */
  readonly hasDiskSpace: () => boolean;
}

/** A connection that waits for the end of its transfer. */
export interface TransferClient {
  /** Calls `drop` once the connection is closed, unless the returned function is called before. */
  onClosed(drop: () => void): () => void;
}

/** A wait for another leader. */
interface WaitingTransfer {
  readonly timer: Timer;
  readonly unwatch: () => void;
  /** Takes the new leader, or null where none was seen in time. */
  readonly settled: (leader: NodeId | null) => void;
}

/** The transfers of one node. */
export class LeadershipTransfers {
  readonly #options: LeadershipTransferOptions;
  readonly #waiting = new Set<WaitingTransfer>();
  /** No transfer because of a full disk begins before this time. */
  #diskNotBefore = 0;
  #isRefusalLogged = false;

  constructor(options: LeadershipTransferOptions) {
    this.#options = options;
  }

  /** Transfers leadership for a client, and replies once another node leads. */
  request(
    { requestId, target }: RequestFrame<"transferLeadership">,
    reply: Reply,
    client: TransferClient,
  ): void {
    const { driver, members, timeoutMs } = this.#options;
    if (this.#waiting.size >= MAX_TRANSFERS) {
      return reply.refuse(notApplied("busy", "Cannot transfer leadership: too many clients wait for that."));
    }
    const { self, isLeader, accepted } = driver.ask((raft) => {
      const self = raft.status().id;
      const accepted = raft.isLeader && target !== self ? raft.transferLeadership(target) : null;
      return { self, isLeader: raft.leader === self, accepted };
    });
    if (!isLeader) {
      const message = "Cannot transfer leadership: this node does not lead. Ask the leader.";
      return reply.refuse(notApplied("notLeader", message));
    }
    const sendResult = (leader: NodeId): void =>
      reply.send({ kind: "transferLeadershipResult", requestId, leader });
    if (target === self) return sendResult(self);
    if (accepted === null) return reply.refuse(whyRefused(target, members()));
    this.#logTransfer(accepted, "an operator asked for it");
    const waiting = this.#waitForSuccessor(timeoutMs, (leader) => {
      forget();
      if (leader !== null) return sendResult(leader);
      const message = `Cannot tell who will lead: node ${accepted} has not taken over yet.`;
      reply.refuse(unknownOutcome("noLeader", message));
    });
    const forget = client.onClosed(() => {
      this.#end(waiting);
      reply.drop();
    });
  }

  /** Transfers leadership to any node if this one leads; resolves when another leads, or after `timeoutMs`. */
  async leave(timeoutMs: number): Promise<void> {
    const successor = this.#options.driver.ask((raft) => raft.transferLeadership(null));
    if (successor === null) return;
    this.#logTransfer(successor, "this node stops");
    await new Promise<unknown>((resolve) => this.#waitForSuccessor(timeoutMs, resolve));
  }

  /** Reports the disk space to the core, and transfers leadership where it is low. Cheap while there is space. */
  checkDisk(raft: Raft): void {
    const { driver, clock, logger, hasDiskSpace } = this.#options;
    const hasSpace = hasDiskSpace();
    raft.reportDiskSpace(hasSpace);
    if (hasSpace) this.#isRefusalLogged = false;
    if (hasSpace || !raft.isLeader || raft.isTransferring || clock.now() < this.#diskNotBefore) return;
    const to = driver.ask((raft) => raft.transferFromFullDisk());
    this.#diskNotBefore = clock.now() + (to === null ? NO_SPACE_RETRY_MS : DISK_RETRY_MS);
    if (to !== null) {
      const message = "disk nearly full: leadership is transferred to a node that has space";
      return logger.warn(message, { event: "leadershipTransferred", node: to });
    }
    if (this.#isRefusalLogged) return;
    this.#isRefusalLogged = true;
    logger.warn(
      "disk nearly full, and no other node with space can lead: writes that add data are refused",
    );
  }

  /** Ends every wait, with an unknown outcome. */
  stop(): void {
    for (const waiting of [...this.#waiting]) this.#settle(waiting, null);
  }

  #logTransfer(node: NodeId, reason: string): void {
    this.#options.logger.info("leadership is transferred", { event: "leadershipTransferred", node, reason });
  }

  #waitForSuccessor(timeoutMs: number, settled: (leader: NodeId | null) => void): WaitingTransfer {
    const { clock, leadership } = this.#options;
    const waiting: WaitingTransfer = {
      timer: clock.after(timeoutMs, () => this.#settle(waiting, null)),
      unwatch: leadership.onChange(({ leader }) => {
        if (leader !== null && leader !== leadership.self) this.#settle(waiting, leader);
      }),
      settled,
    };
    this.#waiting.add(waiting);
    return waiting;
  }

  #settle(waiting: WaitingTransfer, leader: NodeId | null): void {
    this.#end(waiting);
    waiting.settled(leader);
  }

  #end(waiting: WaitingTransfer): void {
    this.#waiting.delete(waiting);
    waiting.timer.cancel();
    waiting.unwatch();
  }
}

/** Returns why the core accepted no transfer to `target`, or to any node where that is null. */
function whyRefused(target: NodeId | null, members: readonly Member[]): ErrorAnswer {
  const refuse = (code: "invalidRequest" | "busy", reason: string): ErrorAnswer =>
    notApplied(code, `Cannot transfer leadership: ${reason}`);
  if (target === null) {
    return refuse(
      "invalidRequest",
      "no other voter was heard from lately, or another transfer is in progress. See `members`.",
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
      return refuse("busy", "another transfer is in progress. Try again.");
    default:
      return assertNever(member.role);
  }
}
