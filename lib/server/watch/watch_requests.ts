/** Replies to the requests about watches. */
import { assertNever } from "../../platform/assert.ts";
import { validateWatch, WATCH_LEVEL } from "../../kv/mod.ts";
import type { RequestFrame } from "../../protocol/client_frames.ts";
import type { Driver } from "../driver.ts";
import type { FeatureLevels } from "../membership/feature_levels.ts";
import type { Replica } from "../replica.ts";
import { type ErrorAnswer, futureRevision, notApplied, type Reply } from "../reply.ts";
import { whenUpToDate } from "../up_to_date.ts";
import type { ConnectionWatches } from "./connection_watches.ts";
import { keyBytesOf } from "./watch.ts";
import type { WatchHub } from "./watch_hub.ts";

/** Watches of one connection; one more is refused. */
export const MAX_WATCHES_PER_CONNECTION = 1_000;
/** Watches of a node, and bytes of their keys and bounds of ranges; one more is refused as busy. */
export const MAX_WATCHES = 100_000;
export const MAX_WATCHED_BYTES = 67_108_864;

/** The requests about watches. */
export type WatchRequestFrame = RequestFrame<"watch" | "cancelWatch" | "watchProgress">;

/** The dependencies of the requests. */
export interface WatchRequestsOptions {
  readonly hub: WatchHub;
  readonly driver: Pick<Driver, "readIndex">;
  readonly replica: Replica;
  readonly levels: FeatureLevels;
}

/** Begins and ends watches for clients. */
export class WatchRequests {
  readonly #options: WatchRequestsOptions;
  /** Watches that wait for their read index, and bytes of their keys. */
  #starting = 0;
  #startingBytes = 0;

  constructor(options: WatchRequestsOptions) {
    this.#options = options;
  }

  /** Ends all watches: the node stops. */
  stop(): void {
    this.#options.hub.stop();
  }

  /** Replies to a request, now or once this node has applied what it needs. */
  handle(request: WatchRequestFrame, reply: Reply, connection: ConnectionWatches): void {
    switch (request.kind) {
      case "watch":
        return this.#watch(request, reply, connection);
      case "cancelWatch":
        return this.#cancel(request, reply, connection);
      case "watchProgress":
        return this.#progress(request, reply, connection);
      default:
        return assertNever(request);
    }
  }

  /**
   * Begins a watch once this node has applied everything that was acknowledged before the request: it is sent every write
   * that begins after its answer, also by a node that lags.
   */
  #watch(request: RequestFrame<"watch">, reply: Reply, connection: ConnectionWatches): void {
    const { requestId: watchId } = request;
    const problem = validateWatch(request);
    if (problem !== null) return reply.refuse(notApplied(problem.kind, problem.message));
    const bytes = keyBytesOf(request.keys);
    const refusal = this.#admissionRefusal(watchId, bytes, connection);
    if (refusal !== null) return reply.refuse(refusal);
    const cancelled: (() => void)[] = [];
    connection.starting.set(watchId, cancelled);
    this.#starting++;
    this.#startingBytes += bytes;
    whenUpToDate(this.#options, (ready, applyMs = 0) => {
      reply.confirmed(applyMs);
      this.#starting--;
      this.#startingBytes -= bytes;
      connection.starting.delete(watchId);
      if (cancelled.length > 0) connection.cancelledStarting--;
      if (connection.isClosed) return reply.drop();
      this.#start(request, reply, connection, ready);
      if (cancelled.length === 0) return;
      this.#options.hub.cancel(connection, watchId);
      for (const answer of cancelled) answer();
    });
  }

  #start(
    request: RequestFrame<"watch">,
    reply: Reply,
    connection: ConnectionWatches,
    ready: boolean,
  ): void {
    const { hub, replica: { stateMachine } } = this.#options;
    const refusal = ready ? reply.lateRefusal() ?? startRefusal(request, this.#options) : notUpToDate();
    if (refusal !== null) return reply.refuse(refusal);
    const { requestId: watchId, keys, puts, deletes, previous, visibleOnly } = request;
    const { revision } = stateMachine;
    const from = request.from ?? revision + 1;
    reply.send({ kind: "watchStarted", requestId: watchId, revision });
    hub.start(connection, { watchId, keys, filter: { puts, deletes, previous }, visibleOnly, from });
  }

  #cancel(
    { requestId, watchId }: RequestFrame<"cancelWatch">,
    reply: Reply,
    connection: ConnectionWatches,
  ): void {
    const answer = (): void => reply.send({ kind: "watchCancelled", requestId });
    const starting = connection.starting.get(watchId);
    if (starting !== undefined) {
      if (starting.push(answer) === 1) connection.cancelledStarting++;
      return;
    }
    this.#options.hub.cancel(connection, watchId);
    answer();
  }

  #progress(
    { requestId, atOnce }: RequestFrame<"watchProgress">,
    reply: Reply,
    connection: ConnectionWatches,
  ): void {
    whenUpToDate(this.#options, (ready) => {
      if (connection.isClosed) return reply.drop();
      if (!ready) return reply.refuse(notUpToDate());
      if (atOnce) {
        const { revision } = this.#options.replica.stateMachine;
        return reply.send({
          kind: "watchProgressResult",
          requestId,
          revision,
          behind: connection.idsBehind(),
        });
      }
      this.#options.hub.whenLevel(connection, {
        answer: (revision) => reply.send({ kind: "watchProgressResult", requestId, revision, behind: [] }),
        drop: () => reply.drop(),
      });
    });
  }

  #admissionRefusal(watchId: number, bytes: number, connection: ConnectionWatches): ErrorAnswer | null {
    if (connection.byId.has(watchId) || connection.starting.has(watchId)) {
      return notApplied(
        "invalidRequest",
        `Cannot watch: this connection has a watch of the id ${watchId} already.`,
      );
    }
    if (connection.size >= MAX_WATCHES_PER_CONNECTION && !connection.connection.access.isInProcess) {
      return notApplied(
        "tooManyWatches",
        `Cannot watch: this connection has ${MAX_WATCHES_PER_CONNECTION} watches, the most that one may have. ` +
          "Cancel one of them, or open another connection.",
      );
    }
    const { hub } = this.#options;
    // A client within its limit may cancel watches that have not begun, and begin others; within a bound too.
    const hasSpace = connection.cancelledStarting < MAX_WATCHES_PER_CONNECTION &&
      hub.size + this.#starting < MAX_WATCHES &&
      hub.keyBytes + this.#startingBytes + bytes <= MAX_WATCHED_BYTES;
    if (!hasSpace) {
      return notApplied("busy", "Cannot watch: this node has too many watches. Try another node.");
    }
    return null;
  }
}

/** Returns why a watch, or a read of events, cannot begin in this state, or null. */
export function startRefusal(
  { from }: { readonly from: number | null },
  { levels, replica: { stateMachine } }: Pick<WatchRequestsOptions, "levels" | "replica">,
): ErrorAnswer | null {
  const { featureLevel, revision, compactedRevision } = stateMachine;
  if (featureLevel < WATCH_LEVEL) return levels.refusalOf("history");
  if (from === null) return null;
  // No write waits to make this revision: the number comes from another cluster, or from a history that was lost.
  if (from > revision + 1) return futureRevision(from, revision);
  if (from > compactedRevision) return null;
  const message =
    `Cannot watch from revision ${from}: the history is kept from revision ${compactedRevision} on.`;
  return { ...notApplied("compacted", message), compactedRevision };
}

function notUpToDate(): ErrorAnswer {
  return notApplied(
    "noLeader",
    "Cannot watch: no leader has confirmed that this node is up to date. Try another node.",
  );
}
