/**
 * Encodes header blocks (RFC 7541) with the static table alone. Answers have few fields, and are so short that neither a
 * dynamic table nor the Huffman code would be worth the time.
 */
import type { ByteQueue } from "../byte_queue.ts";
import { areConstant, forEachField } from "../fields.ts";
import type { WebHeaders } from "../types.ts";
import { TABLE_BYTES } from "./decoder.ts";
import { STATIC_FIELDS } from "./static_table.ts";

/** First index of each name. */
const NAMES: ReadonlyMap<string, number> = new Map(
  STATIC_FIELDS.map(([name], at): [string, number] => [name, at + 1]).reverse(),
);
const STATUSES: ReadonlyMap<number, number> = new Map(
  STATIC_FIELDS.map(([name, value], at): [string, number, number] => [name, Number(value), at + 1])
    .filter(([name]) => name === ":status")
    .map(([, status, index]) => [status, index]),
);

/** The bytes of constant fields: without a dynamic table, they are the same for each connection. */
const ENCODED = new WeakMap<WebHeaders, Uint8Array>();

/** The encoder of one connection. */
export class HpackEncoder {
  /** Whether the next block begins with an update of the table's size to zero. */
  #mustUpdate = false;
  #hasUpdated = false;

  /**
   * Notes the peer's limit of the dynamic table. Below the default, the next block says that the table is empty, as it
   * always is (RFC 7541 §4.2).
   */
  limitTable(bytes: number): void {
    this.#mustUpdate ||= bytes < TABLE_BYTES && !this.#hasUpdated;
  }

  /** Begins a block; called before its first field. */
  begin(queue: ByteQueue): void {
    if (this.#mustUpdate) queue.byte(0x20);
  }

  /** Notes that the block is complete and will be sent. */
  end(): void {
    this.#hasUpdated ||= this.#mustUpdate;
    this.#mustUpdate = false;
  }

  /** Appends the status, which is the first field of an answer. */
  status(queue: ByteQueue, status: number): void {
    const index = STATUSES.get(status);
    if (index !== undefined) queue.byte(0x80 | index);
    else this.field(queue, ":status", String(status));
  }

  /** Appends fields. Throws if one of them is not a field. */
  fields(queue: ByteQueue, headers: WebHeaders): void {
    const known = ENCODED.get(headers);
    if (known !== undefined) return queue.bytes(known);
    const begin = queue.length;
    forEachField(headers, (name, value) => this.field(queue, name, value));
    if (areConstant(headers)) ENCODED.set(headers, queue.view(begin).slice());
  }

  /** Appends a field, which no table remembers. */
  field(queue: ByteQueue, name: string, value: string): void {
    const index = NAMES.get(name);
    appendInteger(queue, index ?? 0, 4);
    if (index === undefined) appendString(queue, name);
    appendString(queue, value);
  }
}

function appendString(queue: ByteQueue, text: string): void {
  appendInteger(queue, text.length, 7);
  queue.latin1(text);
}

/** Appends an integer whose first byte has `prefixBits` bits of it, behind zeros (RFC 7541 §5.1). */
function appendInteger(queue: ByteQueue, value: number, prefixBits: number): void {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return queue.byte(value);
  queue.byte(mask);
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) queue.byte((rest & 0x7f) | 0x80);
  queue.byte(rest);
}
