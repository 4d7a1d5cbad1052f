/**
 * A buffer that protobuf messages are written into from their end to their beginning: the length of an embedded message is
 * known when its content is there, so no message is measured before and none is moved behind its length.
 */
import { SlabCopier } from "../../platform/memory/slab.ts";

const FIRST_SIZE_BYTES = 4_096;
/** Memory that the buffer keeps for the next message. */
const RETAINED_BYTES = 65_536;
const MAX_UINT32 = 0xffff_ffff;
const TWO_TO_32 = 0x1_0000_0000;
const UTF8 = new TextEncoder();

/** Writes fields in reverse: a caller writes the last field of a message first, and its tag after its content. */
export class ReverseOutput {
  readonly #copier = new SlabCopier();
  #bytes = new Uint8Array(FIRST_SIZE_BYTES);
  /** Position of the first byte that is written. */
  #start = FIRST_SIZE_BYTES;

  /** Number of bytes written so far: the difference of two is the size of what was written between them. */
  get size(): number {
    return this.#bytes.length - this.#start;
  }

  /** Writes bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#start -= bytes.length;
    this.#bytes.set(bytes, this.#start);
  }

  /** Writes a text as UTF-8; returns the number of its bytes. */
  text(text: string): number {
    const bytes = UTF8.encode(text);
    this.raw(bytes);
    return bytes.length;
  }

  /** Writes an integer of 0 … 2^32 − 1. */
  uint32(value: number): void {
    let count = 1;
    for (let rest = value >>> 7; rest !== 0; rest >>>= 7) count++;
    this.#reserve(count);
    this.#start -= count;
    let position = this.#start;
    let rest = value;
    for (; count > 1; count--) {
      this.#bytes[position++] = rest & 0x7f | 0x80;
      rest >>>= 7;
    }
    this.#bytes[position] = rest;
  }

  /** Writes a safe integer; a negative one as its two's complement in 64 bits. */
  integer(value: number): void {
    if (value >= 0 && value <= MAX_UINT32) this.uint32(value);
    // Both halves of the two's complement: the remainder of the lower one is taken modulo 2^32.
    else this.#uint64(value >>> 0, Math.floor(value / TWO_TO_32) >>> 0);
  }

  /** Writes an integer of 64 bits, signed or not. */
  bigint(value: bigint): void {
    this.#uint64(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
  }

  /** Writes an integer in two halves of 32 bits. The arithmetic of bigints takes eight times as long. */
  #uint64(low: number, high: number): void {
    if (high === 0) return this.uint32(low);
    // The fifth byte has the last 4 bits of the lower half and the first 3 of the upper one.
    const upper = high >>> 3;
    let count = 5;
    for (let rest = upper; rest !== 0; rest >>>= 7) count++;
    this.#reserve(count);
    this.#start -= count;
    const bytes = this.#bytes;
    let position = this.#start;
    for (let shift = 0; shift < 28; shift += 7) bytes[position++] = low >>> shift & 0x7f | 0x80;
    bytes[position++] = low >>> 28 | (high & 0x7) << 4 | (upper === 0 ? 0 : 0x80);
    for (let rest = upper; rest !== 0; rest >>>= 7) {
      bytes[position++] = rest & 0x7f | (rest > 0x7f ? 0x80 : 0);
    }
  }

  /**
   * Returns a copy of the bytes, which is never changed, and begins again. Copies of short messages share a larger buffer: one
   * that is kept for long must be copied, or it keeps others in memory.
   */
  finish(): Uint8Array {
    const copy = this.#copier.copy(this.#bytes.subarray(this.#start));
    this.clear();
    return copy;
  }

  /** Drops what was written. */
  clear(): void {
    if (this.#bytes.length > RETAINED_BYTES) this.#bytes = new Uint8Array(FIRST_SIZE_BYTES);
    this.#start = this.#bytes.length;
  }

  #reserve(count: number): void {
    if (count <= this.#start) return;
    const { size } = this;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, size + count));
    larger.set(this.#bytes.subarray(this.#start), larger.length - size);
    this.#start = larger.length - size;
    this.#bytes = larger;
  }
}
