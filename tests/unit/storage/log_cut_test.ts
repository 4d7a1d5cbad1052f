/**
 * A log that does not begin at 1: compacted or reset behind a snapshot. Whichever segments are removed, the log opens
 * again; and where it needs a snapshot for that, one must be there.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import type { Entry } from "../../../lib/raft/types.ts";
import {
  DataDirectoryDamagedError,
  LogDamagedError,
  LogFailedError,
  LogFullError,
  LogMissingError,
  SnapshotMissingError,
  WriteAheadLog,
} from "../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  entry,
  entryText,
  hardState,
  IDENTITY,
  lastSegmentPath,
  openLog,
  openNode,
  resetBatch,
  SNAPSHOTS,
  WAL,
  writeSnapshot,
} from "../../support/storage.ts";

const losingAll = (): boolean => false;
const SMALL = { segmentBytes: 512 };

/** Entries `first` to `last` of a term, each so long that a small segment holds two of them. */
function entries(first: number, last: number, term: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => entry(first + at, term, "e".repeat(60)));
}

/** A node with entries 1 to `last` of term 1, all committed, one batch each. */
async function longLog(last: number): Promise<Awaited<ReturnType<typeof openNode>> & { disk: MemoryDisk }> {
  const disk = new MemoryDisk();
  const node = await openNode(disk, SMALL);
  await appendSynced(node.log, [
    batch(hardState(1)),
    ...entries(1, last, 1).map((each) => batch(hardState(1, null, each.index), each)),
  ]);
  return { disk, ...node };
}

function segments(disk: MemoryDisk): readonly number[] {
  return disk.list(WAL).filter((name) => name.endsWith(".log")).map((name) => Number(name.slice(0, 20)));
}

async function allOf(log: WriteAheadLog, last: number): Promise<readonly string[]> {
  return (await log.readEntries(log.firstIndex, 1 << 20)).slice(0, last).map(entryText);
}

Deno.test("WriteAheadLog: compaction removes complete segments, oldest first and durably, and never the last", async () => {
  const { disk, log, store } = await longLog(10);
  assertEquals(segments(disk), [1, 3, 5, 7, 9]);
  await writeSnapshot(store, { index: 10, term: 1, chunks: ["state"] });
  const steps: string[] = [];
  disk.intercept = ({ kind, path }) => {
    steps.push(`${kind} ${Number(path.slice(-24, -4)) || "folder"}`);
    return null;
  };
  log.removeBefore(2);
  assertEquals([steps, log.firstIndex], [[], 1]);
  log.removeBefore(6);
  assertEquals(steps, ["remove 1", "syncDirectory folder", "remove 3", "syncDirectory folder"]);
  assertEquals([log.firstIndex, segments(disk)], [5, [5, 7, 9]]);
  assertThrows(() => log.removeBefore(12), InvariantError);
  log.removeBefore(11);
  assertEquals([log.firstIndex, segments(disk)], [9, [9]]);
  assertEquals(await allOf(log, 9), entries(9, 10, 1).map(entryText));
  await assertRejects(() => log.readEntries(8, 100), InvariantError, "entries that are read exist");
  await log.close();
});

Deno.test("WriteAheadLog: a log whose first segments were removed opens behind its snapshot, with the base it had before", async () => {
  const { disk, log, store } = await longLog(10);
  await writeSnapshot(store, { index: 8, term: 1, chunks: ["state"] });
  log.removeBefore(7);
  const { log: again, recovered, snapshot } = await openNode(disk.crash(losingAll), SMALL);
  assertEquals(snapshot, { index: 8, term: 1 });
  assertEquals([recovered.compacted, recovered.lastIndex], [{ index: 6, term: 1 }, 10]);
  assertEquals(recovered.termRanges, [{ firstIndex: 7, term: 1 }]);
  assertEquals(recovered.cachedEntries.map(entryText), entries(7, 10, 1).map(entryText));
  assertEquals(recovered.hardState, hardState(1, null, 10));
  assertEquals(recovered.segments, 2);
  await appendSynced(again, [batch(hardState(2, null, 10), entry(11, 2))]);
  assertEquals(await allOf(again, 5), [...entries(7, 10, 1), entry(11, 2)].map(entryText));
  again.removeBefore(9);
  assertEquals(again.firstIndex, 9);
  await Promise.all([log.close(), again.close()]);
});

Deno.test("WriteAheadLog: without a snapshot that reaches its beginning a log is refused, and nothing is changed", async () => {
  const { disk, log, store } = await longLog(10);
  await writeSnapshot(store, { index: 4, term: 1, chunks: ["old"] });
  await writeSnapshot(store, { index: 8, term: 1, chunks: ["new"] });
  log.removeBefore(7);
  await log.close();
  const newest = `${SNAPSHOTS}/${disk.list(SNAPSHOTS).at(-1)}`;
  for (
    const [names, says] of [[[newest], "the newest valid one ends at entry 4"], [
      [],
      "there is no valid one",
    ]] as const
  ) {
    const copy = disk.killProcess();
    for (
      const path of names.length > 0 ? names : copy.list(SNAPSHOTS).map((name) => `${SNAPSHOTS}/${name}`)
    ) {
      copy.edit(path, (bytes) => bytes.with(bytes.length - 40, 7));
    }
    const before = copy.contents();
    const error = await assertRejects(() => openNode(copy, SMALL), SnapshotMissingError, says);
    assertStringIncludes(error.message, "it begins with entry 7, the segments before it are missing");
    assertStringIncludes(error.message, "member replace");
    assertEquals(copy.contents(), before);
  }
});

Deno.test("WriteAheadLog: an older snapshot than the newest suffices if it reaches the log's beginning", async () => {
  const { disk, log, store } = await longLog(10);
  await writeSnapshot(store, { index: 6, term: 1, chunks: ["old"] });
  await writeSnapshot(store, { index: 9, term: 1, chunks: ["new"] });
  log.removeBefore(7);
  await log.close();
  disk.edit(`${SNAPSHOTS}/${disk.list(SNAPSHOTS).at(-1)}`, (bytes) => bytes.slice(0, -1));
  const { log: again, recovered, snapshot } = await openNode(disk, SMALL);
  assertEquals([snapshot?.index, recovered.compacted.index, recovered.lastIndex], [6, 6, 10]);
  await again.close();
});

Deno.test("WriteAheadLog: a log that has lost all of its files is never created again, with or without a snapshot", async () => {
  for (const hasSnapshot of [true, false]) {
    const { disk, log, store } = await longLog(4);
    if (hasSnapshot) await writeSnapshot(store, { index: 4, term: 1, chunks: ["state"] });
    await log.close();
    for (const name of disk.list(WAL)) if (name.endsWith(".log")) disk.remove(`${WAL}/${name}`);
    await assertRejects(
      () => openNode(disk, SMALL),
      DataDirectoryDamagedError,
      "the log (wal/) of node 1",
    );
    // With a snapshot the log itself refuses, too.
    if (!hasSnapshot) continue;
    const options = { ...SMALL, disk, directory: WAL, identity: IDENTITY, entryCacheBytes: 0 };
    const opening = WriteAheadLog.open({ ...options, snapshot: { index: 4, term: 1 } });
    await assertRejects(() => opening, LogMissingError, "a snapshot of entry 4 shows");
  }
});

Deno.test("WriteAheadLog: a read in progress gets all its entries though the log is compacted; the segments are removed after it", async () => {
  const { disk, log, store } = await longLog(10);
  await writeSnapshot(store, { index: 10, term: 1, chunks: ["state"] });
  const reading = log.readEntries(1, 1 << 20);
  log.removeBefore(9);
  assertEquals([log.firstIndex, segments(disk).length], [9, 5]);
  assertEquals((await reading).map(entryText), entries(1, 10, 1).map(entryText));
  assertEquals(segments(disk), [9]);
  await log.close();
});

Deno.test("WriteAheadLog: a segment that can't be removed, or whose removal can't be made durable, ends the log", async () => {
  for (const failing of ["remove", "syncDirectory"]) {
    const { disk, log } = await longLog(10);
    disk.intercept = ({ kind }) => kind === failing ? { code: "EIO" } : null;
    assertThrows(() => log.removeBefore(9), LogFailedError, "EIO");
    disk.intercept = () => null;
    assertThrows(() => log.removeBefore(9), LogFailedError, "EIO");
    await log.close();
    assertEquals(disk.openFiles, 0);
  }
});

Deno.test("WriteAheadLog: entries replaced across a segment's beginning are found without the segments before it", async () => {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk, SMALL);
  // Segment 1 has entries 1 to 4, segment 5 begins with 5, and then a later leader replaces entries from 3 on.
  await appendSynced(log, [
    batch(hardState(1), ...entries(1, 2, 1)),
    batch(null, entry(3, 1, "three"), entry(4, 1, "four")),
    batch(null, entry(5, 1, "five".repeat(20))),
    batch(hardState(2), entry(3, 2, "three again"), entry(4, 2)),
    batch(hardState(2, null, 6), entry(5, 2), entry(6, 2)),
    batch(hardState(2, null, 7), entry(7, 2, "g".repeat(250))),
  ]);
  assertEquals(segments(disk), [1, 5, 7]);
  await writeSnapshot(store, { index: 5, term: 2, chunks: ["state"] });
  log.removeBefore(4);
  assertEquals(segments(disk), [1, 5, 7], "entry 4 is in segment 5, which begins with 5");
  log.removeBefore(6);
  assertEquals([segments(disk), log.firstIndex], [[5, 7], 5]);
  assertEquals((await log.readEntries(5, 10_000)).map(({ index, term }) => [index, term]), [[5, 2], [6, 2], [
    7,
    2,
  ]]);
  const { log: again, recovered } = await openNode(disk.crash(losingAll), SMALL);
  // The term of entry 2 is lost: entry 3 is the first whose term is known.
  assertEquals([recovered.compacted, recovered.lastIndex], [{ index: 3, term: 2 }, 7]);
  assertEquals(recovered.termRanges, [{ firstIndex: 4, term: 2 }]);
  assertEquals(recovered.cachedEntries.map(({ index }) => index), [4, 5, 6, 7]);
  assertEquals((await again.readEntries(4, 10_000)).map(entryText), recovered.cachedEntries.map(entryText));
  await Promise.all([log.close(), again.close()]);
});

Deno.test("WriteAheadLog: a replaced entry that is not durable yet counts for nothing when the log is compacted", async () => {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk, SMALL);
  await appendSynced(log, [
    batch(hardState(1), ...entries(1, 2, 1)),
    batch(null, entry(3, 1), entry(4, 1)),
    batch(null, entry(5, 1)),
  ]);
  log.append(batch(hardState(2, null, 4), entry(3, 2), entry(4, 2)));
  await writeSnapshot(store, { index: 4, term: 2, chunks: ["state"] });
  log.removeBefore(5);
  for (const keep of [losingAll, () => true]) {
    const { log: again, recovered } = await openNode(disk.crash(keep), SMALL);
    assertEquals(recovered.lastIndex, 4);
    assertEquals(recovered.termRanges.findLast(() => true)?.term ?? recovered.compacted.term, 2);
    await again.close();
  }
  await log.close();
});

Deno.test("WriteAheadLog: an installed snapshot resets the log, and no entry of the old one is recovered", async () => {
  const { disk, log, store } = await longLog(6);
  await writeSnapshot(store, { index: 50, term: 3, chunks: ["state"] });
  log.append(resetBatch({ index: 50, term: 3 }, hardState(4, 2, 51), entry(51, 3), entry(52, 4)));
  assertEquals([segments(disk), log.firstIndex], [[50 + 1], 51]);
  await log.sync();
  const { log: again, recovered } = await openNode(disk.crash(losingAll), SMALL);
  assertEquals([recovered.compacted, recovered.hardState], [{ index: 50, term: 3 }, hardState(4, 2, 51)]);
  assertEquals(recovered.cachedEntries.map(entryText), [entry(51, 3), entry(52, 4)].map(entryText));
  assertEquals(recovered.termRanges, [{ firstIndex: 51, term: 3 }, { firstIndex: 52, term: 4 }]);
  await Promise.all([log.close(), again.close()]);
});

Deno.test("WriteAheadLog: a reset and its term become durable together: a crash leaves the old log or the new", async () => {
  const { disk, log, store } = await longLog(6);
  await writeSnapshot(store, { index: 50, term: 3, chunks: ["state"] });
  const images: MemoryDisk[] = [];
  disk.intercept = () => {
    images.push(disk.killProcess());
    return null;
  };
  log.append(resetBatch({ index: 50, term: 3 }, hardState(4, 2, 6)));
  images.push(disk.killProcess());
  const found = new Set<string>();
  for (const image of images) {
    for (const keep of [losingAll, () => true]) {
      // The snapshot is not passed: only the log decides.
      const { log: again, recovered } = await openNode(image.crash(keep), SMALL);
      found.add(JSON.stringify([recovered.compacted, recovered.hardState]));
      await again.close();
    }
  }
  const behind = { index: 50, term: 3 };
  assertEquals(
    found,
    new Set([
      // If only the snapshot shows the new term, the node enters it without a vote.
      JSON.stringify([behind, hardState(3, null, 6)]),
      JSON.stringify([behind, hardState(4, 2, 6)]),
    ]),
  );
  await log.close();
});

Deno.test("WriteAheadLog: a full disk refuses a reset, and accepts it once there is space", async () => {
  const { disk, log, store } = await longLog(6);
  await writeSnapshot(store, { index: 50, term: 3, chunks: ["state"] });
  const next = resetBatch({ index: 50, term: 3 }, hardState(4, null, 6), entry(51, 4));
  disk.intercept = ({ kind, path }) => kind === "write" && path.endsWith(".new") ? { code: "ENOSPC" } : null;
  assertThrows(() => log.append(next), LogFullError);
  assertEquals([log.firstIndex, (await log.readEntries(1, 1 << 20)).length], [1, 6]);
  let isNamed = false;
  disk.intercept = ({ kind }) => {
    isNamed ||= kind === "rename";
    return kind === "write" && isNamed ? { code: "ENOSPC" } : null;
  };
  assertThrows(() => log.append(next), LogFullError);
  disk.intercept = () => null;
  await appendSynced(log, [next]);
  const { log: again, recovered } = await openNode(disk.crash(losingAll), SMALL);
  assertEquals([recovered.compacted.index, recovered.lastIndex], [50, 51]);
  await Promise.all([log.close(), again.close()]);
});

Deno.test("WriteAheadLog: a start resets the log if the snapshot is beyond it, or contradicts its uncommitted entries", async () => {
  for (const snapshot of [{ index: 50, term: 3 }, { index: 6, term: 2 }]) {
    const disk = new MemoryDisk();
    const { log, store } = await openNode(disk, SMALL);
    await appendSynced(log, [batch(hardState(1, 1, 0), ...entries(1, 8, 1)), batch(hardState(1, 1, 5))]);
    await log.close();
    await writeSnapshot(store, { ...snapshot, chunks: ["state"] });
    const { log: again, recovered } = await openNode(disk, SMALL);
    assertEquals([recovered.compacted, recovered.wasReset], [snapshot, true]);
    assertEquals([recovered.lastIndex, recovered.cachedEntries, recovered.termRanges], [
      snapshot.index,
      [],
      [],
    ]);
    assertEquals(recovered.hardState, hardState(snapshot.term, null, 5), "it entered the snapshot's term");
    assertEquals(segments(disk).length, 1);
    const next = entry(snapshot.index + 1, 3);
    await appendSynced(again, [batch(hardState(3, 2, snapshot.index), next)]);
    const { log: third, recovered: after } = await openNode(disk.crash(losingAll), SMALL);
    assertEquals([after.compacted, after.cachedEntries.map(entryText)], [snapshot, [entryText(next)]]);
    await Promise.all([again.close(), third.close()]);
  }
});

Deno.test("WriteAheadLog: a snapshot that contradicts committed entries is not this node's, and is refused", async () => {
  const { disk, log, store } = await longLog(6);
  await log.close();
  await writeSnapshot(store, { index: 5, term: 2, chunks: ["another's state"] });
  await assertRejects(() => openNode(disk, SMALL), LogDamagedError, "one of the two is not this node's");
});

Deno.test("WriteAheadLog: a snapshot that agrees with the log changes nothing in it", async () => {
  const { disk, log, store } = await longLog(6);
  await log.close();
  await writeSnapshot(store, { index: 6, term: 1, chunks: ["state"] });
  const { log: again, recovered } = await openNode(disk, SMALL);
  assertEquals([recovered.compacted.index, recovered.cachedEntries.length], [0, 6]);
  await again.close();
});

Deno.test("WriteAheadLog: an invalid reset is an assertion before anything is written", async () => {
  const { disk, log } = await longLog(6);
  const before = disk.operations;
  const wrong = [
    resetBatch({ index: 5, term: 1 }, null),
    resetBatch({ index: 9, term: 2 }, null),
    resetBatch({ index: 9, term: 0 }, null),
    resetBatch({ index: 9, term: 1 }, hardState(1, null, 10)),
    resetBatch({ index: 9, term: 1 }, null, entry(9, 1)),
    resetBatch({ index: 9, term: 1 }, null, entry(11, 1)),
    resetBatch({ index: 9, term: 2 }, hardState(2, null, 6), entry(10, 1)),
  ];
  for (const each of wrong) {
    assertThrows(() => log.append(each), InvariantError, "a batch follows from the log");
  }
  assertEquals(disk.operations, before);
  await log.close();
});

Deno.test("WriteAheadLog: configurations behind the snapshot are kept, except those of replaced entries", async () => {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk, { segmentBytes: 4096 });
  const configuration = (index: number, term: number): Entry => ({
    ...entry(index, term),
    kind: "configuration",
  });
  await appendSynced(log, [
    batch(hardState(1), configuration(1, 1), configuration(2, 1), entry(3, 1), configuration(4, 1)),
    batch(hardState(2, null, 3), configuration(4, 2), entry(5, 2), configuration(6, 2)),
    batch(hardState(3, null, 5), entry(6, 3), configuration(7, 3)),
  ]);
  await log.close();
  const { log: again, recovered } = await openLog(disk);
  const kept = (configurations: readonly { index: number; data: Uint8Array }[]): unknown =>
    configurations.map(({ index, data }) => [index, new TextDecoder().decode(data)]);
  assertEquals(kept(recovered.configurations), [[1, "1@1"], [2, "2@1"], [4, "4@2"], [7, "7@3"]]);
  await again.close();
  await writeSnapshot(store, { index: 4, term: 2, chunks: ["state"] });
  const { log: third, recovered: behind } = await openLog(disk);
  assertEquals(kept(behind.configurations), [[7, "7@3"]]);
  await third.close();
});

Deno.test("WriteAheadLog: a configuration that a later leader replaced from further below is not recovered, though the log is shorter since", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 4096 });
  const configuration = (index: number, term: number): Entry => ({
    ...entry(index, term),
    kind: "configuration",
  });
  await appendSynced(log, [
    batch(hardState(1), configuration(1, 1), entry(2, 1), entry(3, 1), configuration(4, 1), entry(5, 1)),
    batch(hardState(2, null, 1), entry(2, 2)),
  ]);
  await log.close();
  const { log: again, recovered } = await openLog(disk);
  assertEquals([recovered.lastIndex, recovered.configurations.map(({ index }) => index)], [2, [1]]);
  await appendSynced(again, [batch(null, entry(3, 2), entry(4, 2), entry(5, 2))]);
  await again.close();
  const { log: third, recovered: longer } = await openLog(disk);
  assertEquals([longer.lastIndex, longer.configurations.map(({ index }) => index)], [5, [1]]);
  await third.close();
});

Deno.test("WriteAheadLog: after a flipped bit in a compacted log all entries are recovered, or the log is refused with the position", async () => {
  const { disk, log, store } = await longLog(8);
  await writeSnapshot(store, { index: 6, term: 1, chunks: ["state"] });
  log.removeBefore(5);
  await log.close();
  let refused = 0;
  for (const name of disk.list(WAL)) {
    for (let at = 0; at < disk.bytesOf(`${WAL}/${name}`).length; at += 1) {
      const damaged = disk.killProcess();
      damaged.edit(`${WAL}/${name}`, (bytes) => bytes.with(at, (bytes[at] ?? 0) ^ (1 << at % 8)));
      const opened = await openNode(damaged, SMALL).catch((error: unknown) => error);
      if (opened instanceof LogDamagedError) refused += 1;
      else if (opened instanceof Error) throw opened;
      else if (opened instanceof Object && "recovered" in opened) {
        const { recovered } = await openNode(disk.killProcess(), SMALL);
        assertEquals(
          recovered.cachedEntries.map(entryText),
          entries(5, 8, 1).map(entryText),
          `byte ${at} of ${name}`,
        );
      }
    }
  }
  assert(refused > 500, `${refused} refused`);
});

Deno.test("WriteAheadLog: bytesSince returns about the bytes of the log above an index", async () => {
  const { log, store } = await longLog(10);
  const all = log.bytesSince(0);
  assert(all > 10 * 93 && all < 2_300, `${all} bytes`);
  let before = all;
  for (let index = 1; index <= 10; index += 1) {
    const bytes = log.bytesSince(index);
    assert(bytes <= before, `${bytes} after ${before}`);
    before = bytes;
  }
  assertEquals([log.bytesSince(10), log.bytesSince(99)], [0, 0]);
  await writeSnapshot(store, { index: 10, term: 1, chunks: ["state"] });
  const above = log.bytesSince(8);
  log.removeBefore(9);
  assertEquals([log.bytesSince(8), log.bytesSince(0)], [above, above]);
  await log.close();
});

Deno.test("WriteAheadLog: a log is nearly full when its next segment can't be prepared, until it can", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 4096 });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  disk.capacityBytes = 6000;
  log.checkDiskSpace();
  assertEquals(
    [log.isNearlyFull, disk.list(WAL).length],
    [false, 1],
    "half of it is free: nothing to prepare",
  );
  await appendSynced(log, [batch(hardState(1), entry(1, 1, "h".repeat(2500)))]);
  await settled();
  assertEquals([log.isNearlyFull, disk.list(WAL).length], [true, 1]);
  log.checkDiskSpace();
  await settled();
  assertEquals(log.isNearlyFull, true);
  disk.capacityBytes = 20_000;
  log.checkDiskSpace();
  await settled();
  assertEquals([log.isNearlyFull, disk.list(WAL).at(-1)], [false, "next.new"]);
  await appendSynced(log, [batch(null, entry(2, 1, "i".repeat(2500)))]);
  assertStringIncludes(lastSegmentPath(disk), "2.log");
  await log.close();
});

Deno.test("WriteAheadLog: checking a nearly full disk does not fill it: a small reserve suffices", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 8_388_608 });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
  };
  disk.capacityBytes = 13_000_000;
  await appendSynced(log, [batch(hardState(1), entry(1, 1, "h".repeat(5_000_000)))]);
  await settled();
  assertEquals(log.isNearlyFull, true);
  const freeBytes = disk.freeBytes;
  log.checkDiskSpace();
  await settled();
  assertEquals([log.isNearlyFull, freeBytes - disk.freeBytes], [false, 1_048_576]);
  await appendSynced(log, [batch(null, entry(2, 1, "i".repeat(4_000_000)))]);
  await log.close();
  assertEquals((await openLog(disk.crash(() => false))).recovered.lastIndex, 2);
});
