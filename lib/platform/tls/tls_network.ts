/** The network of a server with TLS: every connection in both directions is encrypted and shows certificates. */
import type { Address, Connection, Listener, Network } from "../network.ts";
import { type TlsCredentials, TlsDialer } from "./tls_dialer.ts";
import { type HandshakeFailure, type ServerCredentials, TlsListener } from "./tls_listener.ts";

/** Options of a {@link TlsNetwork}. */
export interface TlsNetworkOptions {
  /** Returns the credentials for new connections. */
  readonly credentials: () => ServerCredentials;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** The name in the certificates of all nodes; null where each has that of its address. */
  readonly peerName: string | null;
  readonly asksForCertificate: boolean;
  /** Protocols that listeners offer by ALPN, the preferred one first; none by default. */
  readonly alpnProtocols?: readonly string[];
  readonly onFailure: (failure: HandshakeFailure) => void;
}

/** TLS sockets. */
export class TlsNetwork implements Network {
  readonly #options: TlsNetworkOptions;
  readonly #dialer: TlsDialer;
  readonly #listeners = new Set<TlsListener>();

  /** Opens nothing. */
  constructor(options: TlsNetworkOptions) {
    this.#options = options;
    const { credentials, minVersion, peerName: serverName } = options;
    this.#dialer = new TlsDialer({
      credentials: (): TlsCredentials => credentials(),
      serverName,
      minVersion,
      demandsServerUsage: true,
    });
  }

  /** Listens on `address`; throws {@link NetworkError} when the port is taken or the address is not local. */
  listen(address: Address): Listener {
    const { credentials, ...options } = this.#options;
    const listener = new TlsListener({ ...options, address, credentials: credentials() });
    this.#listeners.add(listener);
    return listener;
  }

  /** Connects to another node. Rejects with {@link NetworkError}. */
  connect(address: Address, signal: AbortSignal): Promise<Connection> {
    return this.#dialer.connect(address, signal);
  }

  /** Uses the present credentials for new connections at every listener. */
  replaceCredentials(): void {
    const credentials = this.#options.credentials();
    for (const listener of this.#listeners) listener.replaceCredentials(credentials);
  }
}
