/** The histogram of times, against the exact percentiles of the same times. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LatencyHistogram } from "../../../lib/loadgen/mod.ts";

/** From 0 to an hour, as often short as long. */
const timeMs = fc.double({ min: -3, max: 6.5, noNaN: true }).map((exponent) => 10 ** exponent);
const timesMs = fc.array(timeMs, { minLength: 1, maxLength: 400 });
const shares = [0, 0.1, 0.5, 0.9, 0.99, 0.999, 1];

function histogramOf(times: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const time of times) histogram.record(time);
  return histogram;
}

/** The least time that at least `share` of all did not exceed. */
function exactPercentile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? 0;
}

Deno.test("LatencyHistogram: a percentile is never below the exact one, and above it by less than a percent and a microsecond", () => {
  fc.assert(fc.property(timesMs, (times) => {
    const histogram = histogramOf(times);
    for (const share of shares) {
      const exact = exactPercentile(times, share);
      const percentile = histogram.percentileMs(share);
      // A time is rounded to a whole microsecond before it is counted, which may take half of one from it.
      assert(percentile >= exact - 0.000_5 - 1e-9, `${share}: ${percentile} is below ${exact}`);
      assert(percentile <= exact * (1 + 1 / 128) + 0.001, `${share}: ${percentile} is far above ${exact}`);
    }
  }));
});

Deno.test("LatencyHistogram: count, mean, least and greatest are exact", () => {
  fc.assert(fc.property(timesMs, (times) => {
    const histogram = histogramOf(times);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    assertEquals([histogram.count, histogram.minMs, histogram.maxMs], [
      times.length,
      Math.min(...times),
      Math.max(...times),
    ]);
    assert(Math.abs(histogram.meanMs - mean) <= mean * 1e-9);
  }));
});

Deno.test("LatencyHistogram: histograms that are merged, or sent as JSON, are the histogram of all their times", () => {
  fc.assert(fc.property(timesMs, timesMs, (some, others) => {
    const merged = histogramOf(some);
    merged.merge(LatencyHistogram.from(JSON.parse(JSON.stringify(histogramOf(others)))));
    const whole = histogramOf([...some, ...others]);
    assertEquals(merged.toJSON().buckets, whole.toJSON().buckets);
    assertEquals([merged.count, merged.minMs, merged.maxMs], [whole.count, whole.minMs, whole.maxMs]);
  }));
});

Deno.test("LatencyHistogram: the bands double, leave no gap and contain every time", () => {
  fc.assert(fc.property(timesMs, (times) => {
    const bands = histogramOf(times).bands();
    assertEquals(bands.reduce((sum, { count }) => sum + count, 0), times.length);
    for (const [row, { fromMs, toMs }] of bands.entries()) {
      assertEquals(toMs, 2 * fromMs);
      assertEquals(bands[row + 1]?.fromMs ?? toMs, toMs);
    }
    assert((bands.at(0)?.count ?? 0) > 0 && (bands.at(-1)?.count ?? 0) > 0);
  }));
});

Deno.test("LatencyHistogram: an empty histogram, also after a clear, has only zeros", () => {
  const cleared = histogramOf([1, 2]);
  cleared.clear();
  for (const histogram of [new LatencyHistogram(), cleared, LatencyHistogram.from(cleared.toJSON())]) {
    const { count, meanMs, minMs, maxMs } = histogram;
    assertEquals([count, meanMs, minMs, maxMs, histogram.percentileMs(0.99)], [0, 0, 0, 0, 0]);
    assertEquals(histogram.bands(), []);
  }
});

Deno.test("LatencyHistogram: a time beyond the greatest band, and a negative one, are counted in the first and last band", () => {
  const histogram = histogramOf([1e12, -5]);
  assertEquals([histogram.count, histogram.minMs, histogram.maxMs], [2, 0, 1e12]);
  assert(histogram.percentileMs(0.5) <= 0.001);
});

Deno.test("LatencyHistogram: an invalid document is refused", () => {
  for (const bucket of [[-1, 1], [1e6, 1], [0.5, 1], [3, 0]] as const) {
    assertThrows(
      () => LatencyHistogram.from({ buckets: [bucket], sumMs: 1, minMs: 1, maxMs: 1 }),
      RangeError,
    );
  }
});
