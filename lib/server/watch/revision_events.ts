/** The events of one revision, with the interests that they match. */
import type { EventReader } from "../../kv/mod.ts";
import type { InterestIndex } from "./interest_index.ts";
import type { Interest } from "./watch.ts";

/** Reads events revision by revision. */
export class RevisionEvents {
  readonly #index: InterestIndex;
  readonly #found: Interest[] = [];
  /** The interests with events in the revision that was read last, in {@link Interest.matched}. */
  readonly interests: Interest[] = [];
  /** Number of events of that revision. */
  count = 0;

  /** Makes a reader that finds interests in `index`. */
  constructor(index: InterestIndex) {
    this.#index = index;
  }

  /** Reads the revision that begins with the event `first`; returns the first event of the next one, or 0. */
  read(reader: EventReader, cursor: { next(): number }, first: number): number {
    this.clear();
    const revision = reader.revision(first);
    let event = first;
    do {
      this.#match(reader, event);
      this.count++;
      event = cursor.next();
    } while (event !== 0 && reader.revision(event) === revision);
    return event;
  }

  /** Forgets the revision. */
  clear(): void {
    for (const interest of this.interests) interest.matched.length = 0;
    this.interests.length = 0;
    this.count = 0;
  }

  #match(reader: EventReader, event: number): void {
    const isPut = reader.isPut(event);
    this.#index.find(reader.key(event), this.#found);
    for (const interest of this.#found) {
      const { matched, filter } = interest;
      if (!(isPut ? filter.puts : filter.deletes)) continue;
      if (matched.length === 0) this.interests.push(interest);
      matched.push(event);
    }
    this.#found.length = 0;
  }
}
