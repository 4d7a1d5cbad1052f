/**
 * Linearizable reads without a log entry (ReadIndex, thesis §6.4).
 *
 * A read may be answered from a state that has everything that was committed when the read arrived, once a majority has
 * confirmed that the leader still led *after* it arrived. All waiting reads share one round of heartbeats; reads that
 * arrive during a round form the next.
 *
 * Invariants: rounds rise and are never reused within a term; a read belongs to a round that began after it arrived.
 */
import type { NodeId } from "./types.ts";

/** A read and the node that receives its answer. */
export interface Read {
  readonly readId: number;
  /** The node that requested it: this one, or a follower. */
  readonly from: NodeId;
}

/** Reads whose round is in progress. */
interface Round {
  readonly round: number;
  /** commitIndex when the round began: at least what was committed when each of its reads arrived. */
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

  /** Number of reads without an answer. */
  get count(): number {
    return this.#count;
  }

  /** Whether reads wait and no round that carries earlier reads is in progress. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#rounds.length === 0;
  }

  /** Adds a read that arrived. */
  add(read: Read): void {
    this.#waiting.push(read);
    this.#count++;
  }

  /** Begins a round for all waiting reads; returns its number, which the heartbeats carry. */
  beginRound(commitIndex: number): number {
    this.#lastRound++;
    if (this.#waiting.length > 0) {
      this.#rounds.push({ round: this.#lastRound, index: commitIndex, reads: this.#waiting });
      this.#waiting = [];
    }
    return this.#lastRound;
  }

  /** Returns the reads of `round` and of earlier rounds, which a majority has confirmed. */
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

  /** Removes and returns every waiting read, at the end of leadership. */
  drain(): Read[] {
    const reads = [...this.#rounds.flatMap((round) => round.reads), ...this.#waiting];
    this.#rounds = [];
    this.#waiting = [];
    this.#count = 0;
    return reads;
  }

  /** Returns the waiting reads by round, for RaftDump. */
  dump(): unknown {
    return { lastRound: this.#lastRound, waiting: this.#waiting, rounds: this.#rounds };
  }
}
