/**
 * Takes frames out of the bytes of a client, and checks everything about them that does not depend on the states of
 * streams: sizes, padding, which streams they may name, the order of the parts of a header block, and their number.
 */
import { ByteQueue } from "../byte_queue.ts";
import { type DecodedBlock, HpackDecoder, HpackError } from "../hpack/decoder.ts";
import type { Input } from "../input.ts";
import type { FloodGuard } from "./flood_guard.ts";
import {
  ConnectionError,
  ERROR,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_FRAME_BYTES,
  StreamError,
} from "./protocol.ts";

/** A part of a body with fewer bytes is no progress. */
const SMALL_DATA_BYTES = 256;
/** Bytes of the fields that a HEADERS frame has for priorities. */
const PRIORITY_BYTES = 5;

/** Handles the frames of a connection. Views of bytes are valid during the call only. */
export interface FrameHandler {
  /** A whole header block. */
  onHeaders(streamId: number, block: DecodedBlock, endStream: boolean): void;
  /** A part of a body; `windowBytes` also counts its padding. */
  onData(
    streamId: number,
    data: { readonly bytes: Uint8Array; readonly windowBytes: number; readonly endStream: boolean },
  ): void;
  onRstStream(streamId: number): void;
  onSettings(payload: Uint8Array): void;
  onPing(payload: Uint8Array): void;
  onGoaway(): void;
  onWindowUpdate(streamId: number, bytes: number): void;
  /** An error of one stream. */
  onStreamError(error: StreamError): void;
}

/** A frame in the buffer of an input. */
interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  /** Where its payload begins in the buffer, and ends. */
  begin: number;
  end: number;
}

/** A header block of which the last part has not arrived. */
interface PartialBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly bytes: ByteQueue;
}

/** Options of {@link FrameReceiver}. */
export interface FrameReceiverOptions {
  readonly input: Input;
  readonly guard: FloodGuard;
  readonly handler: FrameHandler;
  /** Largest head of a request. */
  readonly maxHeadBytes: number;
}

/** Receives frames behind the preface. */
export class FrameReceiver {
  readonly #options: FrameReceiverOptions;
  readonly #decoder = new HpackDecoder();
  #block: PartialBlock | null = null;
  #isFirst = true;

  /** Nothing has arrived. */
  constructor(options: FrameReceiverOptions) {
    this.#options = options;
  }

  /** Whether a part of a frame or of a header block has arrived, and not the rest. */
  get isWithinFrame(): boolean {
    return this.#options.input.length > 0 || this.#block !== null;
  }

  /** Handles all whole frames that have arrived. Throws {@link ConnectionError}. */
  receive(): void {
    const { input, handler } = this.#options;
    for (;;) {
      const frame = this.#next(input);
      if (frame === null) return;
      try {
        this.#handle(frame);
      } catch (error) {
        if (error instanceof HpackError) throw new ConnectionError(ERROR.compressionError, error.message);
        if (!(error instanceof StreamError)) throw error;
        handler.onStreamError(error);
      }
    }
  }

  /** Returns the next frame, or null where it has not arrived completely. */
  #next(input: Input): Frame | null {
    if (input.length < FRAME_HEADER_BYTES) return null;
    const { buffer, begin: at } = input;
    const length = (byteAt(buffer, at) << 16) | (byteAt(buffer, at + 1) << 8) | byteAt(buffer, at + 2);
    if (length > MAX_FRAME_BYTES) {
      throw new ConnectionError(ERROR.frameSizeError, `a frame has at most ${MAX_FRAME_BYTES} bytes`);
    }
    if (input.length < FRAME_HEADER_BYTES + length) return null;
    input.use(FRAME_HEADER_BYTES + length);
    const begin = at + FRAME_HEADER_BYTES;
    return {
      type: byteAt(buffer, at + 3),
      flags: byteAt(buffer, at + 4),
      streamId: uint32At(buffer, at + 5) & 0x7fff_ffff,
      begin,
      end: begin + length,
    };
  }

  #handle(frame: Frame): void {
    const { type } = frame;
    if (this.#isFirst && (type !== FRAME.settings || (frame.flags & FLAG.ack) !== 0)) {
      throw new ConnectionError(ERROR.protocolError, "the first frame is no SETTINGS");
    }
    this.#isFirst = false;
    if (this.#block !== null && (type !== FRAME.continuation || frame.streamId !== this.#block.streamId)) {
      throw new ConnectionError(ERROR.protocolError, "a header block is interrupted");
    }
    if (type === FRAME.data) return this.#data(frame);
    if (type === FRAME.headers) return this.#headers(frame);
    this.#noProgress();
    if (type === FRAME.settings) return this.#settings(frame);
    if (type === FRAME.windowUpdate) return this.#windowUpdate(frame);
    if (type === FRAME.rstStream) return this.#rstStream(frame);
    if (type === FRAME.ping) return this.#ping(frame);
    if (type === FRAME.continuation) return this.#continuation(frame);
    if (type === FRAME.goaway) return this.#goaway(frame);
    if (type === FRAME.priority) return this.#priority(frame);
    if (type === FRAME.pushPromise) throw new ConnectionError(ERROR.protocolError, "a client pushes nothing");
  } // frames of other types are ignored (RFC 9113 §4.1)

  #data(frame: Frame): void {
    const { input, guard, handler } = this.#options;
    demandStream(frame);
    const windowBytes = frame.end - frame.begin;
    removePadding(this.#options.input.buffer, frame);
    const bytes = input.buffer.subarray(frame.begin, frame.end);
    const endStream = (frame.flags & FLAG.endStream) !== 0;
    if (bytes.length >= SMALL_DATA_BYTES || endStream) guard.progress();
    else this.#noProgress();
    handler.onData(frame.streamId, { bytes, windowBytes, endStream });
  }

  #headers(frame: Frame): void {
    this.#options.guard.progress();
    demandStream(frame);
    removePadding(this.#options.input.buffer, frame);
    if ((frame.flags & FLAG.priority) !== 0) {
      if (frame.end - frame.begin < PRIORITY_BYTES) {
        throw new ConnectionError(ERROR.frameSizeError, "a HEADERS frame has no space for its priority");
      }
      frame.begin += PRIORITY_BYTES;
    }
    const { streamId } = frame;
    const endStream = (frame.flags & FLAG.endStream) !== 0;
    const { buffer } = this.#options.input;
    if ((frame.flags & FLAG.endHeaders) !== 0) {
      this.#decode({ streamId, endStream, buffer, begin: frame.begin, end: frame.end });
    } else {
      this.#block = { streamId, endStream, bytes: new ByteQueue() };
      this.#append(this.#block, frame);
    }
  }

  #continuation(frame: Frame): void {
    const block = this.#block;
    if (block === null) throw new ConnectionError(ERROR.protocolError, "a CONTINUATION continues nothing");
    this.#append(block, frame);
    if ((frame.flags & FLAG.endHeaders) === 0) return;
    this.#block = null;
    const { streamId, endStream, bytes } = block;
    this.#decode({ streamId, endStream, buffer: bytes.view(), begin: 0, end: bytes.length });
  }

  #append({ bytes }: PartialBlock, { begin, end }: Frame): void {
    bytes.bytes(this.#options.input.buffer.subarray(begin, end));
    // The connection ends: without the whole block the tables of both ends would differ.
    if (bytes.length > this.#options.maxHeadBytes) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "the head of a request is too large");
    }
  }

  #decode(
    { streamId, endStream, buffer, begin, end }: {
      readonly streamId: number;
      readonly endStream: boolean;
      readonly buffer: Uint8Array;
      readonly begin: number;
      readonly end: number;
    },
  ): void {
    const { handler, maxHeadBytes: maxBytes } = this.#options;
    handler.onHeaders(streamId, this.#decoder.decode(buffer, { begin, end, maxBytes }), endStream);
  }

  #settings(frame: Frame): void {
    demandConnection(frame);
    if ((frame.flags & FLAG.ack) === 0) return this.#options.handler.onSettings(this.#payload(frame));
    if (frame.end > frame.begin) {
      throw new ConnectionError(ERROR.frameSizeError, "an acknowledgement of settings is empty");
    }
  }

  #ping(frame: Frame): void {
    demandConnection(frame);
    demandLength(frame, 8);
    if ((frame.flags & FLAG.ack) === 0) this.#options.handler.onPing(this.#payload(frame));
  }

  #goaway(frame: Frame): void {
    demandConnection(frame);
    if (frame.end - frame.begin < 8) throw new ConnectionError(ERROR.frameSizeError, "a GOAWAY has 8 bytes");
    this.#options.handler.onGoaway();
  }

  #windowUpdate(frame: Frame): void {
    demandLength(frame, 4);
    const { streamId } = frame;
    const bytes = uint32At(this.#options.input.buffer, frame.begin) & 0x7fff_ffff;
    if (bytes > 0) return this.#options.handler.onWindowUpdate(streamId, bytes);
    const problem = "a window is updated by 0";
    throw streamId === 0
      ? new ConnectionError(ERROR.protocolError, problem)
      : new StreamError(streamId, ERROR.protocolError, problem);
  }

  #rstStream(frame: Frame): void {
    demandStream(frame);
    demandLength(frame, 4);
    this.#options.handler.onRstStream(frame.streamId);
  }

  /** Priorities are checked, and ignored (RFC 9113 §5.3). */
  #priority(frame: Frame): void {
    demandStream(frame);
    if (frame.end - frame.begin === PRIORITY_BYTES) return;
    throw new StreamError(frame.streamId, ERROR.frameSizeError, "a PRIORITY has 5 bytes");
  }

  #noProgress(): void {
    if (this.#options.guard.frame()) return;
    throw new ConnectionError(ERROR.enhanceYourCalm, "too many frames lead to nothing");
  }

  #payload({ begin, end }: Frame): Uint8Array {
    return this.#options.input.buffer.subarray(begin, end);
  }
}

/** Removes the padding of a DATA or HEADERS frame. */
function removePadding(buffer: Uint8Array, frame: Frame): void {
  if ((frame.flags & FLAG.padded) === 0) return;
  const padding = byteAt(buffer, frame.begin);
  if (padding >= frame.end - frame.begin) {
    throw new ConnectionError(ERROR.protocolError, "the padding of a frame is longer than the frame");
  }
  frame.begin += 1;
  frame.end -= padding;
}

function demandStream({ streamId }: Frame): void {
  if (streamId === 0) throw new ConnectionError(ERROR.protocolError, "a frame belongs to no stream");
}

function demandConnection({ streamId }: Frame): void {
  if (streamId !== 0) {
    throw new ConnectionError(ERROR.protocolError, "a frame of the connection names a stream");
  }
}

function demandLength({ begin, end }: Frame, length: number): void {
  if (end - begin !== length) {
    throw new ConnectionError(ERROR.frameSizeError, `a frame of this type has ${length} bytes`);
  }
}

function byteAt(buffer: Uint8Array, at: number): number {
  return buffer[at] ?? 0;
}

function uint32At(buffer: Uint8Array, at: number): number {
  return ((byteAt(buffer, at) << 24) | (byteAt(buffer, at + 1) << 16) | (byteAt(buffer, at + 2) << 8) |
    byteAt(buffer, at + 3)) >>> 0;
}
