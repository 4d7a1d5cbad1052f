/** One request of HTTP/1.1 and its answer. */
import { assert } from "../../platform/assert.ts";
import type { ConnectionSecurity } from "../../platform/network.ts";
import { AnswerBody, type AnswerSink } from "../answer_body.ts";
import type { Input } from "../input.ts";
import type { Output } from "../output.ts";
import { type ConnectionContext, StallTimer } from "../protocol_connection.ts";
import { type BodySource, RequestBody } from "../request_body.ts";
import type { HandledRequest } from "../run_handler.ts";
import { type Delivery, WebError, type WebHead, type WebResponse, type WebStream } from "../types.ts";
import { appendHead } from "./answer_head.ts";
import { ChunkedDecoder, ChunkedError } from "./chunked.ts";
import type { Framing, RequestHead } from "./request_head.ts";

/** Bytes of a body that are held before the handler reads them. */
const BODY_WINDOW_BYTES = 65_536;
/** Bytes in the output at which the body of an answer waits. */
const OUTPUT_LIMIT_BYTES = 131_072;
/** Bytes of an answer that are appended to the output at a time. */
const SHARE_BYTES = 65_536;

/** Options of {@link Http1Exchange}. */
export interface ExchangeOptions {
  readonly framing: Framing;
  /** Whether another request may follow. */
  readonly isKeptAlive: boolean;
  readonly context: ConnectionContext;
  readonly output: Output;
  /** Called when the connection has to look at the exchange again. */
  readonly onChanged: () => void;
}

/** A request whose head has arrived. */
export class Http1Exchange implements HandledRequest, BodySource, AnswerSink {
  readonly version = "1.1";
  readonly #head: RequestHead;
  readonly #options: ExchangeOptions;
  readonly #body: RequestBody;
  readonly #chunked: ChunkedDecoder | null;
  /** Bytes of a body with a known length that have not arrived. */
  #leftBytes: number;
  /** Bytes that may be taken before the handler reads more. */
  #windowBytes = BODY_WINDOW_BYTES;
  #hasBodyEnded = false;
  #isKeptAlive: boolean;
  #isAnswered = false;
  #answer: AnswerBody | null = null;
  /** How the body of an answer ends: behind so many bytes, with a last chunk, or with the connection. */
  #ending: "length" | "chunk" | "connection" = "length";
  /** Bytes of the chunk under way that were not appended to the output. */
  #chunkBytes = 0;
  #isSent = false;
  #isDone = false;
  #isAborted = false;
  #abort: AbortController | null = null;
  readonly #bodyTimer = new StallTimer();

  /** Takes nothing of the body yet. */
  constructor(head: RequestHead, options: ExchangeOptions) {
    this.#head = head;
    this.#options = options;
    const { framing, context: { held, limits } } = options;
    this.#isKeptAlive = options.isKeptAlive;
    this.#chunked = framing.kind === "chunked" ? new ChunkedDecoder() : null;
    this.#leftBytes = framing.kind === "length" ? framing.bytes : 0;
    const declaredBytes = framing.kind === "length" ? framing.bytes : null;
    this.#body = new RequestBody({ source: this, held, maxBytes: limits.maxBodyBytes, declaredBytes });
  }

  get method(): string {
    return this.#head.method;
  }

  get path(): string {
    return this.#head.path;
  }

  get query(): string {
    return this.#head.query;
  }

  get remote(): string {
    return this.#options.context.connection.remote;
  }

  get security(): ConnectionSecurity {
    return this.#options.context.connection;
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#isAborted) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Whether the answer was written, or cannot be. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Whether another request may follow on the connection. */
  get mayContinue(): boolean {
    return this.#isKeptAlive && !this.#isAborted;
  }

  header(name: string): string | null {
    return this.#head.fields.get(name);
  }

  body(maxBytes?: number): Promise<Uint8Array> {
    return this.#body.body(maxBytes);
  }

  read(): Promise<Uint8Array | null> {
    return this.#body.read();
  }

  /** A connection of HTTP/1.1 has one request at a time, whose handler is called at once. */
  noteWaiting(): void {}

  respond(response: WebResponse): Promise<Delivery> {
    assert(!this.#isAnswered, "a request is answered once");
    const { status, headers = {}, body } = response;
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const hasNoLength = status === 204 || status === 304;
    if (!this.#isAborted) {
      this.#appendHead({ status, headers }, hasNoLength ? [] : [["content-length", String(bytes.length)]]);
    }
    this.#isAnswered = true;
    const answer = this.#openAnswer();
    if (this.method !== "HEAD" && !hasNoLength) answer.write(bytes);
    answer.end();
    return answer.closed;
  }

  stream({ status, headers = {} }: WebHead): WebStream {
    assert(!this.#isAnswered, "a request is answered once");
    const isChunked = this.#head.minorVersion > 0;
    if (!isChunked) this.#isKeptAlive = false;
    if (!this.#isAborted) {
      this.#appendHead({ status, headers }, isChunked ? [["transfer-encoding", "chunked"]] : []);
    }
    this.#isAnswered = true;
    this.#ending = this.method === "HEAD" ? "length" : isChunked ? "chunk" : "connection";
    const answer = this.#openAnswer();
    if (this.method === "HEAD") answer.end();
    return answer;
  }

  abandon(): void {
    this.answerAborted();
  }

  bodyWanted(): void {
    const expects = this.header("expect")?.toLowerCase() === "100-continue" && this.#head.minorVersion > 0;
    if (!expects || this.#isAnswered || this.#isAborted || this.#hasBodyEnded) return;
    this.#options.output.queue().latin1("HTTP/1.1 100 Continue\r\n\r\n");
  }

  bodyConsumed(bytes: number): void {
    this.#windowBytes += bytes;
    if (!this.#hasBodyEnded) this.#options.onChanged();
  }

  answerReady(): void {
    const answer = this.#answer;
    if (answer === null || this.#isSent || this.#isAborted) return;
    const { output } = this.#options;
    while (answer.pendingBytes > 0 && output.queuedBytes < OUTPUT_LIMIT_BYTES) this.#sendPart(answer);
    if (answer.pendingBytes > 0 || !answer.isEnding) return;
    this.#isSent = true;
    if (this.#ending === "chunk") output.queue().latin1("0\r\n\r\n");
    output.whenWritten((isWritten) => this.#finish(isWritten ? "delivered" : "lost"));
  }

  /** The connection has no other request, and its flow control is that of TCP. */
  get isReaderBehind(): boolean {
    return false;
  }

  readerAwaited(): void {}

  answerAborted(): void {
    this.#options.context.connection.close(); // the last chunk or the rest of the length is missing
  }

  /** Takes what has arrived of the body. */
  takeBody(input: Input): void {
    while (!this.#hasBodyEnded) {
      const bytes = input.buffer.subarray(input.begin, input.end);
      const used = this.#chunked === null ? this.#takeBytes(bytes) : this.#takeChunks(this.#chunked, bytes);
      input.use(used);
      if (this.#chunked === null ? this.#leftBytes === 0 : this.#chunked.hasEnded) this.#endBody();
      else if (used === 0) return;
    }
  }

  /** Notes that the client sends nothing more. One that waits for a short answer may do so; a stream has no reader. */
  clientEnded(): void {
    this.#isKeptAlive = false;
    if (!this.#hasBodyEnded) this.#failBody(new WebError(499, "The client has given up.\n"));
    if (this.#ending !== "length") this.lost();
  }

  /** Notes that the connection has ended. */
  lost(): void {
    if (this.#isAborted || this.#isDone) return;
    this.#isAborted = true;
    this.#failBody(new WebError(499, "The client has given up.\n"));
    this.#finish("lost");
    this.#abort?.abort();
  }

  /** Makes this the last request of its connection. */
  announceClose(): void {
    this.#isKeptAlive = false;
  }

  /** Ends what has taken too long. */
  checkTimes(nowMs: number): void {
    const { limits } = this.#options.context;
    if (this.#bodyTimer.check(this.#body.isEndAwaited ? 0 : null, nowMs) > limits.bodyTimeoutMs) {
      this.#failBody(new WebError(408, "The body took too long.\n"));
    }
  }

  /**
   * Appends a share of the answer. What the handler has written at once is one chunk of any size, as from Go's
   * server: clients such as Python's etcd3gw 2.7.0 read each chunk of a watch as one text of JSON.
   */
  #sendPart(answer: AnswerBody): void {
    const queue = this.#options.output.queue();
    const isChunked = this.#ending === "chunk";
    if (isChunked && this.#chunkBytes === 0) {
      this.#chunkBytes = answer.nextBytes;
      queue.latin1(`${this.#chunkBytes.toString(16)}\r\n`);
    }
    const part = answer.take(SHARE_BYTES);
    queue.bytes(part);
    if (isChunked) {
      this.#chunkBytes -= part.length;
      if (this.#chunkBytes === 0) queue.latin1("\r\n");
    }
    answer.passed(part.length);
  }

  #takeBytes(bytes: Uint8Array): number {
    const part = bytes.subarray(0, Math.min(this.#leftBytes, this.#windowBytes));
    this.#leftBytes -= part.length;
    this.#push(part);
    return part.length;
  }

  #takeChunks(chunked: ChunkedDecoder, bytes: Uint8Array): number {
    try {
      return chunked.take(bytes, this.#windowBytes, (part) => this.#push(part));
    } catch (error) {
      if (!(error instanceof ChunkedError)) throw error;
      this.#failBody(new WebError(400, `Cannot read the body: ${error.message}.\n`));
      return bytes.length;
    }
  }

  #push(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#windowBytes -= part.length;
    this.#body.push(this.#options.context.copier.copy(part));
  }

  #endBody(): void {
    if (this.#hasBodyEnded) return;
    this.#hasBodyEnded = true;
    this.#body.end();
  }

  /** Fails the body for its reader; what follows it on the connection cannot be read. */
  #failBody(error: WebError): void {
    this.#hasBodyEnded = true;
    this.#isKeptAlive = false;
    this.#body.fail(error);
  }

  #appendHead({ status, headers = {} }: WebHead, own: readonly (readonly [string, string])[]): void {
    // The rest of a body that the handler does not want is not read.
    if (!this.#hasBodyEnded) this.#isKeptAlive = false;
    const closing: readonly (readonly [string, string])[] = this.#isKeptAlive
      ? []
      : [["connection", "close"]];
    appendHead(this.#options.output.queue(), { status, headers, own: [...own, ...closing] });
  }

  #openAnswer(): AnswerBody {
    const { output, context: { held, limits } } = this.#options;
    const answer = new AnswerBody({ sink: this, output, held, maxUnsentBytes: limits.maxUnsentBytes });
    this.#answer = answer;
    if (this.#isAborted) answer.finish("lost");
    return answer;
  }

  #finish(delivery: Delivery): void {
    this.#answer?.finish(delivery);
    this.#isDone = true;
    this.#options.onChanged();
  }
}
