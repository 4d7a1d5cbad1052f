/**
 * Retries of writes that are still under way at this node: they wait for the first attempt's entry and get its answer.
 *
 * A client that hears nothing sends its write again, under the same stamp. The state machine would apply only the
 * first of the copies, but each would be an entry of the log, written to every disk and sent to every follower. When
 * entries take longer than clients wait, copies would come faster than they are committed, and the writes of
 * everybody would wait behind them.
 */
import { assert } from "../platform/assert.ts";
import type { SessionStamp } from "../kv/mod.ts";
import type { WriteAnswer } from "./reply.ts";

/** Takes the end of a write; called exactly once. */
type TakeAnswer = (answer: WriteAnswer) => void;

/**
 * Writes that were proposed by this node and have not ended, by their stamp.
 *
 * It holds one answer for every request that waits, and no more: what clients and other nodes may have under way
 * (MAX_CLIENT_REQUESTS_IN_FLIGHT, MAX_FORWARDS) bounds it.
 */
export class InFlightWrites {
  /** By session, then by sequence. */
  readonly #waiting = new Map<number, Map<number, TakeAnswer[]>>();

  /** Lets `answer` wait for the write with this stamp; false when it is not under way. */
  join({ sessionId, sequence }: SessionStamp, answer: TakeAnswer): boolean {
    const waiting = this.#waiting.get(sessionId)?.get(sequence);
    waiting?.push(answer);
    return waiting !== undefined;
  }

  /** Whether the write with this stamp is under way. */
  has({ sessionId, sequence }: SessionStamp): boolean {
    return this.#waiting.get(sessionId)?.has(sequence) === true;
  }

  /** Sessions that have a write under way. */
  get sessions(): number {
    return this.#waiting.size;
  }

  /** A write was proposed: gives what ends it for `answer` and for all who {@link join} it. */
  open({ sessionId, sequence }: SessionStamp, answer: TakeAnswer): TakeAnswer {
    const ofSession = this.#waiting.get(sessionId) ?? new Map<number, TakeAnswer[]>();
    assert(!ofSession.has(sequence), "a write that is under way is not proposed again");
    const waiting = [answer];
    ofSession.set(sequence, waiting);
    this.#waiting.set(sessionId, ofSession);
    return (end) => {
      ofSession.delete(sequence);
      if (ofSession.size === 0) this.#waiting.delete(sessionId);
      for (const take of waiting) take(end);
    };
  }
}
