/**
 * Relays the requests of one client of a gateway to the cluster, and the answers back. A request is decoded and checked once, and
 * sent on over a lane that clients share, with an id of that connection.
 *
 * A request is sent once. Its retry is the client's: the command of a write has the client's own session and number, so the
 * cluster applies it once, however it comes: through this gateway again, through another one, or to a node directly. The gateway
 * ends no request for its time either; the client does.
 */
import type { NodeConnection, RequestEnd, RequestOf } from "../client/connection.ts";
import { AuthenticationError, KvraftError } from "../client/errors.ts";
import type { ConnectionPool } from "../client/pool.ts";
import { needsSignIn, reasonOf } from "../client/retry.ts";
import { assertNever } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { errorMessage } from "../platform/errors.ts";
import type { ClientRequest, ErrorResponse, RequestFrame, RequestKind } from "../protocol/client_frames.ts";
import type { ErrorCode, Outcome } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";
import type { ClientConnection } from "../transport/client_connection.ts";
import { type GatewayRefusal, RelayedWatches, type WatchRoute } from "./relayed_watches.ts";
import type { Lane, SignedIn, Upstream, Upstreams } from "./upstreams.ts";

/** Time after which an unanswered request is forgotten. No client waits as long. */
const FORGET_AFTER_MS = 3_600_000;

/** The parts of a gateway that its relays share. */
export interface RelayOptions {
  /** The gateway's own id. */
  readonly self: NodeId;
  readonly upstreams: Upstreams;
  readonly clock: Clock;
  /** Whether the gateway is stopping, and refuses requests. */
  readonly isStopping: () => boolean;
}

/** The requests that are sent on as they are. */
type Forwarded = Exclude<
  ClientRequest,
  { readonly kind: "signIn" | "watch" | "cancelWatch" | "watchProgress" | "readSnapshot" | "closeSnapshot" }
>;

/** A snapshot that a node keeps for the client. */
interface KeptSnapshot {
  readonly connection: NodeConnection;
  readonly snapshotId: number;
}

/** The requests of one client. */
export class Relay {
  readonly #client: ClientConnection;
  readonly #options: RelayOptions;
  readonly #watches: RelayedWatches;
  readonly #snapshots = new Map<number, KeptSnapshot>();
  #lastSnapshotId = 0;
  /** The user's lanes; null while the client has no user. */
  #signedIn: SignedIn | null = null;
  #lane: Lane | null = null;
  #joining: Promise<Lane> | null = null;
  #isSigningIn = false;
  /** Whether a node has refused a request since the client has no user. */
  #mustSignIn = false;
  #isClosed = false;

  constructor(client: ClientConnection, options: RelayOptions) {
    this.#client = client;
    this.#options = options;
    this.#watches = new RelayedWatches({
      clock: options.clock,
      send: (message) => void client.send(message),
      refuse: (requestId, refusal) => this.#refuse(requestId, refusal),
      passOn: (requestId, error) => void client.send({ ...error, requestId, leader: options.self }),
      isHeld: () => client.isBacklogged,
      routeForWatch: () => this.#routeForWatch(),
      fail: (error) => client.fail(error),
    });
  }

  /** Whether the client watches keys. */
  get isWatching(): boolean {
    return this.#watches.size > 0;
  }

  /** Whether nodes refuse its requests until it signs in. */
  get mustSignIn(): boolean {
    return this.#mustSignIn;
  }

  /** Handles a request; it gets one answer. */
  handle(request: ClientRequest): void {
    if (this.#options.isStopping()) {
      const message = "Cannot serve: the gateway is stopping.";
      return this.#refuse(request.requestId, { code: "stopping", message });
    }
    switch (request.kind) {
      case "signIn":
        return this.#own(this.#signIn(request));
      case "watch":
        return this.#watches.start(request);
      case "cancelWatch":
        return this.#watches.cancel(request);
      case "watchProgress":
        if (this.#watches.size > 0) return this.#own(this.#watches.progress(request));
        // Not for the watches of others over the same connection.
        return this.#own(
          this.#withConnection(
            request,
            (connection) =>
              this.#sendOn(
                connection,
                { ...request, atOnce: true },
                (end) =>
                  end.kind !== "answered"
                    ? this.#answer(request.requestId, connection, end)
                    : void this.#client.send({ ...end.message, requestId: request.requestId, behind: [] }),
              ),
          ),
        );
      case "memberStatus":
        return this.#own(this.#memberStatus(request));
      case "takeSnapshot":
        return this.#own(
          this.#withConnection(request, (connection) => this.#takeSnapshot(connection, request)),
        );
      case "readSnapshot":
      case "closeSnapshot":
        return this.#useSnapshot(request);
      default:
        return this.#forward(request);
    }
  }

  /** Goes on: the client reads what was queued for it. */
  resume(): void {
    this.#watches.resume();
  }

  /** Drops everything: the client's connection is closed. */
  close(): void {
    this.#isClosed = true;
    this.#leave();
    this.#watches.close();
  }

  /** Sends a request to the leader, or to any node in turn for a stale read. */
  #forward(request: Forwarded): void {
    const lane = this.#lane;
    const connection = lane === null ? null : routeOf(lane.core.pool, request);
    if (connection !== null) return this.#forwardOver(connection, request);
    // The command of a write is a view of the frame, which is valid during this call only.
    const owned = request.kind === "write" ? { ...request, command: request.command.slice() } : request;
    this.#own(this.#withConnection(owned, (connection) => this.#forwardOver(connection, owned)));
  }

  #forwardOver(connection: NodeConnection, request: Forwarded): void {
    this.#sendOn(connection, request, (end) => this.#answer(request.requestId, connection, end));
  }

  #sendOn<K extends RequestKind>(
    connection: NodeConnection,
    request: RequestOf<K>,
    onEnd: (end: RequestEnd<K>) => void,
  ): void {
    const limits = { now: this.#options.clock.now(), timeoutMs: FORGET_AFTER_MS, signal: null };
    connection.send(request, limits, onEnd);
  }

  /** Calls `send` with a connection for a request, or refuses the request. */
  async #withConnection(
    request: Forwarded | RequestFrame<"watchProgress">,
    send: (connection: NodeConnection) => void,
  ): Promise<void> {
    const route = await this.#route(request);
    if ("code" in route) return this.#refuse(request.requestId, route);
    if (!this.#isClosed) send(route.connection);
  }

  async #route(
    request: Forwarded | RequestFrame<"watch" | "watchProgress">,
  ): Promise<WatchRoute | GatewayRefusal> {
    try {
      const lane = await this.#join();
      return await reach(lane, request);
    } catch (error) {
      return refusalOf(error);
    }
  }

  async #routeForWatch(): Promise<WatchRoute | GatewayRefusal> {
    let counted: Lane | null = null;
    try {
      const own = await this.#join();
      counted = await this.#upstream.joinForWatch(own);
      if (counted === null) {
        return {
          code: "busy",
          message: "Cannot watch: the gateway has too many watches. Try another gateway.",
        };
      }
      const route = await reach(counted, null);
      if ("code" in route) counted.watches -= 1;
      return route;
    } catch (error) {
      if (counted !== null) counted.watches -= 1;
      return refusalOf(error);
    }
  }

  get #upstream(): Upstream {
    return this.#signedIn?.upstream ?? this.#options.upstreams.anonymous;
  }

  /** Resolves to the client's lane. Rejects with KvraftError. */
  #join(): Promise<Lane> {
    if (this.#lane !== null) return Promise.resolve(this.#lane);
    if (this.#joining !== null) return this.#joining;
    const joining = this.#upstream.join().then((lane) => {
      // The client may have signed in, or gone, meanwhile.
      if (this.#joining === joining) this.#lane = lane;
      else lane.clients -= 1;
      return lane;
    }).finally(() => {
      if (this.#joining === joining) this.#joining = null;
    });
    this.#joining = joining;
    return joining;
  }

  /** Leaves the lane, and what is kept for the client there. */
  #leave(): void {
    for (const id of [...this.#snapshots.keys()]) this.#dropSnapshot(id);
    if (this.#lane !== null) this.#lane.clients -= 1;
    this.#lane = null;
    this.#joining = null;
    this.#signedIn?.release();
    this.#signedIn = null;
  }

  /** Answers a request as a node has. */
  #answer(requestId: number, connection: NodeConnection, end: RequestEnd<RequestKind>): void {
    switch (end.kind) {
      case "answered":
        return void this.#client.send({ ...end.message, requestId });
      case "refused":
        return this.#own(this.#passOn(requestId, connection, end.error));
      case "lost":
      case "silent":
      case "aborted": {
        const reason = end.kind === "lost" ? end.reason : "it did not answer";
        const message = `Cannot serve: the gateway lost node ${connection.node}: ${reason}.`;
        if (end.left) return this.#refuse(requestId, { code: "leadershipLost", message }, "unknown");
        // More waits to be sent to the node than may, or the connection has just ended.
        return this.#refuse(requestId, { code: connection.isOpen ? "busy" : "noLeader", message });
      }
      default:
        return assertNever(end);
    }
  }

  /** Passes on the refusal of a node. To it the gateway is what the client takes for the leader. */
  async #passOn(requestId: number, connection: NodeConnection, error: ErrorResponse): Promise<void> {
    if (needsSignIn({ ...error, kind: "refused", node: connection.node })) {
      this.#mustSignIn = this.#signedIn === null;
      // The lane has lost its user: clients that sign in again use it again.
      const pool = this.#signedIn === null ? null : this.#lane?.core.pool ?? null;
      await pool?.signInAgain(connection.node).catch(() => {}); // the refusal says why
    }
    this.#client.send({ ...error, requestId, leader: this.#options.self });
  }

  #refuse(requestId: number, { code, message }: GatewayRefusal, outcome: Outcome = "not-applied"): void {
    const { self: leader } = this.#options;
    this.#client.send({ kind: "error", requestId, code, message, outcome, leader });
  }

  async #signIn({ requestId, method }: RequestFrame<"signIn">): Promise<void> {
    if (method.kind === "none") {
      this.#become(null);
      return void this.#client.send({
        kind: "signedIn",
        requestId,
        user: "",
        expiresAtMs: null,
        ticket: null,
      });
    }
    if (this.#isSigningIn) {
      const message = "Cannot sign in: a sign-in on this connection has not ended.";
      return this.#refuse(requestId, { code: "busy", message });
    }
    this.#isSigningIn = true;
    try {
      const signedIn = await this.#options.upstreams.signIn(method, this.#client.remote);
      if (this.#isClosed) return signedIn.release();
      this.#become(signedIn);
      this.#client.send({ ...signedIn.answer, requestId });
    } catch (error) {
      this.#refuse(requestId, signInRefusalOf(error));
    } finally {
      this.#isSigningIn = false;
    }
  }

  /**
   * Changes the user of the client. Its watches have the rights of the one before, so they end, and the client begins them
   * again.
   */
  #become(signedIn: SignedIn | null): void {
    const isOther = signedIn?.upstream !== this.#signedIn?.upstream;
    if (isOther) {
      this.#watches.endAll("stopping", "The connection has another user now.");
      this.#leave();
    } else this.#signedIn?.release();
    this.#signedIn = signedIn;
    this.#mustSignIn = false;
  }

  /** Answers with the status of one member, which is asked directly. */
  async #memberStatus(request: RequestFrame<"memberStatus">): Promise<void> {
    const { requestId, node } = request;
    const route = await this.#route(request);
    if ("code" in route) return this.#refuse(requestId, route);
    const { lane: { core: { pool } }, connection } = route;
    // Behind another gateway, that one asks.
    if (pool.gateway !== null) return this.#forwardOver(connection, request);
    let reason = `node ${node} is no member`;
    for (const address of pool.addressesOf(node)) {
      const dialled = await pool.dial(address);
      if (dialled.kind === "open") {
        return this.#sendOn(
          dialled.connection,
          { kind: "status" },
          (end) => this.#answer(requestId, dialled.connection, end),
        );
      }
      reason = reasonOf(dialled.error.message);
    }
    this.#refuse(requestId, {
      code: "noLeader",
      message: `Cannot ask node ${node} for its status: ${reason}`,
    });
  }

  #takeSnapshot(connection: NodeConnection, request: RequestFrame<"takeSnapshot">): void {
    const { requestId, keep } = request;
    this.#sendOn(connection, request, (end) => {
      if (end.kind !== "answered") return this.#answer(requestId, connection, end);
      const { snapshotId, takenBy } = end.message;
      const answer = { ...end.message, requestId, takenBy: takenBy ?? connection.node };
      if (!keep) return void this.#client.send(answer);
      const id = ++this.#lastSnapshotId;
      this.#snapshots.set(id, { connection, snapshotId });
      if (this.#isClosed) return this.#dropSnapshot(id);
      this.#client.send({ ...answer, snapshotId: id });
    });
  }

  /** Reads or closes a snapshot over the connection for which its node keeps it. */
  #useSnapshot(request: RequestFrame<"readSnapshot" | "closeSnapshot">): void {
    const { requestId } = request;
    const kept = this.#snapshots.get(request.snapshotId);
    if (kept !== undefined) {
      const { connection, snapshotId } = kept;
      if (request.kind === "closeSnapshot") this.#snapshots.delete(request.snapshotId);
      return this.#sendOn(
        connection,
        { ...request, snapshotId },
        (end) => this.#answer(requestId, connection, end),
      );
    }
    if (request.kind === "closeSnapshot") {
      return void this.#client.send({ kind: "snapshotClosed", requestId });
    }
    const message = `Cannot read snapshot ${request.snapshotId}: it is not open on this connection.`;
    this.#refuse(requestId, { code: "invalidRequest", message });
  }

  #dropSnapshot(id: number): void {
    const kept = this.#snapshots.get(id);
    this.#snapshots.delete(id);
    if (kept === undefined || !kept.connection.isOpen) return;
    this.#sendOn(kept.connection, { kind: "closeSnapshot", snapshotId: kept.snapshotId }, () => {});
  }

  /** Has an unexpected error of `work` end the client's connection, and nothing else. */
  #own(work: Promise<void>): void {
    void work.catch((error: unknown) => this.#client.fail(error));
  }
}

/** Returns the open connection for a request, or null. */
function routeOf(pool: ConnectionPool, request: ClientRequest | null): NodeConnection | null {
  const isStale = request !== null && "consistency" in request && request.consistency === "stale";
  return isStale ? pool.routeToAny() : pool.route(null);
}

/** Resolves to a connection of a lane for a request, or to the reason why there is none. */
async function reach(lane: Lane, request: ClientRequest | null): Promise<WatchRoute | GatewayRefusal> {
  const { pool } = lane.core;
  const connection = routeOf(pool, request);
  if (connection !== null) return { lane, connection };
  const reached = await pool.reach(null);
  return reached.kind === "open" ? { lane, connection: reached.connection } : refusalOf(reached.error);
}

/** Returns why a request could not be sent to the cluster. Throws an error that is none of the client library. */
function refusalOf(error: unknown): GatewayRefusal {
  if (!(error instanceof KvraftError)) throw error;
  const message = `Cannot serve: the gateway cannot reach the cluster: ${reasonOf(error.message)}`;
  // The lanes of the user cannot sign in any more: a new sign-in of the client says why.
  if (error instanceof AuthenticationError) return { code: "unauthenticated", message };
  return { code: error.code === "busy" ? "busy" : "noLeader", message };
}

function signInRefusalOf(error: unknown): GatewayRefusal {
  if (!(error instanceof KvraftError)) throw error;
  const message = errorMessage(error);
  return { code: signInCodeOf(error), message };
}

function signInCodeOf(error: KvraftError): ErrorCode {
  if (error instanceof AuthenticationError) {
    const { reason } = error;
    return reason === "tokenExpired" || reason === "signInFailed" ? reason : "unauthenticated";
  }
  return error.code === "busy" ? "busy" : "noLeader";
}
