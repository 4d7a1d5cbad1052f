/** A client's connection to a real node that sends given frames, and counts the answers without keeping them. */
import { type ValueType } from "@std/msgpack";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { FrameReader } from "../../../lib/transport/frame_reader.ts";
import type { Connection } from "../../../lib/platform/network.ts";
import { clientHello, frame } from "../wire.ts";

const HOST = "127.0.0.1";
/** Offset of the kind in a frame, after the head of the array. */
const KIND_OFFSET = 1;

/** A connection after its hello. It reads nothing until {@link read}. */
export class CountingClient implements Disposable {
  readonly #connection: Connection;
  readonly #counts = new Map<number, number>();
  #isEnded = false;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects and sends a hello. */
  static async connect(port: number): Promise<CountingClient> {
    const address = { host: HOST, port };
    const client = new CountingClient(await new DenoNetwork().connect(address, new AbortController().signal));
    await client.sendBytes(frame(clientHello()));
    return client;
  }

  /** Sends frames in one write. */
  async send(...frames: readonly ValueType[]): Promise<void> {
    const parts = frames.map(frame);
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    await this.sendBytes(bytes);
  }

  /** Sends bytes as they are. */
  async sendBytes(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) sent += await this.#connection.write(bytes.subarray(sent));
  }

  /** Begins to read and count frames. */
  read(): void {
    const reader = new FrameReader(this.#connection, {
      bufferBytes: 65_536,
      retainedBytes: 1_048_576,
      maxFrameBytes: 2 ** 24,
    });
    void reader.readFrames((payload) => {
      const kind = payload[KIND_OFFSET] ?? 0;
      this.#counts.set(kind, this.count(kind) + 1);
    }).then(() => this.#isEnded = true);
  }

  /** Returns the number of received frames of a kind. */
  count(kind: number): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** Whether the node has closed the connection, as far as this end has read. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}
