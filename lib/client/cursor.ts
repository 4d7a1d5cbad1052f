/**
 * Cursors of listings: where the next page begins, as text that a program passes back unread.
 *
 * It names the last key that was given and the direction, not a place in some node's memory, so it stays good
 * forever, at any node, whatever is written meanwhile.
 */
import { InvalidRequestError } from "./errors.ts";

const FORWARD = 0;
const REVERSE = 1;

/** The cursor behind `key`. */
export function encodeCursor(key: Uint8Array, direction: { readonly reverse: boolean }): string {
  const bytes = new Uint8Array(1 + key.length);
  bytes[0] = direction.reverse ? REVERSE : FORWARD;
  bytes.set(key, 1);
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** The key that a cursor stands behind. Throws {@link InvalidRequestError} when it is none of this direction. */
export function decodeCursor(cursor: string, direction: { readonly reverse: boolean }): Uint8Array {
  const bytes = parse(cursor);
  const way = bytes === null ? undefined : bytes[0];
  if (bytes === null || bytes.length < 2 || (way !== FORWARD && way !== REVERSE)) {
    throw new InvalidRequestError(
      "Cannot list: the cursor is not one that a listing gave. Pass it as it came.",
    );
  }
  if ((way === REVERSE) !== direction.reverse) {
    throw new InvalidRequestError("Cannot list: the cursor comes from a listing in the other direction.");
  }
  return bytes.subarray(1);
}

function parse(cursor: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(cursor, { alphabet: "base64url" });
  } catch {
    return null;
  }
}
