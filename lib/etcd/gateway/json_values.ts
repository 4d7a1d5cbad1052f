/**
 * The JSON values of a body, one behind the other: where each ends, found as its bytes arrive, and whether it is small enough
 * to be parsed in one turn. Bytes that begin no value are returned as one.
 */
import { EtcdError } from "../rpc/status.ts";

/** Objects and arrays within each other. */
const MAX_DEPTH = 128;
/**
 * Quotes, separators, objects and arrays of a value, and its bytes outside of texts. A transaction of 128 conditions and
 * twice 128 operations has fewer than 10,000 of the former and 50,000 of the latter.
 */
const MAX_TOKENS = 32_768;
const MAX_PLAIN_BYTES = 262_144;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const ARRAY = 0x5b;
const ARRAY_END = 0x5d;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
const SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Splits bytes into JSON values. */
export class JsonValues {
  readonly #maxBytes: number;
  #bytes: Uint8Array = new Uint8Array(0);
  /** The bytes that were looked at, from the beginning of the present value. */
  #at = 0;
  #end = 0;
  #depth = 0;
  #tokens = 0;
  #plainBytes = 0;
  #isInText = false;
  #hasEnded = false;

  /** `maxBytes`: of one value. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds bytes that have arrived, which the caller does not change afterwards. */
  push(part: Uint8Array): void {
    if (this.#end === 0) {
      this.#bytes = part;
      this.#end = part.length;
      return;
    }
    if (this.#end + part.length > this.#bytes.length) this.#grow(part.length);
    this.#bytes.set(part, this.#end);
    this.#end += part.length;
  }

  /** Notes that no more bytes arrive. */
  end(): void {
    this.#hasEnded = true;
  }

  /** Returns the next value, as a view; null if it is not complete, or there is none. Throws EtcdError. */
  take(): Uint8Array | null {
    if (this.#at === 0) this.#skipSpaces();
    while (this.#at < this.#end) {
      if (this.#step()) return this.#cut();
      if (this.#at > this.#maxBytes) throw tooLarge(this.#at, this.#maxBytes);
    }
    return this.#hasEnded && this.#end > 0 ? this.#cut() : null;
  }

  /** Looks at the bytes up to the next one that matters; returns whether the value is complete. */
  #step(): boolean {
    if (this.#isInText) return this.#stepInText();
    const byte = this.#bytes[this.#at];
    if (this.#depth === 0 && this.#at > 0 && (SPACES.has(byte) || isStart(byte))) return true;
    this.#at += 1;
    this.#plainBytes += 1;
    if (this.#plainBytes > MAX_PLAIN_BYTES) throw tooComplex();
    switch (byte) {
      case QUOTE:
        this.#isInText = true;
        this.#count();
        return false;
      case OBJECT:
      case ARRAY:
        this.#depth += 1;
        if (this.#depth > MAX_DEPTH) {
          throw new EtcdError("invalidArgument", "the JSON value is nested too deeply");
        }
        this.#count();
        return false;
      case COMMA:
        this.#count();
        return false;
      case OBJECT_END:
      case ARRAY_END:
        this.#depth -= 1;
        return this.#depth <= 0;
      default:
        return false;
    }
  }

  #stepInText(): boolean {
    const quote = this.#bytes.subarray(0, this.#end).indexOf(QUOTE, this.#at);
    if (quote < 0) {
      this.#at = this.#end;
      return false;
    }
    this.#at = quote + 1;
    this.#count();
    let before = quote;
    while (before > 0 && this.#bytes[before - 1] === BACKSLASH) before -= 1;
    if ((quote - before) % 2 === 1) return false;
    this.#isInText = false;
    return this.#depth === 0;
  }

  #count(): void {
    this.#tokens += 1;
    if (this.#tokens > MAX_TOKENS) throw tooComplex();
  }

  #cut(): Uint8Array {
    const value = this.#bytes.subarray(0, this.#at);
    this.#drop(this.#at);
    this.#depth = 0;
    this.#tokens = 0;
    this.#plainBytes = 0;
    this.#isInText = false;
    return value;
  }

  #skipSpaces(): void {
    let spaces = 0;
    while (spaces < this.#end && SPACES.has(this.#bytes[spaces])) spaces += 1;
    this.#drop(spaces);
  }

  #drop(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
    this.#end -= count;
    this.#at = 0;
  }

  #grow(added: number): void {
    const larger = new Uint8Array(2 * (this.#end + added));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }
}

function tooComplex(): EtcdError {
  return new EtcdError("resourceExhausted", "the JSON value has too many parts");
}

function isStart(byte: number | undefined): boolean {
  return byte === OBJECT || byte === ARRAY || byte === QUOTE;
}

/** Returns the error of a message that is too large; `size` is what is known of it. */
export function tooLarge(size: number, maxBytes: number): EtcdError {
  return new EtcdError(
    "resourceExhausted",
    `grpc: received message larger than max (${size} vs. ${maxBytes})`,
  );
}
