/** The open log: append, sync, readEntries and close, and their errors when the disk fails. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { Entry } from "../../../lib/raft/types.ts";
import { InvariantError } from "../../../lib/platform/assert.ts";
import {
  DataDirectoryUnusableError,
  LogDamagedError,
  LogFailedError,
  LogFullError,
} from "../../../lib/storage/mod.ts";
import { MemoryDisk, MemoryDiskError } from "../../support/fakes/memory_disk.ts";
import type { DiskOperation } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  contentOf,
  entry,
  entryText,
  FIRST_SEGMENT,
  hardState,
  lastSegmentPath,
  openLog,
  WAL,
} from "../../support/storage.ts";

const losingAll = (): boolean => false;

async function reopened(disk: MemoryDisk): Promise<Awaited<ReturnType<typeof openLog>>["recovered"]> {
  const { log, recovered } = await openLog(disk);
  await log.close();
  return recovered;
}

/** Returns the names of the log's segments. */
function segmentsOf(disk: MemoryDisk): readonly string[] {
  return disk.list(WAL).filter((name) => name.endsWith(".log"));
}

Deno.test("WriteAheadLog: a new log is empty and begins at index 1", async () => {
  const disk = new MemoryDisk();
  const { log, recovered } = await openLog(disk);
  await log.close();
  assertEquals(recovered, {
    hardState: { term: 0, vote: null, commitIndex: 0 },
    compacted: { index: 0, term: 0 },
    lastIndex: 0,
    termRanges: [],
    cachedEntries: [],
    configurations: [],
    cut: null,
    wasReset: false,
    segments: 1,
    bytes: recovered.bytes,
  });
  assertEquals(segmentsOf(disk), ["00000000000000000001.log"]);
  assertEquals(disk.bytesOf(FIRST_SEGMENT).length, 4096, "the segment is preallocated");
});

Deno.test("WriteAheadLog: synced data survives any loss of power", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [
    batch(hardState(3, 2), entry(1, 1), entry(2, 3)),
    batch(hardState(3, 2, 2), entry(3, 3)),
  ]);
  log.append(batch(hardState(4, null, 2), entry(4, 4)));
  const recovered = await reopened(disk.crash(losingAll));
  assertEquals(contentOf(recovered), {
    hardState: { term: 3, vote: 2, commitIndex: 2 },
    entries: [entry(1, 1), entry(2, 3), entry(3, 3)].map(entryText),
  });
  assertEquals(recovered.termRanges, [{ firstIndex: 1, term: 1 }, { firstIndex: 2, term: 3 }]);
  assertEquals(recovered.cut, null);
});

Deno.test("WriteAheadLog: a batch is one write, and its sync one fdatasync", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  const kinds: DiskOperation["kind"][] = [];
  disk.intercept = ({ kind }) => {
    kinds.push(kind);
    return null;
  };
  log.append(batch(hardState(1), entry(1, 1), entry(2, 1)));
  log.append(batch(hardState(1, null, 2), entry(3, 1)));
  const syncing = log.sync();
  log.append(batch(null, entry(4, 1)));
  await syncing;
  assertEquals(kinds, ["write", "write", "syncData", "write"]);
  await log.close();
});

Deno.test("WriteAheadLog: a sync covers the appends before it and not those during it", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  log.append(batch(hardState(1), entry(1, 1)));
  const gate = Promise.withResolvers<void>();
  disk.syncGate = gate.promise;
  const syncing = log.sync();
  log.append(batch(null, entry(2, 1)));
  gate.resolve();
  await syncing;
  const recovered = await reopened(disk.crash(losingAll));
  assertEquals(contentOf(recovered).entries, [entryText(entry(1, 1))]);
});

Deno.test("WriteAheadLog: an entry replaces every entry at its index and above, also in older segments", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  const first = Array.from(
    { length: 30 },
    (_, at) => batch(at === 0 ? hardState(1) : null, entry(at + 1, 1)),
  );
  await appendSynced(log, first);
  await appendSynced(log, [batch(hardState(2), entry(4, 2)), batch(null, entry(5, 2), entry(6, 2))]);
  const expected = [entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 2), entry(5, 2), entry(6, 2)].map(
    entryText,
  );
  assertEquals((await log.readEntries(1, 10_000)).map(entryText), expected);
  await log.close();
  const { log: again, recovered } = await openLog(disk, { segmentBytes: 512 });
  assertEquals(contentOf(recovered).entries, expected);
  assertEquals(recovered.termRanges, [{ firstIndex: 1, term: 1 }, { firstIndex: 4, term: 2 }]);
  assertEquals((await again.readEntries(3, 10_000)).map(entryText), expected.slice(2));
  await again.close();
});

Deno.test("WriteAheadLog: segments never share a name, even after many truncations", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  for (let term = 1; term <= 12; term += 1) {
    await appendSynced(log, [
      batch(hardState(term), entry(1, term, "x".repeat(200)), entry(2, term, "y".repeat(100))),
    ]);
  }
  await log.close();
  const { log: again, recovered } = await openLog(disk, { segmentBytes: 512 });
  await again.close();
  assertEquals(contentOf(recovered).entries.map((text) => text.slice(0, 4)), ["1@12", "2@12"]);
  assertEquals(segmentsOf(disk).length, recovered.segments);
  assertEquals(recovered.segments > 8, true);
});

Deno.test("WriteAheadLog: a batch larger than a segment is written entirely, and the next goes into a new segment", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  const batches = [
    batch(hardState(1), entry(1, 1, "a".repeat(3000))),
    batch(null, entry(2, 1, "b".repeat(3000)), entry(3, 1)),
    batch(null, entry(4, 1)),
  ];
  await appendSynced(log, batches);
  await log.close();
  const recovered = await reopened(disk);
  assertEquals(contentOf(recovered).entries, batches.flatMap(({ entries }) => entries.map(entryText)));
  assertEquals(segmentsOf(disk), [1, 2, 4].map((number) => `${number}.log`.padStart(24, "0")));
});

Deno.test("WriteAheadLog: readEntries stays within its bound, but returns at least one entry", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [
    batch(hardState(1), ...[1, 2, 3, 4].map((index) => entry(index, 1, "z".repeat(67)))),
  ]);
  const counts = [1, 100, 199, 200, 300, 1000].map(async (maxBytes) =>
    (await log.readEntries(1, maxBytes)).length
  );
  assertEquals(await Promise.all(counts), [1, 1, 1, 2, 3, 4]);
  assertThrows(() => log.append(batch(null, entry(9, 1))), InvariantError, "does not follow");
  await assertRejects(() => log.readEntries(5, 100), InvariantError);
  await log.close();
  assertEquals(disk.openFiles, 0);
});

Deno.test("WriteAheadLog: readEntries returns the log of the moment of the call, while appends replace and add entries", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  const before = Array.from({ length: 20 }, (_, at) => entry(at + 1, 1, "k".repeat(60)));
  await appendSynced(log, before.map((each, at) => batch(at === 0 ? hardState(1) : null, each)));
  const reading = log.readEntries(2, 100_000);
  log.append(batch(hardState(2), entry(5, 2), entry(6, 2)));
  assertEquals((await reading).map(entryText), before.slice(1).map(entryText));
  assertEquals(
    (await log.readEntries(4, 100_000)).map(entryText),
    [before[3], entry(5, 2), entry(6, 2)].flatMap((each) => each === undefined ? [] : [entryText(each)]),
  );
  await log.close();
});

Deno.test("WriteAheadLog: readEntries refuses an entry that was damaged since, and names it", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(1), entry(1, 1), entry(2, 1, "decaying"))]);
  disk.edit(FIRST_SEGMENT, (bytes) => {
    const at = new TextDecoder("latin1").decode(bytes).indexOf("decaying");
    return bytes.with(at, 0x44);
  });
  const error = await assertRejects(() => log.readEntries(1, 1000), LogDamagedError, "Nothing was changed");
  assertEquals([error.file, error.index], [FIRST_SEGMENT, 2]);
  await log.close();
});

Deno.test("WriteAheadLog: returned entries own their bytes, though more was read than fits a buffer", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  const entries = Array.from({ length: 12 }, (_, at) => entry(at + 1, 1, new Uint8Array(150_000).fill(at)));
  await appendSynced(log, [batch(hardState(1), ...entries)]);
  // Each is shown by its index and its bytes, all alike: the difference of megabytes would not help a reader.
  const marks = (read: readonly Entry[]): unknown =>
    read.map(({ index, data }) => [index, data.length, ...new Set(data)]);
  assertEquals(marks(await log.readEntries(1, 10_000_000)), marks(entries));
  await log.close();
  const { log: again, recovered } = await openLog(disk, { entryCacheBytes: 10_000_000 });
  assertEquals(marks(recovered.cachedEntries), marks(entries));
  await again.close();
});

Deno.test("WriteAheadLog: an entry that was read does not change with later appends", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(1), entry(1, 1, "first"))]);
  const [read] = await log.readEntries(1, 100);
  await appendSynced(log, [batch(hardState(2), entry(1, 2, "other"))]);
  await log.readEntries(1, 100);
  assertEquals(read, entry(1, 1, "first"));
  await log.close();
});

Deno.test("WriteAheadLog: a full disk refuses the batch entirely, and nothing of it is recovered behind a shorter one", async () => {
  for (let writtenBytes = 0; writtenBytes <= 330; writtenBytes += 1) {
    const disk = new MemoryDisk();
    const { log } = await openLog(disk);
    await appendSynced(log, [batch(hardState(1), entry(1, 1))]);
    disk.intercept = ({ kind }) => kind === "write" ? { code: "ENOSPC", writtenBytes } : null;
    const refused = [2, 3, 4, 5, 6].map((index) => entry(index, 1, "refused ".repeat(4)));
    assertThrows(() => log.append(batch(null, ...refused)), LogFullError, "Nothing of this write was kept");
    disk.intercept = () => null;
    log.append(batch(hardState(1, null, 1), entry(2, 1, "refused ".repeat(4))));
    for (
      const keep of [losingAll, () => true, (unsynced: { kind: string }) => unsynced.kind === "truncate"]
    ) {
      const entries = contentOf(await reopened(disk.crash(keep))).entries;
      assertEquals(entries.length <= 2, true, `nothing of the refused batch is alive: ${entries}`);
    }
    await log.sync();
    const recovered = await reopened(disk.crash(losingAll));
    assertEquals(contentOf(recovered), {
      hardState: hardState(1, null, 1),
      entries: [entry(1, 1), entry(2, 1, "refused ".repeat(4))].map(entryText),
    });
    await log.close();
  }
});

Deno.test("WriteAheadLog: a disk without space for the next segment refuses the batch, and accepts it once there is space", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 2048 });
  disk.capacityBytes = 3000;
  let index = 0;
  const appendNext = (): void =>
    log.append(batch(index === 0 ? hardState(1) : null, entry(index + 1, 1, "v".repeat(100))));
  assertThrows(
    () => {
      for (;;) {
        appendNext();
        index += 1;
      }
    },
    LogFullError,
    "Free some space",
  );
  assertThrows(appendNext, LogFullError);
  await log.sync();
  assertEquals(disk.list(WAL), ["00000000000000000001.log"], "nothing of the unfinished segment is left");
  disk.capacityBytes = 10_000;
  appendNext();
  await log.sync();
  await log.close();
  const recovered = await reopened(disk);
  assertEquals([recovered.lastIndex, recovered.segments], [index + 1, 2]);
});

Deno.test("WriteAheadLog: a failed sync is final: no operation is repeated, and every later call fails with the reason", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(1), entry(1, 1))]);
  log.append(batch(null, entry(2, 1)));
  disk.intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  const error = await assertRejects(() => log.sync(), LogFailedError, "Check the disk");
  assertStringIncludes(error.message, "EIO");
  disk.intercept = () => {
    throw new Error("the disk is not asked any more");
  };
  assertThrows(() => log.append(batch(null, entry(2, 1))), LogFailedError);
  await assertRejects(() => log.sync(), LogFailedError);
  await assertRejects(() => log.readEntries(1, 100), LogFailedError);
  await log.close();
  assertEquals(disk.openFiles, 0);
});

Deno.test("WriteAheadLog: a failed sync is not repeated, though the second attempt would succeed", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  log.append(batch(hardState(1), entry(1, 1)));
  let syncs = 0;
  disk.intercept = ({ kind }) => kind === "syncData" && syncs++ === 0 ? { code: "EIO" } : null;
  await assertRejects(() => log.sync(), LogFailedError, "EIO");
  await assertRejects(() => log.sync(), LogFailedError, "EIO");
  await log.close();
  assertEquals(syncs, 1);
  assertEquals(contentOf(await reopened(disk.crash(losingAll))).entries, [], "the second would have lied");
});

Deno.test("WriteAheadLog: a failed write, or a failed truncation after a full disk, is final", async () => {
  const faults: Record<string, { write: string; truncate: string | null }> = {
    "a device error": { write: "EIO", truncate: null },
    "a cut that fails": { write: "ENOSPC", truncate: "EIO" },
  };
  for (const [name, { write, truncate }] of Object.entries(faults)) {
    const disk = new MemoryDisk();
    const { log } = await openLog(disk);
    disk.intercept = ({ kind }) => {
      if (kind === "write") return { code: write, writtenBytes: 20 };
      return kind === "truncate" && truncate !== null ? { code: truncate } : null;
    };
    assertThrows(() => log.append(batch(hardState(1), entry(1, 1))), LogFailedError, "EIO");
    disk.intercept = () => null;
    assertThrows(() => log.append(batch(hardState(1), entry(1, 1))), LogFailedError, "EIO");
    await log.close();
    assertEquals(disk.openFiles, 0, name);
  }
});

Deno.test("WriteAheadLog: the error for a log file without permission does not mention the disk", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await log.close();
  const open = disk.open.bind(disk);
  disk.open = (path, mode) => {
    if (path === FIRST_SEGMENT) throw new MemoryDiskError("EACCES", path);
    return open(path, mode);
  };
  const error = await assertRejects(
    () => openLog(disk),
    DataDirectoryUnusableError,
    "Nothing is wrong with the disk",
  );
  assertEquals(error.path, WAL);
});

Deno.test("WriteAheadLog: the next segment is prepared in the background, so that the first append to it only writes its header", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 4096 });
  await appendSynced(log, [batch(hardState(1), entry(1, 1, "h".repeat(2500)))]);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  assertEquals(disk.list(WAL), ["00000000000000000001.log", "next.new"]);
  const kinds: DiskOperation["kind"][] = [];
  disk.intercept = ({ kind }) => {
    kinds.push(kind);
    return null;
  };
  log.append(batch(null, entry(2, 1, "i".repeat(2500))));
  assertEquals(kinds.slice(0, 7), [
    // The old segment is ended,
    ...["truncate", "syncNow"] as const,
    // the new one gets its header and then its name,
    ...["write", "syncNow", "rename", "syncDirectory"] as const,
    // and only then the batch.
    "write",
  ]);
  await log.sync();
  await log.close();
  assertEquals(disk.openFiles, 0);
  assertEquals(segmentsOf(disk), ["00000000000000000001.log", "00000000000000000002.log"]);
});

Deno.test("WriteAheadLog: a segment may be ended while its sync is in progress", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  log.append(batch(hardState(1), entry(1, 1, "a".repeat(300))));
  const gate = Promise.withResolvers<void>();
  disk.syncGate = gate.promise;
  const syncing = log.sync();
  for (const index of [2, 3, 4]) log.append(batch(null, entry(index, 1, "b".repeat(300))));
  gate.resolve();
  await syncing;
  await log.sync();
  const recovered = await reopened(disk.crash(losingAll));
  assertEquals(recovered.lastIndex, 4);
  await log.close();
  assertEquals(disk.openFiles, 0);
});

Deno.test("WriteAheadLog: a batch that doesn't follow from the log is an assertion before anything is written", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(5, 2), entry(1, 3), entry(2, 5)), batch(hardState(5, 2, 1))]);
  const before = disk.operations;
  const wrong = [
    batch(hardState(4, 2, 1)),
    batch(hardState(5, 3, 1)),
    batch(hardState(5, null, 1)),
    batch(hardState(5, 2, 0)),
    batch(hardState(5, 2, 3)),
    batch(hardState(5, 2, 4), entry(3, 5)),
    batch(null, entry(4, 5)),
    batch(null, entry(0, 5)),
    batch(null, entry(1, 5)),
    batch(null, entry(3, 4)),
    batch(null, entry(3, 6)),
    batch(null, entry(3, 5), entry(5, 5)),
    batch(null, entry(3, 5), entry(3, 5)),
    batch(hardState(7, 2, 1), entry(3, 7), entry(4, 6)),
    batch(null, entry(3, 5, new Uint8Array(16 * 1024 * 1024 + 1))),
  ];
  for (const each of wrong) {
    assertThrows(() => log.append(each), InvariantError, "a batch follows from the log");
  }
  assertEquals(disk.operations, before);
  await log.close();
});

Deno.test("WriteAheadLog: an empty batch writes nothing; a sync without appends and a second close have no effect", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  const before = disk.operations;
  log.append(batch(null));
  assertEquals(disk.operations, before);
  await log.sync();
  await log.close();
  await log.close();
  assertThrows(() => log.append(batch(null)), InvariantError);
  assertEquals(lastSegmentPath(disk), FIRST_SEGMENT);
});

Deno.test("WriteAheadLog: recovery returns only the last entries within the bound", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  const entries = Array.from({ length: 10 }, (_, at) => entry(at + 1, 1, "t".repeat(67)));
  await appendSynced(log, [batch(hardState(2), ...entries), batch(null, entry(9, 2, "u".repeat(67)))]);
  await log.close();
  const { log: again, recovered } = await openLog(disk, { entryCacheBytes: 350 });
  assertEquals(recovered.cachedEntries.map(({ index, term }) => [index, term]), [[8, 1], [9, 2]]);
  assertEquals((await again.readEntries(1, 10_000)).length, 9);
  await again.close();
});
