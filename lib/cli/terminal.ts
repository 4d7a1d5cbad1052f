/**
 * The one place that decides what a terminal is sent.
 *
 * Text comes from nodes, backups, files and stored values, any of which may hold sequences that command a terminal or
 * marks that hide or reverse text. So whatever writes to a terminal passes its text through {@link terminalText}: only
 * printable characters, newlines and tabs get through, and the program's own styles, which travel as marks that no
 * UTF-8 text can hold. Bytes that were asked for as they are (`get --raw`) do not come here.
 */
import { escapeUnprintable } from "./escape.ts";

/** Lone surrogates: no decoded text has them, and {@link terminalText} takes every other one for unprintable. */
const DIM = "\udc00";
const PLAIN = "\udc01";
const STYLES: Readonly<Record<string, string>> = { [DIM]: "\x1b[90m", [PLAIN]: "\x1b[39m" };

/** Text in grey, where colour is used. */
export function dim(text: string, { color }: { readonly color: boolean }): string {
  return color && text !== "" ? `${DIM}${text}${PLAIN}` : text;
}

/** Text as a terminal may be sent it: what is not printable is escaped, except newlines, tabs and styles. */
export function terminalText(text: string): string {
  return text.split(/([\n\t\udc00\udc01])/u)
    .map((part, position) => position % 2 === 0 ? escapeUnprintable(part) : STYLES[part] ?? part)
    .join("");
}

/** A line that takes the place of the one the cursor is in; "" only clears it. */
export function terminalLine(line: string): string {
  return `\r\x1b[2K${terminalText(line)}`;
}
