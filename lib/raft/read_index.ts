/**
 * Linearizable reads without a log entry (ReadIndex, thesis §6.4).
 *
 * A read may be answered from a state that holds everything committed when it came in, once a majority has confirmed
 * that the leader still led *after* it came in. All reads that wait share one round of heartbeats; those that arrive
 * while a round is under way form the next.
 *
 * Invariants: rounds rise and are never reused within a term; a read belongs to a round that began after it came in.
 */
import type { RaftState } from "./state.ts";
import type { NodeId } from "./types.ts";

/** A read and where its answer goes. */
export interface Read {
  readonly readId: number;
  /** The node that asked: this one, or a follower. */
  readonly from: NodeId;
}

/** Reads whose round is under way. */
interface Round {
  readonly round: number;
  /** commitIndex when the round began: at least what was committed when each of its reads came in. */
  readonly index: number;
  readonly reads: readonly Read[];
}

/** A read that may be answered at `index`. */
export interface ConfirmedRead extends Read {
  readonly index: number;
}

/** The reads that wait at a leader. */
export class PendingReads {
  #lastRound = 0;
  #waiting: Read[] = [];
  #rounds: Round[] = [];
  #count = 0;

  /** Number of the newest round that began; 0 before the first. */
  get lastRound(): number {
    return this.#lastRound;
  }

  /** Reads that are not answered yet. */
  get count(): number {
    return this.#count;
  }

  /** Whether reads wait and no round is under way that would make way for theirs. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#rounds.length === 0;
  }

  /** A read came in. */
  add(read: Read): void {
    this.#waiting.push(read);
    this.#count++;
  }

  /** Begins a round for everything that waits; its number goes out with the heartbeats. */
  beginRound(commitIndex: number): number {
    this.#lastRound++;
    if (this.#waiting.length > 0) {
      this.#rounds.push({ round: this.#lastRound, index: commitIndex, reads: this.#waiting });
      this.#waiting = [];
    }
    return this.#lastRound;
  }

  /** A majority has answered `round`: what it and earlier rounds carried may be answered. */
  confirm(round: number): ConfirmedRead[] {
    const confirmed: ConfirmedRead[] = [];
    while (true) {
      const oldest = this.#rounds[0];
      if (oldest === undefined || oldest.round > round) break;
      for (const read of oldest.reads) confirmed.push({ ...read, index: oldest.index });
      this.#rounds.shift();
    }
    this.#count -= confirmed.length;
    return confirmed;
  }

  /** Gives up every read that waits (leadership ended). */
  drain(): Read[] {
    const reads = [...this.#rounds.flatMap((round) => round.reads), ...this.#waiting];
    this.#rounds = [];
    this.#waiting = [];
    this.#count = 0;
    return reads;
  }

  /** The reads that wait, and for what (see dump.ts). */
  dump(): unknown {
    return { lastRound: this.#lastRound, waiting: this.#waiting, rounds: this.#rounds };
  }
}

/** Tells whoever asked that a read is not confirmed. */
export function refuseRead(state: RaftState, { readId, from: asker }: Read): void {
  const { id: from, term } = state;
  if (asker === from) state.reads.push({ readId, index: null });
  else state.sendAnswer({ kind: "readIndexResponse", from, to: asker, term, readId, index: null });
}
