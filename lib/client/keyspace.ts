/** The keys that a client works with: all keys of the store, or those with a prefix, which its callers leave out. */
import type { KeyValue } from "../kv/command.ts";
import { prefixEnd } from "../kv/keys.ts";
import { checkObject, toBytes } from "./argument_checks.ts";
import type { Bytes, ListOptions } from "./types.ts";

const TEXT = new TextEncoder();
const NO_BYTES = new Uint8Array(0);

/** All fields by which a call may select keys. */
export type AnySelection = { readonly [Name in "key" | "prefix" | "start" | "end"]?: Bytes | undefined };

/** The conversion of keys between a caller and the store. */
export class Keyspace {
  /** All keys of the store, as they are. */
  static readonly ALL = new Keyspace(NO_BYTES);
  readonly #prefix: Uint8Array;

  private constructor(prefix: Uint8Array) {
    this.#prefix = prefix;
  }

  /** Whether it has all keys of the store, so that nothing is converted. */
  get isAll(): boolean {
    return this.#prefix.length === 0;
  }

  /** Returns the part of this keyspace whose keys have a prefix. Throws InvalidRequestError. */
  below(prefix: Bytes): Keyspace {
    return new Keyspace(joined(this.#prefix, toBytes(prefix, "prefix")));
  }

  /** Returns a key of the caller as the store has it. An invalid one is returned as it is: the store's checks refuse it. */
  toStore(key: Bytes): Bytes {
    if (this.isAll) return key;
    const bytes = bytesOrNull(key);
    return bytes === null || bytes.length === 0 ? key : joined(this.#prefix, bytes);
  }

  /** Returns a key of the store without the prefix. */
  keyToCaller(key: Uint8Array): Uint8Array {
    return this.isAll ? key : key.subarray(this.#prefix.length);
  }

  /** Returns an entry of the store with its key as the caller knows it. */
  toCaller(entry: KeyValue): KeyValue;
  toCaller(entry: KeyValue | null): KeyValue | null;
  toCaller(entry: KeyValue | null): KeyValue | null {
    return this.isAll || entry === null ? entry : { ...entry, key: this.keyToCaller(entry.key) };
  }

  /** Returns entries of the store as the caller knows them. */
  listToCaller(entries: readonly KeyValue[]): readonly KeyValue[] {
    return this.isAll ? entries : entries.map((entry) => this.toCaller(entry));
  }

  /** Returns the selection of keys in the store; one without fields selects every key of this keyspace. */
  selection({ key, prefix, start, end }: AnySelection): AnySelection {
    const given = {
      ...(key === undefined ? {} : { key: this.toStore(key) }),
      ...(prefix === undefined ? {} : { prefix: this.#bound(prefix) }),
      ...(start === undefined ? {} : { start: this.#bound(start) }),
      ...(end === undefined ? {} : { end: this.#bound(end) }),
    };
    if (this.isAll || key !== undefined || prefix !== undefined || end !== undefined) return given;
    if (start === undefined) return { prefix: this.#prefix };
    const last = prefixEnd(this.#prefix);
    return last === null ? given : { ...given, end: last };
  }

  /** Returns the options of a listing in the store. */
  listing(options: ListOptions): ListOptions {
    if (this.isAll) return options;
    const { start, end, prefix = NO_BYTES } = checkObject(options, "the options of a listing");
    return {
      ...options,
      prefix: this.#bound(prefix),
      ...(start === undefined ? {} : { start: this.#bound(start) }),
      ...(end === undefined ? {} : { end: this.#bound(end) }),
    };
  }

  /** Returns a prefix, or a bound of a range, as the store has it; an invalid one as it is. */
  #bound(bound: Bytes): Bytes {
    const bytes = this.isAll ? null : bytesOrNull(bound);
    return bytes === null ? bound : joined(this.#prefix, bytes);
  }
}

function bytesOrNull(value: Bytes): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  return typeof value === "string" && value.isWellFormed() ? TEXT.encode(value) : null;
}

/** Returns the bytes of both. */
export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
