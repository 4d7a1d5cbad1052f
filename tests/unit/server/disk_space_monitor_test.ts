/** DiskSpaceMonitor: a nearly full disk is checked until it has space. */
import { assertEquals } from "@std/assert";
import { DiskSpaceMonitor, type LogSpace } from "../../../lib/server/disk_space_monitor.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

Deno.test("DiskSpaceMonitor: the log is checked once a second while the disk is nearly full, even after a check has failed", () => {
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
  const monitor = new DiskSpaceMonitor(log, { clock, snapshots, exchange });
  monitor.start();
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
  assertEquals(
    [looks.length, considered],
    [2, 4],
    "the space is left to a snapshot that is being written or received",
  );
  monitor.stop();
  assertEquals(clock.timerCount, 0);
});
