/**
 * Makes a store of what a snapshot says: the present versions, the tombstones, and the superseded versions.
 *
 * The versions above the compacted revision are the events: a version's revision and its order within it say where in
 * the event log it belongs, and a superseded version names the one that superseded it. So links and events are put
 * together without a search, and everything is checked: a snapshot may come from elsewhere.
 */
import { AddressList } from "./address_list.ts";
import { eventCost } from "./event_log.ts";
import { emptyParts, PagedStore, type StoreParts } from "./paged_store.ts";
import type { Records } from "./records.ts";
import type { PageLimits } from "./tree_pages.ts";

/** The parts of a snapshot do not go together. */
export class StoreLoadError extends Error {
  override readonly name = "StoreLoadError";
}

/** Where in the history a version was written. */
export interface VersionPlace {
  readonly modRevision: number;
  /** How many versions of its revision were written before it; 0 for one that has no event any more. */
  readonly order: number;
}

/** The numbers of a put. */
export interface PutNumbers extends VersionPlace {
  readonly createRevision: number;
  readonly version: number;
}

/** Which state is loaded. */
export interface LoadedState {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Tests make pages small. */
  readonly limits?: PageLimits;
}

/** The revisions that have events, in ascending order, and the number of the first event of each. */
interface RevisionIndex {
  readonly revisions: Float64Array;
  /** One longer: behind the last revision's the number of events. */
  readonly starts: Uint32Array;
}

/** Takes in the versions of a snapshot. Their fields, one by one, are within their bounds. */
export class StoreLoader {
  readonly #parts: StoreParts;
  readonly #revision: number;
  readonly #compactedRevision: number;
  /** Versions above the compacted revision. */
  readonly #versions = new AddressList();
  readonly #tombstones = new AddressList();
  readonly #superseded = new AddressList();
  /** Of each superseded version, the place of its successor. */
  readonly #successors: VersionPlace[] = [];
  #bytes = 0;

  /** A loader of the state at `revision` with the history above `compactedRevision`. */
  constructor({ revision, compactedRevision, limits }: LoadedState) {
    this.#parts = emptyParts(limits);
    expect(compactedRevision <= revision, "a store is compacted up to its revision at most");
    this.#revision = revision;
    this.#compactedRevision = compactedRevision;
  }

  get #records(): Records {
    return this.#parts.pages.records;
  }

  /** Adds the present version of a key, which is greater than those before. */
  addPresent(key: Uint8Array, value: Uint8Array, numbers: PutNumbers): void {
    this.#parts.present.append(this.#create(key, value, numbers));
    this.#bytes += key.length + value.length;
  }

  /** Adds the tombstone of a key that is not present, greater than those before. */
  addTombstone(key: Uint8Array, place: VersionPlace): void {
    expect(place.modRevision > this.#compactedRevision, "a tombstone is above the compacted revision");
    const address = this.#create(key, null, { ...place, createRevision: 0, version: 0 });
    this.#parts.deleted.append(address);
    this.#tombstones.push(address);
  }

  /** Adds a version that another superseded: a put, or a tombstone (null, with version 0). */
  addSuperseded(
    key: Uint8Array,
    value: Uint8Array | null,
    numbers: PutNumbers & { readonly successor: VersionPlace },
  ): void {
    this.#superseded.push(this.#create(key, value, numbers));
    this.#successors.push(numbers.successor);
  }

  /** Returns the store. Throws StoreLoadError when the versions are no state that a store can be in. */
  finish(): PagedStore {
    const index = this.#indexRevisions();
    const events = this.#orderEvents(index);
    this.#link(index, events);
    const records = this.#records;
    for (const address of events) {
      const previous = records.previous(address);
      const needsOne = !records.isPut(address) || records.version(address) > 1;
      expect(!needsOne || previous !== 0, "the version before one of the history is there");
      this.#parts.events.push(address, eventCost(records, address, previous));
    }
    for (const tombstone of this.#tombstones) {
      const present = this.#parts.present.find(records.key(tombstone));
      expect(present === 0, "a key is present or deleted");
    }
    const last = index.revisions.length - 1;
    const order = index.revisions[last] === this.#revision ? events.length - (index.starts[last] ?? 0) : 0;
    return new PagedStore({
      ...this.#parts,
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      bytes: this.#bytes,
      order,
    });
  }

  #create(key: Uint8Array, value: Uint8Array | null, numbers: PutNumbers): number {
    expect(numbers.modRevision <= this.#revision, "no version is above the revision");
    const address = this.#records.create(key, value, { ...numbers, previous: 0 });
    if (numbers.modRevision > this.#compactedRevision) this.#versions.push(address);
    return address;
  }

  /** Finds the revisions above the compacted one that have events. */
  #indexRevisions(): RevisionIndex {
    const revisions = new Float64Array(this.#versions.length);
    let position = 0;
    for (const address of this.#versions) revisions[position++] = this.#records.modRevision(address);
    revisions.sort();
    const starts = new Uint32Array(revisions.length + 1);
    let count = 0;
    for (let number = 0; number < revisions.length; number++) {
      const revision = revisions[number] ?? 0;
      if (count > 0 && revisions[count - 1] === revision) continue;
      revisions[count] = revision;
      starts[count++] = number;
    }
    starts[count] = revisions.length;
    return { revisions: revisions.subarray(0, count), starts: starts.subarray(0, count + 1) };
  }

  #orderEvents(index: RevisionIndex): Uint32Array {
    const events = new Uint32Array(this.#versions.length);
    for (const address of this.#versions) {
      const number = numberOf(index, {
        modRevision: this.#records.modRevision(address),
        order: this.#records.order(address),
      });
      expect(events[number] === 0, "each place in the history has one version");
      events[number] = address;
    }
    return events;
  }

  /** Links each version to the superseded one before it. */
  #link(index: RevisionIndex, events: Uint32Array): void {
    const records = this.#records;
    let position = 0;
    for (const address of this.#superseded) {
      const place = this.#successors[position++] ?? { modRevision: 0, order: 0 };
      const successor = events[numberOf(index, place)] ?? 0;
      expect(records.previous(successor) === 0, "a version supersedes one other");
      expect(
        records.compare(records.key(address), successor, 0) === 0,
        "a version supersedes one of the same key",
      );
      const modRevision = records.modRevision(address);
      expect(
        modRevision < place.modRevision ||
          (modRevision === place.modRevision && records.order(address) < place.order),
        "a version supersedes an older one",
      );
      this.#checkNumbers(address, successor);
      records.setPrevious(successor, address);
    }
  }

  #checkNumbers(address: number, successor: number): void {
    const records = this.#records;
    if (!records.isPut(address)) {
      expect(
        records.modRevision(address) > this.#compactedRevision,
        "a tombstone is above the compacted revision",
      );
      expect(records.isPut(successor) && records.version(successor) === 1, "a deleted key is created again");
    } else if (records.isPut(successor)) {
      expect(
        records.version(successor) === records.version(address) + 1 &&
          records.createRevision(successor) === records.createRevision(address),
        "a key's version counts its puts",
      );
    }
  }
}

/** Returns the number of the event of the version at a place. */
function numberOf({ revisions, starts }: RevisionIndex, { modRevision, order }: VersionPlace): number {
  // Most revisions have an event: then the first one says where all others are.
  const guess = modRevision - (revisions[0] ?? 0);
  let low = revisions[guess] === modRevision ? guess : 0;
  let high = low === guess ? low + 1 : revisions.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((revisions[middle] ?? 0) <= modRevision) low = middle;
    else high = middle;
  }
  expect(revisions[low] === modRevision, "a place in the history is above the compacted revision");
  const number = (starts[low] ?? 0) + order;
  expect(number < (starts[low + 1] ?? 0), "the versions of a revision are numbered from 0");
  return number;
}

function expect(condition: boolean, rule: string): void {
  if (!condition) throw new StoreLoadError(`Cannot load the store: ${rule}.`);
}
