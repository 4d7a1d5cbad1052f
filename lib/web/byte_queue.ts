/** A growing buffer to which bytes are appended, and the text of bytes. */
import { assert } from "../platform/assert.ts";

const FIRST_BYTES = 1_024;
const CHARACTERS_A_CALL = 4_096;

/** Bytes in the order in which they were appended. */
export class ByteQueue {
  #buffer = new Uint8Array(0);
  #length = 0;

  /** Number of bytes. */
  get length(): number {
    return this.#length;
  }

  /** Appends one byte. */
  byte(value: number): void {
    this.#grow(1);
    this.#buffer[this.#length++] = value;
  }

  /** Appends bytes. */
  bytes(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Appends the characters of a text as one byte each; all are below 256. */
  latin1(text: string): void {
    this.#grow(text.length);
    for (let at = 0; at < text.length; at++) this.#buffer[this.#length++] = text.charCodeAt(at);
  }

  /** Appends the lowest `count` bytes, at most 4, of a number below 2^32, the most significant first. */
  integer(value: number, count: number): void {
    this.#grow(count);
    this.#put(this.#length, value, count);
    this.#length += count;
  }

  /** Overwrites bytes that were appended before. */
  setInteger(at: number, value: number, count: number): void {
    assert(at + count <= this.#length, "only bytes that were appended are overwritten");
    this.#put(at, value, count);
  }

  /** Drops everything from a position on. */
  truncate(length: number): void {
    assert(length <= this.#length, "a queue is not extended by truncation");
    this.#length = length;
  }

  /** Drops everything; keeps at most `retainedBytes` of memory. */
  clear(retainedBytes: number): void {
    this.#length = 0;
    if (this.#buffer.length > retainedBytes) this.#buffer = new Uint8Array(0);
  }

  /** Returns the bytes from a position on, as a view that is valid until the next append. */
  view(begin = 0): Uint8Array {
    return this.#buffer.subarray(begin, this.#length);
  }

  #put(at: number, value: number, count: number): void {
    const buffer = this.#buffer;
    for (let position = at + count - 1, rest = value; position >= at; position--) {
      buffer[position] = rest;
      rest >>>= 8;
    }
  }

  #grow(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(FIRST_BYTES, needed, 2 * this.#buffer.length));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}

/** Returns a string with one character for each byte. */
export function latin1Of(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHARACTERS_A_CALL) {
    text += Reflect.apply(String.fromCharCode, String, bytes.subarray(at, at + CHARACTERS_A_CALL));
  }
  return text;
}
