/**
 * Connections of Node and Bun: TCP through `node:net`. Servers run in Deno only, so nothing listens here.
 */
import { connect, type Socket } from "node:net";
import { formatAddress } from "./address.ts";
import type { Address, Connection, Dialer } from "./network.ts";
import { withResolvers } from "./promise.ts";
import { connectToFirst } from "./sockets.ts";

/** TCP sockets, without Nagle's delay. */
export class NodeDialer implements Dialer {
  /** Connects. Rejects with {@link NetworkError}. */
  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    return new NodeConnection(await connectToFirst(address, signal, (ip) => open(ip, address.port, signal)));
  }
}

/** Opens a socket; one that fails, or is ended by the signal, is destroyed. */
async function open(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = withResolvers<void>();
  const socket = connect({ host, port, noDelay: true, keepAlive: true }, resolve);
  const onAbort = (): void => reject(signal.reason);
  socket.once("error", reject);
  signal.addEventListener("abort", onAbort);
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

class NodeConnection implements Connection {
  readonly security = "plain";
  readonly certificate = null;
  readonly binding = null;
  readonly remote: string;
  readonly #socket: Socket;
  /** Why reads and writes fail from now on. */
  #failure: Error | null = null;
  #hasEnded = false;
  /** Called at each event that a pending read may wait for. */
  #wakeReader: () => void = () => {};
  #rejectWrite: (error: Error) => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remote = formatAddress({ host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 });
    socket.on("readable", () => this.#wakeReader());
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#wakeReader();
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection is closed")));
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      const size = Math.min(buffer.length, this.#socket.readableLength);
      const chunk: Uint8Array | null = size === 0 ? null : this.#socket.read(size);
      if (chunk !== null) {
        buffer.set(chunk);
        return chunk.length;
      }
      if (this.#hasEnded) return null;
      if (this.#failure !== null) throw this.#failure;
      const { promise, resolve } = withResolvers<void>();
      this.#wakeReader = resolve;
      this.#socket.read(0);
      await promise;
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = withResolvers<number>();
    this.#rejectWrite = reject;
    this.#socket.write(bytes, (error) => {
      if (error) reject(error);
      else resolve(bytes.length);
    });
    return promise;
  }

  close(): void {
    this.#fail(new Error("the connection is closed"));
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeReader();
    this.#rejectWrite(this.#failure);
  }
}
