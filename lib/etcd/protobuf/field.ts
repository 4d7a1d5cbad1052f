/**
 * Fields of protobuf messages: how each is read and written in protobuf's binary form and in its JSON form.
 *
 * A field that is absent reads as its default, and one that has its default is not written, as protobuf 3 demands. The JSON
 * form is that of etcd's gateway: names as in the .proto files, integers of 64 bits as texts, bytes in base64, enums by name.
 */
import { WireType } from "@bufbuild/protobuf/wire";
import type { MessageReader } from "./reader.ts";
import type { ReverseOutput } from "./output.ts";

/** Levels of messages within each other that are read. */
const MAX_LEVELS = 24;
/** Integers beyond this range are read as its ends: none of them is a revision, a limit or a time that exists. */
const MAX_INTEGER = BigInt(Number.MAX_SAFE_INTEGER);

/** Bytes or a JSON text that are no message of their kind. The message is one phrase. */
export class MalformedMessageError extends Error {
  override readonly name = "MalformedMessageError";
}

/** The part of a field that is read under one number of the binary form. */
export interface BinaryPart<T> {
  readonly number: number;
  /** Wire types with which the field is read; with another one it is a field that is not known. */
  readonly wireTypes: readonly WireType[];
  /** Reads a value; `before` is what an earlier occurrence gave, undefined for the first. `levels`: messages around it. */
  read(
    input: MessageReader,
    wireType: WireType,
    around: { readonly before: T | undefined; readonly levels: number },
  ): T;
}

/** The part of a field that is read under one name of the JSON form; `name` null: the field's own. */
export interface JsonPart<T> {
  readonly name: string | null;
  /** Reads a value; `levels`: messages around it. */
  read(json: unknown, levels: number): T;
}

/** A field. `T` is what it is read as, `Given` what is written. */
export interface Field<T, Given = T> {
  /** The name in JSON where it is not the property's in snake case. */
  readonly jsonName: string | null;
  readonly binary: readonly BinaryPart<T>[];
  readonly json: readonly JsonPart<T>[];
  /** Returns the value of an absent field. */
  missing(): T;
  /** Writes tag and value, but for the default. */
  write(output: ReverseOutput, value: Given): void;
  /** Adds the properties of the JSON form, but for the default. */
  writeJson(into: Record<string, unknown>, name: string, value: Given): void;
}

/** A value of a field that may be repeated: without its number. */
export interface Scalar<T, Given = T> {
  readonly wireType: WireType;
  missing(): T;
  isMissing(value: Given): boolean;
  read(input: MessageReader, levels: number): T;
  /** Writes the value without its tag. */
  write(output: ReverseOutput, value: Given): void;
  readJson(json: unknown, levels: number): T;
  toJson(value: Given): unknown;
}

/** A message as a value of fields. */
export interface MessageType<T, Given> {
  read(input: MessageReader, end: number, levels: number): T;
  write(output: ReverseOutput, value: Given): void;
  /** `levels`: messages around it, none by default. */
  readJson(json: unknown, levels?: number): T;
  toJson(value: Given): Record<string, unknown>;
}

/** Options of a field. */
export interface FieldOptions {
  /** The name in JSON where it is not the property's in snake case. */
  readonly json?: string;
}

const BYTES: Scalar<Uint8Array> = {
  wireType: WireType.LengthDelimited,
  missing: () => NO_BYTES,
  isMissing: (value) => value.length === 0,
  read: (input) => input.bytes(),
  write: (output, value) => {
    output.raw(value);
    output.uint32(value.length);
  },
  readJson: (json) => fromBase64(json),
  toJson: (value) => value.toBase64(),
};
const NO_BYTES: Uint8Array = new Uint8Array(0);

const TEXT: Scalar<string> = {
  wireType: WireType.LengthDelimited,
  missing: () => "",
  isMissing: (value) => value === "",
  read: (input) => input.string(),
  write: (output, value) => output.uint32(output.text(value)),
  readJson: (json) => {
    if (typeof json !== "string") throw new MalformedMessageError("a text is expected");
    return json;
  },
  toJson: (value) => value,
};

const BOOLEAN: Scalar<boolean> = {
  wireType: WireType.Varint,
  missing: () => false,
  isMissing: (value) => !value,
  read: (input) => BigInt(input.uint64()) !== 0n,
  write: (output) => output.uint32(1),
  readJson: (json) => {
    if (typeof json !== "boolean") throw new MalformedMessageError("true or false is expected");
    return json;
  },
  toJson: (value) => value,
};

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n } as const;

const INTEGER: Scalar<number> = {
  wireType: WireType.Varint,
  missing: () => 0,
  isMissing: (value) => value === 0,
  read: (input) => saturated(BigInt(input.int64())),
  write: (output, value) => output.integer(value),
  readJson: (json) => saturated(bigintOf(json, INT64)),
  toJson: (value) => `${value}`,
};

const INT32: Scalar<number> = {
  wireType: WireType.Varint,
  missing: () => 0,
  isMissing: (value) => value === 0,
  read: (input) => input.int32(),
  write: (output, value) => output.integer(value),
  readJson: (json) => Number(bigintOf(json, { min: -(2n ** 31n), max: 2n ** 31n - 1n })),
  toJson: (value) => value,
};

const UINT32: Scalar<number> = {
  ...INT32,
  read: (input) => input.uint32(),
  readJson: (json) => Number(bigintOf(json, { min: 0n, max: 2n ** 32n - 1n })),
};

const SIGNED_ID: Scalar<bigint> = {
  wireType: WireType.Varint,
  missing: () => 0n,
  isMissing: (value) => value === 0n,
  read: (input) => BigInt(input.int64()),
  write: (output, value) => output.bigint(value),
  readJson: (json) => bigintOf(json, INT64),
  toJson: (value) => `${value}`,
};

const UNSIGNED_ID: Scalar<bigint> = {
  ...SIGNED_ID,
  read: (input) => BigInt(input.uint64()),
  readJson: (json) => bigintOf(json, { min: 0n, max: 2n ** 64n - 1n }),
};

/** A field of bytes, which are a view of the message. */
export function bytes(number: number, options?: FieldOptions): Field<Uint8Array> {
  return scalarField(number, BYTES, options);
}

/** A field of several strings of bytes, which are views of the message. */
export function byteStrings(number: number, options?: FieldOptions): Field<readonly Uint8Array[]> {
  return repeatedField(number, BYTES, options);
}

/** A field of text. */
export function text(number: number, options?: FieldOptions): Field<string> {
  return scalarField(number, TEXT, options);
}

/** A field of texts. */
export function texts(number: number, options?: FieldOptions): Field<readonly string[]> {
  return repeatedField(number, TEXT, options);
}

/** A field that is true or false. */
export function boolean(number: number, options?: FieldOptions): Field<boolean> {
  return scalarField(number, BOOLEAN, options);
}

/** A field of 64 bits for revisions, counts and times; see {@link MAX_INTEGER}. */
export function integer(number: number, options?: FieldOptions): Field<number> {
  return scalarField(number, INTEGER, options);
}

/** An unsigned field of 32 bits, which JSON has as a number: hashes. */
export function uint32(number: number, options?: FieldOptions): Field<number> {
  return scalarField(number, UINT32, options);
}

/** A signed field of 64 bits for the ids of leases, which clients choose freely. */
export function signedId(number: number, options?: FieldOptions): Field<bigint> {
  return scalarField(number, SIGNED_ID, options);
}

/** An unsigned field of 64 bits for the ids of clusters and members. */
export function unsignedId(number: number, options?: FieldOptions): Field<bigint> {
  return scalarField(number, UNSIGNED_ID, options);
}

/** A field of unsigned ids. */
export function unsignedIds(number: number, options?: FieldOptions): Field<readonly bigint[]> {
  return repeatedField(number, UNSIGNED_ID, options);
}

/** A field of one of some names; numbers that have none are kept as they are. In JSON an unknown name reads as 0. */
export function choice(number: number, names: readonly string[], options?: FieldOptions): Field<number> {
  return scalarField(number, choiceOf(names), options);
}

/** A field of several of some names. */
export function choices(
  number: number,
  names: readonly string[],
  options?: FieldOptions,
): Field<readonly number[]> {
  return repeatedField(number, choiceOf(names), options);
}

/** A field of a message; null where it is absent. */
export function message<T, Given>(
  number: number,
  type: () => MessageType<T, Given>,
  options?: FieldOptions,
): Field<T | null, Given | null> {
  const scalar = scalarOf(type);
  return {
    jsonName: options?.json ?? null,
    binary: [{
      number,
      wireTypes: [scalar.wireType],
      read: (input, _wireType, { levels }) => scalar.read(input, levels),
    }],
    json: [{
      name: null,
      read: (json, levels) => json === null ? null : scalar.readJson(json, levels),
    }],
    missing: () => null,
    write: (output, value) => {
      if (value !== null) writeTagged(output, number, { scalar, value });
    },
    writeJson: (into, name, value) => {
      if (value !== null) into[name] = scalar.toJson(value);
    },
  };
}

/** A field of messages. */
export function messages<T, Given>(
  number: number,
  type: () => MessageType<T, Given>,
  options?: FieldOptions,
): Field<readonly T[], readonly Given[]> {
  return repeatedField(number, scalarOf(type), options);
}

/** One of several values, of which the last one that occurs counts. Null where none does. */
export function oneOf<P extends Record<string, Field<unknown, never>>>(
  parts: P,
): Field<OneOf<P> | null, GivenOneOf<P> | null> {
  type Value = OneOf<P>;
  const entries = Object.entries(parts);
  return {
    jsonName: null,
    binary: entries.flatMap(([kind, part]) =>
      part.binary.map(({ number, wireTypes, read }) => ({
        number,
        wireTypes,
        read: (input: MessageReader, wireType: WireType, { levels }: { readonly levels: number }) =>
          // The kind and the type of the value come from the same entry.
          ({ kind, value: read(input, wireType, { before: undefined, levels }) }) as Value,
      }))
    ),
    json: entries.flatMap(([kind, part]) =>
      part.json.map(({ read }) => ({
        name: part.jsonName ?? snakeCase(kind),
        read: (json: unknown, levels: number) => ({ kind, value: read(json, levels) }) as Value,
      }))
    ),
    missing: () => null,
    write: (output, given) => {
      if (given === null) return;
      const part = parts[given.kind];
      const size = output.size;
      part?.write(output, given.value as never);
      if (output.size === size) writeDefault(output, part);
    },
    writeJson: (into, _name, given) => {
      if (given === null) return;
      const part = parts[given.kind];
      part?.writeJson(into, part.jsonName ?? snakeCase(String(given.kind)), given.value as never);
    },
  };
}

/** The value that {@link oneOf} reads. */
export type OneOf<P extends Record<string, Field<unknown, never>>> = {
  readonly [K in keyof P]: P[K] extends Field<infer T, infer _Given>
    ? { readonly kind: K; readonly value: NonNullable<T> }
    : never;
}[keyof P];

/** The value that {@link oneOf} writes. */
export type GivenOneOf<P extends Record<string, Field<unknown, never>>> = {
  readonly [K in keyof P]: P[K] extends Field<infer _T, infer Given>
    ? { readonly kind: K; readonly value: NonNullable<Given> }
    : never;
}[keyof P];

/** Returns the name of a property as .proto files write it. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function scalarField<T, Given>(
  number: number,
  scalar: Scalar<T, Given>,
  options: FieldOptions | undefined,
): Field<T, Given> {
  return {
    jsonName: options?.json ?? null,
    binary: [{
      number,
      wireTypes: [scalar.wireType],
      read: (input, _wireType, { levels }) => scalar.read(input, levels),
    }],
    json: [{
      name: null,
      read: (json, levels) => json === null ? scalar.missing() : scalar.readJson(json, levels),
    }],
    missing: () => scalar.missing(),
    write: (output, value) => {
      if (!scalar.isMissing(value)) writeTagged(output, number, { scalar, value });
    },
    writeJson: (into, name, value) => {
      if (!scalar.isMissing(value)) into[name] = scalar.toJson(value);
    },
  };
}

function repeatedField<T, Given>(
  number: number,
  scalar: Scalar<T, Given>,
  options: FieldOptions | undefined,
): Field<readonly T[], readonly Given[]> {
  return {
    jsonName: options?.json ?? null,
    binary: [{
      number,
      wireTypes: [scalar.wireType, WireType.LengthDelimited],
      read: (input, wireType, { before, levels }) => {
        // The array was made for this message, by the first occurrence.
        const values = (before ?? []) as T[];
        const isPacked = wireType === WireType.LengthDelimited && scalar.wireType === WireType.Varint;
        const add = (): void => {
          input.countPart();
          values.push(scalar.read(input, levels));
        };
        if (!isPacked) add();
        else for (const end = endOf(input); input.pos < end;) add();
        return values;
      },
    }],
    json: [{
      name: null,
      read: (json, levels) => {
        if (json === null) return [];
        if (!Array.isArray(json)) throw new MalformedMessageError("an array is expected");
        return json.map((item) => scalar.readJson(item, levels));
      },
    }],
    missing: () => [],
    write: (output, values) => {
      if (scalar.wireType === WireType.Varint) return writePacked(output, number, { scalar, values });
      for (let index = values.length - 1; index >= 0; index--) {
        const value = values[index];
        if (value !== undefined) writeTagged(output, number, { scalar, value });
      }
    },
    writeJson: (into, name, values) => {
      if (values.length > 0) into[name] = values.map((value) => scalar.toJson(value));
    },
  };
}

function scalarOf<T, Given>(type: () => MessageType<T, Given>): Scalar<T, Given> {
  return {
    wireType: WireType.LengthDelimited,
    missing: () => type().readJson({}),
    isMissing: () => false,
    read: (input, levels) => {
      input.countPart();
      return type().read(input, endOf(input), oneDeeper(levels));
    },
    write: (output, value) => {
      const before = output.size;
      type().write(output, value);
      output.uint32(output.size - before);
    },
    readJson: (json, levels) => type().readJson(json, oneDeeper(levels)),
    toJson: (value) => type().toJson(value),
  };
}

function oneDeeper(levels: number): number {
  if (levels >= MAX_LEVELS) throw new MalformedMessageError("messages are nested too deeply");
  return levels + 1;
}

function choiceOf(names: readonly string[]): Scalar<number> {
  return {
    ...INT32,
    readJson: (json, levels) =>
      typeof json === "string" ? Math.max(0, names.indexOf(json)) : INT32.readJson(json, levels),
    toJson: (value) => names[value] ?? value,
  };
}

function endOf(input: MessageReader): number {
  const length = input.uint32();
  const end = input.pos + length;
  if (end > input.len) throw new MalformedMessageError("a field is longer than its message");
  return end;
}

function writeTagged<T, Given>(
  output: ReverseOutput,
  number: number,
  { scalar, value }: { readonly scalar: Scalar<T, Given>; readonly value: Given },
): void {
  scalar.write(output, value);
  output.uint32(number << 3 | scalar.wireType);
}

function writePacked<T, Given>(
  output: ReverseOutput,
  number: number,
  { scalar, values }: { readonly scalar: Scalar<T, Given>; readonly values: readonly Given[] },
): void {
  if (values.length === 0) return;
  const before = output.size;
  for (let index = values.length - 1; index >= 0; index--) {
    const value = values[index];
    if (value !== undefined) scalar.write(output, value);
  }
  output.uint32(output.size - before);
  output.uint32(number << 3 | WireType.LengthDelimited);
}

/** Writes a chosen value that is its type's default: its presence says which one was chosen. */
function writeDefault(output: ReverseOutput, part: Field<unknown, never> | undefined): void {
  const number = part?.binary[0]?.number;
  if (number === undefined) return;
  output.uint32(0);
  const isLengthDelimited = part?.missing() instanceof Uint8Array || typeof part?.missing() === "string";
  output.uint32(number << 3 | (isLengthDelimited ? WireType.LengthDelimited : WireType.Varint));
}

function saturated(value: bigint): number {
  if (value > MAX_INTEGER) return Number.MAX_SAFE_INTEGER;
  return value < -MAX_INTEGER ? Number.MIN_SAFE_INTEGER : Number(value);
}

/** Returns an integer that is a number of JSON or a text. */
function bigintOf(json: unknown, { min, max }: { readonly min: bigint; readonly max: bigint }): bigint {
  const isInteger = typeof json === "number"
    ? Number.isInteger(json)
    : typeof json === "string" && /^-?[0-9]{1,20}$/.test(json);
  const value = isInteger ? BigInt(json as number | string) : null;
  if (value === null || value < min || value > max) throw new MalformedMessageError("an integer is expected");
  return value;
}

function fromBase64(json: unknown): Uint8Array {
  if (typeof json !== "string") throw new MalformedMessageError("a text in base64 is expected");
  try {
    const isForUrls = json.includes("-") || json.includes("_");
    return Uint8Array.fromBase64(json, { alphabet: isForUrls ? "base64url" : "base64" });
  } catch {
    throw new MalformedMessageError("a text in base64 is expected");
  }
}
