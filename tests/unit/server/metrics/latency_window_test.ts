/** The quantiles of the last latencies. */
import { assert, assertEquals } from "@std/assert";
import { DoublingHistogram } from "../../../../lib/server/metrics/metrics.ts";
import { Metrics, WINDOW_MS } from "../../../../lib/server/metrics/metrics.ts";
import { LatencyWindow } from "../../../../lib/server/metrics/latency_window.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

const EMPTY = { p50: null, p99: null, max: null };

Deno.test("LatencyWindow: numbers are forgotten at the end of the second period", () => {
  const histogram = new DoublingHistogram({ first: 4, last: 23 });
  const window = new LatencyWindow(histogram);
  assertEquals(window.figures(), EMPTY);
  histogram.record(1_000);
  assertEquals(window.figures().max, 1_000);
  window.rotate();
  assertEquals(window.figures().max, 1_000);
  histogram.record(70);
  assertEquals(window.figures().max, 1_000);
  window.rotate();
  assertEquals(window.figures().max, 70);
  window.rotate();
  assertEquals(window.figures(), EMPTY);
});

Deno.test("LatencyWindow: quantiles are within their bucket, and none is above the greatest number", () => {
  const histogram = new DoublingHistogram({ first: 4, last: 23 });
  const window = new LatencyWindow(histogram);
  for (let value = 1; value <= 1_000; value++) histogram.record(value);
  const { p50, p99, max } = window.figures();
  assert(p50 !== null && 480 <= p50 && p50 <= 520, `${p50}`);
  assert(p99 !== null && 975 <= p99 && p99 <= 1_000, `${p99}`);
  assertEquals(max, 1_000);
  const slow = new DoublingHistogram({ first: 0, last: 3 });
  const beyond = new LatencyWindow(slow);
  slow.record(900);
  assertEquals(beyond.figures(), { p50: 454, p99: 891, max: 900 });
});

Deno.test("Metrics: the timer of the node counts its delay and ends the windows", () => {
  const clock = new ManualClock();
  const metrics = new Metrics(clock);
  clock.advance(30);
  metrics.ticked(10);
  assertEquals(metrics.latency().loop.max, 20_000);
  for (let period = 0; period < 2; period++) {
    clock.advance(WINDOW_MS);
    metrics.ticked(clock.now());
  }
  assertEquals(metrics.latency().loop.max, 0);
});
