/**
 * HTTP/1.1 over any {@link Network}, for the few pages of a node: one request a connection, bodies are not
 * interpreted, and every connection has deadlines. An answer may be a stream, for as long as its client reads it.
 *
 * It does not use Deno's servers, since no event on this port may end a node: when no file descriptor is left,
 * `Deno.serve` ends the process by an unhandled rejection and the server of node:http never accepts again (Deno 2.9.6).
 * `Deno.serve` also bounds neither the connections nor the time within which a request must arrive.
 */
import { formatAddress, sourceOf } from "../platform/address.ts";
import type { Clock } from "../platform/clock.ts";
import { NetworkError } from "../platform/errors.ts";
import type { Logger } from "../platform/logger.ts";
import type {
  Address,
  Connection,
  HttpHandler,
  HttpNetwork,
  HttpRequest,
  HttpResponse,
  HttpServer,
  Listener,
  Network,
} from "../platform/network.ts";
import {
  HTTP_ANSWER_TIMEOUT_MS,
  HTTP_CLOSE_TIMEOUT_MS,
  HTTP_HEAD_TIMEOUT_MS,
  HTTP_LINGER_MS,
  HTTP_REFUSAL_TIMEOUT_MS,
  MAX_HTTP_CONNECTIONS,
  MAX_HTTP_CONNECTIONS_PER_ADDRESS,
  MAX_HTTP_DISCARDED_BYTES,
  MAX_HTTP_HEAD_BYTES,
  MAX_HTTP_REQUESTS,
  MAX_HTTP_REQUESTS_PER_ADDRESS,
  MAX_HTTP_STREAMS,
  MAX_HTTP_STREAMS_PER_ADDRESS,
} from "../protocol/limits.ts";
import { acceptConnections } from "../platform/accept_loop.ts";
import { logConnectionFault } from "../platform/fault.ts";
import { reasonOf } from "../web/http1/answer_head.ts";
import { parseRequestHead } from "../web/http1/request_head.ts";
import { HttpStream, writeAll } from "./http_stream.ts";
import { concat } from "@std/bytes";

const TEXT = "text/plain; charset=utf-8";
/** End of a head. */
const EMPTY_LINE = "\r\n\r\n";
const READ_BYTES = 1_024;

const BUSY: HttpResponse = {
  status: 503,
  contentType: TEXT,
  body: "Too many requests are under way. Try again.\n",
};
const MANY_STREAMS: HttpResponse = {
  status: 503,
  contentType: TEXT,
  body: "Too many programs are sent events by this node. Try again later.\n",
};
const STOPPING: HttpResponse = { status: 503, contentType: TEXT, body: "This node has stopped.\n" };
const FAULT: HttpResponse = { status: 500, contentType: TEXT, body: "This node could not answer.\n" };
const HEAD_TOO_LONG: HttpResponse = {
  status: 431,
  contentType: TEXT,
  body: `Cannot read the request: its head is longer than ${MAX_HTTP_HEAD_BYTES} bytes.\n`,
};

/** Dependencies of the HTTP server. */
export interface HttpServerOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Serves HTTP/1.1 without encryption. */
export class HttpOverNetwork implements HttpNetwork {
  readonly #options: HttpServerOptions;

  /** Opens no socket. */
  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  serve(address: Address, handler: HttpHandler): HttpServer {
    try {
      return new Server(this.#options.network.listen(address), handler, this.#options);
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      const reason = error.message.replace(/^Cannot listen on \S+: /, "");
      const message = `Cannot serve HTTP on ${formatAddress(address)}: ${reason}`;
      throw new NetworkError(error.code, { message, cause: error });
    }
  }
}

class Server implements HttpServer {
  readonly address: Address;
  readonly #listener: Listener;
  readonly #handler: HttpHandler;
  readonly #options: HttpServerOptions;
  readonly #stop = new AbortController();
  readonly #accepting: Promise<void>;
  readonly #open = new Set<Connection>();
  /** The open connections to which no answer is due, oldest first: they are closed when others need their place. */
  readonly #idle = new Set<Connection>();
  readonly #serving = new Set<Promise<void>>();
  /** One function per request in flight, which ends it with another answer, and the source address of the request. */
  readonly #underWay = new Map<(answer: HttpResponse) => void, string>();
  /** The streams, with their source addresses. */
  readonly #streams = new Map<HttpStream, string>();
  #closing: Promise<void> | null = null;

  constructor(listener: Listener, handler: HttpHandler, options: HttpServerOptions) {
    this.#listener = listener;
    this.#handler = handler;
    this.#options = options;
    this.address = listener.address;
    const { clock, logger } = options;
    const take = (connection: Connection): Promise<void> => this.#take(connection);
    const closeIdle = (): void => this.#closeIdle();
    this.#accepting = acceptConnections(listener, {
      clock,
      logger,
      signal: this.#stop.signal,
      take,
      closeIdle,
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { clock } = this.#options;
    this.#stop.abort();
    this.#listener.close();
    this.#closeIdle();
    for (const stream of this.#streams.keys()) stream.close();
    const answer = clock.after(HTTP_CLOSE_TIMEOUT_MS, () => {
      for (const end of this.#underWay.keys()) end(STOPPING);
    });
    const cut = clock.after(2 * HTTP_CLOSE_TIMEOUT_MS, () => {
      for (const connection of this.#open) connection.close();
    });
    await Promise.all([this.#accepting, ...this.#serving]);
    answer.cancel();
    cut.cancel();
  }

  async #take(connection: Connection): Promise<void> {
    const source = sourceOf(connection.remote);
    const isOfSource = ({ remote }: Connection): boolean => sourceOf(remote) === source;
    const isSourceFull = [...this.#open].filter(isOfSource).length >= MAX_HTTP_CONNECTIONS_PER_ADDRESS;
    if (isSourceFull || this.#open.size >= MAX_HTTP_CONNECTIONS) {
      const [oldest] = isSourceFull ? [...this.#idle].filter(isOfSource) : this.#idle;
      if (oldest === undefined) return await this.#refuse(connection);
      this.#forget(oldest);
    }
    this.#open.add(connection);
    this.#idle.add(connection);
    const serving = this.#serve(connection)
      .catch((error: unknown) =>
        logConnectionFault(this.#options.logger, error, { remote: connection.remote })
      )
      .finally(() => {
        this.#forget(connection);
        this.#serving.delete(serving);
      });
    this.#serving.add(serving);
  }

  /** Answers `busy`, since answers are due on all connections. No connection is accepted meanwhile, which bounds refusals. */
  async #refuse(connection: Connection): Promise<void> {
    this.#options.logger.info("Refused an HTTP connection", {
      remote: connection.remote,
      reason: "answers are under way on as many as allowed, from its address or in all",
    });
    const bytes = encodeResponse(BUSY, { withBody: true });
    await this.#within(HTTP_REFUSAL_TIMEOUT_MS, connection, () => writeAll(connection, bytes));
    connection.close();
  }

  #closeIdle(): void {
    for (const connection of this.#idle) connection.close();
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection);
    this.#idle.delete(connection);
    connection.close();
  }

  /** Reads one request and answers it. */
  async #serve(connection: Connection): Promise<void> {
    const head = await this.#within(HTTP_HEAD_TIMEOUT_MS, connection, () => readHead(connection));
    if (head === null) return;
    this.#idle.delete(connection);
    const request = head === "tooLong" ? HEAD_TOO_LONG : requestOf(head, connection);
    let answer = "status" in request ? request : await this.#answer(request, connection);
    // A refused HEAD has no body either: its sender does not read one (RFC 9110 §9.3.2).
    const withBody = !head.startsWith("HEAD ");
    if (answer.stream !== undefined && withBody) {
      if (this.#mayStream(connection)) return await this.#stream(connection, answer);
      answer = MANY_STREAMS;
    }
    const bytes = encodeResponse(answer, { withBody });
    const isSent = await this.#within(HTTP_ANSWER_TIMEOUT_MS, connection, () => writeAll(connection, bytes));
    if (!isSent || this.#stop.signal.aborted) return;
    this.#idle.add(connection);
    await this.#within(HTTP_LINGER_MS, connection, () => discard(connection));
  }

  #mayStream({ remote }: Connection): boolean {
    const source = sourceOf(remote);
    const ofSource = [...this.#streams.values()].filter((other) => other === source).length;
    return !this.#stop.signal.aborted && this.#streams.size < MAX_HTTP_STREAMS &&
      ofSource < MAX_HTTP_STREAMS_PER_ADDRESS;
  }

  /** Sends a body until the connection ends. */
  async #stream(connection: Connection, answer: HttpResponse): Promise<void> {
    const stream = new HttpStream(connection, this.#options.clock);
    this.#streams.set(stream, sourceOf(connection.remote));
    stream.send(`${headOf(answer, {})}${answer.body}`);
    const ended = answer.stream?.(stream);
    try {
      await discard(connection);
    } finally {
      this.#streams.delete(stream);
      ended?.();
    }
  }

  /** Runs `action`, and closes the connection after `timeoutMs`, which ends a pending read or write. */
  async #within<T>(timeoutMs: number, connection: Connection, action: () => Promise<T>): Promise<T> {
    const timer = this.#options.clock.after(timeoutMs, () => connection.close());
    try {
      return await action();
    } finally {
      timer.cancel();
    }
  }

  async #answer(request: HttpRequest, { remote }: Connection): Promise<HttpResponse> {
    const source = sourceOf(remote);
    const ofSource = [...this.#underWay.values()].filter((other) => other === source).length;
    if (this.#underWay.size >= MAX_HTTP_REQUESTS || ofSource >= MAX_HTTP_REQUESTS_PER_ADDRESS) return BUSY;
    const { promise, resolve } = Promise.withResolvers<HttpResponse>();
    this.#underWay.set(resolve, source);
    this.#handler(request).then(resolve, (error: unknown) => {
      logConnectionFault(this.#options.logger, error, { remote });
      resolve(FAULT);
    });
    const answer = await promise;
    this.#underWay.delete(resolve);
    return answer;
  }
}

/** Reads up to the empty line after the head; resolves to null when the connection ends before. */
async function readHead(connection: Connection): Promise<string | "tooLong" | null> {
  const buffer = new Uint8Array(READ_BYTES);
  let head = "";
  while (head.length <= MAX_HTTP_HEAD_BYTES) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return null;
    const searchFrom = Math.max(0, head.length - EMPTY_LINE.length);
    head += String.fromCharCode(...buffer.subarray(0, count)); // one character a byte, as HTTP has it
    const end = head.indexOf(EMPTY_LINE, searchFrom);
    if (end >= 0 && end <= MAX_HTTP_HEAD_BYTES) return head.slice(0, end);
  }
  return "tooLong";
}

/**
 * Reads until the other end closes, or has sent too much. A connection that is closed while something unread has arrived, such as the body of
 * a POST, is reset, and the answer may be lost with it.
 */
async function discard(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let bytes = 0; bytes < MAX_HTTP_DISCARDED_BYTES;) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return;
    bytes += count;
  }
}

function encodeResponse(answer: HttpResponse, { withBody }: { readonly withBody: boolean }): Uint8Array {
  const utf8 = new TextEncoder();
  const body = utf8.encode(answer.body);
  const head = utf8.encode(headOf(answer, { "content-length": body.length }));
  return withBody ? concat([head, body]) : head;
}

/** Returns the head of an answer; the body of one without a length ends with the connection (RFC 9112 §6.3). */
function headOf(answer: HttpResponse, length: { readonly "content-length"?: number }): string {
  const fields = {
    "content-type": answer.contentType,
    ...length,
    "cache-control": "no-store",
    connection: "close",
    ...answer.headers,
  };
  const lines = [
    `HTTP/1.1 ${answer.status} ${reasonOf(answer.status)}`,
    ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join("\r\n")}${EMPTY_LINE}`;
}

/** Returns the request of a head, or an error response if it cannot be served. */
function requestOf(head: string, { remote }: Connection): HttpRequest | HttpResponse {
  const parsed = parseRequestHead(head);
  if (!("reason" in parsed)) {
    const { method, path, fields } = parsed;
    return { method, path, remote, header: (name) => fields.get(name) };
  }
  const { status, reason } = parsed;
  const body = status === 505
    ? "Cannot answer: this is not HTTP/1.1. Use HTTP/1.1 without encryption.\n"
    : `Cannot read the request: ${reason}.\n`;
  return { status, contentType: TEXT, body };
}
