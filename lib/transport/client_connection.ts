/**
 * A client's connection at the server, with flow control for a client that sends requests faster than it reads answers.
 *
 * Reading pauses while MAX_CLIENT_REQUESTS_IN_FLIGHT requests wait for answers, while CLIENT_QUEUE_PAUSE_BYTES of
 * answers are queued, or while the server has paused it. Beyond CLIENT_QUEUE_BUSY_BYTES the results of reads are
 * replaced by `busy`; beyond CLIENT_QUEUE_MAX_BYTES the connection is closed.
 */
import {
  type ClientRequest,
  decodeClientRequest,
  encodeServerMessage,
  type ErrorResponse,
  isNotice,
  requestIdOf,
  type ServerMessage,
} from "../protocol/client_frames.ts";
import type { PeerCertificate } from "../platform/network.ts";
import type { ErrorCode } from "../protocol/messages.ts";
import { withoutValues } from "../protocol/command.ts";
import { DecodeError, UnknownKindError } from "../protocol/errors.ts";
import { encodeSharedEvents, type SharedEvents } from "../protocol/watch_event.ts";
import type { FrameChannel } from "./frame_channel.ts";
import type { EncodePayload } from "./frame_writer.ts";
import type { InProcessUse } from "./in_process.ts";
import {
  CLIENT_QUEUE_BUSY_BYTES,
  CLIENT_QUEUE_PAUSE_BYTES,
  CLOSE_FLUSH_TIMEOUT_MS,
  MAX_CLIENT_REQUESTS_IN_FLIGHT,
  SIGN_IN_CHECKS,
} from "../protocol/limits.ts";

/** The server's handlers of the events of a client's connection. */
export interface ClientHandlers {
  /** Handles a request; it gets exactly one answer, now or later, through {@link ClientConnection.send}. */
  readonly onRequest: (request: ClientRequest) => void;
  /** Called when bytes were sent and fewer than CLIENT_QUEUE_PAUSE_BYTES are queued: more answers may be made. */
  readonly onWritable: () => void;
  /** Called once when the connection is closed: nothing is received or sent any more. */
  readonly onClose: () => void;
  /** Whether the client waits for notices, such as the events of a watch, and so uses a connection that is silent. */
  readonly isWatching: () => boolean;
  /** Whether nearly all requests are refused until the client signs in. */
  readonly mustSignIn: () => boolean;
}

/** The connection of one client. */
export class ClientConnection {
  /** The other end, for logs. */
  readonly remote: string;
  /** The certificate that says who the client is; null without one. */
  readonly certificate: PeerCertificate | null;
  /** The use of the connection by a front end of this node; null for one from outside of the process. */
  readonly inProcess: InProcessUse | null;
  readonly #channel: FrameChannel;
  #unanswered = 0;
  #isPausedByServer = false;
  #onWritable = (): void => {};
  #isWatching = (): boolean => false;
  #mustSignIn = (): boolean => false;

  /** Called by the listener after the client's hello. */
  constructor(channel: FrameChannel, certificate: PeerCertificate | null = null) {
    this.remote = channel.remote;
    this.certificate = certificate;
    this.inProcess = channel.inProcess;
    this.#channel = channel;
    channel.onProgress(() => {
      this.#updateReading();
      if (!this.isBacklogged) this.#onWritable();
    });
  }

  /** Requests that wait for an answer. */
  get requestsInFlight(): number {
    return this.#unanswered;
  }

  /**
   * Number of consecutive checks in which the connection was not used; 0 while a request waits for its answer, or the
   * client watches keys. Infinity for one that does not sign in though it must.
   */
  get idleChecks(): number {
    if (this.#mustSignIn()) return this.#channel.checks >= SIGN_IN_CHECKS ? Infinity : 0;
    return this.#unanswered > 0 || this.#isWatching() ? 0 : this.#channel.idleChecks;
  }

  /** Whether this node has closed it. */
  get isClosed(): boolean {
    return this.#channel.closeReason !== null;
  }

  /** Queued bytes of answers. */
  get queuedBytes(): number {
    return this.#channel.queuedBytes;
  }

  /** Whether so many bytes are queued that nothing should be read for this client until fewer are. */
  get isBacklogged(): boolean {
    return this.queuedBytes >= CLIENT_QUEUE_PAUSE_BYTES;
  }

  /**
   * Queues a message for the end of the turn. Returns false when the connection is closed, or is closed by this call
   * because the client does not read.
   */
  send(message: ServerMessage): boolean {
    if (!isNotice(message)) this.#unanswered -= 1;
    const isSent = this.#send(this.#orBusy(message));
    this.#updateReading();
    return isSent;
  }

  /** Queues the events of a watch, as {@link send} does. */
  sendEvents(events: Readonly<SharedEvents>): boolean {
    const isSent = this.#queue(encodeSharedEvents, events);
    this.#updateReading();
    return isSent;
  }

  /** Closes the connection because of an unexpected error while the client was served. */
  fail(error: unknown): void {
    this.#channel.fail(error);
  }

  /** Sets the bytes of requests that are held because the client does not read their answers. */
  hold(bytes: number): void {
    this.#channel.hold(bytes);
  }

  /** Delivers no further requests until {@link resumeReading}. */
  pauseReading(): void {
    this.#isPausedByServer = true;
    this.#updateReading();
  }

  /** Continues after {@link pauseReading}. */
  resumeReading(): void {
    this.#isPausedByServer = false;
    this.#updateReading();
  }

  /** Closes at once; queued answers are lost. */
  end(reason: string): void {
    this.#channel.close(reason);
  }

  /** Closes once the queued answers are sent, or after CLOSE_FLUSH_TIMEOUT_MS. */
  close(reason: string): Promise<void> {
    return this.#channel.finish(reason, CLOSE_FLUSH_TIMEOUT_MS);
  }

  /** Calls `onRequest` with each request until the connection ends; resolves to the reason. Rejects with an error that `onRequest` throws. */
  serve({ onRequest, onWritable, isWatching, mustSignIn }: Omit<ClientHandlers, "onClose">): Promise<string> {
    this.#onWritable = onWritable;
    this.#isWatching = isWatching;
    this.#mustSignIn = mustSignIn;
    return this.#channel.readFrames((payload) => {
      const request = this.#decode(payload);
      if (request === null) return;
      this.#unanswered += 1;
      this.#updateReading();
      onRequest(request);
    });
  }

  /** Returns the request in a frame; null, with an error sent to the client, if this version does not know it. */
  #decode(payload: Uint8Array): ClientRequest | null {
    try {
      return decodeClientRequest(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const requestId = requestIdOf(payload);
      if (error instanceof UnknownKindError) {
        this.#send(refusal("unknownKind", { requestId, message: error.message }));
        this.#updateReading();
      } else {
        this.#send(refusal("invalidRequest", { requestId, message: error.message }));
        void this.close(error.message); // never rejects
      }
      return null;
    }
  }

  /**
   * Replaces the result of a read by a short refusal when too many bytes are queued: the client may repeat the read. The
   * result of a write is always sent, but without the value that it may include, which the client may read.
   */
  #orBusy(message: ServerMessage): ServerMessage {
    if (message.kind === "writeResult" && this.queuedBytes >= CLIENT_QUEUE_BUSY_BYTES) {
      return { ...message, result: withoutValues(message.result) };
    }
    const wasRead = message.kind === "getResult" || message.kind === "listResult" ||
      message.kind === "snapshotPart";
    if (!wasRead || this.queuedBytes < CLIENT_QUEUE_BUSY_BYTES) return message;
    return refusal("busy", {
      requestId: message.requestId,
      message:
        "Cannot send the answer: too many bytes wait to be read on this connection. Ask again with fewer at once.",
    });
  }

  #send(message: ServerMessage): boolean {
    return this.#queue(encodeServerMessage, message);
  }

  #queue<T>(encode: EncodePayload<T>, message: T): boolean {
    if (!this.#channel.isOpen) return false;
    const isSent = this.#channel.send(encode, message);
    if (!isSent) this.#channel.close("the client does not read its answers");
    return isSent;
  }

  #updateReading(): void {
    const mustPause = this.#isPausedByServer ||
      this.#unanswered >= MAX_CLIENT_REQUESTS_IN_FLIGHT ||
      this.isBacklogged;
    if (mustPause) this.#channel.pauseReading();
    else this.#channel.resumeReading();
  }
}

function refusal(
  code: ErrorCode,
  details: { readonly requestId: number; readonly message: string },
): ErrorResponse {
  return { kind: "error", code, ...details, outcome: "not-applied", leader: null };
}
