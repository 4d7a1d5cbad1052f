/** A gRPC client for tests, which needs neither Go nor a package: one connection, calls and streams. */
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import type { Connection } from "../../../lib/platform/network.ts";
import { HpackDecoder } from "../../../lib/web/hpack/decoder.ts";
import {
  DEFAULT_WINDOW_BYTES,
  FLAG,
  FRAME,
  MAX_FRAME_BYTES,
  SETTING,
} from "../../../lib/web/http2/protocol.ts";
import { Http2TestClient, type ReceivedFrame, windowUpdate } from "../web/http2_client.ts";
import { decodeMessage, encodeMessage, type Message, messagesOf } from "./messages.ts";

const WINDOW_BYTES = 2 ** 30;
const PREFIX_BYTES = 5;
const CONNECT_MS = 10_000;

/** The outcome of a call or a stream. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

/** One stream of the connection. */
interface Stream {
  readonly id: number;
  readonly response: string;
  readonly request: string;
  /** Bytes of DATA that are no whole message yet. */
  data: Uint8Array<ArrayBuffer>;
  readonly messages: Message[];
  /** Messages that were returned. */
  taken: number;
  fields: Readonly<Record<string, string>>;
  status: Status | null;
  /** Bytes that may still be sent. */
  window: number;
}

/** One connection. Use with `await using`. */
export class GrpcTestClient implements AsyncDisposable {
  readonly #http2: Http2TestClient;
  readonly #decoder = new HpackDecoder();
  readonly #streams = new Map<number, Stream>();
  #nextId = 1;
  #handledFrames = 0;
  #window = DEFAULT_WINDOW_BYTES;
  #initialWindow = DEFAULT_WINDOW_BYTES;

  private constructor(connection: Connection) {
    this.#http2 = new Http2TestClient(connection);
  }

  /** Connects to `host:port`. */
  static async connect(address: string): Promise<GrpcTestClient> {
    const [host = "", port] = address.split(":");
    const connection = await new DenoNetwork().connect(
      { host, port: Number(port) },
      AbortSignal.timeout(CONNECT_MS),
    );
    const client = new GrpcTestClient(connection);
    await client.#http2.open([[SETTING.headerTableSize, 0], [SETTING.initialWindowSize, WINDOW_BYTES]]);
    await client.#http2.send(windowUpdate(0, WINDOW_BYTES));
    await client.#http2.frame("SETTINGS", ({ type, flags }) => type === FRAME.settings && flags === 0);
    await client.#http2.send({ type: FRAME.settings, flags: FLAG.ack });
    return client;
  }

  /** Calls a method, `etcdserverpb.KV/Range`; returns its messages and status. */
  async call(
    method: string,
    request: Message,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<Status & { readonly messages: readonly Message[] }> {
    const id = await this.open(method, metadata);
    await this.send(id, request);
    await this.halfClose(id);
    const status = await this.status(id);
    return { ...status, messages: this.#stream(id).messages };
  }

  /** Opens a stream; returns its id. */
  async open(method: string, metadata: Readonly<Record<string, string>> = {}): Promise<number> {
    const id = this.#nextId;
    this.#nextId += 2;
    const [request, response] = messagesOf(method);
    this.#streams.set(id, {
      id,
      request,
      response,
      data: new Uint8Array(),
      messages: [],
      taken: 0,
      fields: {},
      status: null,
      window: this.#initialWindow,
    });
    const fields = {
      ":method": "POST",
      ":scheme": "http",
      ":path": `/${method}`,
      ":authority": "127.0.0.1",
      "content-type": "application/grpc",
      te: "trailers",
      ...metadata,
    };
    const encoded = Object.entries(fields).map(([name, value]) => ({ name, value }));
    await this.#http2.send(this.#http2.headers(id, { fields: encoded }));
    return id;
  }

  /** Sends a message on a stream; one that the server has ended takes none. */
  async send(id: number, message: Message): Promise<void> {
    const bytes = encodeMessage(this.#stream(id).request, message);
    const framed = new Uint8Array(PREFIX_BYTES + bytes.length);
    new DataView(framed.buffer).setUint32(1, bytes.length);
    framed.set(bytes, PREFIX_BYTES);
    for (let sent = 0; sent < framed.length;) {
      sent += await this.#sendSome(id, framed.subarray(sent));
    }
  }

  /** Ends the client's side of a stream. */
  async halfClose(id: number): Promise<void> {
    if (this.#stream(id).status !== null) return;
    await this.#http2.send({ type: FRAME.data, flags: FLAG.endStream, streamId: id });
  }

  /** Resolves to the next message of a stream, or to its status. */
  async next(id: number): Promise<Message | Status> {
    const stream = this.#stream(id);
    await this.#until(
      `a message of stream ${id}`,
      () => stream.messages.length > stream.taken || stream.status !== null,
    );
    return stream.messages[stream.taken++] ?? stream.status ?? {};
  }

  /** Resolves to the status of a stream once it has ended. */
  async status(id: number): Promise<Status> {
    const stream = this.#stream(id);
    await this.#until(`the status of stream ${id}`, () => stream.status !== null);
    return stream.status ?? { code: -1, message: "" };
  }

  /** Resets a stream. */
  async cancel(id: number): Promise<void> {
    await this.#http2.send({ type: FRAME.rstStream, streamId: id, payload: [0, 0, 0, 8] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http2.close();
  }

  #stream(id: number): Stream {
    const stream = this.#streams.get(id);
    if (stream === undefined) throw new Error(`There is no stream ${id}`);
    return stream;
  }

  async #sendSome(streamId: number, bytes: Uint8Array): Promise<number> {
    const stream = this.#stream(streamId);
    await this.#until(
      `a window for stream ${streamId}`,
      () => stream.status !== null || Math.min(stream.window, this.#window) > 0,
    );
    if (stream.status !== null) return bytes.length;
    const count = Math.min(bytes.length, stream.window, this.#window, MAX_FRAME_BYTES);
    stream.window -= count;
    this.#window -= count;
    await this.#http2.send({ type: FRAME.data, streamId, payload: [...bytes.subarray(0, count)] });
    return count;
  }

  async #until(what: string, isMet: () => boolean): Promise<void> {
    await this.#http2.frame(what, () => {
      this.#handleFrames();
      return isMet();
    });
  }

  #handleFrames(): void {
    const { frames } = this.#http2;
    for (; this.#handledFrames < frames.length; this.#handledFrames++) {
      const frame = frames[this.#handledFrames];
      if (frame !== undefined) this.#handle(frame);
    }
  }

  #handle(frame: ReceivedFrame): void {
    const { type, flags, streamId, payload } = frame;
    const stream = this.#streams.get(streamId);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (type === FRAME.settings && (flags & FLAG.ack) === 0) this.#applySettings(view);
    else if (type === FRAME.windowUpdate) {
      if (streamId === 0) this.#window += view.getUint32(0);
      else if (stream !== undefined) stream.window += view.getUint32(0);
    } else if (stream === undefined) return;
    else if (type === FRAME.headers) {
      const { fields } = this.#decoder.decode(payload, { begin: 0, end: payload.length, maxBytes: Infinity });
      stream.fields = {
        ...stream.fields,
        ...Object.fromEntries(fields.map(({ name, value }) => [name, value])),
      };
    } else if (type === FRAME.data) takeMessages(stream, payload);
    else if (type === FRAME.rstStream) {
      stream.status ??= { code: -1, message: `reset with ${view.getUint32(0)}` };
    }
    const isEnd = (type === FRAME.headers || type === FRAME.data) && (flags & FLAG.endStream) !== 0;
    if (stream !== undefined && isEnd) stream.status ??= statusOf(stream);
  }

  #applySettings(view: DataView): void {
    for (let at = 0; at < view.byteLength; at += 6) {
      if (view.getUint16(at) !== SETTING.initialWindowSize) continue;
      const size = view.getUint32(at + 2);
      for (const stream of this.#streams.values()) stream.window += size - this.#initialWindow;
      this.#initialWindow = size;
    }
  }
}

function takeMessages(stream: Stream, payload: Uint8Array): void {
  stream.data = new Uint8Array([...stream.data, ...payload]);
  while (stream.data.length >= PREFIX_BYTES) {
    const end = PREFIX_BYTES + new DataView(stream.data.buffer, stream.data.byteOffset).getUint32(1);
    if (stream.data.length < end) return;
    stream.messages.push(decodeMessage(stream.response, stream.data.subarray(PREFIX_BYTES, end)));
    stream.data = stream.data.subarray(end);
  }
}

/** Returns the status in the trailers, with the message as text. */
function statusOf({ fields }: Stream): Status {
  const code = fields["grpc-status"];
  if (code === undefined) return { code: -1, message: `HTTP ${fields[":status"]} without a status of gRPC` };
  return { code: Number(code), message: decodeURIComponent(fields["grpc-message"] ?? "") };
}
