/**
 * Times in a log-linear histogram: as small after a billion of them as after one, and never far from the truth.
 *
 * A time is kept in whole microseconds. Below {@link STEPS} each has a bucket of its own; above, every doubling is
 * parted into STEPS buckets, so a bucket is at most 1/STEPS of its time wide.
 */
import { assert } from "../platform/assert.ts";

/** Buckets of each doubling: a time is recorded to within 1/128, less than a percent. A power of two. */
const STEPS = 128;
const STEP_BITS = 7;
/** Longest time that is distinguished, about 71 minutes. */
const MAX_MICROSECONDS = 2 ** 32 - 1;
const BUCKETS = STEPS + (32 - STEP_BITS) * STEPS;
const MICROSECONDS_OF_MS = 1_000;

/** A histogram as JSON: position and count of each bucket that is not empty, and the exact ends. */
export interface HistogramDocument {
  readonly buckets: readonly (readonly [position: number, count: number])[];
  readonly sumMs: number;
  readonly minMs: number;
  readonly maxMs: number;
}

/** One row of a histogram for people: how many took from `fromMs` to less than `toMs`. */
export interface Band {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/**
 * How long things took.
 *
 * Invariants: `count` is the sum of all buckets; no percentile is below the exact one, nor above it by more than
 * 1/128 and a microsecond; the greatest is exact.
 */
export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;
  #sumMs = 0;
  #minMs = Infinity;
  #maxMs = 0;

  /** The histogram that {@link toJSON} gave. Throws RangeError for what it never gives. */
  static from({ buckets, sumMs, minMs, maxMs }: HistogramDocument): LatencyHistogram {
    const histogram = new LatencyHistogram();
    for (const [position, count] of buckets) {
      if (!(position >= 0 && position < BUCKETS && Number.isInteger(position) && count > 0)) {
        throw new RangeError(`A histogram has no bucket ${position} with ${count} times.`);
      }
      histogram.#buckets[position] = count;
      histogram.#count += count;
    }
    if (histogram.#count > 0) {
      histogram.#sumMs = sumMs;
      histogram.#minMs = minMs;
      histogram.#maxMs = maxMs;
    }
    return histogram;
  }

  /** How many times there are. */
  get count(): number {
    return this.#count;
  }

  /** Of all of them; 0 when there is none. */
  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  /** The shortest; 0 when there is none. */
  get minMs(): number {
    return this.#count === 0 ? 0 : this.#minMs;
  }

  /** The longest; 0 when there is none. */
  get maxMs(): number {
    return this.#maxMs;
  }

  /** Adds a time; a negative one, of a clock that was set back, counts as none at all. */
  record(durationMs: number): void {
    const ms = durationMs > 0 ? durationMs : 0;
    const position = positionOf(Math.min(MAX_MICROSECONDS, Math.round(ms * MICROSECONDS_OF_MS)));
    this.#buckets[position] = (this.#buckets[position] ?? 0) + 1;
    this.#count += 1;
    this.#sumMs += ms;
    if (ms < this.#minMs) this.#minMs = ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** Adds all times of another. */
  merge(other: LatencyHistogram): void {
    for (let position = 0; position < BUCKETS; position++) {
      this.#buckets[position] = (this.#buckets[position] ?? 0) + (other.#buckets[position] ?? 0);
    }
    this.#count += other.#count;
    this.#sumMs += other.#sumMs;
    this.#minMs = Math.min(this.#minMs, other.#minMs);
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  /** Forgets all. */
  clear(): void {
    this.#buckets.fill(0);
    this.#count = 0;
    this.#sumMs = 0;
    this.#minMs = Infinity;
    this.#maxMs = 0;
  }

  /** The time that `share` of all (0.99: 99 in 100) took no longer than; 0 when there is none. */
  percentileMs(share: number): number {
    assert(share >= 0 && share <= 1, "a percentile is of a share from 0 to 1");
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let position = 0; position < BUCKETS; position++) {
      seen += this.#buckets[position] ?? 0;
      if (seen >= rank) return Math.min(this.#maxMs, endOf(position) / MICROSECONDS_OF_MS);
    }
    return this.#maxMs;
  }

  /** The times in bands that double, from the first that has any to the last. */
  bands(): readonly Band[] {
    const counts = new Map<number, number>();
    for (let position = 0; position < BUCKETS; position++) {
      const count = this.#buckets[position] ?? 0;
      if (count === 0) continue;
      const doubling = Math.floor(Math.log2(Math.max(1, startOf(position))));
      counts.set(doubling, (counts.get(doubling) ?? 0) + count);
    }
    if (counts.size === 0) return [];
    const [first, last] = [Math.min(...counts.keys()), Math.max(...counts.keys())];
    return Array.from({ length: last - first + 1 }, (_, row) => ({
      fromMs: 2 ** (first + row) / MICROSECONDS_OF_MS,
      toMs: 2 ** (first + row + 1) / MICROSECONDS_OF_MS,
      count: counts.get(first + row) ?? 0,
    }));
  }

  /** The input of {@link from}. */
  toJSON(): HistogramDocument {
    const buckets = [...this.#buckets.entries()].filter(([, count]) => count > 0);
    return { buckets, sumMs: this.#sumMs, minMs: this.minMs, maxMs: this.#maxMs };
  }
}

/** Where a time is counted. */
function positionOf(microseconds: number): number {
  if (microseconds < STEPS) return microseconds;
  const shift = 31 - Math.clz32(microseconds) - STEP_BITS;
  // The leading bit of `microseconds >>> shift` is always set: it is what the doubling's own number stands for.
  return (shift + 1) * STEPS + (microseconds >>> shift) - STEPS;
}

/** The first microsecond that is counted there. */
function startOf(position: number): number {
  if (position < STEPS) return position;
  const shift = Math.floor(position / STEPS) - 1;
  return (position % STEPS + STEPS) * 2 ** shift;
}

/** The end of what is counted there: times were rounded to the nearest microsecond. */
function endOf(position: number): number {
  return startOf(position + 1) - 0.5;
}
