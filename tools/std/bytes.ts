/** Substitute for `jsr:@std/bytes` if JSR cannot be reached (see tools/std_imports.ts). */

/** Joins byte arrays into a new one. */
export function concat(arrays: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const array of arrays) length += array.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const array of arrays) {
    joined.set(array, offset);
    offset += array.length;
  }
  return joined;
}

/** Returns whether two byte arrays are equal. */
export function equals(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Large values are compared: a function for each byte would take ten times as long.
  for (let position = 0; position < a.length; position++) {
    if (a[position] !== b[position]) return false;
  }
  return true;
}
