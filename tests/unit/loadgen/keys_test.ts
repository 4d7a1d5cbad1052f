/** The keys of requests: the samples have the documented distribution. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { keyChooser, keyOfNumber, ZIPF_EXPONENT, zipfChooser } from "../../../lib/loadgen/mod.ts";
import { seededRandom } from "../../../lib/loadgen/mod.ts";

const SAMPLES = 200_000;

/** Number of times that each key was chosen. */
function sample(choose: () => number, keyCount: number): readonly number[] {
  const counts = new Array<number>(keyCount).fill(0);
  for (let round = 0; round < SAMPLES; round++) {
    const key = choose();
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Fails if a count is further than five standard deviations from its expected value. */
function assertDistributed(counts: readonly number[], probabilities: readonly number[]): void {
  assertEquals(counts.length, probabilities.length, "no key beyond the last one");
  for (const [key, probability] of probabilities.entries()) {
    const expected = SAMPLES * probability;
    const deviation = Math.sqrt(SAMPLES * probability * (1 - probability));
    const count = counts[key] ?? 0;
    assert(Math.abs(count - expected) <= 5 * deviation + 1, `key ${key}: ${count}, expected ${expected}`);
  }
}

for (const exponent of [0.5, ZIPF_EXPONENT, 1, 2]) {
  Deno.test(`keyChooser: zipf with exponent ${exponent} chooses key k in proportion to 1 / (k + 1) ** ${exponent}`, () => {
    const keyCount = 50;
    const weights = Array.from({ length: keyCount }, (_, key) => (key + 1) ** -exponent);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const choose = zipfChooser({ keyCount, exponent, random: seededRandom(5) });
    assertDistributed(sample(choose, keyCount), weights.map((weight) => weight / sum));
  });
}

Deno.test("keyChooser: uniform chooses every key equally often", () => {
  const counts = sample(keyChooser("uniform", { keyCount: 20, random: seededRandom(6) }), 20);
  assertDistributed(counts, new Array<number>(20).fill(1 / 20));
});

Deno.test("keyChooser: the chosen key is in range for any number of keys and any random number", () => {
  const chance = fc.constantFrom(0, 1 - 2 ** -53, 0.5, 2 ** -53);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), chance, fc.nat(), (keyCount, first, seed) => {
      for (const distribution of ["uniform", "zipf"] as const) {
        const rest = seededRandom(seed);
        let isFirst = true;
        const random = (): number => {
          const value = isFirst ? first : rest();
          isFirst = false;
          return value;
        };
        const key = keyChooser(distribution, { keyCount, random })();
        assert(Number.isInteger(key) && key >= 0 && key < keyCount, `${distribution}: ${key} of ${keyCount}`);
      }
    }),
  );
});

Deno.test("keyChooser: keys have one length, and are in the order of their numbers", () => {
  assertEquals([keyOfNumber("p/", 7), keyOfNumber("p/", 9_999_999)], ["p/0000000007", "p/0009999999"]);
});
