/** The events of one revision, with the interests that they match. */
import type { EventReader } from "../../kv/mod.ts";
import type { InterestIndex, KeyPlace } from "./interest_index.ts";
import type { Interest } from "./watch.ts";

/** Reads events revision by revision. */
export class RevisionEvents {
  readonly #index: InterestIndex;
  readonly #found: Interest[] = [];
  /** The interests with events in the revision that was read last, in {@link Interest.matched}. */
  readonly interests: Interest[] = [];
  /** Number of events of that revision. */
  count = 0;
  /** Number of pairs of such an event and an interest that it matches. */
  matches = 0;

  /** Makes a reader that finds interests in `index`. */
  constructor(index: InterestIndex) {
    this.#index = index;
  }

  /** Reads the revision that begins with the event of the number `first`; returns the number after its last event. */
  read(reader: EventReader, first: number): number {
    this.clear();
    const revision = reader.revision(reader.at(first));
    let number = first;
    do this.#match(reader, reader.at(number++)); while (
      number < reader.end && reader.revision(reader.at(number)) === revision
    );
    this.count = number - first;
    return number;
  }

  /** Forgets the revision. */
  clear(): void {
    this.count = 0;
    this.matches = 0;
    if (this.interests.length === 0) return;
    for (const interest of this.interests) interest.matched.length = 0;
    this.interests.length = 0;
  }

  #match(reader: EventReader, event: number): void {
    const { records } = reader;
    const key = {
      bytes: records.keyBuffer(event),
      start: records.keyStart(event),
      length: records.keyLength(event),
    };
    this.#index.find(key, this.#found);
    if (this.#found.length === 0) return;
    const isPut = reader.isPut(event);
    for (const interest of this.#found) {
      const { matched, filter, mayRead } = interest;
      if (!(isPut ? filter.puts : filter.deletes)) continue;
      if (mayRead !== null && !mayRead(keyIn(key))) continue;
      if (matched.length === 0) this.interests.push(interest);
      matched.push(event);
      this.matches++;
    }
    this.#found.length = 0;
  }
}

function keyIn({ bytes, start, length }: KeyPlace): Uint8Array {
  return bytes.subarray(start, start + length);
}
