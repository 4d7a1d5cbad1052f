/**
 * The leases by id, each with its time to live, its deadline and its owner: columns of numbers in chunks, so that thousands of
 * leases leave the garbage collector nothing to visit, and a view of them is a list of chunks.
 */
import { assert } from "../../platform/assert.ts";

/** Leases of a chunk at most. A full one is split into halves. */
const CHUNK_LEASES = 256;

/** A lease without its keys. */
export interface LeaseTimes {
  readonly leaseId: number;
  readonly ttlMs: number;
  readonly deadlineMs: number;
  /** The user who has granted it; {@link NO_OWNER} while authentication was disabled. */
  readonly ownerId: number;
}

/** The owner of a lease of no user. */
export const NO_OWNER = 0;

/** A part of the table: its columns, of which the first `size` elements are in use. */
interface Chunk {
  readonly ids: Float64Array;
  readonly ttlsMs: Float64Array;
  readonly deadlinesMs: Float64Array;
  readonly ownerIds: Float64Array;
  size: number;
  /** Views taken before the chunk was made do not share it. */
  readonly generation: number;
}

/**
 * The table. Invariants: ids ascend within and between chunks; no chunk is empty.
 *
 * Views are copy-on-write: taking one begins a new generation, and a chunk of an older generation is copied before it is
 * changed.
 */
export class LeaseTable {
  readonly #chunks: Chunk[] = [];
  #size = 0;
  #generation = 0;

  /** Number of leases. */
  get size(): number {
    return this.#size;
  }

  /** Returns a lease, or null when it does not exist. O(log n). */
  get(leaseId: number): LeaseTimes | null {
    const chunk = this.#chunks[this.#chunkOf(leaseId)];
    const position = chunk === undefined ? -1 : find(chunk, leaseId);
    return chunk === undefined || position < 0 ? null : leaseAt(chunk, position);
  }

  /** Returns the time to live of a lease, or 0 when it does not exist. O(log n). */
  ttlMs(leaseId: number): number {
    const chunk = this.#chunks[this.#chunkOf(leaseId)];
    const position = chunk === undefined ? -1 : find(chunk, leaseId);
    return position < 0 ? 0 : chunk?.ttlsMs[position] ?? 0;
  }

  /** Returns the deadline of a lease, or null when it does not exist. O(log n). */
  deadlineMs(leaseId: number): number | null {
    const chunk = this.#chunks[this.#chunkOf(leaseId)];
    const position = chunk === undefined ? -1 : find(chunk, leaseId);
    return position < 0 ? null : chunk?.deadlinesMs[position] ?? null;
  }

  /** Adds a lease that does not exist. O(log n + CHUNK_LEASES). */
  add({ leaseId, ttlMs, deadlineMs, ownerId }: LeaseTimes): void {
    let number = this.#chunkOf(leaseId);
    if (number < 0) {
      this.#chunks.unshift(newChunk(this.#generation));
      number = 0;
    }
    let chunk = this.#changeable(number);
    if (chunk.size === CHUNK_LEASES) chunk = this.#split(number, leaseId);
    const position = lowerBound(chunk, leaseId);
    assert(position === chunk.size || chunk.ids[position] !== leaseId, "a lease is added once");
    for (const column of columnsOf(chunk)) column.copyWithin(position + 1, position, chunk.size);
    chunk.ids[position] = leaseId;
    chunk.ttlsMs[position] = ttlMs;
    chunk.deadlinesMs[position] = deadlineMs;
    chunk.ownerIds[position] = ownerId;
    chunk.size++;
    this.#size++;
  }

  /** Sets the deadline of a lease that exists. O(log n). */
  setDeadline(leaseId: number, deadlineMs: number): void {
    const [chunk, position] = this.#existing(leaseId);
    chunk.deadlinesMs[position] = deadlineMs;
  }

  /** Removes a lease that exists. O(log n + CHUNK_LEASES). */
  remove(leaseId: number): void {
    const [chunk, position] = this.#existing(leaseId);
    for (const column of columnsOf(chunk)) column.copyWithin(position, position + 1, chunk.size);
    chunk.size--;
    this.#size--;
    if (chunk.size === 0) this.#chunks.splice(this.#chunks.indexOf(chunk), 1);
  }

  /** Yields the leases after an id, in order. The table must not change meanwhile. */
  *after(leaseId: number): Iterable<LeaseTimes> {
    const first = Math.max(0, this.#chunkOf(leaseId));
    for (const chunk of this.#chunks.slice(first)) {
      for (const lease of leasesIn(chunk)) if (lease.leaseId > leaseId) yield lease;
    }
  }

  /** Returns all leases as of now, by id; later changes do not show. May be iterated repeatedly. O(n / CHUNK_LEASES). */
  view(): Iterable<LeaseTimes> {
    this.#generation++;
    const chunks = [...this.#chunks];
    return { [Symbol.iterator]: () => chunks.values().flatMap(leasesIn) };
  }

  /** Returns the number of the last chunk that begins at or below an id; -1 when there is none. */
  #chunkOf(leaseId: number): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.ids[0] ?? 0) <= leaseId) low = middle + 1;
      else high = middle;
    }
    return low === 0 && this.#chunks.length > 0 ? 0 : low - 1;
  }

  /** Returns the chunk and position of a lease, to be changed. */
  #existing(leaseId: number): readonly [Chunk, number] {
    const chunk = this.#changeable(this.#chunkOf(leaseId));
    const position = find(chunk, leaseId);
    assert(position >= 0, "a lease that is changed exists");
    return [chunk, position];
  }

  /** Returns a chunk, or a copy in its place if a view shares it. */
  #changeable(number: number): Chunk {
    const chunk = this.#chunks[number];
    assert(chunk !== undefined, "a lease that is changed is in a chunk");
    if (chunk.generation === this.#generation) return chunk;
    const copy = copyOf(chunk, { from: 0, generation: this.#generation });
    this.#chunks[number] = copy;
    return copy;
  }

  /** Splits a full chunk, and returns the half to which an id belongs. */
  #split(number: number, leaseId: number): Chunk {
    const left = this.#changeable(number);
    // Ascending ids fill their chunks.
    const middle = leaseId > (left.ids[CHUNK_LEASES - 1] ?? 0) && number === this.#chunks.length - 1
      ? CHUNK_LEASES
      : CHUNK_LEASES / 2;
    const right = copyOf(left, { from: middle, generation: this.#generation });
    left.size = middle;
    this.#chunks.splice(number + 1, 0, right);
    return right.size === 0 || leaseId >= (right.ids[0] ?? 0) ? right : left;
  }
}

function columnsOf({ ids, ttlsMs, deadlinesMs, ownerIds }: Chunk): readonly Float64Array[] {
  return [ids, ttlsMs, deadlinesMs, ownerIds];
}

function newChunk(generation: number): Chunk {
  return {
    ids: new Float64Array(CHUNK_LEASES),
    ttlsMs: new Float64Array(CHUNK_LEASES),
    deadlinesMs: new Float64Array(CHUNK_LEASES),
    ownerIds: new Float64Array(CHUNK_LEASES),
    size: 0,
    generation,
  };
}

/** Returns a chunk with the leases of another one from a position on. */
function copyOf(
  chunk: Chunk,
  { from, generation }: { readonly from: number; readonly generation: number },
): Chunk {
  const copy = newChunk(generation);
  copy.ids.set(chunk.ids.subarray(from, chunk.size));
  copy.ttlsMs.set(chunk.ttlsMs.subarray(from, chunk.size));
  copy.deadlinesMs.set(chunk.deadlinesMs.subarray(from, chunk.size));
  copy.ownerIds.set(chunk.ownerIds.subarray(from, chunk.size));
  copy.size = chunk.size - from;
  return copy;
}

/** Yields the leases of a chunk. */
function* leasesIn(chunk: Chunk): Generator<LeaseTimes, undefined> {
  for (let position = 0; position < chunk.size; position++) yield leaseAt(chunk, position);
}

function leaseAt({ ids, ttlsMs, deadlinesMs, ownerIds }: Chunk, position: number): LeaseTimes {
  return {
    leaseId: ids[position] ?? 0,
    ttlMs: ttlsMs[position] ?? 0,
    deadlineMs: deadlinesMs[position] ?? 0,
    ownerId: ownerIds[position] ?? NO_OWNER,
  };
}

/** Returns the position of the first id of a chunk that is not below an id. */
function lowerBound({ ids, size }: Chunk, leaseId: number): number {
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] ?? 0) < leaseId) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns the position of an id in a chunk, or -1. */
function find(chunk: Chunk, leaseId: number): number {
  const position = lowerBound(chunk, leaseId);
  return position < chunk.size && chunk.ids[position] === leaseId ? position : -1;
}
