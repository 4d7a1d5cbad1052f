/**
 * Opens TLS connections, in Deno, Node and Bun.
 *
 * The runtime checks the chain of the server's certificate and reports the result. Whether the certificate is for the
 * host is decided here, so that the error can say whose certificate was shown.
 */
import { createHash, X509Certificate } from "node:crypto";
import { connect as connectPlain, isIP } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Address, Connection, ConnectionSecurity, Dialer } from "../network.ts";
import { withResolvers } from "../promise.ts";
import { SocketConnection } from "../socket_connection.ts";
import { connectToFirst } from "../sockets.ts";
import { describeCertificate, isForHost, peerCertificateOf, rawCertificateOf } from "./peer_certificate.ts";
import { certificatesOf } from "./pem.ts";
import { unreadBudget } from "./unread_budget.ts";
import { explainTlsError, TlsError } from "./tls_error.ts";

/** The certificates and the key of one end of TLS connections, as texts in PEM. */
export interface TlsCredentials {
  /** The certificates of the authorities that are trusted. */
  readonly ca: string;
  /** This end's certificate, with those of intermediate authorities behind it; null without one. */
  readonly cert: string | null;
  /** The private key of `cert`. */
  readonly key: string | null;
}

/** TLS sockets of Deno cannot be paused. */
const budget = "Deno" in globalThis ? unreadBudget : null;

/** Options of a {@link TlsDialer}. */
export interface TlsDialerOptions {
  /** Returns what new connections show and trust. */
  readonly credentials: () => TlsCredentials;
  /** The name that the server's certificate must have in place of the host that is dialled; null for the host. */
  readonly serverName: string | null;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /**
   * Whether the server's certificate must name the usage serverAuth, as the ends that accept nodes demand; a certificate that
   * names no usage at all does not pass then. Default false.
   */
  readonly demandsServerUsage?: boolean;
}

/** The properties of the certificate that a server must show. */
interface ExpectedServer {
  readonly name: string;
  readonly ca: string;
  readonly demandsServerUsage: boolean;
}

/** Opens TLS connections, without Nagle's delay and without session resumption. */
export class TlsDialer implements Dialer {
  readonly #options: TlsDialerOptions;

  /** Opens nothing. */
  constructor(options: TlsDialerOptions) {
    this.#options = options;
  }

  /** Connects, and checks the server's certificate. Rejects with {@link NetworkError}. */
  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    const { credentials, serverName, minVersion, demandsServerUsage = false } = this.#options;
    const { ca, cert, key } = credentials();
    const name = serverName ?? address.host;
    const open = (ip: string): Promise<Connection> => {
      const own = cert === null || key === null ? {} : { cert, key };
      const server = isIP(name) === 0 ? { servername: name } : {};
      const options = { host: ip, port: address.port, ca, minVersion, ...own, ...server };
      return openSocket(options, { name, ca, demandsServerUsage, signal });
    };
    return await connectToFirst(address, signal, open);
  }
}

async function openSocket(
  options: ConnectionOptions & { readonly host: string; readonly port: number },
  { signal, ...expected }: ExpectedServer & { readonly signal: AbortSignal },
): Promise<Connection> {
  const { host, port, ...context } = options;
  const { promise, resolve, reject } = withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  const plain = connectPlain({ host, port, noDelay: true, keepAlive: true });
  const socket = connect({
    ...context,
    socket: plain,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  // These stay: an error without a listener would end the process.
  plain.on("error", reject);
  socket.on("error", (error) => reject(explainTlsError(error)));
  catchErrorsOfStart(socket, reject);
  socket.once("secureConnect", resolve);
  signal.addEventListener("abort", onAbort);
  try {
    if (signal.aborted) onAbort();
    await promise;
    const security = checkServer(socket, expected);
    return new SocketConnection(socket, security, budget);
  } catch (error) {
    socket.destroy();
    plain.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Passes errors of the beginning of a handshake to `reject`. Deno's TLS socket throws one out of its listener of `connect`
 * if the other end has sent something else than TLS and reset the connection meanwhile; uncaught, it would end the process
 * (Deno 2.9.6, findings/deno_tls_connect_throws.sh).
 */
function catchErrorsOfStart(socket: TLSSocket, reject: (error: unknown) => void): void {
  const start: unknown = Reflect.get(socket, "_start");
  if (!isListener(start) || !socket.listeners("connect").includes(start)) return;
  socket.removeListener("connect", start);
  socket.once("connect", () => {
    try {
      start.call(socket);
    } catch (error) {
      // It is destroyed, and its event `error` says why unless the other end was just gone.
      socket.once("close", () => reject(error));
      socket.destroy();
    }
  });
}

function isListener(value: unknown): value is () => void {
  return typeof value === "function";
}

/** Returns the identity of the server. Throws {@link TlsError} if it must not be trusted. */
function checkServer(
  socket: TLSSocket,
  { name, ca, demandsServerUsage }: ExpectedServer,
): ConnectionSecurity {
  const authorities = (): readonly X509Certificate[] =>
    certificatesOf(ca).map((pem) => new X509Certificate(pem));
  const certificate = peerCertificateOf(socket, { authorities, nowMs: Date.now() });
  const bytes = rawCertificateOf(socket);
  if (certificate === null || bytes === null) throw new TlsError("notTrusted", "it shows no certificate");
  const { problem } = certificate;
  if (problem !== null) {
    throw new TlsError("notTrusted", `${describeCertificate(certificate)} is not accepted: ${problem}`);
  }
  if (demandsServerUsage && !certificate.isForServers) {
    throw new TlsError(
      "notTrusted",
      `${describeCertificate(certificate)} is not accepted: its extended key usage does not name serverAuth`,
    );
  }
  if (!isForHost(certificate, name)) {
    const names = certificate.altNames.slice(0, 8).join(", ");
    throw new TlsError(
      "notTrusted",
      `${describeCertificate(certificate)} is not for ${name}: it is for ${names === "" ? "no name" : names}`,
    );
  }
  const binding = new Uint8Array(createHash("sha256").update(bytes).digest());
  return { security: "tls", certificate, binding };
}
