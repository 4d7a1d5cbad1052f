/**
 * Real processes under load: kill -9 and SIGSTOP of followers, leaders and all nodes. Afterwards every acknowledged write
 * is in the store, once and in order, and all replicas are equal.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { step } from "../support/step.ts";
import { eventually } from "../support/eventually.ts";
import { underLoad } from "../support/processes/under_load.ts";

const PAUSE_MS = 5_000;

Deno.test("crashes: no acknowledged write is lost, doubled or reordered by crashes and pauses", async (t) => {
  await underLoad({}, async ({ cluster, progress }) => {
    await step(t, "a follower is killed and comes back", async () => {
      const leader = await cluster.waitForLeader();
      const [follower] = cluster.ids.filter((id) => id !== leader);
      assert(follower !== undefined);
      await cluster.kill(follower);
      await progress();
      assertEquals(await cluster.waitForLeader(), leader, "a follower's death is no reason for an election");
      await cluster.startNode(follower);
      await progress();
    });

    await step(
      t,
      "the leader is killed and comes back; the same client goes on with its successor",
      async () => {
        const leader = await cluster.waitForLeader();
        await cluster.kill(leader);
        await progress();
        assertNotEquals(await cluster.waitForLeader(), leader);
        await cluster.startNode(leader);
        await progress();
      },
    );

    await step(t, "the leader is frozen for five seconds and goes on as a follower", async () => {
      const leader = await cluster.waitForLeader();
      const frozenAt = performance.now();
      cluster.pause(leader);
      await progress();
      const others = cluster.ids.filter((id) => id !== leader);
      assertNotEquals(await cluster.waitForLeader(others), leader);
      await eventually("five seconds are over", () => performance.now() - frozenAt >= PAUSE_MS ? true : null);
      cluster.resume(leader);
      await eventually("the old leader follows the new one", async () => {
        const status = await cluster.status(leader);
        return status?.role === "follower" && status.leader !== leader ? true : null;
      }, { explain: cluster.logs });
      await progress();
    });

    await step(t, "all nodes are killed at the same time and come back", async () => {
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await cluster.startNodes(cluster.ids);
      await progress();
    });
  });
});

Deno.test("crashes: a restart of all nodes keeps the hash of the state", async () => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  await client.transaction({
    checks: [{ key: "a", exists: false }],
    mutations: [{ kind: "put", key: "a", value: "1" }, { kind: "put", key: "b", value: "2" }],
  });
  await client.delete("a");
  await client.compareAndSet("b", { expect: "2", value: "3" });
  await using reader = await cluster.connect();
  const before = await reader.list({});
  await cluster.waitForEqualStates();

  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await cluster.startNodes(cluster.ids);

  assertEquals(await reader.list({}), before);
  await cluster.waitForEqualStates();
});
