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
import { RevisionCounts, type RevisionIndex } from "./revision_index.ts";
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

/** Versions after which {@link StoreLoader.finishing} lets its caller pause: a few microseconds of work. */
const VERSIONS_PER_STEP = 16;

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
  /** Number of versions that the steps of {@link finishing} have visited. */
  #linked = 0;

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

  /**
   * Returns the store, and yields again and again, so that the caller can pause: with a million events in the history
   * this takes half a second. Throws StoreLoadError for versions that contradict each other.
   */
  *finishing(): Generator<void, PagedStore> {
    const index = yield* this.#indexRevisions();
    const events = yield* this.#orderEvents(index);
    yield* this.#link(index, events);
    const records = this.#records;
    for (const address of events) {
      if (this.#isStepDone()) yield;
      const previous = records.previous(address);
      const needsOne = !records.isPut(address) || records.version(address) > 1;
      expectLoaded(
        !needsOne || previous !== 0,
        "the previous version of one in the history is in the snapshot",
      );
      this.#parts.events.push(address, eventCost(records, address, previous));
    }
    for (const tombstone of this.#tombstones) {
      if (this.#isStepDone()) yield;
      const present = this.#parts.present.find(records.key(tombstone));
      expectLoaded(present === 0, "a key is present or deleted");
    }
    return new PagedStore({
      ...this.#parts,
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      bytes: this.#bytes,
      order: index.countAt(this.#revision),
    });
  }

  #create(key: Uint8Array, value: Uint8Array | null, numbers: PutNumbers): number {
    expectLoaded(numbers.modRevision <= this.#revision, "no version is above the revision");
    const { leaseId = 0, expiresAtMs = 0 } = numbers;
    const address = this.#records.create(key, value, { ...numbers, previous: 0, leaseId, expiresAtMs });
    if (numbers.modRevision > this.#compactedRevision) this.#versions.push(address);
    return address;
  }

  /** Counts a version; returns whether the caller may pause now. */
  #isStepDone(): boolean {
    return ++this.#linked % VERSIONS_PER_STEP === 0;
  }

  /** Returns the index of the revisions above the compacted one that have events. */
  *#indexRevisions(): Generator<void, RevisionIndex> {
    const first = this.#compactedRevision + 1;
    const counting = new RevisionCounts({ first, last: this.#revision, events: this.#versions.length });
    for (const address of this.#versions) {
      if (this.#isStepDone()) yield;
      counting.add(this.#records.modRevision(address));
    }
    return counting.finish();
  }

  /** Returns the addresses of the events in order. */
  *#orderEvents(index: RevisionIndex): Generator<void, Uint32Array> {
    const events = new Uint32Array(this.#versions.length);
    for (const address of this.#versions) {
      if (this.#isStepDone()) yield;
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
  *#link(index: RevisionIndex, events: Uint32Array): Generator<void, void> {
    const records = this.#records;
    let position = 0;
    for (const address of this.#superseded) {
      if (this.#isStepDone()) yield;
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
function eventNumberOf(index: RevisionIndex, { modRevision, order }: VersionPlace): number {
  const start = index.startOf(modRevision);
  expectLoaded(start !== null, "a place in the history is above the compacted revision");
  expectLoaded(order < index.countAt(modRevision), "the versions of a revision are numbered from 0");
  return start + order;
}

/** Throws StoreLoadError unless a rule of a state is kept. */
export function expectLoaded(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new StoreLoadError(`Cannot load the store: ${rule}.`);
}
