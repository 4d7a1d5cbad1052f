/** DiskSpaceMonitor: a disk without space is noticed, and checked until it has space. */
import { assertEquals, assertThrows } from "@std/assert";
import { DiskSpaceMonitor, type LogSpace, writeProbe } from "../../../lib/server/disk_space_monitor.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { type DiskFault, MemoryDisk, MemoryDiskError } from "../../support/fakes/memory_disk.ts";

/** A monitor whose log and disk a test sets. */
class Bench {
  readonly clock = new ManualClock();
  readonly disk = new MemoryDisk();
  /** When the log was asked to prepare its next file. */
  readonly preparedAt: number[] = [];
  /** When a small file was tried. */
  readonly probedAt: number[] = [];
  /** Code of the error of the next small files. */
  failure: string | null = null;
  logBytes = 0;
  considered = 0;
  readonly snapshots = { isTaking: false, consider: (): void => void this.considered++ };
  readonly exchange = { isReceiving: false };
  readonly log: LogSpace & { isNearlyFull: boolean } = {
    isNearlyFull: false,
    bytesSince: () => this.logBytes,
    checkDiskSpace: () => {
      this.preparedAt.push(this.clock.now());
      if (this.preparedAt.length === 1) throw new Error("the log has failed");
    },
  };
  readonly monitor = new DiskSpaceMonitor(this.log, {
    clock: this.clock,
    snapshots: this.snapshots,
    exchange: this.exchange,
    disk: this.disk,
    dataDir: "/data",
  });

  constructor() {
    this.disk.createDirectory("/data");
    this.disk.intercept = ({ kind }): DiskFault | null => {
      if (kind !== "open") return null;
      this.probedAt.push(this.clock.now());
      return this.failure === null ? null : { code: this.failure };
    };
    this.monitor.start();
  }

  /** Returns when small files were tried in the next so many seconds. */
  probesWithin(seconds: number): readonly number[] {
    this.probedAt.length = 0;
    for (let second = 0; second < seconds; second++) this.clock.advance(1_000);
    return this.probedAt.map((atMs) => atMs / 1_000);
  }
}

Deno.test("DiskSpaceMonitor: the log is checked once a second while the disk is nearly full, even after a check has failed", () => {
  const bench = new Bench();
  const { clock, log, snapshots, exchange, preparedAt } = bench;
  clock.advance(2_500);
  log.isNearlyFull = true;
  clock.advance(2_000);
  log.isNearlyFull = false;
  clock.advance(2_000);
  assertEquals(preparedAt, [3_000, 4_000]);
  log.isNearlyFull = true;
  snapshots.isTaking = true;
  clock.advance(1_000);
  Object.assign(snapshots, { isTaking: false });
  exchange.isReceiving = true;
  clock.advance(1_000);
  assertEquals(
    [preparedAt.length, bench.considered],
    [2, 4],
    "the space is left to a snapshot that is being written or received",
  );
  bench.monitor.stop();
  assertEquals(clock.timerCount, 0);
});

Deno.test("DiskSpaceMonitor: a small file is tried at the start, each minute, and each ten seconds while the log grows", () => {
  const bench = new Bench();
  assertEquals(bench.probesWithin(130), [1, 61, 121]);
  bench.logBytes = 100;
  assertEquals(bench.probesWithin(20), [131], "130 + 1: ten seconds have passed; afterwards the log rests");
  bench.logBytes = 200;
  assertEquals(bench.probesWithin(2), [151]);
  bench.monitor.stop();
});

Deno.test("DiskSpaceMonitor: a disk without space for a small file is nearly full until it has space, and tried each second", () => {
  const bench = new Bench();
  const { monitor } = bench;
  for (const code of ["ENOSPC", "EDQUOT"]) {
    bench.failure = null;
    bench.probesWithin(70);
    assertEquals(monitor.isNearlyFull, false);
    bench.failure = code;
    bench.probesWithin(60);
    assertEquals(monitor.isNearlyFull, true, code);
    bench.failure = "EMFILE";
    assertEquals([bench.probesWithin(3).length, monitor.isNearlyFull], [3, true], "EMFILE is no space");
  }
  assertEquals(bench.preparedAt, [], "the log, which has space, is left alone");
  bench.failure = null;
  assertEquals([bench.probesWithin(3).length, monitor.isNearlyFull], [1, false]);
  bench.failure = "EIO";
  bench.probesWithin(60);
  assertEquals(monitor.isNearlyFull, false, "a failing disk is not a full one");
  bench.log.isNearlyFull = true;
  assertEquals(monitor.isNearlyFull, true, "the log has no space");
  monitor.stop();
});

Deno.test("writeProbe: it leaves no file, whether there is space or not, and removes what a crash left", () => {
  const disk = new MemoryDisk();
  disk.createDirectory("/data");
  const before = disk.contents();
  writeProbe(disk, "/data");
  assertEquals([disk.contents(), disk.openFiles], [before, 0]);
  disk.capacityBytes = 65_535;
  assertEquals(assertThrows(() => writeProbe(disk, "/data"), MemoryDiskError).code, "ENOSPC");
  assertEquals([disk.contents(), disk.openFiles], [before, 0]);
  disk.capacityBytes = 65_536;
  writeProbe(disk, "/data");
  const left = disk.open("/data/space.new", "create");
  left.write(new Uint8Array(65_536), 0);
  left.close();
  writeProbe(disk, "/data");
  assertEquals(disk.contents(), before);
});

Deno.test("DiskSpaceMonitor: a node reports a full disk while its log still accepts writes, and refuses nothing", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  await cluster.pass(2_000);
  const { leader } = await cluster.run(client.cluster.status());
  if (leader === null) throw new Error("there is no leader");
  const states = async (): Promise<readonly string[]> =>
    (await client.cluster.status()).nodes.map((node) => node.reachable ? node.disk : "unreachable");
  const disk = cluster.disk(leader);
  disk.capacityBytes = 0;
  assertEquals(await cluster.run(states()), ["ok", "ok", "ok"]);
  await cluster.run(client.put("key", "changes the log"));
  await cluster.pass(61_000);
  assertEquals(await cluster.run(states()), [1, 2, 3].map((id) => id === leader ? "nearlyFull" : "ok"));
  await cluster.run(client.put("key", "another value"));
  assertEquals(
    (await cluster.run(client.cluster.status())).leader,
    leader,
    "it leads as long as it can write",
  );
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  await cluster.pass(2_000);
  assertEquals(await cluster.run(states()), ["ok", "ok", "ok"]);
});
