/**
 * Writes that this node passes on to the leader, one hop: the leader never passes them on again.
 *
 * The bytes of the write travel as they are, with the client's session in them, so that a retry by another way is
 * applied once. A link that breaks leaves the outcome unknown; the client's library retries and finds out.
 */
import type { Clock, Timer } from "../net/clock.ts";
import type { ForwardRequest, ForwardResponse } from "../net/client_messages.ts";
import type { NodeId } from "../raft/mod.ts";
import { notApplied, unknownOutcome, type WriteAnswer } from "./answers.ts";

/** Writes that may wait at this node for the leader's answer. */
const MAX_FORWARDS = 16_384;

/** A write that was passed on. */
interface Forward {
  readonly leader: NodeId;
  readonly deadline: number;
  readonly answer: (answer: WriteAnswer) => void;
}

/** What forwarding is made from. */
export interface ForwardingOptions {
  readonly clock: Clock;
  /** First forward id: random, so that an answer to this node's earlier process is not taken for one to this. */
  readonly firstId: number;
  /** After this long without an answer the outcome is unknown. */
  readonly timeoutMs: number;
  /** Sends to a node; false when it could not be queued (then nothing left). */
  readonly send: (to: NodeId, message: ForwardRequest) => boolean;
}

/** The writes that wait for another node's answer. */
export class Forwarding {
  readonly #options: ForwardingOptions;
  /** In the order in which they were passed on, which is the order of their deadlines. */
  readonly #pending = new Map<number, Forward>();
  #timer: Timer | null = null;
  #nextId: number;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#nextId = options.firstId;
  }

  /** Passes a write on to `leader`. */
  forward(leader: NodeId, command: Uint8Array, answer: (answer: WriteAnswer) => void): void {
    if (this.#pending.size >= MAX_FORWARDS) {
      return answer(
        notApplied("busy", "Cannot take the write: too many wait for the leader. Try again later."),
      );
    }
    const forwardId = this.#nextId++;
    if (!this.#options.send(leader, { kind: "forward", forwardId, command })) {
      return answer(
        notApplied("notLeader", `Cannot pass the write on: no connection to node ${leader}, which leads.`),
      );
    }
    const deadline = this.#options.clock.now() + this.#options.timeoutMs;
    this.#pending.set(forwardId, { leader, deadline, answer });
    if (this.#timer === null) this.#watch(this.#options.timeoutMs);
  }

  /** The leader has answered. An answer that nobody waits for (late, repeated) is dropped. */
  answered(from: NodeId, response: ForwardResponse): void {
    const forward = this.#pending.get(response.forwardId);
    if (forward === undefined || forward.leader !== from) return;
    this.#settle(response.forwardId, response.body);
  }

  /** The link to or from `node` broke: its answers may be lost. */
  linkLost(node: NodeId): void {
    for (const [forwardId, forward] of this.#pending) {
      if (forward.leader === node) this.#settle(forwardId, lostLeader(node));
    }
  }

  /** Ends every wait. */
  close(): void {
    this.#timer?.cancel();
    for (const [forwardId, { leader }] of this.#pending) this.#settle(forwardId, lostLeader(leader));
  }

  #settle(forwardId: number, answer: WriteAnswer): void {
    const forward = this.#pending.get(forwardId);
    this.#pending.delete(forwardId);
    forward?.answer(answer);
  }

  /** One timer for all: it fires for the oldest, ends those that are due and sets itself for the next. */
  #watch(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = null;
      const now = this.#options.clock.now();
      for (const [forwardId, { leader, deadline }] of this.#pending) {
        if (deadline > now) return this.#watch(deadline - now);
        this.#settle(forwardId, lostLeader(leader));
      }
    });
  }
}

function lostLeader(leader: NodeId): WriteAnswer {
  return unknownOutcome(
    "leadershipLost",
    `Cannot tell whether the write took effect: node ${leader}, to which it was passed on, did not answer.`,
  );
}
