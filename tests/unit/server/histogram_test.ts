/** The histogram of whole numbers: where each is counted. */
import { assertEquals } from "@std/assert";
import { DoublingHistogram } from "../../../lib/server/metrics/metrics.ts";

Deno.test("a number counts in the first bucket that is no smaller, and in all above", () => {
  const histogram = new DoublingHistogram({ first: 1, last: 4 });
  for (const value of [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 2 ** 30]) histogram.record(value);
  assertEquals(histogram.buckets, [
    { bound: 2, count: 3 },
    { bound: 4, count: 5 },
    { bound: 8, count: 7 },
    { bound: 16, count: 9 },
    { bound: Infinity, count: 11 },
  ]);
  assertEquals([histogram.count, histogram.sum], [11, 65 + 2 ** 30]);
});
