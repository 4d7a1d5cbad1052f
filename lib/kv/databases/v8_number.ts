/**
 * Numbers in V8's serialization format, as Deno KV stores them: `ff`, the version of the format, a tag, and the number.
 *
 *     49 'I'   a signed 32-bit integer: a varint, zigzag        55 'U'   an unsigned one: a varint
 *     4e 'N'   a double: 8 bytes, little-endian                 5a 'Z'   a bigint: a varint of (bytes << 1 | sign), then the
 *                                                                        magnitude, little-endian
 *
 * These forms are the same in all versions of the format so far. Numbers are written in version 15, which every runtime
 * can read: Deno from 2.8 on writes version 16, which no Node and no earlier Deno reads.
 */

/** Bytes of the magnitude of a bigint that a sum takes or makes: a bound on its work. */
export const MAX_BIGINT_BYTES = 4_096;

const HEADER = 0xff;
const WRITTEN_VERSION = 15;
const INT32_TAG = 0x49;
const UINT32_TAG = 0x55;
const DOUBLE_TAG = 0x4e;
const BIGINT_TAG = 0x5a;
/** Bytes before the number: the header, the version and the tag. */
const HEAD_BYTES = 3;
/** V8 writes the magnitude of a bigint in digits of so many bytes. */
const DIGIT_BYTES = 8;
const DOUBLE_BYTES = 8;
/** The one pattern of bits in which a result that is not a number is written: processors make different ones. */
const NOT_A_NUMBER = 0x7ff8_0000;

/** A number or a bigint. */
export type V8Number = number | bigint;

/** Returns the number of a serialized value; null for a value that is no number, or a bigint that is too large. */
export function readV8Number(data: Uint8Array): V8Number | null {
  const version = data[1] ?? 0x80;
  // A version above 127 would take two bytes: there is none.
  if (data[0] !== HEADER || version === 0 || version >= 0x80) return null;
  switch (data[2]) {
    case INT32_TAG: {
      const varint = readVarint(data, HEAD_BYTES);
      return varint === null ? null : varint.value >>> 1 ^ -(varint.value & 1);
    }
    case UINT32_TAG:
      return readVarint(data, HEAD_BYTES)?.value ?? null;
    case DOUBLE_TAG:
      if (data.length < HEAD_BYTES + DOUBLE_BYTES) return null;
      return new DataView(data.buffer, data.byteOffset).getFloat64(HEAD_BYTES, true);
    case BIGINT_TAG:
      return readBigint(data);
    default:
      return null;
  }
}

/**
 * Returns a number, serialized, behind a byte for its encoding. A number is always written as a double, as Deno KV does it,
 * though V8 has a shorter form for small integers. Null for a bigint that is too large.
 */
export function writeV8Number(value: V8Number, encoding: number): Uint8Array | null {
  return typeof value === "bigint" ? writeBigint(value, encoding) : writeDouble(value, encoding);
}

function writeDouble(value: number, encoding: number): Uint8Array {
  const written = withHead(DOUBLE_TAG, encoding, DOUBLE_BYTES);
  const view = new DataView(written.buffer);
  const start = 1 + HEAD_BYTES;
  if (Number.isNaN(value)) view.setUint32(start + 4, NOT_A_NUMBER, true);
  else view.setFloat64(start, value, true);
  return written;
}

function writeBigint(value: bigint, encoding: number): Uint8Array | null {
  const isNegative = value < 0n;
  const digits = (isNegative ? -value : value).toString(16);
  const bytes = value === 0n ? 0 : Math.ceil(digits.length / 2 / DIGIT_BYTES) * DIGIT_BYTES;
  if (bytes > MAX_BIGINT_BYTES) return null;
  const bitfield = bytes << 1 | (isNegative ? 1 : 0);
  const varintBytes = bitfield < 0x80 ? 1 : bitfield < 0x4000 ? 2 : 3;
  const written = withHead(BIGINT_TAG, encoding, varintBytes + bytes);
  let position = 1 + HEAD_BYTES;
  for (let rest = bitfield; position < 1 + HEAD_BYTES + varintBytes; rest >>>= 7) {
    written[position++] = rest & 0x7f | (rest >= 0x80 ? 0x80 : 0);
  }
  for (let end = digits.length; end > 0 && bytes > 0; end -= 2) {
    written[position++] = parseInt(digits.slice(Math.max(end - 2, 0), end), 16);
  }
  return written;
}

function withHead(tag: number, encoding: number, bytes: number): Uint8Array {
  const written = new Uint8Array(1 + HEAD_BYTES + bytes);
  written[0] = encoding;
  written[1] = HEADER;
  written[2] = WRITTEN_VERSION;
  written[3] = tag;
  return written;
}

function readBigint(data: Uint8Array): bigint | null {
  const varint = readVarint(data, HEAD_BYTES);
  if (varint === null) return null;
  const { value: bitfield, end } = varint;
  const bytes = bitfield >>> 1;
  if (bytes > MAX_BIGINT_BYTES || data.length < end + bytes) return null;
  let digits = "0x0";
  for (let position = end + bytes - 1; position >= end; position--) {
    digits += (data[position] ?? 0).toString(16).padStart(2, "0");
  }
  const magnitude = BigInt(digits);
  return (bitfield & 1) === 1 ? -magnitude : magnitude;
}

/** Returns an unsigned 32-bit integer in groups of seven bits, the lowest first, and the position behind it. */
function readVarint(
  data: Uint8Array,
  start: number,
): { readonly value: number; readonly end: number } | null {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const position = start + shift / 7;
    const byte = data[position];
    if (byte === undefined) return null;
    value = (value | (byte & 0x7f) << shift) >>> 0;
    if (byte < 0x80) return { value, end: position + 1 };
  }
  return null;
}
