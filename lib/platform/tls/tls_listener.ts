/**
 * Accepts TLS connections, with `node:tls`: the TLS of Deno itself neither shows the certificates of clients nor sends
 * small frames without delay.
 *
 * A connection is waiting from its arrival until it is accepted. At most MAX_TLS_WAITING wait; one more closes the
 * oldest of the source address with the most, so that one machine cannot keep out the others.
 *
 * When no file descriptor is left, a server of Deno's `node:net` never accepts again, without any event (Deno 2.9.6). So
 * the listener connects to itself when nothing has arrived for a while, and listens again if that is not noticed.
 */
import { createHash, X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { formatAddress, sourceOf } from "../address.ts";
import { errorCode, errorMessage } from "../errors.ts";
import type { Address, Connection, Listener } from "../network.ts";
import { SocketConnection } from "../socket_connection.ts";
import { networkError } from "../sockets.ts";
import { ListenerProber } from "./listener_prober.ts";
import { peerCertificateOf } from "./peer_certificate.ts";
import { certificatesOf } from "./pem.ts";
import { unreadBudget } from "./unread_budget.ts";
import type { TlsCredentials } from "./tls_dialer.ts";

/** Time for a handshake, after which the connection is closed. */
export const TLS_HANDSHAKE_TIMEOUT_MS = 5_000;
/** Connections in their handshake, and after it until they are accepted. */
export const MAX_TLS_WAITING = 512;
/** Interval of the checks for handshakes that take too long. */
const CHECK_INTERVAL_MS = 500;
/**
 * Time from the end of a handshake's own until the server of `node:tls` ends it. Of a handshake that has failed, Deno 2.9.6 keeps
 * all its memory, some 20 KB, until that timer: two minutes by default.
 */
const SERVER_TIMEOUT_AFTER_MS = 2 * CHECK_INTERVAL_MS;
/** Wait before another attempt to listen. */
const RETRY_MS = 1_000;
/** Time without a new connection after which the listener connects to itself. */
export const TLS_PROBE_INTERVAL_MS = 10_000;

/** The reasons for which handshakes fail. */
export const HANDSHAKE_FAILURES = [
  /** The other end does not speak TLS. */
  "notTls",
  /** It speaks no version of TLS that this end allows. */
  "version",
  /** It does not accept this end's certificate. */
  "refusedByClient",
  /** It took too long. */
  "timeout",
  /** It was closed in favour of others, because too many waited. */
  "tooMany",
  /** It closed the connection. */
  "closed",
  "other",
] as const;
/** One of {@link HANDSHAKE_FAILURES}. */
export type HandshakeFailureReason = typeof HANDSHAKE_FAILURES[number];

/** A handshake that failed. */
export interface HandshakeFailure {
  readonly reason: HandshakeFailureReason;
  /** The error of the runtime, or a sentence. */
  readonly detail: string;
  /** The other end. */
  readonly remote: string;
}

/** Credentials of a listener, which has a certificate. */
export interface ServerCredentials extends TlsCredentials {
  readonly cert: string;
  readonly key: string;
}

/** Options of a {@link TlsListener}. */
export interface TlsListenerOptions {
  readonly address: Address;
  readonly credentials: ServerCredentials;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** Whether clients are asked for a certificate; they may show none, or one with a problem. */
  readonly asksForCertificate: boolean;
  readonly onFailure: (failure: HandshakeFailure) => void;
  /** Protocols to choose from by ALPN, the preferred one first; none by default. */
  readonly alpnProtocols?: readonly string[];
  /** Default {@link TLS_HANDSHAKE_TIMEOUT_MS}. */
  readonly handshakeTimeoutMs?: number;
  /** Default {@link MAX_TLS_WAITING}. */
  readonly maxWaiting?: number;
  /** Default {@link TLS_PROBE_INTERVAL_MS}. */
  readonly probeIntervalMs?: number;
}

/** The values that apply to new connections. */
interface Context {
  readonly authorities: readonly X509Certificate[];
  /** SHA-256 of this end's certificate. */
  readonly binding: Uint8Array;
}

/** A connection that is not accepted yet. */
interface Waiting {
  /** The socket below TLS. */
  readonly plain: Socket;
  readonly source: string;
  readonly sinceMs: number;
  /** The values of the time when it arrived. */
  readonly context: Context;
  /** Null until its handshake is complete. */
  connection: Connection | null;
}

/** A listening socket for TLS. */
export class TlsListener implements Listener {
  readonly address: Address;
  readonly #options: TlsListenerOptions;
  readonly #server: Server;
  /** By remote address, oldest first. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #prober: ListenerProber;
  #context: Context;
  #isClosed = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #accepting: PromiseWithResolvers<Connection | null> | null = null;

  /** Begins to listen. Throws NetworkError. */
  constructor(options: TlsListenerOptions) {
    this.#options = options;
    const { credentials, minVersion, asksForCertificate, alpnProtocols = [] } = options;
    const { probeIntervalMs = TLS_PROBE_INTERVAL_MS, handshakeTimeoutMs = TLS_HANDSHAKE_TIMEOUT_MS } =
      options;
    this.#context = contextOf(credentials);
    this.#server = createServer({
      ...credentials,
      minVersion,
      requestCert: asksForCertificate,
      rejectUnauthorized: false, // a refusal that says why is sent later
      allowHalfOpen: true,
      handshakeTimeout: handshakeTimeoutMs + SERVER_TIMEOUT_AFTER_MS,
      ...(alpnProtocols.length > 0 ? { ALPNProtocols: [...alpnProtocols] } : {}),
    });
    this.#server.on("connection", (plain: Socket) => this.#arrived(plain));
    this.#server.on("secureConnection", (socket) => this.#completed(socket));
    this.#server.on("tlsClientError", (error, socket) => this.#failed(error, socket));
    this.#server.on("error", (error) => this.#retry(error));
    this.address = freeAddress(options.address);
    this.#listen();
    this.#timer = setInterval(() => this.#checkTimes(), CHECK_INTERVAL_MS);
    this.#prober = new ListenerProber({
      address: this.address,
      intervalMs: probeIntervalMs,
      restart: () => this.#restart(),
    });
  }

  /** Connections to itself that have arrived. */
  get probes(): number {
    return this.#prober.arrivedProbes;
  }

  /** Uses these credentials for new connections; open ones stay. */
  replaceCredentials(credentials: ServerCredentials): void {
    this.#context = contextOf(credentials);
    this.#server.setSecureContext({ ...credentials, minVersion: this.#options.minVersion });
  }

  accept(): Promise<Connection | null> {
    if (this.#isClosed) return Promise.resolve(null);
    for (const [remote, { connection }] of this.#waiting) {
      if (connection === null) continue;
      this.#waiting.delete(remote);
      return Promise.resolve(connection);
    }
    this.#accepting ??= Promise.withResolvers();
    return this.#accepting.promise;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#retryTimer);
    this.#prober.close();
    this.#server.close();
    for (const { plain } of this.#waiting.values()) plain.destroy();
    this.#waiting.clear();
    this.#accepting?.resolve(null);
  }

  #listen(): void {
    const { host, port } = this.address;
    if (!this.#isClosed) this.#server.listen({ host, port });
  }

  /** Listens again soon: another program may have taken the port meanwhile. */
  #retry(error: Error): void {
    this.#report({ reason: "other", detail: `cannot listen: ${errorMessage(error)}`, remote: "none" });
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#listen(), RETRY_MS);
  }

  /** Listens again; open connections stay. */
  #restart(): void {
    this.#report({
      reason: "other",
      detail: "this node had stopped accepting, and listens again",
      remote: "none",
    });
    this.#server.close();
    this.#listen();
  }

  #arrived(plain: Socket): void {
    plain.on("error", () => {}); // `tlsClientError` has it too, and one without a listener would end the process
    this.#prober.arrived();
    if (this.#isClosed) return void plain.destroy();
    if (this.#waiting.size >= (this.#options.maxWaiting ?? MAX_TLS_WAITING)) this.#closeOne();
    const remote = remoteOf(plain);
    const waiting = {
      plain,
      source: sourceOf(remote),
      sinceMs: performance.now(),
      context: this.#context,
      connection: null,
    };
    this.#waiting.set(remote, waiting);
    plain.on("close", () => {
      if (this.#waiting.get(remote) !== waiting || waiting.connection !== null) return;
      this.#drop(remote, waiting, { reason: "closed", detail: "it closed the connection" });
    });
  }

  #completed(socket: TLSSocket): void {
    socket.on("error", () => {}); // one without a listener would end the process
    const remote = remoteOf(socket);
    const waiting = this.#waiting.get(remote);
    if (waiting === undefined) return void socket.destroy();
    const { authorities, binding } = waiting.context;
    const certificate = this.#options.asksForCertificate
      ? peerCertificateOf(socket, { authorities: () => authorities, nowMs: Date.now() })
      : null;
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    const connection = new SocketConnection(socket, { security: "tls", certificate, binding }, unreadBudget);
    const accepting = this.#accepting;
    if (accepting === null) {
      waiting.connection = connection;
      return;
    }
    this.#waiting.delete(remote);
    this.#accepting = null;
    accepting.resolve(connection);
  }

  #failed(error: Error, socket: TLSSocket): void {
    socket.destroy(); // it stays open otherwise
    // The TLS socket of a failed handshake has no address; the one below it has (Deno 2.9.6).
    const plain: unknown = Reflect.get(socket, "_parent");
    const found = [...this.#waiting].find(([, waiting]) => waiting.plain === plain);
    if (found === undefined) return; // it was dropped, and reported
    const [remote, waiting] = found;
    this.#drop(remote, waiting, { reason: reasonOf(error), detail: errorMessage(error) });
  }

  #checkTimes(): void {
    const { handshakeTimeoutMs: timeoutMs = TLS_HANDSHAKE_TIMEOUT_MS } = this.#options;
    const beforeMs = performance.now() - timeoutMs;
    for (const [remote, waiting] of this.#waiting) {
      if (waiting.sinceMs > beforeMs) break;
      if (waiting.connection !== null) continue;
      this.#drop(remote, waiting, { reason: "timeout", detail: `no TLS handshake within ${timeoutMs} ms` });
    }
  }

  /** Closes the oldest connection of the source address that has the most. */
  #closeOne(): void {
    const counts = new Map<string, number>();
    for (const { source } of this.#waiting.values()) counts.set(source, (counts.get(source) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [remote, waiting] of this.#waiting) {
      if (counts.get(waiting.source) !== most) continue;
      const detail = "too many connections wait for their TLS handshake";
      return this.#drop(remote, waiting, { reason: "tooMany", detail });
    }
  }

  #drop(remote: string, { plain }: Waiting, failure: Omit<HandshakeFailure, "remote">): void {
    this.#waiting.delete(remote);
    plain.destroy();
    if (!this.#prober.isProbe(plain)) this.#report({ ...failure, remote });
  }

  #report(failure: HandshakeFailure): void {
    if (!this.#isClosed) this.#options.onFailure(failure);
  }
}

function contextOf({ ca, cert }: ServerCredentials): Context {
  const [own = ""] = certificatesOf(cert);
  const binding = new Uint8Array(createHash("sha256").update(new X509Certificate(own).raw).digest());
  return { authorities: certificatesOf(ca).map((pem) => new X509Certificate(pem)), binding };
}

/**
 * Returns the address, with its host and port as the system has them, once it is known that one can listen there: a
 * server of `node:net` reports errors later. Throws NetworkError.
 */
function freeAddress(address: Address): Address {
  try {
    using listener = Deno.listen({ hostname: address.host, port: address.port });
    return { host: listener.addr.hostname, port: listener.addr.port };
  } catch (error) {
    throw networkError(error, `Cannot listen on ${formatAddress(address)}`);
  }
}

function remoteOf(socket: Socket): string {
  return formatAddress({ host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 });
}

function reasonOf(error: Error): HandshakeFailureReason {
  const code = errorCode(error) ?? "";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_HTTP_REQUEST") return "notTls";
  if (/UNKNOWN_CA|CERTIFICATE|BAD_CERT/.test(code)) return "refusedByClient";
  if (/VERSION|PROTOCOL|HANDSHAKE_FAILURE/.test(code)) return "version";
  return code === "ECONNRESET" ? "closed" : "other";
}
