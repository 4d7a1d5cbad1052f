/** One stream of HTTP/2: a request and its answer. */
import { assert } from "../../platform/assert.ts";
import type { ConnectionSecurity } from "../../platform/network.ts";
import type { SlabCopier } from "../../platform/memory/slab.ts";
import { AnswerBody, type AnswerSink } from "../answer_body.ts";
import { checkFields } from "../fields.ts";
import type { HeldAccount } from "../held.ts";
import type { Output } from "../output.ts";
import { StallTimer } from "../protocol_connection.ts";
import { type BodySource, RequestBody } from "../request_body.ts";
import type { HandledRequest } from "../run_handler.ts";
import {
  type Delivery,
  WebError,
  type WebHead,
  type WebLimits,
  type WebResponse,
  type WebStream,
} from "../types.ts";
import type { FrameSender } from "./frame_sender.ts";
import { ERROR, type ErrorCode, MAX_FRAME_BYTES, StreamError } from "./protocol.ts";
import type { RequestHead } from "./request_head.ts";
import { SendWindow } from "./send_window.ts";

const NO_BYTES = new Uint8Array(0);
/** Bytes in the output of a connection at which bodies wait in their streams. */
export const OUTPUT_LIMIT_BYTES = 131_072;

/**
 * Parts of the windows that {@link WebStream.isReaderBehind} allows to be unread. A client reports what it has read when that
 * is half of the window or less (Deno's: a third of what is left), so one that reads everything is not held up.
 */
const MAX_UNREAD_OF_STREAM = 0.5;
const MAX_UNREAD_OF_CONNECTION = 0.75;

/** The connection of a stream. */
export interface StreamOwner {
  readonly remote: string;
  readonly security: ConnectionSecurity;
  readonly limits: WebLimits;
  readonly output: Output;
  readonly sender: FrameSender;
  readonly held: HeldAccount;
  readonly copier: SlabCopier;
  /** The client's window of the connection. */
  readonly sendWindow: SendWindow;
  /** Notes that bytes of a body were sent. */
  sentData(bytes: number): void;
  /** Sends the waiting bytes of a stream when that is possible. */
  schedule(stream: Http2Stream): void;
  /** Notes that the handler of a stream is not in work any more, if it was. */
  endWork(stream: Http2Stream): void;
  /** Forgets a stream that is closed at both ends. */
  remove(stream: Http2Stream): void;
  /** Calls {@link Http2Stream.readerMoved} when the client has read something of another stream. */
  awaitReader(stream: Http2Stream): void;
  /** Sends RST_STREAM and forgets the stream. */
  reset(stream: Http2Stream, code: ErrorCode): void;
}

/** A request, which the client has opened. */
export class Http2Stream implements HandledRequest, BodySource, AnswerSink {
  readonly version = "2";
  readonly id: number;
  /** The client's window of this stream. */
  readonly sendWindow: SendWindow;
  /** Bytes that the client may send. */
  receiveWindow: number;
  /** Bytes of the body that have arrived. */
  receivedBytes = 0;
  /** Whether the client has ended its side. */
  isRemoteClosed = false;
  /** Whether the whole answer was sent. */
  isLocalClosed = false;
  /** Whether the stream was reset, or its connection has ended. */
  isAborted = false;
  /** Whether the handler is running. */
  isHandled = false;
  /** Whether the handler is in work (../handler_turns.ts), and when it was called. */
  isInWork = false;
  beganAtMs = 0;
  /** Whether the handler was running when the stream was aborted. */
  isOrphan = false;
  /** Bytes of the answer's body that were sent. */
  #sentBytes = 0;
  readonly #head: RequestHead;
  readonly #owner: StreamOwner;
  readonly #body: RequestBody;
  #answer: AnswerBody | null = null;
  #isAnswered = false;
  #abort: AbortController | null = null;
  /** Consumed bytes of the body for which the window was not updated yet. */
  #owedBytes = 0;
  /** Made at the first check: most streams end before. */
  #timers: { readonly body: StallTimer; readonly sent: StallTimer } | null = null;

  /** A stream whose request has arrived. */
  constructor(
    id: number,
    head: RequestHead,
    { owner, sendWindowBytes, receiveWindow }: {
      readonly owner: StreamOwner;
      readonly sendWindowBytes: number;
      readonly receiveWindow: number;
    },
  ) {
    this.id = id;
    this.sendWindow = new SendWindow(sendWindowBytes);
    this.receiveWindow = receiveWindow;
    this.#head = head;
    this.#owner = owner;
    this.#body = new RequestBody({
      source: this,
      held: owner.held,
      maxBytes: owner.limits.maxBodyBytes,
      declaredBytes: head.contentLength,
    });
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
    return this.#owner.remote;
  }

  get security(): ConnectionSecurity {
    return this.#owner.security;
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.isAborted) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** Whether an answer was begun. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** The body of the answer, where it waits or is written in parts. */
  get answer(): AnswerBody | null {
    return this.#answer;
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

  noteWaiting(): void {
    this.#owner.endWork(this);
  }

  respond(response: WebResponse): Promise<Delivery> {
    assert(!this.#isAnswered, "a request is answered once");
    const { status, body, trailers } = response;
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    if (this.isAborted) {
      this.#beginAnswer();
      return Promise.resolve("lost");
    }
    const hasBody = this.method !== "HEAD" && status !== 204 && status !== 304;
    const isEmpty = !hasBody || bytes.length === 0;
    const contentLength = status === 204 || status === 304 ? null : bytes.length;
    const endStream = isEmpty && trailers === undefined;
    this.#owner.sender.head(this.id, response, { endStream, contentLength });
    this.#beginAnswer();
    if (endStream) return this.#sent();
    if (this.#canSendAtOnce(bytes.length)) {
      if (trailers !== undefined) checkFields(trailers);
      this.#countSent(bytes.length);
      if (!isEmpty) this.#owner.sender.data(this.id, bytes, trailers === undefined);
      if (trailers !== undefined) this.#owner.sender.trailers(this.id, trailers);
      return this.#sent();
    }
    const answer = this.#openAnswer();
    if (!isEmpty) answer.write(bytes);
    answer.end(trailers);
    return answer.closed;
  }

  stream(head: WebHead): WebStream {
    assert(!this.#isAnswered, "a request is answered once");
    if (!this.isAborted) {
      const endStream = this.method === "HEAD";
      this.#owner.sender.head(this.id, head, { endStream, contentLength: null });
      this.#beginAnswer();
      const answer = this.#openAnswer();
      if (endStream) void this.#sent().then((delivery) => answer.finish(delivery));
      return answer;
    }
    this.#beginAnswer();
    const answer = this.#openAnswer();
    answer.finish("lost");
    return answer;
  }

  bodyWanted(): void {}

  bodyConsumed(bytes: number): void {
    this.#owedBytes += bytes;
    if (this.isRemoteClosed || this.isAborted) return;
    if (2 * this.#owedBytes >= this.receiveWindow) this.#updateWindow(0);
  }

  /**
   * Allows the client to send the whole body at once, if its length is known, and a byte more than it may in any case: an
   * update of the window is sent always.
   */
  inviteBody(): void {
    const wholeBytes = Math.min(this.#head.contentLength ?? 0, this.#owner.limits.maxBodyBytes);
    this.#updateWindow(Math.max(1, wholeBytes - this.receiveWindow));
  }

  answerReady(): void {
    if (!this.isLocalClosed && !this.isAborted) this.#owner.schedule(this);
  }

  answerAborted(): void {
    if (!this.isLocalClosed && !this.isAborted) this.#owner.reset(this, ERROR.internalError);
  }

  get isReaderBehind(): boolean {
    return this.sendWindow.unreadShare > MAX_UNREAD_OF_STREAM ||
      this.#owner.sendWindow.unreadShare > MAX_UNREAD_OF_CONNECTION;
  }

  readerAwaited(): void {
    this.#owner.awaitReader(this);
  }

  /** Notes that the client has read more; returns whether nothing waits for that any more. */
  readerMoved(): boolean {
    return this.#answer?.readerMoved() ?? true;
  }

  /** Ends an answer that was begun, such that the client sees that it is incomplete. */
  abandon(): void {
    this.answerAborted();
  }

  /** Takes a part of the body; `windowBytes` are what it uses of the window. Throws {@link StreamError}. */
  receive(bytes: Uint8Array, windowBytes: number): void {
    if (this.isRemoteClosed) throw this.#error(ERROR.streamClosed, "a body is behind its end");
    this.receiveWindow -= windowBytes;
    if (this.receiveWindow < 0) {
      throw this.#error(ERROR.flowControlError, "more is sent than the window allows");
    }
    this.receivedBytes += bytes.length;
    const { contentLength } = this.#head;
    if (contentLength !== null && this.receivedBytes > contentLength) {
      throw this.#error(ERROR.protocolError, "the body is longer than its content-length");
    }
    if (windowBytes > bytes.length) this.bodyConsumed(windowBytes - bytes.length);
    if (this.isLocalClosed && this.receivedBytes > this.#owner.limits.maxBodyBytes) {
      return this.#owner.reset(this, ERROR.noError);
    }
    this.#body.push(this.#owner.copier.copy(bytes));
  }

  /** Notes that the client has ended its side. Throws {@link StreamError}. */
  endBody(): void {
    const { contentLength } = this.#head;
    if (contentLength !== null && this.receivedBytes !== contentLength && !this.isLocalClosed) {
      throw this.#error(ERROR.protocolError, "the body is shorter than its content-length");
    }
    this.isRemoteClosed = true;
    this.#body.end();
    if (this.isLocalClosed) this.#owner.remove(this);
  }

  /** Ends what has taken too long. */
  checkTimes(nowMs: number): void {
    const { limits } = this.#owner;
    this.#timers ??= { body: new StallTimer(), sent: new StallTimer() };
    const isBodyDue = !this.isRemoteClosed && (this.isLocalClosed || this.#body.isEndAwaited);
    if (this.#timers.body.check(isBodyDue ? 0 : null, nowMs) > limits.bodyTimeoutMs) {
      if (this.isLocalClosed) return this.#owner.reset(this, ERROR.noError);
      this.#body.fail(new WebError(408, "The body took too long.\n"));
    }
    const isSending = this.#answer?.isEnding === true && this.#answer.pendingBytes > 0;
    if (this.#timers.sent.check(isSending ? this.#sentBytes : null, nowMs) > limits.progressTimeoutMs) {
      this.#owner.reset(this, ERROR.cancel);
    }
  }

  /** Sends the next frame of the answer's body; the windows allow at least one byte, unless only the end is left. */
  sendNext(): void {
    const answer = this.#answer;
    assert(answer !== null, "bytes are sent where an answer was opened");
    const { sender } = this.#owner;
    const most = Math.min(MAX_FRAME_BYTES, this.sendWindow.bytes, this.#owner.sendWindow.bytes);
    const part = answer.pendingBytes > 0 ? answer.take(most) : NO_BYTES;
    const isLast = answer.isEnding && answer.pendingBytes === 0;
    const { trailers } = answer;
    if (part.length > 0 || trailers === null) {
      this.#countSent(part.length);
      sender.data(this.id, part, isLast && trailers === null);
    }
    if (isLast && trailers !== null) sender.trailers(this.id, trailers);
    answer.passed(part.length);
    if (isLast) void this.#sent().then((delivery) => answer.finish(delivery));
  }

  /** Notes that the stream was reset, or its connection has ended. */
  abort(): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.#body.fail(new WebError(499, "The client has given up.\n"));
    if (this.isLocalClosed) return;
    this.#answer?.finish("lost");
    this.#abort?.abort();
  }

  #beginAnswer(): void {
    this.#isAnswered = true;
    this.#owner.endWork(this);
  }

  #countSent(bytes: number): void {
    this.sendWindow.use(bytes);
    this.#sentBytes += bytes;
    this.#owner.sentData(bytes);
  }

  /** Allows the client to send what was consumed, and `extra` bytes more. */
  #updateWindow(extra: number): void {
    const bytes = this.#owedBytes + extra;
    this.#owedBytes = 0;
    this.receiveWindow += bytes;
    this.#owner.sender.windowUpdate(this.id, bytes);
  }

  #error(code: ErrorCode, message: string): StreamError {
    return new StreamError(this.id, code, message);
  }

  #canSendAtOnce(bytes: number): boolean {
    const { output, sendWindow } = this.#owner;
    return bytes <= Math.min(MAX_FRAME_BYTES, this.sendWindow.bytes, sendWindow.bytes) &&
      output.queuedBytes < OUTPUT_LIMIT_BYTES;
  }

  #openAnswer(): AnswerBody {
    const { output, held, limits } = this.#owner;
    this.#answer = new AnswerBody({ sink: this, output, held, maxUnsentBytes: limits.maxUnsentBytes });
    return this.#answer;
  }

  /** Notes that the answer's last frame was queued; resolves once it is written or lost. */
  #sent(): Promise<Delivery> {
    this.isLocalClosed = true;
    const { output } = this.#owner;
    const delivery = new Promise<Delivery>((resolve) => {
      output.whenWritten((isWritten) => resolve(isWritten ? "delivered" : "lost"));
    });
    if (this.isRemoteClosed) this.#owner.remove(this);
    else this.#body.fail(new WebError(499, "The request was answered before its body was read.\n"));
    return delivery;
  }
}
