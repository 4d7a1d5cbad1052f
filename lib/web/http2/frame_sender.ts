/** Appends the frames of a server to the output of a connection. */
import { assert } from "../../platform/assert.ts";
import type { ByteQueue } from "../byte_queue.ts";
import { HpackEncoder } from "../hpack/encoder.ts";
import type { Output } from "../output.ts";
import type { WebHead, WebHeaders } from "../types.ts";
import { type ErrorCode, FLAG, FRAME, FRAME_HEADER_BYTES, MAX_FRAME_BYTES } from "./protocol.ts";

/** Debug data of a GOAWAY; the rest is cut. */
const MAX_DEBUG_CHARACTERS = 200;

/** Writes frames. */
export class FrameSender {
  readonly #output: Output;
  readonly #encoder = new HpackEncoder();

  /** Sends nothing. */
  constructor(output: Output) {
    this.#output = output;
  }

  /** Notes the peer's limit of the dynamic table. */
  limitTable(bytes: number): void {
    this.#encoder.limitTable(bytes);
  }

  /** Sends settings by their numbers. */
  settings(values: readonly (readonly [setting: number, value: number])[]): void {
    const queue = this.#begin(6 * values.length, FRAME.settings, 0, 0);
    for (const [setting, value] of values) {
      queue.integer(setting, 2);
      queue.integer(value, 4);
    }
  }

  /** Acknowledges settings of the peer. */
  settingsAck(): void {
    this.#begin(0, FRAME.settings, FLAG.ack, 0);
  }

  /** Answers a ping with its payload. */
  pingAck(payload: Uint8Array): void {
    this.#begin(payload.length, FRAME.ping, FLAG.ack, 0).bytes(payload);
  }

  /** Allows the peer to send so many bytes more, on a stream or on the connection (0). */
  windowUpdate(streamId: number, bytes: number): void {
    this.#begin(4, FRAME.windowUpdate, 0, streamId).integer(bytes, 4);
  }

  /** Ends a stream at once. */
  rstStream(streamId: number, code: ErrorCode): void {
    this.#begin(4, FRAME.rstStream, 0, streamId).integer(code, 4);
  }

  /** Says that streams behind `lastStreamId` are not handled. */
  goaway(lastStreamId: number, code: ErrorCode, debug = ""): void {
    const text = debug.slice(0, MAX_DEBUG_CHARACTERS);
    const queue = this.#begin(8 + text.length, FRAME.goaway, 0, 0);
    queue.integer(lastStreamId, 4);
    queue.integer(code, 4);
    queue.latin1(text);
  }

  /** Sends the head of an answer. Throws, and sends nothing, if a field is invalid or the head does not fit a frame. */
  head(
    streamId: number,
    { status, headers = {} }: WebHead,
    { endStream, contentLength }: { readonly endStream: boolean; readonly contentLength: number | null },
  ): void {
    assert(status >= 200 && status <= 599, "an answer has a final status");
    this.#block(streamId, endStream, (queue, encoder) => {
      encoder.status(queue, status);
      if (contentLength !== null) encoder.field(queue, "content-length", String(contentLength));
      encoder.fields(queue, headers);
    });
  }

  /** Sends the fields behind a body. Throws as {@link head} does. */
  trailers(streamId: number, trailers: WebHeaders): void {
    this.#block(streamId, true, (queue, encoder) => {
      encoder.fields(queue, trailers);
    });
  }

  /** Sends a part of a body. */
  data(streamId: number, bytes: Uint8Array, endStream: boolean): void {
    assert(bytes.length <= MAX_FRAME_BYTES, "a frame has at most MAX_FRAME_BYTES");
    this.#begin(bytes.length, FRAME.data, endStream ? FLAG.endStream : 0, streamId).bytes(bytes);
  }

  #begin(length: number, type: number, flags: number, streamId: number): ByteQueue {
    const queue = this.#output.queue();
    queue.integer(length, 3);
    queue.byte(type);
    queue.byte(flags);
    queue.integer(streamId, 4);
    return queue;
  }

  #block(
    streamId: number,
    endStream: boolean,
    encode: (queue: ByteQueue, encoder: HpackEncoder) => void,
  ): void {
    const flags = FLAG.endHeaders | (endStream ? FLAG.endStream : 0);
    const queue = this.#begin(0, FRAME.headers, flags, streamId);
    const begin = queue.length;
    try {
      this.#encoder.begin(queue);
      encode(queue, this.#encoder);
      assert(queue.length - begin <= MAX_FRAME_BYTES, "the fields of an answer fit a frame");
    } catch (error) {
      queue.truncate(begin - FRAME_HEADER_BYTES); // half a frame would end the connection
      throw error;
    }
    this.#encoder.end();
    queue.setInteger(begin - FRAME_HEADER_BYTES, queue.length - begin, 3);
  }
}
