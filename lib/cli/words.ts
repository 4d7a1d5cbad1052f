/**
 * Words of a command line that may hold any bytes.
 *
 * Arguments are strings everywhere (the parser, the history, the process's own arguments), yet keys and values are
 * bytes. So a byte that is no part of valid UTF-8 travels as a lone low surrogate, U+DC80 to U+DCFF, which no valid
 * text contains, and becomes that byte again when the word is used.
 */

const SURROGATE_OF_BYTE = 0xdc00;

/** The word for some bytes; {@link bytesOfWord} gives them back exactly. */
export function wordOfBytes(bytes: Uint8Array): string {
  let word = "";
  for (const part of splitUtf8(bytes)) word += part.kind === "text" ? part.text : surrogate(part.byte);
  return word;
}

/** The bytes of a word: its UTF-8, with the bytes that were never text as they were. */
export function bytesOfWord(word: string): Uint8Array {
  const encoder = new TextEncoder();
  const chunks: Uint8Array[] = [];
  for (const part of word.split(/([\udc80-\udcff])/u)) {
    const code = part.charCodeAt(0);
    chunks.push(
      part.length === 1 && code >= 0xdc80 && code <= 0xdcff
        ? Uint8Array.of(code - SURROGATE_OF_BYTE)
        : encoder.encode(part),
    );
  }
  const bytes = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The text of bytes that are valid UTF-8; null for others. */
export function textOfBytes(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A character that can be shown, or a byte that is no part of any. */
export type TextPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "byte"; readonly byte: number };

/** Splits bytes into the runs that are valid UTF-8 and the single bytes that are not. */
export function* splitUtf8(bytes: Uint8Array): Generator<TextPart> {
  let start = 0;
  let position = 0;
  while (position < bytes.length) {
    const length = sequenceLength(bytes, position);
    if (length > 0) {
      position += length;
      continue;
    }
    if (position > start) yield validText(bytes.subarray(start, position));
    yield { kind: "byte", byte: bytes[position] ?? 0 };
    position += 1;
    start = position;
  }
  if (position > start) yield validText(bytes.subarray(start, position));
}

function validText(bytes: Uint8Array): TextPart {
  return { kind: "text", text: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) };
}

/** Bytes of the UTF-8 character at `position`; 0 when there is none (RFC 3629 §4). */
function sequenceLength(bytes: Uint8Array, position: number): number {
  const first = bytes[position] ?? 0;
  const second = bytes[position + 1] ?? 0;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let offset = 2; offset < length; offset += 1) {
    const next = bytes[position + offset] ?? 0;
    if (next < 0x80 || next > 0xbf) return 0;
  }
  return length;
}

function surrogate(byte: number): string {
  return String.fromCharCode(SURROGATE_OF_BYTE + byte);
}
