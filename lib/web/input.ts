/** The receiving side of a connection: a buffer that is read into, and the part of it that was not used yet. */
import type { Connection } from "../platform/network.ts";

const SMALL_BYTES = 4_096;
/** More than a whole frame of HTTP/2. */
const LARGE_BYTES = 32_768;
/** Reads of few bytes in a row after which the large buffer is dropped. */
const SMALL_READS = 64;

/** Received bytes of a connection. */
export class Input {
  readonly #connection: Connection;
  #buffer = new Uint8Array(SMALL_BYTES);
  #begin = 0;
  #end = 0;
  #smallReads = 0;
  #receivedBytes = 0;
  #isBroken = false;

  /** Nothing is received yet. */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The bytes from {@link begin} to {@link end} were not used yet; they stay until the next {@link fill}. */
  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Position of the first unused byte. */
  get begin(): number {
    return this.#begin;
  }

  /** Position behind the last unused byte. */
  get end(): number {
    return this.#end;
  }

  /** Number of unused bytes. */
  get length(): number {
    return this.#end - this.#begin;
  }

  /** Bytes received since the beginning. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Whether the connection is broken or closed, not only ended by the client. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Whether the buffer has no space for another byte. */
  get isFull(): boolean {
    return this.length >= LARGE_BYTES;
  }

  /** Notes that `count` bytes were used. */
  use(count: number): void {
    this.#begin += count;
  }

  /**
   * Receives more, at most `mostBytes` while nothing is unused; resolves to false at the end of the connection, or once it is
   * broken.
   */
  async fill(mostBytes = LARGE_BYTES): Promise<boolean> {
    this.#makeSpace();
    const space = this.#buffer.length - this.#end;
    const wanted = this.length === 0 ? Math.min(space, mostBytes) : space;
    let count: number | null;
    try {
      count = await this.#connection.read(this.#buffer.subarray(this.#end, this.#end + wanted));
    } catch {
      this.#isBroken = true;
      return false;
    }
    if (count === null) return false;
    this.#end += count;
    this.#receivedBytes += count;
    this.#smallReads = count < SMALL_BYTES / 2 ? this.#smallReads + 1 : 0;
    if (count === space && this.#buffer.length < LARGE_BYTES) this.#resize(LARGE_BYTES);
    return true;
  }

  /** Moves what is unused to the front, into a larger or smaller buffer where that is better. */
  #makeSpace(): void {
    const { length } = this;
    if (length === 0 && this.#smallReads > SMALL_READS && this.#buffer.length > SMALL_BYTES) {
      this.#resize(SMALL_BYTES);
    } else if (length > SMALL_BYTES / 2 && this.#buffer.length < LARGE_BYTES) {
      this.#resize(LARGE_BYTES);
    } else if (this.#begin > 0) {
      this.#buffer.copyWithin(0, this.#begin, this.#end);
      this.#begin = 0;
      this.#end = length;
    }
  }

  #resize(bytes: number): void {
    const resized = new Uint8Array(bytes);
    resized.set(this.#buffer.subarray(this.#begin, this.#end));
    this.#end = this.length;
    this.#begin = 0;
    this.#buffer = resized;
    this.#smallReads = 0;
  }
}
