/** The answer to a read while it is read: its entries, encoded page by page, or as they are for JSON. */
import type { CallContext } from "../../../client/call_context.ts";
import type { KeyValue } from "../../../kv/command.ts";
import type { EtcdKeyValueGiven } from "../../messages/common.ts";
import { type RangeRequest, SORT_TARGET } from "../../messages/kv.ts";
import { EtcdError } from "../../rpc/status.ts";
import { answeredEntries } from "../entries.ts";
import { encodeEntries, type EntryFields } from "./entry_output.ts";
import type { RangeSink } from "./read.ts";
import type { Turns } from "./turns.ts";

/** Bytes of an answer. With {@link MAX_LARGE_ANSWERS} at once it is well below what the web server holds for all clients. */
export const MAX_ANSWER_BYTES = 134_217_728;
/** Bytes of keys and values of an answer in JSON, which takes several times as much memory. */
export const MAX_JSON_ANSWER_BYTES = 16_777_216;
/** Bytes from which on an answer needs a turn, and one in JSON: more than a page of the cluster. */
const LARGE_ANSWER_BYTES = 4_194_304;
const LARGE_JSON_ANSWER_BYTES = 1_048_576;

/** The encoded entries of an answer. */
export class EncodedEntries implements RangeSink {
  readonly #fields: EntryFields;
  readonly #turns: Turns;
  readonly #context: CallContext;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #endTurn: (() => void) | null = null;

  constructor(
    request: RangeRequest,
    { turns, context }: { readonly turns: Turns; readonly context: CallContext },
  ) {
    this.#fields = fieldsOf(request);
    this.#turns = turns;
    this.#context = context;
  }

  /** The entries as parts of a RangeResponse. */
  get parts(): readonly Uint8Array[] {
    return this.#parts;
  }

  async add(entries: readonly KeyValue[]): Promise<void> {
    if (entries.length === 0) return;
    const part = encodeEntries(entries, this.#fields);
    this.#bytes += part.length;
    if (this.#bytes > MAX_ANSWER_BYTES) throw tooLarge(MAX_ANSWER_BYTES);
    this.#parts.push(part);
    if (this.#bytes > LARGE_ANSWER_BYTES) this.#endTurn ??= await this.#turns.begin(this.#context);
  }

  clear(): void {
    this.#parts = [];
    this.#bytes = 0;
    // The read begins again, and may wait for another turn: one that waits keeps none.
    this.release();
  }

  /** Ends the turn of the answer: it was sent, or there is none. */
  readonly release = (): void => {
    this.#endTurn?.();
    this.#endTurn = null;
  };
}

/** The entries of an answer in JSON. */
export class PlainEntries implements RangeSink {
  readonly #request: RangeRequest;
  readonly #turns: Turns;
  readonly #context: CallContext;
  #entries: EtcdKeyValueGiven[] = [];
  #bytes = 0;
  #endTurn: (() => void) | null = null;

  constructor(
    request: RangeRequest,
    { turns, context }: { readonly turns: Turns; readonly context: CallContext },
  ) {
    this.#request = request;
    this.#turns = turns;
    this.#context = context;
  }

  /** The entries as the field `kvs`. */
  get entries(): readonly EtcdKeyValueGiven[] {
    return this.#entries;
  }

  async add(entries: readonly KeyValue[]): Promise<void> {
    for (const { key, value } of entries) this.#bytes += key.length + value.length;
    if (this.#bytes > MAX_JSON_ANSWER_BYTES) throw tooLarge(MAX_JSON_ANSWER_BYTES);
    for (const entry of answeredEntries(entries, this.#request)) this.#entries.push(entry);
    if (this.#bytes > LARGE_JSON_ANSWER_BYTES) this.#endTurn ??= await this.#turns.begin(this.#context);
  }

  clear(): void {
    this.#entries = [];
    this.#bytes = 0;
    this.release();
  }

  /** Ends the turn of the answer: it was encoded, or there is none. */
  release(): void {
    this.#endTurn?.();
    this.#endTurn = null;
  }
}

/** Returns which fields of entries a read asks for. */
export function fieldsOf({ keysOnly, sortTarget }: RangeRequest): EntryFields {
  return { values: !keysOnly, leases: !keysOnly || sortTarget === SORT_TARGET.value };
}

function tooLarge(bytes: number): EtcdError {
  return new EtcdError(
    "resourceExhausted",
    `kvraft: the answer has more than ${bytes} bytes. Read it in pages (limit), or by RangeStream.`,
  );
}
