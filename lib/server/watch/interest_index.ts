/**
 * Finds the interests that a key matters to, at a cost that depends on these and hardly on all others.
 *
 * Single keys and prefixes are in tables by the hash of their bytes. The hash of a key is computed byte by byte, so that
 * on its path it is the hash of each prefix: one pass over the key finds all of its prefixes that are watched, and the key
 * itself. No text is made from a key. Other ranges are in a {@link RangeIndex}.
 */
import { equals } from "@std/bytes";
import { type KeySet, prefixEnd, successor } from "../../kv/mod.ts";
import { RangeIndex } from "./range_index.ts";
import { type Filter, Interest, type MayRead } from "./watch.ts";

/** The hash of no bytes, and the factor of each byte (FNV-1a). */
const HASH_START = -2128831035;
const HASH_FACTOR = 16777619;

/** Interests by the hash of their key, their prefix, or the start of their range. */
type Table = Map<number, Interest[]>;

/** A key within other bytes, of which no view is made. */
export interface KeyPlace {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly length: number;
}

/** The interests of a node. */
export class InterestIndex {
  readonly #keys: Table = new Map();
  readonly #prefixes: Table = new Map();
  /** The lengths of prefixes in the table, ascending, and the number of prefixes of each. */
  #prefixLengths: number[] = [];
  readonly #prefixCounts = new Map<number, number>();
  readonly #ranges = new RangeIndex<Interest>();
  readonly #starts: Table = new Map();

  /**
   * Returns the interest in these keys with this filter; adds it if there is none. With `mayRead` it is not shared: other
   * users may read other keys.
   */
  share(keys: KeySet, filter: Filter, mayRead: MayRead | null = null): Interest {
    const { keys: wanted } = formOf(keys);
    const known = mayRead === null ? this.#find(wanted, filter) : null;
    if (known !== null) return known;
    const interest = new Interest(owned(wanted), filter, mayRead);
    const form = formOf(interest.keys);
    const table = this.#tableOf(form);
    const hash = hashOf(form.bytes);
    const sameHash = table.get(hash);
    if (sameHash === undefined) table.set(hash, [interest]);
    else sameHash.push(interest);
    if (form.kind === "prefix") this.#countPrefix(form.bytes.length, 1);
    if (form.kind === "range") this.#ranges.add(interest, form.bytes, form.end);
    return interest;
  }

  /** Removes an interest. */
  remove(interest: Interest): void {
    const form = formOf(interest.keys);
    const table = this.#tableOf(form);
    const hash = hashOf(form.bytes);
    const others = (table.get(hash) ?? []).filter((one) => one !== interest);
    if (others.length > 0) table.set(hash, others);
    else table.delete(hash);
    if (form.kind === "prefix") this.#countPrefix(form.bytes.length, -1);
    if (form.kind === "range") this.#ranges.remove(interest);
  }

  /** Adds the interests that contain a key to `found`. */
  find(key: KeyPlace, found: Interest[]): void {
    const { bytes, start, length: end } = key;
    const lengths = this.#prefixLengths;
    let next = 0;
    let nextLength = lengths[0] ?? Infinity;
    let hash = HASH_START;
    for (let length = 0; length < end; length++) {
      if (nextLength === length) {
        addMatching(this.#prefixes.get(hash), key, length, found);
        nextLength = lengths[++next] ?? Infinity;
      }
      hash = Math.imul(hash ^ (bytes[start + length] ?? 0), HASH_FACTOR);
    }
    if (nextLength === end) addMatching(this.#prefixes.get(hash), key, end, found);
    addMatching(this.#keys.get(hash), key, end, found);
    if (this.#ranges.size > 0) this.#ranges.find(bytes.subarray(start, start + end), found);
  }

  /** Returns the interest in keys of this form with this filter, or null. */
  #find(keys: KeySet, filter: Filter): Interest | null {
    const form = formOf(keys);
    const sameHash = this.#tableOf(form).get(hashOf(form.bytes)) ?? [];
    const isSame = (one: Interest): boolean =>
      one.mayRead === null && isSameFilter(one.filter, filter) && isSameKeys(one.keys, keys);
    return sameHash.find(isSame) ?? null;
  }

  #tableOf({ kind }: Form): Table {
    return kind === "key" ? this.#keys : kind === "prefix" ? this.#prefixes : this.#starts;
  }

  #countPrefix(length: number, change: number): void {
    const count = (this.#prefixCounts.get(length) ?? 0) + change;
    if (count > 0) this.#prefixCounts.set(length, count);
    else this.#prefixCounts.delete(length);
    if (this.#prefixCounts.size === this.#prefixLengths.length) return;
    this.#prefixLengths = [...this.#prefixCounts.keys()].sort((one, other) => one - other);
  }
}

/** The form in which keys are in the index, with the bytes that it is found by. */
type Form =
  | { readonly kind: "key" | "prefix"; readonly bytes: Uint8Array; readonly keys: KeySet }
  | {
    readonly kind: "range";
    readonly bytes: Uint8Array;
    readonly end: Uint8Array | null;
    readonly keys: KeySet;
  };

/** Returns the form of keys: a range that has the keys of one prefix is a prefix, and one of a single key is that key. */
function formOf(keys: KeySet): Form {
  if (keys.kind === "key") return { kind: "key", bytes: keys.key, keys };
  const { start, end } = keys;
  if (isSameBound(end, prefixEnd(start))) return { kind: "prefix", bytes: start, keys };
  if (start.length > 0 && end !== null && equals(end, successor(start))) {
    return { kind: "key", bytes: start, keys: { kind: "key", key: start } };
  }
  return { kind: "range", bytes: start, end, keys };
}

/** Returns a copy: the bytes of a request are a part of a larger buffer, which must not be kept as long as a watch. */
function owned(keys: KeySet): KeySet {
  return keys.kind === "key"
    ? { kind: "key", key: keys.key.slice() }
    : { kind: "range", start: keys.start.slice(), end: keys.end?.slice() ?? null };
}

/** Adds those of `interests` whose key or prefix are the first `length` bytes of `key`: others may have the same hash. */
function addMatching(
  interests: readonly Interest[] | undefined,
  key: KeyPlace,
  length: number,
  found: Interest[],
): void {
  if (interests === undefined) return;
  for (const interest of interests) {
    const bytes = interest.keys.kind === "key" ? interest.keys.key : interest.keys.start;
    if (bytes.length === length && beginsWith(key, bytes)) found.push(interest);
  }
}

function beginsWith(key: KeyPlace, bytes: Uint8Array): boolean {
  for (let position = 0; position < bytes.length; position++) {
    if (key.bytes[key.start + position] !== bytes[position]) return false;
  }
  return true;
}

function hashOf(bytes: Uint8Array): number {
  let hash = HASH_START;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, HASH_FACTOR);
  return hash;
}

function isSameFilter(one: Filter, other: Filter): boolean {
  return one.puts === other.puts && one.deletes === other.deletes && one.previous === other.previous;
}

function isSameKeys(one: KeySet, other: KeySet): boolean {
  if (one.kind === "key") return other.kind === "key" && equals(one.key, other.key);
  return other.kind === "range" && equals(one.start, other.start) && isSameBound(one.end, other.end);
}

function isSameBound(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : equals(one, other);
}
