/**
 * A client's connection at the server, with flow control for a client that sends requests faster than it reads answers.
 *
 * Reading pauses while MAX_CLIENT_REQUESTS_IN_FLIGHT requests wait for answers, while CLIENT_QUEUE_PAUSE_BYTES of
 * answers wait to leave, or while the server wishes it. Beyond CLIENT_QUEUE_BUSY_BYTES what was read is answered
 * `busy`; beyond CLIENT_QUEUE_MAX_BYTES the connection is closed.
 */
import {
  type ClientRequest,
  decodeClientRequest,
  encodeServerMessage,
  type ErrorResponse,
  requestIdOf,
  type ServerMessage,
} from "../protocol/client_frames.ts";
import type { ErrorCode } from "../protocol/messages.ts";
import { withoutCurrent } from "../protocol/command.ts";
import { DecodeError, UnknownKindError } from "../protocol/errors.ts";
import type { FrameChannel } from "./frame_channel.ts";
import {
  CLIENT_QUEUE_BUSY_BYTES,
  CLIENT_QUEUE_PAUSE_BYTES,
  CLOSE_FLUSH_TIMEOUT_MS,
  MAX_CLIENT_REQUESTS_IN_FLIGHT,
} from "../protocol/limits.ts";

/** What the server does with a client's connection. */
export interface ClientHandlers {
  /** A request came in; it gets exactly one answer, now or later, through {@link ClientConnection.send}. */
  readonly onRequest: (request: ClientRequest) => void;
  /** Fewer than CLIENT_QUEUE_PAUSE_BYTES wait to leave, and some have left: more answers may be made. */
  readonly onWritable: () => void;
  /** The connection is gone: nothing comes in or goes out any more. Called once. */
  readonly onClose: () => void;
}

/** One client. */
export class ClientConnection {
  /** The other end, for logs. */
  readonly remote: string;
  readonly #channel: FrameChannel;
  #unanswered = 0;
  #isPausedByServer = false;
  #onWritable = (): void => {};

  /** Made by the listener once the client has said hello. */
  constructor(channel: FrameChannel) {
    this.remote = channel.remote;
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

  /** Whether it was closed from this side. */
  get isClosed(): boolean {
    return this.#channel.closeReason !== null;
  }

  /** Bytes that wait to leave. */
  get queuedBytes(): number {
    return this.#channel.queuedBytes;
  }

  /** Whether so many bytes wait to leave that nothing should be read for this client until fewer do. */
  get isBacklogged(): boolean {
    return this.queuedBytes >= CLIENT_QUEUE_PAUSE_BYTES;
  }

  /** Queues a message for the end of the turn; false when the connection is closed (or is now, for not reading). */
  send(message: ServerMessage): boolean {
    if (message.kind !== "leader" && message.kind !== "members") this.#unanswered -= 1;
    const isSent = this.#send(this.#orBusy(message));
    this.#updateReading();
    return isSent;
  }

  /** Closes the connection because of an unexpected error while the client was served. */
  fail(error: unknown): void {
    this.#channel.fail(error);
  }

  /** So many bytes of requests are held, whose answers the client does not take. */
  hold(bytes: number): void {
    this.#channel.hold(bytes);
  }

  /** Hands over no further requests until {@link resumeReading}. */
  pauseReading(): void {
    this.#isPausedByServer = true;
    this.#updateReading();
  }

  /** Goes on after {@link pauseReading}. */
  resumeReading(): void {
    this.#isPausedByServer = false;
    this.#updateReading();
  }

  /** Closes once what waits is out, or after a while. */
  close(reason: string): Promise<void> {
    return this.#channel.finish(reason, CLOSE_FLUSH_TIMEOUT_MS);
  }

  /** Hands requests to `onRequest` until the connection ends; resolves to why. Rejects with what `onRequest` throws. */
  serve({ onRequest, onWritable }: Pick<ClientHandlers, "onRequest" | "onWritable">): Promise<string> {
    this.#onWritable = onWritable;
    return this.#channel.readFrames((payload) => {
      const request = this.#decode(payload);
      if (request === null) return;
      this.#unanswered += 1;
      this.#updateReading();
      onRequest(request);
    });
  }

  /** The request in a frame; null when there is none that this version knows, which the client has then been told. */
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
   * Replaces what was read by a short refusal when too much waits to leave: the client may ask again. The result of a
   * write goes out all the same, but without the value that it may include, which the client may ask for again.
   */
  #orBusy(message: ServerMessage): ServerMessage {
    if (message.kind === "writeResult" && this.queuedBytes >= CLIENT_QUEUE_BUSY_BYTES) {
      return { ...message, result: withoutCurrent(message.result) };
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
    if (!this.#channel.isOpen) return false;
    const isSent = this.#channel.send(encodeServerMessage, message);
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
