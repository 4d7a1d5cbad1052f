/**
 * The keys with their values and version numbers, for transactions and reads. It contains a {@link PagedStore}, and
 * copies what it returns from there.
 */
import { equals } from "@std/bytes";
import {
  type Branches,
  MAX_TRANSACTION_COMPARED_BYTES,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_VERSIONS,
} from "./branching_command.ts";
import {
  type Check,
  type HistoryPage,
  type HistoryQuery,
  type KeyValue,
  type KeyVersion,
  LIST_PAGE_BYTES,
  LIST_PAGE_VERSIONS,
  type ListPage,
  type ListQuery,
  MAX_LIST_ENTRIES,
  type Mutation,
  type MutationOutcome,
  type Past,
  type Transaction,
  writtenValue,
} from "./command.ts";
import { Databases } from "./databases/databases.ts";
import { listingBelowReserved } from "./databases/reserved_keys.ts";
import { LeasedKeys } from "./leases/leased_keys.ts";
import type { Leases } from "./leases/leases.ts";
import type { Version } from "./overlay.ts";
import { pastRevisionsOf, rangesOf } from "./validate_branches.ts";
import { type PlanFailure, planTransaction, type TransactionPlan } from "./transaction_plan.ts";
import { keyText, listedRange } from "./keys.ts";
import { checkStore, type StructureFigures } from "./pages/check_store.ts";
import { EventReader } from "./pages/event_reader.ts";
import { PagedStore, type StoreView } from "./pages/paged_store.ts";
import { type ScanPage, type ScanQuery, scanRange } from "./scan.ts";
import { assert, assertNever } from "../platform/assert.ts";
import { SlabCopier } from "../platform/memory/slab.ts";

/** Bytes that are compared, and later versions that a read of the past skips, in the time in which a range reads a key. */
const COMPARED_BYTES_A_KEY = 512;
const VERSIONS_A_KEY = 8;

/**
 * Whether the state as of a revision can be read: it is above the present revision (`futureRevision`), below the
 * compacted one, or the state has no history, since its feature level is too low.
 */
export type Readability = "readable" | "futureRevision" | "compacted" | "noHistory";

/** A page of a listing; with `keysOnly` its entries have empty values. */
type PageQuery = ListQuery & { readonly keysOnly?: boolean };

/** The revision as of which a range is read, null for the present one, and the present one. */
export interface ScanRevisions {
  readonly revision: number | null;
  readonly present: number;
}

const NO_VALUE = new Uint8Array(0);

/** The ordered map from keys to values. */
export class Store {
  /** The keys that end by themselves. */
  readonly leased: LeasedKeys;
  /** The keys of databases. */
  readonly databases: Databases;
  readonly #pages: PagedStore;
  /** Copies small values that are returned: a later write may reuse their cells before they are sent. */
  readonly #copies = new SlabCopier();
  /** The events of the history. */
  readonly events: EventReader;

  /** Makes a store of these pages, which nothing else changes from then on; without keys, by default. */
  constructor(pages = new PagedStore()) {
    this.#pages = pages;
    this.leased = new LeasedKeys(pages);
    this.databases = new Databases(pages);
    this.events = new EventReader(pages);
  }

  /** Number of keys. */
  get size(): number {
    return this.#pages.size;
  }

  /** Total bytes of all keys and values. */
  get bytes(): number {
    return this.#pages.bytes;
  }

  /** Returns the change of {@link bytes} if these mutations were applied in order. O(n log n). */
  growth(mutations: readonly Mutation[]): number {
    const [first] = mutations;
    if (first !== undefined && mutations.length === 1) return bytesAfter(first) - this.#bytesOf(first.key);
    const lengths = new Map<string, number>();
    let growth = 0;
    for (const mutation of mutations) {
      const text = keyText(mutation.key);
      const after = bytesAfter(mutation);
      growth += after - (lengths.get(text) ?? this.#bytesOf(mutation.key));
      lengths.set(text, after);
    }
    return growth;
  }

  /** Returns the current state of a key, or null. The result's `key` is the array passed in. O(log n). */
  get(key: Uint8Array): KeyValue | null {
    const address = this.#pages.get(key);
    if (address === 0) return null;
    return this.#pages.keyValue(address, key, this.#ownedValue(address));
  }

  /** Returns the same, with a view of the store's own bytes as value, which is valid until the store is tidied. */
  getInPlace(key: Uint8Array): KeyValue | null {
    const address = this.#pages.get(key);
    return address === 0 ? null : this.#pages.keyValue(address, key);
  }

  /** Whether a check holds now. O(log n). */
  holds(check: Check): boolean {
    const address = this.#pages.get(check.key);
    const { records } = this.#pages;
    switch (check.kind) {
      case "modRevision":
        return (address === 0 ? 0 : records.modRevision(address)) === check.modRevision;
      case "exists":
        return (address !== 0) === check.exists;
      case "value":
        return address !== 0 && equals(records.value(address), check.value);
      default:
        return assertNever(check);
    }
  }

  /** Returns the positions of the checks that do not hold now, and the key of the first if asked for; null if all hold. */
  failedChecks(
    { checks, returnCurrent }: Pick<Transaction, "checks" | "returnCurrent">,
  ): { readonly failedChecks: readonly number[]; readonly current: KeyValue | null | "omitted" } | null {
    const failed = checks.flatMap((check, position) => this.holds(check) ? [] : [{ check, position }]);
    const [first] = failed;
    if (first === undefined) return null;
    const current = returnCurrent === true ? this.get(first.check.key) : "omitted";
    return { failedChecks: failed.map(({ position }) => position), current };
  }

  /** Applies a mutation as of `revision`. A large value is kept, not copied. O(log n). */
  apply(mutation: Mutation, revision: number): MutationOutcome {
    switch (mutation.kind) {
      case "put":
        return this.#putOutcome(this.#pages.put(mutation.key, mutation.value, revision));
      case "expiringPut": {
        const { key, value, leaseId, expiresAtMs } = mutation;
        const attached = { leaseId: leaseId ?? 0, expiresAtMs: expiresAtMs ?? 0 };
        return this.#putOutcome(this.#pages.put(key, value, revision, attached));
      }
      case "delete":
        return { kind: "delete", deleted: this.#pages.delete(mutation.key, revision) };
      default:
        return assertNever(mutation);
    }
  }

  #putOutcome(address: number): MutationOutcome {
    const { records } = this.#pages;
    return {
      kind: "put",
      createRevision: records.createRevision(address),
      version: records.version(address),
    };
  }

  /** Applies mutations in order, all as of `revision`. */
  applyAll(mutations: readonly Mutation[], revision: number): readonly MutationOutcome[] {
    const [first] = mutations;
    // Nearly every transaction has one: no function is made for it.
    return first !== undefined && mutations.length === 1
      ? [this.apply(first, revision)]
      : this.#applyMany(mutations, revision);
  }

  #applyMany(mutations: readonly Mutation[], revision: number): readonly MutationOutcome[] {
    return mutations.map((mutation) => this.apply(mutation, revision));
  }

  /**
   * Returns an upper bound of the work of a transaction, in keys: those that its ranges have now, and what takes as long as
   * reading so many keys: the bytes that it compares, and the later versions that its gets skip.
   */
  rangeKeys(branches: Branches): number {
    let keys = 0;
    let bytes = 0;
    let versions = 0;
    for (const { start, end, limit, comparedBytes } of rangesOf(branches)) {
      const count = Math.min(limit, this.#pages.count({ lower: start, upper: end }));
      keys += count;
      bytes += count * comparedBytes;
    }
    for (const revision of pastRevisionsOf(branches)) versions += this.#pages.eventsAfter(revision);
    return Math.min(keys, MAX_TRANSACTION_KEYS) +
      Math.floor(Math.min(bytes, MAX_TRANSACTION_COMPARED_BYTES) / COMPARED_BYTES_A_KEY) +
      Math.floor(Math.min(versions, MAX_TRANSACTION_VERSIONS) / VERSIONS_A_KEY);
  }

  /** Plans a transaction whose changes would be made in `revision`. */
  plan(branches: Branches, revision: number, leases: Leases): TransactionPlan | PlanFailure {
    const attachedKeys = this.leased.attachedKeys(leases);
    return planTransaction(
      branches,
      { pages: this.#pages, entries: this.#ownedEntries, attachedKeys },
      revision,
    );
  }

  /** Frees memory of superseded versions; see {@link PagedStore.tidy}. */
  tidy(): void {
    this.#pages.tidy();
  }

  /** Drops the history, so that {@link tidy} frees the superseded versions. O(log n). */
  dropHistory(): void {
    this.#pages.compact(this.#pages.revision);
  }

  /** Begins the history at `revision`, which is not below that of the last change. */
  beginHistory(revision: number): void {
    this.#pages.advance(revision);
    this.#pages.compact(revision);
  }

  /** Drops the history up to `revision`, which is not above that of the last change. O(log n). */
  compact(revision: number): void {
    this.#pages.compact(revision);
  }

  /** Reads are possible as of this revision and later ones. */
  get compactedRevision(): number {
    return this.#pages.compactedRevision;
  }

  /** Bytes that the history takes; the same on every node. */
  get historyBytes(): number {
    return this.#pages.historyBytes;
  }

  /** Returns the revision to compact at so that the history takes about `bytes` at most. O(log n). */
  revisionToKeep(bytes: number): number {
    return this.#pages.revisionToKeep(bytes);
  }

  /**
   * Returns one page of a range as of `revision`, with views of the store's own bytes, which are valid until the store is
   * tidied. O(log n + page).
   */
  list(query: PageQuery, revision: number): ListPage {
    const limit = Math.min(query.limit, MAX_LIST_ENTRIES);
    const { records } = this.#pages;
    const cursor = this.#pages.scan(listedRange(listingBelowReserved(query)));
    const entries: KeyValue[] = [];
    let pageBytes = 0;
    const noValue = query.keysOnly === true ? NO_VALUE : undefined;
    while (cursor.left > 0 && entries.length < limit && pageBytes < LIST_PAGE_BYTES) {
      const address = cursor.next();
      const entry = this.#pages.keyValue(address, records.key(address), noValue);
      entries.push(entry);
      pageBytes += entry.key.length + entry.value.length;
    }
    return { entries, more: cursor.left > 0, revision, after: null };
  }

  /** Returns the state of a key as of a revision, or null. */
  getAt(key: Uint8Array, revision: number): Past<KeyValue | null> {
    const versions = this.#pages.pastVersions();
    const address = this.#pages.getAt(key, revision, versions);
    const result = address === 0 ? null : this.#pages.keyValue(address, key, this.#ownedValue(address));
    return { result, looked: versions.looked };
  }

  /**
   * Returns one page of a range as of a past revision. It ends early, even without entries, when it has read
   * {@link LIST_PAGE_VERSIONS} versions: of keys that were changed often since, were created later, or were deleted
   * before.
   */
  listAt(query: PageQuery, revision: number): Past<ListPage> {
    const limit = Math.min(query.limit, MAX_LIST_ENTRIES);
    const { keysOnly = false } = query;
    const { records } = this.#pages;
    const cursor = this.#pages.scanAt(listedRange(listingBelowReserved(query)), revision);
    const found: number[] = [];
    let pageBytes = 0;
    let copiedBytes = 0;
    // The last version read is not in the page if that is full: it shows that there is more.
    let address = cursor.next(LIST_PAGE_VERSIONS);
    while (address !== 0 && found.length < limit && pageBytes < LIST_PAGE_BYTES) {
      const keyLength = records.keyLength(address);
      const valueLength = keysOnly ? 0 : records.valueLength(address);
      found.push(address);
      pageBytes += keyLength + valueLength;
      copiedBytes += records.isLarge(address) ? keyLength : keyLength + valueLength;
      address = cursor.next(LIST_PAGE_VERSIONS);
    }
    const entries = keysOnly ? this.#keys(found, copiedBytes) : this.#entries(found, copiedBytes);
    const isUnfinished = address === 0 && !cursor.isAtEnd;
    const after = isUnfinished ? records.key(cursor.last).slice() : null;
    return {
      result: { entries, more: address !== 0 || isUnfinished, revision, after },
      looked: cursor.looked,
    };
  }

  /** Returns one page of a range; that of the present has views of the store's own bytes, as {@link list}. */
  scan(query: ScanQuery, { revision, present }: ScanRevisions): Past<ScanPage> {
    const { lower, upper } = listedRange(listingBelowReserved({ ...query, prefix: NO_VALUE, after: null }));
    return scanRange({ ...query, start: lower ?? query.start, end: upper }, {
      pages: this.#pages,
      revision: present,
      list: (page, past) =>
        past === null || past === present
          ? { result: this.list(page, present), looked: 0 }
          : this.listAt(page, past),
    }, revision);
  }

  /** Returns one page of the history of a key. */
  history({ key, limit, before }: HistoryQuery): Past<HistoryPage> {
    const { records, revision, compactedRevision } = this.#pages;
    const past = this.#pages.pastVersions();
    const versions: KeyVersion[] = [];
    let address = this.#pages.newestUpTo(key, before === null ? revision : before - 1, past);
    // A deletion that is not in the history is not shown, as that of a key that was never there.
    if (address !== 0 && !this.#pages.isInHistory(address)) address = 0;
    let pageBytes = 0;
    let lastRevision = 0;
    for (; address !== 0; address = this.#pages.previous(address)) {
      const modRevision = records.modRevision(address);
      const isFull = versions.length >= Math.min(limit, MAX_LIST_ENTRIES) || pageBytes >= LIST_PAGE_BYTES;
      if (isFull && modRevision !== lastRevision) break;
      lastRevision = modRevision;
      pageBytes += records.valueLength(address);
      versions.push({
        createRevision: records.createRevision(address),
        modRevision,
        version: records.version(address),
        value: records.isPut(address) ? this.#ownedValue(address) : null,
        ...this.#pages.attachment(address),
      });
    }
    const result = { versions, more: address !== 0, compactedRevision, revision };
    return { result, looked: past.looked + versions.length };
  }

  /** Returns a view of all keys as of now; later writes do not change it. The caller releases it. O(1). */
  view(): StoreView {
    return this.#pages.view();
  }

  /** Throws InvariantError, naming page and key, unless the whole structure is sound. O(keys). */
  check(): StructureFigures {
    return checkStore(this.#pages);
  }

  /** Returns the bytes of a key and its value; 0 when the key does not exist. */
  #bytesOf(key: Uint8Array): number {
    const address = this.#pages.get(key);
    return address === 0 ? 0 : key.length + this.#pages.records.valueLength(address);
  }

  /** Returns versions as objects that own their keys and small values, which have `copiedBytes` in all. */
  #entries(found: readonly number[], copiedBytes: number): KeyValue[] {
    const { records } = this.#pages;
    // One buffer for all: a buffer for each entry would take many times longer than filling it.
    const buffer = new Uint8Array(copiedBytes);
    let end = 0;
    return found.map((address) => {
      const start = end;
      const copied = records.keyAndValue(address);
      buffer.set(copied, start);
      end += copied.length;
      const keyEnd = start + records.keyLength(address);
      const value = records.isLarge(address) ? records.value(address) : buffer.subarray(keyEnd, end);
      return this.#pages.keyValue(address, buffer.subarray(start, keyEnd), value);
    });
  }

  /** Returns versions as objects that own their keys, which have `bytes` in all, and have no values. */
  #keys(found: readonly number[], bytes: number): KeyValue[] {
    const { records } = this.#pages;
    const buffer = new Uint8Array(bytes);
    let end = 0;
    return found.map((address) => {
      const key = records.key(address);
      const start = end;
      buffer.set(key, start);
      end += key.length;
      return this.#pages.keyValue(address, buffer.subarray(start, end), NO_VALUE);
    });
  }

  /** Returns versions that a transaction has read as entries that do not change when the store does. */
  readonly #ownedEntries = (versions: readonly Version[]): readonly KeyValue[] => {
    const { records } = this.#pages;
    const stored = versions.filter((version) => typeof version === "number");
    const copiedBytes = stored.reduce((sum, address) => sum + records.keyAndValue(address).length, 0);
    const owned = this.#entries(stored, copiedBytes);
    let position = 0;
    return versions.map((version) => {
      if (typeof version !== "number") return version;
      const entry = owned[position++];
      assert(entry !== undefined, "every stored version has an entry");
      return entry;
    });
  };

  #ownedValue(address: number): Uint8Array {
    const { records } = this.#pages;
    const value = records.value(address);
    return records.isLarge(address) ? value : this.#copies.copy(value);
  }
}

/** Returns the bytes of a key and its value after a mutation of it. */
function bytesAfter(mutation: Mutation): number {
  const value = writtenValue(mutation);
  return value === null ? 0 : mutation.key.length + value.length;
}
