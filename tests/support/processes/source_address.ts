/** Connections from a chosen address of this machine, which count as those of another one. */
import { decode, type ValueType } from "@std/msgpack";
import { connect, type Socket } from "node:net";
import { frame } from "../wire.ts";
import { eventually, type WaitOptions } from "../eventually.ts";

const HEADER_BYTES = 4;

/** Whether a program may use any address of 127.0.0.0/8; elsewhere only 127.0.0.1 exists. */
export const HAS_MANY_LOOPBACK_ADDRESSES = Deno.build.os === "linux";

/** A raw connection that begins at a chosen address. */
export class ConnectionFrom implements Disposable {
  readonly #socket: Socket;
  #received = new Uint8Array(0);
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Uint8Array) => {
      const joined = new Uint8Array(this.#received.length + bytes.length);
      joined.set(this.#received);
      joined.set(bytes, this.#received.length);
      this.#received = joined;
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#isClosed = true);
  }

  /** Connects from `source` to a port of 127.0.0.1. */
  static async open(source: string, port: number): Promise<ConnectionFrom> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ host: "127.0.0.1", port, localAddress: source, noDelay: true }, resolve);
    socket.once("error", reject);
    const connection = new ConnectionFrom(socket);
    await promise;
    return connection;
  }

  /** Whether the other end has closed the connection. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The bytes received so far as text. */
  get text(): string {
    return new TextDecoder().decode(this.#received);
  }

  /** Queues bytes; resolves to whether they were all passed to the system. */
  send(bytes: Uint8Array): Promise<boolean> {
    return new Promise((resolve) => void this.#socket.write(bytes, (error) => resolve(!error)));
  }

  /** Queues a frame. */
  async sendFrame(content: ValueType): Promise<void> {
    await this.send(frame(content));
  }

  /** Reads nothing more. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Waits until this many frames have arrived, and returns the elements of the last of them. */
  async frameAt(count: number, options: WaitOptions = {}): Promise<readonly ValueType[]> {
    return await eventually(`${count} frames have arrived`, () => {
      let begin = 0;
      for (let number = 1; this.#received.length >= begin + HEADER_BYTES; number++) {
        const length = new DataView(this.#received.buffer).getUint32(begin);
        const payload = this.#received.slice(begin + HEADER_BYTES, begin + HEADER_BYTES + length);
        if (payload.length < length) return null;
        if (number < count) {
          begin += HEADER_BYTES + length;
          continue;
        }
        const elements = decode(payload);
        return Array.isArray(elements) ? elements : null;
      }
      return null;
    }, options);
  }

  /** Waits until the other end has closed the connection. */
  async waitForEnd(): Promise<void> {
    await eventually("the connection is closed", () => this.#isClosed || null);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
