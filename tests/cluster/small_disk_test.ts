/** A leader whose disk fills up: real processes, and a file system in memory if the machine permits to mount it. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { StorageFullError } from "../../lib/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { SmallDisk } from "../torture/small_disk.ts";

const VALUE = "v".repeat(100_000);
/** More than the preallocated rest of the log's current file. */
const WRITES = 60;

/** Runs `body` with a cluster whose node 1 has a disk of a few megabytes, if the machine permits to mount one. */
async function onSmallDisk(
  t: Deno.TestContext,
  nodes: number,
  body: (scene: { readonly cluster: TestCluster; readonly disk: SmallDisk }) => Promise<void>,
): Promise<void> {
  const mounted: { disk: SmallDisk | null; problem: string } = { disk: null, problem: "" };
  await using cluster = await TestCluster.start({
    nodes,
    flags: ["--segment-bytes", "1048576"],
    prepare: async (unstarted) => {
      const disk = await SmallDisk.mount(unstarted.dataFolder(1));
      if (disk instanceof SmallDisk) return mounted.disk = disk;
      mounted.problem = disk;
      return null;
    },
  });
  const { disk } = mounted;
  if (disk !== null) return await body({ cluster, disk });
  await t.step(`skipped, since no file system can be mounted: ${mounted.problem}`, () => {});
}

Deno.test("full disk: the leader reports it, later transfers leadership to a node with disk space, and every write is accepted", (t) =>
  onSmallDisk(t, 3, async ({ cluster, disk }) => {
    await using client = await cluster.connect();
    await client.put("the client", "knows the leader");
    if (await cluster.waitForLeader() !== 1) await client.cluster.transferLeadership(1);
    await eventually("the leader has received the others' disk state", async () => {
      const status = await cluster.status(1);
      return status?.role === "leader" && status.peers.every(({ hasDiskSpace }) => hasDiskSpace === true)
        ? true
        : null;
    }, { explain: cluster.logs });
    disk.fill();
    await client.put("key", "small enough for what the log has reserved");
    await eventually("node 1 reports the full disk, though its log has space", async () => {
      return (await cluster.status(1))?.disk === "nearlyFull" && cluster.logs().includes("diskNearlyFull")
        ? true
        : null;
    }, { explain: cluster.logs });
    await client.put("key", "accepted by the same leader");
    assertEquals((await cluster.status(1))?.role, "leader");
    for (let number = 0; number < WRITES; number++) await client.put(`key ${number}`, VALUE);
    assertStringIncludes(
      cluster.logs(),
      "disk nearly full: leadership is transferred to a node that has space",
    );
    const leader = await cluster.waitForLeader();
    assert(leader !== 1, "another node leads");
    await eventually("the new leader knows whose disk is full", async () => {
      const status = await cluster.status(leader);
      return status?.peers.some(({ id, hasDiskSpace }) => id === 1 && hasDiskSpace === false) ? true : null;
    }, { explain: cluster.logs });
    disk.free();
    await eventually("node 1 reports that it has space", async () => {
      return (await cluster.status(1))?.disk === "ok" && cluster.logs().includes("diskHasSpace")
        ? true
        : null;
    }, { explain: cluster.logs });
    assertEquals(disk.names().filter((name) => name.endsWith(".new")), []);
  }));

Deno.test("full disk: a node without a transfer target still answers", (t) =>
  onSmallDisk(t, 1, async ({ cluster, disk }) => {
    await using client = await cluster.connect();
    await client.put("key", "before");
    disk.fill();
    await assertRejects(async () => {
      for (let number = 0; number < WRITES; number++) await client.put(`key ${number}`, VALUE);
    }, StorageFullError);
    assertEquals((await client.get("key"))?.version, 1);
    await client.delete("key");
    disk.free();
    await eventually("writes are taken again", async () => {
      return await client.put("key", VALUE).catch((error) =>
        error instanceof StorageFullError ? null : Promise.reject(error)
      );
    }, { explain: cluster.logs });
  }));
