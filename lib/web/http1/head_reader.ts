/** Takes the head of a request of HTTP/1.1 out of the bytes of a connection. */
import { latin1Of } from "../byte_queue.ts";
import type { Input } from "../input.ts";

const CR = 0x0d;
const LF = 0x0a;
/** Bytes of the line end before the empty line, and of the empty line. */
const END_BYTES = 4;

/** Finds the ends of heads. */
export class HeadReader {
  readonly #maxBytes: number;
  /** Unused bytes of the input that have been searched. */
  #searchedBytes = 0;

  /** Accepts heads of so many bytes, which are less than an input holds. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Uses a whole head; returns it without its empty line, or null where it has not arrived completely. */
  take(input: Input): string | "tooLong" | null {
    this.#skipEmptyLines(input);
    const { buffer, begin, end } = input;
    let at = buffer.indexOf(LF, begin + Math.max(this.#searchedBytes, END_BYTES - 1));
    for (; at >= 0 && at < end; at = buffer.indexOf(LF, at + 1)) {
      if (buffer[at - 1] !== CR || buffer[at - 2] !== LF || buffer[at - 3] !== CR) continue;
      const bytes = at + 1 - begin;
      if (bytes > this.#maxBytes) return "tooLong";
      this.#searchedBytes = 0;
      input.use(bytes);
      return latin1Of(buffer.subarray(begin, begin + bytes - END_BYTES));
    }
    this.#searchedBytes = input.length;
    return input.length > this.#maxBytes || input.isFull ? "tooLong" : null;
  }

  /** Empty lines before a request are skipped (RFC 9112 §2.2). */
  #skipEmptyLines(input: Input): void {
    const { buffer, begin, end } = input;
    let at = begin;
    while (at < end && (buffer[at] === CR || buffer[at] === LF)) at += 1;
    if (at > begin) this.#searchedBytes = 0;
    input.use(at - begin);
  }
}
