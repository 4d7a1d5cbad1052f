/**
 * The network as kvraft uses it: listen, connect, read, write, close, and HTTP. `deno_network.ts` and `node_network.ts`
 * are the real ones; a simulator provides another. No other module opens a socket.
 */

/** A host (name or address, without brackets) and a port. */
export interface Address {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  /** 1 to 65535; where one listens, 0 asks for any that is free. */
  readonly port: number;
}

/** A certificate that the other end of a TLS connection has shown, together with a proof that it has the key. */
export interface PeerCertificate {
  /** The common name of its subject; empty where it has none. */
  readonly commonName: string;
  /** The subject's other names: `DNS:node1.example`, `IP:127.0.0.1`. */
  readonly altNames: readonly string[];
  /** The name of the authority that it claims. */
  readonly issuer: string;
  /** The beginning of its validity, in milliseconds since 1970. */
  readonly notBeforeMs: number;
  /** The end of its validity, in milliseconds since 1970. */
  readonly notAfterMs: number;
  /** Whether its extended key usage names serverAuth, as that of every node does. */
  readonly isForServers: boolean;
  /** SHA-256 of it, in hexadecimal with colons. */
  readonly fingerprint: string;
  /** Null if it is of the authority and within its dates; otherwise the reason why it must not be trusted. */
  readonly problem: string | null;
}

/** Protection of a connection, and the identity that the certificate of the other end shows. */
export interface ConnectionSecurity {
  /** Whether it is encrypted. */
  readonly security: "plain" | "tls";
  /** The other end's certificate: the client's at the server, the server's at the client; null without one. */
  readonly certificate: PeerCertificate | null;
  /** SHA-256 of the server's certificate in DER, equal at both ends; null on a plain connection. */
  readonly binding: Uint8Array | null;
}

/** The security of a connection without TLS. */
export const PLAIN: ConnectionSecurity = { security: "plain", certificate: null, binding: null };

/** One stream connection. Exactly one reader and one writer use it at a time. */
export interface Connection extends ConnectionSecurity {
  /** The other end, for logs: `127.0.0.1:50312`. */
  readonly remote: string;
  /** Reads into `buffer`; resolves to the number of bytes, or null at the end of the stream. Rejects when broken. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Writes some of `bytes` and resolves to how many; the caller continues with the rest. Rejects when broken. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends the connection; a pending read or write rejects. May be called again without effect. */
  close(): void;
}

/** A listening socket. */
export interface Listener {
  /** Where it listens (the port is the real one when 0 was asked for). */
  readonly address: Address;
  /**
   * Resolves to the next connection, or to null once the listener was closed. Rejects with NetworkError:
   * `connectionLost` where only that one connection failed, anything else where accepting itself does.
   */
  accept(): Promise<Connection | null>;
  /** Stops listening. May be called again without effect. */
  close(): void;
}

/** Opens connections. */
export interface Dialer {
  /** Connects, and resolves names each time; rejects with NetworkError when refused, unreachable or aborted. */
  connect(address: Address, signal: AbortSignal): Promise<Connection>;
}

/** Opens listeners and connections. */
export interface Network extends Dialer {
  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  listen(address: Address): Listener;
}

/** One HTTP request. */
export interface HttpRequest {
  /** In capitals: `GET`. */
  readonly method: string;
  /** Without what follows a question mark. */
  readonly path: string;
  /** The other end: `127.0.0.1:50312`. */
  readonly remote: string;
  /** Returns the value of a header by its name in lower case, several of that name joined by ", "; null without one. */
  readonly header: (name: string) => string | null;
}

/** The response to a request. */
export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** The server leaves it away where the method is HEAD. */
  readonly body: string;
  /** More headers, by name. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Continues the body after `body` until either side ends it; the returned function is called once, when it has ended.
   * Not called where the method is HEAD.
   */
  readonly stream?: (writer: HttpStreamWriter) => () => void;
}

/** Writes the body of an answer that has no length. */
export interface HttpStreamWriter {
  /** Sends text. Returns false, and sends nothing, while the client has not read enough for the text before it to be sent. */
  send(text: string): boolean;
  /** Ends the answer. May be called again without effect. */
  close(): void;
}

/** Answers one request. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** A server that listens. */
export interface HttpServer {
  /** Where it listens (the real port, when 0 was asked for). */
  readonly address: Address;
  /** Takes no more requests; resolves once those under way are answered, or after a moment. */
  close(): Promise<void>;
}

/** Where HTTP comes from. */
export interface HttpNetwork {
  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  serve(address: Address, handler: HttpHandler): HttpServer;
}
