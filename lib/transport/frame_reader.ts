/**
 * Splits the bytes of a connection into frames: 4 bytes of length, most significant first, then that many bytes.
 *
 * One buffer per connection is reused for every read; a frame is delivered as a view of it that is valid only during the
 * call. All frames of one read are delivered together, so that they form one batch.
 */
import { assert } from "../platform/assert.ts";
import { errorMessage } from "../platform/errors.ts";
import type { Connection } from "../platform/network.ts";
import { withResolvers } from "../platform/promise.ts";
import type { RequestTurns } from "./request_turns.ts";

/**
 * Size of a buffer until a read has filled it: connections that are opened only to be checked, or that send a few small
 * requests, need no more, and larger buffers cost time (some 10 µs for 16 KiB).
 */
const FIRST_BUFFER_BYTES = 1_024;

/** Bytes of the length before each frame. */
export const FRAME_HEADER_BYTES = 4;

/** The end of a stream of frames. */
export type StreamEnd =
  /** The other end closed it between two frames. */
  | { readonly kind: "ended" }
  /** The other end closed it in the middle of a frame. */
  | { readonly kind: "cutOff" }
  /** A frame is longer than allowed; nothing was allocated for it. */
  | { readonly kind: "frameTooLarge"; readonly bytes: number; readonly maxBytes: number }
  /** The other end speaks another protocol; detected only while single frames are read. */
  | { readonly kind: "otherProtocol"; readonly looksLike: string }
  /** The connection broke, or this node closed it. */
  | { readonly kind: "failed"; readonly error: unknown };

/** Limits on the sizes of frames. */
export interface FrameLimits {
  /** Longest accepted payload. */
  readonly maxFrameBytes: number;
  /** A buffer that grew beyond this for a long frame is freed once that was delivered. */
  readonly retainedBytes: number;
}

/** Options of a {@link FrameReader}. */
export interface FrameReaderOptions extends FrameLimits {
  /** Size of the buffer once a read has filled a small one; it grows for a longer frame, as its bytes arrive. */
  readonly bufferBytes: number;
}

/** Reads the frames of one connection; the only reader on it. */
export class FrameReader {
  readonly #connection: Connection;
  readonly #bufferBytes: number;
  #limits: FrameLimits;
  #buffer: Uint8Array;
  /** Bytes that were read and not yet delivered are in #buffer from #start to #end. */
  #start = 0;
  #end = 0;
  /** Whether a read has filled the first buffer. */
  #wasFilled = false;
  /** Resolved by {@link resume}; null while not paused. */
  #pause: PromiseWithResolvers<void> | null = null;
  #stopped = false;
  #traffic: Traffic | null = null;
  #turns: RequestTurns | null = null;
  /** Frames that may be delivered before the next turn is requested. */
  #granted = 0;
  /** Ends the wait for a turn; null while there is none. */
  #endWait: ((granted: number) => void) | null = null;
  /** Delivered frames, and their number at the last {@link checkFrame}. */
  #frames = 0;
  #framesAtCheck = 0;
  #checks = 0;
  #heldBytes = 0;
  #onHeld: () => void = () => {};

  /** Does not begin to read. */
  constructor(connection: Connection, options: FrameReaderOptions) {
    this.#connection = connection;
    this.#bufferBytes = options.bufferBytes;
    this.#limits = options;
    this.#buffer = new Uint8Array(Math.min(options.bufferBytes, FIRST_BUFFER_BYTES));
  }

  /** Changes the limits, from the next frame on. */
  allow(limits: FrameLimits): void {
    this.#limits = limits;
  }

  /** Counts the bytes read from now on in `traffic`. */
  countIn(traffic: Traffic): void {
    this.#traffic = traffic;
  }

  /** Delivers frames only in these turns from now on. */
  shareTurns(turns: RequestTurns): void {
    this.#turns = turns;
  }

  /** Bytes of memory held by a partly received frame; 0 between frames. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Number of delivered frames. */
  get frames(): number {
    return this.#frames;
  }

  /** Calls `listener` whenever {@link heldBytes} has changed. */
  onHeld(listener: () => void): void {
    this.#onHeld = listener;
  }

  /** Returns the number of consecutive calls, including this one, that have found the same partial frame while reading. */
  checkFrame(): number {
    const isSame = this.#frames === this.#framesAtCheck;
    const isWaiting = this.#heldBytes > 0 && this.#pause === null;
    this.#framesAtCheck = this.#frames;
    this.#checks = !isWaiting ? 0 : isSame ? this.#checks + 1 : 1;
    return this.#checks;
  }

  /** Delivers no further frame and reads nothing until {@link resume}. */
  pause(): void {
    if (!this.#stopped) this.#pause ??= withResolvers();
  }

  /** Continues after {@link pause}. */
  resume(): void {
    this.#pause?.resolve();
    this.#pause = null;
  }

  /** Delivers nothing more. Called before the connection is closed, so that frames in the buffer are dropped. */
  stop(): void {
    this.#stopped = true;
    this.resume();
    if (this.#endWait === null) return;
    this.#turns?.leave(this.#endWait);
    this.#endWait(0);
  }

  /**
   * Reads one frame; its payload is a copy. Used where each frame answers the one before, such as the hello: another
   * protocol is recognised by its first bytes.
   */
  async readFrame(): Promise<{ readonly kind: "frame"; readonly payload: Uint8Array } | StreamEnd> {
    while (true) {
      const looksLike = recogniseProtocol(this.#buffer.subarray(this.#start, this.#end));
      if (looksLike !== null) return { kind: "otherProtocol", looksLike };
      const frame = this.#takeFrame();
      if (frame !== null) {
        return frame.kind === "frame" ? { kind: "frame", payload: frame.payload.slice() } : frame;
      }
      const end = await this.#fill();
      if (end !== null) return end;
    }
  }

  /**
   * Reads frames and calls `onFrame` with each until the stream ends; resolves to that end. The payload is a view that
   * is valid only during the call. Rejects only with an error that `onFrame` throws.
   */
  async readFrames(onFrame: (payload: Uint8Array) => void): Promise<StreamEnd> {
    while (true) {
      if (this.#pause !== null) await this.#pause.promise;
      if (this.#stopped) return { kind: "failed", error: new Error("closed from this side") };
      const frame = this.#takeFrame();
      if (frame === null) {
        // Not #fill(): every read of a connection passes here, and an async function more costs two promises.
        let count: number | null;
        try {
          count = await this.#read();
        } catch (error) {
          return { kind: "failed", error };
        }
        if (count === null) return this.#ended();
        this.#received(count);
      } else if (frame.kind !== "frame") {
        return frame;
      } else {
        if (!this.#isItsTurn()) await this.#nextTurn();
        if (!this.#stopped) onFrame(frame.payload);
      }
    }
  }

  #isItsTurn(): boolean {
    if (this.#turns === null) return true;
    if (this.#granted === 0) return this.#turns.take();
    this.#granted -= 1;
    return true;
  }

  async #nextTurn(): Promise<void> {
    const { promise, resolve } = withResolvers<number>();
    this.#endWait = resolve;
    this.#turns?.wait(resolve);
    this.#granted = Math.max(0, await promise - 1);
    this.#endWait = null;
  }

  /** Returns the next complete frame as a view of the buffer; null when more bytes must be read first. */
  #takeFrame(): { readonly kind: "frame"; readonly payload: Uint8Array } | StreamEnd | null {
    const length = this.#payloadLength();
    if (length === null) return null;
    const { maxFrameBytes } = this.#limits;
    if (length > maxFrameBytes) return { kind: "frameTooLarge", bytes: length, maxBytes: maxFrameBytes };
    const begin = this.#start + FRAME_HEADER_BYTES;
    if (begin + length > this.#end) return null;
    this.#start = begin + length;
    this.#frames += 1;
    return { kind: "frame", payload: this.#buffer.subarray(begin, begin + length) };
  }

  /** Returns the length that the next frame announces; null while its header is incomplete. */
  #payloadLength(): number | null {
    if (this.#end - this.#start < FRAME_HEADER_BYTES) return null;
    return this.#byteAt(0) * 2 ** 24 + this.#byteAt(1) * 2 ** 16 + this.#byteAt(2) * 2 ** 8 + this.#byteAt(3);
  }

  #byteAt(offset: number): number {
    return this.#buffer[this.#start + offset] ?? 0;
  }

  /** Reads once; resolves to null if bytes arrived, else to the end of the stream. */
  async #fill(): Promise<StreamEnd | null> {
    try {
      const count = await this.#read();
      if (count === null) return this.#ended();
      this.#received(count);
      return null;
    } catch (error) {
      return { kind: "failed", error };
    }
  }

  /** Begins a read behind the bytes that were not delivered yet. */
  #read(): Promise<number | null> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    this.#reserve();
    this.#noteHeld();
    this.#granted = 0;
    return this.#connection.read(this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end));
  }

  #received(count: number): void {
    this.#end += count;
    if (this.#end === this.#buffer.length) this.#wasFilled = true;
    if (this.#traffic !== null) this.#traffic.bytesIn += count;
  }

  #ended(): StreamEnd {
    return { kind: this.#start === this.#end ? "ended" : "cutOff" };
  }

  #noteHeld(): void {
    const heldBytes = this.#start === this.#end ? 0 : this.#buffer.length;
    if (heldBytes === this.#heldBytes) return;
    this.#heldBytes = heldBytes;
    this.#onHeld();
  }

  /**
   * Makes free space after #end. The buffer grows only when it is full of received bytes, so that a false length costs
   * its sender as many bytes as the reader.
   */
  #reserve(): void {
    const bufferBytes = this.#bufferBytes;
    const { retainedBytes } = this.#limits;
    const unread = this.#end - this.#start;
    if (this.#wasFilled && this.#buffer.length < bufferBytes) this.#moveTo(new Uint8Array(bufferBytes));
    if (unread < bufferBytes && this.#buffer.length > retainedBytes) {
      this.#moveTo(new Uint8Array(bufferBytes));
    } else if (unread === this.#buffer.length) {
      const needed = FRAME_HEADER_BYTES + (this.#payloadLength() ?? 0);
      assert(needed > unread, "a buffer that is full holds no complete frame");
      this.#moveTo(new Uint8Array(Math.min(needed, Math.max(unread * 2, retainedBytes))));
    } else if (this.#start > 0 && this.#buffer.length - this.#end < bufferBytes / 2) {
      this.#moveTo(this.#buffer);
    }
  }

  #moveTo(buffer: Uint8Array): void {
    if (buffer === this.#buffer) buffer.copyWithin(0, this.#start, this.#end);
    else buffer.set(this.#buffer.subarray(this.#start, this.#end));
    this.#end -= this.#start;
    this.#start = 0;
    this.#buffer = buffer;
  }
}

/** Returns the end of a stream as the second half of a sentence. */
export function describeEnd(end: StreamEnd): string {
  switch (end.kind) {
    case "ended":
      return "the other end closed the connection";
    case "cutOff":
      return "the other end closed the connection in the middle of a frame";
    case "frameTooLarge":
      return `a frame of ${end.bytes} bytes is announced, and ${end.maxBytes} are allowed`;
    case "otherProtocol":
      return `the other end speaks another protocol (${end.looksLike})`;
    case "failed":
      return errorMessage(end.error);
  }
}

/** Bytes by which every protocol below is recognized. */
const MAX_RECOGNISED_BYTES = 24;

type Beginnings = readonly (readonly [looksLike: string, beginning: RegExp])[];

/** Protocols of text, by their first characters. */
const TEXT_PROTOCOLS: Beginnings = [
  ["HTTP/2 or gRPC", /^PRI \* HTTP\/2/],
  ["HTTP", /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) |^HTTP\/1/],
  ["SSH", /^SSH-/],
  // An array as clients send it; a status or an error as servers do.
  ["Redis", /^\*[0-9]{1,7}\r\n|^\+(?:OK|PONG)\r\n|^-(?:ERR|NOAUTH|DENIED) /],
  ["SMTP or FTP", /^220[ -]|^(?:EHLO|HELO) /],
];

/** Protocols of bytes, by their first ones in hexadecimal. */
const BINARY_PROTOCOLS: Beginnings = [
  // A server's SETTINGS frame: 3 bytes of length, type 4, flags, stream 0.
  ["HTTP/2 or gRPC", /^00....040[01]00000000/],
  // A record of TLS 1.0 to 1.3 that holds a handshake or an alert.
  ["TLS", /^1[56]030[0-4]/],
  // SSLRequest, GSSENCRequest and CancelRequest; the startup message of version 3.
  ["PostgreSQL", /^000000(?:08|10)04d2162[ef]|^0000000804d21630|^0000....0003000[0-2]/],
  // A server's error: "E", a length, and "S" with the severity.
  ["PostgreSQL", /^450000....53(?:46415441|4552524f)/],
  // A server's greeting or error: 3 bytes of length, number 0, then protocol 10 and a version, or 255.
  ["MySQL", /^....0000(?:0a3[0-9]|ff)/],
];

/**
 * Returns the protocol that a connection's first bytes belong to, or null for kvraft's and unknown ones. Clients and servers
 * of other protocols connect to a node's port, and kvraft's client to theirs, because of a wrong port number.
 *
 * @example
 * ```ts
 * import { recogniseProtocol } from "./frame_reader.ts";
 * recogniseProtocol(new TextEncoder().encode("GET / HTTP/1.1\r\n")); // "HTTP"
 * ```
 */
export function recogniseProtocol(bytes: Uint8Array): string | null {
  if (bytes.length === 0) return null; // of every connection, before its hello has arrived
  const first = [...bytes.subarray(0, MAX_RECOGNISED_BYTES)];
  const text = String.fromCharCode(...first);
  const hexadecimal = first.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const known = TEXT_PROTOCOLS.find(([, beginning]) => beginning.test(text)) ??
    BINARY_PROTOCOLS.find(([, beginning]) => beginning.test(hexadecimal));
  return known?.[0] ?? null;
}

/** Counts bytes of any number of connections. */
export class Traffic {
  /** Bytes that were read. */
  bytesIn = 0;
  /** Bytes that were written. */
  bytesOut = 0;
}
