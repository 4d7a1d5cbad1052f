/** Decodes the chunked coding of HTTP/1.1 (RFC 9112 §7.1). */

/** Characters of a line that has a chunk's size and extensions, or of a trailer; all trailers together. */
const MAX_LINE_CHARACTERS = 4_096;
/** Hexadecimal digits of a size: more than any body may have. */
const SIZE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t -~\x80-\xff]*)?$/;
const CR = 0x0d;
const LF = 0x0a;

/** A chunked body that is not one. */
export class ChunkedError extends Error {
  override readonly name = "ChunkedError";
}

/** The decoder of one body. */
export class ChunkedDecoder {
  /** size and trailers: within a line. data: within a chunk. dataEnd: within the line end behind it. */
  #state: "size" | "data" | "dataEnd" | "trailers" | "ended" = "size";
  #line = "";
  #trailersLength = 0;
  #leftBytes = 0;

  /** Whether the body is complete. */
  get hasEnded(): boolean {
    return this.#state === "ended";
  }

  /**
   * Takes bytes of a connection, at most so many of the body as `maxBytes`, which are passed to `push` as views. Returns
   * how many bytes were used. Throws {@link ChunkedError}.
   */
  take(bytes: Uint8Array, maxBytes: number, push: (part: Uint8Array) => void): number {
    let at = 0;
    let allowed = maxBytes;
    while (at < bytes.length && this.#state !== "ended") {
      if (this.#state !== "data") {
        this.#character(bytes[at] ?? 0);
        at += 1;
        continue;
      }
      const part = bytes.subarray(at, at + Math.min(this.#leftBytes, allowed));
      if (part.length === 0) break;
      push(part);
      at += part.length;
      allowed -= part.length;
      this.#leftBytes -= part.length;
      if (this.#leftBytes === 0) this.#state = "dataEnd";
    }
    return at;
  }

  /** Adds a character to the present line. */
  #character(character: number): void {
    if (character !== LF) {
      this.#line += String.fromCharCode(character);
      const most = this.#state === "dataEnd" ? 1 : MAX_LINE_CHARACTERS;
      if (this.#line.length > most) throw new ChunkedError("a line of a chunked body is too long");
      return;
    }
    if (this.#line.charCodeAt(this.#line.length - 1) !== CR) {
      throw new ChunkedError("a line of a chunked body has no end");
    }
    const line = this.#line.slice(0, -1);
    this.#line = "";
    this.#lineEnded(line);
  }

  #lineEnded(line: string): void {
    if (this.#state === "size") {
      const [, digits] = SIZE.exec(line) ?? [];
      if (digits === undefined) throw new ChunkedError("the size of a chunk is not a number");
      this.#leftBytes = Number.parseInt(digits, 16);
      this.#state = this.#leftBytes > 0 ? "data" : "trailers";
    } else if (this.#state === "dataEnd") {
      if (line !== "") throw new ChunkedError("a chunk is longer than its size");
      this.#state = "size";
    } else if (line === "") {
      this.#state = "ended";
    } else {
      this.#trailersLength += line.length;
      if (this.#trailersLength > MAX_LINE_CHARACTERS) {
        throw new ChunkedError("the trailers of a body are too long");
      }
    }
  }
}
