/** A client that has thousands of puts in progress over one connection of gRPC, and begins another for each answer. */
import { connect, type Socket } from "node:net";
import { FLAG, FRAME, FRAME_HEADER_BYTES, PREFACE, SETTING } from "../../../lib/web/http2/protocol.ts";
import { TestHpackEncoder } from "../web/hpack_encoder.ts";
import { frameBytes, settingsFrame, windowUpdate } from "../web/http2_client.ts";
import { encodeMessage } from "./messages.ts";

const WINDOW_BYTES = 2 ** 30;
const FIELDS = {
  ":method": "POST",
  ":scheme": "http",
  ":path": "/etcdserverpb.KV/Put",
  ":authority": "127.0.0.1",
  "content-type": "application/grpc",
  te: "trailers",
};

/** A flood of puts. */
export class PutFlood implements Disposable {
  readonly #socket: Socket;
  /** The frames of a request of stream 0. */
  readonly #request: Uint8Array;
  /** Where the request has the id of its stream. */
  readonly #idsAt: readonly number[];
  #nextId = 1;
  #unused = new Uint8Array(0);
  #answers = 0;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const fields = Object.entries(FIELDS).map(([name, value]) => ({ name, value, as: "plain" as const }));
    const message = encodeMessage("PutRequest", { key: "flood", value: "value" });
    const head = frameBytes({
      type: FRAME.headers,
      flags: FLAG.endHeaders,
      payload: new TestHpackEncoder().encode(fields),
    });
    const body = frameBytes({
      type: FRAME.data,
      flags: FLAG.endStream,
      payload: [0, 0, 0, 0, message.length, ...message],
    });
    this.#request = new Uint8Array([...head, ...body]);
    this.#idsAt = [FRAME_HEADER_BYTES - 4, head.length + FRAME_HEADER_BYTES - 4];
    socket.on("data", (bytes: Uint8Array) => this.#receive(bytes));
    socket.on("error", () => {});
    socket.on("close", () => this.#isClosed = true);
  }

  /** Connects from `source` to a port of 127.0.0.1, and begins so many puts. */
  static async begin(source: string, port: number, puts: number): Promise<PutFlood> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ host: "127.0.0.1", port, localAddress: source, noDelay: true }, resolve);
    socket.once("error", reject);
    const flood = new PutFlood(socket);
    await promise;
    const settings = [
      settingsFrame([[SETTING.initialWindowSize, WINDOW_BYTES]]),
      windowUpdate(0, WINDOW_BYTES),
    ];
    socket.write(new Uint8Array([...PREFACE, ...settings.flatMap(frameBytes)]));
    flood.#send(puts);
    return flood;
  }

  /** Answers so far. */
  get answers(): number {
    return this.#answers;
  }

  /** Whether the server has closed the connection. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #send(count: number): void {
    const { length } = this.#request;
    const bytes = new Uint8Array(count * length);
    const view = new DataView(bytes.buffer);
    for (let begin = 0; begin < bytes.length; begin += length) {
      bytes.set(this.#request, begin);
      for (const at of this.#idsAt) view.setUint32(begin + at, this.#nextId);
      this.#nextId += 2;
    }
    this.#socket.write(bytes);
  }

  #receive(bytes: Uint8Array): void {
    this.#unused = new Uint8Array([...this.#unused, ...bytes]);
    const view = new DataView(this.#unused.buffer);
    let begin = 0;
    let answers = 0;
    while (view.byteLength >= begin + FRAME_HEADER_BYTES) {
      const end = begin + FRAME_HEADER_BYTES + (view.getUint32(begin) >>> 8);
      if (end > view.byteLength) break;
      const [type, flags] = [view.getUint8(begin + 3), view.getUint8(begin + 4)];
      if (type === FRAME.headers && (flags & FLAG.endStream) !== 0) answers += 1;
      begin = end;
    }
    this.#unused = this.#unused.slice(begin);
    this.#answers += answers;
    if (answers > 0) this.#send(answers);
  }
}
