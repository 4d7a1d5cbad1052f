/**
 * A client of HTTP/2 for tests, which sends any frames, valid or not, and records those that it receives. It works over a
 * connection in memory.
 */
import type { Connection } from "../../../lib/platform/network.ts";
import { HpackDecoder } from "../../../lib/web/hpack/decoder.ts";
import { ERROR, FLAG, FRAME, PREFACE } from "../../../lib/web/http2/protocol.ts";
import { within } from "../eventually.ts";
import { type EncodedField, TestHpackEncoder } from "./hpack_encoder.ts";

/** A received frame. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** The parts of a frame to send. */
export interface SentFrame {
  readonly type: number;
  readonly flags?: number;
  readonly streamId?: number;
  readonly payload?: readonly number[];
}

/** An answer. */
export interface ReceivedAnswer {
  readonly status: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
}

/** Sends bytes. */
export async function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

/** Returns the bytes of a frame. */
export function frameBytes({ type, flags = 0, streamId = 0, payload = [] }: SentFrame): number[] {
  const { length } = payload;
  return [...integerBytes(length, 3), type, flags, ...integerBytes(streamId, 4), ...payload];
}

/** Returns the lowest bytes of a number, the most significant first. */
export function integerBytes(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => Math.floor(value / 256 ** (count - 1 - at)) % 256);
}

/** The pseudo-header fields of a POST. */
export const POST: readonly EncodedField[] = [
  { name: ":method", value: "POST" },
  { name: ":scheme", value: "http" },
  { name: ":path", value: "/" },
];

const END_STREAM = FLAG.endStream;

/** One connection. */
export class Http2TestClient {
  readonly connection: Connection;
  readonly encoder = new TestHpackEncoder();
  /** All frames so far, in their order. */
  readonly frames: ReceivedFrame[] = [];
  readonly #decoder = new HpackDecoder();
  #received = new Uint8Array(0);
  #changed = Promise.withResolvers<void>();
  #hasEnded = false;
  readonly #reading: Promise<void>;

  /** Sends nothing. */
  constructor(connection: Connection) {
    this.connection = connection;
    this.#reading = this.#readAll();
  }

  /** Whether the server has closed the connection. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends bytes. */
  async bytes(bytes: readonly number[] | Uint8Array): Promise<void> {
    await writeAll(this.connection, new Uint8Array(bytes));
  }

  /** Sends frames at once. */
  send(...frames: readonly SentFrame[]): Promise<void> {
    return this.bytes(frames.flatMap(frameBytes));
  }

  /** Sends the preface and settings. */
  open(settings: readonly (readonly [number, number])[] = []): Promise<void> {
    return this.bytes([...PREFACE, ...frameBytes(settingsFrame(settings))]);
  }

  /** Returns a HEADERS frame of a request. */
  headers(streamId: number, options: { fields?: readonly EncodedField[]; flags?: number } = {}): SentFrame {
    const { fields = POST, flags = FLAG.endHeaders } = options;
    return { type: FRAME.headers, flags, streamId, payload: this.encoder.encode(fields) };
  }

  /** Sends a request with a body. */
  request(streamId: number, body = "", fields: readonly EncodedField[] = POST): Promise<void> {
    return this.send(
      this.headers(streamId, { fields, flags: FLAG.endHeaders | (body === "" ? END_STREAM : 0) }),
      ...(body === "" ? [] : [dataFrame(streamId, body, END_STREAM)]),
    );
  }

  /** Resolves to the first frame that `isMeant` accepts. */
  frame(what: string, isMeant: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame> {
    return within(`the server sends ${what}`, this.#find(isMeant), {
      explain: () => `received: ${this.frames.map(describeFrame).join(", ")}`,
    });
  }

  /** Resolves to the answer of a stream. */
  async answer(streamId: number): Promise<ReceivedAnswer> {
    const isOfStream = (frame: ReceivedFrame): boolean => frame.streamId === streamId;
    const ends = (frame: ReceivedFrame): boolean =>
      isOfStream(frame) && (frame.type === FRAME.rstStream || (frame.type !== FRAME.windowUpdate &&
        (frame.flags & END_STREAM) !== 0));
    await this.frame(`the end of stream ${streamId}`, ends);
    return this.#answerOf(this.frames.filter(isOfStream));
  }

  /** Resolves to the error code with which a stream is reset. */
  async resetCode(streamId: number): Promise<string> {
    const isReset = (frame: ReceivedFrame): boolean =>
      frame.type === FRAME.rstStream && frame.streamId === streamId;
    return errorName((await this.frame(`RST_STREAM of ${streamId}`, isReset)).payload.subarray(0, 4));
  }

  /** Resolves to the error code of a GOAWAY. */
  async goawayCode(): Promise<string> {
    const { payload } = await this.frame("GOAWAY", ({ type }) => type === FRAME.goaway);
    return errorName(payload.subarray(4, 8));
  }

  /** Resolves once everything that was sent is handled: a PING was answered. */
  async sync(mark = 7): Promise<void> {
    await this.send({ type: FRAME.ping, payload: [0, 0, 0, 0, 0, 0, 0, mark] });
    await this.frame(
      "PING",
      ({ type, flags, payload }) => type === FRAME.ping && flags === FLAG.ack && payload[7] === mark,
    );
  }

  /** Resolves once the server has closed the connection. */
  ended(): Promise<void> {
    return within("the server closes the connection", this.#reading);
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    this.connection.close();
    await this.#reading;
  }

  async #find(isMeant: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame> {
    for (;;) {
      const found = this.frames.find(isMeant);
      if (found !== undefined) return found;
      if (this.#hasEnded) throw new Error("the connection has ended");
      await this.#changed.promise;
    }
  }

  async #readAll(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await this.connection.read(buffer).catch(() => null);
      if (count === null) break;
      this.#received = new Uint8Array([...this.#received, ...buffer.subarray(0, count)]);
      this.#takeFrames();
      this.#wake();
    }
    this.#hasEnded = true;
    this.#wake();
  }

  #takeFrames(): void {
    while (this.#received.length >= 9) {
      const view = new DataView(this.#received.buffer, this.#received.byteOffset);
      const length = (view.getUint8(0) << 16) | view.getUint16(1);
      if (this.#received.length < 9 + length) return;
      this.frames.push({
        type: view.getUint8(3),
        flags: view.getUint8(4),
        streamId: view.getUint32(5),
        payload: this.#received.slice(9, 9 + length),
      });
      this.#received = this.#received.slice(9 + length);
    }
  }

  #answerOf(frames: readonly ReceivedFrame[]): ReceivedAnswer {
    const [head, trailers] = frames.filter(({ type }) => type === FRAME.headers).map(({ payload }) =>
      Object.fromEntries(
        this.#decoder.decode(payload, { begin: 0, end: payload.length, maxBytes: Infinity })
          .fields.map(({ name, value }) => [name, value]),
      )
    );
    const { ":status": status = "", ...fields } = head ?? {};
    const body = frames.filter(({ type }) => type === FRAME.data).map(({ payload }) =>
      String.fromCharCode(...payload)
    ).join("");
    return { status, fields, body, trailers: trailers ?? {} };
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Returns a SETTINGS frame. */
export function settingsFrame(settings: readonly (readonly [number, number])[]): SentFrame {
  const payload = settings.flatMap((
    [setting, value],
  ) => [...integerBytes(setting, 2), ...integerBytes(value, 4)]);
  return { type: FRAME.settings, payload };
}

/** Returns a DATA frame. */
export function dataFrame(streamId: number, body: string, flags = 0): SentFrame {
  const payload = [...body].map((character) => character.charCodeAt(0));
  return { type: FRAME.data, flags, streamId, payload };
}

/** Returns a WINDOW_UPDATE frame. */
export function windowUpdate(streamId: number, bytes: number): SentFrame {
  return { type: FRAME.windowUpdate, streamId, payload: integerBytes(bytes, 4) };
}

function describeFrame({ type, flags, streamId, payload }: ReceivedFrame): string {
  return `${type}/${flags}/${streamId} (${payload.length} B)`;
}

function errorName(bytes: Uint8Array): string {
  const code = bytes[3] ?? 0;
  return Object.entries(ERROR).find(([, value]) => value === code)?.[0] ?? String(code);
}
