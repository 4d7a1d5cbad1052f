/**
 * Decodes header blocks (RFC 7541). Everything that a peer can send is bounded: the dynamic table by TABLE_BYTES, a block
 * by its caller, and what is made of a block by `maxBytes`, beyond which fields are only counted.
 */
import { latin1Of } from "../byte_queue.ts";
import { isFieldValue, isLowerCaseName } from "../fields.ts";
import { decodeHuffman } from "./huffman.ts";
import { STATIC_FIELDS } from "./static_table.ts";

/** Largest size of the dynamic table, which is the default of SETTINGS_HEADER_TABLE_SIZE. */
export const TABLE_BYTES = 4_096;
/** Added to the bytes of a field in each size (RFC 7541 §4.1). */
const FIELD_OVERHEAD_BYTES = 32;
/** Integers with more bytes are refused; none that is needed has so many. */
const MAX_INTEGER = 0x0fff_ffff;

/** A decoded field. */
export interface DecodedField {
  readonly name: string;
  readonly value: string;
  /** Its size by RFC 7541 §4.1. */
  readonly bytes: number;
  /** Whether the name consists of allowed characters; that of a pseudo-header field has a colon first. */
  readonly hasValidName: boolean;
  /** Whether name and value consist of allowed characters. */
  readonly isValid: boolean;
}

/** A block that is no valid encoding: a connection error, since the tables of both ends differ afterwards. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

/** A decoded block. */
export interface DecodedBlock {
  /** Empty where the block is too large. */
  readonly fields: readonly DecodedField[];
  /** Whether it has more bytes than allowed. */
  readonly isTooLarge: boolean;
}

const STATIC: readonly DecodedField[] = STATIC_FIELDS.map(([name, value]) => fieldOf(name, value));

/** Literals that a connection remembers, and bytes of the longest one. */
const MAX_REMEMBERED = 4;
const MAX_REMEMBERED_BYTES = 512;

/** The value of a literal as it was encoded, its length included, and the field that it stands for. */
interface Remembered {
  readonly encoded: Uint8Array;
  readonly field: DecodedField;
}

/** The decoder of one connection, with its dynamic table. */
export class HpackDecoder {
  /** A ring; the newest entry is the one before #next. */
  readonly #entries: (DecodedField | undefined)[] = new Array(TABLE_BYTES / FIELD_OVERHEAD_BYTES);
  #next = 0;
  #count = 0;
  #tableBytes = 0;
  #maxTableBytes = TABLE_BYTES;
  #input: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #scratch = new Uint8Array(256);
  /**
   * The last literal of some names that was not added to the table, by their index in the static table. Deno's client sends
   * `:path` and `content-length` so in each request, mostly the same: to decode and check them costs more than to compare.
   */
  readonly #lastLiterals = new Map<number, Remembered>();

  /**
   * Decodes bytes `begin` to `end` of `input`, which are one whole block. Throws {@link HpackError}.
   */
  decode(
    input: Uint8Array,
    { begin, end, maxBytes }: { readonly begin: number; readonly end: number; readonly maxBytes: number },
  ): DecodedBlock {
    this.#input = input;
    this.#at = begin;
    this.#end = end;
    const fields: DecodedField[] = [];
    let bytes = 0;
    this.#sizeUpdates();
    while (this.#at < end) {
      const field = this.#field();
      bytes += field.bytes;
      if (bytes <= maxBytes) fields.push(field);
    }
    return bytes <= maxBytes ? { fields, isTooLarge: false } : { fields: [], isTooLarge: true };
  }

  /** Reads the updates of the table's size, which only the beginning of a block may have, at most two (RFC 7541 §4.2). */
  #sizeUpdates(): void {
    for (let updates = 0; this.#at < this.#end && ((this.#input[this.#at] ?? 0) & 0xe0) === 0x20; updates++) {
      if (updates === 2) throw new HpackError("a block has more than two updates of the table's size");
      const size = this.#integer(5);
      if (size > TABLE_BYTES) throw new HpackError("the table's size is updated beyond its limit");
      this.#maxTableBytes = size;
      this.#evict(size);
    }
  }

  #field(): DecodedField {
    const first = this.#input[this.#at] ?? 0;
    if (first >= 0x80) return this.#entry(this.#integer(7)); // indexed
    if (first >= 0x40) { // literal that is added to the table
      const field = this.#addedLiteral();
      this.#add(field);
      return field;
    }
    if (first >= 0x20) throw new HpackError("the table's size is updated within a block");
    return this.#literal(); // literal that is not added, or must never be
  }

  /** Reads a literal that is added to the table. */
  #addedLiteral(): DecodedField {
    const index = this.#integer(6);
    return index === 0 ? fieldOf(this.#string(), this.#string()) : this.#value(this.#entry(index));
  }

  /** Reads a literal that is not added to the table, or that is the last one of its name. */
  #literal(): DecodedField {
    const index = this.#integer(4);
    if (index === 0) return fieldOf(this.#string(), this.#string());
    const last = this.#lastLiterals.get(index);
    if (last !== undefined && this.#isNext(last.encoded)) {
      this.#at += last.encoded.length;
      return last.field;
    }
    const begin = this.#at;
    const field = this.#value(this.#entry(index));
    const isRemembered = index <= STATIC.length && this.#at - begin <= MAX_REMEMBERED_BYTES;
    if (isRemembered && (last !== undefined || this.#lastLiterals.size < MAX_REMEMBERED)) {
      this.#lastLiterals.set(index, { encoded: this.#input.slice(begin, this.#at), field });
    }
    return field;
  }

  #value({ name, hasValidName }: DecodedField): DecodedField {
    return fieldOf(name, this.#string(), hasValidName);
  }

  /** Whether these bytes follow. */
  #isNext(bytes: Uint8Array): boolean {
    if (bytes.length > this.#end - this.#at) return false;
    for (let offset = 0; offset < bytes.length; offset++) {
      if (bytes[offset] !== this.#input[this.#at + offset]) return false;
    }
    return true;
  }

  #entry(index: number): DecodedField {
    const position = index - 1 - STATIC.length;
    const { length } = this.#entries;
    const field = position < 0
      ? STATIC[index - 1]
      : position < this.#count
      ? this.#entries[(this.#next - 1 - position + 2 * length) % length]
      : undefined;
    if (field === undefined) throw new HpackError("a field is not in the tables");
    return field;
  }

  #add(field: DecodedField): void {
    this.#evict(Math.max(0, this.#maxTableBytes - field.bytes));
    if (field.bytes > this.#maxTableBytes) return; // an entry larger than the table empties it (RFC 7541 §4.4)
    this.#entries[this.#next] = field;
    this.#next = (this.#next + 1) % this.#entries.length;
    this.#count += 1;
    this.#tableBytes += field.bytes;
  }

  /** Drops the oldest entries until at most `bytes` are left. */
  #evict(bytes: number): void {
    const { length } = this.#entries;
    while (this.#tableBytes > bytes) {
      const oldest = (this.#next - this.#count + length) % length;
      this.#tableBytes -= this.#entries[oldest]?.bytes ?? 0;
      this.#entries[oldest] = undefined;
      this.#count -= 1;
    }
  }

  /** Reads an integer whose first byte has `prefixBits` bits of it (RFC 7541 §5.1). */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0;; shift += 7) {
      const byte = this.#byte();
      if (shift > 21) throw new HpackError("an integer is too large");
      value += (byte & 0x7f) << shift;
      if (value > MAX_INTEGER) throw new HpackError("an integer is too large");
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const isHuffman = (this.#input[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const begin = this.#at;
    const end = begin + length;
    if (end > this.#end) throw new HpackError("a string is longer than its block");
    this.#at = end;
    if (!isHuffman) return latin1Of(this.#input.subarray(begin, end));
    const most = Math.ceil(length * 8 / 5);
    if (this.#scratch.length < most) this.#scratch = new Uint8Array(2 * most);
    const written = decodeHuffman(this.#input, { begin, end }, this.#scratch);
    if (written === null) throw new HpackError("a string is not encoded by the Huffman code");
    return latin1Of(this.#scratch.subarray(0, written));
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new HpackError("a block ends within a field");
    return this.#input[this.#at++] ?? 0;
  }
}

function fieldOf(name: string, value: string, hasValidName = isValidName(name)): DecodedField {
  return {
    name,
    value,
    bytes: name.length + value.length + FIELD_OVERHEAD_BYTES,
    hasValidName,
    isValid: hasValidName && isFieldValue(value),
  };
}

function isValidName(name: string): boolean {
  return isLowerCaseName(name.startsWith(":") ? name.slice(1) : name);
}
