/**
 * The grammar of `client txn`:
 *
 *     transaction = [ "if" condition { "and" condition } "then" ] operations [ "else" operations ]
 *     operations  = [ operation ] { ( ";" | newline ) [ operation ] }
 *     condition   = "value" keys sign VALUE
 *                 | ( "version" | "create-revision" | "mod-revision" | "lease" ) keys sign NUMBER
 *                 | ( "exists" | "absent" ) keys
 *     operation   = "put" KEY VALUE lifetime [ "--previous" ] | "touch" KEY lifetime [ "--previous" ]
 *                 | "delete" keys [ "--previous" ]
 *                 | "get" keys [ "--limit" NUMBER ] [ "--reverse" ] [ "--revision" NUMBER ]
 *                 | ( "sum" | "min" | "max" ) KEY NUMBER
 *     lifetime    = [ "--lease" ( NUMBER | "keep" ) ] [ "--expires-at" ( TIME | "keep" ) ]
 *     keys        = KEY [ "--prefix" | "--end" KEY | "--from-key" ]
 *     sign        = "=" | "!=" | "<" | ">"
 *
 * `else` needs an `if`. Keys, values and numbers are known by their position, so a key may be named `then`. Newlines are
 * allowed around `and`, `then` and `else`. A key or value that begins with `--`, or is a bare `;`, has a `--` before it.
 */
import { MAX_COUNTER, MIN_SUM_OPERAND } from "../../client/transaction/counter.ts";
import {
  type Branches,
  COMPARISON_SIGNS,
  type ComparisonSign,
  type CounterOperation,
  type KeySelection,
  type PutOperation,
  type TransactionCondition,
  type TransactionOperation,
} from "../../client/transaction/types.ts";
import { shortened } from "../../platform/errors.ts";
import { nearest } from "../../server/config/nearest.ts";
import type { CommandText } from "../command.ts";
import { UsageError } from "../errors.ts";
import { timeOfText } from "../lease_options.ts";
import { bytesOfWord } from "../text.ts";
import { placeIn, type Token, tokenizeStatements } from "../tokenize.ts";

/** One word in the text of a transaction, and its place for messages. */
interface Word {
  readonly word: string;
  readonly isSeparator: boolean;
  readonly place: string;
}

/** The names of placeholders in {@link expectedAfter}. */
const KEY = "<key>";
const VALUE = "<value>";
const NUMBER = "<number>";
const TIME = "<time>";
const KEEP = "keep";
const SEPARATOR = ";";

const NUMBER_TARGETS = {
  version: "version",
  "create-revision": "createRevision",
  "mod-revision": "modRevision",
  lease: "leaseId",
} as const;
const COUNTER_KINDS: readonly CounterOperation["kind"][] = ["sum", "min", "max"];

/** The options of a put. */
type PutModifiers = Pick<PutOperation, "leaseId" | "expiresAtMs" | "returnPrevious">;

/** Functions that read the rest of an option, by its name. */
type Options = Readonly<Record<string, () => unknown>>;

/** Parses a transaction. Throws {@link UsageError} with the wrong word, its place, and the expected words. */
export function parseTransaction(source: CommandText): Required<Branches> {
  const { words, error } = wordsOf(source);
  if (error !== null) throw error;
  return new Parser(words).transaction();
}

/**
 * Returns the words, and the placeholders `<key>`, `<value>`, `<number>` and `<time>`, that can follow an unfinished transaction;
 * none where it is wrong already.
 */
export function expectedAfter(source: CommandText): readonly string[] {
  const parser = new Parser(wordsOf(source).words);
  try {
    parser.transaction();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
  }
  return parser.isAtEnd ? parser.expected : [];
}

function wordsOf(
  source: CommandText,
): { readonly words: readonly Word[]; readonly error: UsageError | null } {
  if (source.kind === "text") {
    const { tokens, error } = tokenizeStatements(source.text, source.start);
    return { words: tokens.map((token) => wordOfToken(token, source.text)), error };
  }
  const words = source.words.map((word, position) => ({
    word,
    isSeparator: word === SEPARATOR,
    place: `word ${position + 1}`,
  }));
  return { words, error: null };
}

function wordOfToken({ word, start, isSeparator }: Token, text: string): Word {
  return {
    word,
    isSeparator,
    get place(): string {
      return placeIn(text, start);
    },
  };
}

/** A parser with one method for each rule. Each test of the next word notes the words that it would have taken. */
class Parser {
  readonly #words: readonly Word[];
  #next = 0;
  #expected: string[] = [];
  /** The value of an option that was written as `--name=value`. */
  #value: Word | null = null;

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  get isAtEnd(): boolean {
    return this.#next >= this.#words.length;
  }

  /** Everything that was tested for since the last word was taken. */
  get expected(): readonly string[] {
    return [...new Set(this.#expected)];
  }

  transaction(): Required<Branches> {
    this.#skipSeparators();
    const checks: TransactionCondition[] = [];
    const hasChecks = this.#take("if");
    if (hasChecks) {
      do {
        this.#skipSeparators();
        checks.push(this.#condition());
        this.#skipSeparators();
      } while (this.#take("and"));
      if (!this.#take("then")) throw this.#unexpected();
    }
    const then = this.#operations();
    const otherwise = hasChecks && this.#take("else") ? this.#operations() : [];
    if (!this.isAtEnd) throw this.#unexpected();
    if (!hasChecks && then.length === 0) throw this.#unexpected();
    return { checks, then, else: otherwise };
  }

  #condition(): TransactionCondition {
    if (this.#take("value")) {
      const keys = this.#keys();
      const comparison = this.#sign();
      return { ...keys, value: this.#operand(VALUE), comparison };
    }
    for (const [name, target] of Object.entries(NUMBER_TARGETS)) {
      if (!this.#take(name)) continue;
      const keys = this.#keys();
      const comparison = this.#sign();
      const number = this.#integer({ min: 0 });
      switch (target) {
        case "version":
          return { ...keys, version: number, comparison };
        case "createRevision":
          return { ...keys, createRevision: number, comparison };
        case "modRevision":
          return { ...keys, modRevision: number, comparison };
        case "leaseId":
          return { ...keys, leaseId: number, comparison };
      }
    }
    if (this.#take("exists")) return { ...this.#keys(), exists: true };
    if (this.#take("absent")) return { ...this.#keys(), exists: false };
    throw this.#unexpected();
  }

  #sign(): ComparisonSign {
    const sign = COMPARISON_SIGNS.find((candidate) => this.#take(candidate));
    if (sign === undefined) throw this.#unexpected();
    return sign;
  }

  #operations(): TransactionOperation[] {
    const operations: TransactionOperation[] = [];
    for (;;) {
      this.#skipSeparators();
      const operation = this.#operation();
      if (operation === null) return operations;
      operations.push(operation);
      if (!this.#takeSeparator()) return operations;
    }
  }

  /** Returns the operation that begins here, or null where none does. */
  #operation(): TransactionOperation | null {
    if (this.#take("put")) {
      const put = { kind: "put", key: this.#operand(KEY), value: this.#operand(VALUE) } as const;
      return { ...put, ...this.#putOptions() };
    }
    if (this.#take("touch")) {
      return { kind: "put", key: this.#operand(KEY), keepValue: true, ...this.#putOptions() };
    }
    if (this.#take("delete")) {
      let previous: { readonly returnPrevious?: true } = {};
      const keys = this.#keys({ "--previous": () => previous = { returnPrevious: true } });
      return { kind: "delete", ...keys, ...previous };
    }
    if (this.#take("get")) {
      const options: { limit?: number; reverse?: true; revision?: number } = {};
      const keys = this.#keys({
        "--limit": () => options.limit = this.#integer({ min: 1 }),
        "--reverse": () => options.reverse = true,
        "--revision": () => options.revision = this.#integer({ min: 0 }),
      });
      return { kind: "get", ...keys, ...options };
    }
    const kind = COUNTER_KINDS.find((candidate) => this.#take(candidate));
    return kind === undefined ? null : { kind, key: this.#operand(KEY), operand: this.#counterOperand(kind) };
  }

  #putOptions(): PutModifiers {
    const options: { -readonly [Name in keyof PutModifiers]: PutModifiers[Name] } = {};
    this.#options([
      { "--lease": () => options.leaseId = this.#orKeep(() => this.#integer({ min: 1 })) },
      { "--expires-at": () => options.expiresAtMs = this.#orKeep(() => this.#time()) },
      { "--previous": () => options.returnPrevious = true },
    ]);
    return options;
  }

  /** Takes `keep`, or else reads the operand. */
  #orKeep(read: () => number): number | typeof KEEP {
    if (this.#value?.word === KEEP) {
      this.#advance();
      return KEEP;
    }
    if (this.#value === null && this.#take(KEEP)) return KEEP;
    return read();
  }

  #time(): number {
    const { word, place } = this.#operandWord(TIME);
    return timeOfText(word, `Cannot read the transaction: the time at ${place}`);
  }

  /** Reads a key with the options that make a prefix or a range of it, and further options by name. */
  #keys(more: Options = {}): KeySelection {
    const key = this.#operand(KEY);
    let keys: KeySelection = { key };
    this.#options([
      {
        "--prefix": () => keys = { prefix: key },
        "--end": () => keys = { start: key, end: this.#operand(KEY) },
        "--from-key": () => keys = { start: key },
      },
      ...Object.entries(more).map(([name, read]) => ({ [name]: read })),
    ]);
    return keys;
  }

  /** Reads options in any order, at most one of each group. */
  #options(groups: readonly Options[]): void {
    const left = [...groups];
    for (;;) {
      const found = left.flatMap((group, position) =>
        Object.entries(group).map(([name, read]) => ({ name, read, position }))
      ).find(({ name }) => this.#takeOption(name));
      if (found === undefined) return;
      left.splice(found.position, 1);
      found.read();
    }
  }

  /** Takes `--name`, or of `--name=value` the name, so that the value is the next word. */
  #takeOption(name: string): boolean {
    if (this.#take(name)) return true;
    const current = this.#words[this.#next];
    if (current === undefined || !current.word.startsWith(`${name}=`)) return false;
    this.#value = { ...current, word: current.word.slice(name.length + 1) };
    this.#expected = [];
    return true;
  }

  /** Takes a keyword. */
  #take(keyword: string): boolean {
    this.#expected.push(keyword);
    const current = this.#words[this.#next];
    if (current === undefined || current.isSeparator || current.word !== keyword) return false;
    this.#advance();
    return true;
  }

  #takeSeparator(): boolean {
    this.#expected.push(SEPARATOR);
    if (this.#words[this.#next]?.isSeparator !== true) return false;
    this.#advance();
    return true;
  }

  #skipSeparators(): void {
    while (this.#words[this.#next]?.isSeparator === true) this.#advance();
  }

  #advance(): void {
    this.#next += 1;
    this.#expected = [];
    this.#value = null;
  }

  /** Takes the word at a place where any word may be. */
  #operandWord(what: string): Word {
    const inOption = this.#value;
    if (inOption !== null) {
      this.#advance();
      return inOption;
    }
    const isLiteral = this.#take("--");
    this.#expected = this.#expected.includes(KEEP) ? [KEEP, what] : [what];
    const current = this.#words[this.#next];
    const isMarked = current?.isSeparator === true || current?.word.startsWith("--") === true;
    if (current === undefined || (isMarked && !isLiteral)) throw this.#unexpected();
    this.#advance();
    return current;
  }

  #operand(what: typeof KEY | typeof VALUE): Uint8Array {
    return bytesOfWord(this.#operandWord(what).word);
  }

  #integer({ min }: { readonly min: number }): number {
    const { word, place } = this.#operandWord(NUMBER);
    const value = Number(word);
    if (/^[0-9]{1,16}$/.test(word) && Number.isSafeInteger(value) && value >= min) return value;
    throw wrong(`at ${place} is "${shortened(word)}", where an integer from ${min} up is expected`);
  }

  #counterOperand(kind: CounterOperation["kind"]): bigint {
    const { word, place } = this.#operandWord(NUMBER);
    const min = kind === "sum" ? MIN_SUM_OPERAND : 0n;
    const value = /^-?[0-9]{1,20}$/.test(word) ? BigInt(word) : null;
    if (value !== null && value >= min && value <= MAX_COUNTER) return value;
    throw wrong(
      `at ${place} is "${shortened(word)}", where an integer from ${min} to ${MAX_COUNTER} is expected`,
    );
  }

  /** Returns the error for the next word, or for the end where a word is missing. */
  #unexpected(): UsageError {
    const expected = alternatives(this.expected);
    const current = this.#words[this.#next];
    if (current === undefined) return wrong(`it ends where ${expected} is expected`);
    const { word, place } = current;
    const found = word === "\n" ? "the end of the line" : `"${shortened(word)}"`;
    return wrong(`at ${place} is ${found}, where ${expected} is expected`, this.#hintFor(current));
  }

  #hintFor({ word, isSeparator }: Word): string {
    const isOperand = this.expected.some((one) => one === KEY || one === VALUE);
    if (isOperand && !isSeparator) {
      return "Options come behind the key; before a key or value that begins with --, write --.";
    }
    if (word === "==" && this.expected.includes("=")) return "Did you mean =?";
    const before = this.#words[this.#next - 1]?.word ?? "";
    if (this.expected.includes("=") && COMPARISON_SIGNS.some((sign) => `${before}${word}`.includes(sign))) {
      return "Put blanks around the sign.";
    }
    if (word === "else") return "else needs if … then before it.";
    const near = nearest(word, this.expected.filter((one) => /^-{0,2}[a-z]/.test(one)));
    return near === null ? "" : `Did you mean ${near}?`;
  }
}

function wrong(reason: string, hint = ""): UsageError {
  return new UsageError(`Cannot read the transaction: ${reason}. ${hint === "" ? "See help txn." : hint}`);
}

/** Returns `a`, `a or b`, or `a, b or c`. */
function alternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} or ${last}`;
}
