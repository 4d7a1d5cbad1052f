/** Random numbers for tests: the same seed gives the same numbers, so that a failed run can be repeated. */
import { assert } from "@std/assert";

/** A stream of pseudo-random numbers (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** The next number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    assert(item !== undefined, "there is something to pick from");
    return item;
  }
}

/** Returns the number given to a test as `-- --name=3`; null when there is none. */
export function numberOption(name: string): number | null {
  const given = Deno.args.find((argument) => argument.startsWith(`--${name}=`));
  return given === undefined ? null : Number(given.split("=")[1]);
}
