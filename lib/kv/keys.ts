/**
 * Keys as texts that sort like their bytes.
 *
 * A text has one character of code 0 … 255 for each byte. JavaScript compares strings by code unit, so such texts sort in
 * unsigned byte order, and a text is a smaller and faster key of a tree than an array of bytes. None is ever used as a
 * property name: `__proto__` is a key like any other.
 */
import { Buffer } from "node:buffer";

/** Bytes of a buffer that several keys share. */
const BLOCK_BYTES = 16_384;

/** Returns the text of a key's bytes. (Latin-1 is this mapping; String.fromCharCode takes twice as long for 23 bytes.) */
export function keyText(bytes: Uint8Array): string {
  return Reflect.apply(Buffer.prototype.latin1Slice, bytes, [0, bytes.length]);
}

/**
 * Returns a function that converts texts of `totalBytes` in total to bytes in one shared buffer. Allocating a buffer for
 * each key of a long page would take many times longer than filling it.
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
 * Returns a function that converts any number of texts to bytes in shared buffers of {@link BLOCK_BYTES}, for callers that
 * keep none of them for long: one kept key keeps its whole buffer alive.
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

/** Returns the smallest text greater than `text`. */
export function successor(text: string): string {
  return text + "\0";
}

/** Returns the smallest text greater than all texts with `prefix`; null when there is none (an empty prefix, or only bytes 255). */
export function prefixEnd(prefix: string): string | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 255) length--;
  if (length === 0) return null;
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}
