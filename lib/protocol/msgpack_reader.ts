/**
 * Reads untrusted MessagePack from its bytes, value by value in the expected order.
 *
 * Every read names its field. A value that is missing, of another type, or out of range is a DecodeError that names the
 * message and the field. A length is compared with the bytes that are left before anything is allocated, and nothing
 * recurses without a bound: a wrong length or a deep nesting costs its sender more than the reader.
 */
import { assert } from "../platform/assert.ts";
import type { SlabCopier } from "../platform/memory/slab.ts";
import { DecodeError } from "./errors.ts";
import type { NestedListBounds } from "./field.ts";

const NO_BYTES = new Uint8Array(0);
const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;
const TWO_TO_THE_32 = 4_294_967_296;
const EIGHT_BYTES = new DataView(new ArrayBuffer(8));
/** Longest text for which adding one character after the other is faster than a call of the decoder. */
const MAX_SHORT_TEXT_BYTES = 12;
const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How the bytes of a message are read. */
export interface ReaderOptions {
  /** Names the message in errors. */
  readonly what: string;
  /**
   * Whether {@link MessagePackReader.binary} returns copies that the caller owns (true), copies in slabs, for many that
   * are kept about equally long, or views of the bytes (false).
   */
  readonly copies: boolean | SlabCopier;
}

/** A cursor over the bytes of one MessagePack value. */
export class MessagePackReader {
  #bytes: Uint8Array;
  #position = 0;
  #what: string;
  #copies: boolean | SlabCopier;
  /** Unread values of the open array; outside of any array 1, the one value of the bytes. */
  #left = 1;
  /** The same of the arrays around it, outermost first, as many as #depth. */
  readonly #outer: number[] = [];
  #depth = 0;
  /** Open nested lists, and elements of all nested lists that were opened. */
  #nestedLevels = 0;
  #nestedElements = 0;

  /** Makes a reader of these bytes. */
  constructor(bytes: Uint8Array, options: ReaderOptions) {
    this.#bytes = bytes;
    this.#what = options.what;
    this.#copies = options.copies;
  }

  /**
   * Begins to read other bytes, as a new reader would, from the value at `position` on. Where messages are many, one reader reads them all: a new one for
   * each was a tenth of what a node allocates for a put.
   */
  restart(bytes: Uint8Array, options: ReaderOptions, position = 0): void {
    this.#bytes = bytes;
    this.#what = options.what;
    this.#copies = options.copies;
    this.#position = position;
    this.#left = 1;
    this.#depth = 0;
    this.#nestedLevels = 0;
    this.#nestedElements = 0;
  }

  /** Drops the bytes, which a reader that waits for the next message would keep in memory. */
  release(): void {
    this.#bytes = NO_BYTES;
  }

  /** Sets the name of the message in errors, once its kind is known. */
  setWhat(what: string): void {
    this.#what = what;
  }

  /** Number of unread bytes. */
  get remainingBytes(): number {
    return this.#bytes.length - this.#position;
  }

  /**
   * Copies all bytes once; {@link binary} then returns views of this copy, which the caller owns. Faster than a copy of
   * each where many are kept for about equally long.
   */
  own(): void {
    this.#bytes = this.#bytes.slice();
    this.#copies = false;
  }

  /** Enters an array and returns how many elements it has: never more than there are bytes left. */
  open(field: string): number {
    const count = this.#arrayCount(this.#type(field), { field, otherwise: "must be an array" });
    this.#outer[this.#depth++] = this.#left;
    this.#left = count;
    return count;
  }

  /** Leaves the array and skips its unread elements: a newer version may have added some at its end. */
  close(): void {
    this.#skip(this.#left);
    assert(this.#depth > 0, "an array is closed once for each time that one was opened");
    this.#left = this.#outer[--this.#depth] ?? 0;
  }

  /** Enters an array of a kind that may contain itself; see nestedList in field.ts. */
  openNested(field: string, { maxLevels, maxElements }: NestedListBounds): number {
    if (this.#nestedLevels >= maxLevels) {
      throw this.error(field, `must not be nested in more than ${maxLevels} levels`);
    }
    const count = this.open(field);
    this.#nestedLevels += 1;
    this.#nestedElements += count;
    if (this.#nestedElements > maxElements) {
      throw this.error(field, `must not have more than ${maxElements} elements, nested ones included`);
    }
    return count;
  }

  /** Leaves such an array. */
  closeNested(): void {
    this.close();
    this.#nestedLevels -= 1;
  }

  /** Checks that nothing follows the value. */
  end(): void {
    assert(this.#depth === 0, "every array that was opened was closed");
    if (this.#position < this.#bytes.length) throw this.error("its end", "must be where the bytes end");
  }

  /** Skips the next value of the open array; it must be well formed and of the types that this protocol uses. */
  skip(field: string): void {
    if (this.#left === 0) throw this.error(field, "is missing");
    this.#left -= 1;
    this.#skip(1);
  }

  /** Whether all elements of the open array were read: an older version sends fewer. */
  get isAtEnd(): boolean {
    return this.#left === 0;
  }

  /** Whether the next value is nil; if so, it is read. */
  nil(): boolean {
    if (this.#left === 0 || this.#bytes[this.#position] !== NIL) return false;
    this.#left -= 1;
    this.#position += 1;
    return true;
  }

  /** Reads an integer from `minimum` to 2^53 − 1, in whichever of MessagePack's number formats it comes. */
  integer(field: string, minimum = 0): number {
    const value = this.#number(this.#type(field), field);
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw this.error(field, `must be an integer from ${minimum} to 2^53 - 1`);
    }
    return value + 0; // turns a float's -0 into 0
  }

  /** Reads true or false. */
  boolean(field: string): boolean {
    const type = this.#type(field);
    if (type !== TRUE && type !== FALSE) throw this.error(field, "must be true or false");
    return type === TRUE;
  }

  /** Reads bytes. */
  binary(field: string): Uint8Array {
    const length = this.#binaryLength(field);
    const begin = this.#position;
    this.#pass(length, field);
    // Not a copy of a view: making the view takes about as long as copying a short value.
    if (this.#copies === true) return this.#bytes.slice(begin, this.#position);
    const view = this.#bytes.subarray(begin, this.#position);
    return this.#copies === false ? view : this.#copies.copy(view);
  }

  /** Reads bytes as a view of the message's, whether or not {@link binary} copies them. */
  view(field: string): Uint8Array {
    return this.#take(this.#binaryLength(field), field);
  }

  /** Reads text. */
  string(field: string): string {
    const type = this.#type(field);
    let length: number;
    if (type >= 0xa0 && type <= 0xbf) length = type & 0x1f;
    else if (type === 0xd9) length = this.#uint(1, field);
    else if (type === 0xda) length = this.#uint(2, field);
    else if (type === 0xdb) length = this.#uint(4, field);
    else throw this.error(field, "must be text");
    const ascii = this.#shortAscii(length);
    if (ascii !== null) return ascii;
    const encoded = this.#take(length, field);
    try {
      return TEXT.decode(encoded);
    } catch {
      throw this.error(field, "must be UTF-8");
    }
  }

  /** Returns the error for a field; `problem` follows its name. */
  error(field: string, problem: string): DecodeError {
    return this.broken(`${field} ${problem}`);
  }

  /** Returns the error for a broken rule; `problem` is the end of "Cannot decode …: …". */
  broken(problem: string): DecodeError {
    return new DecodeError(`Cannot decode ${this.#what}: ${problem}.`);
  }

  /** Begins the next value of the open array: its first byte. */
  #type(field: string): number {
    if (this.#left === 0) throw this.error(field, "is missing");
    this.#left -= 1;
    return this.#byte(field);
  }

  #byte(field: string): number {
    const byte = this.#bytes[this.#position];
    if (byte === undefined) throw this.error(field, "is cut off");
    this.#position += 1;
    return byte;
  }

  #binaryLength(field: string): number {
    const type = this.#type(field);
    if (type === 0xc4) return this.#uint(1, field);
    if (type === 0xc5) return this.#uint(2, field);
    if (type === 0xc6) return this.#uint(4, field);
    throw this.error(field, "must be bytes");
  }

  /** A big-endian unsigned integer of `size` bytes (at most 4). */
  #uint(size: number, field: string): number {
    let value = 0;
    for (let read = 0; read < size; read++) value = value * 256 + this.#byte(field);
    return value;
  }

  #take(length: number, field: string): Uint8Array {
    const begin = this.#position;
    this.#pass(length, field);
    return this.#bytes.subarray(begin, begin + length);
  }

  #pass(length: number, field: string): void {
    if (length > this.#bytes.length - this.#position) throw this.error(field, "is cut off");
    this.#position += length;
  }

  /** Reads a short text of ASCII without a native call; null, and nothing is read, for any other text. */
  #shortAscii(length: number): string | null {
    if (length > MAX_SHORT_TEXT_BYTES) return null;
    let text = "";
    for (let position = this.#position; position < this.#position + length; position++) {
      const byte = this.#bytes[position];
      if (byte === undefined || byte >= 128) return null;
      text += String.fromCharCode(byte);
    }
    this.#position += length;
    return text;
  }

  /** Reads the number whose first byte is `type`; one outside the safe range stays outside of it. */
  #number(type: number, field: string): number {
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 256;
    switch (type) {
      case 0xca:
        return this.#dataView(4, field).getFloat32(0);
      case 0xcb:
        // Session ids have this format, so no DataView is made for each.
        EIGHT_BYTES.setUint32(0, this.#uint(4, field));
        EIGHT_BYTES.setUint32(4, this.#uint(4, field));
        return EIGHT_BYTES.getFloat64(0);
      case 0xcc:
        return this.#uint(1, field);
      case 0xcd:
        return this.#uint(2, field);
      case 0xce:
        return this.#uint(4, field);
      case 0xcf:
        return this.#uint(4, field) * TWO_TO_THE_32 + this.#uint(4, field);
      case 0xd0:
        return this.#dataView(1, field).getInt8(0);
      case 0xd1:
        return this.#dataView(2, field).getInt16(0);
      case 0xd2:
        return this.#dataView(4, field).getInt32(0);
      case 0xd3:
        return Number(this.#dataView(8, field).getBigInt64(0));
      default:
        throw this.error(field, "must be an integer");
    }
  }

  #dataView(length: number, field: string): DataView {
    const bytes = this.#take(length, field);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  /** Skips `count` values with their contents. */
  #skip(count: number): void {
    let left = count;
    while (left > 0) left += this.#skipHead() - 1;
  }

  /** Skips one value, or the head of an array; returns the number of values in the array. */
  #skipHead(): number {
    const field = "an unread field";
    const type = this.#byte(field);
    if (type < 0x80 || type >= 0xe0 || type === NIL || type === FALSE || type === TRUE) return 0;
    if (type >= 0xa0 && type <= 0xbf) this.#take(type & 0x1f, field);
    else if (type >= 0xca && type <= 0xd3) this.#number(type, field);
    else if (type === 0xc4 || type === 0xd9) this.#take(this.#uint(1, field), field);
    else if (type === 0xc5 || type === 0xda) this.#take(this.#uint(2, field), field);
    else if (type === 0xc6 || type === 0xdb) this.#take(this.#uint(4, field), field);
    else {
      return this.#arrayCount(type, { field, otherwise: "is of a type that this protocol does not use" });
    }
    return 0;
  }

  /** Returns the length of the array whose first byte is `type`; `otherwise` is the problem if it is none. */
  #arrayCount(type: number, expected: { readonly field: string; readonly otherwise: string }): number {
    const { field } = expected;
    let count: number;
    if (type >= 0x90 && type <= 0x9f) count = type & 0x0f;
    else if (type === 0xdc) count = this.#uint(2, field);
    else if (type === 0xdd) count = this.#uint(4, field);
    else throw this.error(field, expected.otherwise);
    if (count > this.#bytes.length - this.#position) {
      throw this.error(field, "claims more elements than there are bytes");
    }
    return count;
  }
}
