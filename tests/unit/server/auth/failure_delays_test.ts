/** FailureDelays: failures double the delay of later attempts, within a bound and for a while. */
import { assertEquals } from "@std/assert";
import {
  FailureDelays,
  FIRST_DELAY_MS,
  FORGET_MS,
  MAX_DELAY_MS,
  MAX_REMEMBERED,
} from "../../../../lib/server/auth/failure_delays.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

Deno.test("FailureDelays: each failure doubles the delay, up to the longest one", () => {
  const delays = new FailureDelays(new ManualClock());
  const seen: number[] = [];
  for (let attempt = 0; attempt < 10; attempt++) {
    seen.push(delays.delayMs("eve"));
    delays.failed("eve");
  }
  assertEquals(seen, [0, FIRST_DELAY_MS, 200, 400, 800, 1_600, 3_200, 6_400, MAX_DELAY_MS, MAX_DELAY_MS]);
  assertEquals(delays.delayMs("alice"), 0, "another key has no delay");
});

Deno.test("FailureDelays: failures are forgotten after a while without another one, or on demand", () => {
  const clock = new ManualClock();
  const delays = new FailureDelays(clock);
  for (let attempt = 0; attempt < 5; attempt++) delays.failed("eve");
  clock.sleep(FORGET_MS - 1);
  assertEquals(delays.delayMs("eve"), 1_600);
  delays.failed("eve");
  clock.sleep(FORGET_MS - 1);
  assertEquals(delays.delayMs("eve"), 3_200, "the time counts from the last failure");
  clock.sleep(1);
  assertEquals([delays.delayMs("eve"), delays.size], [0, 0]);
  delays.failed("eve");
  delays.forget("eve");
  assertEquals([delays.delayMs("eve"), delays.size], [0, 0]);
});

Deno.test("FailureDelays: a bounded number of keys is remembered, those that failed last", () => {
  const delays = new FailureDelays(new ManualClock());
  delays.failed("first");
  for (let name = 1; name < MAX_REMEMBERED; name++) delays.failed(`name ${name}`);
  delays.failed("first");
  delays.failed("one more");
  assertEquals(delays.size, MAX_REMEMBERED);
  assertEquals(["first", "name 1", "name 2"].map((key) => delays.delayMs(key)), [200, 0, 100]);
});
