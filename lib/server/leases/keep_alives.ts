/**
 * Keeps leases alive for the clients of this node. All requests that arrive in one turn of the event loop become one
 * write, so that ten thousand holders cost few entries of the log.
 */
import { assert } from "../../platform/assert.ts";
import { MAX_KEEP_ALIVES } from "../../kv/mod.ts";
import type { Clock } from "../../platform/clock.ts";
import { decodeResult, encodeCommand } from "../../protocol/command.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { type ErrorAnswer, notApplied, type WriteAnswer } from "../reply.ts";

/** The end of a request: the time to live of each lease, 0 for one that does not exist; or why it was not done. */
export type KeepAliveAnswer =
  | { readonly kind: "keptAlive"; readonly ttlsMs: readonly number[] }
  | ErrorAnswer;

/** A request that waits for the end of the turn. */
interface WaitingRequest {
  readonly leaseIds: readonly number[];
  readonly answer: (answer: KeepAliveAnswer) => void;
}

/** The dependencies of keep-alives. */
export interface KeepAlivesOptions {
  readonly clock: Clock;
  readonly writes: { submit(bytes: Uint8Array, answer: (answer: WriteAnswer) => void): void };
  /** Counts leases that are kept alive; null counts none. */
  readonly metrics: Metrics | null;
}

/** The keep-alives of one node. Every `answer` is called exactly once, unless the node stops. */
export class KeepAlives {
  readonly #options: KeepAlivesOptions;
  /** Requests of this turn, with at most MAX_KEEP_ALIVES ids. */
  #waiting: WaitingRequest[] = [];
  #ids = 0;
  #isScheduled = false;

  constructor(options: KeepAlivesOptions) {
    this.#options = options;
  }

  /** Keeps 1 to MAX_KEEP_ALIVES leases alive. */
  request(leaseIds: readonly number[], answer: (answer: KeepAliveAnswer) => void): void {
    assert(leaseIds.length >= 1 && leaseIds.length <= MAX_KEEP_ALIVES, "the request was validated");
    if (this.#ids + leaseIds.length > MAX_KEEP_ALIVES) this.#submit();
    this.#waiting.push({ leaseIds, answer });
    this.#ids += leaseIds.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.clock.endOfTurn(() => {
      this.#isScheduled = false;
      this.#submit();
    });
  }

  /** Makes one write of the waiting requests. */
  #submit(): void {
    const requests = this.#waiting;
    if (requests.length === 0) return;
    this.#waiting = [];
    this.#ids = 0;
    const leaseIds = requests.flatMap((request) => request.leaseIds);
    const command = encodeCommand({ kind: "keepLeasesAlive", leaseIds });
    this.#options.writes.submit(command, (answer) => this.#answer(requests, answer));
  }

  #answer(requests: readonly WaitingRequest[], answer: WriteAnswer): void {
    const result = answer.kind === "error" ? null : decodeResult(answer.result);
    if (result?.kind !== "leasesKeptAlive") {
      const refusal = answer.kind === "error" ? answer : notKept();
      for (const { answer } of requests) answer(refusal);
      return;
    }
    const { metrics } = this.#options;
    let first = 0;
    for (const { leaseIds, answer } of requests) {
      const ttlsMs = result.ttlsMs.slice(first, first + leaseIds.length);
      first += leaseIds.length;
      answer({ kind: "keptAlive", ttlsMs });
    }
    if (metrics !== null) metrics.keepAlives += first;
  }
}

/** Returns the answer where the write was applied as something else, as a fault of the node. */
function notKept(): ErrorAnswer {
  return notApplied("internal", "Cannot keep leases alive: the leader answered with another result.");
}
