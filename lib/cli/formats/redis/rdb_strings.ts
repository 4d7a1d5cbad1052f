/** Lengths and strings of RDB files. */
import type { ByteReader } from "../byte_reader.ts";
import { FormatError } from "../items.ts";
import { decompressLzf } from "./lzf.ts";

/** The encodings that stand in place of a string's length. */
const Encoding = { int8: 0, int16: 1, int32: 2, lzf: 3 } as const;
/** A length of 32 or 64 bits follows these bytes. */
const LENGTH_32 = 0x80;
const LENGTH_64 = 0x81;

/** A string, or its beginning ({@link readString}), and the length of the whole. */
export interface RdbString {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Returns a length, or the encoding of a string. */
async function readLengthOrEncoding(
  reader: ByteReader,
): Promise<{ readonly isEncoding: boolean; readonly number: number }> {
  const first = await reader.readByte();
  switch (first >> 6) {
    case 0:
      return { isEncoding: false, number: first & 0x3f };
    case 1:
      return { isEncoding: false, number: (first & 0x3f) << 8 | await reader.readByte() };
    case 3:
      return { isEncoding: true, number: first & 0x3f };
    default:
  }
  if (first !== LENGTH_32 && first !== LENGTH_64) {
    throw new FormatError(`at byte ${reader.offset - 1} is ${first} where a length should be`);
  }
  const bytes = await reader.read(first === LENGTH_32 ? 4 : 8);
  const view = new DataView(bytes.buffer);
  const number = first === LENGTH_32 ? view.getUint32(0) : Number(view.getBigUint64(0));
  return { isEncoding: false, number };
}

/** Returns a length or a number; a number above 2^53 is rounded, which only numbers that are skipped can be. */
export async function readLength(reader: ByteReader): Promise<number> {
  const { isEncoding, number } = await readLengthOrEncoding(reader);
  if (!isEncoding) return number;
  throw new FormatError(`at byte ${reader.offset - 1} is a string where a length should be`);
}

/** Returns 8 bytes as an unsigned number, the least significant one first. */
export async function readUint64(reader: ByteReader): Promise<bigint> {
  return new DataView((await reader.read(8)).buffer).getBigUint64(0, true);
}

/** Reads a string. Of one that is longer than `maxBytes` it returns no more than the beginning, and skips the rest. */
export async function readString(reader: ByteReader, maxBytes: number): Promise<RdbString> {
  const { isEncoding, number } = await readLengthOrEncoding(reader);
  if (!isEncoding) {
    const bytes = await reader.read(Math.min(number, maxBytes));
    await reader.skip(number - bytes.length);
    return { bytes, length: number };
  }
  if (number === Encoding.lzf) return await readCompressed(reader, maxBytes);
  const bytes = new TextEncoder().encode(String(await readInteger(reader, number)));
  return { bytes, length: bytes.length };
}

/** Skips a string of any length. */
export async function skipString(reader: ByteReader): Promise<void> {
  await readString(reader, 0);
}

async function readInteger(reader: ByteReader, encoding: number): Promise<number> {
  switch (encoding) {
    case Encoding.int8:
      return new DataView((await reader.read(1)).buffer).getInt8(0);
    case Encoding.int16:
      return new DataView((await reader.read(2)).buffer).getInt16(0, true);
    case Encoding.int32:
      return new DataView((await reader.read(4)).buffer).getInt32(0, true);
    default:
      throw new FormatError(
        `at byte ${reader.offset - 1} is a string of encoding ${encoding}, which is not known`,
      );
  }
}

async function readCompressed(reader: ByteReader, maxBytes: number): Promise<RdbString> {
  const compressed = await readLength(reader);
  const length = await readLength(reader);
  // Redis never writes a compressed string that is not shorter; a longer one would be held for nothing.
  if (length > maxBytes || compressed > length) {
    await reader.skip(compressed);
    if (length > maxBytes) return { bytes: new Uint8Array(), length };
    throw new FormatError(`at byte ${reader.offset} a compressed string is longer than its contents`);
  }
  return { bytes: decompressLzf(await reader.read(compressed), length), length };
}
