/**
 * The web server as its users see it: requests, answers and streams, the same over HTTP/1.1 and HTTP/2.
 *
 * A handler is called once for each request, when its head has arrived. It reads the body if it needs it, and answers once,
 * with {@link WebRequest.respond} or {@link WebRequest.stream}. It may answer before the body has arrived.
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, ConnectionSecurity, Network } from "../platform/network.ts";

/** Header fields by name in lower case. A list is sent as several fields of that name. */
export type WebHeaders = Readonly<Record<string, string | readonly string[]>>;

/** The status and the header fields of an answer. */
export interface WebHead {
  /** 200 to 599. */
  readonly status: number;
  readonly headers?: WebHeaders;
}

/** A whole answer. Its `content-length` is set by the server. */
export interface WebResponse extends WebHead {
  /** Text is sent as UTF-8. */
  readonly body: Uint8Array | string;
  /** Fields after the body (HTTP/2 only; HTTP/1.1 leaves them away). */
  readonly trailers?: WebHeaders;
}

/**
 * Whether all bytes of an answer were passed to the operating system. "delivered" does not prove that the client has read
 * them. "lost": the client has reset the stream, or the connection ended, before that.
 */
export type Delivery = "delivered" | "lost";

/** The body of an answer that is written in parts. */
export interface WebStream {
  /**
   * Sends bytes, which the caller does not change afterwards. Returns false if this stream has more unsent bytes than
   * its limit: the caller should wait for {@link whenWritable}. Bytes are dropped once the stream is closed.
   */
  write(bytes: Uint8Array): boolean;
  /** Written bytes that the client's flow control, or the connection, has not accepted yet. */
  readonly unsentBytes: number;
  /** Resolves once {@link unsentBytes} is zero, or the stream is closed. */
  whenWritable(): Promise<void>;
  /**
   * Whether the client has left so much of this answer, or of all answers on its connection, unread that more would hold
   * up its other requests: half of what it accepts on a stream, or three quarters of that on a connection. HTTP/2 only.
   */
  readonly isReaderBehind: boolean;
  /** Resolves once {@link isReaderBehind} is false, or the stream is closed. */
  whenRead(): Promise<void>;
  /** Ends the answer after what was written; `trailers` follow it (HTTP/2 only). Again without effect. */
  end(trailers?: WebHeaders): void;
  /** Ends the answer in such a way that the client sees it as incomplete. Again without effect. */
  abort(): void;
  /** Resolves once the answer was sent completely ("delivered") or cannot be any more ("lost"); never rejects. */
  readonly closed: Promise<Delivery>;
}

/** A request, of which at least the head has arrived. */
export interface WebRequest {
  /** In capitals: `POST`. */
  readonly method: string;
  /** As it was sent, without the query: begins with `/`, or is `*`. */
  readonly path: string;
  /** The part after the question mark; empty where there is none. */
  readonly query: string;
  /** The other end: `127.0.0.1:50312`. */
  readonly remote: string;
  /** Of the connection. */
  readonly security: ConnectionSecurity;
  readonly version: "1.1" | "2";
  /** Aborted once the answer cannot be received any more: the client has reset the stream, or the connection has ended. */
  readonly signal: AbortSignal;
  /** Returns the value of a header field by its name in lower case, several of that name joined by ", "; null without one. */
  header(name: string): string | null;
  /**
   * Resolves to the whole body, which the caller owns. Rejects with {@link WebError}: status 413 for more than `maxBytes`
   * (default: the limit of the server; a {@link BodyTooLargeError}), 408 if it takes too long, 499 if the client has given up.
   */
  body(maxBytes?: number): Promise<Uint8Array>;
  /**
   * Resolves to the next part of the body, which the caller owns, or to null at its end. Bytes that are not read hold up
   * the client. Rejects as {@link body} does. A request is read by one of the two.
   */
  read(): Promise<Uint8Array | null>;
  /** Notes that the handler waits, for other clients say, and that handlers of other requests may work meanwhile. */
  noteWaiting(): void;
  /** Answers. The promise never rejects. */
  respond(response: WebResponse): Promise<Delivery>;
  /** Begins an answer that is written in parts. */
  stream(head: WebHead): WebStream;
}

/** Answers one request. A {@link WebError} that it throws becomes the answer; any other error is logged, and becomes a 500. */
export type WebHandler = (request: WebRequest) => void | Promise<void>;

/** A request that is answered by a status and a line of text. */
export class WebError extends Error {
  override readonly name = "WebError";
  /** 400 to 599. */
  readonly status: number;

  /** `message` becomes the body of the answer. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A body that is longer than the handler takes. */
export class BodyTooLargeError extends WebError {
  /** The first bytes of the body that had arrived. */
  readonly begin: Uint8Array;

  /** `maxBytes`: those that the handler takes. */
  constructor(maxBytes: number, begin: Uint8Array) {
    super(413, `The body is longer than ${maxBytes} bytes.\n`);
    this.begin = begin;
  }
}

/** Bounds on the resources that clients may use. */
export interface WebLimits {
  /** Connections in all. */
  readonly maxConnections: number;
  /** Connections from one source address. */
  readonly maxConnectionsPerAddress: number;
  /** Open streams of one HTTP/2 connection. */
  readonly maxStreamsPerConnection: number;
  /** Bytes of the names and values of a request's header fields. */
  readonly maxHeadBytes: number;
  /** Bytes of a body, where the handler gives no other limit. */
  readonly maxBodyBytes: number;
  /** Unsent bytes of a stream at which {@link WebStream.write} returns false. */
  readonly maxUnsentBytes: number;
  /** Requests over HTTP/2 of all connections together, which take some kilobytes each while they are in progress. */
  readonly maxRequests: number;
  /** Requests over HTTP/2 whose handlers work at the same time, of all connections together; others wait for their turn. */
  readonly maxInWork: number;
  /** Bytes of bodies and answers that the server holds for all connections together. */
  readonly maxHeldBytes: number;
  /** Time for the first byte of a connection, and for a head from its first byte. */
  readonly headTimeoutMs: number;
  /** Time for a whole body that a handler waits for. */
  readonly bodyTimeoutMs: number;
  /** Time in which the client must take something of what is sent to it. */
  readonly progressTimeoutMs: number;
  /** Time without a request after which a connection is closed. */
  readonly idleTimeoutMs: number;
  /** Time that requests and streams get for their end when the server is closed. */
  readonly closeTimeoutMs: number;
}

/** Options of `serveWeb`. */
export interface WebServerOptions {
  /** Plain, or TLS with the ALPN protocols {@link ALPN_PROTOCOLS}. */
  readonly network: Pick<Network, "listen">;
  readonly address: Address;
  /** The name of the service, for messages: "Deno KV". */
  readonly service: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly handler: WebHandler;
  /** Those that differ from the defaults. */
  readonly limits?: Partial<WebLimits>;
}

/** ALPN protocols that a TLS listener below a web server offers, the preferred one first. */
export const ALPN_PROTOCOLS: readonly string[] = ["h2", "http/1.1"];

/** Numbers of a {@link WebServer}. */
export interface WebCounts {
  /** Open connections. */
  readonly connections: number;
  /** Requests whose answer is not complete. */
  readonly requests: number;
  /** Bytes of bodies and answers that are held. */
  readonly heldBytes: number;
  /** Connections accepted so far. */
  readonly accepted: number;
  /** Connections closed so far because a limit was reached or the client broke the protocol. */
  readonly refused: number;
}

/** A web server that listens. */
export interface WebServer {
  /** Where it listens (the real port, when 0 was asked for). */
  readonly address: Address;
  /** Returns the numbers of the moment. */
  counts(): WebCounts;
  /**
   * Accepts no more connections and requests, and resolves once everything is answered and closed. Requests and streams
   * have `closeTimeoutMs` for their end; their owner ends streams meanwhile.
   */
  close(): Promise<void>;
}
