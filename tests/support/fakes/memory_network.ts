/**
 * A network in memory. Connections are two queues of bytes; a test decides how they are split, and when they stall,
 * break, or fail to open. Read buffers are filled with 0xDD behind the received bytes, and written bytes are copied at
 * once, as a kernel does: code that keeps a view of a buffer finds other bytes in it.
 */
import { formatAddress } from "../../../lib/platform/address.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type { Address, Connection, Listener, Network } from "../../../lib/platform/network.ts";

/** Options of the connections of a network. */
export interface MemoryNetworkOptions {
  /** Most bytes that one read returns. */
  readonly readBytes?: number;
  /** Most bytes that one write accepts. */
  readonly writeBytes?: number;
  /** Most bytes in flight per direction; further writes wait. */
  readonly capacityBytes?: number;
}

/** One direction of a connection: the bytes in flight, and the waiting reads and writes. */
class Pipe {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #end: "open" | "ended" | "broken" = "open";
  /** While true, no written byte arrives and no further write is accepted. */
  #isStalled = false;
  #changed = Promise.withResolvers<void>();
  readonly #options: Required<MemoryNetworkOptions>;

  constructor(options: Required<MemoryNetworkOptions>) {
    this.#options = options;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#end !== "broken" && (this.#isStalled || (this.#bytes === 0 && this.#end === "open"))) {
      await this.#changed.promise;
    }
    if (this.#end === "broken") throw new Error("the connection is broken");
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return null;
    const count = Math.min(chunk.length, buffer.length, this.#options.readBytes);
    buffer.fill(0xdd);
    buffer.set(chunk.subarray(0, count));
    if (count < chunk.length) this.#chunks.unshift(chunk.subarray(count));
    this.#bytes -= count;
    this.#change();
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    const { writeBytes, capacityBytes } = this.#options;
    while (this.#end === "open" && (this.#isStalled || this.#bytes >= capacityBytes)) {
      await this.#changed.promise;
    }
    if (this.#end !== "open") throw new Error("the connection is broken");
    const chunk = bytes.slice(0, Math.min(writeBytes, capacityBytes - this.#bytes));
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#change();
    return chunk.length;
  }

  /** Ends the direction; bytes in flight still arrive. */
  end(): void {
    if (this.#end === "open") this.#end = "ended";
    this.#change();
  }

  /** Drops all bytes in flight, and fails both ends. */
  break(): void {
    this.#end = "broken";
    this.#change();
  }

  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    this.#change();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** One end of a connection in memory. */
export class MemoryConnection implements Connection {
  /** A test may give a connection the security of another. */
  security: Connection["security"] = "plain";
  certificate: Connection["certificate"] = null;
  binding: Connection["binding"] = null;
  readonly remote: string;
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(remote: string, pipes: { readonly incoming: Pipe; readonly outgoing: Pipe }) {
    this.remote = remote;
    this.#incoming = pipes.incoming;
    this.#outgoing = pipes.outgoing;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#incoming.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#outgoing.write(bytes);
  }

  close(): void {
    this.#incoming.break();
    this.#outgoing.end();
  }

  /** Breaks both directions, as a reset does. */
  reset(): void {
    this.#incoming.break();
    this.#outgoing.break();
  }

  /** Stalls both directions silently. */
  stall(isStalled = true): void {
    this.#incoming.stall(isStalled);
    this.#outgoing.stall(isStalled);
  }
}

/** Returns the two ends of a connection. */
export function connectionPair(
  options: MemoryNetworkOptions = {},
  callerHost = "here",
): [MemoryConnection, MemoryConnection] {
  const all = {
    readBytes: Infinity,
    writeBytes: Infinity,
    capacityBytes: Infinity,
    ...options,
  };
  const there = new Pipe(all);
  const back = new Pipe(all);
  return [
    new MemoryConnection("there:1", { incoming: back, outgoing: there }),
    new MemoryConnection(`${callerHost}:1`, { incoming: there, outgoing: back }),
  ];
}

/** A {@link Network} without sockets. */
export class MemoryNetwork implements Network {
  readonly #options: MemoryNetworkOptions;
  readonly #listeners = new Map<string, MemoryListener>();
  /** The dialling ends of all connections that were made and not forgotten, oldest first. */
  readonly connections: MemoryConnection[] = [];
  /** Number of attempts to connect. */
  attempts = 0;
  /** While true, attempts to connect neither succeed nor fail. */
  isSilent = false;
  /** Remote address of connections, as the accepting end sees it. */
  callerHost = "here";
  /** The certificates to which the two ends of new connections are bound; they differ if another node is in between. */
  bindings: { readonly dialler: Connection["binding"]; readonly accepter: Connection["binding"] } = {
    dialler: null,
    accepter: null,
  };

  constructor(options: MemoryNetworkOptions = {}) {
    this.#options = options;
  }

  listen(address: Address): Listener {
    const name = formatAddress(address);
    if (this.#listeners.has(name)) {
      throw new NetworkError("addressInUse", { message: `Cannot listen on ${name}: the port is in use.` });
    }
    const listener = new MemoryListener(address, () => this.#listeners.delete(name));
    this.#listeners.set(name, listener);
    return listener;
  }

  async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    this.attempts += 1;
    const name = formatAddress(address);
    if (this.isSilent) {
      const aborted = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
      return await aborted.promise;
    }
    await Promise.resolve();
    signal.throwIfAborted();
    const listener = this.#listeners.get(name);
    if (listener === undefined) {
      throw new NetworkError("refused", { message: `Cannot connect to ${name}: nothing listens there.` });
    }
    const [here, there] = connectionPair(this.#options, this.callerHost);
    here.binding = this.bindings.dialler;
    there.binding = this.bindings.accepter;
    this.connections.push(here);
    listener.take(there);
    return here;
  }
}

class MemoryListener implements Listener {
  readonly address: Address;
  readonly #onClose: () => void;
  readonly #waiting: Connection[] = [];
  #isClosed = false;
  #changed = Promise.withResolvers<void>();

  constructor(address: Address, onClose: () => void) {
    this.address = address;
    this.#onClose = onClose;
  }

  async accept(): Promise<Connection | null> {
    while (true) {
      if (this.#isClosed) return null;
      const connection = this.#waiting.shift();
      if (connection !== undefined) return connection;
      await this.#changed.promise;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose();
    this.#change();
  }

  take(connection: Connection): void {
    this.#waiting.push(connection);
    this.#change();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
