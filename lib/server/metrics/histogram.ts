/**
 * Counts how often whole numbers of each size came up, in buckets that double: cheap enough for every request.
 */
import { assert } from "../../platform/assert.ts";

/** How many numbers were at most `bound`. */
export interface Bucket {
  readonly bound: number;
  readonly count: number;
}

/** A histogram of whole numbers from 0 to 2³⁰, in buckets up to 2^first, 2^(first + 1), … 2^last, and all above. */
export class DoublingHistogram {
  readonly #first: number;
  readonly #counts: Float64Array;
  #sum = 0;

  /** Counts nothing yet. */
  constructor({ first, last }: { readonly first: number; readonly last: number }) {
    assert(0 <= first && first <= last && last <= 30, "buckets are of small integers");
    this.#first = first;
    this.#counts = new Float64Array(last - first + 2);
  }

  /** Counts a number; one that is out of range counts in the first bucket or above the last. */
  record(value: number): void {
    // The least power of two that is no smaller, without a search.
    const power = value <= 1 ? 0 : 32 - Math.clz32(value - 1);
    const position = Math.min(Math.max(power - this.#first, 0), this.#counts.length - 1);
    this.#counts[position] = (this.#counts[position] ?? 0) + 1;
    this.#sum += value;
  }

  /** Of all numbers. */
  get sum(): number {
    return this.#sum;
  }

  /** How many numbers there were. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** For each bound, how many numbers were no larger; the last bound is infinite. */
  get buckets(): readonly Bucket[] {
    let count = 0;
    const last = this.#counts.length - 1;
    return Array.from(this.#counts, (here, position) => {
      count += here;
      return { bound: position === last ? Infinity : 2 ** (this.#first + position), count };
    });
  }
}
