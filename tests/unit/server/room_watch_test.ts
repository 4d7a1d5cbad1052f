/** A disk that has room again is noticed without a write (found by the simulator). */
import { assertEquals } from "@std/assert";
import { RoomWatch } from "../../../lib/server/room_watch.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("while the disk is nearly full it is asked again and again, and left alone otherwise", () => {
  const clock = new ManualClock();
  let checks = 0;
  const log = { isNearlyFull: false, checkRoom: () => void checks++ };
  const watch = new RoomWatch({ log, clock, failed: () => {} });
  watch.start();
  clock.advance(2_000);
  assertEquals(checks, 0);
  log.isNearlyFull = true;
  clock.advance(2_000);
  assertEquals(checks, 4);
  watch.stop();
  assertEquals(clock.timerCount, 0);
});

Deno.test("a log that is of no more use ends the node, not the process", () => {
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const checkRoom = (): void => {
    throw new Error("failed");
  };
  const log = { isNearlyFull: true, checkRoom };
  const watch = new RoomWatch({ log, clock, failed: (error) => void errors.push(error) });
  watch.start();
  clock.advance(500);
  assertEquals(errors.length, 1);
  watch.stop();
});
