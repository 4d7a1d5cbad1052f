/** Fast hashes, to compare values that should be equal. */

/** Hashes numbers of up to 32 bits. */
export function hashNumbers(numbers: readonly number[]): number {
  return numbers.reduce((hash, value) => Math.imul(hash ^ value, 0x01000193), 0x811c9dc5);
}

/** Hashes bytes, starting from another hash. */
export function hashBytes(bytes: Uint8Array, begin: number): number {
  let hash = begin;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
