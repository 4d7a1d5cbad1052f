/** A disk that was nearly full is looked at until it has room: nothing else would, while writes are refused. */
import { assertEquals } from "@std/assert";
import { DiskSpaceMonitor, type LogSpace } from "../../../lib/server/disk_space_monitor.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

Deno.test("room is looked for once a second while there is too little, whatever the looking gives, and then no more", () => {
  const clock = new ManualClock();
  const looks: number[] = [];
  const log: LogSpace & { isNearlyFull: boolean } = {
    isNearlyFull: false,
    checkDiskSpace: () => {
      looks.push(clock.now());
      if (looks.length === 1) throw new Error("the log has failed");
    },
  };
  let considered = 0;
  const snapshots = { isTaking: false, consider: (): void => void considered++ };
  const exchange = { isReceiving: false };
  const room = new DiskSpaceMonitor(log, { clock, snapshots, exchange });
  room.start();
  clock.advance(2_500);
  log.isNearlyFull = true;
  clock.advance(2_000);
  log.isNearlyFull = false;
  clock.advance(2_000);
  assertEquals(looks, [3_000, 4_000]);
  log.isNearlyFull = true;
  snapshots.isTaking = true;
  clock.advance(1_000);
  Object.assign(snapshots, { isTaking: false });
  exchange.isReceiving = true;
  clock.advance(1_000);
  assertEquals([looks.length, considered], [2, 4], "the room is the snapshot's while it is written");
  room.stop();
  assertEquals(clock.timerCount, 0);
});
