/**
 * The keys, their values and their three numbers, in byte order.
 *
 * The store owns what it keeps. What it hands out (the values in {@link KeyValue}s) are its own bytes, uncopied,
 * because reads are the hot path: nobody writes into them. It never does so either: a put replaces a record.
 */
import { equals } from "@std/bytes";
import type { Check, KeyValue, ListPage, ListQuery, Mutation, MutationOutcome } from "./command.ts";
import { LIST_PAGE_BYTES, MAX_LIST_ENTRIES } from "./command.ts";
import { assert, assertNever } from "../assert.ts";
import { keyText, keyWriter, prefixEnd, successor } from "./keys.ts";
import { newTree, type Tree } from "./tree.ts";

/**
 * What is kept under a key. Never changed in place: copies of the tree share it.
 *
 * Invariants: 1 ≤ createRevision ≤ modRevision; version ≥ 1, and above 1 once the key was changed after its creation.
 */
export interface VersionedValue {
  /** Owned. */
  readonly value: Uint8Array;
  /** As in {@link KeyValue}. */
  readonly createRevision: number;
  /** As in {@link KeyValue}. */
  readonly modRevision: number;
  /** As in {@link KeyValue}. */
  readonly version: number;
}

/** Keys from `lower` (included) to `upper` (excluded; null: no end), as texts. */
interface KeyRange {
  readonly lower: string;
  readonly upper: string | null;
}

/** The ordered map from keys to values. */
export class Store {
  readonly #records: Tree<string, VersionedValue> = newTree();
  #bytes = 0;

  /** Number of keys. */
  get size(): number {
    return this.#records.size;
  }

  /** Bytes of all keys and values together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** By how many bytes {@link bytes} would change if these mutations were made one after the other. O(n log n). */
  growth(mutations: readonly Mutation[]): number {
    const lengths = new Map<string, number>();
    let growth = 0;
    for (const mutation of mutations) {
      const text = keyText(mutation.key);
      const before = lengths.get(text) ?? this.#recordBytes(text);
      const after = mutation.kind === "put" ? text.length + mutation.value.length : 0;
      lengths.set(text, after);
      growth += after - before;
    }
    return growth;
  }

  /** The key as it stands, or null. The answer's `key` is the very array that was asked with. O(log n). */
  get(key: Uint8Array): KeyValue | null {
    const record = this.#records.get(keyText(key));
    return record === undefined ? null : keyValue(key, record);
  }

  /** Whether a condition holds now. O(log n). */
  holds(check: Check): boolean {
    const record = this.#records.get(keyText(check.key));
    switch (check.kind) {
      case "modRevision":
        return (record?.modRevision ?? 0) === check.modRevision;
      case "exists":
        return (record !== undefined) === check.exists;
      case "value":
        return record !== undefined && equals(record.value, check.value);
      default:
        return assertNever(check);
    }
  }

  /** Sets a key's value. O(log n). */
  put(key: Uint8Array, value: Uint8Array, revision: number): MutationOutcome {
    const text = keyText(key);
    const before = this.#records.get(text);
    const createRevision = before?.createRevision ?? revision;
    const version = (before?.version ?? 0) + 1;
    const record = { value: ownedBytes(value), createRevision, modRevision: revision, version };
    this.#bytes += before === undefined ? text.length + value.length : value.length - before.value.length;
    this.#set(text, record);
    return { kind: "put", createRevision, version };
  }

  /** Removes a key; its next creation begins at version 1. O(log n). */
  delete(key: Uint8Array): MutationOutcome {
    const text = keyText(key);
    this.#bytes -= this.#recordBytes(text);
    return { kind: "delete", deleted: this.#records.delete(text) };
  }

  /** One page of a range as it stands at `revision`. O(log n + page). */
  list(query: ListQuery, revision: number): ListPage {
    const range = rangeOf(query);
    const limit = Math.min(query.limit, MAX_LIST_ENTRIES);
    const found: (readonly [string, VersionedValue])[] = [];
    let keysBytes = 0;
    let pageBytes = 0;
    let more = false;
    for (const entry of query.reverse ? this.#descending(range) : this.#ascending(range)) {
      more = found.length >= limit || pageBytes >= LIST_PAGE_BYTES;
      if (more) break;
      const [text, record] = entry;
      found.push(entry);
      keysBytes += text.length;
      pageBytes += text.length + record.value.length;
    }
    const toBytes = keyWriter(keysBytes);
    const entries = found.map(([text, record]) => keyValue(toBytes(text), record));
    return { entries, more, revision };
  }

  /** Puts a record under the key with this text, which is new: how a snapshot comes back. */
  place(text: string, record: VersionedValue): void {
    assert(this.#set(text, record), "a snapshot has each key once");
    this.#bytes += text.length + record.value.length;
  }

  /** All records as they stand now, in byte order of their keys' texts; later writes don't show in it. O(1). */
  view(): Iterable<readonly [text: string, record: VersionedValue]> {
    const records = this.#records.clone();
    return { [Symbol.iterator]: () => records.entries() };
  }

  /** Sets a record; whether its key is new. */
  #set(text: string, record: VersionedValue): boolean {
    const { createRevision, modRevision, version } = record;
    assert(1 <= createRevision && createRevision <= modRevision, "a key is created before it is changed");
    assert(
      version > 1 || (version === 1 && createRevision === modRevision),
      "a key's version counts its writes",
    );
    return this.#records.set(text, record);
  }

  /** What the key with this text counts for; 0 when it is not there. */
  #recordBytes(text: string): number {
    const record = this.#records.get(text);
    return record === undefined ? 0 : text.length + record.value.length;
  }

  *#ascending({ lower, upper }: KeyRange): Iterable<[string, VersionedValue]> {
    for (const entry of this.#records.entries(lower)) {
      if (upper !== null && entry[0] >= upper) return;
      yield entry;
    }
  }

  *#descending({ lower, upper }: KeyRange): Iterable<[string, VersionedValue]> {
    const skipUpper = true;
    for (const entry of this.#records.entriesReversed(upper ?? undefined, undefined, skipUpper)) {
      if (entry[0] < lower) return;
      yield entry;
    }
  }
}

/** The keys that a listing still has before it. */
function rangeOf(query: ListQuery): KeyRange {
  const prefix = keyText(query.prefix);
  const lowers = [prefix];
  const uppers: string[] = [];
  const afterPrefix = prefixEnd(prefix);
  if (afterPrefix !== null) uppers.push(afterPrefix);
  if (query.start !== null) lowers.push(keyText(query.start));
  if (query.end !== null) uppers.push(keyText(query.end));
  if (query.after !== null) {
    if (query.reverse) uppers.push(keyText(query.after));
    else lowers.push(successor(keyText(query.after)));
  }
  return {
    lower: lowers.reduce((a, b) => a > b ? a : b),
    upper: uppers.length === 0 ? null : uppers.reduce((a, b) => a < b ? a : b),
  };
}

function keyValue(key: Uint8Array, record: VersionedValue): KeyValue {
  const { value, createRevision, modRevision, version } = record;
  return { key, value, createRevision, modRevision, version };
}

/**
 * `bytes` for keeping: themselves when they are most of their buffer, else a copy, so that a small value does not
 * keep a large command's (or frame's) bytes alive. Their owner must never change them.
 */
export function ownedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength * 2 >= bytes.buffer.byteLength ? bytes : bytes.slice();
}
