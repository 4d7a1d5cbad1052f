/**
 * Checks a complete store: the order, heads and counts of its pages, that the cells in use are exactly those that can
 * be reached, the links of the history, and all sums of bytes. It reads everything, so it is for tests, simulations and
 * the inspection of a stopped node.
 */
import { InvariantError } from "../../platform/assert.ts";
import { cellBytes, PAGE_BYTES } from "./cell_heap.ts";
import { eventCost } from "./event_log.ts";
import type { PagedStore } from "./paged_store.ts";
import { keyHead } from "./records.ts";
import type { StoreReader } from "./store_reader.ts";
import type { TreePages } from "./tree_pages.ts";

const MAX_SHOWN_BYTES = 24;

/** The size of a checked structure. */
export interface StructureFigures {
  /** Pages of the trees, of the views too. */
  readonly pages: number;
  /** Versions of keys: the present ones, and those that the history or a view has. */
  readonly versions: number;
  /** Events of the history. */
  readonly events: number;
}

/** Throws InvariantError, naming page or event and key, unless all invariants of the store and its views hold. */
export function checkStore(store: PagedStore): StructureFigures {
  return new StoreCheck(store).run();
}

/** Bounds of the keys in a page, from the separators of its parent. */
interface Bounds {
  readonly lower: Uint8Array | null;
  readonly upper: Uint8Array | null;
}

/** The pages and versions of one tree. */
interface Tree {
  readonly kind: "put" | "tombstone";
  readonly pages: Set<number>;
  readonly versions: number[];
}

/** A check of one store. */
class StoreCheck {
  readonly #store: PagedStore;
  readonly #pages: TreePages;
  /** The pages and versions that can be reached. */
  readonly #usedPages = new Set<number>();
  readonly #usedVersions = new Set<number>();

  constructor(store: PagedStore) {
    this.#store = store;
    this.#pages = store.structure.pages;
  }

  run(): StructureFigures {
    const [present, deleted] = this.#checkReader(this.#store);
    for (const page of [...present.pages, ...deleted.pages]) this.#use(this.#usedPages, "page", page);
    for (const version of [...present.versions, ...deleted.versions]) {
      this.#use(this.#usedVersions, "version", version);
    }
    this.#checkBytes(present);
    this.#checkEvents(present, deleted);
    this.#checkRetired();
    this.#checkViews();
    this.#checkMemory();
    const { events, firstEvent } = this.#store.structure;
    return {
      pages: this.#usedPages.size,
      versions: this.#usedVersions.size,
      events: events.end - firstEvent,
    };
  }

  /** Checks the two trees of a store or view, and the previous versions of those in them. */
  #checkReader(reader: StoreReader): [Tree, Tree] {
    const { presentRoot, deletedRoot } = reader.structure;
    const present: Tree = { kind: "put", pages: new Set(), versions: [] };
    const deleted: Tree = { kind: "tombstone", pages: new Set(), versions: [] };
    this.#walk(presentRoot, present, { lower: null, upper: null });
    this.#walk(deletedRoot, deleted, { lower: null, upper: null });
    const size = present.versions.length;
    this.#expect(size === reader.size, `the tree has ${size} keys, and the store counts ${reader.size}`);
    for (const version of [...present.versions, ...deleted.versions]) this.#checkChain(reader, version);
    return [present, deleted];
  }

  /** Checks a page and those under it; returns the number of entries under it. */
  #walk(page: number, tree: Tree, bounds: Bounds): number {
    this.#expect(!tree.pages.has(page), `page ${page} has one parent`);
    tree.pages.add(page);
    const epoch = this.#pages.epochOf(page);
    this.#expect(
      epoch <= this.#store.retained.viewRecords.epoch,
      `page ${page} was made in an epoch that has begun`,
    );
    if (!this.#pages.isInner(page)) return this.#walkLeaf(page, tree, bounds);
    const { inner } = this.#pages;
    const count = inner.count(page);
    this.#expect(count > 0, `inner page ${page} has a child`);
    let entries = 0;
    for (let slot = 0; slot < count; slot++) {
      const lower = slot === 0 ? bounds.lower : inner.separator(page, slot);
      const upper = slot === count - 1 ? bounds.upper : inner.separator(page, slot + 1);
      this.#expect(
        lower === null || upper === null || compareBytes(lower, upper) < 0,
        `the separators of page ${page} ascend at slot ${slot}, ${lower === null ? "" : shown(lower)}`,
      );
      const under = this.#walk(inner.child(page, slot), tree, { lower, upper });
      this.#expect(
        under === inner.entries(page, slot),
        `page ${page} counts ${inner.entries(page, slot)} entries under slot ${slot}, which has ${under}`,
      );
      entries += under;
    }
    this.#expect(inner.separator(page, 0).length === 0, `the first separator of page ${page} is empty`);
    return entries;
  }

  #walkLeaf(page: number, tree: Tree, { lower, upper }: Bounds): number {
    const { leaves, records } = this.#pages;
    const count = leaves.count(page);
    this.#expect(count > 0 || tree.pages.size === 1, `leaf ${page} has entries unless it is the root`);
    const common = leaves.commonBytes(page);
    let before: Uint8Array | null = null;
    for (let position = 0; position < count; position++) {
      const version = leaves.address(page, position);
      this.#expect(
        records.isVersion(version),
        `leaf ${page} leads to a version in use at position ${position}`,
      );
      const key = records.key(version);
      const where = `leaf ${page}, key ${shown(key)}`;
      const kind = records.isPut(version) ? "put" : "tombstone";
      this.#expect(kind === tree.kind, `${where}: its newest version is a ${tree.kind}`);
      this.#expect(
        lower === null || compareBytes(lower, key) <= 0,
        `${where}: not below its leaf's separator`,
      );
      this.#expect(upper === null || compareBytes(key, upper) < 0, `${where}: below the next separator`);
      this.#expect(before === null || compareBytes(before, key) < 0, `${where}: greater than the key before`);
      this.#expect(
        key.length >= common &&
          (before === null || compareBytes(before.subarray(0, common), key.subarray(0, common)) === 0),
        `${where}: has its first ${common} bytes in common with the others`,
      );
      this.#expect(
        leaves.head(page, position) === keyHead(key, common),
        `${where}: its head is that of the key`,
      );
      before = key;
      tree.versions.push(version);
    }
    return count;
  }

  /** Checks the versions of one key from its newest on. */
  #checkChain(reader: StoreReader, newest: number): void {
    const { records } = this.#pages;
    const key = records.key(newest);
    let version = newest;
    this.#expect(
      records.modRevision(version) <= reader.revision,
      `key ${shown(key)}: not changed later than the store`,
    );
    for (;;) {
      const previous = reader.previous(version);
      this.#checkVersion(version, previous, records.modRevision(version) > reader.compactedRevision);
      if (previous === 0) return;
      version = previous;
    }
  }

  #checkVersion(version: number, previous: number, isInHistory: boolean): void {
    const { records } = this.#pages;
    const where = `key ${shown(records.key(version))} at revision ${records.modRevision(version)}`;
    const created = records.createRevision(version);
    if (records.isPut(version)) {
      this.#expect(
        created >= 1 && created <= records.modRevision(version),
        `${where}: created before it is changed`,
      );
      this.#expect(
        (records.version(version) === 1) === (created === records.modRevision(version)) ||
          records.version(version) > 1,
        `${where}: its version counts its puts`,
      );
    } else {
      this.#expect(
        created === 0 && records.version(version) === 0,
        `${where}: a tombstone has no other numbers`,
      );
    }
    if (previous === 0) {
      const needsOne = !records.isPut(version) || records.version(version) > 1;
      this.#expect(!isInHistory || !needsOne, `${where}: leads to the version before`);
      return;
    }
    this.#expect(records.isVersion(previous), `${where}: the version before it is in use`);
    this.#expect(
      records.compare(records.key(previous), version, 0) === 0,
      `${where}: the version before is of the same key`,
    );
    this.#expect(
      records.modRevision(previous) < records.modRevision(version) ||
        (records.modRevision(previous) === records.modRevision(version) &&
          records.order(previous) < records.order(version)),
      `${where}: the version before it is older`,
    );
    if (!records.isPut(version)) {
      this.#expect(records.isPut(previous), `${where}: what was deleted was there`);
    } else if (records.isPut(previous)) {
      this.#expect(
        records.version(version) === records.version(previous) + 1 &&
          created === records.createRevision(previous),
        `${where}: counts one more put than the version before`,
      );
    } else {
      this.#expect(records.version(version) === 1, `${where}: is created after it was deleted`);
    }
  }

  #checkBytes(present: Tree): void {
    const { records } = this.#pages;
    let bytes = 0;
    for (const version of present.versions) {
      bytes += records.keyLength(version) + records.valueLength(version);
    }
    this.#expect(
      bytes === this.#store.bytes,
      `keys and values have ${bytes} bytes, ${this.#store.bytes} counted`,
    );
  }

  /** Checks that the events are in order, name each version once, and cost what they keep. */
  #checkEvents(present: Tree, deleted: Tree): void {
    const { records } = this.#pages;
    const { events, firstEvent } = this.#store.structure;
    const { compactedRevision } = this.#store;
    const seen = new Set<number>();
    let [revision, order, cost] = [0, 0, events.costBefore(firstEvent)];
    for (let number = this.#store.retained.reclaimedEvent; number < events.end; number++) {
      const version = events.address(number);
      this.#expect(records.isVersion(version), `event ${number} leads to a version in use`);
      const where = `event ${number}, key ${shown(records.key(version))}`;
      const its = records.modRevision(version);
      this.#expect(
        its > revision
          ? records.order(version) === 0 || number === 0 || revision === 0
          : its === revision && records.order(version) === order + 1,
        `${where}: follows revision ${revision}, order ${order}`,
      );
      this.#expect(!seen.has(version), `${where}: the version has one event`);
      seen.add(version);
      [revision, order] = [its, records.order(version)];
      const isInHistory = its > compactedRevision;
      this.#expect(
        isInHistory === number >= firstEvent,
        `${where}: above the compacted revision from event ${firstEvent} on`,
      );
      const before = records.previous(version);
      if (before !== 0) {
        this.#expect(records.isVersion(before), `${where}: what it superseded is in use`);
        this.#use(this.#usedVersions, "version", before);
      }
      if (!isInHistory) continue;
      cost += eventCost(records, version, before);
      this.#expect(events.costBefore(number + 1) === cost, `${where}: the history costs ${cost} up to here`);
    }
    for (const version of this.#usedVersions) {
      const isDue = records.modRevision(version) > compactedRevision;
      this.#expect(
        !isDue || seen.has(version),
        `key ${shown(records.key(version))}: its newest versions have events`,
      );
    }
    for (const version of deleted.versions) {
      this.#expect(seen.has(version), `key ${shown(records.key(version))}: its deletion has an event`);
    }
    this.#expect(present.versions.length === this.#store.size, "the store counts its keys");
  }

  /** Checks the items that are retained for views or not freed yet. */
  #checkRetired(): void {
    const { held, released } = this.#store.retained.viewRecords;
    const { records } = this.#pages;
    for (const record of [...held, ...released]) {
      for (const page of record.pages) {
        this.#expect(
          this.#pages.epochOf(page) <= record.epoch,
          `page ${page} is kept for a view that can reach it`,
        );
        this.#use(this.#usedPages, "retired page", page);
      }
      for (const version of record.versions) {
        this.#expect(records.isVersion(version), `the retired version ${version} is in use`);
        this.#expect(
          records.modRevision(version) <= record.revision,
          `key ${shown(records.key(version))}: the retired version is kept for a view that can reach it`,
        );
        this.#use(this.#usedVersions, "retired version", version);
      }
    }
  }

  #checkViews(): void {
    for (const view of this.#store.retained.views) {
      const trees = this.#checkReader(view);
      for (const { pages, versions } of trees) {
        for (const page of pages) {
          this.#expect(this.#usedPages.has(page), `page ${page} of the view at ${view.revision} is retained`);
        }
        for (const version of versions) {
          this.#expect(
            this.#usedVersions.has(version),
            `key ${shown(this.#pages.records.key(version))} of the view at ${view.revision} is retained`,
          );
        }
      }
      let count = 0;
      const events = view.eventsFrom(view.compactedRevision + 1);
      for (let version = events.next(); version !== 0; version = events.next()) {
        this.#expect(
          this.#usedVersions.has(version),
          `event of version ${version} of the view at ${view.revision} is retained`,
        );
        count++;
      }
      this.#expect(count === view.eventCount, `the view at ${view.revision} counts its events`);
    }
  }

  /** Checks that the cells in use are those that can be reached. */
  #checkMemory(): void {
    const { heap, inner, records } = this.#pages;
    heap.check();
    let bytes = 0;
    for (const page of this.#usedPages) {
      bytes += PAGE_BYTES;
      const count = this.#pages.isInner(page) ? inner.count(page) : 0;
      for (let slot = 0; slot < count; slot++) {
        if (inner.separatorCell(page, slot) !== 0) bytes += cellBytes(8 + inner.separator(page, slot).length);
      }
    }
    let largeBytes = 0;
    for (const version of this.#usedVersions) {
      bytes += cellBytes(records.cellBytes(version));
      largeBytes += records.isLarge(version) ? records.valueLength(version) : 0;
    }
    const { count } = records;
    this.#expect(
      this.#usedVersions.size === count,
      `${this.#usedVersions.size} versions can be reached, ${count} are in use`,
    );
    const { liveBytes } = heap.usage;
    this.#expect(bytes === liveBytes, `cells of ${bytes} bytes can be reached, ${liveBytes} are in use`);
    this.#expect(
      largeBytes === records.largeBytes,
      `large values have ${largeBytes} bytes, ${records.largeBytes} counted`,
    );
  }

  /** Adds an address that can be reached, and checks that it was not reached before. */
  #use(used: Set<number>, what: string, address: number): void {
    this.#expect(!used.has(address), `${what} ${address} is in one place`);
    used.add(address);
  }

  #expect(condition: boolean, invariant: string): void {
    if (!condition) throw new InvariantError(`Invariant violated: ${invariant}`);
  }
}

function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const end = Math.min(one.length, other.length);
  for (let position = 0; position < end; position++) {
    const difference = (one[position] ?? 0) - (other[position] ?? 0);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

/** Returns the start of a key in hexadecimal, for a message. */
function shown(key: Uint8Array): string {
  const text = [...key.subarray(0, MAX_SHOWN_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  return key.length > MAX_SHOWN_BYTES ? `${text}… (${key.length} bytes)` : text;
}
