/**
 * Splits a line of the shell into words.
 *
 * Blanks separate words. 'Single quotes' keep everything unchanged; "double quotes" and bare words read `\n`, `\t`,
 * `\r`, `\0`, `\xHH` (any byte), `\u{H…}` (any character), and a backslash before any other character that is not a
 * letter or digit means that character. A `#` at the beginning of a line makes it a comment.
 *
 * A text of statements ({@link tokenizeStatements}) may have several lines; a newline and an unquoted `;` separate
 * statements.
 */
import { UsageError } from "./errors.ts";
import { bytesOfWord, wordOfBytes } from "./text.ts";

/** A word and its position in the line. */
export interface Token {
  /** The word (see lib/cli/text.ts). */
  readonly word: string;
  /** Position of its first character. */
  readonly start: number;
  /** Position after its last character. */
  readonly end: number;
  /** Whether a quote or a blank ended it, which is rarely so for the word under the cursor. */
  readonly complete: boolean;
  /** Whether it is the `;` or the newline between two statements. */
  readonly isSeparator: boolean;
}

/** The tokens of an unfinished line; `error` says what is wrong with the rest, or is null. */
export interface TokenizedPart {
  readonly tokens: readonly Token[];
  readonly error: LineError | null;
}

/** A line that cannot be split into words. */
export class LineError extends UsageError {}

const NAMED: Readonly<Record<string, number>> = { n: 0x0a, t: 0x09, r: 0x0d, "0": 0x00 };
const BLANK = /[ \t]/;
const SEPARATOR = /[;\n]/;
/** Matches no character: a line of the shell is one statement. */
const NO_SEPARATOR = /(?!)/;
const utf8 = new TextEncoder();

/** Splits `line`. Throws {@link LineError} for an open quote or an unknown escape. */
export function tokenize(line: string): readonly Token[] {
  const { tokens, error } = tokenizePartly(line);
  if (error !== null) throw error;
  return tokens;
}

/** Returns the bytes of a word with escapes, in which quotes and blanks are text. Throws {@link LineError}. */
export function unescape(word: string): Uint8Array {
  return new WordReader(word, 0).readEscaped();
}

/** Splits an unfinished line as far as possible. */
export function tokenizePartly(line: string): TokenizedPart {
  return /^[ \t]*#/.test(line) ? { tokens: [], error: null } : split(line, 0, NO_SEPARATOR);
}

/** Splits statements as far as possible, from the character `start` of `text` on; positions count from its beginning. */
export function tokenizeStatements(text: string, start = 0): TokenizedPart {
  return split(text, start, SEPARATOR);
}

/** Returns a position for a message: `column 5`, or `line 2, column 5` in a text of several lines. */
export function placeIn(text: string, position: number): string {
  if (!text.includes("\n")) return `column ${position + 1}`;
  const before = text.slice(0, position).split("\n");
  return `line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
}

function split(text: string, start: number, separator: RegExp): TokenizedPart {
  const tokens: Token[] = [];
  let position = start;
  while (position < text.length) {
    const character = text.charAt(position);
    if (BLANK.test(character)) {
      position += 1;
    } else if (separator.test(character)) {
      tokens.push({ word: character, start: position, end: position + 1, complete: true, isSeparator: true });
      position += 1;
    } else if (separator === SEPARATOR && isCommentAt(text, position)) {
      const end = text.indexOf("\n", position);
      position = end === -1 ? text.length : end;
    } else {
      const reader = new WordReader(text, position, separator);
      try {
        tokens.push(reader.read());
      } catch (error) {
        if (!(error instanceof LineError)) throw error;
        tokens.push(reader.token(false));
        return { tokens, error };
      }
      position = reader.position;
    }
  }
  return { tokens, error: null };
}

/** Returns whether the `#` at this position is the first character of its line, after blanks. */
function isCommentAt(text: string, position: number): boolean {
  if (text.charAt(position) !== "#") return false;
  let before = position - 1;
  while (before >= 0 && BLANK.test(text.charAt(before))) before -= 1;
  return before < 0 || text.charAt(before) === "\n";
}

class WordReader {
  position: number;
  readonly #line: string;
  readonly #start: number;
  readonly #separator: RegExp;
  readonly #bytes: number[] = [];

  constructor(line: string, start: number, separator: RegExp = NO_SEPARATOR) {
    this.#line = line;
    this.#separator = separator;
    this.#start = start;
    this.position = start;
  }

  read(): Token {
    while (this.position < this.#line.length) {
      const character = this.#character();
      if (BLANK.test(character) || this.#separator.test(character)) return this.token(true);
      if (character === "'" || character === `"`) this.#readQuoted(character);
      else this.#readCharacter(character);
    }
    return this.token(/["']$/.test(this.#line));
  }

  /** Reads the rest as text with escapes. */
  readEscaped(): Uint8Array {
    while (this.position < this.#line.length) this.#readCharacter(this.#character());
    return Uint8Array.from(this.#bytes);
  }

  token(complete: boolean): Token {
    return {
      word: wordOfBytes(Uint8Array.from(this.#bytes)),
      start: this.#start,
      end: this.position,
      complete,
      isSeparator: false,
    };
  }

  #readQuoted(quote: string): void {
    const opened = this.position;
    this.position += 1;
    for (;;) {
      if (this.position >= this.#line.length) {
        throw new LineError(`The quote ${quote} at ${placeIn(this.#line, opened)} is not closed.`);
      }
      const character = this.#character();
      if (character === quote) break;
      if (quote === "'") this.#take(character);
      else this.#readCharacter(character);
    }
    this.position += 1;
  }

  #readCharacter(character: string): void {
    if (character === "\\") this.#readEscape();
    else this.#take(character);
  }

  #take(character: string): void {
    const code = character.charCodeAt(0);
    if (code < 0x80) this.#bytes.push(code);
    else this.#bytes.push(...bytesOfWord(character));
    this.position += character.length;
  }

  #readEscape(): void {
    const rest = this.#line.slice(this.position + 1);
    const byte = /^x([0-9a-fA-F]{2})/.exec(rest);
    const scalar = /^u\{([0-9a-fA-F]{1,6})\}/.exec(rest);
    const named = NAMED[rest.charAt(0)];
    if (byte?.[1] !== undefined) {
      this.#bytes.push(Number.parseInt(byte[1], 16));
      this.position += 1 + byte[0].length;
    } else if (scalar?.[1] !== undefined && isScalar(Number.parseInt(scalar[1], 16))) {
      this.#bytes.push(...utf8.encode(String.fromCodePoint(Number.parseInt(scalar[1], 16))));
      this.position += 1 + scalar[0].length;
    } else if (named !== undefined) {
      this.#bytes.push(named);
      this.position += 2;
    } else if (rest !== "" && !/^[A-Za-z0-9]/.test(rest)) {
      this.position += 1;
      this.#take(this.#character());
    } else {
      throw new LineError(
        `The escape at ${
          placeIn(this.#line, this.position)
        } means nothing. Use \\n, \\t, \\r, \\0, \\xHH, \\u{H…}, ` +
          `\\\\ for a backslash, or 'single quotes' for text without escapes.`,
      );
    }
  }

  /** Returns the whole character at the position, one code unit or two. */
  #character(): string {
    return String.fromCodePoint(this.#line.codePointAt(this.position) ?? 0);
  }
}

function isScalar(codePoint: number): boolean {
  return codePoint <= 0x10ffff && (codePoint < 0xd800 || codePoint > 0xdfff);
}
