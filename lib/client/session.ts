/**
 * The client's side of exactly-once (thesis §6.3): a random identity, one number for each write, and word to the
 * store of which answers it may forget.
 *
 * A write keeps its stamp over all its attempts. The store refuses every number below `acknowledgedBelow`, so an
 * attempt that is still on its way when its write was given up can only be applied before that, or never.
 *
 * Invariants: numbers are handed out once, in order; every number below `acknowledgedBelow` belongs to a write that
 * will not be sent again (it was answered, or given up); fewer than `MAX_SESSION_WINDOW` numbers lie between
 * `acknowledgedBelow` and the newest, which bounds the answers that the store must remember for this client.
 */
import { assert } from "../platform/assert.ts";
import { MAX_SESSION_WINDOW, type SessionStamp } from "../kv/command.ts";
import type { Random } from "../platform/clock.ts";

/** One session. When the store has dropped it, a new one takes its place. */
export class ClientSession {
  readonly #sessionId: number;
  readonly #openedAt: number;
  readonly #finished = new Set<number>();
  #nextSequence = 1;
  #acknowledgedBelow = 1;

  /** `openedAt`: the newest log index that a node is known to have applied. */
  constructor(openedAt: number, random: Random) {
    this.#sessionId = 1 + Math.floor(random() * (Number.MAX_SAFE_INTEGER - 1));
    this.#openedAt = openedAt;
  }

  /** Whether another write may begin. */
  get hasRoom(): boolean {
    return this.#nextSequence - this.#acknowledgedBelow < MAX_SESSION_WINDOW;
  }

  /** Takes the next number. Only while there is room. */
  nextStamp(): SessionStamp {
    assert(this.hasRoom, "a session's window has room when a write is stamped");
    return {
      sessionId: this.#sessionId,
      sequence: this.#nextSequence++,
      acknowledgedBelow: this.#acknowledgedBelow,
      openedAt: this.#openedAt,
    };
  }

  /** The write with this number will not be sent again: it was answered or given up. */
  finish(sequence: number): void {
    assert(
      sequence >= this.#acknowledgedBelow && sequence < this.#nextSequence && !this.#finished.has(sequence),
      "a write is finished once",
    );
    this.#finished.add(sequence);
    while (this.#finished.delete(this.#acknowledgedBelow)) this.#acknowledgedBelow++;
  }
}
