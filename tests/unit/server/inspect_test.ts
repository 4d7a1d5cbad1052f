/** The inspection of a stopped server's files: plain, and deep with the state loaded and checked. It changes nothing. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Command, type Mutation, StateMachine } from "../../../lib/kv/mod.ts";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { MAX_SNAPSHOT_INDEX } from "../../../lib/protocol/limits.ts";
import type { Entry } from "../../../lib/raft/mod.ts";
import { NothingThereError } from "../../../lib/server/tools/inspect.ts";
import { RevisionsUsedUpError, serverTools } from "../../../lib/server/tools/tools.ts";
import type { NodeDirectoryReport } from "../../../lib/server/tools/tools_port.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { machineAt, openStore, storeState } from "../../support/server_state.ts";
import { appendSynced, batch, hardState, IDENTITY, openNode } from "../../support/storage.ts";

const FILE = "/data/snapshots/00000000000000000007-00000000000000000003.snap";
const SNAPSHOT = "/data/snapshots/00000000000000000006-00000000000000000003.snap";

/** Returns a command from a text such as `put key value`. */
function commandOf(text: string): Command {
  const [kind, name = "", written = ""] = text.split(" ");
  if (kind === "level") return { kind: "raiseFeatureLevel", level: 2 };
  const [key, value] = [name, written].map((word) => new TextEncoder().encode(word));
  assert(key !== undefined && value !== undefined);
  const mutations: Mutation[] = [kind === "delete" ? { kind, key } : { kind: "put", key, value }];
  return { kind: "transaction", session: null, checks: [], mutations };
}

const COMMANDS = [
  "level 2",
  "put a 1",
  "put a 2",
  "put b 1",
  "delete b",
  "put c 1",
  "put a 3",
  "delete c",
  "put d 9",
];

/** The directory /data with a snapshot of the first six commands, and a log of nine, of which eight are committed. */
async function withHistory(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { log, store } = await openNode(disk);
  const entries = COMMANDS.map((text, position): Entry => (
    { index: position + 1, term: 3, kind: "command", data: encodeCommand(commandOf(text)) }
  ));
  await appendSynced(log, [batch(hardState(3, 1)), batch(null, ...entries), batch(hardState(3, 1, 8))]);
  await log.close();
  await storeState(store, machineAfter(6), { term: 3 });
  return disk;
}

/** Returns the state after the first commands. */
function machineAfter(count: number): StateMachine {
  const machine = new StateMachine();
  for (const [position, text] of COMMANDS.slice(0, count).entries()) {
    machine.apply(position + 1, commandOf(text));
  }
  return machine;
}

/** Inspects /data deeply, and checks that nothing changed. */
async function inspected(disk: MemoryDisk): Promise<NodeDirectoryReport> {
  const [before, operations] = [disk.contents(), disk.operations];
  const report = await serverTools({ disk, random: () => 0.5 }).inspect("/data", { isDeep: true });
  assertEquals([disk.contents(), disk.operations, disk.openFiles], [before, operations, 0]);
  assert(report.kind === "dataFolder");
  return report;
}

Deno.test("inspect: the report of a file has its position, content and damage", async () => {
  const disk = new MemoryDisk();
  await storeState(await openStore(disk), machineAt(7), { term: 3 });
  const tools = serverTools({ disk, random: () => 0.5 });
  const bytes = disk.bytesOf(FILE).length;
  const before = disk.operations;
  const report = await tools.inspect(FILE);
  assertEquals(report, {
    kind: "snapshot",
    path: FILE,
    formatVersion: 1,
    clusterId: IDENTITY.clusterId,
    index: 7,
    term: 3,
    revision: 7,
    bytes,
    contents: {
      keys: 7,
      sessions: 0,
      leases: 0,
      auth: { enabled: false, users: 0, roles: 0, tokens: 0 },
      keyBytes: 35,
      valueBytes: 70,
      historyBytes: 0,
      compactedRevision: 7,
      featureLevel: 1,
    },
    structure: null,
    members: [1, 2, 3].map((id) => ({ id, address: `n${id}:7001`, role: "voter" as const })),
    damage: [],
  });
  disk.edit(FILE, (bytes) => bytes.subarray(0, -1));
  const damaged = await tools.inspect(FILE);
  assert(damaged.kind === "snapshot");
  assertEquals([damaged.contents, damaged.damage.length, disk.operations, disk.openFiles], [
    null,
    1,
    before,
    0,
  ]);
  await assertRejects(() => tools.inspect("/nowhere"), NothingThereError, "there is nothing");
  disk.createDirectory("/empty");
  await assertRejects(() => tools.inspect("/empty"), NothingThereError, "it is empty");
});

Deno.test("inspect --deep: the state of a directory is that of the newest snapshot with the committed entries of the log", async () => {
  const report = await inspected(await withHistory());
  const expected = machineAfter(8);
  assertEquals(report.snapshots.map(({ state }) => state), [
    { revision: 5, compactedRevision: 0, featureLevel: 2 },
  ]);
  const { state } = report;
  assert(state !== null);
  assertEquals([state.index, state.revision, state.keys, state.keyBytes, state.valueBytes], [8, 7, 1, 1, 1]);
  assertEquals([state.historyBytes, state.compactedRevision, state.featureLevel, state.sessions], [
    expected.historyBytes,
    0,
    2,
    0,
  ]);
  assert(state.historyBytes > 0);
  // Two trees of one page each; every put and delete has a version and an event.
  assertEquals(state.structure, { pages: 2, versions: 7, events: 7 });
  assertEquals(report.damage, []);
});

Deno.test("inspect --deep: a damaged invariant of the structure is reported with its page and key", async () => {
  const disk = await withHistory();
  const { checkStructure } = StateMachine.prototype;
  StateMachine.prototype.checkStructure = () => {
    throw new InvariantError("Invariant violated: leaf 5, key 61: greater than the key before");
  };
  try {
    const folder = await inspected(disk);
    const expected =
      "the structure of the state at index 8 is not sound. Invariant violated: leaf 5, key 61: ";
    assertStringIncludes(folder.damage.join(), expected);
    assertEquals(folder.state?.structure, null);
    const file = await serverTools({ disk, random: () => 0.5 }).inspect(SNAPSHOT, { isDeep: true });
    assertStringIncludes(file.damage.join(), "leaf 5, key 61");
  } finally {
    StateMachine.prototype.checkStructure = checkStructure;
  }
  const sound = await serverTools({ disk, random: () => 0.5 }).inspect(SNAPSHOT, { isDeep: true });
  assert(sound.kind === "snapshot");
  assertEquals([sound.structure, sound.damage], [{ pages: 2, versions: 5, events: 5 }, []]);
});

Deno.test("inspect --deep: a snapshot that cannot be used is damage, and the state is that of the one before it", async () => {
  const disk = await withHistory();
  const { store, log } = await openNode(disk);
  await log.close();
  await storeState(store, machineAfter(7), { term: 3, clusterId: "another" });
  const report = await inspected(disk);
  assertEquals([report.state?.index, report.damage.length], [8, 1]);
  assertStringIncludes(report.damage[0] ?? "", "it is of cluster another");
});

Deno.test("inspect --deep: a directory that a start would refuse has no state, and the reason is named", async () => {
  const disk = await withHistory();
  disk.edit("/data/wal/00000000000000000001.log", (bytes) => bytes.with(250, 0x21));
  const report = await inspected(disk);
  assertEquals([report.state, report.damage.length], [null, 1]);
});

Deno.test("restore --check: a file is read, checked and encoded as its restore would, and nothing is written", async () => {
  const disk = await withHistory();
  const tools = serverTools({ disk, random: () => 0.5 });
  const [before, operations] = [disk.contents(), disk.operations];
  const { file, restored } = await tools.checkRestore(SNAPSHOT);
  assertEquals([disk.contents(), disk.operations, disk.openFiles], [before, operations, 0]);
  assertEquals([file.contents?.keys, file.structure?.versions, file.damage], [2, 5, []]);
  const members = [{ id: 4, address: { host: "n4", port: 7001 } }];
  const request = {
    from: SNAPSHOT,
    nodeId: 4,
    members,
    dataDir: "/new",
    clusterName: "new",
    disablesAuth: false,
  };
  assertEquals(restored?.revision, (await tools.restore(request)).revision);
  disk.edit(SNAPSHOT, (bytes) => bytes.with(-60, 255 - (bytes.at(-60) ?? 0)));
  const damaged = await tools.checkRestore(SNAPSHOT);
  assertEquals([damaged.restored, damaged.file.damage.length], [null, 1]);
});

Deno.test("restore --check: a backup that can be read but not restored is refused as its restore is", async () => {
  const disk = new MemoryDisk();
  const machine = machineAfter(6);
  machine.advanceRevision(MAX_SNAPSHOT_INDEX - 10 - machine.revision);
  const stored = await storeState(await openStore(disk), machine, { term: 3 });
  assert(stored.damage === null);
  const tools = serverTools({ disk, random: () => 0.5 });
  await assertRejects(() => tools.checkRestore(SNAPSHOT), RevisionsUsedUpError);
});
