/** The inspection of a data directory: its report, and that it changes nothing. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type DataDirectoryReport, DenoDisk, inspectDataDirectory } from "../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import {
  appendSynced,
  batch,
  entry,
  hardState,
  IDENTITY,
  openNode,
  SNAPSHOTS,
  WAL,
  writeSnapshot,
} from "../../support/storage.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

/** A node with a few segments, of which the first were removed, and two snapshots. */
async function cutNode(): Promise<Awaited<ReturnType<typeof openNode>> & { disk: MemoryDisk }> {
  const disk = new MemoryDisk();
  const node = await openNode(disk, { segmentBytes: 512 });
  await appendSynced(node.log, [batch(hardState(2, 1))]);
  for (let index = 1; index <= 8; index += 1) {
    await appendSynced(node.log, [batch(null, entry(index, 2, "e".repeat(150)))]);
  }
  await appendSynced(node.log, [
    batch(hardState(2, 1, 7), { ...entry(9, 2), kind: "configuration" }),
  ]);
  await writeSnapshot(node.store, { index: 4, term: 2, chunks: ["old"] });
  await writeSnapshot(node.store, { index: 7, term: 2, chunks: ["new", "er"] });
  node.log.removeBefore(5);
  return { disk, ...node };
}

/** Inspects, and checks that nothing changed. */
async function inspected(disk: MemoryDisk): Promise<DataDirectoryReport> {
  const [before, operations, openFiles] = [disk.contents(), disk.operations, disk.openFiles];
  const report = await inspectDataDirectory({ disk, path: "/data" });
  assertEquals([disk.contents(), disk.operations, disk.openFiles], [before, operations, openFiles]);
  return report;
}

Deno.test("inspectDataDirectory: it reports owner, log and snapshots, also while the node runs", async () => {
  const { disk, log } = await cutNode();
  const report = await inspected(disk);
  assertEquals([report.identity, report.refusal, report.path], [IDENTITY, null, "/data"]);
  assertEquals(
    report.segments.map((
      { file, firstIndex, lastIndex, isDead, damage },
    ) => [file.slice(WAL.length + 1), firstIndex, lastIndex, isDead, damage]),
    [
      ["00000000000000000005.log", 5, 6, false, null],
      ["00000000000000000007.log", 7, 8, false, null],
      ["00000000000000000009.log", 9, 9, false, null],
    ],
  );
  assert(report.segments.every(({ bytes, usedBytes }) => usedBytes > 105 && bytes >= usedBytes));
  assert(report.log !== null);
  const { checkpoints, ...logReport } = report.log;
  assertEquals(checkpoints.map(({ index }) => index), [5, 7, 9]);
  assertEquals(logReport, {
    hardState: hardState(2, 1, 7),
    compacted: { index: 4, term: 2 },
    lastIndex: 9,
    lastTerm: 2,
    cut: null,
    isReset: false,
    configurations: [{ index: 9, data: new TextEncoder().encode("9@2") }],
  });
  const [newest, older] = report.snapshots;
  assertEquals([newest?.index, newest?.term, newest?.damage, newest?.totals?.chunks], [7, 2, null, 2]);
  assertEquals([newest?.header?.clusterId, newest?.header?.revision], [IDENTITY.clusterId, 70]);
  assertEquals([older?.index, older?.damage, report.snapshots.length], [4, null, 2]);
  await log.close();
});

Deno.test("inspectDataDirectory: it names each kind of damage: identity, segment, snapshot", async () => {
  const { disk, log } = await cutNode();
  await log.close();
  disk.edit("/data/identity", (bytes) => bytes.with(40, 0x21));
  disk.edit(`${WAL}/00000000000000000007.log`, (bytes) => bytes.with(300, 0x21));
  const newest = `${SNAPSHOTS}/${disk.list(SNAPSHOTS).at(-1)}`;
  disk.edit(newest, (bytes) => bytes.with(bytes.length - 30, 0x21));
  const report = await inspected(disk);
  assertEquals([report.identity, report.log], [null, null]);
  assertStringIncludes(report.refusal ?? "", "its identity file is damaged");
  const damaged = report.segments.filter(({ damage }) => damage !== null);
  assertEquals(damaged.map(({ file }) => file), [`${WAL}/00000000000000000007.log`]);
  assertStringIncludes(damaged[0]?.damage ?? "", "no valid record");
  assertEquals(report.snapshots.map(({ damage, totals }) => [damage !== null, totals === null]), [
    [true, true],
    [false, false],
  ]);
  assertStringIncludes(report.snapshots[0]?.damage ?? "", "checksum");
});

Deno.test("inspectDataDirectory: it reports what a start would do: cut a torn tail, reset the log, refuse", async () => {
  const { disk, log, store } = await cutNode();
  log.append(batch(null, entry(10, 2, "torn"), entry(11, 2)));
  const torn = disk.crash(({ kind }) => kind === "sector");
  torn.edit(`${WAL}/00000000000000000009.log`, (bytes) => {
    const at = new TextDecoder("latin1").decode(bytes).indexOf("torn");
    return bytes.with(at, 0x21);
  });
  const report = await inspected(torn);
  assertEquals([report.log?.lastIndex, report.log?.cut?.file], [9, `${WAL}/00000000000000000009.log`]);
  await writeSnapshot(store, { index: 30, term: 3, chunks: ["far ahead"] });
  assertEquals((await inspected(disk)).log?.isReset, true);
  for (const name of disk.list(SNAPSHOTS)) disk.remove(`${SNAPSHOTS}/${name}`);
  const refused = await inspected(disk);
  assertEquals(refused.log, null);
  assertStringIncludes(refused.refusal ?? "", "it begins with entry 5");
  await log.close();
});

Deno.test("inspectDataDirectory: segments before a reset are reported as dead", async () => {
  const { disk, log, store } = await cutNode();
  await writeSnapshot(store, { index: 30, term: 3, chunks: ["far ahead"] });
  let images: MemoryDisk[] = [];
  disk.intercept = ({ kind }) => {
    if (kind === "remove") images = [...images, disk.killProcess()];
    return null;
  };
  log.append({ snapshot: { index: 30, term: 3 }, hardState: hardState(3, null, 30), entries: [] });
  const [first] = images;
  assert(first !== undefined, "old segments were removed");
  const report = await inspected(first);
  assertEquals(report.segments.map(({ isDead }) => isDead), [true, true, true, false]);
  assertEquals([report.log?.compacted.index, report.refusal], [30, null]);
  await log.close();
});

Deno.test("inspectDataDirectory: the report of an empty directory has neither owner nor data", async () => {
  await using folder = await TemporaryFolder.make();
  const report = await inspectDataDirectory({ disk: new DenoDisk(), path: folder.path });
  assertEquals(report, {
    path: folder.path,
    identity: null,
    refusal: null,
    segments: [],
    log: null,
    snapshots: [],
  });
});
