/**
 * Writes that this node passes on to the leader, one hop: the leader never passes them on again.
 *
 * The bytes of the write travel as they are, with the client's session in them, so that a retry by another way is
 * applied once. A link that breaks leaves the outcome unknown; the client's library retries and finds out.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import type { ForwardRequest, ForwardResponse } from "../protocol/peer_frames.ts";
import type { SessionStamp } from "../kv/mod.ts";
import type { NodeId } from "../raft/mod.ts";
import { type ErrorAnswer, notApplied, unknownOutcome, type WriteAnswer } from "./reply.ts";

/**
 * Writes that may wait at this node for the leader's answer. One more is refused as busy; a retry of one that waits is
 * not one more, and waits with it.
 */
export const MAX_FORWARDS = 16_384;

type TakeAnswer = (answer: WriteAnswer) => void;

/** A write, and its stamp where it has one. */
export interface ForwardedWrite {
  readonly bytes: Uint8Array;
  readonly stamp: SessionStamp | null;
}

/** A write that was passed on. */
interface Forward {
  readonly leader: NodeId;
  readonly deadline: number;
  /** The write's stamp as a key of `#byStamp`; null where it has none. */
  readonly key: string | null;
  /** Of the write and of its retries. What clients may have under way bounds them. */
  readonly answers: TakeAnswer[];
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
  /** The same by stamp, newest last: a retry may have been passed on to a later leader. */
  readonly #byStamp = new Map<string, Forward[]>();
  #timer: Timer | null = null;
  #nextId: number;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#nextId = options.firstId;
  }

  /**
   * Passes a write on to `leader`. A retry of a write that waits for the same leader waits with it, and so does one that
   * can't be passed on: it must not be called not applied while its first attempt is under way.
   */
  forward(leader: NodeId, { bytes, stamp }: ForwardedWrite, answer: TakeAnswer): void {
    const key = stamp === null ? null : keyOf(stamp);
    const earlier = key === null ? undefined : this.#byStamp.get(key);
    const first = earlier?.at(-1);
    if (first?.leader === leader) return void first.answers.push(answer);
    const forwardId = this.#nextId;
    const refusal = this.#refusalOf(leader, { kind: "forward", forwardId, command: bytes });
    if (refusal !== null) return first === undefined ? answer(refusal) : void first.answers.push(answer);
    this.#nextId += 1;
    const { clock, timeoutMs } = this.#options;
    const forward = { leader, deadline: clock.now() + timeoutMs, key, answers: [answer] };
    this.#pending.set(forwardId, forward);
    if (earlier !== undefined) earlier.push(forward);
    else if (key !== null) this.#byStamp.set(key, [forward]);
    if (this.#timer === null) this.#watch(timeoutMs);
  }

  /** Lets `answer` wait for a write with this stamp that was passed on; false when there is none. */
  join(stamp: SessionStamp, answer: TakeAnswer): boolean {
    const first = this.#byStamp.get(keyOf(stamp))?.at(-1);
    first?.answers.push(answer);
    return first !== undefined;
  }

  /** Whether a write with this stamp was passed on and is not answered. */
  has(stamp: SessionStamp): boolean {
    return this.#byStamp.has(keyOf(stamp));
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

  /** Sends a write; null when it is on its way, else why not. */
  #refusalOf(leader: NodeId, message: ForwardRequest): ErrorAnswer | null {
    if (this.#pending.size >= MAX_FORWARDS) {
      return notApplied("busy", "Cannot take the write: too many wait for the leader. Try again later.");
    }
    if (this.#options.send(leader, message)) return null;
    return notApplied(
      "notLeader",
      `Cannot pass the write on: no connection to node ${leader}, which leads.`,
    );
  }

  #settle(forwardId: number, answer: WriteAnswer): void {
    const forward = this.#pending.get(forwardId);
    if (forward === undefined) return;
    this.#pending.delete(forwardId);
    if (forward.key !== null) this.#forget(forward, forward.key);
    for (const take of forward.answers) take(answer);
  }

  #forget(forward: Forward, key: string): void {
    const left = this.#byStamp.get(key)?.filter((other) => other !== forward) ?? [];
    if (left.length === 0) this.#byStamp.delete(key);
    else this.#byStamp.set(key, left);
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

function keyOf({ sessionId, sequence }: SessionStamp): string {
  return `${sessionId}/${sequence}`;
}

function lostLeader(leader: NodeId): WriteAnswer {
  return unknownOutcome(
    "leadershipLost",
    `Cannot tell whether the write took effect: node ${leader}, to which it was passed on, did not answer.`,
  );
}
