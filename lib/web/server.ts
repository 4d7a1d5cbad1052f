/**
 * Listens, finds out which version of HTTP a connection speaks, and bounds the number of connections.
 *
 * It is built on no other server: those of Deno 2.9.6 end the process or stop accepting on events that a client can cause
 * (docs/decisions/0014-own-web-server.md).
 */
import { acceptConnections } from "../platform/accept_loop.ts";
import { formatAddress, sourceOf } from "../platform/address.ts";
import type { Timer } from "../platform/clock.ts";
import { NetworkError } from "../platform/errors.ts";
import { logConnectionFault } from "../platform/fault.ts";
import type { Address, Connection, Listener } from "../platform/network.ts";
import { SlabCopier } from "../platform/memory/slab.ts";
import { HandlerTurns } from "./handler_turns.ts";
import { HeldTotal } from "./held.ts";
import { Http1Connection } from "./http1/connection.ts";
import { Http2Connection } from "./http2/connection.ts";
import { PREFACE } from "./http2/protocol.ts";
import { Input } from "./input.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import type { ConnectionContext, ProtocolConnection } from "./protocol_connection.ts";
import type { WebCounts, WebLimits, WebServer, WebServerOptions } from "./types.ts";

/** Interval of the checks of connections. */
const CHECK_INTERVAL_MS = 1_000;
/** First byte of a TLS handshake. */
const TLS_HANDSHAKE = 0x16;
/** Alert 70, protocol_version: the client says that the server does not speak TLS. */
const TLS_ALERT = new Uint8Array([0x15, 3, 3, 0, 2, 2, 70]);

/** Listens on an address; throws NetworkError if that fails. */
export function serveWeb(options: WebServerOptions): WebServer {
  try {
    return new Server(options.network.listen(options.address), options);
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    const reason = error.message.replace(/^Cannot listen on \S+: /, "");
    const message = `Cannot serve ${options.service} on ${formatAddress(options.address)}: ${reason}`;
    throw new NetworkError(error.code, { message, cause: error });
  }
}

/** A connection from its arrival to its end. */
interface OpenConnection {
  readonly connection: Connection;
  readonly source: string;
  readonly sinceMs: number;
  /** Null while its version is not known. */
  protocol: ProtocolConnection | null;
}

class Server implements WebServer {
  readonly address: Address;
  readonly #options: WebServerOptions;
  readonly #limits: WebLimits;
  readonly #listener: Listener;
  readonly #stop = new AbortController();
  readonly #accepting: Promise<void>;
  /** Oldest first. */
  readonly #open = new Set<OpenConnection>();
  readonly #bySource = new Map<string, number>();
  readonly #serving = new Set<Promise<void>>();
  /** Bytes of bodies and answers. */
  readonly #held: HeldTotal;
  /** Requests over HTTP/2; a connection of HTTP/1.1 has one at a time. */
  readonly #requests: HeldTotal;
  readonly #turns: HandlerTurns;
  readonly #copier = new SlabCopier();
  #checkTimer: Timer;
  #accepted = 0;
  #refused = 0;
  #closing: Promise<void> | null = null;

  constructor(listener: Listener, options: WebServerOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#held = new HeldTotal(this.#limits.maxHeldBytes);
    this.#requests = new HeldTotal(this.#limits.maxRequests);
    const { clock, logger } = options;
    this.#turns = new HandlerTurns(this.#limits.maxInWork, clock);
    this.address = listener.address;
    const { signal } = this.#stop;
    this.#checkTimer = clock.after(CHECK_INTERVAL_MS, () => this.#checkTimes());
    this.#accepting = acceptConnections(listener, {
      clock,
      logger,
      signal,
      take: (connection) => Promise.resolve(this.#take(connection)),
      closeIdle: () => this.#closeIdle(() => true),
    });
  }

  counts(): WebCounts {
    let requests = 0;
    for (const { protocol } of this.#open) requests += protocol?.requests ?? 0;
    return {
      connections: this.#open.size,
      requests,
      heldBytes: this.#held.amount,
      accepted: this.#accepted,
      refused: this.#refused,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    this.#listener.close();
    for (const { connection, protocol } of this.#open) {
      if (protocol === null) connection.close();
      else protocol.shutDown();
    }
    const timer = this.#options.clock.after(this.#limits.closeTimeoutMs, () => {
      for (const { connection } of this.#open) connection.close();
    });
    await Promise.all([this.#accepting, ...this.#serving]);
    timer.cancel();
    this.#checkTimer.cancel();
  }

  #take(connection: Connection): void {
    this.#accepted += 1;
    const source = sourceOf(connection.remote);
    if (!this.#makeSpace(source)) return this.#exclude(connection, "too many connections have requests");
    const open: OpenConnection = { connection, source, sinceMs: this.#options.clock.now(), protocol: null };
    this.#open.add(open);
    this.#bySource.set(source, (this.#bySource.get(source) ?? 0) + 1);
    const serving = this.#serve(open)
      .catch((error: unknown) =>
        logConnectionFault(this.#options.logger, error, { remote: connection.remote })
      )
      .finally(() => {
        this.#forget(open);
        this.#serving.delete(serving);
      });
    this.#serving.add(serving);
  }

  /** Returns whether there may be one more connection from an address; one without requests is closed for it. */
  #makeSpace(source: string): boolean {
    const { maxConnections, maxConnectionsPerAddress } = this.#limits;
    if ((this.#bySource.get(source) ?? 0) >= maxConnectionsPerAddress) {
      return this.#closeIdle((open) => open.source === source, 1) > 0;
    }
    return this.#open.size < maxConnections || this.#closeIdle(() => true, 1) > 0;
  }

  /** Closes the oldest connections without requests; returns how many. */
  #closeIdle(isMeant: (open: OpenConnection) => boolean, most = Infinity): number {
    let closed = 0;
    for (const open of this.#open) {
      if (closed >= most) break;
      if ((open.protocol?.requests ?? 0) > 0 || !isMeant(open)) continue;
      closed += 1;
      this.#forget(open);
    }
    return closed;
  }

  #forget(open: OpenConnection): void {
    open.connection.close();
    if (!this.#open.delete(open)) return;
    const left = (this.#bySource.get(open.source) ?? 1) - 1;
    if (left > 0) this.#bySource.set(open.source, left);
    else this.#bySource.delete(open.source);
  }

  #exclude(connection: Connection, reason: string): void {
    this.#refuse(connection, reason);
    connection.close();
  }

  #refuse({ remote }: Connection, reason: string): void {
    this.#refused += 1;
    this.#options.logger.info("Closed an HTTP connection", { remote, reason });
  }

  async #serve(open: OpenConnection): Promise<void> {
    const { connection, source } = open;
    const { clock, logger, handler } = this.#options;
    const input = new Input(connection);
    const version = await versionOf(input);
    if (version === null || this.#stop.signal.aborted) return;
    if (version === "tls") return void await connection.write(TLS_ALERT).catch(() => 0);
    const held = this.#held.open(
      source,
      () => this.#exclude(connection, "the server holds too much, and most of it for its address"),
    );
    const requests = this.#requests.open(
      source,
      () => this.#exclude(connection, "too many requests are in progress, and most of them from its address"),
    );
    const limits = this.#limits;
    const copier = this.#copier;
    const context: ConnectionContext = {
      connection,
      input,
      clock,
      logger,
      limits,
      held,
      requests,
      source,
      turns: this.#turns,
      handler,
      copier,
    };
    if (version === "2") input.use(PREFACE.length);
    open.protocol = version === "2" ? new Http2Connection(context) : new Http1Connection(context);
    try {
      await open.protocol.serve();
    } finally {
      held.close();
      requests.close();
    }
    if (open.protocol.problem !== null) this.#refuse(connection, open.protocol.problem);
  }

  #checkTimes(): void {
    const nowMs = this.#options.clock.now();
    for (const { connection, protocol, sinceMs } of this.#open) {
      if (protocol !== null) protocol.checkTimes(nowMs);
      else if (nowMs - sinceMs > this.#limits.headTimeoutMs) connection.close();
    }
    this.#checkTimer = this.#options.clock.after(CHECK_INTERVAL_MS, () => this.#checkTimes());
  }
}

/** Finds out by its first bytes what a client speaks; null if the connection ends before. */
async function versionOf(input: Input): Promise<"1.1" | "2" | "tls" | null> {
  for (;;) {
    if (!(await input.fill())) return null;
    const received = input.buffer.subarray(input.begin, input.end);
    if (received[0] === TLS_HANDSHAKE) return "tls";
    const compared = Math.min(received.length, PREFACE.length);
    for (let at = 0; at < compared; at++) if (received[at] !== PREFACE[at]) return "1.1";
    if (compared === PREFACE.length) return "2";
  }
}
