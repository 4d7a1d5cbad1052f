/**
 * Log lines for requests that take longer than `--slow-ms`, with where their time went. The parts of a line add up to the
 * time that the request took, and `waitedFor` names the greatest.
 *
 * No line has a key or a value. Their number is bounded: a slow disk makes every write slow, and the log may be on it.
 */
import { BoundedLines } from "../../platform/bounded_lines.ts";
import type { Clock } from "../../platform/clock.ts";
import type { LogFields, Logger } from "../../platform/logger.ts";
import type { NodeId } from "../../raft/mod.ts";
import type { LiveSettings } from "../config/config.ts";
import {
  isTimed,
  type Metrics,
  microsBetween,
  requestGroupOf,
  type RequestKind,
  type RequestOutcome,
} from "../metrics/metrics.ts";
import type { BatchTimes } from "./batch_times.ts";

/** Lines that are written in a window; at its end one line has the number of those left out. */
export const MAX_SLOW_LINES = 10;
export const SLOW_WINDOW_MS = 10_000;

/** A request that took long. */
export interface SlowRequest {
  readonly kind: RequestKind;
  readonly outcome: RequestOutcome;
  /** When it was read, as `Metrics.micros`. */
  readonly begin: number;
  /** Microseconds until its answer. */
  readonly elapsed: number;
  /** Of a write that this node proposed: its index in the log; null for others. */
  readonly index: number | null;
  /** When the state of this node could answer a read that had to be confirmed; null for others. */
  readonly readyAt: number | null;
  /** How long such a read waited until its read index was applied. */
  readonly applyMs: number;
  /** Size of a write; null for others. */
  readonly bytes: number | null;
  readonly from: RequestSource;
}

/** Where a request came from: a client, with its user if authentication is enabled, or the node that forwarded a write. */
export type RequestSource =
  | { readonly client: string; readonly user: string | null }
  | { readonly node: NodeId };

/** The dependencies of the lines. */
export interface SlowRequestsOptions {
  /** Its `slowMs`: the time above which a request is slow; null for none. */
  readonly live: Pick<LiveSettings, "slowMs">;
  readonly metrics: Pick<Metrics, "requestWasSlow"> | null;
  readonly logger: Logger;
  readonly clock: Pick<Clock, "after">;
  readonly driver: { readonly batches: BatchTimes; readonly isLeader: boolean };
  readonly leadership: { readonly current: { readonly leader: NodeId | null } };
}

/** The parts of the time of a request, by what it waited for, in microseconds. */
type Parts = Readonly<Record<string, number>>;

/** Logs the slow requests of one node. */
export class SlowRequests {
  readonly #options: SlowRequestsOptions;
  readonly #lines: BoundedLines;

  constructor(options: SlowRequestsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#lines = new BoundedLines({
      writer: { record: (message, fields) => logger.warn(message, fields) },
      clock,
      max: MAX_SLOW_LINES,
      windowMs: SLOW_WINDOW_MS,
      leftOut: (requests) => logger.warn("more requests were slow", { event: "slowRequest", requests }),
    });
  }

  /** The time from which on a request is slow, in microseconds. */
  get boundMicros(): number {
    const { slowMs } = this.#options.live;
    return slowMs === null ? Infinity : slowMs * 1_000;
  }

  /** Logs a slow request, unless it is of a kind that waits by its nature, or too many were logged. */
  note(request: SlowRequest): void {
    const { kind, outcome, elapsed, bytes, from } = request;
    if (!isTimed(kind)) return;
    const { metrics } = this.#options;
    metrics?.requestWasSlow(kind);
    this.#lines.write("a request was slow", {
      event: "slowRequest",
      kind,
      outcome,
      elapsedMs: milliseconds(elapsed),
      ...this.#partFields(request),
      ...(bytes === null ? {} : { bytes }),
      ...sourceFields(from),
    });
  }

  /** Ends the timer of the lines: the node stops. */
  close(): void {
    this.#lines.close();
  }

  #partFields(request: SlowRequest): LogFields {
    const parts = this.#partsOf(request);
    const [greatest] = Object.entries(parts).sort(([, one], [, other]) => other - one);
    if (greatest === undefined) return {};
    const fields = Object.entries(parts).map(([name, micros]) => [`${name}Ms`, milliseconds(micros)]);
    const { leader } = this.#options.leadership.current;
    return {
      waitedFor: greatest[0],
      ...Object.fromEntries(fields),
      ...("leader" in parts && leader !== null && !this.#options.driver.isLeader ? { leader } : {}),
    };
  }

  /** Returns the parts that are known; none for kinds without. */
  #partsOf({ kind, begin, elapsed, index, readyAt, applyMs }: SlowRequest): Parts {
    if (index !== null) return { ...this.#options.driver.batches.partsOf(index, { begin, elapsed }) };
    // Only the leader knows more: its own line says where the time went.
    if (kind === "write") return { leader: elapsed };
    if (readyAt === null) return requestGroupOf(kind) === "read" ? { answer: elapsed } : {};
    const ready = Math.min(microsBetween(begin, readyAt), elapsed);
    const apply = Math.min(Math.round(applyMs * 1_000), ready);
    return { confirm: ready - apply, apply, answer: elapsed - ready };
  }
}

function sourceFields(from: RequestSource): LogFields {
  if ("node" in from) return { from: from.node };
  const { client, user } = from;
  return user === null ? { client } : { client, user };
}

/** Rounds microseconds to tenths of a millisecond. */
function milliseconds(micros: number): number {
  return Math.round(micros / 100) / 10;
}
