/**
 * The keys, their values and their three numbers, in byte order.
 *
 * The store owns what it keeps. What it hands out (the values in {@link KeyValue}s) are its own bytes, uncopied,
 * because reads are the hot path: nobody writes into them. It never does so either: a put replaces a record. Small
 * values share buffers (`value_slabs.ts`): whoever keeps one for long copies it, or keeps all that lie beside it.
 */
import { equals } from "@std/bytes";
import type { Check, KeyValue, ListPage, ListQuery, Mutation, MutationOutcome } from "./command.ts";
import { LIST_PAGE_BYTES, MAX_LIST_ENTRIES } from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import { keyText, keyWriter, prefixEnd, successor } from "./keys.ts";
import { newTree, type Tree } from "./tree.ts";
import { EMPTY_SLAB, type Place, Slabs } from "./value_slabs.ts";

/** Writes between two steps of moving values together, and records looked at in one. */
const WRITES_PER_STEP = 16;
const RECORDS_PER_STEP = 128;

/** The numbers of a key. */
interface Versions {
  /** As in {@link KeyValue}. */
  readonly createRevision: number;
  /** As in {@link KeyValue}. */
  readonly modRevision: number;
  /** As in {@link KeyValue}. */
  readonly version: number;
}

/**
 * What is kept under a key. What it says never changes: copies of the tree share it. Only where the value lies does.
 *
 * Invariants: 1 ≤ createRevision ≤ modRevision; version ≥ 1, and above 1 once the key was changed after its creation.
 */
export class VersionedValue implements Versions, Place {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly length: number;
  slab = EMPTY_SLAB;
  offset = 0;

  /** Of a value of `length` bytes, for which a place is yet to be found. */
  constructor(length: number, { createRevision, modRevision, version }: Versions) {
    assert(1 <= createRevision && createRevision <= modRevision, "a key is created before it is changed");
    assert(
      version > 1 || (version === 1 && createRevision === modRevision),
      "a key's version counts its writes",
    );
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.length = length;
  }

  /** The value: a view of the store's bytes. */
  get value(): Uint8Array {
    return this.slab.bytes.subarray(this.offset, this.offset + this.length);
  }
}

/** Keys from `lower` (included) to `upper` (excluded; null: no end), as texts. */
interface KeyRange {
  readonly lower: string;
  readonly upper: string | null;
}

/** The ordered map from keys to values. */
export class Store {
  readonly #records: Tree<string, VersionedValue> = newTree();
  readonly #slabs = new Slabs();
  #bytes = 0;
  /** Where moving values together goes on; null while there is no need to. */
  #cursor: string | null = null;
  #writes = 0;

  /** Number of keys. */
  get size(): number {
    return this.#records.size;
  }

  /** Bytes of all keys and values together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Size of the buffers that small values share. */
  get slabBytes(): number {
    return this.#slabs.heldBytes;
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
    this.#bytes += before === undefined ? text.length + value.length : value.length - before.length;
    if (before !== undefined) this.#slabs.release(before);
    this.#set(text, value, { createRevision, modRevision: revision, version });
    this.#tidy();
    return { kind: "put", createRevision, version };
  }

  /** Removes a key; its next creation begins at version 1. O(log n). */
  delete(key: Uint8Array): MutationOutcome {
    const text = keyText(key);
    const record = this.#records.get(text);
    if (record === undefined) return { kind: "delete", deleted: false };
    this.#bytes -= text.length + record.length;
    this.#slabs.release(record);
    this.#records.delete(text);
    this.#tidy();
    return { kind: "delete", deleted: true };
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
      pageBytes += text.length + record.length;
    }
    const toBytes = keyWriter(keysBytes);
    const entries = found.map(([text, record]) => keyValue(toBytes(text), record));
    return { entries, more, revision };
  }

  /** Sets a key that is new to what it was before: how a snapshot comes back. The value is copied unless it is large. */
  place(key: Uint8Array, value: Uint8Array, versions: Versions): void {
    const text = keyText(key);
    assert(this.#set(text, value, versions), "a snapshot has each key once");
    this.#bytes += text.length + value.length;
  }

  /** All records as they stand now, in byte order of their keys' texts; later writes don't show in it. O(1). */
  view(): Iterable<readonly [text: string, record: VersionedValue]> {
    const records = this.#records.clone();
    return { [Symbol.iterator]: () => records.entries() };
  }

  /** Sets a record; whether its key is new. */
  #set(text: string, value: Uint8Array, versions: Versions): boolean {
    const record = new VersionedValue(value.length, versions);
    this.#slabs.keep(record, value);
    return this.#records.set(text, record);
  }

  /**
   * Moves values together while the slabs are wasteful: with every so many writes a step, key by key, so that no write
   * waits for long. A pass over all keys takes an eighth as many writes as there are keys.
   */
  #tidy(): void {
    if (this.#cursor === null && !this.#slabs.isWasteful) return;
    this.#writes = (this.#writes + 1) % WRITES_PER_STEP;
    if (this.#writes > 0) return;
    let left = RECORDS_PER_STEP;
    for (const [text, record] of this.#records.entries(this.#cursor ?? "")) {
      this.#cursor = text;
      if (left-- === 0) return;
      this.#slabs.move(record);
    }
    this.#cursor = null;
  }

  /** What the key with this text counts for; 0 when it is not there. */
  #recordBytes(text: string): number {
    const record = this.#records.get(text);
    return record === undefined ? 0 : text.length + record.length;
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
