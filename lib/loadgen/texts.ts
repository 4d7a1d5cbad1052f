/** Keys and values as histories write them: texts with one character, of code 0 … 255, for each byte. */
import type { KeySet } from "../lincheck/mod.ts";
import { assertNever } from "../platform/assert.ts";

/** The text for some bytes. */
export function textOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The bytes of such a text. */
export function bytesOfText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let position = 0; position < bytes.length; position++) bytes[position] = text.charCodeAt(position);
  return bytes;
}

/** Keys that are given as texts, in the form that calls of the client library take. */
export function keySelection(
  keys: KeySet,
): { readonly key: Uint8Array } | { readonly start: Uint8Array; readonly end?: Uint8Array } {
  switch (keys.kind) {
    case "key":
      return { key: bytesOfText(keys.key) };
    case "range":
      return {
        start: bytesOfText(keys.start),
        ...(keys.end === null ? {} : { end: bytesOfText(keys.end) }),
      };
    default:
      return assertNever(keys);
  }
}
