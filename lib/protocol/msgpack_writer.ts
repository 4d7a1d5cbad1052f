/**
 * Writes the MessagePack types of the protocol: nil, booleans, integers from 0 up, text, bytes, arrays.
 *
 * The bytes are those of `encode` of @std/msgpack, as a property test verifies; this writer is faster since it makes no
 * object per value and reuses one buffer.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import { assert } from "../platform/assert.ts";

const INITIAL_BYTES = 256;
const TWO_TO_THE_32 = 4_294_967_296;
const TEXT = new TextEncoder();

/** A growing buffer of MessagePack values. */
export class MessagePackWriter {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Returns the written bytes as a view that is valid until the next call. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Returns the written bytes as a copy. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Discards the written bytes, and the buffer as well if it is larger than `retainedBytes`. */
  clear(retainedBytes: number): void {
    this.#length = 0;
    if (this.#bytes.length > Math.max(retainedBytes, INITIAL_BYTES)) this.#resize(INITIAL_BYTES);
  }

  /** Discards the bytes after the first `length`. */
  truncate(length: number): void {
    assert(length <= this.#length, "a writer is only cut shorter");
    this.#length = length;
  }

  /** Reserves 4 bytes for a number that {@link setUint32} writes later; returns their position. */
  reserveUint32(): number {
    const position = this.#grow(4);
    this.#view.setUint32(position, 0);
    return position;
  }

  /** Writes a number into bytes of {@link reserveUint32}, most significant byte first. */
  setUint32(position: number, value: number): void {
    this.#view.setUint32(position, value);
  }

  /** Appends bytes that are MessagePack already. */
  raw(bytes: Uint8Array): void {
    const position = this.#grow(bytes.length);
    this.#bytes.set(bytes, position);
  }

  /** Begins an array: the next `length` values are its elements. */
  array(length: number): void {
    if (length < 16) this.#byte(0x90 | length);
    else if (length < 65_536) this.#head16(0xdc, length);
    else this.#head32(0xdd, length);
  }

  /** Writes nil. */
  nil(): void {
    this.#byte(0xc0);
  }

  /** Writes true or false. */
  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2);
  }

  /** Writes an integer from 0 to 2^53 − 1; from 2^32 on as a float64, as @std/msgpack does. */
  integer(value: number): void {
    assert(
      Number.isSafeInteger(value) && value >= 0,
      `an integer on the wire is from 0 to 2^53 − 1, not ${value}`,
    );
    if (value < 128) this.#byte(value);
    else if (value < 256) this.#head8(0xcc, value);
    else if (value < 65_536) this.#head16(0xcd, value);
    else if (value < TWO_TO_THE_32) this.#head32(0xce, value);
    else {
      const position = this.#grow(9);
      this.#bytes[position] = 0xcb;
      this.#view.setFloat64(position + 1, value);
    }
  }

  /** Writes an integer, or nil for null. */
  integerOrNil(value: number | null): void {
    if (value === null) this.nil();
    else this.integer(value);
  }

  /** Writes bytes. */
  binary(value: Uint8Array): void {
    if (value.length < 256) this.#head8(0xc4, value.length);
    else if (value.length < 65_536) this.#head16(0xc5, value.length);
    else this.#head32(0xc6, value.length);
    this.raw(value);
  }

  /** Writes text as UTF-8. */
  string(value: string): void {
    if (this.#shortAscii(value)) return;
    const encoded = TEXT.encode(value);
    if (encoded.length < 32) this.#byte(0xa0 | encoded.length);
    else if (encoded.length < 256) this.#head8(0xd9, encoded.length);
    else if (encoded.length < 65_536) this.#head16(0xda, encoded.length);
    else this.#head32(0xdb, encoded.length);
    this.raw(encoded);
  }

  /** Writes a short text of ASCII, the usual case, without a native call; false for any other text. */
  #shortAscii(value: string): boolean {
    if (value.length >= 32) return false;
    const position = this.#grow(1 + value.length);
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 128) {
        this.#length = position;
        return false;
      }
      this.#bytes[position + 1 + i] = code;
    }
    this.#bytes[position] = 0xa0 | value.length;
    return true;
  }

  #byte(value: number): void {
    const position = this.#grow(1); // first, since it may replace #bytes
    this.#bytes[position] = value;
  }

  #head8(type: number, value: number): void {
    const position = this.#grow(2);
    this.#bytes[position] = type;
    this.#bytes[position + 1] = value;
  }

  #head16(type: number, value: number): void {
    const position = this.#grow(3);
    this.#bytes[position] = type;
    this.#view.setUint16(position + 1, value);
  }

  #head32(type: number, value: number): void {
    const position = this.#grow(5);
    this.#bytes[position] = type;
    this.#view.setUint32(position + 1, value);
  }

  /** Adds `count` bytes at the end; returns the position of the first. */
  #grow(count: number): number {
    const position = this.#length;
    const needed = position + count;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, this.#bytes.length * 2));
    this.#length = needed;
    return position;
  }

  #resize(capacity: number): void {
    const larger = new Uint8Array(capacity);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
