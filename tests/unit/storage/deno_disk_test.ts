/** The real disk: positional reads and writes, errors by their code, locks between real processes, and bounded memory for a large log. */
import fs from "node:fs";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import {
  DataDirectory,
  DataDirectoryLockedError,
  DenoDisk,
  WriteAheadLog,
} from "../../../lib/storage/mod.ts";
import type { Disk, DiskFile, DiskLock, OpenMode } from "../../../lib/storage/mod.ts";
import { isDiskFull, REMOVED_SUFFIX, removeLeftovers } from "../../../lib/platform/disk.ts";
import { errorCode } from "../../../lib/platform/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { batch, entry, hardState, IDENTITY } from "../../support/storage.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

Deno.test("DenoDisk: reads and writes use their positions, also during a sync", async () => {
  await using folder = await TemporaryFolder.make();
  const file = new DenoDisk().open(join(folder.path, "f"), "create");
  file.write(new Uint8Array([1, 2, 3, 4]), 0);
  const syncing = file.syncData();
  file.write(new Uint8Array([9]), 2);
  file.write(new Uint8Array([7, 8]), 6);
  file.syncNow();
  await syncing;
  const into = new Uint8Array(10).fill(255);
  const [all, middle] = await Promise.all([file.read(into, 0), file.read(new Uint8Array(2), 1)]);
  assertEquals([all, middle, ...into], [8, 2, 1, 2, 9, 4, 0, 0, 7, 8, 255, 255]);
  file.truncate(3);
  assertEquals([file.size(), await file.read(into, 3)], [3, 0]);
  file.close();
});

Deno.test("DenoDisk: directories are listed in order, and files renamed and removed", async () => {
  await using folder = await TemporaryFolder.make();
  const disk = new DenoDisk();
  const path = (name: string): string => join(folder.path, name);
  disk.createDirectory(path("d"));
  for (const name of ["d/b", "d/c", "d/a"]) disk.open(path(name), "create").close();
  disk.rename(path("d/c"), path("d/a"));
  disk.syncDirectory(path("d"));
  assertEquals(disk.list(path("d")), ["a", "b"]);
  disk.remove(path("d/a"));
  assertEquals([disk.stat(path("d/a")), disk.stat(path("d/b")), disk.stat(path("d"))], [
    null,
    "file",
    "directory",
  ]);
});

Deno.test({
  name: "DenoDisk: a large file loses its name at once, and its blocks later; its content never changes",
  // A thread frees its blocks, and nothing waits for that thread.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const disk = new DenoDisk();
    const path = `${folder.path}/large`;
    const bytes = new Uint8Array(3 * 1024 * 1024).fill(7);
    const isComplete = (read: Uint8Array): boolean =>
      read.length === bytes.length && read.every((byte) => byte === 7);
    const create = (name: string): void => {
      const file = disk.open(name, "create");
      file.write(bytes, 0);
      file.close();
    };
    const onlyTheBackup = (): Promise<boolean> =>
      eventually(
        "nothing else is in the folder",
        () => disk.list(folder.path).join() === "backup" ? true : null,
      );
    create(path);
    Deno.linkSync(path, `${folder.path}/backup`);
    const reader = disk.open(path, "read");
    disk.remove(path);
    disk.syncDirectory(folder.path);
    assertEquals(disk.stat(path), null);
    assertThrows(() => disk.remove(path), Error);
    await onlyTheBackup();
    const read = new Uint8Array(bytes.length);
    assertEquals(
      [await reader.read(read, 0), isComplete(read)],
      [bytes.length, true],
      "an open file keeps its content",
    );
    reader.close();
    assert(isComplete(Deno.readFileSync(`${folder.path}/backup`)), "another name of it keeps it");
    Deno.symlinkSync(`${folder.path}/backup`, path);
    disk.remove(path);
    await onlyTheBackup();
    assertEquals(Deno.statSync(`${folder.path}/backup`).size, bytes.length, "a link's target keeps it");
    create(`${path}${REMOVED_SUFFIX}`);
    removeLeftovers(disk, folder.path);
    await onlyTheBackup();
    create(path);
    disk.remove(path);
    await onlyTheBackup();
    disk.remove(`${path}${REMOVED_SUFFIX}`); // as at a start that has found the name before it was removed
  },
});

Deno.test({
  name: "DenoDisk: only the owner can read files that it creates, and a lock that an older version made",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const disk = new DenoDisk();
    const path = (name: string): string => join(folder.path, name);
    const modeOf = (name: string): number => (Deno.statSync(path(name)).mode ?? 0) & 0o777;
    disk.createDirectory(path("d"));
    disk.open(path("f"), "create").close();
    disk.lock(path("LOCK"))?.release();
    assertEquals([modeOf("d"), modeOf("f"), modeOf("LOCK")], [0o700, 0o600, 0o600]);
    for (const name of ["d", "LOCK"]) Deno.chmodSync(path(name), 0o755);
    assertEquals([disk.isPrivate(path("f")), disk.isPrivate(path("d"))], [true, false]);
    disk.lock(path("LOCK"))?.release();
    assertEquals(modeOf("LOCK"), 0o600);
  },
});

Deno.test({
  name: "DenoDisk: a file is created in place of a link or a file of other rights, which keep their content",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const disk = new DenoDisk();
    const path = (name: string): string => join(folder.path, name);
    Deno.writeTextFileSync(path("target"), "of another user");
    Deno.symlinkSync(path("target"), path("link"));
    Deno.symlinkSync(path("none"), path("dangling"));
    Deno.linkSync(path("target"), path("second name"));
    const names = ["link", "dangling", "second name"];
    for (const name of names) {
      const file = disk.open(path(name), "create");
      file.write(new TextEncoder().encode("secret"), 0);
      file.close();
    }
    assertEquals(Deno.readTextFileSync(path("target")), "of another user");
    assertEquals(disk.stat(path("none")), null);
    const created = names.map((name) => Deno.lstatSync(path(name)));
    assertEquals(created.map(({ isFile, mode }) => [isFile, (mode ?? 0) & 0o777]), [
      [true, 0o600],
      [true, 0o600],
      [true, 0o600],
    ]);
  },
});

Deno.test("DenoDisk: errors carry the system's code", async () => {
  await using folder = await TemporaryFolder.make();
  const disk = new DenoDisk();
  const codeOf = (operation: () => unknown): string | null => errorCode(assertThrows(operation, Error));
  assertEquals(codeOf(() => disk.open(join(folder.path, "none"), "read")), "ENOENT");
  assertEquals(codeOf(() => disk.createDirectory(folder.path)), "EEXIST");
  assertEquals(codeOf(() => disk.open(folder.path, "write")), "EISDIR");
});

Deno.test({
  name: "isDiskFull: a full device is distinguished from one that fails",
  ignore: Deno.build.os !== "linux",
  fn(): void {
    const full = new DenoDisk().open("/dev/full", "write");
    const error = assertThrows(() => full.write(new Uint8Array(10), 0), Error);
    full.close();
    assertEquals([isDiskFull(error), isDiskFull(new Error("ENOSPC"))], [true, false]);
  },
});

Deno.test("DenoDisk: a write that the system does in parts is complete in the end", async () => {
  await using folder = await TemporaryFolder.make();
  const file = new DenoDisk().open(join(folder.path, "f"), "create");
  const system = fs.writeSync;
  const parts: number[] = [];
  const inParts = (
    descriptor: number,
    bytes: Uint8Array,
    ...[offset, length, position]: [number, number, number]
  ): number => {
    parts.push(length);
    return system(descriptor, bytes, offset, Math.min(length, 400), position);
  };
  Object.assign(fs, { writeSync: inParts });
  const bytes = Uint8Array.from({ length: 1_000 }, (_, at) => at % 251);
  try {
    file.write(bytes, 3);
  } finally {
    Object.assign(fs, { writeSync: system });
  }
  const into = new Uint8Array(1_003);
  await file.read(into, 0);
  file.close();
  assertEquals([parts, into], [[1_000, 600, 200], Uint8Array.of(0, 0, 0, ...bytes)]);
});

const HOLDER = `
  import { DataDirectory, DenoDisk } from ${
  JSON.stringify(new URL("../../../lib/storage/mod.ts", import.meta.url).href)
};
  const [path] = Deno.args;
  await DataDirectory.open({ disk: new DenoDisk(), path, identity: ${JSON.stringify(IDENTITY)} });
  await Deno.stdout.write(new TextEncoder().encode("held"));
  for await (const _ of Deno.stdin.readable);
`;

Deno.test("DenoDisk: a directory locked by another process is refused, and can be locked once that process is killed with -9", async () => {
  await using folder = await TemporaryFolder.make();
  const path = join(folder.path, "node-1");
  const script = join(folder.path, "holder.ts");
  await Deno.writeTextFile(script, HOLDER);
  const importMap = new URL("../../../tools/std/import_map.json", import.meta.url).href;
  const holder = new Deno.Command(Deno.execPath(), {
    // No other right than to this one directory: what storage needs is exactly that.
    args: [
      "run",
      "--no-prompt",
      "--no-lock",
      `--import-map=${importMap}`,
      `--allow-read=${path},${folder.path}`,
      `--allow-write=${path}`,
      script,
      path,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = holder.stdout.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "held");
  const open = (): Promise<DataDirectory> => DataDirectory.open({ disk: new DenoDisk(), path });
  await assertRejects(open, DataDirectoryLockedError, path);
  holder.kill("SIGKILL");
  await holder.status;
  (await open()).close();
  await reader.cancel();
  await holder.stdin.abort().catch(() => {});
});

/** The real disk; it records the size of the largest read. */
class MeasuredDisk implements Disk {
  readonly #disk = new DenoDisk();
  largestReadBytes = 0;

  open(path: string, mode: OpenMode): DiskFile {
    const file = this.#disk.open(path, mode);
    return {
      size: () => file.size(),
      write: (bytes, offset) => file.write(bytes, offset),
      read: (into, offset) => {
        this.largestReadBytes = Math.max(this.largestReadBytes, into.length);
        return file.read(into, offset);
      },
      truncate: (size) => file.truncate(size),
      syncData: () => file.syncData(),
      syncNow: () => file.syncNow(),
      close: () => file.close(),
    };
  }

  isPrivate(path: string): boolean {
    return this.#disk.isPrivate(path);
  }
  stat(path: string): ReturnType<Disk["stat"]> {
    return this.#disk.stat(path);
  }
  list(path: string): readonly string[] {
    return this.#disk.list(path);
  }
  createDirectory(path: string): void {
    this.#disk.createDirectory(path);
  }
  syncDirectory(path: string): void {
    this.#disk.syncDirectory(path);
  }
  rename(from: string, to: string): void {
    this.#disk.rename(from, to);
  }
  remove(path: string): void {
    this.#disk.remove(path);
  }
  lock(path: string): DiskLock | null {
    return this.#disk.lock(path);
  }
}

Deno.test("WriteAheadLog: a log of 96 MiB is read in pieces, and only the tail of its entries is returned", async () => {
  await using folder = await TemporaryFolder.make();
  const options = {
    disk: new DenoDisk(),
    directory: folder.path,
    identity: IDENTITY,
    snapshot: null,
    segmentBytes: 8 * 1024 * 1024,
    entryCacheBytes: 1024 * 1024,
  };
  const { log } = await WriteAheadLog.open(options);
  const data = crypto.getRandomValues(new Uint8Array(64 * 1024 - 100));
  const perBatch = 16;
  log.append(batch(hardState(1)));
  for (let index = 1; index <= 1536; index += perBatch) {
    const entries = Array.from({ length: perBatch }, (_, at) => entry(index + at, 1, data));
    log.append(batch(null, ...entries));
  }
  await log.sync();
  await log.close();
  const disk = new MeasuredDisk();
  const { log: again, recovered } = await WriteAheadLog.open({ ...options, disk });
  assert(recovered.bytes > 95 * 1024 * 1024, `${recovered.bytes} bytes`);
  assertEquals([recovered.lastIndex, recovered.cachedEntries.length, recovered.cut], [1536, 16, null]);
  assert(recovered.segments > 10, `${recovered.segments} segments`);
  assert(disk.largestReadBytes <= 1024 * 1024, `${disk.largestReadBytes} bytes were read at once`);
  assertEquals(await again.readEntries(700, 100_000), [entry(700, 1, data)]);
  await again.close();
});
