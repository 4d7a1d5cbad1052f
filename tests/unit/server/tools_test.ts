/** The tools for stopped servers: an inspection changes nothing, and a new directory is complete or absent. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { DecodeError } from "../../../lib/protocol/errors.ts";
import { encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import type { Configuration, Entry } from "../../../lib/raft/mod.ts";
import { DirectoryInUseError } from "../../../lib/server/startup/new_directory.ts";
import { NothingThereError } from "../../../lib/server/tools/inspect.ts";
import { RecoveryError } from "../../../lib/server/tools/recover.ts";
import { recoverState } from "../../../lib/server/startup/recovered_state.ts";
import { BackupPathError } from "../../../lib/server/startup/state_file.ts";
import { RESTORED_REVISION_STEP, serverTools } from "../../../lib/server/tools/tools.ts";
import type { RecoveryStakes, RestoreRequest } from "../../../lib/server/tools/tools_port.ts";
import {
  DataDirectory,
  DataDirectoryLockedError,
  DataDirectoryUnfinishedError,
  DenoDisk,
  NotASnapshotError,
  readIdentity,
  SnapshotDamagedError,
  SnapshotUnreadableError,
} from "../../../lib/storage/mod.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { MemoryDisk, MemoryDiskError } from "../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { machineAt, noYield, openStore, storedText, storeState, THREE } from "../../support/server_state.ts";
import { appendSynced, batch, hardState, IDENTITY, openNode } from "../../support/storage.ts";

const random = (): number => 0.5;
const BACKUP = "/data/snapshots/00000000000000000007-00000000000000000003.snap";

/** A disk with a backup: a state of 7 keys at index 7 of term 3. */
async function withBackup(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await storeState(await openStore(disk), machineAt(7), { term: 3 });
  return disk;
}

function command(index: number): Entry {
  const key = new TextEncoder().encode(`key ${index}`);
  const mutations = [{ kind: "put", key, value: key }] as const;
  return {
    index,
    term: 3,
    kind: "command",
    data: encodeCommand({ kind: "transaction", session: null, checks: [], mutations }),
  };
}

/** The directory /data of node 1, which knows a removed node 9 and has a log of 12 entries, 11 of them committed. */
async function withSurvivor(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { log } = await openNode(disk);
  const configuration: Configuration = { ...THREE, removedIds: [9] };
  const first: Entry = { index: 1, term: 3, kind: "configuration", data: encodeConfiguration(configuration) };
  const others = Array.from({ length: 11 }, (_, position) => command(position + 2));
  await appendSynced(log, [batch(hardState(3, 1, 11), first, ...others)]);
  await log.close();
  return disk;
}

function restoreRequest(changes: Partial<RestoreRequest> = {}): RestoreRequest {
  const members = [4, 5].map(MemoryCluster.addressOf);
  const cluster = { nodeId: 4, members, clusterName: "orders" };
  return { from: BACKUP, dataDir: "/new", disablesAuth: false, ...cluster, ...changes };
}

/** Returns the state that a start would recover. */
async function opened(disk: MemoryDisk, path: string): Promise<Awaited<ReturnType<typeof recoverState>>> {
  const directory = await DataDirectory.open({ disk, path });
  try {
    assert(directory.identity !== null, "it has an identity");
    const start = await recoverState({
      disk,
      directory,
      identity: directory.identity,
      segmentBytes: 4_096,
      entryCacheBytes: 1_000_000,
      stateMachineOptions: {},
      logger: new RecordingLogger(),
      yieldToEventLoop: noYield,
    });
    await start.log.close();
    return start;
  } finally {
    directory.close();
  }
}

Deno.test("restore: the directory has the backup's state, and every node that restores it becomes a member of the same new cluster", async () => {
  const disk = await withBackup();
  const tools = serverTools({ disk, random });
  const report = await tools.restore(restoreRequest());
  const other = await tools.restore(restoreRequest({ nodeId: 5, dataDir: "/other" }));
  assertEquals([report.revision, report.keys, other.clusterId], [7, 7, report.clusterId]);
  assert(report.clusterId !== IDENTITY.clusterId, "the cluster is a new one");
  const { metadata, stateMachine, recovered } = await opened(disk, "/new");
  assertEquals(metadata, {
    index: 7,
    term: 3,
    configuration: {
      confState: { voters: [4, 5], learners: [], votersOutgoing: [] },
      members: [4, 5].map((id) => (
        { id, address: `n${id}:7001`, dataId: null, autoPromote: false, replaces: null }
      )),
      removedIds: [],
    },
  });
  assertEquals([...stateMachine.snapshot().records()], [...machineAt(7).snapshot().records()]);
  assertEquals([recovered.compacted, recovered.lastIndex, recovered.hardState.term], [
    { index: 7, term: 3 },
    7,
    3,
  ]);
  const directory = await DataDirectory.open({ disk, path: "/other" });
  assertEquals(directory.identity?.nodeId, 5);
  directory.close();
  assertEquals(disk.openFiles, 0);
});

Deno.test("restore: from feature level 2 on no revision is given again, and no state of the lost cluster is read", async () => {
  const disk = new MemoryDisk();
  const machine = machineAt(5);
  machine.apply(6, { kind: "raiseFeatureLevel", level: 2 });
  const key = Uint8Array.of(3, 1);
  const mutation = { kind: "set", key, value: key, expiresAtMs: null, versionstampedKey: false } as const;
  const ids = { session: null, databaseId: 0, credentialId: 0, checks: [] };
  machine.apply(7, { kind: "databaseWrite", ...ids, mutations: [mutation] });
  await storeState(await openStore(disk), machine, { term: 3 });
  const report = await serverTools({ disk, random }).restore(restoreRequest());
  assertEquals(report.revision, machine.revision + RESTORED_REVISION_STEP);
  const { stateMachine } = await opened(disk, "/new");
  assertEquals([stateMachine.revision, stateMachine.compactedRevision], [report.revision, report.revision]);
  assertEquals(stateMachine.appliedIndex, 7);
});

Deno.test("restore: other members, another name, another backup or --disable-auth make another cluster", async () => {
  const disk = await withBackup();
  await storeState(await openStore(disk), machineAt(8), { term: 3 });
  const tools = serverTools({ disk, random });
  const requests = [
    {},
    { members: [4, 6].map(MemoryCluster.addressOf) },
    { clusterName: "others" },
    { disablesAuth: true },
    { from: BACKUP.replace("07-", "08-") },
  ];
  const ids = [];
  for (const [position, changes] of requests.entries()) {
    ids.push((await tools.restore(restoreRequest({ ...changes, dataDir: `/new-${position}` }))).clusterId);
  }
  assertEquals(new Set(ids).size, requests.length);
});

Deno.test("restore: a damaged backup is refused before anything is created", async () => {
  const disk = await withBackup();
  disk.edit(BACKUP, (bytes) => bytes.subarray(0, -1));
  await assertRejects(() => serverTools({ disk, random }).restore(restoreRequest()), SnapshotDamagedError);
  assertEquals([disk.stat("/new"), disk.openFiles], [null, 0]);
});

Deno.test("restore: a file that is no snapshot is refused as such, without advice on rebuilding a node", async () => {
  const disk = await withBackup();
  disk.edit(BACKUP, () => new TextEncoder().encode("# README\n\nThis is no snapshot at all, but text.\n"));
  const tools = serverTools({ disk, random });
  for (const call of [() => tools.restore(restoreRequest()), () => tools.inspect(BACKUP)]) {
    const { message } = await assertRejects(call, NotASnapshotError);
    assertEquals(message.includes("does not begin like one"), true);
    assertEquals(message.includes("replace"), false);
  }
});

Deno.test("restore: a backup whose header does not fit its state is refused before anything is created, and inspected as damaged", async () => {
  const disk = await withBackup();
  const store = await openStore(disk);
  await storeState(store, machineAt(7), { term: 4, index: 9 });
  const from = "/data/snapshots/00000000000000000009-00000000000000000004.snap";
  const tools = serverTools({ disk, random });
  await assertRejects(() => tools.restore(restoreRequest({ from })), DecodeError, "not of revision");
  assertEquals([disk.stat("/new"), disk.openFiles], [null, 0]);
  const report = await tools.inspect(from);
  assert(report.kind === "snapshot");
  assertEquals([report.contents, report.damage.length], [null, 1]);
});

Deno.test("inspect, restore: a directory as a backup, and a directory of other files as a data directory, are refused as such", async () => {
  const disk = await withBackup();
  const tools = serverTools({ disk, random });
  await assertRejects(
    () => tools.restore(restoreRequest({ from: "/data" })),
    BackupPathError,
    "is a directory",
  );
  disk.createDirectory("/photos");
  disk.open("/photos/cat.jpg", "create").close();
  await assertRejects(
    () => tools.restore(restoreRequest({ dataDir: "/photos" })),
    DirectoryInUseError,
    "other files (cat.jpg)",
  );
  assertEquals(disk.list("/photos"), ["cat.jpg"]);
  await assertRejects(() => tools.inspect("/photos"), NothingThereError, "no data directory");
});

Deno.test({
  name: "inspect, restore: a backup from a pipe is treated like its file",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await TemporaryFolder.make();
    const memory = await withBackup();
    const disk = new DenoDisk();
    const tools = serverTools({ disk, random });
    const [file, pipe] = [`${folder.path}/backup`, `${folder.path}/pipe`];
    Deno.writeFileSync(file, memory.bytesOf(BACKUP));
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    const throughPipe = async <T>(use: () => Promise<T>): Promise<T> => {
      const writer = new Deno.Command("sh", { args: ["-c", `cat "${file}" > "${pipe}"`] }).spawn();
      const result = await use();
      await writer.status;
      return result;
    };
    const fromFile = await tools.inspect(file);
    assertEquals(await throughPipe(() => tools.inspect(pipe)), { ...fromFile, path: pipe });
    const request = restoreRequest({ from: pipe, dataDir: `${folder.path}/new` });
    const report = await throughPipe(() => tools.restore(request));
    const other = await tools.restore({ ...request, from: file, dataDir: `${folder.path}/other` });
    assertEquals([report, report.keys], [other, 7]);
  },
});

Deno.test("recoverState: the error for an unreadable snapshot that the log needs does not advise to rebuild the node", async () => {
  const disk = await withBackup();
  await serverTools({ disk, random }).restore(restoreRequest());
  const open = disk.open.bind(disk);
  disk.open = (path, mode) => {
    const file = open(path, mode);
    const read = file.read.bind(file);
    const fails = path.endsWith(".snap") && path.startsWith("/new");
    file.read = (into, offset) =>
      fails ? Promise.reject(new MemoryDiskError("EIO", path)) : read(into, offset);
    return file;
  };
  const error = await assertRejects(() => opened(disk, "/new"), SnapshotUnreadableError, "may be whole");
  assert(!error.message.includes("rebuild"));
  disk.open = open;
  assertEquals((await opened(disk, "/new")).metadata.index, 7);
});

Deno.test("restore: a directory with an identity is refused", async () => {
  const disk = await withBackup();
  const tools = serverTools({ disk, random });
  await tools.restore(restoreRequest());
  const before = disk.contents();
  await assertRejects(
    () => tools.restore(restoreRequest({ nodeId: 5 })),
    DirectoryInUseError,
    "node 4 of cluster",
  );
  assertEquals(disk.contents(), before);
});

Deno.test("restore: after an interruption at any point the directory is complete, or refused with the command that finishes it", async () => {
  const counting = await withBackup();
  const begin = counting.operations;
  await serverTools({ disk: counting, random }).restore(restoreRequest());
  const found = { whole: 0, unfinished: 0, nothing: 0 };
  for (let number = begin + 1; number <= counting.operations; number++) {
    const disk = await withBackup();
    disk.intercept = (operation) => operation.number === number ? { code: "STOPPED" } : null;
    await assertRejects(() => serverTools({ disk, random }).restore(restoreRequest()), Error);
    for (const keeps of [true, false]) {
      const after = disk.crash((piece) => keeps || (piece.kind === "name" && piece.path.startsWith("/data")));
      const identity = await readIdentity({ disk: after, path: "/new" }).catch((error: unknown) => {
        assert(error instanceof DataDirectoryUnfinishedError, String(error));
        assertMatch(error.message, /Run the same `kvraft server restore …`/);
        return error;
      });
      if (identity === null) {
        const names = after.stat("/new") === null ? [] : after.list("/new");
        assertEquals(
          names.filter((name) => name !== "LOCK" && name !== "unfinished"),
          [],
          "nothing was made",
        );
        found.nothing++;
      } else if (identity instanceof Error) {
        found.unfinished++;
      } else {
        assertEquals((await opened(after, "/new")).metadata.index, 7);
        found.whole++;
        continue;
      }
      await serverTools({ disk: after, random }).restore(restoreRequest());
      assertEquals((await opened(after, "/new")).metadata.index, 7);
      assertEquals(after.stat("/new/unfinished"), null);
    }
  }
  assert(found.whole > 0 && found.unfinished > 10, JSON.stringify(found));
});

Deno.test("restore: a disk that fails during it leaves no incomplete snapshot", async () => {
  const disk = await withBackup();
  disk.intercept = ({ kind, path }) => kind === "syncData" && path.endsWith(".new") ? { code: "EIO" } : null;
  await assertRejects(() => serverTools({ disk, random }).restore(restoreRequest()), Error);
  assertEquals([disk.list("/new/snapshots"), disk.stat("/new/identity"), disk.openFiles], [[], null, 0]);
  disk.intercept = () => null;
  await serverTools({ disk, random }).restore(restoreRequest());
});

/** Recovers /data, and records the shown report. */
async function recovered(
  disk: MemoryDisk,
  { dataDir = "/data", says = true, address = null }: {
    readonly dataDir?: string;
    readonly says?: boolean;
    readonly address?: string | null;
  } = {},
): Promise<{ shown: RecoveryStakes | null; report: unknown }> {
  let shown: RecoveryStakes | null = null;
  const report = await serverTools({ disk, random }).recover({
    disablesAuth: false,
    dataDir,
    nodeId: null,
    address,
    confirm: (stakes) => {
      shown = stakes;
      return Promise.resolve(says);
    },
  });
  return { shown, report };
}

Deno.test("recover: it shows the data that may be lost, and makes a cluster of one with all entries of the log", async () => {
  const disk = await withSurvivor();
  const { shown, report } = await recovered(disk, { dataDir: "/data/" });
  assertEquals(shown, {
    dataDir: "/data",
    clusterId: IDENTITY.clusterId,
    nodeId: 1,
    address: "n1:7001",
    members: [1, 2, 3].map((id) => ({ id, address: `n${id}:7001`, role: "voter" as const })),
    lastIndex: 12,
    lastTerm: 3,
    commitIndex: 11,
  });
  const { metadata, stateMachine } = await opened(disk, "/data");
  assertEquals(metadata, {
    index: 12,
    term: 3,
    configuration: {
      confState: { voters: [1], learners: [], votersOutgoing: [] },
      members: [{ id: 1, address: "n1:7001", dataId: null, autoPromote: false, replaces: null }],
      removedIds: [2, 3, 9],
    },
  });
  assertEquals(stateMachine.keyCount, 11);
  const directory = await DataDirectory.open({ disk, path: "/data" });
  const identity = directory.identity;
  directory.close();
  assert(
    identity !== null && identity.clusterId !== IDENTITY.clusterId && identity.dataId !== IDENTITY.dataId,
  );
  assertEquals(report, { clusterId: identity.clusterId, nodeId: 1, address: "n1:7001", lastIndex: 12 });
  assertEquals((await opened(disk, "/data.before-recovery")).recovered.lastIndex, 12);
  assertEquals(disk.openFiles, 0);
});

Deno.test("recover: without confirmation it changes nothing", async () => {
  const disk = await withSurvivor();
  assertEquals((await recovered(disk, { says: false })).report, null);
  assertEquals([disk.stat("/data.recovered"), disk.stat("/data.before-recovery")], [null, null]);
  assertEquals((await opened(disk, "/data")).recovered.lastIndex, 12);
});

Deno.test("recover: it can change the node's address", async () => {
  const disk = await withSurvivor();
  await recovered(disk, { address: "n8:7008" });
  const { metadata } = await opened(disk, "/data");
  assertEquals(metadata.configuration.members.map(({ address }) => address), ["n8:7008"]);
});

Deno.test("recover: an unsuitable directory is refused before it is changed, and a wrong path is not created", async () => {
  const disk = await withSurvivor();
  await assertRejects(() => recovered(disk, { dataDir: "/dtaa" }), RecoveryError, "not the data directory");
  assertEquals(disk.stat("/dtaa"), null);
  const empty = new MemoryDisk();
  const { log } = await openNode(empty);
  await log.close();
  await assertRejects(() => recovered(empty), RecoveryError, "its log is empty");
  const running = await DataDirectory.open({ disk, path: "/data" });
  await assertRejects(() => recovered(disk), DataDirectoryLockedError);
  running.close();
  await recovered(disk);
  const before = disk.contents();
  await assertRejects(() => recovered(disk), DirectoryInUseError, "/data.before-recovery exists");
  assertEquals(disk.contents(), before);
});

Deno.test("recover: after a loss of power at any point there is the old directory, the new one, or an error with the next step", async () => {
  const counting = await withSurvivor();
  const begin = counting.operations;
  await recovered(counting);
  for (let number = begin + 1; number <= counting.operations; number++) {
    const disk = await withSurvivor();
    disk.intercept = (operation) => operation.number === number ? { code: "STOPPED" } : null;
    await assertRejects(() => recovered(disk), Error);
    for (const keeps of [true, false]) {
      const after = disk.crash(() => keeps);
      const isBefore = after.stat("/data") !== null && after.stat("/data.before-recovery") === null;
      if (after.stat("/data") === null) {
        await assertRejects(() => recovered(after), RecoveryError, "mv /data.recovered /data");
        after.rename("/data.recovered", "/data");
      }
      const { metadata, recovered: found } = await opened(after, "/data");
      assertEquals(Math.max(metadata.index, found.lastIndex), 12);
      if (!isBefore) continue;
      await recovered(after);
      const { metadata: again } = await opened(after, "/data");
      assertEquals([again.index, again.configuration.confState.voters], [12, [1]], "it starts again");
      assertEquals(after.stat("/data/unfinished"), null);
    }
  }
  const after = counting.crash(() => false);
  assertEquals((await opened(after, "/data")).metadata.configuration.confState.voters, [1]);
});

Deno.test("inspect: the report of a directory has its newest configuration, and nothing is changed", async () => {
  const disk = await withSurvivor();
  const before = disk.contents();
  const report = await serverTools({ disk, random }).inspect("/data");
  assert(report.kind === "dataFolder");
  const { bytes, ...log } = report.log;
  assert(bytes > 500, `${bytes}`);
  assertEquals({ ...report, log }, {
    kind: "dataFolder",
    path: "/data",
    identity: { formatVersion: 1, ...IDENTITY },
    term: 3,
    vote: 1,
    commitIndex: 11,
    log: { firstIndex: 1, lastIndex: 12, lastTerm: 3, segments: 1 },
    snapshots: [],
    state: null,
    members: [1, 2, 3].map((id) => ({ id, address: `n${id}:7001`, role: "voter" as const })),
    removedIds: [9],
    damage: [],
  });
  assertEquals([disk.contents(), disk.openFiles], [before, 0]);
});

Deno.test("recoverState: a start skips a snapshot that is damaged, or of another cluster, and uses the one before", async () => {
  const disk = await withSurvivor();
  const { store, log } = await openNode(disk);
  await log.close();
  await storeState(store, machineAt(5), { term: 3 });
  await storeState(store, machineAt(8), { term: 3, clusterId: "another" });
  await storeState(store, machineAt(9), { term: 3, index: 10 });
  await storeState(store, machineAt(11), { term: 3 });
  disk.edit("/data/snapshots/00000000000000000011-00000000000000000003.snap", (bytes) => {
    bytes[bytes.length - 20] = (bytes.at(-20) ?? 0) ^ 1;
    return bytes;
  });
  const { metadata, recovered, snapshots } = await opened(disk, "/data");
  assertEquals([metadata.index, recovered.lastIndex, disk.openFiles], [5, 12, 0]);
  assertEquals(storedText(snapshots), ["11@3 damaged", "10@3", "8@3", "5@3"]);
});

Deno.test("recoverState: a start that is stopped while it reads a snapshot leaves nothing open", async () => {
  const disk = await withSurvivor();
  const { store, log } = await openNode(disk);
  await log.close();
  await storeState(store, machineAt(300), { term: 3 });
  const directory = await DataDirectory.open({ disk, path: "/data" });
  const attempt = recoverState({
    disk,
    directory,
    identity: IDENTITY,
    segmentBytes: 4_096,
    entryCacheBytes: 1_000,
    stateMachineOptions: {},
    logger: new RecordingLogger(),
    yieldToEventLoop: () => Promise.reject(new MemoryDiskError("STOPPED", "a planned stop")),
  });
  await assertRejects(() => attempt, MemoryDiskError, "a planned stop");
  directory.close();
  assertEquals(disk.openFiles, 0);
});
