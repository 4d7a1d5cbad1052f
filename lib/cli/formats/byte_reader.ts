/** Reading a stream of bytes by lengths, and the CRC-64 of what is read. */
import { concat } from "@std/bytes";
import { crc64 } from "./redis/crc64.ts";
import { FormatError } from "./items.ts";

/** Reads exactly as many bytes as are wanted, and holds no more than that and one chunk of the stream. */
export class ByteReader {
  /** Bytes that were read or skipped. */
  offset = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array();
  #position = 0;
  #isEnded = false;
  #checksum: bigint | null = null;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Returns the next bytes without taking them: `count`, or fewer at the end of the stream. */
  async peek(count: number): Promise<Uint8Array> {
    await this.#fill(count);
    return this.#buffer.subarray(this.#position, this.#position + count);
  }

  /** Returns whether all bytes were taken. */
  async isAtEnd(): Promise<boolean> {
    return (await this.peek(1)).length === 0;
  }

  /** Takes `count` bytes, which the caller may keep. Throws {@link FormatError} where the stream ends before. */
  async read(count: number): Promise<Uint8Array> {
    if (this.#available < count) await this.#fill(count);
    this.#require(count);
    const bytes = this.#buffer.slice(this.#position, this.#position + count);
    this.#take(count);
    return bytes;
  }

  /** Takes one byte. */
  async readByte(): Promise<number> {
    if (this.#available < 1) await this.#fill(1);
    this.#require(1);
    const byte = this.#buffer[this.#position] ?? 0;
    this.#take(1);
    return byte;
  }

  /** Takes `count` bytes without holding them. */
  async skip(count: number): Promise<void> {
    let left = count;
    while (left > 0) {
      if (this.#available === 0) await this.#fill(1);
      if (this.#available === 0) this.#require(left);
      const taken = Math.min(left, this.#available);
      this.#take(taken);
      left -= taken;
    }
  }

  /** Takes the line up to LF, without CR LF. Throws {@link FormatError} for one of more than `maxBytes`. */
  async readLine(maxBytes: number): Promise<Uint8Array> {
    for (let length = 0;; length += 1) {
      if (length > maxBytes) throw new FormatError(`at byte ${this.offset} a line has no end`);
      if (this.#available <= length) await this.#fill(length + 1);
      this.#require(length + 1);
      if (this.#buffer[this.#position + length] !== 0x0a) continue;
      const line = this.#buffer.slice(this.#position, this.#position + length);
      this.#take(length + 1);
      return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
    }
  }

  /** Yields the rest of the stream in chunks. */
  async *rest(): AsyncGenerator<Uint8Array> {
    while (!(await this.isAtEnd())) {
      const chunk = this.#buffer.subarray(this.#position);
      this.#take(chunk.length);
      yield chunk;
    }
  }

  /** Begins the CRC-64 with the next byte, `seen` being the bytes before it that count. */
  beginChecksum(seen: Uint8Array): void {
    this.#checksum = crc64(0n, seen);
  }

  /** Returns the CRC-64 of the bytes since {@link beginChecksum}, and ends it. */
  endChecksum(): bigint {
    const checksum = this.#checksum ?? 0n;
    this.#checksum = null;
    return checksum;
  }

  /** Releases the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  get #available(): number {
    return this.#buffer.length - this.#position;
  }

  #require(count: number): void {
    if (this.#available >= count) return;
    const end = this.offset + this.#available;
    throw new FormatError(
      `it is cut off: it ends at byte ${end}, and ${count - this.#available} more must follow`,
    );
  }

  #take(count: number): void {
    if (this.#checksum !== null) {
      const taken = this.#buffer.subarray(this.#position, this.#position + count);
      this.#checksum = crc64(this.#checksum, taken);
    }
    this.#position += count;
    this.offset += count;
  }

  async #fill(count: number): Promise<void> {
    if (this.#available >= count || this.#isEnded) return;
    const chunks = [this.#buffer.subarray(this.#position)];
    let length = this.#available;
    while (length < count) {
      const { value, done } = await this.#chunks.next();
      if (done === true) {
        this.#isEnded = true;
        break;
      }
      chunks.push(value);
      length += value.length;
    }
    this.#buffer = concat(chunks);
    this.#position = 0;
  }
}
