/**
 * Splits a line of the shell into words.
 *
 * Blanks separate words. 'Single quotes' keep everything unchanged; "double quotes" and bare words read `\n`, `\t`,
 * `\r`, `\0`, `\xHH` (any byte), `\u{H…}` (any character), and a backslash before any other character that is not a
 * letter or digit means that character. A `#` at the beginning of a line makes it a comment.
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
}

/** A line that cannot be split into words. */
export class LineError extends UsageError {}

const NAMED: Readonly<Record<string, number>> = { n: 0x0a, t: 0x09, r: 0x0d, "0": 0x00 };
const BLANK = /[ \t]/;
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

/** Splits an unfinished line as far as possible; `error` says what is wrong with the rest, or is null. */
export function tokenizePartly(
  line: string,
): { readonly tokens: readonly Token[]; readonly error: LineError | null } {
  const tokens: Token[] = [];
  if (/^[ \t]*#/.test(line)) return { tokens, error: null };
  let position = 0;
  while (position < line.length) {
    if (BLANK.test(line.charAt(position))) {
      position += 1;
      continue;
    }
    const reader = new WordReader(line, position);
    try {
      tokens.push(reader.read());
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      tokens.push(reader.token(false));
      return { tokens, error };
    }
    position = reader.position;
  }
  return { tokens, error: null };
}

class WordReader {
  position: number;
  readonly #line: string;
  readonly #start: number;
  readonly #bytes: number[] = [];

  constructor(line: string, start: number) {
    this.#line = line;
    this.#start = start;
    this.position = start;
  }

  read(): Token {
    while (this.position < this.#line.length) {
      const character = this.#character();
      if (BLANK.test(character)) return this.token(true);
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
    };
  }

  #readQuoted(quote: string): void {
    const opened = this.position;
    this.position += 1;
    for (;;) {
      if (this.position >= this.#line.length) {
        throw new LineError(`The quote ${quote} at column ${opened + 1} is not closed.`);
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
        `The escape at column ${this.position + 1} means nothing. Use \\n, \\t, \\r, \\0, \\xHH, \\u{H…}, ` +
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
