/**
 * The events of the history for watches. An event is identified by the address of the version that it wrote; addresses,
 * and the bytes that are returned, are valid until the next entry is applied.
 */
import type { KeyValue } from "../command.ts";
import type { StoreReader, VersionCursor } from "./store_reader.ts";

/** Reads the events of a store. */
export class EventReader {
  readonly #store: StoreReader;

  /** Makes a reader of the events of `store`. */
  constructor(store: StoreReader) {
    this.#store = store;
  }

  /** Returns a cursor over the events of `revision`, which is above the compacted one, and of later ones. O(log n). */
  from(revision: number): VersionCursor {
    return this.#store.eventsFrom(revision);
  }

  /** Returns the revision of an event. */
  revision(event: number): number {
    return this.#store.records.modRevision(event);
  }

  /** Returns the key of an event. */
  key(event: number): Uint8Array {
    return this.#store.records.key(event);
  }

  /** Whether an event is a put, and not a delete. */
  isPut(event: number): boolean {
    return this.#store.records.isPut(event);
  }

  /** Returns the key-value that a put wrote. */
  entry(event: number): KeyValue {
    return this.#store.keyValue(event);
  }

  /** Returns the key-value that was there before an event, or null if the key was absent. */
  previous(event: number): KeyValue | null {
    const before = this.#store.previous(event);
    return before !== 0 && this.#store.records.isPut(before) ? this.#store.keyValue(before) : null;
  }
}
