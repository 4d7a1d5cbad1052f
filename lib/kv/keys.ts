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

/** Keys that are listed: those with the prefix, from `start` (included) to `end` (excluded), behind the key `after`. */
interface Listed {
  readonly prefix: Uint8Array;
  readonly start: Uint8Array | null;
  readonly end: Uint8Array | null;
  readonly after: Uint8Array | null;
  readonly reverse: boolean;
}

/** Returns the range of keys that a listing has still to return; `upper` is excluded, and null without a bound. */
export function listedRange(
  { prefix, start, end, after, reverse }: Listed,
): { readonly lower: Uint8Array; readonly upper: Uint8Array | null; readonly reverse: boolean } {
  const lowers = [prefix];
  const uppers: Uint8Array[] = [];
  const afterPrefix = prefixEnd(prefix);
  if (afterPrefix !== null) uppers.push(afterPrefix);
  if (start !== null) lowers.push(start);
  if (end !== null) uppers.push(end);
  if (after !== null) {
    if (reverse) uppers.push(after);
    else lowers.push(successor(after));
  }
  return {
    lower: lowers.reduce((a, b) => compareKeys(a, b) > 0 ? a : b),
    upper: uppers.length === 0 ? null : uppers.reduce((a, b) => compareKeys(a, b) < 0 ? a : b),
    reverse,
  };
}
