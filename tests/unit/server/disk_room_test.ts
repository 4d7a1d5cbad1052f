/** A disk that was nearly full is looked at until it has room: nothing else would, while writes are refused. */
import { assertEquals } from "@std/assert";
import { DiskRoom, type RoomyLog } from "../../../lib/server/disk_room.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("room is looked for once a second while there is too little, whatever the looking gives, and then no more", () => {
  const clock = new ManualClock();
  const looks: number[] = [];
  const log: RoomyLog & { isNearlyFull: boolean } = {
    isNearlyFull: false,
    checkRoom: () => {
      looks.push(clock.now());
      if (looks.length === 1) throw new Error("the log has failed");
    },
  };
  const room = new DiskRoom({ log, clock });
  room.start();
  clock.advance(2_500);
  log.isNearlyFull = true;
  clock.advance(2_000);
  log.isNearlyFull = false;
  clock.advance(2_000);
  assertEquals(looks, [3_000, 4_000]);
  room.stop();
  assertEquals(clock.timerCount, 0);
});
