/** A lack of file descriptors: the log loses nothing, and the same call succeeds once there is a descriptor. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  LogFailedError,
  OutOfDescriptorsError,
  type PersistBatch,
  shortageOf,
  SnapshotWriteError,
  type WriteAheadLog,
} from "../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  contentOf,
  entry,
  hardState,
  openLog,
  openNode,
  resetBatch,
  WAL,
  writeSnapshot,
} from "../../support/storage.ts";

const losingAll = (): boolean => false;

/** A run in small segments, with rolls, a replaced entry and a reset behind a snapshot. */
const LIFE: readonly PersistBatch[] = [
  batch(hardState(1, 1), entry(1, 1, "a".repeat(300))),
  batch(null, entry(2, 1, "b".repeat(300))),
  batch(hardState(2, 2, 1), entry(2, 2, "c".repeat(300))),
  batch(null, entry(3, 2, "d".repeat(300))),
  resetBatch({ index: 9, term: 2 }, hardState(2, 2, 9)),
  batch(null, entry(10, 2, "e".repeat(300))),
  batch(hardState(2, 2, 10), entry(11, 2, "f".repeat(300))),
];

async function prepared(): Promise<{ disk: MemoryDisk; log: WriteAheadLog }> {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk, { segmentBytes: 512 });
  await writeSnapshot(store, { index: 9, term: 2, chunks: ["state"] });
  return { disk, log };
}

/** Appends and syncs; repeats a call that failed for lack of a descriptor, and returns the number of these failures. */
async function live(disk: MemoryDisk, log: WriteAheadLog): Promise<number> {
  let refusals = 0;
  for (const each of LIFE) {
    try {
      log.append(each);
    } catch (error) {
      assertEquals([error instanceof OutOfDescriptorsError, shortageOf(error)], [true, "outOfDescriptors"]);
      refusals += 1;
      disk.isOutOfDescriptors = false;
      log.append(each);
    }
    await log.sync();
  }
  return refusals;
}

Deno.test("WriteAheadLog: without a descriptor a batch is refused entirely, at every step, and accepted once there is one", async () => {
  const whole = await prepared();
  const from = whole.disk.operations;
  await live(whole.disk, whole.log);
  const operations = whole.disk.operations - from;
  await whole.log.close();
  const expected = contentOf((await openLog(whole.disk)).recovered);
  let refusals = 0;
  for (let at = 1; at <= operations; at += 1) {
    const { disk, log } = await prepared();
    disk.intercept = ({ number }) => {
      if (number === from + at) disk.isOutOfDescriptors = true;
      return null;
    };
    refusals += await live(disk, log);
    disk.isOutOfDescriptors = false;
    const after = disk.crash(losingAll);
    assertEquals(contentOf((await openLog(after)).recovered), expected, `from operation ${at} on`);
    await log.close();
    assertEquals(disk.openFiles, 0);
  }
  assert(refusals > 5, "it was refused");
});

Deno.test("WriteAheadLog: entries that can't be read for lack of a descriptor are read later; removals are repeated", async () => {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk, { segmentBytes: 512 });
  const entries = [1, 2, 3, 4].map((index) =>
    batch(hardState(1, null, index - 1), entry(index, 1, "x".repeat(400)))
  );
  await appendSynced(log, entries);
  await writeSnapshot(store, { index: 3, term: 1, chunks: ["state"] });
  disk.isOutOfDescriptors = true;
  await assertRejects(() => log.readEntries(1, 1_000), OutOfDescriptorsError, "ulimit -n");
  log.removeBefore(4);
  disk.isOutOfDescriptors = false;
  assertEquals((await log.readEntries(4, 1_000)).map(({ index }) => index), [4]);
  const segments = disk.list(WAL).filter((name) => name.endsWith(".log"));
  assertEquals(segments, ["00000000000000000004.log"]);
  assertEquals((await openLog(disk.crash(losingAll))).recovered.lastIndex, 4);
  await log.close();
});

Deno.test("SnapshotReceiver: a snapshot that can't be renamed for lack of a descriptor is renamed later, and durably", async () => {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk);
  await writeSnapshot(store, { index: 3, term: 1, chunks: ["state"] });
  const [stored] = store.list();
  assert(stored !== undefined);
  const bytes = disk.bytesOf("/data/snapshots/00000000000000000003-00000000000000000001.snap");
  await log.close();
  const other = new MemoryDisk();
  const { log: otherLog, store: into } = await openNode(other);
  const receiver = into.receive({ index: 3, term: 1, totalBytes: stored.bytes });
  receiver.write(0, bytes);
  for await (const _chunk of (await receiver.finish()).chunks());
  other.isOutOfDescriptors = true;
  const error = assertThrows(() => receiver.install(), SnapshotWriteError, "ulimit -n");
  assertEquals([shortageOf(error), into.list().length], ["outOfDescriptors", 0]);
  other.isOutOfDescriptors = false;
  receiver.install();
  await otherLog.close();
  assertEquals(into.list().map(({ index }) => index), [3]);
  assertEquals((await openNode(other.crash(losingAll))).snapshot, { index: 3, term: 1 });
});

Deno.test("WriteAheadLog: a failed sync of the zeros of a segment already in use ends the log, also when the disk is full", async () => {
  for (const code of ["EIO", "ENOSPC"]) {
    const disk = new MemoryDisk();
    const { log } = await openLog(disk, { segmentBytes: 4_096 });
    await appendSynced(log, [batch(hardState(1))]);
    const gate = Promise.withResolvers<void>();
    // The zeros of the next segment are still being synced when the log continues in it.
    let failing = true;
    disk.intercept = ({ kind, path }) => {
      const fault = failing && kind === "syncData" && path.endsWith("next.new") ? { code } : null;
      if (fault !== null) {
        failing = false;
        disk.syncGate = gate.promise;
      }
      return fault;
    };
    log.append(batch(null, entry(1, 1, "h".repeat(2_500))));
    disk.syncGate = null;
    log.append(batch(null, entry(2, 1, "i".repeat(2_500))));
    gate.resolve();
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    await assertRejects(() => log.sync(), LogFailedError, code);
    await log.close();
    assertEquals(disk.openFiles, 0);
  }
});
