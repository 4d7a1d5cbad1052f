/** The body of an HTTP answer that is sent in parts, as they come, until one of the ends closes the connection. */
import type { Clock } from "../platform/clock.ts";
import type { Connection, HttpStreamWriter } from "../platform/network.ts";
import { HTTP_ANSWER_TIMEOUT_MS } from "../protocol/limits.ts";

/** At most one part waits for the client; it is the only memory that a stream takes. */
export class HttpStream implements HttpStreamWriter {
  readonly #connection: Connection;
  readonly #clock: Clock;
  #isSending = false;

  /** Sends nothing yet. */
  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Sends text; a client that does not take it in time loses its connection. */
  send(text: string): boolean {
    if (this.#isSending) return false;
    this.#isSending = true;
    const timer = this.#clock.after(HTTP_ANSWER_TIMEOUT_MS, () => this.close());
    void writeAll(this.#connection, new TextEncoder().encode(text)).then((isSent) => {
      timer.cancel();
      this.#isSending = false;
      if (!isSent) this.close();
    });
    return true;
  }

  close(): void {
    this.#connection.close();
  }
}

/** Writes all bytes; resolves to false if the connection closed before that. */
export async function writeAll(connection: Connection, bytes: Uint8Array): Promise<boolean> {
  try {
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    return true;
  } catch {
    return false; // the other end has closed the connection, or was too slow
  }
}
