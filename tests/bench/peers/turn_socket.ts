/**
 * A socket as lib/transport uses one: all data of one turn of the event loop is sent in one write, and received data is
 * read into one large buffer. The clients of the other peers use it, so that none of them needs more system calls for
 * a request than kvraft's own client.
 */
import { SystemClock } from "../../../lib/platform/system.ts";

const READ_BYTES = 262_144;
const FIRST_QUEUE_BYTES = 65_536;

/** Handles received bytes, valid until it returns. Returns how many it has used; the rest is passed again. */
export type Consume = (bytes: Uint8Array) => number;

/** A connection. */
export class TurnSocket {
  /** Resolves with the reason when the connection has ended. */
  readonly ended: Promise<string>;
  readonly #connection: Deno.TcpConn;
  readonly #clock = new SystemClock();
  #queue = new Uint8Array(FIRST_QUEUE_BYTES);
  #spare = new Uint8Array(FIRST_QUEUE_BYTES);
  #queued = 0;
  #isWriting = false;

  private constructor(connection: Deno.TcpConn, consume: Consume) {
    this.#connection = connection;
    this.ended = this.#read(consume);
  }

  /** Connects. */
  static async connect(address: string, consume: Consume): Promise<TurnSocket> {
    const [hostname = "", port = ""] = address.split(":");
    const connection = await Deno.connect({ hostname, port: Number(port) });
    connection.setNoDelay(true);
    return new TurnSocket(connection, consume);
  }

  /** Reserves `bytes`, to be filled before the turn ends; they are sent with all other data of the turn. */
  reserve(bytes: number): Uint8Array {
    const needed = this.#queued + bytes;
    if (needed > this.#queue.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#queue.length));
      larger.set(this.#queue.subarray(0, this.#queued));
      this.#queue = larger;
    }
    if (this.#queued === 0 && !this.#isWriting) this.#clock.endOfTurn(() => void this.#flush());
    const space = this.#queue.subarray(this.#queued, needed);
    this.#queued = needed;
    return space;
  }

  /** Sends a copy of `bytes`. */
  send(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes);
  }

  /** Ends it. */
  close(): void {
    try {
      this.#connection.close();
    } catch {
      // It had ended by itself.
    }
  }

  async #flush(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#queued > 0) {
        const [full, length] = [this.#queue, this.#queued];
        this.#queue = this.#spare;
        this.#queued = 0;
        let written = 0;
        while (written < length) written += await this.#connection.write(full.subarray(written, length));
        this.#spare = full;
      }
    } catch {
      this.close();
    }
    this.#isWriting = false;
  }

  async #read(consume: Consume): Promise<string> {
    let buffer = new Uint8Array(READ_BYTES);
    let filled = 0;
    try {
      while (true) {
        const count = await this.#connection.read(buffer.subarray(filled));
        if (count === null) return "the other side closed the connection";
        filled += count;
        const used = consume(buffer.subarray(0, filled));
        buffer.copyWithin(0, used, filled);
        filled -= used;
        if (filled === buffer.length) {
          const larger = new Uint8Array(2 * buffer.length);
          larger.set(buffer);
          buffer = larger;
        }
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.close();
    }
  }
}
