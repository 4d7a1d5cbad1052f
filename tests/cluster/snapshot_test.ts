/**
 * Snapshots of real processes on a real disk: the log stays small, a node that lagged behind catches up with a snapshot,
 * kill -9 is safe at any point of it, and damaged snapshots are skipped or refused, never served.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import type { KvClient } from "../../lib/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { bytesOf, contentOf, damageMiddle, filesIn } from "../support/folder.ts";
import { step } from "../support/step.ts";
import { underLoad } from "../support/processes/under_load.ts";
import { killInCompactions } from "../torture/compaction.ts";

const SNAPSHOT_LOG_BYTES = 65_536;
/** The history is small, too: the log may become as large as the last snapshot, which has the history in it. */
const SMALL_LOG = [
  ...["--snapshot-log-bytes", `${SNAPSHOT_LOG_BYTES}`, "--segment-bytes", "16384"],
  ...["--history-bytes", "16384"],
];
/** Far more than the log between two snapshots, the kept tail and the segments at both ends. */
const LOG_BOUND_BYTES = 10 * SNAPSHOT_LOG_BYTES;
const VALUE = "v".repeat(8_192);
const OVERWRITTEN_KEYS = 8;
const KILLS = 5;
/** Keys and bytes of a state that takes a while to be sent through a slow link. */
const LARGE_KEYS = 48;
const LARGE_VALUE = "x".repeat(65_536);
/** For each 64 KiB. */
const SLOW_LINK_MS = 60;
/** Size of the partly received file at which the receiver is killed. */
const RECEIVED_BYTES = 786_432;

/** Puts {@link VALUE} so many times on a few keys. */
async function overwrite(client: KvClient, puts: number): Promise<void> {
  for (let put = 0; put < puts; put += OVERWRITTEN_KEYS) {
    const keys = Array.from({ length: OVERWRITTEN_KEYS }, (_, key) => `over/${key}`);
    await Promise.all(keys.map((key) => client.put(key, VALUE)));
  }
}

Deno.test("snapshots: the log on the disk stays small, however much is written", async () => {
  await using cluster = await TestCluster.start({ flags: SMALL_LOG });
  await using client = await cluster.connect();
  for (let part = 1; part <= 2; part++) {
    // 4 MiB to each node: 64 times the size that triggers a snapshot.
    await overwrite(client, 512);
    for (const id of cluster.ids) {
      await eventually(`the log of node ${id} is small, and two snapshots are kept`, () => {
        const folder = cluster.dataFolder(id);
        const logBytes = filesIn(join(folder, "wal"), "").reduce((sum, file) => sum + bytesOf(file), 0);
        const snapshots = filesIn(join(folder, "snapshots"), "").length;
        return logBytes <= LOG_BOUND_BYTES && snapshots === 2 ? true : null;
      }, { explain: cluster.logs });
    }
  }
  await cluster.waitForEqualStates();
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await cluster.startNodes(cluster.ids);
  assertEquals((await client.list({ prefix: "over/" })).entries.length, OVERWRITTEN_KEYS);
  await cluster.waitForEqualStates();
});

Deno.test("snapshots: a node that needs one is killed while it receives it, and catches up", async (t) => {
  await underLoad({ proxied: true, flags: SMALL_LOG }, async ({ cluster, progress }) => {
    await using client = await cluster.connect();
    const leader = await cluster.waitForLeader();
    const away = cluster.ids.find((id) => id !== leader);
    assert(away !== undefined);
    const receiving = join(cluster.dataFolder(away), "snapshots", "receiving.new");

    await step(t, "it is stopped until no log contains its next entry", async () => {
      const lastIndex = (await cluster.status(away))?.lastLogIndex ?? 0;
      await cluster.kill(away);
      for (let key = 0; key < LARGE_KEYS; key++) await client.put(`large/${key}`, LARGE_VALUE);
      for (const id of cluster.ids.filter((id) => id !== away)) {
        await using one = await cluster.connect([id]);
        await eventually(`node ${id} has cut its log`, async () => {
          await one.cluster.takeSnapshot();
          await progress();
          return ((await cluster.status(id))?.firstLogIndex ?? 0) > lastIndex + 1 ? true : null;
        }, { explain: cluster.logs });
      }
    });

    await step(t, "it is killed when part of the snapshot has arrived", async () => {
      for (const from of cluster.ids) {
        if (from !== away) cluster.delay({ from, to: away, delayMs: SLOW_LINK_MS });
      }
      await cluster.startNode(away);
      await eventually("part of the snapshot has come", () => {
        return bytesOf(receiving) >= RECEIVED_BYTES ? true : null;
      }, { explain: cluster.logs });
      await cluster.kill(away);
      assert(bytesOf(receiving) > 0, "it was killed in the middle of it");
      await progress();
    });

    await step(t, "it starts without that part, receives the complete snapshot, and catches up", async () => {
      cluster.heal();
      await cluster.startNode(away);
      const caughtUpWith = (await cluster.status(await cluster.waitForLeader()))?.commitIndex ?? 0;
      await eventually("it has caught up over a snapshot", async () => {
        const status = await cluster.status(away);
        if (status === null || status.appliedIndex < caughtUpWith) return null;
        return status.firstLogIndex > 1 && status.snapshotIndex > 0 ? true : null;
      }, { explain: cluster.logs });
      assertStringIncludes(cluster.logs(), "state restored from the leader's snapshot");
      assertEquals(bytesOf(receiving), 0);
      await progress();
    });
  });
});

Deno.test("snapshots: kill -9 during snapshots and compaction loses nothing", async () => {
  await killInCompactions({ kills: KILLS, seed: 1, tell: () => {} });
});

Deno.test("snapshots: a damaged one is skipped, and a node with only damaged ones refuses to start", async (t) => {
  await using cluster = await TestCluster.start({ nodes: 1, flags: SMALL_LOG });
  await using client = await cluster.connect();
  const snapshots = join(cluster.dataFolder(1), "snapshots");
  await overwrite(client, 128);
  await eventually("there are two snapshots, and the log was cut", async () => {
    await overwrite(client, OVERWRITTEN_KEYS);
    const isCut = ((await cluster.status(1))?.firstLogIndex ?? 0) > 1;
    return isCut && filesIn(snapshots, ".snap").length === 2 ? true : null;
  });
  const before = await client.list({});
  await cluster.kill(1);

  await step(
    t,
    "the newest is damaged: the one before it and the log give the same state, and it is replaced",
    async () => {
      const newest = filesIn(snapshots, ".snap").at(-1);
      assert(newest !== undefined);
      damageMiddle(newest);
      await cluster.startNode(1);
      assertStringIncludes(cluster.logs(), "a snapshot is damaged; trying the one before it");
      assertEquals(await client.list({}), before);
      await eventually("there are two others", async () => {
        await overwrite(client, OVERWRITTEN_KEYS);
        const files = filesIn(snapshots, ".snap");
        return files.length === 2 && !files.includes(newest) ? true : null;
      }, { explain: cluster.logs });
      await cluster.kill(1);
    },
  );

  await step(
    t,
    "all are damaged: the node refuses to start, names the remedy, and changes nothing",
    async () => {
      for (const file of filesIn(snapshots, ".snap")) damageMiddle(file);
      const inspected = await cluster.run(["server", "inspect", `data/node-1`]);
      assertEquals(inspected.code, 1, inspected.stdout);
      assertStringIncludes(inspected.stdout, "DAMAGED: ");
      const content = await contentOf(cluster.dataFolder(1));
      const { code, stderr } = await cluster.run(["server", ...cluster.serverArguments(1)]);
      assertEquals(code, 1, stderr);
      for (const words of ["no snapshot reaches", "member replace", "docs/operations.md"]) {
        assertStringIncludes(stderr, words);
      }
      assertEquals(await contentOf(cluster.dataFolder(1)), content);
    },
  );
});
