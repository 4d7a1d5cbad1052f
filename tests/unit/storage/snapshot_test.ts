/**
 * Snapshots: a written snapshot is read unchanged, an incomplete one is never taken for a complete one, and one that is
 * being read is not removed.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { crc32 } from "node:zlib";
import { InvariantError } from "../../../lib/platform/assert.ts";
import {
  DataDirectoryUnusableError,
  DenoDisk,
  type Disk,
  MAX_SNAPSHOT_CHUNK_BYTES,
  NewerSnapshotError,
  readSnapshotStream,
  SnapshotDamagedError,
  type SnapshotReceiver,
  SnapshotStore,
  SnapshotUnreadableError,
  SnapshotWriteError,
  type StoredSnapshot,
  withSnapshotFile,
} from "../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { IDENTITY, snapshotText, writeSnapshot } from "../../support/storage.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

const DIRECTORY = "/snapshots";
const AT_7 = { index: 7, term: 2 };
const AT_9 = { index: 9, term: 2 };
const FILE_7 = "00000000000000000007-00000000000000000002.snap";
const FILE_9 = "00000000000000000009-00000000000000000002.snap";

function open(disk: Disk, directory = DIRECTORY): Promise<SnapshotStore> {
  return SnapshotStore.open({ disk, directory });
}

async function emptyStore(): Promise<{ disk: MemoryDisk; store: SnapshotStore }> {
  const disk = new MemoryDisk();
  disk.createDirectory(DIRECTORY);
  disk.syncDirectory("/");
  return { disk, store: await open(disk) };
}

/** A store with one snapshot, of a few chunks of different sizes. */
async function oneSnapshot(): Promise<
  { disk: MemoryDisk; store: SnapshotStore; bytes: Uint8Array<ArrayBuffer> }
> {
  const { disk, store } = await emptyStore();
  await writeSnapshot(store, { ...AT_7, chunks: ["first", "x".repeat(700), "last"] });
  return { disk, store, bytes: disk.bytesOf(`${DIRECTORY}/${FILE_7}`).slice() };
}
const CONTENT = `first${"x".repeat(700)}last`;

/** Receives `bytes` in pieces: all of them, or those before `until`. */
function receiveSome(
  store: SnapshotStore,
  { bytes, position, until = bytes.length }: {
    bytes: Uint8Array;
    position: { index: number; term: number };
    until?: number;
  },
): SnapshotReceiver<StoredSnapshot> {
  const receiver = store.receive({ ...position, totalBytes: bytes.length });
  while (receiver.nextOffset < until) {
    const { nextOffset } = receiver;
    receiver.write(nextOffset, bytes.slice(nextOffset, Math.min(until, nextOffset + 100)));
  }
  return receiver;
}

async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of chunks) { /* only for the verification */ }
}

Deno.test("SnapshotStore: a snapshot is read as it was written, header and chunks, on a real disk too", async () => {
  await using folder = await TemporaryFolder.make();
  const real = { disk: new DenoDisk(), directory: folder.path };
  const { disk } = await emptyStore();
  for (const { disk: each, directory } of [{ disk, directory: DIRECTORY }, real]) {
    const store = await open(each, directory);
    const chunks = ["a", "b".repeat(MAX_SNAPSHOT_CHUNK_BYTES), "c".repeat(3000)];
    await writeSnapshot(store, { ...AT_7, chunks });
    for (const again of [store, await open(each, directory)]) {
      const bytes = MAX_SNAPSHOT_CHUNK_BYTES + 3135;
      assertEquals(again.list(), [{ ...AT_7, bytes, damage: null }]);
      const reader = await again.reader(AT_7);
      assertEquals(reader.header, {
        formatVersion: 1,
        clusterId: IDENTITY.clusterId,
        ...AT_7,
        revision: 70,
        configuration: new TextEncoder().encode("configuration at 7"),
      });
      const lengths: number[] = [];
      for await (const chunk of reader.chunks()) lengths.push(chunk.length);
      assertEquals(lengths, chunks.map(({ length }) => length));
      assertEquals(await snapshotText(again, AT_7), chunks.join(""));
    }
  }
  assertEquals(disk.openFiles, 0);
});

Deno.test("SnapshotStore: a snapshot without content is valid", async () => {
  const { store } = await emptyStore();
  await writeSnapshot(store, { ...AT_7, chunks: [] });
  assertEquals(await snapshotText(store, AT_7), "");
});

Deno.test("SnapshotStore: the bytes of a snapshot are those of the description of the format", async () => {
  const { bytes } = await oneSnapshot();
  const view = new DataView(bytes.buffer);
  const bodyBytes = 28 + 16 + 18;
  assertEquals(new TextDecoder().decode(bytes.subarray(0, 8)), "kvrsnap\n");
  assertEquals([view.getUint32(8), view.getUint32(12)], [1, bodyBytes]);
  const begin = 20 + bodyBytes;
  const covered = [...bytes.subarray(0, 16), ...bytes.subarray(20, begin)];
  const seed = crc32(Uint8Array.from(covered));
  assertEquals(view.getUint32(16), seed);
  assertEquals([view.getBigUint64(20), view.getBigUint64(28), view.getBigUint64(36)], [7n, 2n, 70n]);
  assertEquals(view.getUint32(begin + 4), 5);
  assertEquals(view.getUint32(begin), crc32(bytes.subarray(begin + 4, begin + 13), (seed ^ begin) >>> 0));
  const footer = bytes.length - 28;
  assertEquals(view.getUint32(footer), crc32(bytes.subarray(footer + 4), (seed ^ footer) >>> 0));
  assertEquals([view.getBigUint64(footer + 8), view.getBigUint64(footer + 16)], [3n, 709n]);
  assertEquals(view.getUint32(footer + 24), crc32(bytes.subarray(0, footer)));
});

Deno.test("SnapshotReader: any flipped bit, cut or appended byte is found and named; a damaged header before the content is read", async () => {
  const { disk, bytes } = await oneSnapshot();
  const file = `${DIRECTORY}/${FILE_7}`;
  const damaged = [
    ...Array.from(bytes, (byte, at) => bytes.with(at, byte ^ (1 << at % 8))),
    ...Array.from(bytes, (_, at) => bytes.slice(0, at)),
    Uint8Array.from([...bytes, 0]),
  ];
  let knownAtOnce = 0;
  for (const [number, content] of damaged.entries()) {
    disk.edit(file, () => content.slice());
    const store = await open(disk);
    const [listed] = store.list();
    knownAtOnce += listed?.damage === null ? 0 : 1;
    const error = await assertRejects(() => snapshotText(store, AT_7), SnapshotDamagedError, file);
    assert(error.offset >= 0 && error.offset <= bytes.length, `${number}`);
    assertStringIncludes(error.message, "To rebuild this node from its peers");
    assertStringIncludes(store.list()[0]?.damage ?? "nothing", error.reason, "it is remembered");
  }
  assert(knownAtOnce > 150, `${knownAtOnce} by their header`);
  assertEquals(disk.openFiles, 0);
});

Deno.test("SnapshotReader: a chunk of another snapshot, or of another position, is invalid", async () => {
  const { disk, store, bytes } = await oneSnapshot();
  await writeSnapshot(store, { ...AT_9, chunks: ["first", "x".repeat(700), "last"] });
  const begin = 20 + 28 + 16 + 18;
  disk.edit(`${DIRECTORY}/${FILE_9}`, (other) => {
    other.set(bytes.subarray(begin, begin + 13), begin);
    return other;
  });
  await assertRejects(() => snapshotText(store, AT_9), SnapshotDamagedError, "the checksum of a chunk");
  disk.edit(`${DIRECTORY}/${FILE_7}`, (own) => {
    const last = own.slice(-28 - 12, -28);
    own.set(last, begin);
    return own;
  });
  await assertRejects(() => snapshotText(store, AT_7), SnapshotDamagedError, "the checksum of a chunk");
});

Deno.test("SnapshotStore: a newer format is distinguished from damage; a file under another's name is damaged", async () => {
  const { disk, bytes } = await oneSnapshot();
  const newer = bytes.slice();
  const view = new DataView(newer.buffer);
  view.setUint32(8, 3);
  view.setUint32(16, crc32(newer.subarray(20, 82), crc32(newer.subarray(0, 16))));
  disk.edit(`${DIRECTORY}/${FILE_7}`, () => newer);
  const store = await open(disk);
  await assertRejects(() => store.reader(AT_7), NewerSnapshotError, "format version 3");
  assertStringIncludes(store.list()[0]?.damage ?? "", "format version 3");
  disk.edit(`${DIRECTORY}/${FILE_7}`, () => bytes);
  disk.rename(`${DIRECTORY}/${FILE_7}`, `${DIRECTORY}/${FILE_9}`);
  assertEquals((await open(disk)).list(), [
    { ...AT_9, bytes: bytes.length, damage: "its name is another snapshot's" },
  ]);
});

Deno.test("readSnapshotStream: a block that can't be read is reported as such: the file may be undamaged", async () => {
  const { bytes } = await oneSnapshot();
  const source = {
    file: "backup",
    bytes: bytes.length,
    read: (into: Uint8Array, offset: number): Promise<number> => {
      if (offset > 100) return Promise.reject(new Error("EIO: bad block"));
      into.set(bytes.subarray(offset, offset + into.length));
      return Promise.resolve(into.length);
    },
  };
  const { header, verify } = await readSnapshotStream(source);
  assertEquals(header.index, 7);
  const error = await assertRejects(verify, SnapshotUnreadableError, "EIO: bad block");
  assertStringIncludes(error.message, "may be whole");
  assert(!error.message.includes("rebuild"), "no advice to throw the node away");
});

Deno.test("SnapshotReader: a copy of the file in any folder is verified like one in the store", async () => {
  const { disk } = await oneSnapshot();
  const file = `${DIRECTORY}/${FILE_7}`;
  const totals = await withSnapshotFile(
    { disk, file },
    async (source) => await (await readSnapshotStream(source)).verify(),
  );
  assertEquals([totals.chunks, totals.contentBytes], [3, CONTENT.length]);
  assertEquals(disk.openFiles, 0);
});

Deno.test("SnapshotWriter: a snapshot is in the store only when all of it is durable: written, synced, renamed, folder synced", async () => {
  const { disk, store } = await emptyStore();
  const steps: string[] = [];
  disk.intercept = ({ kind, path }) => {
    if (kind !== "write") steps.push(`${kind} ${path.slice(DIRECTORY.length + 1)}`);
    return null;
  };
  await writeSnapshot(store, { ...AT_7, chunks: ["content"] });
  assertEquals(steps, [
    `open ${FILE_7}.new`,
    `syncData ${FILE_7}.new`,
    `rename ${FILE_7}.new`,
    "syncDirectory ",
  ]);
  const after = disk.crash(() => false);
  assertEquals(await snapshotText(await open(after), AT_7), "content");
});

Deno.test("SnapshotStore: unfinished snapshots are removed at the start, and nothing else", async () => {
  const { disk, store, bytes } = await oneSnapshot();
  store.create({ formatVersion: 1, ...AT_9, clusterId: "c", revision: 1, configuration: new Uint8Array(0) });
  receiveSome(store, { bytes, position: AT_7, until: 300 });
  disk.open(`${DIRECTORY}/notes.new`, "create").close();
  const names = [FILE_7, `${FILE_9}.new`, "notes.new", "receiving.new"];
  assertEquals(disk.list(DIRECTORY), names);
  const after = disk.killProcess();
  assertEquals((await open(after)).list().map(({ index }) => index), [7]);
  assertEquals(after.list(DIRECTORY), [FILE_7, "notes.new"]);
});

Deno.test("SnapshotWriter: a snapshot that is discarded leaves no file, also while it is flushed", async () => {
  const { disk, store } = await emptyStore();
  const writer = store.create({
    formatVersion: 1,
    ...AT_7,
    clusterId: "c",
    revision: 1,
    configuration: new Uint8Array(0),
  });
  writer.write(new Uint8Array(10));
  const gate = Promise.withResolvers<void>();
  disk.syncGate = gate.promise;
  const flushing = assertRejects(() => writer.flush(), SnapshotWriteError, "discarded meanwhile");
  writer.discard();
  assertEquals(disk.openFiles, 1, "the file is open as long as its sync lasts");
  gate.resolve();
  await flushing;
  writer.discard();
  assertEquals([disk.list(DIRECTORY), disk.openFiles, store.list()], [[], 0, []]);
  assertThrows(() => writer.write(new Uint8Array(1)), InvariantError, "discarded");
});

Deno.test("SnapshotWriter: a full or failing disk ends the snapshot with its reason, and the one before is kept", async () => {
  const kinds = ["open", "write", "syncData", "rename", "syncDirectory"] as const;
  for (const code of ["ENOSPC", "EIO"]) {
    for (const failing of kinds) {
      const { disk, store } = await oneSnapshot();
      disk.intercept = ({ kind }) => kind === failing ? { code, writtenBytes: 3 } : null;
      const error = await assertRejects(
        () => writeSnapshot(store, { ...AT_9, chunks: ["content"] }),
        SnapshotWriteError,
        code,
      );
      assertEquals(error.isFull, code === "ENOSPC");
      disk.intercept = () => null;
      assertEquals(store.list().map(({ index }) => index), [7], failing);
      assertEquals(await snapshotText(store, AT_7), CONTENT);
    }
  }
});

Deno.test("SnapshotReceiver: a received snapshot is installed after verification, byte for byte as it was sent", async () => {
  const sender = await oneSnapshot();
  const { disk, store } = await emptyStore();
  const receiver = receiveSome(store, { bytes: sender.bytes, position: AT_7 });
  assertEquals(receiver.nextOffset, sender.bytes.length);
  const reader = await receiver.finish();
  assertThrows(() => receiver.install(), InvariantError, "only a verified snapshot");
  assertEquals(store.list(), [], "it is not in the store yet");
  await drain(reader.chunks());
  assertEquals(receiver.install(), { ...AT_7, bytes: sender.bytes.length, damage: null });
  assertEquals(disk.bytesOf(`${DIRECTORY}/${FILE_7}`), sender.bytes);
  const after = disk.crash(() => false);
  assertEquals(await snapshotText(await open(after), AT_7), CONTENT);
  receiver.discard();
  assertEquals(store.list().length, 1, "an installed one is not discarded any more");
  assertEquals(disk.openFiles, 0);
});

Deno.test("SnapshotReceiver: receiving continues if it is the same file, and starts from the beginning if not", async () => {
  const { bytes } = await oneSnapshot();
  const { disk, store } = await emptyStore();
  receiveSome(store, { bytes, position: AT_7, until: 300 });
  assertEquals(store.receive({ ...AT_7, totalBytes: bytes.length }).nextOffset, 300);
  assertEquals(store.receive({ ...AT_7, totalBytes: bytes.length + 1 }).nextOffset, 0);
  assertEquals(store.receive({ ...AT_7, totalBytes: bytes.length }).nextOffset, 0);
  const receiver = receiveSome(store, { bytes, position: AT_7 });
  await drain((await receiver.finish()).chunks());
  receiver.install();
  assertEquals(store.receive({ ...AT_7, totalBytes: bytes.length }).nextOffset, 0, "it was installed");
  store.receive({ ...AT_7, totalBytes: bytes.length }).discard();
  assertEquals([disk.list(DIRECTORY), disk.openFiles], [[FILE_7], 0]);
});

Deno.test("SnapshotReceiver: pieces that don't continue the file are ignored, and so is one after the last", async () => {
  const { bytes } = await oneSnapshot();
  const { store } = await emptyStore();
  const receiver = store.receive({ ...AT_7, totalBytes: bytes.length });
  assertEquals(receiver.write(10, bytes.slice(10, 20)), 0);
  assertEquals(receiver.write(0, bytes.slice(0, 20)), 20);
  assertEquals(receiver.write(0, bytes.slice(0, 20)), 20);
  assertEquals(receiver.write(20, new Uint8Array(bytes.length)), 20);
  assertEquals(receiver.write(20, bytes.slice(20)), bytes.length);
  assertEquals(receiver.write(bytes.length, new Uint8Array(1)), bytes.length);
  await drain((await receiver.finish()).chunks());
});

Deno.test("SnapshotReceiver: a received snapshot that is damaged, unfinished or another one is never installed", async () => {
  const { bytes } = await oneSnapshot();
  const cases: readonly [Uint8Array<ArrayBuffer>, { index: number; term: number }, string][] = [
    [bytes.with(200, (bytes[200] ?? 0) ^ 4), AT_7, "the checksum of a chunk"],
    [bytes.slice(0, -28), AT_7, "never finished"],
    [bytes, AT_9, "entry 9 of term 2 was announced, and it is of entry 7"],
  ];
  for (const [content, position, reason] of cases) {
    const { disk, store } = await emptyStore();
    const receiver = receiveSome(store, { bytes: content, position });
    const reading = async (): Promise<void> => await drain((await receiver.finish()).chunks());
    await assertRejects(reading, SnapshotDamagedError, reason);
    assertThrows(() => receiver.install(), InvariantError, "only a verified snapshot");
    receiver.discard();
    assertEquals([disk.list(DIRECTORY), store.list(), disk.openFiles], [[], [], 0]);
  }
});

Deno.test("SnapshotStore: the newest snapshots and those that are being read are kept; damaged ones don't count", async () => {
  const { disk, store } = await emptyStore();
  for (const index of [1, 2, 3, 4, 5]) await writeSnapshot(store, { index, term: 1, chunks: ["content"] });
  const raw = store.rawReader({ index: 1, term: 1 });
  const reader = await store.reader({ index: 2, term: 1 });
  disk.edit(`${DIRECTORY}/00000000000000000005-00000000000000000001.snap`, (bytes) => bytes.fill(0, 120));
  await assertRejects(() => snapshotText(store, { index: 5, term: 1 }), SnapshotDamagedError);
  const kept = (): readonly number[] => {
    store.removeOld(1);
    const indexes = store.list().map(({ index }) => index);
    assertEquals(disk.list(DIRECTORY).length, indexes.length);
    return indexes;
  };
  assertEquals(kept(), [5, 4, 2, 1]);
  await drain(reader.chunks());
  assertEquals(kept(), [5, 4, 1]);
  const into = new Uint8Array(8);
  assertEquals([await raw.read(0, into), new TextDecoder().decode(into)], [8, "kvrsnap\n"]);
  const reading = raw.read(raw.bytes - 3, into);
  raw.close();
  assertEquals(await reading, 3, "a read under way is not disturbed");
  raw.close();
  assertEquals(kept(), [5, 4]);
  assertEquals(disk.openFiles, 0);
});

Deno.test("SnapshotStore: the removal of an old snapshot that failed is repeated the next time", async () => {
  const { disk, store } = await emptyStore();
  for (const index of [1, 2]) await writeSnapshot(store, { index, term: 1, chunks: [] });
  disk.intercept = ({ kind }) => kind === "remove" ? { code: "EIO" } : null;
  store.removeOld(1);
  assertEquals(store.list().length, 2);
  disk.intercept = () => null;
  store.removeOld(1);
  assertEquals(store.list().map(({ index }) => index), [2]);
});

Deno.test("SnapshotStore: a folder of snapshots that can't be read or synced is refused with the disk's reason", async () => {
  const { disk } = await oneSnapshot();
  disk.intercept = ({ kind }) => kind === "syncDirectory" ? { code: "EIO" } : null;
  await assertRejects(() => open(disk), DataDirectoryUnusableError, "EIO");
  disk.intercept = () => ({ code: "EACCES" });
  await assertRejects(() => open(disk), DataDirectoryUnusableError, "Nothing is wrong with the disk");
  disk.intercept = () => null;
  await assertRejects(() => open(disk, "/nowhere"), DataDirectoryUnusableError, "/nowhere");
  assertEquals(disk.openFiles, 0);
});
