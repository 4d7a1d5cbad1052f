/**
 * Literals of JavaScript, as a user types the parts of a Deno KV key and simple values: numbers, bigints, strings,
 * booleans, null, undefined, arrays, objects, `new Uint8Array([1, 2])` and `new Deno.KvU64(7n)`. No expressions.
 */
import { shortened } from "../../platform/errors.ts";
import { UsageError } from "../errors.ts";

/** An unsigned number of 64 bits, which `sum`, `min` and `max` change. */
export class U64 {
  readonly value: bigint;

  constructor(value: bigint) {
    this.value = value;
  }
}

/** The value of a literal. */
export type Literal =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | U64
  | readonly Literal[]
  | { readonly [name: string]: Literal };

/** Deepest nesting of arrays and objects. */
const MAX_DEPTH = 100;
const MAX_U64 = (1n << 64n) - 1n;

const NAMED: ReadonlyMap<string, Literal> = new Map<string, Literal>([
  ["null", null],
  ["undefined", undefined],
  ["true", true],
  ["false", false],
  ["NaN", NaN],
  ["Infinity", Infinity],
]);

const SPACE = /[ \t\r\n]*/y;
const BIGINT = /(-?)(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)n/y;
const NUMBER = /-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/y;
const NAME = /-?[A-Za-z_$][A-Za-z0-9_$]*/y;
const BYTES_HEAD = /(?:new[ ]+)?Uint8Array(?:\([0-9]*\))?[ ]*(?=[[(])/y;
const U64_HEAD = /(?:new[ ]+)?(?:Deno\.)?KvU64[ ]*\([ ]*/y;
const UNQUOTED = /[^"'\\\n]/y;
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  v: "\v",
  "0": "\0",
};
const ESCAPE = /\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([^ux]))/yu;

/** Returns the value of a literal. Throws {@link UsageError}, with the place, for any other text. */
export function parseLiteral(text: string): Literal {
  return new LiteralReader(text).readAll();
}

class LiteralReader {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readAll(): Literal {
    const value = this.#read(0);
    this.#match(SPACE);
    if (this.#position < this.#text.length) throw this.#unexpected("the end");
    return value;
  }

  /** Matches a sticky pattern at the position and moves behind it; null if it does not match. */
  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match !== null) this.#position += match[0].length;
    return match;
  }

  /** Moves behind blanks and a character, if it is the next one. */
  #skip(character: string): boolean {
    this.#match(SPACE);
    if (this.#text.charAt(this.#position) !== character) return false;
    this.#position += 1;
    return true;
  }

  #unexpected(wanted: string): UsageError {
    const rest = this.#text.slice(this.#position);
    const found = rest === "" ? "the end" : `"${shortened(rest)}"`;
    return new UsageError(`Expected ${wanted} at column ${this.#position + 1}, found ${found}.`);
  }

  #read(depth: number): Literal {
    if (depth > MAX_DEPTH) throw new UsageError(`Arrays and objects are nested at most ${MAX_DEPTH} deep.`);
    if (this.#skip("[")) return this.#readItems("]", depth);
    if (this.#skip("{")) return this.#readFields(depth);
    const character = this.#text.charAt(this.#position);
    if (character === `"` || character === "'") return this.#readString(character);
    if (this.#match(BYTES_HEAD) !== null) return this.#readBytes(depth);
    if (this.#match(U64_HEAD) !== null) return this.#readU64();
    const bigint = this.#match(BIGINT);
    if (bigint !== null) return bigint[1] === "-" ? -BigInt(bigint[2] ?? "") : BigInt(bigint[2] ?? "");
    const number = this.#match(NUMBER);
    if (number !== null) return Number(number[0]);
    return this.#readName();
  }

  #readName(): Literal {
    const start = this.#position;
    const name = this.#match(NAME)?.[0];
    if (name === "-Infinity") return -Infinity;
    if (name !== undefined && NAMED.has(name)) return NAMED.get(name);
    this.#position = start;
    throw this.#unexpected(`a value such as "text", 17n, 1.5, true or [1, 2]`);
  }

  #readItems(end: string, depth: number): readonly Literal[] {
    const items: Literal[] = [];
    while (!this.#skip(end)) {
      items.push(this.#read(depth + 1));
      if (!this.#skip(",")) {
        if (this.#skip(end)) break;
        throw this.#unexpected(`"," or "${end}"`);
      }
    }
    return items;
  }

  #readFields(depth: number): Literal {
    // Without a prototype "__proto__" is a name like others.
    const fields: Record<string, Literal> = Object.create(null);
    while (!this.#skip("}")) {
      this.#match(SPACE);
      const quote = this.#text.charAt(this.#position);
      const name = quote === `"` || quote === "'" ? this.#readString(quote) : this.#match(NAME)?.[0];
      if (name === undefined || name.startsWith("-") || !this.#skip(":")) {
        throw this.#unexpected(`name: value`);
      }
      fields[name] = this.#read(depth + 1);
      if (!this.#skip(",")) {
        if (this.#skip("}")) break;
        throw this.#unexpected(`"," or "}"`);
      }
    }
    return fields;
  }

  #readString(quote: string): string {
    const start = this.#position;
    this.#position += 1;
    let text = "";
    for (;;) {
      const character = this.#text.charAt(this.#position);
      if (character === quote) {
        this.#position += 1;
        return text;
      }
      const plain = this.#match(UNQUOTED)?.[0];
      if (plain !== undefined) {
        text += plain;
      } else if (character === "\\") {
        text += this.#readEscape();
      } else if (character === "") {
        throw new UsageError(`The quote ${quote} at column ${start + 1} is not closed.`);
      } else {
        text += character; // the other quote, or a newline
        this.#position += 1;
      }
    }
  }

  #readEscape(): string {
    const match = this.#match(ESCAPE);
    if (match === null) throw this.#unexpected("an escape such as \\n, \\x00 or \\u{1f600}");
    const [, scalar, unit, byte, named = ""] = match;
    const digits = scalar ?? unit ?? byte;
    if (digits === undefined) return ESCAPES[named] ?? named;
    const code = Number.parseInt(digits, 16);
    if (code > 0x10_ffff) throw this.#unexpected("a character up to \\u{10ffff}");
    return String.fromCodePoint(code);
  }

  #readBytes(depth: number): Uint8Array {
    const isCall = this.#skip("(");
    const items = this.#skip("[") ? this.#readItems("]", depth) : null;
    if (items === null || (isCall && !this.#skip(")"))) throw this.#unexpected("new Uint8Array([1, 2])");
    return Uint8Array.from(items, (item) => {
      if (typeof item === "number" && Number.isInteger(item) && item >= 0 && item <= 0xff) return item;
      throw new UsageError("Bytes are integers from 0 to 255: new Uint8Array([1, 2]).");
    });
  }

  #readU64(): U64 {
    const value = this.#match(BIGINT);
    const magnitude = BigInt(value?.[2] ?? "0");
    if (value === null || value[1] === "-" || magnitude > MAX_U64) {
      throw new UsageError("A KvU64 is a bigint from 0n to 18446744073709551615n: new Deno.KvU64(7n).");
    }
    if (!this.#skip(")")) throw this.#unexpected(`")"`);
    return new U64(magnitude);
  }
}
