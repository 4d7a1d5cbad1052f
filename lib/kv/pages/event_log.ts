/**
 * The events of the history in order of revision. Each put or delete has one event: the address of the version that it
 * wrote, and the bytes that the history counts for it.
 *
 * Events are numbered in the order of writing. The numbers differ between nodes, and are neither sent nor stored. The
 * log consists of chunks. Except for the address of a version that is moved, an event is never changed, so a view
 * shares them.
 */
import { assert } from "../../platform/assert.ts";
import type { Records } from "./records.ts";

/** Events of a chunk: few enough that the sum of their costs is below 2^32 even if all values have 1 MiB. */
const CHUNK_EVENTS = 2_048;

/** Bytes that an event itself counts for. */
export const EVENT_BYTES = 8;

/**
 * Returns the cost of a version's event in bytes: the event, the put that was superseded, and the version if a
 * tombstone.
 */
export function eventCost(records: Records, address: number, previous: number): number {
  return EVENT_BYTES + (previous !== 0 && records.isPut(previous) ? records.bytes(previous) : 0) +
    (records.isPut(address) ? 0 : records.bytes(address));
}

/** A part of the log. */
interface Chunk {
  readonly addresses: Uint32Array;
  /** For each event, the sum of the costs of the chunk's events up to and including it. */
  readonly costs: Uint32Array;
  readonly firstRevision: number;
  /** Sum of the costs of all events before the chunk. */
  readonly costBefore: number;
}

/** The events of a store or of a view, for reading. */
export class EventRange {
  protected readonly records: Records;
  protected readonly chunks: (Chunk | null)[];
  /** Number of chunks that were dropped at the front. */
  protected dropped: number;
  /** The number that the next event will have. */
  protected last: number;

  /** Makes the range of the events in these chunks, up to the number `last` (excluded). */
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

  /** Returns the address of an event's version. */
  address(number: number): number {
    return this.chunkOf(number)?.addresses[number % CHUNK_EVENTS] ?? 0;
  }

  /** Returns the number of the first event, from `start` on, whose revision is at least `revision`. O(log n). */
  seek(revision: number, start: number): number {
    let low = Math.floor(start / CHUNK_EVENTS) - this.dropped;
    let high = this.chunks.length;
    // Find the last chunk that begins below the revision: the event is in it, or is the first of the next chunk.
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.chunks[middle]?.firstRevision ?? 0) < revision) low = middle;
      else high = middle;
    }
    let first = Math.max(start, (low + this.dropped) * CHUNK_EVENTS);
    let end = Math.min(this.last, (low + 1 + this.dropped) * CHUNK_EVENTS);
    // Most revisions have one event. If all do, the event is at `guess`, and the search ends at once.
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
    const previous = position === 0 ? this.chunkOf(number - 1) : chunk;
    if (previous === null) return 0;
    return previous.costBefore + (previous.costs[(number - 1) % CHUNK_EVENTS] ?? 0);
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
  /** Makes a log without events. */
  constructor(records: Records) {
    super(records, { chunks: [], dropped: 0, last: 0 });
  }

  /** Appends an event of the newest revision. */
  push(address: number, cost: number): void {
    const position = this.last % CHUNK_EVENTS;
    let chunk = this.chunks[this.chunks.length - 1] ?? null;
    if (position === 0 || chunk === null) {
      assert(position === 0, "a chunk begins at a multiple of its size");
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

  /** Changes the address of an event, whose version was moved. */
  setAddress(number: number, address: number): void {
    const chunk = this.chunkOf(number);
    if (chunk !== null) chunk.addresses[number % CHUNK_EVENTS] = address;
  }

  /**
   * Drops the chunks that have only events before this number, except for the last chunk, which has the sum of costs.
   */
  dropBefore(number: number): void {
    while (this.chunks.length > 1 && (this.dropped + 1) * CHUNK_EVENTS <= number) {
      this.chunks.shift();
      this.dropped++;
    }
  }

  /** Returns a view of the present events. O(events / CHUNK_EVENTS). */
  view(): EventRange {
    return new EventRange(this.records, {
      chunks: [...this.chunks],
      dropped: this.dropped,
      last: this.last,
    });
  }
}
