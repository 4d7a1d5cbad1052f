/** A client of the echo server: it sends the same bytes as a put, key and value with a length prefix. */
import type { Target } from "../../../lib/loadgen/mod.ts";
import { Replies } from "./replies.ts";
import { TurnSocket } from "./turn_socket.ts";

const LENGTH_BYTES = 4;

/** A connection to an echo server. Gets send what a put of `valueBytes` sends, since an answer carries as much. */
export class EchoTarget implements Target {
  readonly #socket: TurnSocket;
  readonly #replies: Replies;
  readonly #value: Uint8Array;

  private constructor(socket: TurnSocket, replies: Replies, valueBytes: number) {
    this.#socket = socket;
    this.#replies = replies;
    this.#value = new Uint8Array(valueBytes);
    void socket.ended.then((reason) => replies.end(reason));
  }

  /** Connects. */
  static async connect(address: string, valueBytes: number): Promise<EchoTarget> {
    const replies = new Replies();
    const socket = await TurnSocket.connect(address, (bytes) => consume(bytes, replies));
    return new EchoTarget(socket, replies, valueBytes);
  }

  put(key: string, value: Uint8Array): Promise<void> {
    const record = this.#socket.reserve(LENGTH_BYTES + key.length + value.length);
    new DataView(record.buffer, record.byteOffset).setUint32(0, record.length);
    for (let index = 0; index < key.length; index++) record[LENGTH_BYTES + index] = key.charCodeAt(index);
    record.set(value, LENGTH_BYTES + key.length);
    return this.#replies.wait();
  }

  get(key: string): Promise<void> {
    return this.put(key, this.#value);
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.close();
  }
}

function consume(bytes: Uint8Array, replies: Replies): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let used = 0;
  while (bytes.length - used >= LENGTH_BYTES) {
    const length = view.getUint32(used);
    if (bytes.length - used < length) break;
    used += length;
    replies.answer(null);
  }
  return used;
}
