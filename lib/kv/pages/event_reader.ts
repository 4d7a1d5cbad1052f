/**
 * The events of the history for watches. Events are numbered in the order of the log, with numbers that differ between
 * nodes. An event is read by the address of the version that it wrote; addresses, and the bytes that are returned, are
 * valid until the next entry is applied.
 */
import type { KeyValue } from "../command.ts";
import type { EventRange } from "./event_log.ts";
import type { PagedStore } from "./paged_store.ts";
import type { Records } from "./records.ts";

/** Reads the events of a store. */
export class EventReader {
  readonly #store: PagedStore;
  readonly #events: EventRange;
  /** The fields of events. */
  readonly records: Records;

  /** Makes a reader of the events of `store`. */
  constructor(store: PagedStore) {
    this.#store = store;
    this.#events = store.structure.events;
    this.records = store.records;
  }

  /** The number that the next event will have. */
  get end(): number {
    return this.#events.end;
  }

  /** Returns the number of the first event of `revision`, which is above the compacted one, or later. O(log n). */
  seek(revision: number): number {
    return this.#events.seek(revision, this.#store.structure.firstEvent);
  }

  /** Returns the event of a number. */
  at(number: number): number {
    return this.#events.address(number);
  }

  /** Returns the revision of an event. */
  revision(event: number): number {
    return this.records.modRevision(event);
  }

  /** Returns the key of an event. */
  key(event: number): Uint8Array {
    return this.records.key(event);
  }

  /** Whether an event is a put, and not a delete. */
  isPut(event: number): boolean {
    return this.records.isPut(event);
  }

  /** Returns the key-value that a put wrote. */
  entry(event: number): KeyValue {
    return this.#store.keyValue(event);
  }

  /** Returns the key-value that was there before an event, or null if the key was absent. */
  previous(event: number): KeyValue | null {
    const before = this.#store.previous(event);
    return before !== 0 && this.records.isPut(before) ? this.#store.keyValue(before) : null;
  }
}
