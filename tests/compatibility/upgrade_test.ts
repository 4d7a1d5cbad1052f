/** A rolling upgrade from an earlier version under load; the earlier code comes from this repository's history. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { KvraftError } from "../../lib/client/errors.ts";
import { eventually } from "../support/eventually.ts";
import { CHECKOUT } from "../support/checkout.ts";
import { EARLIER_COMMIT, unpackEarlier } from "../support/processes/earlier.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { underLoad } from "../support/processes/under_load.ts";
import { skip, startKvraft } from "../support/processes/process.ts";
import { TemporaryFolder } from "../support/temporary.ts";

/** Log lines of a leader that raises the level, and of a node that refuses an earlier version. */
const LEVEL_RAISED = "all nodes know a higher feature level";
const REFUSED = "knows feature level 1, and the cluster is at level 2";

/** Runs `test` with the earlier checkout, or prints that it is skipped. */
async function withEarlier(test: (checkout: string) => Promise<void>): Promise<void> {
  await using earlier = await TemporaryFolder.make();
  if (unpackEarlier(earlier.path)) await test(earlier.path);
  else skip(`commit ${EARLIER_COMMIT} is not in this clone's history`);
}

Deno.test("upgrade: a cluster of 0.1.0 is upgraded node by node under load, after it has gone back from two nodes to none", async () => {
  await withEarlier(async (earlier) => {
    await underLoad({ checked: true, checkout: earlier }, async ({ cluster, progress }) => {
      const replace = async (id: number, checkout: string): Promise<void> => {
        await cluster.stop(id);
        await cluster.startNode(id, checkout);
        await progress();
      };
      for (const id of [1, 2]) await replace(id, CHECKOUT);
      for (const id of [1, 2]) await replace(id, earlier);
      for (const id of cluster.ids) {
        assert(
          !cluster.logs().includes(LEVEL_RAISED),
          "the feature level rises after the last node was replaced",
        );
        await replace(id, CHECKOUT);
      }
      await cluster.waitForLeader();
      await eventually("the feature level rises", () => cluster.logs().includes(LEVEL_RAISED) || null);
    });
  });
});

/** Whether a delete of an absent key takes a revision of its own: at feature level 1, and not from level 2 on. */
async function emptyDeleteTakesRevision(cluster: TestCluster): Promise<boolean> {
  await using client = await cluster.connect();
  const { revision } = await client.put("feature-level", "");
  return (await client.delete("never/written")).revision > revision;
}

/** Asserts that users cannot be added while nodes of 0.1.0 may be in the cluster: these would not know who may do what. */
async function assertRefusesUsers(cluster: TestCluster): Promise<void> {
  await using client = await cluster.connect();
  const error = await assertRejects(() => client.auth.addRole("reader"), KvraftError);
  assertEquals(error.outcome, "not-applied", error.message);
}

Deno.test("upgrade: nodes of 0.1.0 and of this version have equal states; the feature level waits for the last", async () => {
  await withEarlier(async (earlier) => {
    await using cluster = await TestCluster.start({ checkout: earlier, started: [1] });
    await cluster.startNodes([2]);
    await cluster.startNode(3, CHECKOUT);
    await using client = await cluster.connect();
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    await Promise.all(numbers.map((number) => client.put(`key/${number}`, `value ${number}`)));
    await Promise.all(numbers.slice(50).map((number) => client.delete(`key/${number}`)));
    assertEquals(await emptyDeleteTakesRevision(cluster), true);
    await assertRefusesUsers(cluster);
    await cluster.waitForEqualStates();
    await cluster.client(["snapshot", "now", "3"]);
    const before = (await cluster.status(3))?.snapshotIndex ?? 0;
    await cluster.kill(3);
    await cluster.startNode(3, earlier);
    await cluster.waitForEqualStates();
    for (const id of cluster.ids) {
      assertEquals(await emptyDeleteTakesRevision(cluster), true);
      await assertRefusesUsers(cluster);
      await cluster.kill(id);
      await cluster.startNode(id, CHECKOUT);
      await cluster.waitForLeader();
    }
    await eventually(
      "the feature level rises",
      async () => !(await emptyDeleteTakesRevision(cluster)) || null,
    );
    await using later = await cluster.connect();
    assertEquals(await later.auth.addRole("reader"), { authRevision: 1 });
    await cluster.waitForEqualStates();
    const waitForSnapshots = (): Promise<boolean> =>
      eventually("each node has a snapshot of the new format, which none was asked for", async () => {
        const taken = await Promise.all(
          cluster.ids.map(async (id) => (await cluster.status(id))?.snapshotIndex),
        );
        return taken.every((index = 0) => index > before) || null;
      }, { explain: cluster.logs });
    await waitForSnapshots();
    // The version before would apply the log differently from now on. Without the snapshot, as after a crash before it was
    // written, it starts.
    await cluster.kill(3);
    await removeNewestSnapshot(cluster, 3);
    await cluster.startNode(3, earlier);
    await eventually("the earlier version is refused", () => cluster.logs().includes(REFUSED) || null);
    await cluster.kill(3);
    await cluster.startNode(3, CHECKOUT);
    await cluster.waitForEqualStates();
    await waitForSnapshots();
    await assertNoNodeStartsAgain(cluster, earlier);
  });
});

/** Removes the newest snapshot of a stopped node. */
async function removeNewestSnapshot(cluster: TestCluster, id: number): Promise<void> {
  const directory = `${cluster.dataFolder(id)}/snapshots`;
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
    name.endsWith(".snap")
  );
  await Deno.remove(`${directory}/${names.sort().at(-1)}`);
}

/** Asserts that no node of the earlier version starts once the level has risen, also if all of them are stopped. */
async function assertNoNodeStartsAgain(cluster: TestCluster, earlier: string): Promise<void> {
  for (const id of cluster.ids) await cluster.kill(id);
  for (const id of cluster.ids) {
    const args = ["server", ...cluster.serverArguments(id)];
    await using process = startKvraft(args, { checkout: earlier, cwd: cluster.folder.path });
    const { code, stderr } = await process.end({ explain: cluster.logs });
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "it has format version 2, and this kvraft knows versions up to 1.");
  }
}

Deno.test("upgrade: nodes with a peer secret take nodes of 0.1.0 with --peer-auth accept, and refuse them without", async () => {
  await withEarlier(async (earlier) => {
    let flags: readonly string[] = ["--peer-secret-file", "peer.secret", "--peer-auth", "accept"];
    const prepare = async (cluster: TestCluster): Promise<null> => {
      await Deno.writeTextFile(`${cluster.folder.path}/peer.secret`, "s".repeat(43), { mode: 0o600 });
      return null;
    };
    const flagsOf = (id: number): readonly string[] => id === 3 ? [] : flags;
    await using cluster = await TestCluster.start({ prepare, flagsOf, started: [1, 2] });
    await cluster.startNode(3, earlier);
    await using client = await cluster.connect();
    await client.put("key", "value");
    await cluster.waitForEqualStates();
    await eventually("the nodes know how each is authenticated", async () => {
      const links = (await cluster.status(1))?.links ?? [];
      return links.map(({ authenticatedBy }) => authenticatedBy).join() === "secret,none" || null;
    }, { explain: cluster.logs });
    flags = ["--peer-secret-file", "peer.secret"];
    for (const id of [1, 2]) {
      await cluster.stop(id);
      await cluster.startNode(id);
    }
    await client.put("key", "another value");
    await eventually("the refusal is in the logs of both ends", () => {
      const logs = cluster.logs();
      return logs.includes('reason="it has no peer secret"') &&
          logs.includes("node 3 did not prove that it knows the peer secret of this cluster") &&
          logs.includes("it did not prove that it knows the peer secret. Start every node") || null;
    }, { explain: cluster.logs });
  });
});
