/**
 * What a node counts as it works, for /metrics: plain numbers that are added to in place. What can be read off the
 * node when somebody asks (role, indexes, sizes) is not counted here but read then, in metric_table.ts.
 *
 * A node counts only with `--http`; without it, nothing here costs anything. With it, a request costs a few
 * additions, no object and no promise. The clock is read twice a turn of the event loop for all requests of the turn,
 * and twice a sync.
 */
import { CLIENT_REQUESTS, type RequestKind as ClientRequestKind } from "../../protocol/client_frames.ts";
import { ERROR_CODES, type ErrorCode } from "../../protocol/messages.ts";
import type { Clock } from "../../platform/clock.ts";
import { Traffic } from "../../transport/frame_reader.ts";
import { assert } from "../../platform/assert.ts";

/** What is asked of a node: by its clients, or by a node that passes a write on. */
export type RequestKind = ClientRequestKind | "forward";
/** How it was answered. */
export type RequestOutcome = "ok" | ErrorCode;
/** What became of a write at the door to the log. */
export type ProposalOutcome = "accepted" | "storageFull" | "notLeader" | "busy" | "transferring";
/** What became of a snapshot. */
export type SnapshotResult = "taken" | "failed" | "received";
/** What became of sending a snapshot to another node. */
export type TransferResult = "begun" | "failed";

/**
 * Microseconds are counted in 30 bits and begin anew after 18 minutes: a number as small as that is kept without an
 * object for it, and nothing that is measured takes so long.
 */
const MICROS_MASK = 2 ** 30 - 1;

const KINDS: readonly RequestKind[] = [...CLIENT_REQUESTS.kinds, "forward"];
const KIND_POSITIONS = positionsOf(KINDS);
const OUTCOMES: readonly RequestOutcome[] = ["ok", ...ERROR_CODES];
const OUTCOME_POSITIONS = positionsOf(OUTCOMES);
/** From 16 µs to 8.4 s: what is shorter or longer is not told apart. */
const REQUEST_MICROS = { first: 4, last: 23 };

/** The requests of one kind. */
export interface RequestCount {
  readonly kind: string;
  /** That were answered, by outcome. */
  readonly answered: readonly { readonly outcome: string; readonly count: number }[];
  /** That wait for their answer. */
  readonly inFlight: number;
  /** Microseconds from when they were read to when their answer was queued. */
  readonly micros: DoublingHistogram;
}

/** Counts what one node does. */
export class Metrics {
  /** Entries of each write to the log. */
  readonly batchEntries = new DoublingHistogram({ first: 0, last: 13 });
  /** Microseconds of each sync of the log. */
  readonly syncMicros = new DoublingHistogram({ first: 5, last: 23 });
  /** Microseconds that each snapshot took. */
  readonly snapshotMicros = new DoublingHistogram({ first: 13, last: 29 });
  /** Microseconds by which the event loop was late. */
  readonly loopMicros = new DoublingHistogram({ first: 8, last: 23 });
  /** Of clients' connections, since their hello. */
  readonly clientTraffic = new Traffic();
  /** Of connections with other nodes, since their hello. */
  readonly peerTraffic = new Traffic();
  readonly proposals: Record<ProposalOutcome, number> = {
    accepted: 0,
    storageFull: 0,
    notLeader: 0,
    busy: 0,
    transferring: 0,
  };
  readonly snapshots: Record<SnapshotResult, number> = { taken: 0, failed: 0, received: 0 };
  readonly transfers: Record<TransferResult, number> = { begun: 0, failed: 0 };
  /** Of the snapshot that was taken last. */
  snapshotBytes = 0;
  /** Leaders that this node has heard of, one after the other. */
  leaders = 0;
  readonly #clock: Clock;
  readonly #began = new Float64Array(KINDS.length);
  readonly #answered = new Float64Array(KINDS.length * OUTCOMES.length);
  readonly #micros = KINDS.map(() => new DoublingHistogram(REQUEST_MICROS));
  /** When this turn's first request came, or was answered; null before that. */
  #turnMicros: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time, for a difference of {@link microsSince}. */
  micros(): number {
    return (this.#clock.now() * 1_000) & MICROS_MASK;
  }

  /** Microseconds since {@link micros} gave `begin`. */
  microsSince(begin: number): number {
    return (this.micros() - begin) & MICROS_MASK;
  }

  /** A snapshot was taken. */
  snapshotTaken(bytes: number, tookMs: number): void {
    this.snapshots.taken += 1;
    this.snapshotBytes = bytes;
    this.snapshotMicros.record(tookMs * 1_000);
  }

  /** A request came in; gives what {@link requestAnswered} needs. */
  requestBegan(kind: RequestKind): number {
    const position = KIND_POSITIONS[kind];
    this.#began[position] = (this.#began[position] ?? 0) + 1;
    return this.#turn();
  }

  /** The answer to a request that began at `begin` is on its way. */
  requestAnswered(kind: RequestKind, outcome: RequestOutcome, begin: number): void {
    const position = KIND_POSITIONS[kind];
    const place = position * OUTCOMES.length + OUTCOME_POSITIONS[outcome];
    this.#answered[place] = (this.#answered[place] ?? 0) + 1;
    this.#micros[position]?.record((this.#turn() - begin) & MICROS_MASK);
  }

  /** A request will not be answered: its client is gone. */
  requestDropped(kind: RequestKind): void {
    const position = KIND_POSITIONS[kind];
    this.#began[position] = (this.#began[position] ?? 0) - 1;
  }

  /** All kinds of requests. */
  get requests(): readonly RequestCount[] {
    return KINDS.map((kind, position) => {
      const answered = OUTCOMES.map((outcome, at) => (
        { outcome, count: this.#answered[position * OUTCOMES.length + at] ?? 0 }
      ));
      const done = answered.reduce((sum, { count }) => sum + count, 0);
      const micros = this.#micros[position] ?? new DoublingHistogram(REQUEST_MICROS);
      return { kind, answered, inFlight: (this.#began[position] ?? 0) - done, micros };
    });
  }

  /** The time of this turn of the event loop: read once for all that arrives in it, and once for what it answers. */
  #turn(): number {
    if (this.#turnMicros === null) {
      this.#turnMicros = this.micros();
      this.#clock.endOfTurn(this.#endTurn);
    }
    return this.#turnMicros;
  }

  readonly #endTurn = (): void => {
    this.#turnMicros = null;
  };
}

/** How many numbers were at most `bound`. */
export interface Bucket {
  readonly bound: number;
  readonly count: number;
}

/** A histogram of whole numbers from 0 to 2³⁰, in buckets up to 2^first, 2^(first + 1), … 2^last, and all above. */
export class DoublingHistogram {
  readonly #first: number;
  readonly #counts: Float64Array;
  #sum = 0;

  /** Counts nothing yet. */
  constructor({ first, last }: { readonly first: number; readonly last: number }) {
    assert(0 <= first && first <= last && last <= 30, "buckets are of small integers");
    this.#first = first;
    this.#counts = new Float64Array(last - first + 2);
  }

  /** Counts a number; one that is out of range counts in the first bucket or above the last. */
  record(value: number): void {
    // The least power of two that is no smaller, without a search.
    const power = value <= 1 ? 0 : 32 - Math.clz32(value - 1);
    const position = Math.min(Math.max(power - this.#first, 0), this.#counts.length - 1);
    this.#counts[position] = (this.#counts[position] ?? 0) + 1;
    this.#sum += value;
  }

  /** Of all numbers. */
  get sum(): number {
    return this.#sum;
  }

  /** How many numbers there were. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** For each bound, how many numbers were no larger; the last bound is infinite. */
  get buckets(): readonly Bucket[] {
    let count = 0;
    const last = this.#counts.length - 1;
    return Array.from(this.#counts, (here, position) => {
      count += here;
      return { bound: position === last ? Infinity : 2 ** (this.#first + position), count };
    });
  }
}

/** Returns the position of each name in a list: an object, since a lookup in a Map or a list takes longer. */
function positionsOf<K extends string>(names: readonly K[]): Readonly<Record<K, number>> {
  return Object.fromEntries(names.map((name, position) => [name, position])) as Record<K, number>;
}
