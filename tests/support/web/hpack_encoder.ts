/**
 * An encoder of HPACK for tests, with a dynamic table and the Huffman code: the opposite of the decoder under test, written
 * for clarity. Every way of writing a field can be asked for.
 */
import { STATIC_FIELDS } from "../../../lib/web/hpack/static_table.ts";
import { huffmanBits } from "./huffman_codes.ts";

/** A field and how it is to be written. */
export interface EncodedField {
  readonly name: string;
  readonly value: string;
  /** indexed: whole from a table where it is there, else as added. Default indexed. */
  readonly as?: "indexed" | "added" | "plain" | "never";
  /** Default false. */
  readonly isHuffman?: boolean;
}

const FIELD_OVERHEAD_BYTES = 32;

/** The encoder of one connection. */
export class TestHpackEncoder {
  /** The newest first. */
  readonly #table: { readonly name: string; readonly value: string }[] = [];
  #maxBytes = 4_096;

  /** Returns an update of the table's size, for the beginning of a block. */
  resize(bytes: number): number[] {
    this.#maxBytes = bytes;
    this.#evict();
    return integer(bytes, 5, 0x20);
  }

  /** Returns a block, or a part of one. */
  encode(fields: readonly EncodedField[]): number[] {
    return fields.flatMap((field) => this.#field(field));
  }

  #field({ name, value, as = "indexed", isHuffman = false }: EncodedField): number[] {
    const all = [
      ...STATIC_FIELDS.map(([own, ownValue]) => ({ name: own, value: ownValue })),
      ...this.#table,
    ];
    const whole = all.findIndex((entry) => entry.name === name && entry.value === value) + 1;
    if (as === "indexed" && whole > 0) return integer(whole, 7, 0x80);
    const index = all.findIndex((entry) => entry.name === name) + 1;
    const isAdded = as === "added" || as === "indexed";
    const first = isAdded ? integer(index, 6, 0x40) : integer(index, 4, as === "never" ? 0x10 : 0);
    const bytes = [...first, ...(index === 0 ? string(name, isHuffman) : []), ...string(value, isHuffman)];
    if (isAdded) {
      this.#table.unshift({ name, value });
      this.#evict();
    }
    return bytes;
  }

  #evict(): void {
    const bytes = (): number =>
      this.#table.reduce(
        (sum, { name, value }) => sum + name.length + value.length + FIELD_OVERHEAD_BYTES,
        0,
      );
    while (bytes() > this.#maxBytes) this.#table.pop();
  }
}

/** Encodes an integer behind flags. */
export function integer(value: number, prefixBits: number, flags: number): number[] {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return [flags | value];
  const bytes = [flags | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  return [...bytes, rest];
}

function string(text: string, isHuffman: boolean): number[] {
  const plain = [...text].map((character) => character.charCodeAt(0));
  const bytes = isHuffman ? packed(plain.map(huffmanBits).join("")) : plain;
  return [...integer(bytes.length, 7, isHuffman ? 0x80 : 0), ...bytes];
}

/** Returns the bytes of bits, padded with ones. */
export function packed(bits: string): number[] {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return (padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
}
