/**
 * Checks a complete store: the order, heads and counts of its pages, that the cells in use are exactly those that can
 * be reached, the links of the history, the indexes, and all sums of bytes. It reads everything, so it is for tests, simulations and
 * the inspection of a stopped node.
 */
import { checkHeap, checkTree, expectInvariant, shown, type Tree } from "./check_tree.ts";
import { checkIndex, type IndexedVersion } from "./check_index.ts";
import { eventCost } from "./event_log.ts";
import type { PagedStore } from "./paged_store.ts";
import type { StoreReader } from "./store_reader.ts";
import type { TreePages } from "./tree_pages.ts";

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
    this.#checkIndexes(present);
    checkHeap(this.#pages, this.#usedPages, this.#usedVersions);
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
    const { epoch } = this.#store.retained.viewRecords;
    const present = checkTree(this.#pages, presentRoot, { kind: "put", epoch });
    const deleted = checkTree(this.#pages, deletedRoot, { kind: "tombstone", epoch });
    const size = present.versions.length;
    expectInvariant(size === reader.size, `the tree has ${size} keys, and the store counts ${reader.size}`);
    for (const version of [...present.versions, ...deleted.versions]) this.#checkChain(reader, version);
    return [present, deleted];
  }

  /** Checks the versions of one key from its newest on. */
  #checkChain(reader: StoreReader, newest: number): void {
    const { records } = this.#pages;
    const key = records.key(newest);
    let version = newest;
    expectInvariant(
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
      expectInvariant(
        created >= 1 && created <= records.modRevision(version),
        `${where}: created before it is changed`,
      );
      expectInvariant(
        (records.version(version) === 1) === (created === records.modRevision(version)) ||
          records.version(version) > 1,
        `${where}: its version counts its puts`,
      );
    } else {
      expectInvariant(
        created === 0 && records.version(version) === 0 && !records.isAttached(version),
        `${where}: a tombstone has no other numbers`,
      );
    }
    if (previous === 0) {
      const needsOne = !records.isPut(version) || records.version(version) > 1;
      expectInvariant(!isInHistory || !needsOne, `${where}: leads to the version before`);
      return;
    }
    expectInvariant(records.isVersion(previous), `${where}: the version before it is in use`);
    expectInvariant(
      records.compare(records.key(previous), version, 0) === 0,
      `${where}: the version before is of the same key`,
    );
    expectInvariant(
      records.modRevision(previous) < records.modRevision(version) ||
        (records.modRevision(previous) === records.modRevision(version) &&
          records.order(previous) < records.order(version)),
      `${where}: the version before it is older`,
    );
    if (!records.isPut(version)) {
      expectInvariant(records.isPut(previous), `${where}: what was deleted was there`);
    } else if (records.isPut(previous)) {
      expectInvariant(
        records.version(version) === records.version(previous) + 1 &&
          created === records.createRevision(previous),
        `${where}: counts one more put than the version before`,
      );
    } else {
      expectInvariant(records.version(version) === 1, `${where}: is created after it was deleted`);
    }
  }

  #checkBytes(present: Tree): void {
    const { records } = this.#pages;
    let bytes = 0;
    for (const version of present.versions) {
      bytes += records.keyLength(version) + records.valueLength(version);
    }
    expectInvariant(
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
      expectInvariant(records.isVersion(version), `event ${number} leads to a version in use`);
      const where = `event ${number}, key ${shown(records.key(version))}`;
      const its = records.modRevision(version);
      expectInvariant(
        its > revision
          ? records.order(version) === 0 || number === 0 || revision === 0
          : its === revision && records.order(version) === order + 1,
        `${where}: follows revision ${revision}, order ${order}`,
      );
      expectInvariant(!seen.has(version), `${where}: the version has one event`);
      seen.add(version);
      [revision, order] = [its, records.order(version)];
      const isInHistory = its > compactedRevision;
      expectInvariant(
        isInHistory === number >= firstEvent,
        `${where}: above the compacted revision from event ${firstEvent} on`,
      );
      const before = records.previous(version);
      if (before !== 0) {
        expectInvariant(records.isVersion(before), `${where}: what it superseded is in use`);
        this.#use(this.#usedVersions, "version", before);
      }
      if (!isInHistory) continue;
      cost += eventCost(records, version, before);
      expectInvariant(
        events.costBefore(number + 1) === cost,
        `${where}: the history costs ${cost} up to here`,
      );
    }
    for (const version of this.#usedVersions) {
      const isDue = records.modRevision(version) > compactedRevision;
      expectInvariant(
        !isDue || seen.has(version),
        `key ${shown(records.key(version))}: its newest versions have events`,
      );
    }
    for (const version of deleted.versions) {
      expectInvariant(seen.has(version), `key ${shown(records.key(version))}: its deletion has an event`);
    }
    expectInvariant(present.versions.length === this.#store.size, "the store counts its keys");
  }

  /** Checks the items that are retained for views or not freed yet. */
  #checkRetired(): void {
    const { held, released } = this.#store.retained.viewRecords;
    const { records } = this.#pages;
    for (const record of [...held, ...released]) {
      for (const page of record.pages) {
        expectInvariant(
          this.#pages.epochOf(page) <= record.epoch,
          `page ${page} is kept for a view that can reach it`,
        );
        this.#use(this.#usedPages, "retired page", page);
      }
      for (const version of record.versions) {
        expectInvariant(records.isVersion(version), `the retired version ${version} is in use`);
        expectInvariant(
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
          expectInvariant(
            this.#usedPages.has(page),
            `page ${page} of the view at ${view.revision} is retained`,
          );
        }
        for (const version of versions) {
          expectInvariant(
            this.#usedVersions.has(version),
            `key ${shown(this.#pages.records.key(version))} of the view at ${view.revision} is retained`,
          );
        }
      }
      let count = 0;
      const events = view.eventsFrom(view.compactedRevision + 1);
      for (let version = events.next(); version !== 0; version = events.next()) {
        expectInvariant(
          this.#usedVersions.has(version),
          `event of version ${version} of the view at ${view.revision} is retained`,
        );
        count++;
      }
      expectInvariant(count === view.eventCount, `the view at ${view.revision} counts its events`);
    }
  }

  /** Checks that the indexes have exactly the present keys that are attached. */
  #checkIndexes(present: Tree): void {
    const { records } = this.#pages;
    const { leased, expiring } = this.#store.indexes;
    const indexed = (numberOf: (version: number) => number): IndexedVersion[] =>
      present.versions.flatMap((version) => {
        const number = numberOf(version);
        return number === 0 ? [] : [{ number, key: records.key(version) }];
      });
    checkIndex(leased, "the index of leases", indexed((version) => records.leaseId(version)));
    checkIndex(expiring, "the index of expiries", indexed((version) => records.expiresAtMs(version)));
  }

  /** Adds an address that can be reached, and checks that it was not reached before. */
  #use(used: Set<number>, what: string, address: number): void {
    expectInvariant(!used.has(address), `${what} ${address} is in one place`);
    used.add(address);
  }
}
