/**
 * Versionstamps: Deno KV's form of a revision, 10 bytes. The first eight are the revision, big-endian; the last two, by
 * which other implementations number the changes of a batch, are 0.
 */

/** Bytes of a versionstamp. */
export const VERSIONSTAMP_BYTES = 10;
/** A revision that no write has: a check for it never holds. */
export const NO_REVISION = Number.MAX_SAFE_INTEGER;
/** Bytes that {@link writeVersionstampElement} writes. */
export const VERSIONSTAMP_ELEMENT_BYTES = 22;

/** The tag of a string in a Deno key, and the byte that ends it. */
const STRING_TAG = 2;
const STRING_END = 0;
const HEX_DIGITS = "0123456789abcdef";

/** Returns the versionstamp of a revision. */
export function versionstampOf(revision: number): Uint8Array {
  const versionstamp = new Uint8Array(VERSIONSTAMP_BYTES);
  const view = new DataView(versionstamp.buffer);
  view.setUint32(0, Math.floor(revision / 2 ** 32));
  view.setUint32(4, revision % 2 ** 32);
  return versionstamp;
}

/** Returns the revision of a versionstamp of 10 bytes; {@link NO_REVISION} for one that no write has. */
export function revisionOf(versionstamp: Uint8Array): number {
  const view = new DataView(versionstamp.buffer, versionstamp.byteOffset, VERSIONSTAMP_BYTES);
  const revision = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  const isRevision = view.getUint16(8) === 0 && Number.isSafeInteger(revision) && revision > 0;
  return isRevision ? revision : NO_REVISION;
}

/**
 * Writes the element that a set with `versionstampedKey` appends to its key: a string of the 20 hexadecimal digits of the
 * versionstamp. `out` is changed from `start` on.
 */
export function writeVersionstampElement(out: Uint8Array, start: number, revision: number): void {
  out[start] = STRING_TAG;
  for (const [position, byte] of versionstampOf(revision).entries()) {
    out[start + 1 + 2 * position] = HEX_DIGITS.charCodeAt(byte >>> 4);
    out[start + 2 + 2 * position] = HEX_DIGITS.charCodeAt(byte & 15);
  }
  out[start + VERSIONSTAMP_ELEMENT_BYTES - 1] = STRING_END;
}
