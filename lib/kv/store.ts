/**
 * The ordered map from keys to values and version numbers.
 *
 * The store owns its bytes. It returns values uncopied (in {@link KeyValue}s), because reads are the hot path: callers must
 * not write into them. A put replaces a record and never changes one. Small values share buffers (`value_slabs.ts`): a
 * caller that keeps a value for long copies it, since a view keeps the whole buffer alive.
 */
import { equals } from "@std/bytes";
import {
  type Check,
  type KeyValue,
  LIST_PAGE_BYTES,
  type ListPage,
  type ListQuery,
  MAX_LIST_ENTRIES,
  type Mutation,
  type MutationOutcome,
  writtenValue,
} from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import { keyText, keyWriter, prefixEnd, successor } from "./keys.ts";
import { EMPTY_SLAB, type Place, Slabs } from "./value_slabs.ts";
import { newTree, type Tree } from "./tree.ts";

/** Writes between two steps of compacting the slabs, and records examined in one step. */
const WRITES_PER_STEP = 16;
const RECORDS_PER_STEP = 128;

/** The version numbers of a key. */
interface Versions {
  /** As in {@link KeyValue}. */
  readonly createRevision: number;
  /** As in {@link KeyValue}. */
  readonly modRevision: number;
  /** As in {@link KeyValue}. */
  readonly version: number;
}

/**
 * An immutable record of one key; copies of the tree share it. Only the location of its value may change.
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

  /** Makes the record of a value of `length` bytes that is not stored yet. */
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

  /** The value, a view of the store's bytes. */
  get value(): Uint8Array {
    return this.slab.bytes.subarray(this.offset, this.offset + this.length);
  }
}

/** Keys from `lower` (included) to `upper` (excluded; null for no end), as texts. */
interface KeyRange {
  readonly lower: string;
  readonly upper: string | null;
}

/** The ordered map from keys to values. */
export class Store {
  readonly #records: Tree<string, VersionedValue> = newTree();
  readonly #slabs = new Slabs();
  #bytes = 0;
  /** Key at which compacting the slabs continues; null while it is not needed. */
  #cursor: string | null = null;
  #writes = 0;

  /** Number of keys. */
  get size(): number {
    return this.#records.size;
  }

  /** Total bytes of all keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Total size of the shared buffers. */
  get slabBytes(): number {
    return this.#slabs.heldBytes;
  }

  /** Returns the change of {@link bytes} if these mutations were applied in order. O(n log n). */
  growth(mutations: readonly Mutation[]): number {
    const lengths = new Map<string, number>();
    let growth = 0;
    for (const mutation of mutations) {
      const text = keyText(mutation.key);
      const before = lengths.get(text) ?? this.#recordBytes(text);
      const value = writtenValue(mutation);
      const after = value === null ? 0 : text.length + value.length;
      lengths.set(text, after);
      growth += after - before;
    }
    return growth;
  }

  /** Returns the current state of a key, or null. The result's `key` is the array passed in. O(log n). */
  get(key: Uint8Array): KeyValue | null {
    const record = this.#records.get(keyText(key));
    return record === undefined ? null : keyValue(key, record);
  }

  /** Whether a check holds now. O(log n). */
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

  /** Applies a mutation as of `revision`. O(log n). */
  apply(mutation: Mutation, revision: number): MutationOutcome {
    switch (mutation.kind) {
      case "put":
        return this.#put(mutation.key, mutation.value, revision);
      case "delete":
        return this.#delete(mutation.key);
      default:
        return assertNever(mutation);
    }
  }

  #put(key: Uint8Array, value: Uint8Array, revision: number): MutationOutcome {
    const text = keyText(key);
    const before = this.#records.get(text);
    const createRevision = before?.createRevision ?? revision;
    const version = (before?.version ?? 0) + 1;
    this.#bytes += before === undefined ? text.length + value.length : value.length - before.length;
    if (before !== undefined) this.#slabs.release(before);
    this.#set(text, value, { createRevision, modRevision: revision, version });
    this.#compactSlabs();
    return { kind: "put", createRevision, version };
  }

  /** Removes a key; its next creation begins at version 1. */
  #delete(key: Uint8Array): MutationOutcome {
    const text = keyText(key);
    const record = this.#records.get(text);
    if (record === undefined) return { kind: "delete", deleted: false };
    this.#bytes -= text.length + record.length;
    this.#slabs.release(record);
    this.#records.delete(text);
    this.#compactSlabs();
    return { kind: "delete", deleted: true };
  }

  /** Returns one page of a range as of `revision`. O(log n + page). */
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

  /** Adds a key of a snapshot, with its version numbers. The value is copied unless it is large. */
  place(key: Uint8Array, value: Uint8Array, versions: Versions): void {
    const text = keyText(key);
    assert(this.#set(text, value, versions), "a snapshot has each key once");
    this.#bytes += text.length + value.length;
  }

  /** Returns a view of all records as of now, in byte order of their keys; later writes do not change it. O(1). */
  view(): Iterable<readonly [text: string, record: VersionedValue]> {
    const records = this.#records.clone();
    return { [Symbol.iterator]: () => records.entries() };
  }

  /** Sets a record; returns whether its key is new. */
  #set(text: string, value: Uint8Array, versions: Versions): boolean {
    const record = new VersionedValue(value.length, versions);
    this.#slabs.keep(record, value);
    return this.#records.set(text, record);
  }

  /**
   * Compacts the slabs while they waste memory, in one step every {@link WRITES_PER_STEP} writes, so that no write takes
   * long. A pass over all keys takes an eighth as many writes as there are keys.
   */
  #compactSlabs(): void {
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

  /** Returns the bytes of a key and its value; 0 when the key does not exist. */
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

/** Returns the range of keys that a listing has still to return. */
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
