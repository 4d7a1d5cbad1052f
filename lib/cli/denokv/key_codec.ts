/**
 * The bytes of a Deno KV key, as Deno's clients write them: the parts one after the other, each with the byte of its
 * type before it. They order as Deno orders keys: byte strings, strings, bigints, numbers, booleans.
 *
 * | part             | bytes                                                                                     |
 * | ---------------- | ----------------------------------------------------------------------------------------- |
 * | Uint8Array       | 01, the bytes with ff behind every 00, 00                                                 |
 * | string           | 02, its UTF-8 with ff behind every 00, 00                                                 |
 * | bigint           | 14 plus or minus n, and the n ≤ 8 bytes of its magnitude; the complement if it is negative |
 * | a longer bigint  | 1d or 0b, the number of bytes, and the bytes; the complement of both if it is negative     |
 * | number           | 21, its 8 bytes big-endian: the sign bit inverted, or all bits if it is negative           |
 * | false, true      | 26, 27                                                                                    |
 */
import { concat, equals } from "@std/bytes";

/** A part of a Deno KV key. */
export type KeyPart = Uint8Array | string | bigint | number | boolean;
/** A Deno KV key. */
export type DenoKey = readonly KeyPart[];

const BYTES = 0x01;
const STRING = 0x02;
const LONG_NEGATIVE = 0x0b;
const ZERO = 0x14;
const LONG_POSITIVE = 0x1d;
const NUMBER = 0x21;
const FALSE = 0x26;
const TRUE = 0x27;
/** Behind a zero byte that is part of a string. */
const ESCAPED = 0xff;
/** Most bytes of a bigint without a byte for their number. */
const MAX_SHORT_BYTES = 8;
/** Most bytes of a bigint. */
const MAX_LONG_BYTES = 255;
const SIGN = 1n << 63n;
const ALL_BITS = (1n << 64n) - 1n;
const CANONICAL_NAN = 0x7ff8_0000_0000_0000n;

const utf8 = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the bytes of a key. Throws `RangeError` for a bigint of more than 255 bytes. */
export function encodeKey(key: DenoKey): Uint8Array {
  return concat(key.map(encodePart));
}

/** Returns the key of some bytes; null unless Deno writes a key with exactly these bytes. */
export function decodeKey(bytes: Uint8Array): DenoKey | null {
  const reader = new KeyReader(bytes);
  const key: KeyPart[] = [];
  while (!reader.isAtEnd) {
    const part = reader.readPart();
    if (part === null) return null;
    key.push(part);
  }
  // There are other bytes for some numbers, which would be another key.
  return equals(encodeKey(key), bytes) ? key : null;
}

function encodePart(part: KeyPart): Uint8Array {
  switch (typeof part) {
    case "string":
      return encodeString(STRING, utf8.encode(part));
    case "bigint":
      return encodeBigint(part);
    case "number":
      return encodeNumber(part);
    case "boolean":
      return Uint8Array.of(part ? TRUE : FALSE);
    default:
      return encodeString(BYTES, part);
  }
}

function encodeString(type: number, bytes: Uint8Array): Uint8Array {
  const encoded = [type];
  for (const byte of bytes) {
    encoded.push(byte);
    if (byte === 0) encoded.push(ESCAPED);
  }
  encoded.push(0);
  return Uint8Array.from(encoded);
}

function encodeBigint(value: bigint): Uint8Array {
  if (value === 0n) return Uint8Array.of(ZERO);
  const isNegative = value < 0n;
  const digits = (isNegative ? -value : value).toString(16);
  const magnitude = Uint8Array.fromHex(digits.padStart(digits.length + digits.length % 2, "0"));
  const { length } = magnitude;
  if (length > MAX_LONG_BYTES) {
    throw new RangeError(`A bigint in a key has at most ${MAX_LONG_BYTES} bytes, not ${length}.`);
  }
  const bytes = isNegative ? complement(magnitude) : magnitude;
  if (length <= MAX_SHORT_BYTES) {
    return concat([Uint8Array.of(ZERO + (isNegative ? -length : length)), bytes]);
  }
  const head = isNegative ? [LONG_NEGATIVE, 0xff - length] : [LONG_POSITIVE, length];
  return concat([Uint8Array.from(head), bytes]);
}

function encodeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, NUMBER);
  view.setFloat64(1, value);
  // JavaScript leaves open which of the many NaNs it stores.
  const bits = Number.isNaN(value) ? CANONICAL_NAN : view.getBigUint64(1);
  view.setBigUint64(1, bits ^ maskOf(bits));
  return bytes;
}

/** Returns the bits to invert for an order by bytes: the sign, or all bits of a negative number. */
function maskOf(bits: bigint): bigint {
  return (bits & SIGN) === 0n ? SIGN : ALL_BITS;
}

function complement(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => 0xff - byte);
}

/** Reads parts from bytes that may be anything; null where there is none. */
class KeyReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#bytes.length;
  }

  readPart(): KeyPart | null {
    const type = this.#take(1)?.[0];
    if (type === undefined) return null;
    if (type === BYTES) return this.#readString();
    if (type === STRING) return this.#readText();
    if (type === FALSE || type === TRUE) return type === TRUE;
    if (type === NUMBER) return this.#readNumber();
    if (type >= LONG_NEGATIVE && type <= LONG_POSITIVE) return this.#readBigint(type);
    return null;
  }

  #take(length: number): Uint8Array | null {
    const end = this.#position + length;
    if (end > this.#bytes.length) return null;
    const taken = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return taken;
  }

  #readString(): Uint8Array | null {
    const bytes: number[] = [];
    for (;;) {
      const byte = this.#take(1)?.[0];
      if (byte === undefined) return null;
      if (byte === 0) {
        if (this.#bytes[this.#position] !== ESCAPED) return Uint8Array.from(bytes);
        this.#position += 1;
      }
      bytes.push(byte);
    }
  }

  #readText(): string | null {
    const bytes = this.#readString();
    if (bytes === null) return null;
    try {
      return utf8Decoder.decode(bytes);
    } catch {
      return null;
    }
  }

  #readNumber(): number | null {
    const bytes = this.#take(8);
    if (bytes === null) return null;
    const view = new DataView(Uint8Array.from(bytes).buffer);
    const bits = view.getBigUint64(0);
    // The inverse of maskOf: the sign bit of a negative number was inverted to 0.
    view.setBigUint64(0, bits ^ ((bits & SIGN) === 0n ? ALL_BITS : SIGN));
    return view.getFloat64(0);
  }

  #readBigint(type: number): bigint | null {
    const isNegative = type < ZERO;
    const isLong = type === LONG_NEGATIVE || type === LONG_POSITIVE;
    const count = isLong ? this.#take(1)?.[0] : Math.abs(type - ZERO);
    if (count === undefined) return null;
    const bytes = this.#take(isLong && isNegative ? 0xff - count : count);
    if (bytes === null) return null;
    const magnitude = BigInt(`0x0${(isNegative ? complement(bytes) : bytes).toHex()}`);
    return isNegative ? -magnitude : magnitude;
  }
}
