/**
 * Decides which stream's waiting bytes are sent next: one frame of each in turn, while the client's window of the connection
 * and the output have space for them.
 */
import type { Output } from "../output.ts";
import { DEFAULT_WINDOW_BYTES } from "./protocol.ts";
import { SendWindow } from "./send_window.ts";
import { type Http2Stream, OUTPUT_LIMIT_BYTES } from "./stream.ts";

/** The client's window of a connection, and the streams that wait for it. */
export class SendScheduler {
  readonly #output: Output;
  /** In the order in which they are served. Streams whose own window is closed are not in it. */
  readonly #ready = new Set<Http2Stream>();
  /** The client's window of the connection. */
  readonly window = new SendWindow(DEFAULT_WINDOW_BYTES);

  /** No stream waits. */
  constructor(output: Output) {
    this.#output = output;
  }

  /** Adds to the window; returns false where it becomes too large. */
  widen(bytes: number): boolean {
    const isValid = this.window.widen(bytes);
    this.sendAll();
    return isValid;
  }

  /** Sends what a stream has as soon as possible. */
  add(stream: Http2Stream): void {
    const { answer } = stream;
    if (answer === null || stream.isLocalClosed) return;
    if (answer.pendingBytes > 0) {
      this.#ready.add(stream);
      this.sendAll();
    } else if (answer.isEnding) {
      stream.sendNext(); // the end alone needs no window
    }
  }

  /** Forgets a stream. */
  remove(stream: Http2Stream): void {
    this.#ready.delete(stream);
  }

  /** Sends as much as the windows and the output allow. */
  sendAll(): void {
    // A stream that is added again within the loop is visited again, behind the others.
    for (const stream of this.#ready) {
      if (this.window.bytes <= 0 || this.#output.queuedBytes >= OUTPUT_LIMIT_BYTES) return;
      this.#ready.delete(stream);
      if (stream.sendWindow.bytes <= 0) continue; // an update of its window adds it again
      stream.sendNext();
      if ((stream.answer?.pendingBytes ?? 0) > 0) this.#ready.add(stream);
    }
  }
}
