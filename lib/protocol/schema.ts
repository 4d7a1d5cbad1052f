/**
 * The combinators of the frame table. One declaration gives a message its type, its encoder and its decoder, and the
 * tests their sample and their arbitrary values:
 *
 *     const REQUESTS = frameTable({ what: "a client's frame", copies: true }, {
 *       get: frame(41, { requestId: integer(1), key: bytes(), consistency: numbered(CONSISTENCY) }),
 *     });
 *     type Request = MessageOf<typeof REQUESTS>; // { kind: "get", requestId: number, key: Uint8Array, … }
 *
 * On the wire a frame is the MessagePack array `[41, requestId, key, consistency]`: its number, then its fields in the
 * order declared. So the order of the fields and every number are part of the format. A field is added at the end only,
 * as {@link trailing}, which says what its absence in the frame of an older version means; further elements that a
 * newer version sends are passed over.
 *
 * Rules over several fields follow the fields: `frame(12, { from, to }, notToItself)`. A rule returns what is wrong, as
 * the end of "Cannot decode get: …", or null.
 */
import { assert } from "../platform/assert.ts";
import { UnknownKindError } from "./errors.ts";
import {
  type Column,
  type Field,
  field,
  NEVER_OMITTED,
  type Rule,
  type Values,
  type VariantShape,
} from "./field.ts";
import { MessagePackReader, type ReaderOptions } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";

/** The fields of an array, in their order. */
export type Fields = Readonly<Record<string, Field<unknown>>>;
/** The type of a field's values. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;
/** The type of the object that fields are read into; a field that may be undefined is an optional property. */
export type ValuesOf<F extends Fields> = Flat<
  & { readonly [K in keyof F as undefined extends ValueOf<F[K]> ? never : K]: ValueOf<F[K]> }
  & {
    readonly [K in keyof F as undefined extends ValueOf<F[K]> ? K : never]?: Exclude<
      ValueOf<F[K]>,
      undefined
    >;
  }
>;
type Flat<T> = { [K in keyof T]: T[K] };

/** A frame or a variant: its number on the wire and the fields behind it. */
export interface Layout<N extends number, F extends Fields> {
  readonly number: N;
  readonly fields: F;
  readonly rules: readonly Rule<Values>[];
  readonly byHand: ByHand<Values>;
}
/** Code that writes or reads an object in place of its fields; `read` makes the whole object. */
export interface ByHand<T> {
  write?(out: MessagePackWriter, value: T): void;
  read?(input: MessagePackReader): T;
}
/** The same of a record. `omits`: it omits some, so `write` writes the head of the array too. */
export interface RecordByHand<T> extends Required<ByHand<T>> {
  readonly omits?: true;
}
type Layouts = Readonly<Record<string, Layout<number, Fields>>>;
/** The union of the objects of some layouts, with the layout's name as `kind`. */
export type UnionOf<T extends Layouts> = {
  [K in keyof T & string]: Flat<{ readonly kind: K } & ValuesOf<T[K]["fields"]>>;
}[keyof T & string];
type NumbersOf<T extends Layouts> = { readonly [K in keyof T]: T[K]["number"] };
/** The messages of a {@link FrameTable}. */
export type MessageOf<T> = T extends FrameTable<infer M, infer _> ? M : never;

/** An object of a union. */
type Kinded = Values & { readonly kind: string };

/** An object, written as an array of its own. `label` precedes the names of its fields in errors. */
export function record<F extends Fields>(
  label: string,
  fields: F,
  ...rules: Rule<ValuesOf<F>>[]
): Field<ValuesOf<F>>;
export function record(label: string, fields: Fields, ...rules: Rule<Values>[]): Field<Values> {
  const row = new Row(fields, { prefix: `${label} `, rules });
  return field(
    { kind: "record", row },
    (out, value) => {
      out.array(row.elementsOf(value));
      row.write(out, value);
    },
    (input) => {
      input.open(label);
      const value = row.readInto({}, input);
      input.close();
      return value;
    },
  );
}

/** A record that is written and read by hand, for the reason of {@link byHand}. */
export function recordByHand<F extends Fields>(
  label: string,
  fields: F,
  codec: RecordByHand<ValuesOf<F>>,
  ...rules: Rule<ValuesOf<F>>[]
): Field<ValuesOf<F>>;
export function recordByHand(
  label: string,
  fields: Fields,
  codec: RecordByHand<Values>,
  ...rules: Rule<Values>[]
): Field<Values> {
  const row = new Row(fields, { prefix: `${label} `, rules });
  const write = codec.omits === true ? codec.write : (out: MessagePackWriter, value: Values): void => {
    out.array(row.elements);
    codec.write(out, value);
  };
  return field(
    { kind: "record", row },
    write,
    (input) => {
      input.open(label);
      const value = codec.read(input);
      row.check(value, input);
      input.close();
      return value;
    },
  );
}

/** An object without an array of its own: its fields are elements of the array around it. */
export function group<F extends Fields>(fields: F): Field<ValuesOf<F>>;
export function group(fields: Fields): Field<Values> {
  const row = new Row(fields, { prefix: "", rules: [] });
  return {
    ...field<Values>(
      { kind: "group", row },
      (out, value) => row.write(out, value),
      (input) => row.readInto({}, input),
    ),
    elements: row.elements,
  };
}

/** A frame, or a variant of a union: its number, then its fields, then rules over several of them. */
export function frame<N extends number, F extends Fields>(
  number: N,
  fields: F,
  ...rules: Rule<ValuesOf<F>>[]
): Layout<N, F>;
export function frame(number: number, fields: Fields, ...rules: Rule<Values>[]): Layout<number, Fields> {
  return { number, fields, rules, byHand: {} };
}

/**
 * The same frame or variant, written or read by hand: an object of n properties costs about 15 ns × n more to write
 * from the table and 20 ns × n to read, which is too much on the path of a put or a get. The golden files and the
 * comparison with @std/msgpack find what differs from the table.
 */
export function byHand<L extends Layout<number, Fields>, K extends string>(
  layout: L,
  codec: ByHand<{ readonly kind: K } & ValuesOf<L["fields"]>>,
): L;
export function byHand(layout: Layout<number, Fields>, codec: ByHand<Kinded>): Layout<number, Fields> {
  return { ...layout, byHand: codec };
}

/** A union of objects with a `kind`, written as an array of the variant's number and its fields. */
export interface Variants<T, N> extends Field<T> {
  /** The number of each variant. */
  readonly numbers: N;
}

/** A union of objects; `label` precedes the names of its fields in errors. */
export function variants<T extends Layouts>(label: string, layouts: T): Variants<UnionOf<T>, NumbersOf<T>>;
export function variants(label: string, layouts: Layouts): Variants<{ readonly kind: string }, Values> {
  const rows = new NumberedRows(layouts, `${label} `);
  return {
    ...field<Kinded>(
      { kind: "variants", variants: rows.byName },
      (out, value) => rows.write(out, value),
      (input) => {
        input.open(label);
        const number = input.integer(`${label} kind`);
        const row = rows.byNumber.get(number);
        if (row === undefined) throw input.error(`${label} kind`, `${number} is not known to this version`);
        const value = row.read(input);
        input.close();
        return value;
      },
    ),
    numbers: rows.numbers,
  };
}

/** Frames of one direction. */
export interface FrameTable<M extends { readonly kind: string }, N> {
  /** The names of the frames, in the order declared. */
  readonly kinds: readonly M["kind"][];
  /** The frames by name. */
  readonly frames: ReadonlyMap<string, VariantShape>;
  /** The number of each frame. */
  readonly numbers: N;
  /** Writes the payload of a frame. */
  encode(out: MessagePackWriter, message: M): void;
  /** Reads the payload of a frame. Throws DecodeError, and UnknownKindError for a frame that is not in the table. */
  decode(payload: Uint8Array): M;
}

/**
 * A table of frames. `what` names a frame in errors until its kind is known; `copies` decides whether bytes in a decoded
 * frame are copies or views of the payload ({@link MessagePackReader}).
 */
export function frameTable<T extends Layouts>(
  options: ReaderOptions,
  layouts: T,
): FrameTable<UnionOf<T>, NumbersOf<T>>;
export function frameTable(
  options: ReaderOptions,
  layouts: Layouts,
): FrameTable<Kinded, Values> {
  const rows = new NumberedRows(layouts, "");
  const input = new MessagePackReader(new Uint8Array(0), options);
  return {
    kinds: [...rows.byName.keys()],
    frames: rows.byName,
    numbers: rows.numbers,
    encode: (out, message) => rows.write(out, message),
    decode: (payload) => {
      input.restart(payload, options);
      try {
        input.open("the frame");
        const number = input.integer("kind");
        const row = rows.byNumber.get(number);
        if (row === undefined) throw new UnknownKindError(options.what, number);
        input.setWhat(row.name);
        const message = row.read(input);
        input.close();
        input.end();
        return message;
      } finally {
        input.release();
      }
    },
  };
}

/** The elements of an array that belong to the properties of one object. */
class Row {
  readonly columns: readonly Column[];
  /** Elements when none is omitted. */
  readonly elements: number;
  readonly rules: readonly Rule<Values>[];
  /** The fields at the end that may be omitted, the last one first. */
  readonly #omittable: readonly Column[];

  constructor(
    fields: Fields,
    { prefix, rules }: { readonly prefix: string; readonly rules: readonly Rule<Values>[] },
  ) {
    this.columns = Object.entries(fields).map(([name, field]) => ({ name, label: prefix + name, field }));
    this.elements = this.columns.reduce((sum, { field }) => sum + field.elements, 0);
    this.rules = rules;
    const isOmittable = ({ field }: Column): boolean => field.isOmitted !== NEVER_OMITTED;
    this.#omittable = this.columns.filter(isOmittable).reverse();
    assert(
      this.#omittable.every((column, position) => column === this.columns.at(-1 - position)),
      "only fields at the end of an array are omitted",
    );
    assert(
      this.#omittable.slice(1).every(({ field }) => field.shape.kind === "optional"),
      "only optional fields are omitted before others",
    );
  }

  /** Returns how many elements an object is written as. */
  elementsOf(value: Values): number {
    let elements = this.elements;
    if (this.#omittable.length === 0) return elements;
    for (const { name, field } of this.#omittable) {
      if (!field.isOmitted(value[name])) break;
      elements -= field.elements;
    }
    return elements;
  }

  /** Writes the elements of an object. */
  write(out: MessagePackWriter, value: Values): void {
    if (this.#omittable.length === 0) {
      for (const { name, field } of this.columns) field.write(out, value[name]);
      return;
    }
    let left = this.elementsOf(value);
    for (const { name, field } of this.columns) {
      if (left <= 0) return;
      field.write(out, value[name]);
      left -= field.elements;
    }
  }

  /** Reads the elements into an object. Throws DecodeError, also where they break a rule. */
  readInto<V extends Values>(value: V, input: MessagePackReader): V;
  readInto(value: Values, input: MessagePackReader): Values {
    for (const { name, label, field } of this.columns) {
      const element = field.read(input, label);
      if (element !== undefined) value[name] = element;
    }
    this.check(value, input);
    return value;
  }

  /** Throws DecodeError for an object that breaks a rule. */
  check(value: Values, input: MessagePackReader): void {
    for (const rule of this.rules) {
      const problem = rule(value);
      if (problem !== null) throw input.broken(problem);
    }
  }
}

/** The row of a frame or variant. */
class NumberedRow {
  readonly name: string;
  readonly number: number;
  readonly row: Row;
  readonly #write: (out: MessagePackWriter, value: Values) => void;
  readonly #read: (input: MessagePackReader) => Values;

  constructor(name: string, layout: Layout<number, Fields>, prefix: string) {
    this.name = name;
    this.number = layout.number;
    const row = new Row(layout.fields, { prefix, rules: layout.rules });
    this.row = row;
    const { write, read } = layout.byHand;
    this.#write = write ?? ((out, value) => row.write(out, value));
    this.#read = read ?? ((input) => row.readInto({ kind: name }, input));
    assert(read === undefined || layout.rules.length === 0, "a reader by hand checks its own rules");
  }

  /** Writes the whole array: its head, the number, and the fields. */
  write(out: MessagePackWriter, value: Values): void {
    out.array(1 + this.row.elementsOf(value));
    out.integer(this.number);
    this.#write(out, value);
  }

  /** Reads the fields behind the number. */
  read(input: MessagePackReader): Kinded;
  read(input: MessagePackReader): Values {
    return this.#read(input);
  }
}

/** The rows of a union, by both of their names. */
class NumberedRows {
  readonly byName = new Map<string, NumberedRow>();
  readonly byNumber = new Map<number, NumberedRow>();
  readonly numbers: Record<string, number> = {};

  constructor(layouts: Layouts, prefix: string) {
    for (const [name, layout] of Object.entries(layouts)) {
      const row = new NumberedRow(name, layout, prefix);
      assert(!this.byNumber.has(row.number), `the number ${row.number} stands for one kind only`);
      this.byName.set(name, row);
      this.byNumber.set(row.number, row);
      this.numbers[name] = row.number;
    }
  }

  write(out: MessagePackWriter, value: Kinded): void {
    const row = this.byName.get(value.kind);
    assert(row !== undefined, "only kinds of the table are written");
    row.write(out, value);
  }
}
