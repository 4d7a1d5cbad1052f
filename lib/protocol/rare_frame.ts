/**
 * Frames that are too rare to be worth their own reader (the hello, a node's status) go through @std/msgpack: values
 * in, values out, and every value checked here on its way from `unknown` to a type.
 *
 * The library believes the lengths that it reads, and gives views of what it was given. So the shape is checked
 * before, by the reader that believes nothing, and it decodes a copy.
 */
import { errorMessage, shortened } from "../platform/errors.ts";
import { decode, encode, type ValueType } from "@std/msgpack";
import { DecodeError } from "./errors.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";

/** Writes a frame's payload from its elements. */
export function encodeRareFrame(out: MessagePackWriter, elements: readonly ValueType[]): void {
  out.raw(encode(elements));
}

/** Reads a frame's payload; `what` names it in errors. Throws DecodeError. */
export function decodeRareFrame(payload: Uint8Array, what: string): RareFields {
  new MessagePackReader(payload, { what, copies: false }).checkShape();
  let value: unknown;
  try {
    value = decode(payload.slice());
  } catch (error) {
    throw new DecodeError(
      `Cannot decode ${what}: ${shortened(errorMessage(error))}.`,
    );
  }
  return RareFields.of(value, { what, field: "the frame" });
}

/** The elements of an array, taken one after the other; elements that nobody takes are passed over. */
export class RareFields {
  readonly #elements: readonly unknown[];
  readonly #what: string;
  #next = 0;

  private constructor(elements: readonly unknown[], what: string) {
    this.#elements = elements;
    this.#what = what;
  }

  /** The elements of `value`, which must be an array. */
  static of(value: unknown, name: { readonly what: string; readonly field: string }): RareFields {
    if (!Array.isArray(value)) {
      throw new DecodeError(`Cannot decode ${name.what}: ${name.field} must be an array.`);
    }
    return new RareFields(value, name.what);
  }

  /** Takes an integer from `minimum` to 2^53 − 1. */
  integer(field: string, minimum = 0): number {
    const taken = this.#take(field);
    const value = typeof taken === "bigint" ? Number(taken) : taken;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < minimum) {
      throw this.error(field, `must be an integer from ${minimum} to 2^53 - 1`);
    }
    return value + 0; // turns a float's -0 into 0
  }

  /** Takes an integer, or null for nil. */
  integerOrNull(field: string, minimum = 0): number | null {
    return this.#nil() ? null : this.integer(field, minimum);
  }

  /** Whether all elements were taken: an older node sends fewer. */
  get isAtEnd(): boolean {
    return this.#next >= this.#elements.length;
  }

  /** Takes true or false, or null for nil. */
  booleanOrNull(field: string): boolean | null {
    const value = this.#take(field);
    if (value !== null && typeof value !== "boolean") throw this.error(field, "must be true, false or nil");
    return value;
  }

  /** Takes text. */
  string(field: string): string {
    const value = this.#take(field);
    if (typeof value !== "string") throw this.error(field, "must be text");
    return value;
  }

  /** Takes text, or null for nil. */
  stringOrNull(field: string): string | null {
    return this.#nil() ? null : this.string(field);
  }

  /** Passes over an element that may be anything. */
  skip(field: string): void {
    this.#take(field);
  }

  /** Takes an array, to take its elements in turn. */
  fields(field: string): RareFields {
    return RareFields.of(this.#take(field), { what: this.#what, field });
  }

  /** Takes an array of arrays. */
  list(field: string): readonly RareFields[] {
    const rows = this.#take(field);
    if (!Array.isArray(rows)) throw this.error(field, "must be an array");
    return rows.map((row: unknown) => RareFields.of(row, { what: this.#what, field }));
  }

  /** The error that says what is wrong with a field; `problem` follows its name. */
  error(field: string, problem: string): DecodeError {
    return new DecodeError(`Cannot decode ${this.#what}: ${field} ${problem}.`);
  }

  #nil(): boolean {
    if (this.#elements[this.#next] !== null) return false;
    this.#next += 1;
    return true;
  }

  #take(field: string): unknown {
    if (this.#next >= this.#elements.length) throw this.error(field, "is missing");
    const value = this.#elements[this.#next];
    this.#next += 1;
    return value;
  }
}
