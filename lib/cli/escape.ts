/**
 * Bytes as a person can read them, and type them again.
 *
 * What is not printable is written with a backslash: `\n`, `\t`, `\r`, `\\`, and `\xHH` for any byte. The shell's
 * lines understand the same, so what `list` shows can be typed back (lib/cli/tokenize.ts). Escaping also keeps stored
 * values from sending control sequences to somebody's terminal.
 */
import { splitUtf8 } from "./words.ts";

/**
 * Controls, formats (among them the marks that reverse text), line separators, private and unassigned characters.
 * Of the formats only the zero-width joiner stays: emoji are built with it.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?!\u200d)\p{Cf}/u;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\" };
const utf8 = new TextEncoder();

/** All of `bytes` as printable text on one line. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = "";
  for (const part of splitUtf8(bytes)) {
    if (part.kind === "byte") text += hex(part.byte);
    else text += escapeText(part.text);
  }
  return text;
}

/** The same for text, such as a message that came from another machine. */
export function escapeText(text: string): string {
  let escaped = "";
  for (const character of text) {
    const named = NAMED[character];
    if (named !== undefined) escaped += named;
    else if (UNPRINTABLE.test(character)) escaped += [...utf8.encode(character)].map(hex).join("");
    else escaped += character;
  }
  return escaped;
}

/** Bytes as one bare word of the shell: escaped, with spaces and quotes too, so that it is read as it was. */
export function wordAsTyped(bytes: Uint8Array): string {
  if (bytes.length === 0) return `""`;
  return escapeBytes(bytes).replace(/[ "'\p{Zs}]/gu, (character) => `\\${character}`).replace(/^#/, "\\#");
}

/** Whether text can go to a terminal as it is: nothing but printable characters, newlines and tabs. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text.replace(/[\n\t]/g, ""));
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
