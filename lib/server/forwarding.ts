/**
 * Forwards writes to the leader, one hop: the leader never forwards them again.
 *
 * The bytes of the write are sent unchanged, with the client's session in them, so that a retry over another path is
 * applied once. A link that breaks leaves the outcome unknown; the client library retries the write.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { NumberMap } from "../platform/memory/number_map.ts";
import type { ForwardRequest, ForwardResponse } from "../protocol/peer_frames.ts";
import type { UserStamp } from "../kv/mod.ts";
import { areOfDifferentUsers } from "./auth/write_stamp.ts";
import type { NodeId } from "../raft/mod.ts";
import { type ErrorAnswer, notApplied, unknownOutcome, type WriteAnswer } from "./reply.ts";

/** Maximum number of writes that wait for the leader's answer; one more is refused as busy. Retries of them don't count. */
export const MAX_FORWARDS = 16_384;

type TakeAnswer = (answer: WriteAnswer) => void;

/** A write, with its stamp if it has one. */
export interface ForwardedWrite {
  readonly bytes: Uint8Array;
  readonly stamp: UserStamp | null;
}

/** A forwarded write. */
interface Forward {
  readonly leader: NodeId;
  readonly deadline: number;
  /** The write's stamp as a key of `#byStamp`; null where it has none. */
  readonly key: string | null;
  readonly stamp: UserStamp | null;
  /** For the write and its retries; bounded by the requests that clients may have in flight. */
  readonly answers: TakeAnswer[];
}

/** The dependencies of forwarding. */
export interface ForwardingOptions {
  readonly clock: Clock;
  /** First forward id; random, so that an answer to an earlier process of this node matches no forward of this one. */
  readonly firstId: number;
  /** Time without an answer after which the outcome is unknown. */
  readonly timeoutMs: number;
  /** Sends to a node; false when the message was dropped. */
  readonly send: (to: NodeId, message: ForwardRequest) => boolean;
}

/** The forwarded writes of a node. */
export class Forwarding {
  readonly #options: ForwardingOptions;
  /** Their deadlines have the order of their ids. */
  readonly #pending = new NumberMap<Forward>();
  /** By stamp, newest last: a retry may have been forwarded to a later leader. */
  readonly #byStamp = new Map<string, Forward[]>();
  #timer: Timer | null = null;
  #nextId: number;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#nextId = options.firstId;
  }

  /**
   * Forwards a write to `leader`. A retry of a write that waits for the same leader waits with it, and so does one that
   * cannot be forwarded: it must not be called "not applied" while its first attempt is in progress.
   */
  forward(leader: NodeId, { bytes, stamp }: ForwardedWrite, answer: TakeAnswer): void {
    const key = stamp === null ? null : keyOf(stamp);
    const earlier = key === null ? undefined : this.#byStamp.get(key);
    const first = stamp === null ? undefined : this.#newest(stamp);
    if (first?.leader === leader) return void first.answers.push(answer);
    const forwardId = this.#nextId;
    const refusal = this.#refusalOf(leader, { kind: "forward", forwardId, command: bytes });
    if (refusal !== null) return first === undefined ? answer(refusal) : void first.answers.push(answer);
    this.#nextId += 1;
    const { clock, timeoutMs } = this.#options;
    const forward = { leader, deadline: clock.now() + timeoutMs, key, stamp, answers: [answer] };
    this.#pending.set(forwardId, forward);
    if (earlier !== undefined) earlier.push(forward);
    else if (key !== null) this.#byStamp.set(key, [forward]);
    if (this.#timer === null) this.#watch(timeoutMs);
  }

  /** Has `answer` wait for the forwarded write with this stamp; false when there is none. */
  join(stamp: UserStamp, answer: TakeAnswer): boolean {
    const first = this.#newest(stamp);
    first?.answers.push(answer);
    return first !== undefined;
  }

  /** Whether a write with this stamp, of any user, was forwarded and is not answered. */
  has(stamp: UserStamp): boolean {
    return this.#byStamp.has(keyOf(stamp));
  }

  /** Takes an answer of the leader. One for which no write waits (late, repeated) is dropped. */
  answered(from: NodeId, response: ForwardResponse): void {
    const forward = this.#pending.get(response.forwardId);
    if (forward === undefined || forward.leader !== from) return;
    this.#settle(response.forwardId, response.body);
  }

  /** Ends the wait for answers of `node`: the link broke, so they may be lost. */
  linkLost(node: NodeId): void {
    this.#loseAll((leader) => leader === node);
  }

  /**
   * Ends the wait for answers of earlier leaders: one that was suspended or is cut off answers late or never, and a retry
   * gets to the new leader at once.
   */
  leaderKnown(leader: NodeId): void {
    this.#loseAll((other) => other !== leader);
  }

  /** Ends every wait. */
  close(): void {
    this.#timer?.cancel();
    this.#loseAll(() => true);
  }

  /** Ends the waits for the answers of some nodes. */
  #loseAll(isLost: (leader: NodeId) => boolean): void {
    for (const forwardId of this.#pending.keys()) {
      const leader = this.#pending.get(forwardId)?.leader;
      if (leader !== undefined && isLost(leader)) this.#settle(forwardId, lostLeader(leader));
    }
  }

  /** Returns the newest attempt of a write, none of another user. */
  #newest(stamp: UserStamp): Forward | undefined {
    return this.#byStamp.get(keyOf(stamp))?.findLast((forward) =>
      forward.stamp === null || !areOfDifferentUsers(forward.stamp, stamp)
    );
  }

  /** Sends a write; returns the refusal where that failed, else null. */
  #refusalOf(leader: NodeId, message: ForwardRequest): ErrorAnswer | null {
    if (this.#pending.size >= MAX_FORWARDS) {
      return notApplied("busy", "Cannot take the write: too many wait for the leader. Try again later.");
    }
    if (this.#options.send(leader, message)) return null;
    return notApplied(
      "notLeader",
      `Cannot forward the write: no connection to node ${leader}, which leads.`,
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
    const all = this.#byStamp.get(key) ?? [];
    // In place: tables that this map has left keep the list until the next collection of the whole heap.
    all.splice(all.indexOf(forward), 1);
    if (all.length === 0) this.#byStamp.delete(key);
  }

  /** Sets the one timer for all: it fires for the oldest, ends those that are due and is set for the next. */
  #watch(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = null;
      const now = this.#options.clock.now();
      for (const forwardId of this.#pending.keys()) {
        const forward = this.#pending.get(forwardId);
        if (forward === undefined) continue;
        const { leader, deadline } = forward;
        if (deadline > now) return this.#watch(deadline - now);
        this.#settle(forwardId, lostLeader(leader));
      }
    });
  }
}

function keyOf({ sessionId, sequence }: UserStamp): string {
  return `${sessionId}/${sequence}`;
}

function lostLeader(leader: NodeId): WriteAnswer {
  return unknownOutcome(
    "leadershipLost",
    `Cannot tell whether the write took effect: node ${leader}, to which it was forwarded, did not answer.`,
  );
}
