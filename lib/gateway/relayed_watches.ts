/**
 * The watches of one client of a gateway. Each is a watch over a lane, whose notices are passed on with the client's own id.
 *
 * A lane is shared, so a client that does not read its events cannot hold it: its watches are cancelled at their nodes and
 * begin again after the last revision that was passed on whole, once the client reads. A watch that its node ends, or that is
 * lost with its connection, ends here too: the client begins it again, as it does at a node.
 */
import type { NodeConnection } from "../client/connection.ts";
import { MAX_WATCHES } from "../client/core.ts";
import type { WatchEnd, WatchReceiver } from "../client/watch/connection_watches.ts";
import { assertNever } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import type { ErrorResponse, RequestFrame, ServerFrame, ServerMessage } from "../protocol/client_frames.ts";
import type { WatchEndCode } from "../protocol/messages.ts";
import type { Lane } from "./upstreams.ts";

/** Time that a node has to begin a watch. */
const START_TIMEOUT_MS = 8_000;
/** Time that a node has to say how far it is. */
const PROGRESS_TIMEOUT_MS = 3_000;
/** Pause before nodes are asked again whether watches have caught up. */
const PROGRESS_PAUSE_MS = 50;

/** A connection over which a watch can begin, and the lane that counts it. */
export interface WatchRoute {
  readonly lane: Lane;
  readonly connection: NodeConnection;
}

/** Why the gateway refuses a request, which had no effect. */
export type GatewayRefusal = Pick<ErrorResponse, "code" | "message">;

/** The connection to the client. */
export interface WatchingClient {
  readonly clock: Clock;
  readonly send: (message: ServerMessage) => void;
  /** Answers a request with an error of the gateway, or with that of a node under the request's own id. */
  readonly refuse: (requestId: number, refusal: GatewayRefusal) => void;
  readonly passOn: (requestId: number, error: ErrorResponse) => void;
  /** Whether so much waits to be sent that no further events may be. */
  readonly isHeld: () => boolean;
  /** Resolves to a route for one more watch, which is counted, or to the reason why there is none. */
  readonly routeForWatch: () => Promise<WatchRoute | GatewayRefusal>;
  /** Ends the connection because of an unexpected error. */
  readonly fail: (error: unknown) => void;
}

/** One watch. */
class RelayedWatch implements WatchReceiver {
  readonly #request: RequestFrame<"watch">;
  readonly #client: WatchingClient;
  readonly #forget: (watch: RelayedWatch) => void;
  #route: WatchRoute | null = null;
  /** Its id at the node; 0 while it is not requested there. */
  #upstreamId = 0;
  /** The first revision that was not passed on whole; null until it is known. */
  #next: number | null;
  #isStarted = false;
  /** Whether it waits for a route. */
  #isStarting = false;
  #isOver = false;

  constructor(
    request: RequestFrame<"watch">,
    client: WatchingClient,
    forget: (watch: RelayedWatch) => void,
  ) {
    this.#request = request;
    this.#client = client;
    this.#forget = forget;
    this.#next = request.from;
  }

  get id(): number {
    return this.#request.requestId;
  }

  /** The connection over which it runs, with its id there; null while it runs nowhere. */
  get place(): { readonly connection: NodeConnection; readonly id: number } | null {
    const route = this.#route;
    return route === null || !this.#isStarted || this.#upstreamId === 0
      ? null
      : { connection: route.connection, id: this.#upstreamId };
  }

  /** Begins it, or goes on after it was held. */
  async start(): Promise<void> {
    this.#isStarting = true;
    const route = await this.#client.routeForWatch();
    this.#isStarting = false;
    if ("code" in route) return this.end(route.code === "noLeader" ? route.code : "stopping", route.message);
    if (this.#isOver) {
      route.lane.watches -= 1;
      return;
    }
    this.#route = route;
    // The client's own id is not that of the node's watch.
    const { requestId: _, ...watch } = this.#request;
    const id = route.connection.watches.start({ ...watch, from: this.#next }, START_TIMEOUT_MS, this);
    if (this.#route === route) this.#upstreamId = id;
  }

  /** Goes on, if it was held. */
  resume(): void {
    if (this.#route === null && this.#isStarted && !this.#isStarting) {
      void this.start().catch(this.#client.fail);
    }
  }

  /** Ends it: the client gets nothing from now on, but the answer to its request if there was none. */
  cancel(): void {
    if (this.#isOver) return;
    this.#leave();
    if (!this.#isStarted) {
      const message = "Cannot watch: the watch was cancelled before it began.";
      this.#client.refuse(this.id, { code: "invalidRequest", message });
    }
    this.#finish();
  }

  /** Ends it for a reason that its client gets. */
  end(code: WatchEndCode, message: string): void {
    if (this.#isOver) return;
    this.#leave();
    if (!this.#isStarted) this.#client.refuse(this.id, { code: "noLeader", message });
    else this.#client.send({ kind: "watchEnded", watchId: this.id, code, message });
    this.#finish();
  }

  onStarted(revision: number): void {
    this.#next ??= revision + 1;
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#client.send({ kind: "watchStarted", requestId: this.id, revision });
  }

  onEvents(frame: ServerFrame<"watchEvents">): void {
    this.#client.send({ ...frame, watchId: this.id });
    if (frame.more) return;
    this.#next = frame.revision + 1;
    if (this.#client.isHeld()) this.#leave();
  }

  onProgress(revision: number): void {
    this.#next = Math.max(this.#next ?? 0, revision + 1);
    this.#client.send({ kind: "watchProgressed", watchIds: [this.id], revision });
  }

  onEnd(end: WatchEnd): void {
    this.#releaseRoute();
    switch (end.kind) {
      case "refused":
        if (!this.#isStarted) {
          this.#client.passOn(this.id, end.error);
          return this.#finish();
        }
        return this.#ended(endOfRefusal(end.error));
      case "ended":
        return this.#ended(end.notice);
      case "lost":
        return this.end("stopping", `Cannot watch: the gateway lost the node: ${end.reason}.`);
      default:
        return assertNever(end);
    }
  }

  #ended(notice: Omit<ServerFrame<"watchEnded">, "kind" | "watchId">): void {
    if (!this.#isOver) this.#client.send({ ...notice, kind: "watchEnded", watchId: this.id });
    this.#finish();
  }

  /** Ends it at its node. */
  #leave(): void {
    const route = this.#route;
    const id = this.#upstreamId;
    this.#releaseRoute();
    if (route !== null && id !== 0) route.connection.watches.cancel(id);
  }

  #releaseRoute(): void {
    if (this.#route !== null) this.#route.lane.watches -= 1;
    this.#route = null;
    this.#upstreamId = 0;
  }

  #finish(): void {
    this.#isOver = true;
    this.#forget(this);
  }
}

/** All watches of one client. */
export class RelayedWatches {
  readonly #client: WatchingClient;
  readonly #watches = new Map<number, RelayedWatch>();
  #isClosed = false;

  constructor(client: WatchingClient) {
    this.#client = client;
  }

  /** Number of watches. */
  get size(): number {
    return this.#watches.size;
  }

  /** Begins a watch. */
  start(request: RequestFrame<"watch">): void {
    const { requestId } = request;
    if (this.#watches.has(requestId)) {
      const message = `Cannot watch: this connection has a watch of the id ${requestId} already.`;
      return this.#client.refuse(requestId, { code: "invalidRequest", message });
    }
    if (this.#watches.size >= MAX_WATCHES) {
      const message =
        `Cannot watch: this connection has ${MAX_WATCHES} watches, the most that one may have. ` +
        "Cancel one of them, or open another connection.";
      return this.#client.refuse(requestId, { code: "tooManyWatches", message });
    }
    const watch = new RelayedWatch(request, this.#client, ({ id }) => {
      if (this.#watches.get(id) === watch) this.#watches.delete(id);
    });
    this.#watches.set(requestId, watch);
    void watch.start().catch(this.#client.fail);
  }

  /** Ends a watch; without effect if there is none of this id. */
  cancel({ requestId, watchId }: RequestFrame<"cancelWatch">): void {
    this.#watches.get(watchId)?.cancel();
    this.#client.send({ kind: "watchCancelled", requestId });
  }

  /** Answers once the watches were sent everything up to a revision; with `atOnce`, with those that were not. */
  async progress({ requestId, atOnce }: RequestFrame<"watchProgress">): Promise<void> {
    const { clock, send, passOn, refuse } = this.#client;
    while (!this.#isClosed) {
      const asked = await this.#askNodes();
      if (asked.kind === "error") return passOn(requestId, asked);
      if (asked.kind === "lost") return refuse(requestId, { code: "noLeader", message: asked.message });
      const { revision, behind } = asked;
      if (revision !== null && (atOnce || behind.length === 0)) {
        return send({ kind: "watchProgressResult", requestId, revision, behind });
      }
      if (atOnce) return refuse(requestId, { code: "noLeader", message: "No watch has begun yet." });
      await new Promise<void>((resolve) => clock.after(PROGRESS_PAUSE_MS, resolve));
    }
  }

  /** Goes on with held watches: the client reads. */
  resume(): void {
    for (const watch of [...this.#watches.values()]) watch.resume();
  }

  /** Ends all watches for a reason that the client gets. */
  endAll(code: WatchEndCode, message: string): void {
    for (const watch of [...this.#watches.values()]) watch.end(code, message);
  }

  /** Drops all watches: the client's connection is closed. */
  close(): void {
    this.#isClosed = true;
    for (const watch of [...this.#watches.values()]) watch.cancel();
  }

  /** Asks the nodes of the watches how far they are; the revision is null if no watch has begun. */
  async #askNodes(): Promise<
    | { readonly kind: "asked"; readonly revision: number | null; readonly behind: readonly number[] }
    | { readonly kind: "lost"; readonly message: string }
    | ErrorResponse
  > {
    const connections = new Set([...this.#watches.values()].flatMap(({ place }) => place?.connection ?? []));
    const level = new Set<RelayedWatch>();
    let revision: number | null = null;
    for (const connection of connections) {
      // One that begins after the question is not in the answer.
      const asked = [...this.#watches.values()].map((watch) => ({ watch, place: watch.place }))
        .filter(({ place }) => place?.connection === connection);
      const limits = { timeoutMs: PROGRESS_TIMEOUT_MS, signal: null };
      const end = await connection.request({ kind: "watchProgress", atOnce: true }, limits);
      if (end.kind === "refused") return end.error;
      if (end.kind !== "answered") {
        return { kind: "lost", message: "Cannot tell how far the watches are: a node did not answer." };
      }
      revision = Math.min(revision ?? Infinity, end.message.revision);
      const behind = new Set(end.message.behind);
      for (const { watch, place } of asked) {
        if (place !== null && !behind.has(place.id) && watch.place?.id === place.id) level.add(watch);
      }
    }
    const behind = [...this.#watches.values()].filter((watch) => !level.has(watch)).map(({ id }) => id);
    return { kind: "asked", revision, behind };
  }
}

/** Returns the end of a watch that a node refused to continue. */
function endOfRefusal(
  { code, message, compactedRevision }: ErrorResponse,
): Omit<ServerFrame<"watchEnded">, "kind" | "watchId"> {
  if (code === "compacted" && compactedRevision !== undefined) return { code, message, compactedRevision };
  if (code === "unauthenticated" || code === "permissionDenied") return { code, message };
  return { code: code === "noLeader" ? code : "stopping", message };
}
