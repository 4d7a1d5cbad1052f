/** Chance that a seed decides: the same seed gives the same numbers. */
import type { Random } from "../platform/clock.ts";

/** Seeds are integers from 0 to this. */
export const MAX_SEED = 2 ** 32 - 1;

/** Pseudo-random numbers in [0, 1) (mulberry32, Tommy Ettinger, 2017; public domain). */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
