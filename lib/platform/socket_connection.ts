/** A connection over a socket of `node:net` or `node:tls`. */
import type { Socket } from "node:net";
import { formatAddress } from "./address.ts";
import { type Connection, type ConnectionSecurity, type PeerCertificate, PLAIN } from "./network.ts";
import { withResolvers } from "./promise.ts";
import type { UnreadBudget } from "./tls/unread_budget.ts";

/** Bytes that wait to be read, at which reading from the network stops until half of them are read. */
const PAUSE_BYTES = 65_536;
/** Why reads and writes fail after the end of a connection. */
const CLOSED = "the connection is closed";
/** Time for sending the last alert of TLS. */
const CLOSE_NOTICE_TIMEOUT_MS = 1_000;

/** A read that waits for bytes. */
interface WaitingRead {
  readonly buffer: Uint8Array;
  resolve(count: number | null): void;
  reject(error: Error): void;
}

/** A socket of Node's interface, whose backpressure, end and errors become those of a connection. */
export class SocketConnection implements Connection {
  readonly security: "plain" | "tls";
  readonly certificate: PeerCertificate | null;
  readonly binding: Uint8Array | null;
  readonly remote: string;
  readonly #socket: Socket;
  readonly #budget: UnreadBudget | null;
  /** Received bytes that were not read yet, in order. */
  #chunks: Uint8Array[] = [];
  #chunksBytes = 0;
  #isPaused = false;
  /**
   * Why reads and writes fail from now on. A text becomes an error only where one fails: most connections end without, and
   * two errors with their stacks took a node a tenth of what a new connection costs it.
   */
  #failure: Error | string | null = null;
  #hasEnded = false;
  /** The read in progress; null while there is none. */
  #waitingRead: WaitingRead | null = null;
  /** Fails the write in progress; null while there is none. */
  #rejectWrite: ((error: Error) => void) | null = null;

  /**
   * Becomes the owner of the socket, which has no listener for its data yet. With a budget, the socket is not paused when
   * nothing is read: TLS sockets of Deno take what the other end sends even then.
   */
  constructor(
    socket: Socket,
    { security, certificate, binding }: ConnectionSecurity = PLAIN,
    budget: UnreadBudget | null = null,
  ) {
    this.#socket = socket;
    this.#budget = budget;
    this.security = security;
    this.certificate = certificate;
    this.binding = binding;
    this.remote = formatAddress({ host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 });
    socket.on("data", (chunk: Uint8Array) => this.#received(chunk));
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#wakeReader();
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(CLOSED));
  }

  /** Received bytes that were not read. */
  get unreadBytes(): number {
    return this.#chunksBytes;
  }

  /** Closes the connection because it holds too many unread bytes; reads and writes fail with this reason. */
  exclude(reason: string): void {
    this.#fail(reason);
    this.#socket.destroy();
  }

  /**
   * Reads as {@link Connection} says. No async function: it costs three promises more for every read, and a leader with
   * mutual TLS kept a seventh of the objects that it made for gets until the next collection of the whole heap.
   */
  read(buffer: Uint8Array): Promise<number | null> {
    const { promise, resolve, reject } = withResolvers<number | null>();
    this.#waitingRead = { buffer, resolve, reject };
    this.#wakeReader();
    return promise;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#failure !== null) return Promise.reject(errorOf(this.#failure));
    const { promise, resolve, reject } = withResolvers<number>();
    this.#rejectWrite = reject;
    this.#socket.write(bytes, (error) => {
      this.#rejectWrite = null;
      if (error) reject(error);
      else resolve(bytes.length);
    });
    return promise;
  }

  close(): void {
    this.#fail(CLOSED);
    if (this.security === "plain" || this.#socket.writableLength > 0) this.#socket.destroy();
    else this.#closeWithNotice();
  }

  /** Sends the alert with which TLS ends: without it, other programs take what they have received for cut off. */
  #closeWithNotice(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    const timer = setTimeout(() => socket.destroy(), CLOSE_NOTICE_TIMEOUT_MS);
    socket.once("close", () => clearTimeout(timer));
    socket.destroySoon();
  }

  /** Settles the read in progress once there is something for it. */
  #wakeReader(): void {
    const read = this.#waitingRead;
    if (read === null) return;
    if (this.#chunksBytes > 0) read.resolve(this.#take(read.buffer));
    else if (this.#hasEnded) read.resolve(null);
    else if (this.#failure !== null) read.reject(errorOf(this.#failure));
    else return;
    this.#waitingRead = null;
  }

  #received(chunk: Uint8Array): void {
    if (this.#failure !== null) return;
    this.#chunks.push(chunk);
    this.#chunksBytes += chunk.length;
    if (this.#budget !== null) {
      this.#budget.changed(this, chunk.length);
    } else if (this.#chunksBytes >= PAUSE_BYTES && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause();
    }
    this.#wakeReader();
  }

  /** Moves received bytes to `buffer`; returns how many. */
  #take(buffer: Uint8Array): number {
    let size = 0;
    let chunk = this.#chunks[0];
    while (chunk !== undefined && size < buffer.length) {
      const part = chunk.subarray(0, buffer.length - size);
      buffer.set(part, size);
      size += part.length;
      if (part.length < chunk.length) this.#chunks[0] = chunk.subarray(part.length);
      else this.#chunks.shift();
      chunk = this.#chunks[0];
    }
    this.#chunksBytes -= size;
    this.#budget?.changed(this, -size);
    if (this.#isPaused && this.#chunksBytes <= PAUSE_BYTES / 2) {
      this.#isPaused = false;
      this.#socket.resume();
    }
    return size;
  }

  /** Drops what was not read. */
  #drop(): void {
    const bytes = this.#chunksBytes;
    this.#chunks = [];
    this.#chunksBytes = 0;
    this.#budget?.changed(this, -bytes);
  }

  #fail(failure: Error | string): void {
    this.#failure ??= failure;
    if (!this.#hasEnded) this.#drop();
    this.#wakeReader();
    this.#rejectWrite?.(errorOf(this.#failure));
  }
}

function errorOf(failure: Error | string): Error {
  return typeof failure === "string" ? new Error(failure) : failure;
}
