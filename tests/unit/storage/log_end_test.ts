/** The end of the log at its last clean stop: a log that was shortened since is refused, and nothing else is. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Disk, inspectDataDirectory, LogDamagedError } from "../../../lib/storage/mod.ts";
import { DenoDisk } from "../../../lib/storage/mod.ts";
import { WriteAheadLog } from "../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  contentOf,
  entry,
  FIRST_SEGMENT,
  hardState,
  IDENTITY,
  openLog,
  WAL,
} from "../../support/storage.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

const SEGMENT_BYTES = 1_024;
const END = `${WAL}/end`;

/** Opens a log in a folder, without a data directory around it. */
function openIn(disk: Disk, directory: string): ReturnType<typeof WriteAheadLog.open> {
  return WriteAheadLog.open({
    disk,
    directory,
    identity: IDENTITY,
    snapshot: null,
    segmentBytes: SEGMENT_BYTES,
    entryCacheBytes: 1 << 20,
  });
}

/** Writes a log of several segments, and stops cleanly. */
async function writeLog(disk: Disk, directory: string, entries: number): Promise<void> {
  const { log } = await openIn(disk, directory);
  await appendSynced(log, [batch(hardState(1, 1))]);
  for (let index = 1; index <= entries; index++) {
    await appendSynced(log, [batch(null, entry(index, 1, "x".repeat(100)))]);
  }
  await log.close();
}

/** A disk with the log of a node that stopped cleanly, in one segment. */
async function stopped(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(1, 1)), batch(null, entry(1, 1), entry(2, 1))]);
  await log.close();
  return disk;
}

Deno.test("WriteAheadLog: files that are cut anywhere after a clean stop are refused with file and offset, and not changed", async () => {
  await using folder = await TemporaryFolder.make();
  const disk = new DenoDisk();
  await writeLog(disk, folder.path, 20);
  const names = [...Deno.readDirSync(folder.path)].map(({ name }) => name).filter((name) =>
    name.endsWith(".log")
  ).sort();
  assert(names.length >= 3, `${names.length} segments`);
  const file = `${folder.path}/${names.at(-1)}`;
  const whole = await Deno.readFile(file);
  const used = whole.findLastIndex((byte) => byte !== 0) + 1;
  let cuts = 0;
  // The last bytes that are not zeros are the sync mark's, which no entry needs.
  for (let size = 0; size < used - 16; size++) {
    await Deno.writeFile(file, whole.subarray(0, size));
    const error = await assertRejects(() => openIn(disk, folder.path), LogDamagedError);
    assertEquals(error.file, file);
    assert(error.offset <= size, `${error.offset} is beyond the end`);
    if (error.message.includes("was durable when the node was last stopped")) cuts++;
    assertEquals((await Deno.stat(file)).size, size);
  }
  assert(cuts > 100, `${cuts} cuts were found by the end of the log`);
  await Deno.remove(file);
  const removed = await assertRejects(
    () => openIn(disk, folder.path),
    LogDamagedError,
    "shortened or removed",
  );
  assertEquals(removed.file, `${folder.path}/${names.at(-2)}`);
  await Deno.writeFile(file, whole);
  const { log, recovered } = await openIn(disk, folder.path);
  assertEquals(recovered.lastIndex, 20);
  await log.close();
});

Deno.test("WriteAheadLog: the end stays right while the log continues, is reset, and is written by a version without it", async () => {
  const disk = await stopped();
  const first = disk.bytesOf(END);
  const { log } = await openLog(disk);
  await appendSynced(log, [batch(hardState(2, null), entry(2, 2), entry(3, 2))]);
  // A crash: the file still has the earlier end.
  const crashed = disk.crash(() => false);
  assertEquals((await openLog(crashed)).recovered.lastIndex, 3);
  await log.close();
  assert(disk.bytesOf(END).join() !== first.join(), "a clean stop writes the end again");
  disk.edit(END, () => Uint8Array.from(first));
  const { recovered, log: again } = await openLog(disk);
  assertEquals(contentOf(recovered).entries.length, 3);
  await again.close();
});

Deno.test("WriteAheadLog: a missing or damaged end says nothing, and an inspection reports a shortened log", async () => {
  const disk = await stopped();
  for (const position of [0, 5, 15, 23]) {
    const damaged = disk.killProcess();
    damaged.edit(END, (bytes) => bytes.with(position, (bytes[position] ?? 0) ^ 1));
    await (await openLog(damaged)).log.close();
  }
  const used = disk.bytesOf(FIRST_SEGMENT).findLastIndex((byte) => byte !== 0) + 1;
  disk.edit(FIRST_SEGMENT, (bytes) => bytes.slice(0, used - 40));
  const { refusal } = await inspectDataDirectory({ disk, path: "/data" });
  assertStringIncludes(refusal ?? "", "a file was shortened or removed since");
  disk.remove(END);
  const { log, recovered } = await openLog(disk);
  assertEquals([recovered.lastIndex, recovered.cut !== null], [1, true]);
  await log.close();
});

Deno.test("WriteAheadLog: a disk that fails while the end is written does not prevent a clean stop", async () => {
  for (const kind of ["open", "write", "syncNow", "rename", "syncDirectory"] as const) {
    const disk = await stopped();
    const { log } = await openLog(disk);
    await appendSynced(log, [batch(null, entry(3, 1))]);
    const isOfEnd = (path: string): boolean => path === `${END}.new` || path === WAL;
    disk.intercept = (operation) =>
      operation.kind === kind && isOfEnd(operation.path) ? { code: "ENOSPC" } : null;
    await log.close();
    disk.intercept = () => null;
    const again = await openLog(disk);
    assertEquals([again.recovered.lastIndex, disk.openFiles], [3, 1]);
    await again.log.close();
  }
});
