/**
 * The events of the history in order of revision: for each put or delete the address of the version that it wrote, and
 * what keeping it costs.
 *
 * Events are numbered from the store's beginning; the numbers are this node's own and leave it nowhere. The log lies in
 * chunks that are appended to and never written elsewhere, but for the address of a version that is moved, so a view
 * shares them.
 */
import { assert } from "../../platform/assert.ts";
import type { Records } from "./records.ts";

/** So few that their costs, with values of 1 MiB, have a sum below 2^32. */
const CHUNK_EVENTS = 2_048;

/** What an event counts for beside the versions that it keeps. */
export const EVENT_BYTES = 8;

/** What the event of a version costs: itself, the put that it superseded, and a tombstone. */
export function eventCost(records: Records, address: number, previous: number): number {
  return EVENT_BYTES + (previous !== 0 && records.isPut(previous) ? records.bytes(previous) : 0) +
    (records.isPut(address) ? 0 : records.bytes(address));
}

interface Chunk {
  readonly addresses: Uint32Array;
  /** Sums of the costs of the chunk's events up to each and with it. */
  readonly costs: Uint32Array;
  readonly firstRevision: number;
  /** Sum of the costs of all events before the chunk. */
  readonly costBefore: number;
}

/** Events that are read: those of the store, or of a view. */
export class EventRange {
  protected readonly records: Records;
  protected readonly chunks: (Chunk | null)[];
  /** Chunks that were dropped at the front. */
  protected dropped: number;
  protected last: number;

  /** The events in these chunks up to the number `last` (excluded). */
  constructor(
    records: Records,
    { chunks, dropped, last }: { chunks: (Chunk | null)[]; dropped: number; last: number },
  ) {
    this.records = records;
    this.chunks = chunks;
    this.dropped = dropped;
    this.last = last;
  }

  /** The number that the next event will have. */
  get end(): number {
    return this.last;
  }

  /** The version that an event wrote. */
  address(number: number): number {
    return this.chunkOf(number)?.addresses[number % CHUNK_EVENTS] ?? 0;
  }

  /** The first event from number `start` on whose revision is not below `revision`. O(log n). */
  seek(revision: number, start: number): number {
    let low = Math.floor(start / CHUNK_EVENTS) - this.dropped;
    let high = this.chunks.length;
    // The last chunk that begins below the revision: the event is in it, or the first behind it.
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.chunks[middle]?.firstRevision ?? 0) < revision) low = middle;
      else high = middle;
    }
    let first = Math.max(start, (low + this.dropped) * CHUNK_EVENTS);
    let end = Math.min(this.last, (low + 1 + this.dropped) * CHUNK_EVENTS);
    // Most revisions have one event: look where it would be then.
    const guess = first + revision - this.records.modRevision(this.addressOrZero(first));
    if (guess > first && guess < end) {
      if (this.records.modRevision(this.address(guess - 1)) < revision) first = guess;
      if (this.records.modRevision(this.address(guess)) >= revision) end = guess;
    }
    while (first < end) {
      const middle = Math.floor((first + end) / 2);
      if (this.records.modRevision(this.address(middle)) < revision) first = middle + 1;
      else end = middle;
    }
    return first;
  }

  /** Sum of the costs of all events before this number. */
  costBefore(number: number): number {
    const chunk = this.chunkOf(number);
    const position = number % CHUNK_EVENTS;
    if (chunk !== null && position === 0) return chunk.costBefore;
    const its = position === 0 ? this.chunkOf(number - 1) : chunk;
    if (its === null) return 0;
    return its.costBefore + (its.costs[(number - 1) % CHUNK_EVENTS] ?? 0);
  }

  protected chunkOf(number: number): Chunk | null {
    return this.chunks[Math.floor(number / CHUNK_EVENTS) - this.dropped] ?? null;
  }

  private addressOrZero(number: number): number {
    return number < this.last ? this.address(number) : 0;
  }
}

/** The events of a store. Invariant: revisions never fall from one event to the next. */
export class EventLog extends EventRange {
  /** A log without events. */
  constructor(records: Records) {
    super(records, { chunks: [], dropped: 0, last: 0 });
  }

  /** Appends an event of the newest revision. */
  push(address: number, cost: number): void {
    const position = this.last % CHUNK_EVENTS;
    let chunk = this.chunks[this.chunks.length - 1] ?? null;
    if (position === 0 || chunk === null) {
      assert(position === 0, "a log without chunks begins one");
      chunk = {
        addresses: new Uint32Array(CHUNK_EVENTS),
        costs: new Uint32Array(CHUNK_EVENTS),
        firstRevision: this.records.modRevision(address),
        costBefore: this.costBefore(this.last),
      };
      this.chunks.push(chunk);
    }
    chunk.addresses[position] = address;
    chunk.costs[position] = (position === 0 ? 0 : chunk.costs[position - 1] ?? 0) + cost;
    this.last++;
  }

  /** The version of an event was moved. */
  setAddress(number: number, address: number): void {
    const chunk = this.chunkOf(number);
    if (chunk !== null) chunk.addresses[number % CHUNK_EVENTS] = address;
  }

  /** Forgets the chunks with no event from this number on, except for the last, which has the sum of costs. */
  dropBefore(number: number): void {
    while (this.chunks.length > 1 && (this.dropped + 1) * CHUNK_EVENTS <= number) {
      this.chunks.shift();
      this.dropped++;
    }
  }

  /** The events as they stand. O(events / 2048). */
  view(): EventRange {
    return new EventRange(this.records, {
      chunks: [...this.chunks],
      dropped: this.dropped,
      last: this.last,
    });
  }
}
