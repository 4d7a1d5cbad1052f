/** Keys in unsigned byte order, and the bounds of ranges of them. */
import { Buffer } from "node:buffer";

/**
 * Returns a text that identifies a key, for use in a Map or Set: one character of code 0 … 255 for each byte. It is never
 * used as a property name: `__proto__` is a key like any other.
 */
export function keyText(bytes: Uint8Array): string {
  return Reflect.apply(Buffer.prototype.latin1Slice, bytes, [0, bytes.length]);
}

/** Compares keys in unsigned byte order: below 0, 0 or above 0 as `a` is less, equal or greater. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  for (let position = 0; position < end; position++) {
    const difference = (a[position] ?? 0) - (b[position] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Returns the smallest key greater than `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Returns the smallest key greater than all with `prefix`; null when there is none (an empty prefix, or only bytes 255). */
export function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 255) length--;
  if (length === 0) return null;
  const end = prefix.slice(0, length);
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}
