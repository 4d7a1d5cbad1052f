/** Scheduled backups: when they are written, what is kept, and failures that do no harm. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parseBackupName } from "../../../../lib/server/backups/backup_name.ts";
import { ScheduledBackups } from "../../../../lib/server/backups/scheduled_backups.ts";
import { verifyBackup } from "../../../../lib/server/backups/backup_file.ts";
import { Metrics } from "../../../../lib/server/metrics/metrics.ts";
import type { SnapshotStore } from "../../../../lib/storage/mod.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";
import { START_OF_2026_MS } from "../../../support/fakes/memory_cluster.ts";
import { grow, machineAt, noYield, openStore, storeState } from "../../../support/server_state.ts";
import { IDENTITY } from "../../../support/storage.ts";

const HOUR_MS = 3_600_000;
const DIRECTORY = "/backups";

interface Changes {
  readonly keep?: number;
  readonly nodeId?: number;
  readonly clusterId?: string;
}

/** A node with a state, whose backups go to a directory of a disk that others may share. */
class Bench {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly metrics = new Metrics(this.clock);
  readonly machine = machineAt(3);
  readonly disk: MemoryDisk;
  readonly backups: ScheduledBackups;
  wallOffsetMs = 0;
  knowsLeader = true;
  hasDiskSpace = true;

  private constructor(disk: MemoryDisk, store: SnapshotStore, { keep = 2, nodeId = 1, clusterId }: Changes) {
    this.disk = disk;
    const identity = { clusterId: clusterId ?? IDENTITY.clusterId, clusterName: "orders", nodeId };
    this.backups = new ScheduledBackups({
      path: DIRECTORY,
      everyMs: HOUR_MS,
      keep,
      disk,
      clock: this.clock,
      wallClock: () => START_OF_2026_MS + this.wallOffsetMs + this.clock.now(),
      logger: this.logger,
      identity,
      store,
      takeSnapshot: async () => {
        const stored = await storeState(store, this.machine, { clusterId: identity.clusterId });
        return { ...stored, revision: this.machine.revision };
      },
      knowsLeader: () => this.knowsLeader,
      hasDiskSpace: () => this.hasDiskSpace,
      metrics: this.metrics,
    });
  }

  static async make(disk = new MemoryDisk(), changes: Changes = {}): Promise<Bench> {
    return new Bench(disk, await openStore(disk), changes);
  }

  /** Lets time pass in steps, so that a backup that is due runs to its end. */
  async pass(durationMs: number): Promise<void> {
    this.clock.advance(durationMs);
    for (let turn = 0; turn < 20; turn++) {
      await settle();
      this.clock.advance(2);
    }
    await settle();
  }

  get names(): readonly string[] {
    return this.disk.stat(DIRECTORY) === null ? [] : this.disk.list(DIRECTORY);
  }
}

Deno.test("scheduled backups: one after the start and one each hour, verified, the oldest removed", async () => {
  const bench = await Bench.make();
  bench.backups.start();
  assertEquals(bench.names, []);
  await bench.pass(10_000);
  assertEquals(bench.names, ["orders-20260101T000010Z-r3-n1.snap"]);
  for (let hour = 1; hour <= 3; hour++) {
    grow(bench.machine, 3 + hour);
    await bench.pass(HOUR_MS);
  }
  assertEquals(bench.names.map((name) => parseBackupName(name)?.revision), [5, 6]);
  const [, newest = ""] = bench.names;
  const path = `${DIRECTORY}/${newest}`;
  const { keys, header } = await verifyBackup({ disk: bench.disk, path, yieldToEventLoop: noYield });
  assertEquals([keys, header.revision, header.clusterId], [6, 6, IDENTITY.clusterId]);
  assertEquals(bench.metrics.backups, { written: 4, unchanged: 0, failed: 0 });
  assertEquals(bench.metrics.backupEveryMs, HOUR_MS);
  assertEquals(bench.disk.openFiles, 0);
  await bench.backups.stop();
});

Deno.test("scheduled backups: a state that has one gets no other, and older ones stay", async () => {
  const bench = await Bench.make();
  bench.backups.start();
  await bench.pass(10_000);
  const before = bench.names;
  for (let hour = 0; hour < 3; hour++) await bench.pass(HOUR_MS);
  assertEquals(bench.names, before);
  assertEquals(bench.metrics.backups, { written: 1, unchanged: 3, failed: 0 });
  assert((bench.backups.figures.lastSuccessAtMs ?? 0) > START_OF_2026_MS + 3 * HOUR_MS);
  await bench.backups.stop();
});

Deno.test("scheduled backups: files of other nodes, of another cluster of this name and of users are not removed", async () => {
  const disk = new MemoryDisk();
  for (const changes of [{ nodeId: 2 }, { clusterId: "f".repeat(64) }]) {
    const other = await Bench.make(disk, changes);
    other.wallOffsetMs = -10 * HOUR_MS;
    other.backups.start();
    await other.pass(10_000);
    await other.backups.stop();
  }
  disk.open(`${DIRECTORY}/notes.txt`, "create").close();
  disk.open(`${DIRECTORY}/orders-20250101T000000Z-r1-n1.snap`, "create").close();
  const others = disk.list(DIRECTORY);
  assertEquals(others.length, 4);
  const bench = await Bench.make(disk, { keep: 1 });
  bench.backups.start();
  await bench.pass(10_000);
  grow(bench.machine, 9);
  await bench.pass(HOUR_MS);
  assertEquals(bench.names.filter((name) => !others.includes(name)).length, 1);
  assertEquals(others.filter((name) => !bench.names.includes(name)), []);
  await bench.backups.stop();
});

Deno.test("scheduled backups: a restart continues the interval, and removes what a crash left", async () => {
  const first = await Bench.make();
  first.backups.start();
  await first.pass(10_000);
  await first.backups.stop();
  const { disk } = first;
  for (const random of ["", ".0123456789abcdef"]) {
    disk.open(`${DIRECTORY}/orders-20260101T000500Z-r4-n1.snap${random}.new`, "create").close();
  }
  const again = await Bench.make(disk);
  again.wallOffsetMs = HOUR_MS / 2;
  grow(again.machine, 5);
  again.backups.start();
  await again.pass(10_000);
  assertEquals(again.names, ["orders-20260101T000010Z-r3-n1.snap"]);
  await again.pass(HOUR_MS / 2);
  assertEquals(again.names.length, 2);
  await again.backups.stop();
});

Deno.test("scheduled backups: a full disk leaves no file, is reported, and a later attempt succeeds", async () => {
  const bench = await Bench.make();
  bench.disk.intercept = ({ kind, path }) =>
    kind === "write" && path.startsWith(DIRECTORY) ? { code: "ENOSPC", writtenBytes: 10 } : null;
  bench.backups.start();
  await bench.pass(10_000);
  assertEquals(bench.names, []);
  assertStringIncludes(bench.backups.figures.lastFailure ?? "", "ENOSPC");
  assertEquals(bench.logger.lines.map(({ fields }) => fields["event"]), ["backupFailed"]);
  bench.disk.intercept = () => null;
  bench.hasDiskSpace = false;
  await bench.pass(60_000);
  assertStringIncludes(
    bench.backups.figures.lastFailure ?? "",
    "the disk of the data directory is nearly full",
  );
  bench.hasDiskSpace = true;
  await bench.pass(60_000);
  assertEquals([bench.names.length, bench.backups.figures.lastFailure], [1, null]);
  assertEquals(bench.metrics.backups, { written: 1, unchanged: 0, failed: 2 });
  await bench.backups.stop();
});

Deno.test("scheduled backups: bytes that changed on the disk are found before the file has its name", async () => {
  const bench = await Bench.make();
  bench.disk.intercept = ({ kind, path }) => {
    if (kind === "syncData" && path.startsWith(DIRECTORY)) {
      bench.disk.edit(path, (bytes) => bytes.with(bytes.length - 40, 255 - (bytes.at(-40) ?? 0)));
    }
    return null;
  };
  bench.backups.start();
  await bench.pass(10_000);
  assertEquals(bench.names, []);
  assertStringIncludes(bench.backups.figures.lastFailure ?? "", "damaged");
  await bench.backups.stop();
});

Deno.test("scheduled backups: none is written while no leader is known", async () => {
  const bench = await Bench.make();
  bench.knowsLeader = false;
  bench.backups.start();
  await bench.pass(10_000);
  assertEquals([bench.names, bench.backups.figures.lastFailure], [[], null]);
  bench.knowsLeader = true;
  await bench.pass(60_000);
  assertEquals(bench.names.length, 1);
  await bench.backups.stop();
});

Deno.test("scheduled backups: a stop ends one in progress, and its file is removed", async () => {
  const bench = await Bench.make();
  grow(bench.machine, 400, 4_000);
  const gate = Promise.withResolvers<void>();
  bench.disk.syncGate = null;
  bench.disk.intercept = ({ kind, path }) => {
    if (kind === "syncData" && path.startsWith(DIRECTORY)) bench.disk.syncGate = gate.promise;
    return null;
  };
  bench.backups.start();
  await bench.pass(10_000);
  assertEquals(bench.names.map((name) => name.endsWith(".new")), [true]);
  assertMatch(bench.names[0] ?? "", /\.snap\.[0-9a-f]{16}\.new$/);
  const stopped = bench.backups.stop();
  bench.disk.syncGate = null;
  bench.disk.intercept = () => null;
  gate.resolve();
  await bench.pass(2);
  await stopped;
  assertEquals([bench.names, bench.disk.openFiles], [[], 0]);
});
