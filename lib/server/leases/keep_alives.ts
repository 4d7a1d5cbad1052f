/**
 * Keeps leases alive for the clients of this node. All requests that arrive in one turn of the event loop become one
 * write, so that ten thousand holders cost few entries of the log; while authentication is enabled, those of each user
 * become one, which has its identity.
 */
import { assert } from "../../platform/assert.ts";
import { type AuthState, MAX_KEEP_ALIVES } from "../../kv/mod.ts";
import type { Clock } from "../../platform/clock.ts";
import { decodeResult, encodeCommand } from "../../protocol/command.ts";
import type { ConnectionIdentity } from "../auth/connection_identity.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { type ErrorAnswer, notApplied, type WriteAnswer } from "../reply.ts";

/** The end of a request: the time to live of each lease, 0 for one that does not exist; or why it was not done. */
export type KeepAliveAnswer =
  | { readonly kind: "keptAlive"; readonly ttlsMs: readonly number[] }
  | ErrorAnswer;

/** A request to keep leases alive. */
export interface KeepAliveRequest {
  readonly leaseIds: readonly number[];
  /** The user of the connection. */
  readonly identity: ConnectionIdentity;
  readonly answer: (answer: KeepAliveAnswer) => void;
}

/** The requests of one user in this turn, with at most MAX_KEEP_ALIVES ids. */
interface Batch {
  readonly identity: ConnectionIdentity;
  readonly requests: KeepAliveRequest[];
  ids: number;
}

/** The dependencies of keep-alives. */
export interface KeepAlivesOptions {
  readonly clock: Clock;
  readonly writes: {
    submit(bytes: Uint8Array, identity: ConnectionIdentity, answer: (answer: WriteAnswer) => void): void;
  };
  /** Returns the users of the present state. */
  readonly auth: () => AuthState;
  /** Counts leases that are kept alive; null counts none. */
  readonly metrics: Metrics | null;
}

/** The reasons that may apply to one of the requests in a write alone. */
const IDENTITY_REFUSALS: ReadonlySet<ErrorAnswer["code"]> = new Set([
  "permissionDenied",
  "unauthenticated",
  "tokenExpired",
]);
/** The user id of requests without a user. */
const NO_USER = 0;

/** The keep-alives of one node. Every `answer` is called exactly once, unless the node stops. */
export class KeepAlives {
  readonly #options: KeepAlivesOptions;
  /** By user. */
  readonly #waiting = new Map<number, Batch>();
  #isScheduled = false;

  constructor(options: KeepAlivesOptions) {
    this.#options = options;
  }

  /** Keeps 1 to MAX_KEEP_ALIVES leases alive. */
  request(request: KeepAliveRequest): void {
    const { leaseIds, identity } = request;
    assert(leaseIds.length >= 1 && leaseIds.length <= MAX_KEEP_ALIVES, "the request was validated");
    const userId = identity.isAnonymous ? NO_USER : identity.user(this.#options.auth())?.userId ?? NO_USER;
    const waiting = this.#waiting.get(userId);
    if (waiting !== undefined && waiting.ids + leaseIds.length > MAX_KEEP_ALIVES) {
      this.#endBatch(userId, waiting);
    }
    const batch = this.#waiting.get(userId) ?? { identity, requests: [], ids: 0 };
    this.#waiting.set(userId, batch);
    batch.requests.push(request);
    batch.ids += leaseIds.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.clock.endOfTurn(() => {
      this.#isScheduled = false;
      for (const [userId, batch] of this.#waiting) this.#endBatch(userId, batch);
    });
  }

  #endBatch(userId: number, { identity, requests }: Batch): void {
    this.#waiting.delete(userId);
    this.#submit(requests, identity);
  }

  /** Makes one write of the requests of a user. */
  #submit(requests: readonly KeepAliveRequest[], identity: ConnectionIdentity): void {
    const leaseIds = requests.flatMap((request) => request.leaseIds);
    const command = encodeCommand({ kind: "keepLeasesAlive", leaseIds });
    this.#options.writes.submit(command, identity, (answer) => this.#answer(requests, answer));
  }

  #answer(requests: readonly KeepAliveRequest[], answer: WriteAnswer): void {
    const end = endOf(answer);
    if (end.kind === "error") {
      // The user lost its right over one lease meanwhile, or the first of its connections the token that it signed in by; the
      // other requests may still be permitted.
      const isOfOne = requests.length === 1 || !IDENTITY_REFUSALS.has(end.code);
      for (const request of requests) {
        if (isOfOne) request.answer(end);
        else this.#submit([request], request.identity);
      }
      return;
    }
    const { metrics } = this.#options;
    let first = 0;
    for (const { leaseIds, answer } of requests) {
      const ttlsMs = end.ttlsMs.slice(first, first + leaseIds.length);
      first += leaseIds.length;
      answer({ kind: "keptAlive", ttlsMs });
    }
    if (metrics !== null) metrics.keepAlives += first;
  }
}

/** Returns the end of a write: the times to live of its leases, or the reason why they are not kept alive. */
function endOf(answer: WriteAnswer): KeepAliveAnswer {
  if (answer.kind === "error") return answer;
  const result = decodeResult(answer.result);
  if (result.kind === "leasesKeptAlive") return { kind: "keptAlive", ttlsMs: result.ttlsMs };
  const reason = result.kind === "refused" ? result.reason : null;
  if (reason === "permissionDenied" || reason === "unauthenticated") {
    return notApplied(
      reason,
      "Cannot keep leases alive: the user was removed, or has lost the right to their keys.",
    );
  }
  return notApplied("internal", "Cannot keep leases alive: the leader answered with another result.");
}
