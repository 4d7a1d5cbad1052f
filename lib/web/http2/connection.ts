/**
 * One connection of HTTP/2, as a server (RFC 9113). Everything that a client may send is answered as the RFC says: an error
 * of a stream resets it, any other error ends the connection with a GOAWAY. Neither ends more than that.
 *
 * Frames are handled as they arrive, and the requests of one read are passed to the handler afterwards: a request that is
 * reset at once never reaches it.
 */
import type { ConnectionSecurity } from "../../platform/network.ts";
import { assert } from "../../platform/assert.ts";
import type { SlabCopier } from "../../platform/memory/slab.ts";
import { FieldList } from "../fields.ts";
import type { ConnectionTurns } from "../handler_turns.ts";
import type { HeldAccount } from "../held.ts";
import type { DecodedBlock } from "../hpack/decoder.ts";
import { Output } from "../output.ts";
import {
  type ConnectionContext,
  Linger,
  type ProtocolConnection,
  StallTimer,
} from "../protocol_connection.ts";
import { runHandler, TEXT_HEADERS } from "../run_handler.ts";
import { WebError, type WebLimits } from "../types.ts";
import { FloodGuard } from "./flood_guard.ts";
import { type FrameHandler, FrameReceiver } from "./frame_receiver.ts";
import { FrameSender } from "./frame_sender.ts";
import { PeerSettings } from "./peer_settings.ts";
import {
  ConnectionError,
  DEFAULT_WINDOW_BYTES,
  ERROR,
  type ErrorCode,
  SETTING,
  StreamError,
} from "./protocol.ts";
import { type RequestHead, requestHeadOf, trailersProblem } from "./request_head.ts";
import { SendScheduler } from "./send_scheduler.ts";
import type { SendWindow } from "./send_window.ts";
import { Http2Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream_table.ts";

/** Windows for the bodies of requests: of a stream, and of the connection. */
const STREAM_WINDOW_BYTES = 65_535;
const CONNECTION_WINDOW_BYTES = 4_194_304;
/** Bytes in the output at which nothing more is read: a client that reads no answers is not served. */
const READ_LIMIT_BYTES = 1_048_576;
/**
 * Bytes that are received at once, unless a frame is longer. The requests that a client sends together, when it got the answers
 * to earlier ones, are handled in parts for the reason of EARLY_BYTES (../output.ts): the cluster confirms the reads of the
 * first part while the next one is decoded.
 */
const RECEIVED_AT_ONCE_BYTES = 4_096;
/**
 * Time after which a request does not count as work: its handler waits for something else than the processor, such as a
 * leader, or the rest of the body.
 */
const MAX_WORK_MS = 1_000;
/** Streams for which a change of the initial window counts as one frame without progress. */
const STREAMS_PER_FRAME = 100;

/** A connection behind the client's preface. */
export class Http2Connection implements ProtocolConnection, StreamOwner, FrameHandler {
  readonly output: Output;
  readonly sender: FrameSender;
  readonly #context: ConnectionContext;
  readonly #guard: FloodGuard;
  readonly #receiver: FrameReceiver;
  readonly #peer = new PeerSettings();
  readonly #streams = new StreamTable();
  readonly #scheduler: SendScheduler;
  /** Streams whose handlers wait until the client has read more. */
  readonly #awaitingReader = new Set<Http2Stream>();
  /** Streams whose handler has not been called, in their order. */
  readonly #arrived = new Set<Http2Stream>();
  readonly #turns: ConnectionTurns;
  /** Handlers that still run for requests that the client has reset. */
  #orphans = 0;
  #receiveWindow = CONNECTION_WINDOW_BYTES;
  /** Received bytes for which the window of the connection was not updated yet. */
  #owedBytes = 0;
  /** closing: new requests are refused. ending: everything is sent, and what arrives is dropped. */
  #state: "open" | "closing" | "ending" = "open";
  /** Of the first GOAWAY; null before. */
  #lastHandledId: number | null = null;
  #problem: string | null = null;
  readonly #linger: Linger;
  readonly #partialFrame = new StallTimer();
  readonly #idle = new StallTimer();
  readonly #unread = new StallTimer();

  /** Sends this end's settings. */
  constructor(context: ConnectionContext) {
    this.#context = context;
    this.#linger = new Linger(context);
    const { clock, connection, input, limits } = context;
    this.output = new Output(connection, {
      clock,
      onProgress: () => this.#scheduler.sendAll(),
      onFailed: () => connection.close(),
    });
    this.sender = new FrameSender(this.output);
    this.#scheduler = new SendScheduler(this.output);
    this.#guard = new FloodGuard(clock.now());
    this.#turns = context.turns.open(context.source, () => this.#runNext());
    const { maxHeadBytes } = limits;
    this.#receiver = new FrameReceiver({ input, guard: this.#guard, handler: this, maxHeadBytes });
    this.sender.settings([
      [SETTING.maxConcurrentStreams, limits.maxStreamsPerConnection],
      [SETTING.initialWindowSize, STREAM_WINDOW_BYTES],
      [SETTING.maxHeaderListSize, maxHeadBytes],
    ]);
    this.sender.windowUpdate(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES);
  }

  get requests(): number {
    return this.#streams.size;
  }

  get problem(): string | null {
    return this.#problem;
  }

  get remote(): string {
    return this.#context.connection.remote;
  }

  get security(): ConnectionSecurity {
    return this.#context.connection;
  }

  get limits(): WebLimits {
    return this.#context.limits;
  }

  get held(): HeldAccount {
    return this.#context.held;
  }

  get copier(): SlabCopier {
    return this.#context.copier;
  }

  get sendWindow(): SendWindow {
    return this.#scheduler.window;
  }

  async serve(): Promise<void> {
    const { input } = this.#context;
    try {
      do {
        if (this.#state === "ending") input.use(input.length);
        else this.#receive();
        while (this.output.queuedBytes > READ_LIMIT_BYTES && !this.output.isStopped) {
          await this.output.progress();
        }
      } while (await input.fill(RECEIVED_AT_ONCE_BYTES));
      if (this.#state === "ending" && !input.isBroken) await this.output.drained();
    } finally {
      this.#linger.end();
      this.output.stop();
      this.#abortStreams();
      this.#turns.close();
    }
  }

  shutDown(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#goaway(ERROR.noError);
    this.#endIfDone();
  }

  checkTimes(nowMs: number): void {
    const { limits, connection, input } = this.#context;
    this.#guard.refill(nowMs);
    const { queuedBytes, writtenBytes } = this.output;
    if (this.#unread.check(queuedBytes > 0 ? writtenBytes : null, nowMs) > limits.progressTimeoutMs) {
      this.#problem = "the client does not read";
      return connection.close();
    }
    if (this.#state === "ending") return;
    const partial = this.#receiver.isWithinFrame ? input.receivedBytes - input.length : null;
    if (this.#partialFrame.check(partial, nowMs) > limits.headTimeoutMs) {
      return this.#fail(new ConnectionError(ERROR.enhanceYourCalm, "a frame takes too long"));
    }
    const idle = this.#streams.size === 0 ? input.receivedBytes : null;
    if (this.#idle.check(idle, nowMs) > limits.idleTimeoutMs) this.shutDown();
    for (const stream of this.#streams.values()) {
      stream.checkTimes(nowMs);
      if (nowMs - stream.beganAtMs > MAX_WORK_MS) this.endWork(stream);
    }
  }

  sentData(bytes: number): void {
    this.#guard.progress();
    this.#scheduler.window.use(bytes);
  }

  schedule(stream: Http2Stream): void {
    this.#scheduler.add(stream);
  }

  awaitReader(stream: Http2Stream): void {
    this.#awaitingReader.add(stream);
  }

  remove(stream: Http2Stream): void {
    this.#scheduler.remove(stream);
    this.#awaitingReader.delete(stream);
    this.#streams.remove(stream.id);
    this.#countRequests();
    this.#endIfDone();
  }

  endWork(stream: Http2Stream): void {
    if (!stream.isInWork) return;
    stream.isInWork = false;
    this.#turns.end();
  }

  reset(stream: Http2Stream, code: ErrorCode): void {
    this.#resetStream(stream.id, code);
  }

  onHeaders(streamId: number, block: DecodedBlock, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return this.#onTrailers(stream, block, endStream);
    if (this.#streams.wasReset(streamId)) return;
    this.#streams.use(streamId);
    if (this.#isFull && !this.#guard.reset()) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "too many requests are sent beyond the limit");
    }
    if (this.#state !== "open" || this.#isFull) return this.#resetStream(streamId, ERROR.refusedStream);
    const head = block.isTooLarge ? NO_HEAD : requestHeadOf(block.fields);
    if (typeof head === "string") throw new StreamError(streamId, ERROR.protocolError, head);
    const request = new Http2Stream(streamId, head, {
      owner: this,
      sendWindowBytes: this.#peer.initialWindowBytes,
      receiveWindow: STREAM_WINDOW_BYTES,
    });
    this.#streams.add(request);
    this.#countRequests();
    if (endStream) request.endBody();
    const refusal = refusalOf(head, block);
    if (refusal === null) return void this.#arrived.add(request);
    void request.respond({ status: refusal.status, headers: TEXT_HEADERS, body: refusal.message });
  }

  onData(
    streamId: number,
    { bytes, windowBytes, endStream }: {
      readonly bytes: Uint8Array;
      readonly windowBytes: number;
      readonly endStream: boolean;
    },
  ): void {
    this.#consumeWindow(windowBytes);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#streams.assertUsed(streamId);
      if (this.#streams.wasReset(streamId)) return;
      throw new ConnectionError(ERROR.streamClosed, "a body belongs to a stream that has ended");
    }
    stream.receive(bytes, windowBytes);
    if (endStream) stream.endBody();
  }

  onRstStream(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#streams.assertUsed(streamId);
    const isCounted = !stream.isAnswered;
    this.#forget(stream);
    this.#streams.remove(streamId);
    this.#countRequests();
    this.#endIfDone();
    if (isCounted && !this.#guard.reset()) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "too many requests are reset");
    }
  }

  onSettings(payload: Uint8Array): void {
    const before = this.#peer.initialWindowBytes;
    this.#peer.apply(payload);
    const { initialWindowBytes, headerTableBytes } = this.#peer;
    if (headerTableBytes !== null) this.sender.limitTable(headerTableBytes);
    this.sender.settingsAck();
    if (initialWindowBytes === before) return;
    if (!this.#guard.frame(this.#streams.size / STREAMS_PER_FRAME)) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "the initial window changes too often");
    }
    for (const stream of [...this.#streams.values()]) {
      if (!stream.sendWindow.resize(initialWindowBytes - before)) {
        throw new ConnectionError(ERROR.flowControlError, "a window is larger than 2^31-1");
      }
      this.#scheduler.add(stream);
    }
  }

  onPing(payload: Uint8Array): void {
    this.sender.pingAck(payload);
  }

  onGoaway(): void {
    if (this.#state === "open") this.#state = "closing";
    this.#endIfDone();
  }

  onWindowUpdate(streamId: number, bytes: number): void {
    if (streamId === 0) {
      if (this.#scheduler.widen(bytes)) return this.#readerMoved();
      throw new ConnectionError(ERROR.flowControlError, "the window of the connection is larger than 2^31-1");
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#streams.assertUsed(streamId);
    if (!stream.sendWindow.widen(bytes)) {
      throw new StreamError(streamId, ERROR.flowControlError, "a window is larger than 2^31-1");
    }
    this.#scheduler.add(stream);
    if (stream.readerMoved()) this.#awaitingReader.delete(stream);
  }

  onStreamError({ streamId, code, message }: StreamError): void {
    this.#context.logger.debug("Reset a stream", { remote: this.remote, reason: message });
    this.#streams.assertUsed(streamId);
    this.#resetStream(streamId, code);
  }

  /** Whether the client has as many requests as it may; those that it has reset count while their handlers run. */
  get #isFull(): boolean {
    return this.#streams.size + this.#orphans >= this.limits.maxStreamsPerConnection;
  }

  /** Reports the number of requests, with those whose handlers still run. */
  #countRequests(): void {
    const { requests } = this.#context;
    requests.add(this.#streams.size + this.#orphans - requests.amount);
  }

  /** Handles the frames that have arrived, and calls the handler for new requests. */
  #receive(): void {
    try {
      this.#receiver.receive();
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      return this.#fail(error);
    }
    for (const stream of this.#arrived) {
      if (!this.#turns.begin()) return;
      this.#run(stream);
      // The request may be one for which the connection has waited.
      if (this.#arrived.size === 0) this.#turns.leave();
    }
  }

  /** Calls the handler for the request that has waited longest. */
  #runNext(): void {
    const [next] = this.#arrived;
    assert(next !== undefined, "a connection waits for turns as long as it has requests that wait");
    this.#run(next);
    if (this.#arrived.size > 0) this.#turns.wait();
  }

  /** Calls the handler of a request, which is counted as in work. */
  #run(stream: Http2Stream): void {
    // A client that sends head and body in two writes with Nagle's algorithm (Deno 2.9.8) sends the body only once the head
    // is acknowledged, which the kernel delays by 40 ms unless something is sent to it.
    if (!stream.isRemoteClosed) stream.inviteBody();
    const { clock, handler, logger } = this.#context;
    this.#arrived.delete(stream);
    stream.isInWork = true;
    stream.beganAtMs = clock.now();
    stream.isHandled = runHandler(stream, {
      handler,
      logger,
      onSettled: () => {
        stream.isHandled = false;
        if (stream.isOrphan) this.#orphans -= 1;
        this.endWork(stream);
        this.#countRequests();
      },
    });
    if (!stream.isHandled) this.endWork(stream);
  }

  #onTrailers(stream: Http2Stream, block: DecodedBlock, endStream: boolean): void {
    if (stream.isRemoteClosed) {
      throw new StreamError(stream.id, ERROR.streamClosed, "a header block is behind the end of a stream");
    }
    const problem = endStream ? trailersProblem(block.fields) : "trailers do not end their stream";
    if (problem !== null) throw new StreamError(stream.id, ERROR.protocolError, problem);
    stream.endBody();
  }

  /** Counts bytes of bodies against the window of the connection, which is updated at once: streams limit the client. */
  #consumeWindow(bytes: number): void {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) {
      throw new ConnectionError(
        ERROR.flowControlError,
        "more is sent than the window of the connection allows",
      );
    }
    this.#owedBytes += bytes;
    if (2 * this.#owedBytes < CONNECTION_WINDOW_BYTES) return;
    this.sender.windowUpdate(0, this.#owedBytes);
    this.#receiveWindow += this.#owedBytes;
    this.#owedBytes = 0;
  }

  #resetStream(streamId: number, code: ErrorCode): void {
    const stream = this.#streams.get(streamId);
    this.#streams.removeReset(streamId);
    if (stream !== undefined) this.#forget(stream);
    this.#countRequests();
    this.sender.rstStream(streamId, code);
    this.#endIfDone();
  }

  /** Ends a stream for its handler. */
  #forget(stream: Http2Stream): void {
    this.#scheduler.remove(stream);
    this.#awaitingReader.delete(stream);
    if (this.#arrived.delete(stream) && this.#arrived.size === 0) this.#turns.leave();
    if (stream.isHandled) {
      stream.isOrphan = true;
      this.#orphans += 1;
    }
    stream.abort();
  }

  #abortStreams(): void {
    for (const stream of [...this.#streams.values()]) {
      this.#streams.remove(stream.id);
      this.#forget(stream);
    }
  }

  /** Ends the connection because of an error of the client. */
  #fail({ code, message }: ConnectionError): void {
    if (this.#state === "ending") return;
    this.#state = "ending";
    this.#problem = message;
    this.#abortStreams();
    this.#goaway(code, message);
    this.#linger.begin(this.output);
  }

  /** Announces the end. The last stream that is handled never becomes a later one (RFC 9113 §6.8). */
  #goaway(code: ErrorCode, message = ""): void {
    this.#lastHandledId ??= this.#streams.lastId;
    this.sender.goaway(this.#lastHandledId, code, message);
  }

  /** Wakes the handlers that wait until the client has read more. */
  #readerMoved(): void {
    for (const stream of this.#awaitingReader) if (stream.readerMoved()) this.#awaitingReader.delete(stream);
  }

  #endIfDone(): void {
    if (this.#state !== "closing" || this.#streams.size > 0) return;
    this.#state = "ending";
    this.#goaway(ERROR.noError);
    this.#linger.begin(this.output);
  }
}

/** Stands for a head that is too large to be decoded. */
const NO_HEAD: RequestHead = {
  method: "GET",
  path: "*",
  query: "",
  fields: new FieldList([]),
  contentLength: null,
};

/** Returns the answer to a request that is not passed to the handler, or null. */
function refusalOf({ method }: RequestHead, { isTooLarge }: DecodedBlock): WebError | null {
  if (isTooLarge) return new WebError(431, "The head of the request is too large.\n");
  return method === "CONNECT" ? new WebError(501, "This server is no proxy.\n") : null;
}
