/**
 * Backup, restore and recovery with real processes, by an operator's commands: a backup from any node under load, a
 * new cluster from it, a cluster from the last survivor; and the quota, which admits writes again after deletes.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { type KvClient, StorageFullError } from "../../lib/mod.ts";
import { DenoDisk } from "../../lib/platform/deno_disk.ts";
import { stateRecordEncoder } from "../../lib/server/snapshot/state_codec.ts";
import { withStateFile } from "../../lib/server/startup/state_file.ts";
import { hashState } from "../../lib/server/snapshot/state_hashes.ts";
import { RESTORED_REVISION_STEP } from "../../lib/server/tools/tools.ts";
import type { NodeDirectoryReport, SnapshotFileReport } from "../../lib/server/tools/tools_port.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { addNode, rolesOf } from "../support/processes/members.ts";
import { kvraftCommand, Process, READY_LINE, startKvraft } from "../support/processes/process.ts";
import { step } from "../support/step.ts";
import { underLoad } from "../support/processes/under_load.ts";

const BACKUP = "backup.snap";
const AGAIN = "again.snap";

/** Runs `client snapshot save <file>` in the cluster's folder; returns its line. */
async function save(cluster: TestCluster, node: number, file: string): Promise<string> {
  const args = ["client", "--cluster", cluster.address(node), "snapshot", "save", file, "--force"];
  const { code, stdout, stderr } = await cluster.run([...args, "--node", `${node}`]);
  assertEquals(code, 0, stderr);
  return stdout;
}

/** Runs `server inspect` on a backup that must be undamaged. */
async function inspectBackup(cluster: TestCluster, file: string): Promise<SnapshotFileReport> {
  const { code, stdout, stderr } = await cluster.run(["server", "inspect", file, "--output", "json"]);
  assertEquals(code, 0, stdout + stderr);
  return JSON.parse(stdout);
}

/** Kinds of records that a restored cluster does not take over as they are. */
const NOT_RESTORED: ReadonlySet<string> = new Set(["header", "tombstone", "version"]);

/** Hashes everything in a backup, sessions too, except the length of its log, its revision and its history. */
async function hashOf(cluster: TestCluster, file: string): Promise<string> {
  const disk = new DenoDisk();
  const encode = stateRecordEncoder();
  const yieldToEventLoop = (): Promise<void> => Promise.resolve();
  return await withStateFile({ disk, path: join(cluster.folder.path, file) }, async ({ load }) => {
    const view = (await load()).snapshot();
    const records = [...view.records()].filter(([kind]) => !NOT_RESTORED.has(kind));
    return await hashState({ ...view, steps: () => records }, { encode, yieldToEventLoop });
  });
}

/** Runs `client export`: returns every key and value, as lines of JSON. */
async function exported(cluster: TestCluster): Promise<string> {
  return (await cluster.client(["export"])).stdout;
}

async function revisionOf(client: KvClient): Promise<number> {
  return (await client.list({ limit: 1 })).revision;
}

Deno.test("backup: taken from any node under load, it is a consistent state of the store", async () => {
  await underLoad({}, async ({ cluster, progress }) => {
    await using client = await cluster.connect();
    for (const node of cluster.ids) {
      const said = await save(cluster, node, BACKUP);
      const after = await revisionOf(client);
      const report = await inspectBackup(cluster, BACKUP);
      assertStringIncludes(said, `: revision ${report.revision} of n${node}, `);
      // A follower's state may be a little older than the call.
      assert(report.revision <= after, JSON.stringify({ report, after }));
      // Every write of these writers creates one key.
      assertEquals(report.contents?.keys, report.revision);
      assertEquals(report.members.map(({ id, role }) => `${role} ${id}`), ["voter 1", "voter 2", "voter 3"]);
      assertEquals(report.bytes, Deno.statSync(join(cluster.folder.path, BACKUP)).size);
      await progress();
    }
  });
});

/** Writes keys with many revisions, and deletes some. */
async function fill(client: KvClient): Promise<void> {
  const numbers = Array.from({ length: 200 }, (_, number) => number);
  await Promise.all(numbers.map((number) => client.put(`key/${number}`, `first ${number}`)));
  await Promise.all(numbers.slice(0, 50).map((number) => client.put(`key/${number}`, "second")));
  await Promise.all(numbers.slice(150).map((number) => client.delete(`key/${number}`)));
  await client.put("bytes", new Uint8Array([0, 0xff, 0xc3, 0x28]));
}

/** Starts a node of the old cluster with its folder and the address of a node of the new one: no node accepts it. */
async function assertKeptOut({ restored, old, oldClusterId }: {
  readonly restored: TestCluster;
  readonly old: TestCluster;
  readonly oldClusterId: string;
}): Promise<void> {
  const leader = await restored.waitForLeader();
  const place = restored.ids.find((id) => id !== leader);
  assert(place !== undefined);
  await old.kill(place);
  await restored.kill(place);
  await using intruder = startKvraft(["server", ...restored.serverArguments(place)], {
    cwd: old.folder.path,
    name: "the intruder",
  });
  await intruder.waitForOutput(READY_LINE);
  await eventually("the new cluster's nodes say whose it is", () => {
    return restored.logs().includes(`This node belongs to cluster ${oldClusterId}`) ? true : null;
  }, { explain: () => restored.logs() + intruder.printed });
  await using writer = await restored.connect();
  await writer.put("still", "well");
  await intruder.kill();
  await restored.startNode(place);
  await restored.waitForEqualStates();
}

/** Runs `server restore` for every node of a cluster that is about to start, with the backup of another. */
async function restore(cluster: TestCluster, { from }: { readonly from: TestCluster }): Promise<null> {
  Deno.copyFileSync(join(from.folder.path, BACKUP), join(cluster.folder.path, BACKUP));
  for (const id of cluster.ids) {
    const args = ["--from", BACKUP, "--node-id", `${id}`, "--cluster", cluster.membersFlag];
    const { code, stdout, stderr } = await cluster.run(["server", "restore", ...args]);
    assertEquals(code, 0, stderr);
    assertMatch(
      stdout,
      /^Restored \.\/data\/node-\d for node \d of the new cluster [0-9a-f]{16}: 151 keys, /,
    );
  }
  return null;
}

Deno.test("restore: a new cluster has the content of the backup, and refuses nodes of the old cluster", async (t) => {
  await using old = await TestCluster.start();
  await using client = await old.connect();
  await fill(client);
  const before = await exported(old);
  const listed = await client.list({ limit: 1_000 });
  await save(old, 2, BACKUP);
  const report = await inspectBackup(old, BACKUP);

  await using restored = await TestCluster.start({ prepare: (cluster) => restore(cluster, { from: old }) });

  await step(t, "every node has the old content, revisions included", async () => {
    assertEquals(await exported(restored), before);
    await using reader = await restored.connect();
    const revision = listed.revision + RESTORED_REVISION_STEP;
    assertEquals(await reader.list({ limit: 1_000 }), { ...listed, revision });
    assertEquals(report.revision, listed.revision);
    await restored.waitForEqualStates();
    await save(restored, 1, AGAIN);
    assertEquals(await hashOf(restored, AGAIN), await hashOf(old, BACKUP));
    await reader.put("it", "goes on");
    await restored.waitForEqualStates();
  });

  await step(t, "a backup of the new cluster names the new cluster id", async () => {
    const again = await inspectBackup(restored, AGAIN);
    assertNotEquals(again.clusterId, report.clusterId);
    assertEquals(again.revision, report.revision + RESTORED_REVISION_STEP);
  });

  await step(t, "a node of the old cluster at the address of a new one is refused", async () => {
    await assertKeptOut({ restored, old, oldClusterId: report.clusterId });
  });

  await step(t, "a folder that is not empty is not restored into", async () => {
    const args = ["--from", BACKUP, "--node-id", "1", "--cluster", restored.membersFlag];
    const { code, stderr } = await restored.run(["server", "restore", ...args]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "data/node-1");
  });
});

Deno.test("restore: standard input is inspected and restored with the permissions of the executable", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await cluster.waitForLeader();
  await save(cluster, 1, BACKUP);
  const { path: cwd } = cluster.folder;
  for (const shell of ['cat "$file" | "$@"', '"$@" < "$file"']) {
    const script = `file=$1; shift; ${shell}`;
    const target = `data/restored-${shell.length}`;
    const restoring = ["--from", "/dev/stdin", "--node-id", "1", "--cluster", cluster.membersFlag];
    for (const args of [["inspect", "/dev/stdin"], ["restore", ...restoring, "--data-dir", target]]) {
      const command = ["-c", script, "bash", BACKUP, ...kvraftCommand(["server", ...args])];
      await using process = Process.start("bash", command, { cwd });
      const { code, stderr } = await process.end({ explain: cluster.logs });
      assertEquals([code, stderr], [0, ""]);
    }
  }
});

/** Runs `server inspect --deep` on a node's folder; returns its output. */
async function inspectFolder(cluster: TestCluster, id: number): Promise<NodeDirectoryReport> {
  const { code, stdout, stderr } = await cluster.run([
    "server",
    "inspect",
    "--deep",
    `data/node-${id}`,
    "--output=json",
  ]);
  assertEquals(code, 0, stdout + stderr);
  return JSON.parse(stdout);
}

Deno.test("recovery: the most up-to-date survivor of three becomes a cluster of one, and grows to three again", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  await fill(client);
  const before = await exported(cluster);
  const founded = cluster.ids;
  for (const id of founded) await cluster.kill(id);

  let survivor = 0;
  await step(t, "the most up-to-date survivor has the highest last term and index", async () => {
    const reports = await Promise.all(
      founded.map(async (id) => ({ id, ...await inspectFolder(cluster, id) })),
    );
    reports.sort((a, b) => b.log.lastTerm - a.log.lastTerm || b.log.lastIndex - a.log.lastIndex);
    survivor = reports[0]?.id ?? 0;
    for (const { state } of reports) assert(state !== null && state.keys > 0 && state.structure !== null);
    for (const id of founded) {
      if (id !== survivor) await Deno.remove(cluster.dataFolder(id), { recursive: true });
    }
  });

  await step(t, "it is recovered only with the confirmation", async () => {
    const recover = ["server", "recover", "--data-dir", `./data/node-${survivor}`];
    const asked = await cluster.run(recover);
    assertEquals(asked.code, 2, asked.stderr);
    assertStringIncludes(asked.stderr, "LOST: every acknowledged write that did not reach this node.");
    const word = /--yes=([0-9a-f]+)/.exec(asked.stderr)?.[1];
    assert(word !== undefined, asked.stderr);
    const wrong = await cluster.run([...recover, "--yes=no"]);
    assertEquals(wrong.code, 1, wrong.stderr);
    const recovered = await cluster.run([...recover, `--yes=${word}`]);
    assertEquals(recovered.code, 0, recovered.stderr);
  });

  await step(t, "it serves alone, with all keys", async () => {
    await cluster.startNode(survivor);
    for (const id of founded) if (id !== survivor) await cluster.discard(id);
    assertEquals(await rolesOf(cluster), [`voter ${survivor}`]);
    assertEquals(await exported(cluster), before);
  });

  await step(t, "two new nodes join, under new ids", async () => {
    const added = [await addNode(cluster), await addNode(cluster)];
    assertEquals(await rolesOf(cluster), [survivor, ...added].map((id) => `voter ${id}`));
    assertEquals(await exported(cluster), before);
    await cluster.waitForEqualStates();
  });

  await step(t, "a lost id is not used again", async () => {
    const lost = founded.find((id) => id !== survivor);
    const args = ["member", "add", `${lost}`, "127.0.0.1:1"];
    const { stderr } = await cluster.client(args, { code: 1 });
    assertStringIncludes(stderr, "an id is never used again");
  });
});

Deno.test("quota: writes that grow the store are refused, reads and deletes are not, and writes resume after deletes", async () => {
  await using cluster = await TestCluster.start({ flags: ["--quota-bytes", "100000"] });
  await using client = await cluster.connect();
  const value = "v".repeat(10_000);
  for (let key = 0; key < 9; key++) await client.put(`key/${key}`, value);
  const refused = await assertRejects(() => client.put("key/9", value), StorageFullError);
  assertStringIncludes(refused.message, "--quota-bytes");
  assertEquals(refused.outcome, "not-applied");
  const { code, stderr } = await cluster.run([
    "client",
    "--cluster",
    cluster.address(1),
    "put",
    "key/9",
    value,
  ]);
  assertEquals(code, 3, stderr);
  assertStringIncludes(stderr, "its quota is 100000");

  assertEquals((await client.list({ prefix: "key/" })).entries.length, 9);
  await client.put("key/0", "smaller");
  await client.delete("key/1");
  await client.put("key/9", value);
  assertEquals((await client.list({ prefix: "key/" })).entries.length, 9);
  await cluster.waitForEqualStates();
});
