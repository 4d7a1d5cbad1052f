/**
 * Text as people read and type it: escapes, column widths, tables, sizes and durations.
 *
 * Bytes that are not printable text are written with a backslash: `\n`, `\t`, `\r`, `\\`, and `\xHH` for any byte. The
 * shell reads the same escapes (tokenize.ts), so what `list` shows can be typed back.
 *
 * A command line is a string, yet keys and values are bytes. A byte that is not part of valid UTF-8 is therefore kept in
 * a word as a lone low surrogate, U+DC80 to U+DCFF, which no valid text contains, and becomes that byte again when the
 * word is used ({@link wordOfBytes}, {@link bytesOfWord}).
 *
 * Text on a terminal comes from nodes, backups, files and stored values, any of which may hold sequences that command a
 * terminal, or marks that hide or reverse text. Everything that writes to a terminal passes its text through
 * {@link terminalText}. Only the bytes of `get --raw` do not.
 */
import type { Attachment } from "../kv/command.ts";

/**
 * Controls, formats (among them the marks that reverse text), characters that take no space, line separators, private
 * and unassigned characters. The joiner and the selector within an emoji are allowed: they are part of how it looks.
 */
const UNPRINTABLE =
  /(?!(?<=(?!\p{Cn})[\p{Extended_Pictographic}\p{Emoji_Modifier}]|\p{Emoji}\ufe0f)\u200d(?=(?!\p{Cn})\p{Extended_Pictographic})|(?<=\p{Emoji})\ufe0f)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\" };
const utf8 = new TextEncoder();

/** Returns bytes as printable text on one line. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = "";
  for (const part of splitUtf8(bytes)) {
    if (part.kind === "byte") text += hex(part.byte);
    else text += escapeText(part.text);
  }
  return text;
}

/** Returns text, such as a message of another machine, as printable text on one line. */
export function escapeText(text: string): string {
  return escapeUnprintable(text.replace(/[\n\t\r\\]/g, (character) => NAMED[character] ?? ""));
}

/** Returns text on one line, with escapes only for what is not printable: a backslash stays unchanged. */
export function escapeUnprintable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => NAMED[character] ?? [...utf8.encode(character)].map(hex).join(""),
  );
}

/** Returns JSON with `\\uXXXX` for what is not printable: the same document, and safe on a terminal. */
export function escapeJson(json: string): string {
  return json.replace(UNPRINTABLE, (character) => character.split("").map(escapeUnit).join(""));
}

/** Returns bytes as one bare word of the shell, with spaces and quotes escaped too. */
export function wordAsTyped(bytes: Uint8Array): string {
  if (bytes.length === 0) return `""`;
  return escapeBytes(bytes).replace(/[ "'\p{Zs}]/gu, (character) => `\\${character}`).replace(/^#/, "\\#");
}

/** Returns whether bytes can be an argument of the process unchanged: printable UTF-8 without U+FFFD. */
export function isArgument(bytes: Uint8Array): boolean {
  const text = textOfBytes(bytes);
  return text !== null && isPrintable(text) && !/[\n\t\ufffd]/.test(text);
}

/** Returns any bytes as an argument for use with `--escapes`. */
export function escapeArgument(bytes: Uint8Array): string {
  return escapeBytes(bytes).replaceAll("\ufffd", "\\xef\\xbf\\xbd");
}

/** Returns printable text as one word of a POSIX shell and of this program's shell alike, quoted if necessary. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_./:,@%+-][A-Za-z0-9_./:,@%+=-]*$/.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns whether text can go to a terminal unchanged: printable characters, newlines and tabs only. */
export function isPrintable(text: string): boolean {
  return text.replace(/[\n\t]/g, "").search(UNPRINTABLE) === -1;
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

const SURROGATE_OF_BYTE = 0xdc00;

/** Returns the word for some bytes; {@link bytesOfWord} is the inverse. */
export function wordOfBytes(bytes: Uint8Array): string {
  let word = "";
  for (const part of splitUtf8(bytes)) word += part.kind === "text" ? part.text : surrogate(part.byte);
  return word;
}

/** Returns the bytes of a word: its UTF-8, and the bytes that were never text. */
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

/** Returns the text of bytes that are valid UTF-8; null for others. */
export function textOfBytes(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Text, or a byte that is not part of a UTF-8 character. */
type TextPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "byte"; readonly byte: number };

/** Splits bytes into the runs that are valid UTF-8 and the single bytes that are not. */
function* splitUtf8(bytes: Uint8Array): Generator<TextPart> {
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

/** Returns the length of the UTF-8 character at `position`; 0 if there is none (RFC 3629 §4). */
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

/** Lone surrogates, which no decoded text has; {@link terminalText} escapes all others. */
const DIM = "\udc00";
const PLAIN = "\udc01";
const STYLES: Readonly<Record<string, string>> = { [DIM]: "\x1b[90m", [PLAIN]: "\x1b[39m" };

/** Returns text in grey if colour is used. */
export function dim(text: string, { color }: { readonly color: boolean }): string {
  return color && text !== "" ? `${DIM}${text}${PLAIN}` : text;
}

/** Returns text that is safe on a terminal: what is not printable is escaped, except newlines, tabs and styles. */
export function terminalText(text: string): string {
  return text.split(/([\n\t\udc00\udc01])/u)
    .map((part, position) => position % 2 === 0 ? escapeUnprintable(part) : STYLES[part] ?? part)
    .join("");
}

/** Returns the sequence that replaces the line with the cursor by `line`. */
export function terminalLine(line: string): string {
  return `\r\x1b[2K${terminalText(line)}`;
}

/** East Asian wide characters and emoji take two columns (the wide ranges of Unicode's EastAsianWidth.txt, rounded). */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
/** Marks that are drawn on the character before them. */
const ZERO = /^[\p{Mn}\p{Me}\p{Cf}]/u;
const characters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Returns the columns that `text`, one line without control characters, takes. */
export function columnsOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let columns = 0;
  for (const { segment } of characters.segment(text)) columns += columnsOfCharacter(segment);
  return columns;
}

/** Returns `text` if it fits, else its beginning and an ellipsis, in at most `columns` columns. */
export function fit(text: string, columns: number): string {
  if (text.length <= columns && columnsOf(text) <= columns) return text;
  let fitted = "";
  let taken = 0;
  for (const { segment } of characters.segment(text)) {
    taken += columnsOfCharacter(segment);
    if (taken > columns - 1) break;
    fitted += segment;
  }
  return `${fitted}…`;
}

/** Returns cells in aligned columns, separated by two spaces; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, columnsOf(cell));
    }
  }
  return rows.map((row) =>
    row.map((cell, column) => {
      const missing = column === row.length - 1 ? 0 : (widths[column] ?? 0) - columnsOf(cell);
      return cell + " ".repeat(missing);
    }).join("  ")
  );
}

function columnsOfCharacter(grapheme: string): number {
  if (ZERO.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;
const UNIT_STEP = 1_000;

/** Returns `340 B` or `12.3 MB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= UNIT_STEP && unit < UNITS.length - 1) {
    value /= UNIT_STEP;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Returns `0.9 ms`, `340 ms` or `2.3 s`. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** Returns `lease 42, expires 2026-11-30T09:00:00.000Z`, of the two what there is; "" for a key that stays. */
export function lifetimeText(
  { leaseId, expiresAtMs }: Attachment,
): string {
  return [
    ...(leaseId === undefined ? [] : [`lease ${leaseId}`]),
    ...(expiresAtMs === undefined ? [] : [`expires ${timeText(expiresAtMs)}`]),
  ].join(", ");
}

/** Returns a time of the clock, in milliseconds since 1970, as ISO 8601; one beyond that as its number. */
export function timeText(timeMs: number): string {
  return timeMs > MAX_DATE_MS ? `${timeMs}` : new Date(timeMs).toISOString();
}

/** The last time that a date can have. */
const MAX_DATE_MS = 8_640_000_000_000_000;

/** Returns the rate per second of `count` in `elapsedMs`; `count` if that is 0. */
export function perSecond(count: number, elapsedMs: number): number {
  return elapsedMs <= 0 ? count : count / elapsedMs * 1_000;
}

/** Returns the share of a whole in whole percent; 100 only for all of it. */
export function percentOf(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.min(100, Math.floor(part / whole * 100));
}

/** Returns `1 key` or `12 431 keys`. */
export function countOf(count: number, noun: string): string {
  return `${withThousands(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns `12 431`. */
export function withThousands(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Returns the line behind a page that is not the last one: the number of its entries, and the command for the next page. */
export function moreLine(shown: number, next: string): string {
  return `-- ${shown} shown, and there are more: ${next}\n`;
}

/** Returns `a`, `a and b`, or `a, b and c`. */
export function enumeration(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}

/** Characters of a value that are shown before it is cut. */
const HEAD_CHARACTERS = 400;
/** Bytes of a value that are decoded for its head. */
export const HEAD_BYTES = 4 * HEAD_CHARACTERS;

/** Returns a value for the shell: all of it if it is short text, else its head, escaped where necessary, and its size. */
export function valueHead(value: Uint8Array): string {
  const text = value.length <= HEAD_BYTES ? textOfBytes(value) : null;
  const isText = text !== null && isPrintable(text);
  if (isText && text.length <= HEAD_CHARACTERS) return text;
  const escaped = isText ? text : escapeBytes(value.subarray(0, HEAD_BYTES));
  const isComplete = value.length <= HEAD_BYTES && escaped.length <= HEAD_CHARACTERS;
  const head = isComplete ? escaped : `${escaped.slice(0, HEAD_CHARACTERS).toWellFormed()}…`;
  return `${head} (${countOf(value.length, "byte")})`;
}

/** Returns counts of errors by code, the most frequent first: `12 timeout, 3 unavailable`. */
export function errorsText(errors: ReadonlyMap<string, number>): string {
  return [...errors].sort(([, a], [, b]) => b - a).map(([code, count]) => `${withThousands(count)} ${code}`)
    .join(", ");
}
