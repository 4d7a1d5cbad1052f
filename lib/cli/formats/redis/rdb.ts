/**
 * RDB, the file in which Redis keeps a data set: versions 1 to 12, and 80 as Valkey 9 writes it. The format follows
 * rdb.h and rdb.c of Redis 7 and 8.
 */
import type { ByteReader } from "../byte_reader.ts";
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../../../kv/mod.ts";
import { FormatError } from "../items.ts";
import { type RdbString, readLength, readString, readUint64, skipString } from "./rdb_strings.ts";
import { kindOfType, skipModule, skipValue, STRING_TYPE, typeOfNumber } from "./rdb_values.ts";

/** The newest versions of the two magic words that are read. */
const MAX_REDIS_VERSION = 12;
const MAX_VALKEY_VERSION = 80;
/** The first version with a checksum. */
const CHECKSUM_VERSION = 5;

/** Bytes that stand where a type of value may be. */
const Opcode = {
  slotInfo: 244,
  function: 245,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  auxiliary: 250,
  sizes: 251,
  expiryMs: 252,
  expirySeconds: 253,
  database: 254,
  end: 255,
} as const;

/** A key of an RDB file. */
export interface RdbKey {
  readonly database: number;
  /** The beginning of the key where it is longer than any cluster takes. */
  readonly key: Uint8Array;
  readonly keyBytes: number;
  /** The type of its value, such as "list". */
  readonly type: string;
  /** The value of a string; null for another type, and for a string that is longer than any cluster takes. */
  readonly value: Uint8Array | null;
  readonly expiresAtMs: number | null;
}

/**
 * Reads a file up to its checksum, which it verifies. Throws {@link FormatError} where it is damaged or cut off, for a
 * checksum that differs, which is known only after the last key, and for what this version does not know.
 */
export async function* readRdb(reader: ByteReader): AsyncGenerator<RdbKey> {
  const { version, isValkey } = await readVersion(reader);
  let database = 0;
  let expiresAtMs: number | null = null;
  for (;;) {
    const start = reader.offset;
    const opcode = await reader.readByte();
    switch (opcode) {
      case Opcode.expiryMs:
        expiresAtMs = Number(await readUint64(reader));
        break;
      case Opcode.expirySeconds:
        expiresAtMs = new DataView((await reader.read(4)).buffer).getUint32(0, true) * 1_000;
        break;
      case Opcode.database:
        database = await readLength(reader);
        break;
      case Opcode.end:
        if (version >= CHECKSUM_VERSION) await verifyChecksum(reader);
        return;
      default:
        if (await skipRemark(reader, opcode)) break;
        yield {
          ...await readKey(reader, { type: typeOfNumber(opcode, isValkey), start }),
          database,
          expiresAtMs,
        };
        expiresAtMs = null;
    }
  }
}

async function readVersion(
  reader: ByteReader,
): Promise<{ readonly version: number; readonly isValkey: boolean }> {
  const magic = await reader.read(9);
  const [, name, digits = ""] = /^(REDIS|VALKEY)(\d{3,4})$/.exec(new TextDecoder().decode(magic)) ?? [];
  const version = Number(digits);
  if (name === undefined || version < 1) throw new FormatError("it does not begin as an RDB file");
  if (version > (name === "REDIS" ? MAX_REDIS_VERSION : MAX_VALKEY_VERSION)) {
    throw new FormatError(
      `it is of RDB version ${version}, and ${MAX_REDIS_VERSION} is the newest that is read`,
    );
  }
  reader.beginChecksum(magic);
  return { version, isValkey: name === "VALKEY" };
}

/** Skips what belongs to no key; false for a byte that is no such opcode, and begins a key. */
async function skipRemark(reader: ByteReader, opcode: number): Promise<boolean> {
  switch (opcode) {
    case Opcode.auxiliary:
      await skipString(reader);
      await skipString(reader);
      return true;
    case Opcode.sizes:
      await readLength(reader);
      await readLength(reader);
      return true;
    case Opcode.slotInfo:
      for (let count = 0; count < 3; count++) await readLength(reader);
      return true;
    case Opcode.function:
      await skipString(reader);
      return true;
    case Opcode.moduleAux:
      await readLength(reader);
      await skipModule(reader);
      return true;
    case Opcode.idle:
      await readLength(reader);
      return true;
    case Opcode.frequency:
      await reader.skip(1);
      return true;
    default:
      return false;
  }
}

async function readKey(
  reader: ByteReader,
  { type, start }: { readonly type: number; readonly start: number },
): Promise<Omit<RdbKey, "database" | "expiresAtMs">> {
  const kind = kindOfType(type);
  if (kind === null) throw new FormatError(`at byte ${start} is type ${type}, which is not known`);
  const { bytes: key, length: keyBytes } = await readString(reader, MAX_KEY_BYTES);
  if (type !== STRING_TYPE) {
    await skipValue(reader, type);
    return { key, keyBytes, type: kind, value: null };
  }
  const { bytes, length }: RdbString = await readString(reader, MAX_VALUE_BYTES);
  return { key, keyBytes, type: kind, value: length > MAX_VALUE_BYTES ? null : bytes };
}

/** Compares the checksum; one of 0 was written with `rdbchecksum no`. */
async function verifyChecksum(reader: ByteReader): Promise<void> {
  const computed = reader.endChecksum();
  const written = await readUint64(reader);
  if (written === 0n || written === computed) return;
  throw new FormatError(
    `its checksum is ${computed.toString(16)} and should be ${written.toString(16)}: it is damaged`,
  );
}
