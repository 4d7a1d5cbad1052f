/**
 * Protobuf messages that are declared as tables of fields: one line a field gives its type in TypeScript, its binary form and
 * its JSON form.
 */
import { WireType } from "@bufbuild/protobuf/wire";
import {
  type BinaryPart,
  type Field,
  type JsonPart,
  MalformedMessageError,
  type MessageType,
  snakeCase,
} from "./field.ts";
import { ReverseOutput } from "./output.ts";
import { MessageReader } from "./reader.ts";

/** The fields of a message by the names of its properties. */
export type Fields = Readonly<Record<string, Field<unknown, never>>>;

/** A message as it is read: all of its fields. */
export type Decoded<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T, infer _Given> ? T : never;
};

/** A message as it is written: the fields that do not have their default. */
export type Given<F extends Fields> = {
  readonly [K in keyof F]?: (F[K] extends Field<infer _T, infer G> ? G : never) | undefined;
};

/** The messages of a type, as they are read. */
export type MessageOf<M> = M extends Message<infer T, infer _Given> ? T : never;
/** The messages of a type, as they are written. */
export type GivenOf<M> = M extends Message<infer _T, infer G> ? G : never;

/** A message type. */
export interface Message<T, G> extends MessageType<T, G> {
  /** The name of the type with its package: `etcdserverpb.PutRequest`. */
  readonly name: string;
  /** Throws {@link MalformedMessageError}. Byte fields are views of `bytes`. */
  decode(bytes: Uint8Array): T;
  /** The bytes are never changed. Those that are kept for long must be copied; see {@link ReverseOutput.finish}. */
  encode(value: G): Uint8Array;
}

/** A part of the binary form with the property that it belongs to. */
interface KnownPart {
  readonly property: string;
  readonly part: BinaryPart<unknown>;
}

/** Writes one message after the other: a new buffer for each would take longer than what is written into it. */
const OUTPUT = new ReverseOutput();

/** Declares a message type. */
export function declare<F extends Fields>(name: string, fields: F): Message<Decoded<F>, Given<F>> {
  const { read, write } = binaryForm(fields);
  return {
    name,
    read,
    write,
    ...jsonForm(fields),
    decode: (bytes) => {
      try {
        return read(new MessageReader(bytes), bytes.length, 0);
      } catch (error) {
        if (error instanceof MalformedMessageError) throw error;
        throw new MalformedMessageError(error instanceof Error ? error.message : "it is malformed");
      }
    },
    encode: (given) => {
      OUTPUT.clear();
      write(OUTPUT, given);
      return OUTPUT.finish();
    },
  };
}

function binaryForm<F extends Fields>(
  fields: F,
): Pick<MessageType<Decoded<F>, Given<F>>, "read" | "write"> {
  const reversed = Object.entries(fields).reverse();
  const parts = new Map<number, KnownPart>();
  for (const [property, field] of reversed) {
    for (const part of field.binary) parts.set(part.number, { property, part });
  }
  return {
    read: (input, end, levels) => {
      const found: Record<string, unknown> = {};
      while (input.pos < end) {
        const [number, wireType] = input.tag();
        const known = parts.get(number);
        if (known === undefined || !known.part.wireTypes.includes(wireType)) {
          skip(input, wireType);
          continue;
        }
        const { property, part } = known;
        found[property] = part.read(input, wireType, { before: found[property], levels });
      }
      if (input.pos !== end) throw new MalformedMessageError("a field is longer than its message");
      return complete(fields, found);
    },
    write: (output, given) => {
      for (const [property, field] of reversed) {
        const value = given[property];
        // The value is of the field of the same name.
        if (value !== undefined) field.write(output, value as never);
      }
    },
  };
}

function jsonForm<F extends Fields>(
  fields: F,
): Pick<MessageType<Decoded<F>, Given<F>>, "readJson" | "toJson"> {
  const entries = Object.entries(fields);
  const names = new Map<string, { readonly property: string; readonly part: JsonPart<unknown> }>();
  for (const [property, field] of entries) {
    for (const part of field.json) {
      const name = part.name ?? field.jsonName ?? snakeCase(property);
      const entry = { property, part };
      names.set(name, entry);
      names.set(camelCase(name), entry);
    }
  }
  return {
    readJson: (json, levels = 0) => {
      if (typeof json !== "object" || json === null || Array.isArray(json)) {
        throw new MalformedMessageError("an object is expected");
      }
      const found: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(json)) {
        const known = names.get(key);
        if (known !== undefined) found[known.property] = known.part.read(value, levels);
      }
      return complete(fields, found);
    },
    toJson: (given) => {
      const json: Record<string, unknown> = {};
      for (const [property, field] of entries) {
        const value = given[property];
        if (value !== undefined) field.writeJson(json, field.jsonName ?? snakeCase(property), value as never);
      }
      return json;
    },
  };
}

/** Adds the fields that are missing. Those that are there were read by the fields of these names. */
function complete<F extends Fields>(fields: F, found: Record<string, unknown>): Decoded<F> {
  for (const property in fields) {
    if (!(property in found)) found[property] = fields[property]?.missing();
  }
  return found as Decoded<F>;
}

/** Skips a field that this version does not know. Groups, which protobuf 3 does not have, are refused. */
function skip(input: MessageReader, wireType: WireType): void {
  if (wireType === WireType.StartGroup || wireType === WireType.EndGroup) {
    throw new MalformedMessageError("a field is a group");
  }
  input.skip(wireType);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
