/** The streams of a connection: those that are open, and what is known of those that are not. */
import { ConnectionError, ERROR } from "./protocol.ts";
import type { Http2Stream } from "./stream.ts";

/** Streams that this end has reset, of which frames may still arrive; beyond it the oldest is forgotten. */
const MAX_REMEMBERED_RESETS = 1_024;

/** The streams of one connection. */
export class StreamTable {
  readonly #open = new Map<number, Http2Stream>();
  readonly #reset = new Set<number>();
  #lastId = 0;

  /** Number of open streams. */
  get size(): number {
    return this.#open.size;
  }

  /** The highest id that the client has used. */
  get lastId(): number {
    return this.#lastId;
  }

  /** The open streams. */
  values(): Iterable<Http2Stream> {
    return this.#open.values();
  }

  /** Returns an open stream. */
  get(id: number): Http2Stream | undefined {
    return this.#open.get(id);
  }

  /** Notes that the client uses a new id. Throws {@link ConnectionError} where it may not. */
  use(id: number): void {
    if (id % 2 === 0) throw new ConnectionError(ERROR.protocolError, "streams of a client have odd ids");
    if (id <= this.#lastId) throw new ConnectionError(ERROR.streamClosed, "a stream is used after its end");
    this.#lastId = id;
  }

  /** Adds a stream. */
  add(stream: Http2Stream): void {
    this.#open.set(stream.id, stream);
  }

  /** Removes a stream that is closed at both ends. */
  remove(id: number): void {
    this.#open.delete(id);
  }

  /** Removes a stream that this end has reset. */
  removeReset(id: number): void {
    this.#open.delete(id);
    this.#reset.add(id);
    if (this.#reset.size <= MAX_REMEMBERED_RESETS) return;
    for (const oldest of this.#reset) {
      this.#reset.delete(oldest);
      break;
    }
  }

  /** Whether this end has reset the stream, so that frames of it are ignored. */
  wasReset(id: number): boolean {
    return this.#reset.has(id);
  }

  /** Throws {@link ConnectionError} for a frame of a stream that the client has not opened. */
  assertUsed(id: number): void {
    if (id > this.#lastId || id % 2 === 0) {
      throw new ConnectionError(ERROR.protocolError, "a frame belongs to a stream that was not opened");
    }
  }
}
