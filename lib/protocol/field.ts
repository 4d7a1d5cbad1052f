/**
 * The fields of frames: one value each, with its encoder and its decoder, and a shape from which the tests make values.
 * schema.ts puts them together into records, unions and frames.
 */
import { assert } from "../platform/assert.ts";
import { MAX_QUOTED_MESSAGE_CHARACTERS, shortened } from "../platform/errors.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";

/** How a value is written into the array around it and read from there. */
export interface Field<T> {
  /** The set of values: the tests make arbitrary values, samples and hostile values from it. */
  readonly shape: Shape;
  /** Elements of the array around it that the value takes. */
  readonly elements: number;
  write(out: MessagePackWriter, value: T): void;
  /** Reads a value; `name` names it in errors. Throws DecodeError. */
  read(input: MessagePackReader, name: string): T;
  /** Whether a value is not written at all: only fields at the end of their array may say so. */
  isOmitted(value: T): boolean;
}

/** Returns the reason why a value is refused, as the end of "Cannot decode …: …", or null. */
export type Rule<T> = (value: T) => string | null;

/** An object before its type is known. */
export type Values = Record<string, unknown>;

/** A field with its name in the object, and its name in errors. */
export interface Column {
  readonly name: string;
  readonly label: string;
  readonly field: Field<unknown>;
}

/** The set of values of a field. */
export type Shape =
  | { readonly kind: "integer"; readonly minimum: number; readonly maximum: number }
  | { readonly kind: "boolean" | "presence" }
  | { readonly kind: "bytes"; readonly minBytes: number; readonly maxBytes: number }
  | { readonly kind: "text"; readonly format: TextFormat }
  | { readonly kind: "numbered"; readonly numbers: Readonly<Record<string, number>> }
  | { readonly kind: "oneOf"; readonly names: readonly string[] }
  /** `whenNil` stands for nil. */
  | { readonly kind: "nullable"; readonly of: Shape; readonly whenNil: unknown }
  /** One value, or null as an array without elements. */
  | { readonly kind: "atMostOne"; readonly of: Shape }
  /** A value from 1 up, or undefined. */
  | { readonly kind: "optional" }
  /** `whenMissing` may stand in place of a value. */
  | { readonly kind: "omittable"; readonly of: Shape; readonly whenMissing: unknown }
  | { readonly kind: "list"; readonly of: Shape; readonly maxLength: number }
  /** A list whose values may contain such lists. */
  | { readonly kind: "nestedList"; readonly of: () => Shape; readonly bounds: NestedListBounds }
  /** An object; a group has no array of its own. */
  | { readonly kind: "record" | "group"; readonly row: RowShape }
  | { readonly kind: "variants"; readonly variants: ReadonlyMap<string, VariantShape> }
  /** A {@link custom} field, which the tests know by its name. */
  | { readonly kind: "custom"; readonly name: string };

/** Which texts a field takes. `sentence`: any text, which is cut as it is read. */
export type TextFormat = "any" | "sentence" | "address" | "URL";

/** The elements of an object, and the rules over several of them. */
export interface RowShape {
  readonly columns: readonly Column[];
  readonly rules: readonly Rule<Values>[];
}

/** A variant of a union, or a frame. */
export interface VariantShape {
  readonly number: number;
  readonly row: RowShape;
}

/** {@link Field.isOmitted} of a field that is always written. */
export const NEVER_OMITTED = (): boolean => false;

/** Makes a field; all of them have one hidden class, so that the calls below stay fast. */
export function field<T>(
  shape: Shape,
  write: (out: MessagePackWriter, value: T) => void,
  read: (input: MessagePackReader, name: string) => T,
): Field<T> {
  return { shape, elements: 1, write, read, isOmitted: NEVER_OMITTED };
}

/** A field that the combinators cannot express or are too slow for; `name` is how the tests know it. */
export function custom<T>(
  name: string,
  codec: {
    readonly write: (out: MessagePackWriter, value: T) => void;
    readonly read: (input: MessagePackReader, name: string) => T;
  },
): Field<T> {
  return field({ kind: "custom", name }, codec.write, codec.read);
}

/** An integer from `minimum` to `maximum`. */
export function integer(minimum = 0, maximum = Number.MAX_SAFE_INTEGER): Field<number> {
  return field(
    { kind: "integer", minimum, maximum },
    (out, value) => out.integer(value),
    (input, name) => {
      const value = input.integer(name, minimum);
      if (value > maximum) throw input.error(name, `must not be above ${maximum}`);
      return value;
    },
  );
}

/** An integer from -`maximum` to `maximum`. On the wire it is 0, 1, 2, 3, 4, … for 0, -1, 1, -2, 2, … */
export function signedInteger(maximum: number): Field<number> {
  return field(
    { kind: "integer", minimum: -maximum, maximum },
    (out, value) => out.integer(value < 0 ? -2 * value - 1 : 2 * value),
    (input, name) => {
      const written = input.integer(name);
      const value = written % 2 === 0 ? written / 2 : -(written + 1) / 2;
      if (Math.abs(value) > maximum) throw input.error(name, `must stand for at most ${maximum}`);
      return value;
    },
  );
}

/** True or false. */
export function boolean(): Field<boolean> {
  return field({ kind: "boolean" }, (out, value) => out.boolean(value), (input, name) => input.boolean(name));
}

/** Bytes, at most `maxBytes` of them. `copies` of the table decides whether they are a copy or a view of the frame. */
export function bytes(maxBytes = Infinity): Field<Uint8Array> {
  return field(
    { kind: "bytes", minBytes: 0, maxBytes },
    (out, value) => out.binary(value),
    (input, name) => {
      const value = input.binary(name);
      if (value.length > maxBytes) throw input.error(name, `must not be longer than ${maxBytes} bytes`);
      return value;
    },
  );
}

/** Exactly `length` bytes. */
export function fixedBytes(length: number): Field<Uint8Array> {
  return field(
    { kind: "bytes", minBytes: length, maxBytes: length },
    (out, value) => out.binary(value),
    (input, name) => {
      const value = input.binary(name);
      if (value.length !== length) throw input.error(name, `must be ${length} bytes long`);
      return value;
    },
  );
}

/** Text, at most `maxCharacters` long. */
export function text(maxCharacters = Infinity): Field<string> {
  return field(
    { kind: "text", format: "any" },
    (out, value) => out.string(value),
    (input, name) => {
      const value = input.string(name);
      if (value.length > maxCharacters) {
        throw input.error(name, `must not be longer than ${maxCharacters} characters`);
      }
      return value;
    },
  );
}

/** A sentence for a person, of another process: it is cut as it is read, since it may be passed on in another frame. */
export function sentence(): Field<string> {
  return field(
    { kind: "text", format: "sentence" },
    (out, value) => out.string(value),
    (input, name) => shortened(input.string(name), MAX_QUOTED_MESSAGE_CHARACTERS),
  );
}

/** Text of a format; `parse` returns its one written form, or null for a text that is not of the format. */
export function formatted(
  format: TextFormat,
  { parse, expected }: { readonly parse: (text: string) => string | null; readonly expected: string },
): Field<string> {
  return field(
    { kind: "text", format },
    (out, value) => out.string(value),
    (input, name) => {
      const read = input.string(name);
      const value = parse(read);
      if (value === null) throw input.error(name, `must be ${expected}, not "${shortened(read)}"`);
      return value;
    },
  );
}

/** One of some names, each written as its number. */
export function numbered<K extends string>(numbers: Readonly<Record<K, number>>): Field<K> {
  const names = new Map<number, K>();
  for (const name in numbers) names.set(numbers[name], name);
  assert(names.size === Object.keys(numbers).length, "no number stands for two names");
  const expected = new Intl.ListFormat("en", { type: "disjunction" })
    .format([...names].map(([number, name]) => `${number} for ${name}`));
  return field(
    { kind: "numbered", numbers },
    (out, value) => out.integer(numbers[value]),
    (input, name) => {
      const number = input.integer(name);
      const value = names.get(number);
      if (value === undefined) throw input.error(name, `must be ${expected}, not ${number}`);
      return value;
    },
  );
}

/**
 * One of some names, written as text: a list, or the keys of an object, which the compiler holds against a union that is
 * declared elsewhere. `otherwise` stands for names that a newer version may have added.
 */
export function oneOf<K extends string>(
  known: readonly K[] | Readonly<Record<K, true>>,
  { otherwise }: { readonly otherwise?: K } = {},
): Field<K> {
  const names: K[] = [];
  if (isList(known)) names.push(...known);
  else for (const name in known) names.push(name);
  return field(
    { kind: "oneOf", names },
    (out, value) => out.string(value),
    (input, name) => {
      const value = input.string(name);
      const found = names.find((one) => one === value) ?? otherwise;
      if (found === undefined) {
        throw input.error(name, `must be one of ${names.join(", ")}, not "${shortened(value)}"`);
      }
      return found;
    },
  );
}

/** A value, or nil for null. */
export function nullable<T>(of: Field<T>): Field<T | null> {
  return orNil(of, null);
}

/** A value, or nil for `whenNil`. Unlike after an {@link omittable} field, other fields may follow. */
export function orNil<T, const M>(of: Field<T>, whenNil: M): Field<T | M>;
export function orNil<T>(of: Field<T>, whenNil: T): Field<T> {
  return field(
    { kind: "nullable", of: of.shape, whenNil },
    (out, value) => value === whenNil ? out.nil() : of.write(out, value),
    (input, name) => input.nil() ? whenNil : of.read(input, name),
  );
}

/** An array of one value, or of none for null: the value may be {@link orNil} around it. */
export function atMostOne<T>(of: Field<T>): Field<T | null> {
  return field<T | null>(
    { kind: "atMostOne", of: of.shape },
    (out, value) => {
      out.array(value === null ? 0 : 1);
      if (value !== null) of.write(out, value);
    },
    (input, name) => {
      const length = input.open(name);
      if (length > 1) throw input.error(name, "must not have more than one element");
      const value = length === 0 ? null : of.read(input, name);
      input.close();
      return value;
    },
  );
}

/** An array of at most `maxLength` values. */
export function list<T>(of: Field<T>, maxLength = Infinity): Field<readonly T[]> {
  return field<readonly T[]>(
    { kind: "list", of: of.shape, maxLength },
    (out, values) => {
      out.array(values.length);
      for (const value of values) of.write(out, value);
    },
    (input, name) => {
      const length = input.open(name);
      if (length > maxLength) throw input.error(name, `must not have more than ${maxLength} elements`);
      // A list of one is made with its length: one that grows from nothing reserves room for seventeen.
      const values: T[] = length === 1 ? [of.read(input, name)] : [];
      while (values.length < length) values.push(of.read(input, name));
      input.close();
      return values;
    },
  );
}

/** Bounds of lists whose values may contain such lists. */
export interface NestedListBounds {
  /** Levels of lists within each other, the outermost included. */
  readonly maxLevels: number;
  /** Values of all nested lists that one reader reads. */
  readonly maxElements: number;
}

/**
 * An array of values that may contain such arrays themselves; `of` returns their field, which is made from this one. The
 * reader counts levels and values, so that neither a deep nesting nor many values of many lists are read.
 */
export function nestedList<T>(of: () => Field<T>, bounds: NestedListBounds): Field<readonly T[]> {
  return field<readonly T[]>(
    { kind: "nestedList", of: () => of().shape, bounds },
    (out, values) => {
      const element = of();
      out.array(values.length);
      for (const value of values) element.write(out, value);
    },
    (input, name) => {
      const element = of();
      const length = input.openNested(name, bounds);
      const values: T[] = [];
      for (let position = 0; position < length; position++) values.push(element.read(input, name));
      input.closeNested();
      return values;
    },
  );
}

/** A field that older versions do not send: `whenMissing` is what its absence means. It is always written. */
export function trailing<T>(of: Field<T>, whenMissing: T): Field<T> {
  return { ...of, read: (input, name) => input.isAtEnd ? whenMissing : of.read(input, name) };
}

/** A last field that is not written, and missing where it is read, when the value is `whenMissing`. */
export function omittable<T, const M>(of: Field<T>, whenMissing: M): Field<T | M> {
  return {
    shape: { kind: "omittable", of: of.shape, whenMissing },
    elements: of.elements,
    write: (out, value: T) => of.write(out, value),
    read: (input, name) => input.isAtEnd ? whenMissing : of.read(input, name),
    isOmitted: (value) => value === whenMissing,
  };
}

/** A last field that is there, as true, or missing: an optional property. */
export function presence(): Field<true | undefined> {
  return {
    ...field<true | undefined>(
      { kind: "presence" },
      (out) => out.boolean(true),
      (input, name) => !input.isAtEnd && input.boolean(name) ? true : undefined,
    ),
    isOmitted: (value) => value === undefined,
  };
}

/**
 * An integer from 1 up as an optional property, one of several at the end of their array: not written when it and all
 * after it are missing, and 0 when it is missing before others.
 */
export function optional(): Field<number | undefined> {
  return {
    ...field<number | undefined>(
      { kind: "optional" },
      (out, value) => out.integer(value ?? 0),
      (input, name) => input.isAtEnd ? undefined : input.integer(name) || undefined,
    ),
    isOmitted: (value) => value === undefined,
  };
}

/** A value whose bytes are views of one copy of the whole frame: one allocation for several byte strings. */
export function copiedOnce<T>(of: Field<T>): Field<T> {
  return {
    ...of,
    read: (input, name) => {
      input.own();
      return of.read(input, name);
    },
  };
}

/** `Array.isArray` for lists that are not written to. */
function isList<T>(value: readonly T[] | object): value is readonly T[] {
  return Array.isArray(value);
}
