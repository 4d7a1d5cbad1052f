/**
 * Deno KV keys as text: `["users", 17n]`. The text of a key is an expression of JavaScript, which can be typed as an
 * argument and pasted into a program. Bytes that no Deno client writes as a key are `hex:` and their digits.
 */
import { assertNever } from "../../platform/assert.ts";
import { errorMessage, shortened } from "../../platform/errors.ts";
import { UsageError } from "../errors.ts";
import { escapeJson } from "../text.ts";
import { decodeKey, type DenoKey, encodeKey, type KeyPart } from "./key_codec.ts";
import { type Literal, parseLiteral } from "./literal.ts";

const HEX_PREFIX = "hex:";
const EXAMPLE = `'["users", 17n]'`;

/** Returns the text of a key, given as its bytes. */
export function keyText(bytes: Uint8Array): string {
  const key = decodeKey(bytes);
  return key === null ? `${HEX_PREFIX}${bytes.toHex()}` : textOfKey(key);
}

/** Returns the bytes of a key from its text. Throws {@link UsageError}. */
export function keyOfText(text: string): Uint8Array {
  if (text.startsWith(HEX_PREFIX)) return bytesOfHex(text);
  let literal: Literal;
  try {
    literal = parseLiteral(text);
  } catch (error) {
    throw new UsageError(
      `Cannot read the key ${shortened(text)}: ${errorMessage(error)} Example: ${EXAMPLE}`,
    );
  }
  if (!Array.isArray(literal)) {
    throw new UsageError(`A key is an array, such as ${EXAMPLE}, not ${shortened(text)}.`);
  }
  try {
    return encodeKey(literal.map(partOf));
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

function bytesOfHex(text: string): Uint8Array {
  try {
    return Uint8Array.fromHex(text.slice(HEX_PREFIX.length));
  } catch {
    throw new UsageError(
      `The key ${shortened(text)} is not in pairs of hexadecimal digits. Example: hex:027500`,
    );
  }
}

function partOf(literal: Literal): KeyPart {
  if (literal instanceof Uint8Array) return literal;
  switch (typeof literal) {
    case "string":
      if (!literal.isWellFormed()) {
        throw new UsageError(
          "A string in a key has no half of a surrogate pair: Deno replaces it by U+FFFD.",
        );
      }
      return literal;
    case "number":
    case "bigint":
    case "boolean":
      return literal;
    default:
      throw new UsageError(
        `The parts of a key are strings, numbers, bigints, booleans and new Uint8Array([1, 2]). Example: ${EXAMPLE}`,
      );
  }
}

function textOfKey(key: DenoKey): string {
  return `[${key.map(textOfPart).join(", ")}]`;
}

function textOfPart(part: KeyPart): string {
  switch (typeof part) {
    case "string":
      return escapeJson(JSON.stringify(part));
    case "bigint":
      return `${part}n`;
    case "number":
      return Object.is(part, -0) ? "-0" : `${part}`;
    case "boolean":
      return `${part}`;
    case "object":
      return `new Uint8Array([${part.join(", ")}])`;
    default:
      return assertNever(part);
  }
}
