/** The owner of a data directory: it is recorded once, other nodes are refused, and a refusal changes nothing. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import {
  DataDirectory,
  DataDirectoryDamagedError,
  DataDirectoryError,
  DataDirectoryLockedError,
  DataDirectoryUnusableError,
  DenoDisk,
  NewerFormatError,
  OtherClusterError,
  OtherNodeError,
  readIdentity,
} from "../../../lib/storage/mod.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { IDENTITY } from "../../support/storage.ts";

const PATH = "/srv/data/node-1";

Deno.test({
  name:
    "DataDirectory.open: a link to a disk that is not mounted is named, and nothing is created at its target",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using directory = await TemporaryFolder.make();
    const [path, target] = [`${directory.path}/node-1`, `${directory.path}/disk`];
    await Deno.symlink(target, path);
    await assertRejects(
      () => DataDirectory.open({ disk: new DenoDisk(), path }),
      DataDirectoryUnusableError,
      `${path} is a symbolic link to a directory that does not exist`,
    );
    await assertRejects(() => Deno.stat(target), Deno.errors.NotFound);
  },
});

const NAMES = ["LOCK", "identity", "snapshots", "wal"];

/** Opens the directory as `identity`, which becomes its owner if it has none. */
async function open(disk: MemoryDisk, identity = IDENTITY): Promise<DataDirectory> {
  const directory = await DataDirectory.open({ disk, path: PATH });
  try {
    directory.requireOwner(identity);
    if (directory.identity === null) directory.found(identity);
    return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
}

async function setUp(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  (await open(disk)).close();
  return disk;
}

function writeIdentity(disk: MemoryDisk, content: string | Uint8Array<ArrayBuffer>): void {
  disk.edit(
    `${PATH}/identity`,
    () => typeof content === "string" ? new TextEncoder().encode(content) : content,
  );
}

Deno.test("DataDirectory: a missing directory is created with its parents, and has the identity of its owner", async () => {
  const disk = new MemoryDisk();
  const directory = await open(disk);
  assertEquals(directory.walDirectory, `${PATH}/wal`);
  assertEquals(disk.list(PATH), NAMES);
  const identity = new TextDecoder().decode(disk.bytesOf(`${PATH}/identity`));
  assertEquals(
    identity,
    '{"formatVersion":1,"clusterId":"7f3a9c0012345678","clusterName":"test","nodeId":1,"dataId":4711,' +
      '"founders":[{"id":1,"address":"n1:7001"},{"id":2,"address":"n2:7001"}],"checksum":722668522}\n',
  );
  directory.close();
});

Deno.test("DataDirectory: an open directory is durable with all its parents", async () => {
  const disk = await setUp();
  const after = disk.crash(() => false);
  assertEquals(after.list(PATH), NAMES);
  assertEquals(after.contents(), disk.contents());
});

Deno.test("DataDirectory: after a crash at any step of its creation the next start can create it", async () => {
  for (let stopAt = 1;; stopAt += 1) {
    const disk = new MemoryDisk();
    disk.intercept = ({ number }) => number === stopAt ? { code: "STOPPED", writtenBytes: 17 } : null;
    const finished = await open(disk).then(() => true, () => false);
    let turn = stopAt;
    const random = (): boolean => (turn = Math.imul(turn, 48271) + 11) % 2 === 0;
    for (
      const after of [
        disk.killProcess(),
        ...[() => false, () => true, random].map((keep) => disk.crash(keep)),
      ]
    ) {
      (await open(after)).close();
      assertEquals(after.crash(() => false).list(PATH), NAMES);
    }
    if (finished) break;
    assert(stopAt < 50);
  }
});

Deno.test("DataDirectory: another process that creates the parent folder at the same moment causes no error", async () => {
  const disk = new MemoryDisk();
  let raced = false;
  disk.intercept = ({ kind, path }) => {
    if (kind === "createDirectory" && path === "/srv/data" && !raced) {
      raced = true;
      disk.createDirectory("/srv/data");
    }
    return null;
  };
  const directory = await open(disk);
  assert(raced, "the neighbour came first");
  assertEquals(disk.list(PATH), NAMES);
  directory.close();
});

Deno.test("DataDirectory: the same node opens it again, and finds its data unchanged", async () => {
  const disk = await setUp();
  const before = disk.contents();
  const directory = await open(disk);
  assertEquals(directory.identity, IDENTITY);
  directory.close();
  assertEquals(disk.contents(), before);
});

Deno.test("DataDirectory: it has no owner until it is founded, even if it was opened before", async () => {
  const disk = new MemoryDisk();
  for (const after of [disk, disk.killProcess()]) {
    const directory = await DataDirectory.open({ disk: after, path: PATH });
    assertEquals([directory.identity, await readIdentity({ disk: after, path: PATH })], [null, null]);
    directory.requireOwner({ ...IDENTITY, nodeId: 7 });
    assertEquals(directory.snapshotDirectory, `${PATH}/snapshots`);
    directory.close();
  }
  const directory = await DataDirectory.open({ disk, path: PATH });
  directory.found(IDENTITY);
  const after = disk.crash(() => false);
  assertEquals(await readIdentity({ disk: after, path: PATH }), IDENTITY, "founded is durable");
  assertThrows(() => directory.found(IDENTITY), InvariantError, "founded once");
});

Deno.test("DataDirectory: a joined node has no founders, and an unknown name or id of the cluster is not compared", async () => {
  const disk = new MemoryDisk();
  const joined = { ...IDENTITY, clusterName: "", founders: [] };
  const directory = await open(disk, joined);
  directory.requireOwner({ nodeId: 1, clusterName: null, clusterId: null });
  directory.close();
  assertEquals(await readIdentity({ disk, path: PATH }), joined);
});

Deno.test("DataDirectory: a directory that can't be founded for lack of space is founded once there is some", async () => {
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open({ disk, path: PATH });
  disk.capacityBytes = 10;
  assertThrows(() => directory.found(IDENTITY), DataDirectoryUnusableError, "ENOSPC");
  disk.capacityBytes = 10_000;
  directory.found(IDENTITY);
  directory.close();
  assertEquals(await readIdentity({ disk, path: PATH }), IDENTITY);
});

Deno.test("DataDirectory: it can't be opened again while it is open", async () => {
  const disk = new MemoryDisk();
  const first = await open(disk);
  const error = await assertRejects(
    () => open(disk),
    DataDirectoryLockedError,
    "another process is using it",
  );
  assertStringIncludes(error.message, PATH);
  assertStringIncludes(error.message, "Stop that process first");
  first.close();
  (await open(disk)).close();
});

/** A refused directory, and parts of the error message. */
interface Refusal {
  name: string;
  change: (disk: MemoryDisk) => void;
  identity?: typeof IDENTITY;
  error: new (...args: never[]) => DataDirectoryError;
  says: readonly string[];
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "another node's",
    change: () => {},
    identity: { ...IDENTITY, nodeId: 2 },
    error: OtherNodeError,
    says: [
      "it belongs to node 1 of cluster 7f3a9c0012345678 (test), not to node 2",
      "--node-id",
      "another --data-dir",
    ],
  },
  {
    name: "another cluster's",
    change: () => {},
    identity: { ...IDENTITY, clusterId: "00112233" },
    error: OtherClusterError,
    says: ["it belongs to node 1 of cluster 7f3a9c0012345678 (test), not to cluster 00112233", "--cluster"],
  },
  {
    name: "another cluster's by name",
    change: () => {},
    identity: { ...IDENTITY, clusterName: "other" },
    error: OtherClusterError,
    says: ['not to cluster "other"', "--cluster-name"],
  },
  {
    name: "a newer format, with any other content",
    change: (disk) => writeIdentity(disk, '{"formatVersion":2,"owner":"?"}'),
    error: NewerFormatError,
    says: ["format version 2", "Start the newer kvraft"],
  },
  {
    name: "a log without an identity",
    change: (disk) => {
      disk.open(`${PATH}/wal/00000000000000000001.log`, "create").close();
      disk.remove(`${PATH}/identity`);
    },
    error: DataDirectoryDamagedError,
    says: ["it holds data (wal/) but no identity file", "restore again"],
  },
  {
    name: "snapshots without an identity",
    change: (disk) => {
      disk.open(`${PATH}/snapshots/receiving.new`, "create").close();
      disk.remove(`${PATH}/identity`);
    },
    error: DataDirectoryDamagedError,
    says: ["it holds data (snapshots/) but no identity file", "restore again"],
  },
  {
    name: "an identity without the folder of snapshots",
    change: (disk) => disk.rename(`${PATH}/snapshots`, `${PATH}/lost`),
    error: DataDirectoryDamagedError,
    says: ["the snapshots (snapshots/) of node 1", "Restore snapshots/"],
  },
  {
    name: "an identity without a file of its log, though there was one",
    change: (disk) => disk.remove(`${PATH}/wal/not-begun`),
    error: DataDirectoryDamagedError,
    says: ["the log (wal/) of node 1", "To rebuild this node from its peers"],
  },
  {
    name: "an identity without its log's folder",
    change: (disk) => disk.rename(`${PATH}/wal`, `${PATH}/lost`),
    error: DataDirectoryDamagedError,
    says: ["the log (wal/) of node 1", "To rebuild this node from its peers"],
  },
];

/** Contents that are no identity. */
const DAMAGED: readonly (string | Uint8Array<ArrayBuffer>)[] = [
  "",
  "{",
  "null",
  "[1]",
  "7",
  '{"clusterId":"a","nodeId":1}',
  '{"formatVersion":0,"clusterId":"a","nodeId":1}',
  '{"formatVersion":"1","clusterId":"a","nodeId":1}',
  '{"formatVersion":1,"nodeId":1}',
  '{"formatVersion":1,"clusterId":"","nodeId":1}',
  '{"formatVersion":1,"clusterId":7,"nodeId":1}',
  '{"formatVersion":1,"clusterId":"a"}',
  '{"formatVersion":1,"clusterId":"a","nodeId":0}',
  '{"formatVersion":1,"clusterId":"a","nodeId":1.5}',
  '{"formatVersion":1,"clusterId":"a","clusterName":7,"nodeId":1,"dataId":1,"founders":[]}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":0,"founders":[]}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":1,"founders":{}}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":1,"founders":[null]}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":1,"founders":[{"id":1}]}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":1,"founders":[]}',
  '{"formatVersion":1,"clusterId":"a","clusterName":"b","nodeId":1,"dataId":1,"founders":[],"checksum":1}',
  `{"formatVersion":1,"clusterId":"a","nodeId":1}${" ".repeat(5000)}x`,
  new Uint8Array([0xff, 0xfe, 0x00]),
];

Deno.test("DataDirectory: every refusal names the directory, the owner if known and a remedy, and changes nothing", async () => {
  const damaged = DAMAGED.map((content): Refusal => ({
    name: `damaged: ${String(content).slice(0, 60)}`,
    change: (disk) => writeIdentity(disk, content),
    error: DataDirectoryDamagedError,
    says: ["its identity file is damaged", "back from a copy"],
  }));
  for (const { name, change, identity, error, says } of [...REFUSALS, ...damaged]) {
    const disk = await setUp();
    change(disk);
    // A node that is not the owner of an undamaged directory is refused only after it locked it, so the file LOCK remains.
    const isOtherOwner = error === OtherNodeError || error === OtherClusterError;
    if (!isOtherOwner) disk.remove(`${PATH}/LOCK`);
    const before = disk.contents();
    const thrown = await open(disk, identity).then(() => null, (reason) => reason);
    assertInstanceOf(thrown, error, name);
    for (const part of [`Cannot open the data directory ${PATH}: `, ...says]) {
      assertStringIncludes(thrown.message, part);
    }
    assertEquals(thrown.path, PATH);
    assertEquals(disk.contents(), before, name);
  }
});

Deno.test("DataDirectory: one that can't be created, written or read is refused with the disk's reason", async () => {
  const blocked = new MemoryDisk();
  blocked.open("/srv", "create").close();
  await assertRejects(() => open(blocked), DataDirectoryUnusableError, PATH);
  const full = new MemoryDisk();
  full.capacityBytes = 10;
  await assertRejects(() => open(full), DataDirectoryUnusableError, "ENOSPC");
  full.capacityBytes = 1000;
  (await open(full)).close();
});

Deno.test("DataDirectory: files that are not kvraft's are not changed", async () => {
  const disk = new MemoryDisk();
  for (const path of ["/srv", "/srv/data", PATH]) disk.createDirectory(path);
  disk.open(`${PATH}/notes.txt`, "create").close();
  (await open(disk)).close();
  assertEquals(disk.list(PATH), ["LOCK", "identity", "notes.txt", "snapshots", "wal"]);
});
