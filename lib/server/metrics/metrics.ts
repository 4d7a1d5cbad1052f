/**
 * The counters of a node for /metrics. Values that can be read on request (role, indexes, sizes) are not counted here, but
 * read by metric_table.ts.
 *
 * A request costs a few additions, no object and no promise. The clock is read twice a
 * turn of the event loop for all requests of the turn, and twice a sync.
 */
import { CLIENT_REQUESTS, type RequestKind as ClientRequestKind } from "../../protocol/client_frames.ts";
import { ERROR_CODES, type ErrorCode } from "../../protocol/messages.ts";
import type { Clock } from "../../platform/clock.ts";
import { Traffic } from "../../transport/frame_reader.ts";
import { assert } from "../../platform/assert.ts";
import { LatencyWindow, type WindowFigures } from "./latency_window.ts";

/** The kind of a request: of a client, or a write that another node forwards. */
export type RequestKind = ClientRequestKind | "forward";
/** The outcome of a request. */
export type RequestOutcome = "ok" | ErrorCode;
/** The outcome of a proposal. */
export type ProposalOutcome = "accepted" | "storageFull" | "notLeader" | "busy" | "transferring";
/** The end of an attempt to sign in. */
export type SignInResult = "ok" | "failed" | "tokenExpired" | "busy" | "noLeader";
/** The outcome of a snapshot. */
export type SnapshotResult = "taken" | "failed" | "received";
/** The outcome of a scheduled backup. */
export type BackupResult = "written" | "unchanged" | "failed";
/** The outcome of sending a snapshot to another node. */
export type TransferResult = "begun" | "failed";

/**
 * Microseconds have 30 bits and wrap around after 18 minutes: V8 stores such a number without an object, and no measured
 * time is as long.
 */
const MICROS_MASK = 2 ** 30 - 1;

/** Returns a time of a clock in milliseconds, for {@link microsBetween}. */
export function microsOf(ms: number): number {
  return (ms * 1_000) & MICROS_MASK;
}

/** Returns the microseconds from one time to a later one. */
export function microsBetween(begin: number, end: number): number {
  return (end - begin) & MICROS_MASK;
}

const KINDS: readonly RequestKind[] = [...CLIENT_REQUESTS.kinds, "forward"];
const KIND_POSITIONS = positionsOf(KINDS);
const OUTCOMES: readonly RequestOutcome[] = ["ok", ...ERROR_CODES];
const OUTCOME_POSITIONS = positionsOf(OUTCOMES);
/** Of which kind a request is, in reports. */
export type RequestGroup = "read" | "write" | "other" | "forwarded";

const READS: readonly RequestKind[] = [
  "get",
  "getAt",
  "list",
  "listAt",
  "keyHistory",
  "lease",
  "listLeases",
  "readRanges",
  "readEvents",
  "scan",
];

/** Returns the group of a kind of request. */
export function requestGroupOf(kind: string): RequestGroup {
  if (kind === "write") return "write";
  if (kind === "forward") return "forwarded";
  return READS.some((read) => read === kind) ? "read" : "other";
}

/** Requests that take as long as what they ask for, or ask other nodes: they are never called slow. */
const UNTIMED: readonly RequestKind[] = [
  "watchProgress",
  "stateHash",
  "describeNode",
  "transferLeadership",
  "changeMembership",
  "takeSnapshot",
  "readSnapshot",
];

/** Whether a request of this kind can be slow. */
export function isTimed(kind: string): boolean {
  return !UNTIMED.some((untimed) => untimed === kind);
}

/** Period of the figures of {@link Metrics.latency}, which are those of one to two periods. */
export const WINDOW_MS = 5_000;
/** From 16 µs to 8.4 s: shorter and longer times are in the first and last bucket. */
const REQUEST_MICROS = { first: 4, last: 23 };

/** The requests of one kind. */
export interface RequestCount {
  readonly kind: string;
  /** Number of answered requests, by outcome. */
  readonly answered: readonly { readonly outcome: string; readonly count: number }[];
  /** Number of requests that wait for their answer. */
  readonly inFlight: number;
  /** Number of requests that took longer than `--slow-ms`. */
  readonly slow: number;
  /** Microseconds from reading a request to queueing its answer. */
  readonly micros: DoublingHistogram;
}

/** The latencies of the last one to two periods of {@link WINDOW_MS}, in microseconds. */
export interface RecentLatency {
  readonly write: WindowFigures;
  readonly get: WindowFigures;
  readonly sync: WindowFigures;
  /** How late the driver's timer was. */
  readonly loop: WindowFigures;
}

/** The counters of one node. */
export class Metrics {
  /** Entries of each write to the log. */
  readonly batchEntries = new DoublingHistogram({ first: 0, last: 13 });
  /** Microseconds of each sync of the log. */
  readonly syncMicros = new DoublingHistogram({ first: 5, last: 23 });
  /** Microseconds that each snapshot took. */
  readonly snapshotMicros = new DoublingHistogram({ first: 13, last: 29 });
  /** Microseconds by which the event loop was late. */
  readonly loopMicros = new DoublingHistogram({ first: 8, last: 23 });
  /** Bytes of clients' connections, after their hello. */
  readonly clientTraffic = new Traffic();
  /** Bytes of connections with other nodes, after their hello. */
  readonly peerTraffic = new Traffic();
  readonly proposals: Record<ProposalOutcome, number> = {
    accepted: 0,
    storageFull: 0,
    notLeader: 0,
    busy: 0,
    transferring: 0,
  };
  readonly snapshots: Record<SnapshotResult, number> = { taken: 0, failed: 0, received: 0 };
  readonly backups: Record<BackupResult, number> = { written: 0, unchanged: 0, failed: 0 };
  /** Time between two scheduled backups; 0 without. */
  backupEveryMs = 0;
  /** When the newest backup was made, or found unnecessary: milliseconds since 1970; 0 before the first. */
  backedUpAtMs = 0;
  readonly transfers: Record<TransferResult, number> = { begun: 0, failed: 0 };
  readonly signIns: Record<SignInResult, number> = {
    ok: 0,
    failed: 0,
    tokenExpired: 0,
    busy: 0,
    noLeader: 0,
  };
  /** Size of the snapshot that was taken last. */
  snapshotBytes = 0;
  /** Leases that were kept alive for clients of this node, each time. */
  keepAlives = 0;
  /** Changes of leader that this node has seen. */
  leaderChanges = 0;
  readonly #clock: Clock;
  readonly #began = new Float64Array(KINDS.length);
  readonly #answered = new Float64Array(KINDS.length * OUTCOMES.length);
  readonly #slow = new Float64Array(KINDS.length);
  readonly #micros = KINDS.map(() => new DoublingHistogram(REQUEST_MICROS));
  /** Time of the first request or answer of this turn; null before that. */
  #turnMicros: number | null = null;
  readonly #windows = {
    write: new LatencyWindow(this.#microsOf("write")),
    get: new LatencyWindow(this.#microsOf("get")),
    sync: new LatencyWindow(this.syncMicros),
    loop: new LatencyWindow(this.loopMicros),
  };
  #windowEndMs: number;
  #onPeriod: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowEndMs = clock.now() + WINDOW_MS;
  }

  /** Counts how late a periodic timer of the node is that was due at `dueMs`, and ends the windows of latencies in time. */
  ticked(dueMs: number): void {
    const now = this.#clock.now();
    this.loopMicros.record(Math.max(0, Math.round((now - dueMs) * 1_000)));
    if (now < this.#windowEndMs) return;
    this.#windowEndMs = now + WINDOW_MS;
    this.#onPeriod?.();
    const { write, get, sync, loop } = this.#windows;
    for (const window of [write, get, sync, loop]) window.rotate();
  }

  /** Has `listener` called at the end of each period of {@link WINDOW_MS}, before the windows of latencies end. */
  onPeriod(listener: () => void): void {
    this.#onPeriod = listener;
  }

  /** Returns the latencies of the last one to two periods. */
  latency(): RecentLatency {
    const { write, get, sync, loop } = this.#windows;
    return { write: write.figures(), get: get.figures(), sync: sync.figures(), loop: loop.figures() };
  }

  /** Returns the time, for {@link microsSince}. */
  micros(): number {
    return microsOf(this.#clock.now());
  }

  /** Returns the time of this turn of the event loop: read once for its requests, and once for its answers. */
  turnMicros(): number {
    if (this.#turnMicros === null) {
      this.#turnMicros = this.micros();
      this.#clock.endOfTurn(this.#endTurn);
    }
    return this.#turnMicros;
  }

  /** Returns the microseconds since {@link micros} returned `begin`. */
  microsSince(begin: number): number {
    return microsBetween(begin, this.micros());
  }

  /** Counts a snapshot that was taken. */
  snapshotTaken(bytes: number, tookMs: number): void {
    this.snapshots.taken += 1;
    this.snapshotBytes = bytes;
    this.snapshotMicros.record(tookMs * 1_000);
  }

  /** Counts an attempt at a backup; `atMs` is null for a failure. */
  backedUp(result: BackupResult, atMs: number | null): void {
    this.backups[result] += 1;
    if (atMs !== null) this.backedUpAtMs = atMs;
  }

  /** Notes that backups are scheduled. */
  backupsScheduled(everyMs: number): void {
    this.backupEveryMs = everyMs;
  }

  /** Notes the newest backup that an earlier process made. */
  foundBackup(atMs: number): void {
    this.backedUpAtMs = atMs;
  }

  /** Counts a received request; returns its time for {@link requestAnswered}. */
  requestBegan(kind: RequestKind): number {
    const position = KIND_POSITIONS[kind];
    this.#began[position] = (this.#began[position] ?? 0) + 1;
    return this.turnMicros();
  }

  /** Counts the answer to a request that was received at `begin`; returns the microseconds that it took. */
  requestAnswered(kind: RequestKind, outcome: RequestOutcome, begin: number): number {
    const position = KIND_POSITIONS[kind];
    const place = position * OUTCOMES.length + OUTCOME_POSITIONS[outcome];
    this.#answered[place] = (this.#answered[place] ?? 0) + 1;
    const tookMicros = microsBetween(begin, this.turnMicros());
    this.#micros[position]?.record(tookMicros);
    return tookMicros;
  }

  /** Counts a request that took longer than `--slow-ms`. */
  requestWasSlow(kind: RequestKind): void {
    const position = KIND_POSITIONS[kind];
    this.#slow[position] = (this.#slow[position] ?? 0) + 1;
  }

  /** Counts a request that gets no answer: its connection is closed. */
  requestDropped(kind: RequestKind): void {
    const position = KIND_POSITIONS[kind];
    this.#began[position] = (this.#began[position] ?? 0) - 1;
  }

  /** The counts of all kinds of requests. */
  get requests(): readonly RequestCount[] {
    return KINDS.map((kind, position) => {
      const answered = OUTCOMES.map((outcome, at) => (
        { outcome, count: this.#answered[position * OUTCOMES.length + at] ?? 0 }
      ));
      const done = answered.reduce((sum, { count }) => sum + count, 0);
      const inFlight = (this.#began[position] ?? 0) - done;
      return { kind, answered, inFlight, slow: this.#slow[position] ?? 0, micros: this.#microsOf(kind) };
    });
  }

  #microsOf(kind: RequestKind): DoublingHistogram {
    const micros = this.#micros[KIND_POSITIONS[kind]];
    assert(micros !== undefined, "every kind of request has a histogram");
    return micros;
  }

  readonly #endTurn = (): void => {
    this.#turnMicros = null;
  };
}

/** The count of numbers up to `bound`. */
export interface Bucket {
  readonly bound: number;
  readonly count: number;
}

/** A histogram of whole numbers from 0 to 2³⁰, in buckets up to 2^first, 2^(first + 1), … 2^last, and all above. */
export class DoublingHistogram {
  readonly #first: number;
  readonly #counts: Float64Array;
  #sum = 0;
  #max = 0;

  constructor({ first, last }: { readonly first: number; readonly last: number }) {
    assert(0 <= first && first <= last && last <= 30, "buckets are of small integers");
    this.#first = first;
    this.#counts = new Float64Array(last - first + 2);
  }

  /** Counts a number; one that is out of range counts in the first bucket or above the last. */
  record(value: number): void {
    // The least power of two that is not smaller, without a search.
    const power = value <= 1 ? 0 : 32 - Math.clz32(value - 1);
    const position = Math.min(Math.max(power - this.#first, 0), this.#counts.length - 1);
    this.#counts[position] = (this.#counts[position] ?? 0) + 1;
    this.#sum += value;
    if (value > this.#max) this.#max = value;
  }

  /** The greatest number since {@link takeMax}. */
  get max(): number {
    return this.#max;
  }

  /** Returns the greatest number since the last call. */
  takeMax(): number {
    const max = this.#max;
    this.#max = 0;
    return max;
  }

  /** Returns the count of each bucket, not cumulative. */
  copyCounts(): Float64Array {
    return this.#counts.slice();
  }

  /** Returns the numbers between which those of a bucket are. */
  boundsOf(position: number): { readonly from: number; readonly to: number } {
    const power = this.#first + position;
    const isLast = position === this.#counts.length - 1;
    return { from: position === 0 ? 0 : 2 ** (power - 1), to: isLast ? Infinity : 2 ** power };
  }

  /** Sum of all numbers. */
  get sum(): number {
    return this.#sum;
  }

  /** Count of all numbers. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** The cumulative counts; the last bound is infinite. */
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
