/** The values of RDB files that are not strings: the names of their types, and how each is skipped without being held. */
import type { ByteReader } from "../byte_reader.ts";
import { FormatError } from "../items.ts";
import { readLength, skipString } from "./rdb_strings.ts";

/** The type of a string. */
export const STRING_TYPE = 0;

/** A hash whose fields expire, as Valkey writes it: its number in the file is another type in Redis. */
const VALKEY_EXPIRING_HASH = 256;
const NUMBER_IN_VALKEY = 22;

/** How the value of a type is written. */
type Layout =
  /** One string, in which all is packed. */
  | "packed"
  /** A count, and so many times some strings. */
  | { readonly strings: number }
  /** Written field by field. */
  | ((reader: ByteReader) => Promise<void>);

/** The parts of a value of a module, each after its number. */
const ModulePart = { end: 0, signed: 1, unsigned: 2, float: 3, double: 4, string: 5 } as const;
/** A double of the oldest sorted sets is text with its length before it, or one of three lengths that stand for a number. */
const FIRST_NAMED_DOUBLE = 253;
/** Bytes of the id of a stream's entry, and of a time. */
const STREAM_ID_BYTES = 16;
const TIME_BYTES = 8;

const TYPES: ReadonlyMap<number, { readonly name: string; readonly layout: Layout }> = new Map([
  [STRING_TYPE, { name: "string", layout: "packed" }],
  [1, { name: "list", layout: { strings: 1 } }],
  [2, { name: "set", layout: { strings: 1 } }],
  [3, { name: "sorted set", layout: skipOldSortedSet }],
  [4, { name: "hash", layout: { strings: 2 } }],
  [5, { name: "sorted set", layout: skipSortedSet }],
  [7, { name: "module", layout: skipModuleValue }],
  [9, { name: "hash", layout: "packed" }],
  [10, { name: "list", layout: "packed" }],
  [11, { name: "set", layout: "packed" }],
  [12, { name: "sorted set", layout: "packed" }],
  [13, { name: "hash", layout: "packed" }],
  [14, { name: "list", layout: { strings: 1 } }],
  [15, { name: "stream", layout: (reader) => skipStream(reader, 1) }],
  [16, { name: "hash", layout: "packed" }],
  [17, { name: "sorted set", layout: "packed" }],
  [18, { name: "list", layout: skipQuickList }],
  [19, { name: "stream", layout: (reader) => skipStream(reader, 2) }],
  [20, { name: "set", layout: "packed" }],
  [21, { name: "stream", layout: (reader) => skipStream(reader, 3) }],
  [22, { name: "hash", layout: (reader) => skipExpiringHash(reader, 0) }],
  [23, { name: "hash", layout: "packed" }],
  [24, { name: "hash", layout: (reader) => skipExpiringHash(reader, TIME_BYTES) }],
  [VALKEY_EXPIRING_HASH, { name: "hash", layout: skipValkeyExpiringHash }],
  [25, { name: "hash", layout: skipPackedExpiringHash }],
]);

/** Returns the type that a number means in a file of Redis, or of Valkey. */
export function typeOfNumber(number: number, isValkey: boolean): number {
  return isValkey && number === NUMBER_IN_VALKEY ? VALKEY_EXPIRING_HASH : number;
}

/** Returns the name of a type; null for one that is not known, or cannot be skipped. */
export function kindOfType(type: number): string | null {
  return TYPES.get(type)?.name ?? null;
}

/** Skips the value of a type that {@link kindOfType} knows. */
export async function skipValue(reader: ByteReader, type: number): Promise<void> {
  const { layout = "packed" } = TYPES.get(type) ?? {};
  if (layout === "packed") return await skipString(reader);
  if (typeof layout === "function") return await layout(reader);
  const count = await readLength(reader);
  for (let position = 0; position < count * layout.strings; position++) await skipString(reader);
}

/** Skips the parts of what a module wrote, up to its end. */
export async function skipModule(reader: ByteReader): Promise<void> {
  for (;;) {
    const part = await readLength(reader);
    switch (part) {
      case ModulePart.end:
        return;
      case ModulePart.signed:
      case ModulePart.unsigned:
        await readLength(reader);
        break;
      case ModulePart.float:
        await reader.skip(4);
        break;
      case ModulePart.double:
        await reader.skip(8);
        break;
      case ModulePart.string:
        await skipString(reader);
        break;
      default:
        throw new FormatError(`at byte ${reader.offset - 1} is part ${part} of a module, which is not known`);
    }
  }
}

async function skipModuleValue(reader: ByteReader): Promise<void> {
  await readLength(reader);
  await skipModule(reader);
}

async function skipOldSortedSet(reader: ByteReader): Promise<void> {
  for (let left = await readLength(reader); left > 0; left--) {
    await skipString(reader);
    const length = await reader.readByte();
    if (length < FIRST_NAMED_DOUBLE) await reader.skip(length);
  }
}

async function skipSortedSet(reader: ByteReader): Promise<void> {
  for (let left = await readLength(reader); left > 0; left--) {
    await skipString(reader);
    await reader.skip(8);
  }
}

async function skipQuickList(reader: ByteReader): Promise<void> {
  for (let left = await readLength(reader); left > 0; left--) {
    await readLength(reader);
    await skipString(reader);
  }
}

/** `headBytes`: the bytes of the earliest time of expiry, which the first version of the type did not have. */
async function skipExpiringHash(reader: ByteReader, headBytes: number): Promise<void> {
  await reader.skip(headBytes);
  for (let left = await readLength(reader); left > 0; left--) {
    await readLength(reader);
    await skipString(reader);
    await skipString(reader);
  }
}

async function skipValkeyExpiringHash(reader: ByteReader): Promise<void> {
  for (let left = await readLength(reader); left > 0; left--) {
    await skipString(reader);
    await skipString(reader);
    await reader.skip(TIME_BYTES);
  }
}

async function skipPackedExpiringHash(reader: ByteReader): Promise<void> {
  await reader.skip(TIME_BYTES);
  await skipString(reader);
}

/** Skips a stream of one of three versions, each of which added fields. */
async function skipStream(reader: ByteReader, version: 1 | 2 | 3): Promise<void> {
  for (let left = await readLength(reader); left > 0; left--) {
    await skipString(reader);
    await skipString(reader);
  }
  // Length and last id; from version 2 on the first id, the greatest deleted one, and the number of all entries ever.
  await skipLengths(reader, version === 1 ? 3 : 8);
  for (let groups = await readLength(reader); groups > 0; groups--) {
    await skipString(reader);
    await skipLengths(reader, version === 1 ? 2 : 3);
    for (let pending = await readLength(reader); pending > 0; pending--) {
      await reader.skip(STREAM_ID_BYTES + TIME_BYTES);
      await readLength(reader);
    }
    for (let consumers = await readLength(reader); consumers > 0; consumers--) {
      await skipString(reader);
      await reader.skip(version === 3 ? 2 * TIME_BYTES : TIME_BYTES);
      await reader.skip(STREAM_ID_BYTES * await readLength(reader));
    }
  }
}

async function skipLengths(reader: ByteReader, count: number): Promise<void> {
  for (let left = count; left > 0; left--) await readLength(reader);
}
