/** Which key the next request is for. */
import { assert } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";

/** How often each key is chosen. */
export const DISTRIBUTIONS = ["uniform", "zipf"] as const;
/** One of {@link DISTRIBUTIONS}. */
export type Distribution = typeof DISTRIBUTIONS[number];

/** The exponent of YCSB's zipfian keys: of a million keys, the first gets 7 % of the requests. */
export const ZIPF_EXPONENT = 0.99;
/** Digits of every key's number, so that all keys are of one length: `0000000042`. */
const KEY_DIGITS = 10;
/** Most keys there may be. */
export const MAX_KEY_COUNT = 10_000_000;

/** The key of a number. */
export function keyOfNumber(prefix: string, number: number): string {
  return prefix + String(number).padStart(KEY_DIGITS, "0");
}

/** Chooses numbers from 0 to below `keyCount`. */
export function keyChooser(
  distribution: Distribution,
  { keyCount, random }: { readonly keyCount: number; readonly random: Random },
): () => number {
  return distribution === "zipf"
    ? zipfChooser({ keyCount, random, exponent: ZIPF_EXPONENT })
    : () => Math.floor(random() * keyCount);
}

/**
 * Chooses k from 0 to below `keyCount` with a probability that falls as 1 / (k + 1) ** exponent.
 *
 * Rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6(3), 1996): exact, without a table, in constant time for any number of keys.
 */
export function zipfChooser(
  { keyCount, random, exponent }: {
    readonly keyCount: number;
    readonly random: Random;
    /** Above 0. */
    readonly exponent: number;
  },
): () => number {
  const weight = (rank: number): number => Math.exp(-exponent * Math.log(rank));
  const integral = (rank: number): number => {
    const log = Math.log(rank);
    return expm1Over((1 - exponent) * log) * log;
  };
  const inverse = (area: number): number => {
    const scaled = Math.max(-1, area * (1 - exponent));
    return Math.exp(log1pOver(scaled) * area);
  };
  const first = integral(1.5) - 1;
  const last = integral(keyCount + 0.5);
  /** Ranks that lie no further than this from the point that was drawn are accepted without a closer look. */
  const surelyWithin = 2 - inverse(integral(2.5) - weight(2));
  return () => {
    while (true) {
      const area = last + random() * (first - last);
      const point = inverse(area);
      const rank = Math.min(keyCount, Math.max(1, Math.round(point)));
      if (rank - point <= surelyWithin || area >= integral(rank + 0.5) - weight(rank)) return rank - 1;
    }
  };
}

/** log(1 + x) / x, also where x is next to nothing. */
function log1pOver(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.log1p(x) / x : 1 - x / 2;
}

/** (exp(x) - 1) / x, also where x is next to nothing. */
function expm1Over(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.expm1(x) / x : 1 + x / 2;
}

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

/** Returns one of some items, each with the same chance. */
export function pick<T>(items: readonly T[], random: Random): T {
  const item = items[Math.floor(random() * items.length)];
  assert(item !== undefined, "there is something to pick from");
  return item;
}
