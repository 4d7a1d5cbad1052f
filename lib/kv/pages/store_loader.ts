/**
 * Builds a store from the content of a snapshot: the present versions, the tombstones, and the superseded versions.
 *
 * Each version above the compacted revision is an event. Its revision and its order within the revision determine its
 * position in the event log, and a superseded version has the revision and order of its successor, so links and events
 * are built without searching a tree. All rules are checked, since a snapshot may be damaged or come from another
 * process.
 */
import { AddressList } from "./address_list.ts";
import { eventCost } from "./event_log.ts";
import { type Attached, emptyParts, PagedStore, type StoreParts } from "./paged_store.ts";
import type { Records } from "./records.ts";
import type { PageLimits } from "./tree_pages.ts";

/** The versions of a snapshot contradict each other. */
export class StoreLoadError extends Error {
  override readonly name = "StoreLoadError";
}

/** The position of a version in the history. */
export interface VersionPlace {
  readonly modRevision: number;
  /** Position among the versions of its revision, from 0; 0 if its event is no longer in the history. */
  readonly order: number;
}

/** The numbers of a put. */
export interface PutNumbers extends VersionPlace, Partial<Attached> {
  readonly createRevision: number;
  readonly version: number;
}

/** The state to be loaded. */
export interface LoadedState {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Small in tests. */
  readonly limits?: PageLimits;
}

/** The revisions that have events, in ascending order, and the number of the first event of each. */
interface RevisionIndex {
  readonly revisions: Float64Array;
  /** One element more than revisions: the last one is the number of events. */
  readonly starts: Uint32Array;
}

/** Collects the versions of a snapshot, whose single fields the caller has validated. */
export class StoreLoader {
  readonly #parts: StoreParts;
  readonly #revision: number;
  readonly #compactedRevision: number;
  /** Versions above the compacted revision. */
  readonly #versions = new AddressList();
  readonly #tombstones = new AddressList();
  readonly #superseded = new AddressList();
  /** The position of the successor of each superseded version. */
  readonly #successors: VersionPlace[] = [];
  #bytes = 0;

  /** Makes a loader of the state at `revision` with the history above `compactedRevision`. */
  constructor({ revision, compactedRevision, limits }: LoadedState) {
    this.#parts = emptyParts(limits);
    expectLoaded(compactedRevision <= revision, "a store is compacted up to its revision at most");
    this.#revision = revision;
    this.#compactedRevision = compactedRevision;
  }

  get #records(): Records {
    return this.#parts.pages.records;
  }

  /** Adds the present version of a key. Keys ascend from call to call. */
  addPresent(key: Uint8Array, value: Uint8Array, numbers: PutNumbers): void {
    this.#parts.present.append(this.#create(key, value, numbers));
    const { leaseId = 0, expiresAtMs = 0 } = numbers;
    if (leaseId !== 0) this.#parts.leased.add(leaseId, key);
    if (expiresAtMs !== 0) this.#parts.expiring.add(expiresAtMs, key);
    this.#bytes += key.length + value.length;
  }

  /** Adds the tombstone of a key that is not present. Keys ascend from call to call. */
  addTombstone(key: Uint8Array, place: VersionPlace): void {
    expectLoaded(place.modRevision > this.#compactedRevision, "a tombstone is above the compacted revision");
    const address = this.#create(key, null, { ...place, createRevision: 0, version: 0 });
    this.#parts.deleted.append(address);
    this.#tombstones.push(address);
  }

  /** Adds a version that another one superseded: a put, or a tombstone (value null, version 0). */
  addSuperseded(
    key: Uint8Array,
    value: Uint8Array | null,
    numbers: PutNumbers & { readonly successor: VersionPlace },
  ): void {
    this.#superseded.push(this.#create(key, value, numbers));
    this.#successors.push(numbers.successor);
  }

  /** Returns the store. Throws StoreLoadError for versions that contradict each other. */
  finish(): PagedStore {
    const index = this.#indexRevisions();
    const events = this.#orderEvents(index);
    this.#link(index, events);
    const records = this.#records;
    for (const address of events) {
      const previous = records.previous(address);
      const needsOne = !records.isPut(address) || records.version(address) > 1;
      expectLoaded(
        !needsOne || previous !== 0,
        "the previous version of one in the history is in the snapshot",
      );
      this.#parts.events.push(address, eventCost(records, address, previous));
    }
    for (const tombstone of this.#tombstones) {
      const present = this.#parts.present.find(records.key(tombstone));
      expectLoaded(present === 0, "a key is present or deleted");
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
    expectLoaded(numbers.modRevision <= this.#revision, "no version is above the revision");
    const { leaseId = 0, expiresAtMs = 0 } = numbers;
    const address = this.#records.create(key, value, { ...numbers, previous: 0, leaseId, expiresAtMs });
    if (numbers.modRevision > this.#compactedRevision) this.#versions.push(address);
    return address;
  }

  /** Returns the revisions above the compacted one that have events. */
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

  /** Returns the addresses of the events in order. */
  #orderEvents(index: RevisionIndex): Uint32Array {
    const events = new Uint32Array(this.#versions.length);
    for (const address of this.#versions) {
      const number = eventNumberOf(index, {
        modRevision: this.#records.modRevision(address),
        order: this.#records.order(address),
      });
      expectLoaded(events[number] === 0, "each place in the history has one version");
      events[number] = address;
    }
    return events;
  }

  /** Links each version to the one that it superseded. */
  #link(index: RevisionIndex, events: Uint32Array): void {
    const records = this.#records;
    let position = 0;
    for (const address of this.#superseded) {
      const place = this.#successors[position++] ?? { modRevision: 0, order: 0 };
      const successor = events[eventNumberOf(index, place)] ?? 0;
      expectLoaded(records.previous(successor) === 0, "a version supersedes one other");
      expectLoaded(
        records.compare(records.key(address), successor, 0) === 0,
        "a version supersedes one of the same key",
      );
      const modRevision = records.modRevision(address);
      expectLoaded(
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
      expectLoaded(
        records.modRevision(address) > this.#compactedRevision,
        "a tombstone is above the compacted revision",
      );
      expectLoaded(
        records.isPut(successor) && records.version(successor) === 1,
        "a deleted key is created again",
      );
    } else if (records.isPut(successor)) {
      expectLoaded(
        records.version(successor) === records.version(address) + 1 &&
          records.createRevision(successor) === records.createRevision(address),
        "a key's version counts its puts",
      );
    }
  }
}

/** Returns the number of the event at a position in the history. */
function eventNumberOf({ revisions, starts }: RevisionIndex, { modRevision, order }: VersionPlace): number {
  // If every revision has an event, the revision is at `guess`, and there is no search.
  const guess = modRevision - (revisions[0] ?? 0);
  let low = revisions[guess] === modRevision ? guess : 0;
  let high = low === guess ? low + 1 : revisions.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((revisions[middle] ?? 0) <= modRevision) low = middle;
    else high = middle;
  }
  expectLoaded(revisions[low] === modRevision, "a place in the history is above the compacted revision");
  const number = (starts[low] ?? 0) + order;
  expectLoaded(number < (starts[low + 1] ?? 0), "the versions of a revision are numbered from 0");
  return number;
}

/** Throws StoreLoadError unless a rule of a state is kept. */
export function expectLoaded(condition: boolean, rule: string): void {
  if (!condition) throw new StoreLoadError(`Cannot load the store: ${rule}.`);
}
