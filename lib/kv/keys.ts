/**
 * Keys as text: one character of code 0 … 255 for each byte.
 *
 * JavaScript compares strings by code unit, so such texts stand in unsigned byte order, and a text makes a smaller
 * and faster key of a tree than an array of bytes. None of them is ever a property name: `__proto__` is a key like
 * any other.
 */
import { Buffer } from "node:buffer";

/** Bytes of a buffer that several keys share. */
const BLOCK_BYTES = 16_384;

/** The text of a key's bytes. (Latin-1 is this very mapping; String.fromCharCode takes twice as long for 23 bytes.) */
export function keyText(bytes: Uint8Array): string {
  return Reflect.apply(Buffer.prototype.latin1Slice, bytes, [0, bytes.length]);
}

/**
 * Turns several texts of `totalBytes` together to bytes that share one buffer. Making a buffer for each key of a long
 * page would take many times longer than filling it.
 */
export function keyWriter(totalBytes: number): (text: string) => Uint8Array {
  const buffer = new Uint8Array(totalBytes);
  let end = 0;
  return (text) => {
    const start = end;
    for (let i = 0; i < text.length; i++) buffer[end++] = text.charCodeAt(i);
    return buffer.subarray(start, end);
  };
}

/**
 * Turns any number of texts to bytes that share buffers of {@link BLOCK_BYTES}, for whoever keeps none of them for
 * long: what is kept of a block keeps all of it.
 */
export function keyBlocks(): (text: string) => Uint8Array {
  let toBytes = keyWriter(0);
  let left = 0;
  return (text) => {
    if (text.length > left) {
      left = Math.max(BLOCK_BYTES, text.length);
      toBytes = keyWriter(left);
    }
    left -= text.length;
    return toBytes(text);
  };
}

/** The least text behind `text`: nothing lies between the two. */
export function successor(text: string): string {
  return text + "\0";
}

/** The least text behind all that begin with `prefix`; null when there is none (an empty prefix, or all bytes 255). */
export function prefixEnd(prefix: string): string | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 255) length--;
  if (length === 0) return null;
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}
