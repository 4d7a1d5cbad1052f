/** The bytes that a client accepts on a stream or on a connection (RFC 9113 §6.9). */
import { MAX_WINDOW_BYTES } from "./protocol.ts";

/** A window for sending. */
export class SendWindow {
  #bytes: number;
  /** The most that it has been: the window of a client that has read everything. */
  #largestBytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#largestBytes = bytes;
  }

  /** Bytes that may be sent now; negative after the client has made the window of all streams smaller. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The part of the window that the client has received and not read, as far as it has reported: 0 to 1. */
  get unreadShare(): number {
    return this.#largestBytes <= 0 ? 0 : Math.min(1, 1 - this.#bytes / this.#largestBytes);
  }

  /** Notes that bytes were sent. */
  use(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Adds bytes that the client has read, or allows in addition; returns false if the window becomes too large. */
  widen(bytes: number): boolean {
    this.#bytes += bytes;
    this.#largestBytes = Math.max(this.#largestBytes, this.#bytes);
    return this.#bytes <= MAX_WINDOW_BYTES;
  }

  /** Changes the size of the window, as a setting of the client does; returns false if it becomes too large. */
  resize(byBytes: number): boolean {
    this.#bytes += byBytes;
    this.#largestBytes += byBytes;
    return this.#bytes <= MAX_WINDOW_BYTES;
  }
}
