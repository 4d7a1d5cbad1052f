/**
 * Recovery of the log after a crash or damage. Every test compares with the acknowledged (synced) data: it is recovered
 * completely, or the log is refused with the reason; of later data only a beginning may be recovered.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  LogDamagedError,
  LogFailedError,
  NewerFormatError,
  SnapshotMissingError,
  WriteAheadLog,
} from "../../../lib/storage/mod.ts";
import {
  encodeRecord,
  HARD_STATE_RECORD_BYTES,
  recordBytes,
  segmentSeed,
} from "../../../lib/storage/wal/record.ts";
import type { LogRecord } from "../../../lib/storage/wal/record.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import type { Unsynced } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  beginningsOf,
  contentOf,
  entry,
  entryText,
  FIRST_SEGMENT,
  hardState,
  IDENTITY,
  includes,
  lastSegmentPath,
  openLog,
  WAL,
} from "../../support/storage.ts";
import type { LogContent } from "../../support/storage.ts";

const losingAll = (): boolean => false;
const keepingAll = (): boolean => true;

async function contentAfter(disk: MemoryDisk): Promise<LogContent> {
  const { log, recovered } = await openLog(disk);
  await log.close();
  return contentOf(recovered);
}

/** A small log with every kind of record, in several segments, and completely synced. */
async function smallLog(): Promise<{ disk: MemoryDisk; log: WriteAheadLog; content: LogContent }> {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 512 });
  await appendSynced(log, [
    batch(hardState(1, 1), entry(1, 1), entry(2, 1, "a".repeat(150))),
    batch(hardState(2, 3, 1), entry(2, 2, "b".repeat(100))),
    batch(null, entry(3, 2, "c".repeat(200))),
    batch(hardState(2, 3, 4), entry(4, 2, "d".repeat(90))),
  ]);
  const entries = [
    entry(1, 1),
    entry(2, 2, "b".repeat(100)),
    entry(3, 2, "c".repeat(200)),
    entry(4, 2, "d".repeat(90)),
  ];
  return { disk, log, content: { hardState: hardState(2, 3, 4), entries: entries.map(entryText) } };
}

/** The batch for which every crash point is tried, and the possible logs after it. */
const LAST_BATCH = batch(
  hardState(3, 2, 5),
  entry(4, 3, "over"),
  entry(5, 3, "e".repeat(700)),
  entry(6, 3, "f".repeat(1200)),
  entry(7, 3),
);

/** A log with three acknowledged entries, and the offset of the last batch. */
async function beforeLastBatch(): Promise<
  { disk: MemoryDisk; log: WriteAheadLog; content: LogContent; end: number }
> {
  const disk = new MemoryDisk();
  const { log, recovered } = await openLog(disk, { segmentBytes: 8192 });
  const acknowledged = batch(
    hardState(2, 1, 3),
    entry(1, 1),
    entry(2, 1),
    entry(3, 2),
    entry(4, 2, "overridden"),
  );
  await appendSynced(log, [acknowledged]);
  const content = { hardState: hardState(2, 1, 3), entries: acknowledged.entries.map(entryText) };
  const { recovered: now } = await openLog(disk.killProcess());
  assert(now.bytes > recovered.bytes);
  return { disk, log, content, end: now.bytes };
}

Deno.test("WriteAheadLog: a record of a torn tail is not recovered behind a later record that replaces the torn one", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(1))]);
  log.append(batch(null, entry(1, 1, "x".repeat(200)), entry(2, 1, "whole, behind the torn one")));
  const torn = disk.killProcess();
  const tornAt = new TextDecoder("latin1").decode(torn.bytesOf(FIRST_SEGMENT)).indexOf("x".repeat(200));
  torn.edit(FIRST_SEGMENT, (bytes) => {
    bytes[tornAt] = 0;
    return bytes;
  });
  const { log: again, recovered } = await openLog(torn);
  assert(recovered.cut !== null && recovered.lastIndex === 0);
  // As long as the torn record, to the byte, so that the old record behind it is where the next one is expected.
  const next = batch(hardState(2), entry(1, 2, "z".repeat(200 - HARD_STATE_RECORD_BYTES)));
  again.append(next);
  const after = await contentAfter(torn.killProcess());
  assertEquals(after.entries, next.entries.map(entryText));
});

Deno.test("WriteAheadLog: a crash after any byte of the last batch leaves the acknowledged log and a beginning of the batch", async () => {
  const { disk, log, content, end } = await beforeLastBatch();
  const blank = disk.bytesOf(FIRST_SEGMENT);
  log.append(LAST_BATCH);
  const full = disk.bytesOf(FIRST_SEGMENT);
  const beginnings = beginningsOf(content, LAST_BATCH);
  const found = new Set<string>();
  const last = full.findLastIndex((byte) => byte !== 0) + 1;
  for (let reached = end; reached <= last; reached += 1) {
    const torn = disk.killProcess();
    const bytes = blank.slice();
    bytes.set(full.subarray(end, reached), end);
    torn.edit(FIRST_SEGMENT, () => bytes);
    const { log: again, recovered } = await openLog(torn);
    const after = contentOf(recovered);
    assert(includes(beginnings, after), `crash after byte ${reached}: ${JSON.stringify(after)}`);
    found.add(JSON.stringify(after));
    if (recovered.cut !== null) assert(recovered.cut.offset <= reached && recovered.cut.bytes > 0);
    // A shorter batch in its place is recovered alone: nothing of the torn one is recovered behind it.
    again.append(batch(hardState(9, null, after.hardState.commitIndex)));
    await again.sync();
    const later = await contentAfter(torn.crash(losingAll));
    assertEquals(later, { ...after, hardState: hardState(9, null, after.hardState.commitIndex) });
    await again.close();
  }
  assertEquals(found.size, beginnings.length, "every beginning was met");
});

Deno.test("WriteAheadLog: of an unsynced batch any sectors may survive, but only a beginning of it is recovered", async () => {
  const { disk, log, content } = await beforeLastBatch();
  log.append(LAST_BATCH);
  const sectors: Unsynced[] = [];
  disk.crash((unsynced) => {
    sectors.push(unsynced);
    return true;
  });
  assert(sectors.length >= 5 && sectors.length <= 8, `${sectors.length} sectors`);
  const beginnings = beginningsOf(content, LAST_BATCH);
  for (let kept = 0; kept < 2 ** sectors.length; kept += 1) {
    let at = 0;
    const after = await contentAfter(disk.crash(() => (kept >> at++ & 1) === 1));
    assert(includes(beginnings, after), `sectors ${kept.toString(2)}: ${JSON.stringify(after)}`);
  }
});

Deno.test("WriteAheadLog: of several unsynced batches a later one is never recovered without the earlier ones", async () => {
  const { disk, log, content } = await beforeLastBatch();
  const batches = [5, 6, 7].map((index) => batch(null, entry(index, 2, `${index}`.repeat(500))));
  for (const each of batches) log.append(each);
  const all = [...content.entries, ...batches.flatMap(({ entries }) => entries.map(entryText))];
  for (let kept = 0; kept < 64; kept += 1) {
    let at = 0;
    const after = await contentAfter(disk.crash(() => (kept >> at++ & 1) === 1));
    assertEquals(after.entries, all.slice(0, after.entries.length));
    assert(after.entries.length >= content.entries.length);
  }
});

Deno.test("WriteAheadLog: after a flipped bit anywhere in a synced log it is recovered completely, or refused with the position", async () => {
  for (const how of ["closed", "running", "recovered"] as const) {
    const { disk: lived, log, content } = await smallLog();
    if (how === "closed") await log.close();
    else log.leaveSyncMark(); // as the driver does once it is idle
    const disk = how === "recovered" ? lived.crash(losingAll) : lived;
    if (how === "recovered") await openLog(disk, { segmentBytes: 512 });
    const paths = disk.list(WAL).filter((name) => name.endsWith(".log")).map((name) => `${WAL}/${name}`);
    assert(paths.length >= 2);
    let [refused, whole] = [0, 0];
    for (const path of paths) {
      for (let at = 0; at < disk.bytesOf(path).length; at += 1) {
        const damaged = disk.killProcess();
        damaged.edit(path, (bytes) => bytes.with(at, (bytes[at] ?? 0) ^ (1 << at % 8)));
        const before = damaged.contents();
        try {
          assertEquals(await contentAfter(damaged), content, `bit of byte ${at} of ${path}`);
          whole += 1;
        } catch (error) {
          if (!(error instanceof LogDamagedError)) throw error;
          assert(paths.includes(error.file) && error.offset >= 0 && error.index >= 1);
          assertStringIncludes(error.message, "To rebuild this node from its peers");
          assertEquals(damaged.contents(), before, "a refusal changes nothing");
          refused += 1;
        }
      }
    }
    assert(refused > 800 && whole > 0, `${refused} refused, ${whole} whole`);
    if (how !== "closed") await log.close();
  }
});

Deno.test("WriteAheadLog: an invalid record at any position is damage if a later record shows that it was synced", async () => {
  const { disk, log } = await smallLog();
  await log.close();
  const path = lastSegmentPath(disk);
  const zeroed = disk.killProcess();
  const begin = disk.bytesOf(path).findLastIndex((byte) => byte === 0x64) - 80;
  zeroed.edit(path, (bytes) => bytes.fill(0, begin, begin + 40));
  const error = await assertRejects(() => openLog(zeroed), LogDamagedError, "no valid record");
  assertEquals([error.file, error.index], [path, 4]);
});

Deno.test("WriteAheadLog: without a sync mark a damaged last batch can't be distinguished from a torn one: it is cut and reported", async () => {
  const { disk, log, content } = await beforeLastBatch();
  await appendSynced(log, [LAST_BATCH]);
  const crashed = disk.crash(losingAll);
  const at = crashed.bytesOf(FIRST_SEGMENT).findLastIndex((byte) => byte === 0x66);
  crashed.edit(FIRST_SEGMENT, (bytes) => bytes.with(at, 0));
  const { log: again, recovered } = await openLog(crashed);
  assertEquals(contentOf(recovered), beginningsOf(content, LAST_BATCH)[3]);
  assertEquals(recovered.cut?.file, FIRST_SEGMENT);
  await again.close();
});

Deno.test("WriteAheadLog: a missing, shortened or renamed segment is damage, and so is a log that continues elsewhere", async () => {
  const { disk, log } = await smallLog();
  await log.close();
  const [first = "", second = "", third = ""] = disk.list(WAL);
  const cases: Record<string, (copy: MemoryDisk) => void> = {
    "segments between": (copy) => copy.remove(`${WAL}/${second}`),
    "no valid record": (copy) => copy.edit(`${WAL}/${first}`, (bytes) => bytes.slice(0, -1)),
    "has no valid header": (copy) => copy.edit(`${WAL}/${third}`, () => new Uint8Array(0)),
    "the segment has no valid header": (copy) =>
      copy.rename(`${WAL}/${third}`, `${WAL}/00000000000000000099.log`),
    "no segment has such a name": (copy) => copy.rename(`${WAL}/${third}`, `${WAL}/9${third}`),
  };
  assert(third !== "");
  for (const [reason, change] of Object.entries(cases)) {
    const copy = disk.killProcess();
    change(copy);
    await assertRejects(() => openLog(copy), LogDamagedError, reason);
  }
  disk.remove(`${WAL}/${first}`);
  await assertRejects(() => openLog(disk), SnapshotMissingError, "the segments before it are missing");
});

Deno.test("WriteAheadLog: an undamaged segment of another node's log is refused", async () => {
  const { disk, log } = await smallLog();
  await log.close();
  const identity = { ...IDENTITY, nodeId: 2 };
  const opening = WriteAheadLog.open({
    disk,
    directory: WAL,
    identity,
    snapshot: null,
    segmentBytes: 512,
    entryCacheBytes: 0,
  });
  await assertRejects(
    () => opening,
    LogDamagedError,
    `it belongs to node 1 of cluster ${IDENTITY.clusterId}`,
  );
});

/** Writes records with valid checksums behind the log's end. */
async function withRecords(records: readonly LogRecord[]): Promise<{ disk: MemoryDisk; end: number }> {
  const { disk, log, end } = await beforeLastBatch();
  await log.close();
  disk.edit(FIRST_SEGMENT, (bytes) => {
    let offset = end;
    for (const record of records) {
      const place = { seed: segmentSeed(1), offset };
      const view = new DataView(bytes.buffer);
      offset = encodeRecord(record, { bytes, view, position: offset, place, syncedOffset: end });
    }
    return bytes;
  });
  return { disk, end };
}

Deno.test("WriteAheadLog: valid records that can't follow each other are damage", async () => {
  const cases: [string, LogRecord][] = [
    ["entry 6 does not follow entry 4", { kind: "entry", entry: entry(6, 2) }],
    ["entry 3 is committed", { kind: "entry", entry: entry(3, 2) }],
    ["below its predecessor's", { kind: "entry", entry: entry(5, 1) }],
    ["above the node's term 2", { kind: "entry", entry: entry(5, 3) }],
    ["the term would fall", { kind: "hardState", hardState: hardState(1, 1, 3) }],
    ["the vote of term 2 would change", { kind: "hardState", hardState: hardState(2, 3, 3) }],
    ["the commit index would fall", { kind: "hardState", hardState: hardState(2, 1, 2) }],
    ["the log ends at 4", { kind: "hardState", hardState: hardState(2, 1, 5) }],
  ];
  for (const [reason, record] of cases) {
    const { disk, end } = await withRecords([record]);
    const error = await assertRejects(() => openLog(disk), LogDamagedError, reason);
    assertEquals([error.file, error.offset, error.index], [FIRST_SEGMENT, end, 5]);
  }
  const { disk } = await withRecords([{ kind: "hardState", hardState: hardState(2, 1, 4) }]);
  assertEquals(
    (await contentAfter(disk)).hardState,
    hardState(2, 1, 4),
    "the same way of writing, and a record that fits",
  );
});

Deno.test("WriteAheadLog: a valid record behind a sync mark is damage: the next batch would have replaced the mark", async () => {
  const { disk, end } = await withRecords([{ kind: "syncMark" }, { kind: "entry", entry: entry(5, 2) }]);
  const error = await assertRejects(() => openLog(disk), LogDamagedError, "follows a sync mark");
  assertEquals([error.offset, error.index], [end + 16, 5]);
});

Deno.test("WriteAheadLog: a segment of a newer format is refused as such", async () => {
  const disk = new MemoryDisk();
  disk.createDirectory("/wal");
  const header = {
    formatVersion: 2,
    number: 1,
    firstIndex: 1,
    previousTerm: 0,
    isReset: false,
    previous: null,
    hardState: hardState(0),
    identity: IDENTITY,
  };
  const record: LogRecord = { kind: "segmentHeader", header };
  const bytes = new Uint8Array(recordBytes(record));
  const view = new DataView(bytes.buffer);
  encodeRecord(record, {
    bytes,
    view,
    position: 0,
    place: { seed: segmentSeed(1), offset: 0 },
    syncedOffset: 0,
  });
  disk.open("/wal/00000000000000000001.log", "create").write(bytes, 0);
  const options = {
    disk,
    directory: "/wal",
    identity: IDENTITY,
    snapshot: null,
    segmentBytes: 512,
    entryCacheBytes: 0,
  };
  await assertRejects(() => WriteAheadLog.open(options), NewerFormatError, "format version 2");
});

Deno.test("WriteAheadLog: a value that is itself a piece of a log is not taken for records: a torn tail with it inside is cut", async () => {
  const { disk, log, content, end } = await beforeLastBatch();
  await appendSynced(log, [batch(null, entry(5, 2, disk.bytesOf(FIRST_SEGMENT).slice(0, end)))]);
  const copies = disk.bytesOf(FIRST_SEGMENT).slice(0, end + 200);
  const { recovered: before } = await openLog(disk.killProcess());
  log.append(batch(null, entry(6, 2, copies), entry(7, 2, "x".repeat(900))));
  const isFirst = (unsynced: Unsynced): boolean =>
    unsynced.kind === "sector" && unsynced.offset <= before.bytes &&
    unsynced.offset + unsynced.bytes.length > before.bytes;
  const { log: again, recovered } = await openLog(disk.crash((unsynced) => !isFirst(unsynced)));
  assertEquals(contentOf(recovered).entries.slice(0, 4), content.entries);
  assertEquals([recovered.lastIndex, recovered.cut !== null], [5, true]);
  await again.close();
});

Deno.test("WriteAheadLog: a second crash at any step of recovery does not change what the third start recovers", async () => {
  const { disk, log, content } = await beforeLastBatch();
  log.append(LAST_BATCH);
  const beginnings = beginningsOf(content, LAST_BATCH);
  let steps = 0;
  for (const lost of [0, 1, 2, 3]) {
    let at = 0;
    const torn = (): MemoryDisk => {
      at = 0;
      return disk.crash(() => at++ !== lost);
    };
    const first = await contentAfter(torn());
    assert(includes(beginnings, first));
    for (let stopAt = 1;; stopAt += 1) {
      const second = torn();
      second.intercept = ({ number }) =>
        number === stopAt ? { code: "STOPPED", writtenBytes: stopAt * 37 % 512 } : null;
      try {
        const { log: recovered } = await openLog(second);
        await recovered.close();
        break;
      } catch (error) {
        assertStringIncludes(String(error), "STOPPED");
      }
      for (const keep of [losingAll, keepingAll, () => Math.imul(++steps, 2654435761) >>> 31 === 0]) {
        assertEquals(await contentAfter(second.crash(keep)), first, `lost ${lost}, stopped at ${stopAt}`);
      }
      steps += 1;
    }
  }
  assert(steps > 20, `${steps} steps`);
});

Deno.test("WriteAheadLog: recovered data is durable by then, also after only the process was killed", async () => {
  const { disk, log } = await beforeLastBatch();
  log.append(LAST_BATCH);
  const killed = disk.killProcess();
  const { log: again, recovered } = await openLog(killed);
  assertEquals(recovered.lastIndex, 7);
  assertEquals(await contentAfter(killed.crash(losingAll)), contentOf(recovered));
  await again.close();
});

Deno.test("WriteAheadLog: recovered data is durable also after a failed sync, though a new sync would not write the old pages", async () => {
  const { disk, log, content } = await beforeLastBatch();
  log.append(LAST_BATCH);
  disk.intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  await assertRejects(() => log.sync(), LogFailedError);
  assertEquals(
    await contentAfter(disk.crash(keepingAll)),
    content,
    "as it is without the step that is tested here",
  );
  const killed = disk.killProcess();
  const { log: again, recovered } = await openLog(killed);
  assertEquals(recovered.lastIndex, 7);
  assertEquals(await contentAfter(killed.crash(losingAll)), contentOf(recovered));
  await again.close();
});

Deno.test("WriteAheadLog: a crash at any step of a run with rolls, replaced entries and restarts keeps the acknowledged data", async () => {
  let steps = 0;
  for (let stopAt = 1;; stopAt += 1) {
    const disk = new MemoryDisk();
    disk.intercept = ({ number }) =>
      number === stopAt ? { code: "STOPPED", writtenBytes: stopAt * 97 % 600 } : null;
    const life = new Life();
    const finished = await life.run(disk);
    for (const keep of [losingAll, keepingAll, () => Math.imul(++steps, 2654435761) >>> 31 === 0]) {
      const after = await contentAfter(disk.crash(keep));
      assert(includes(life.possible, after), `stopped at ${stopAt}: ${JSON.stringify(after)}`);
    }
    if (finished) break;
  }
  assert(steps > 100, `${steps} steps`);
});

/** A fixed course of appends and syncs, and the possible logs after a crash at any time. */
class Life {
  possible: readonly LogContent[] = [{ hardState: hardState(0), entries: [] }];

  /** Returns whether it was completed. */
  async run(disk: MemoryDisk): Promise<boolean> {
    const batches = [
      batch(hardState(1, 1), entry(1, 1), entry(2, 1, "a".repeat(250))),
      batch(null, entry(3, 1, "b".repeat(300))),
      batch(hardState(2, null, 1), entry(2, 2, "c".repeat(400))),
      batch(hardState(2, 2, 2), entry(3, 2), entry(4, 2, "d".repeat(900))),
      batch(hardState(4, 3, 4)),
      batch(null, entry(5, 4, "e".repeat(100)), entry(6, 4)),
    ];
    try {
      for (const half of [batches.slice(0, 3), batches.slice(3)]) {
        const { log } = await openLog(disk, { segmentBytes: 512 });
        for (const each of half) {
          const before = this.possible.at(-1) ?? { hardState: hardState(0), entries: [] };
          this.possible = [...this.possible, ...beginningsOf(before, each)];
          log.append(each);
          await log.sync();
          this.possible = this.possible.slice(-1);
        }
        await log.close();
      }
      return true;
    } catch (error) {
      if (String(error).includes("STOPPED")) return false;
      throw error;
    }
  }
}
