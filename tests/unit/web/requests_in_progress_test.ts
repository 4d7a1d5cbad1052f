/** RequestsInProgress: a service that stops waits for the requests that it answers, for a bounded time. */
import { assertEquals } from "@std/assert";
import { RequestsInProgress } from "../../../lib/web/requests_in_progress.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

Deno.test("RequestsInProgress: without requests nothing is waited for", async () => {
  await new RequestsInProgress().idleWithin(1_000, new ManualClock());
});

Deno.test("RequestsInProgress: the wait ends with the last request", async () => {
  const requests = new RequestsInProgress();
  requests.begin();
  requests.begin();
  let isIdle = false;
  const waiting = requests.idleWithin(1_000, new ManualClock()).then(() => isIdle = true);
  requests.end();
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  assertEquals(isIdle, false, "one of two has ended");
  requests.end();
  await waiting;
});

Deno.test("RequestsInProgress: the wait ends with its time", async () => {
  const requests = new RequestsInProgress();
  requests.begin();
  const clock = new ManualClock();
  const waiting = requests.idleWithin(1_000, clock);
  clock.advance(1_000);
  await waiting;
});
