/**
 * Bytes as a person can read them, and type them again.
 *
 * What is not printable is written with a backslash: `\n`, `\t`, `\r`, `\\`, and `\xHH` for any byte. The shell's
 * lines understand the same, so what `list` shows can be typed back (lib/cli/tokenize.ts). Escaping also keeps stored
 * values from sending control sequences to somebody's terminal.
 */
import { splitUtf8, textOfBytes } from "./words.ts";

/**
 * Controls, formats (among them the marks that reverse text), characters that take no space, line separators, private
 * and unassigned characters. Allowed are the joiner and the selector within an emoji, which are part of how it looks.
 */
const UNPRINTABLE =
  /(?!(?<=(?!\p{Cn})[\p{Extended_Pictographic}\p{Emoji_Modifier}]|\p{Emoji}\ufe0f)\u200d(?=(?!\p{Cn})\p{Extended_Pictographic})|(?<=\p{Emoji})\ufe0f)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
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
  return escapeUnprintable(text.replace(/[\n\t\r\\]/g, (character) => NAMED[character] ?? ""));
}

/** Text on one line, with escapes only for what is not printable: a backslash stays one. */
export function escapeUnprintable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => NAMED[character] ?? [...utf8.encode(character)].map(hex).join(""),
  );
}

/** JSON with `\\uXXXX` for what is not printable: the same document, and safe on a terminal. */
export function escapeJson(json: string): string {
  return json.replace(UNPRINTABLE, (character) => character.split("").map(escapeUnit).join(""));
}

/** Bytes as one bare word of the shell: escaped, with spaces and quotes too, so that it is read as it was. */
export function wordAsTyped(bytes: Uint8Array): string {
  if (bytes.length === 0) return `""`;
  return escapeBytes(bytes).replace(/[ "'\p{Zs}]/gu, (character) => `\\${character}`).replace(/^#/, "\\#");
}

/** Whether bytes can be an argument of the process as they are: printable UTF-8 without U+FFFD. */
export function isArgument(bytes: Uint8Array): boolean {
  const text = textOfBytes(bytes);
  return text !== null && isPrintable(text) && !/[\n\t\ufffd]/.test(text);
}

/** Any bytes as an argument that says the same with `--escapes`. */
export function escapeArgument(bytes: Uint8Array): string {
  return escapeBytes(bytes).replaceAll("\ufffd", "\\xef\\xbf\\xbd");
}

/** Printable text as one word of a POSIX shell and of this program's shell alike: quoted where it must be. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_./:,@%+-][A-Za-z0-9_./:,@%+=-]*$/.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Whether text can go to a terminal as it is: nothing but printable characters, newlines and tabs. */
export function isPrintable(text: string): boolean {
  return text.replace(/[\n\t]/g, "").search(UNPRINTABLE) === -1;
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
