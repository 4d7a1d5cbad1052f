/** Real processes whose links run through proxies: cut in one or both directions, slowed, or broken within a frame. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { step } from "../support/step.ts";
import { eventually } from "../support/eventually.ts";
import { underLoad } from "../support/processes/under_load.ts";

/** Longer than a cluster needs to notice that it has no majority. */
const WRITE_DEADLINE_MS = 3_000;

Deno.test("partition: no acknowledged write is lost, doubled or reordered when a node is cut off", async (t) => {
  await underLoad({ proxied: true }, async ({ cluster, progress }) => {
    await step(t, "the leader is cut off: the others go on, and it refuses requests at once", async () => {
      const leader = await cluster.waitForLeader();
      cluster.partition([leader]);
      const others = cluster.ids.filter((id) => id !== leader);
      assertNotEquals(await cluster.waitForLeader(others), leader);
      await progress();
      await eventually("the old leader notices that it has no followers", async () => {
        const status = await cluster.status(leader);
        return status !== null && status.role !== "leader" && status.leader === null ? true : null;
      }, { explain: cluster.logs });
      cluster.heal();
      await eventually("it follows the new one", async () => {
        const status = await cluster.status(leader);
        return status?.role === "follower" && status.leader !== null ? true : null;
      }, { explain: cluster.logs });
      await progress();
    });

    await step(t, "a follower is cut off: the leader is not deposed when it returns", async () => {
      const leader = await cluster.waitForLeader();
      const [follower] = cluster.ids.filter((id) => id !== leader);
      assert(follower !== undefined);
      const termBefore = (await cluster.status(leader))?.term;
      cluster.partition([follower]);
      await eventually("the follower has lost its leader", async () => {
        return (await cluster.status(follower))?.leader === null ? true : null;
      }, { explain: cluster.logs });
      await progress();
      cluster.heal();
      await eventually("it follows again", async () => {
        return (await cluster.status(follower))?.leader === leader ? true : null;
      }, { explain: cluster.logs });
      await progress();
      assertEquals(
        (await cluster.status(leader))?.term,
        termBefore,
        "pre-vote keeps the term of a healthy cluster",
      );
    });
  });
});

Deno.test("partition: no acknowledged write is lost, doubled or reordered by one-way cuts and broken connections", async (t) => {
  await underLoad({ proxied: true }, async ({ cluster, progress }) => {
    await step(
      t,
      "a follower that receives nothing and whose messages arrive does not depose the leader",
      async () => {
        const leader = await cluster.waitForLeader();
        const [deaf] = cluster.ids.filter((id) => id !== leader);
        assert(deaf !== undefined);
        const termBefore = (await cluster.status(leader))?.term;
        for (const id of cluster.ids) cluster.cut({ from: id, to: deaf });
        await eventually("the deaf follower has lost its leader", async () => {
          return (await cluster.status(deaf))?.leader === null ? true : null;
        }, { explain: cluster.logs });
        await progress();
        cluster.heal();
        await cluster.waitForLeader();
        assertEquals((await cluster.status(leader))?.term, termBefore);
      },
    );

    await step(
      t,
      "a leader whose messages arrive and that receives nothing steps down, and the others go on",
      async () => {
        const leader = await cluster.waitForLeader();
        for (const id of cluster.ids) cluster.cut({ from: id, to: leader });
        await eventually("it leads no more", async () => {
          const status = await cluster.status(leader);
          return status !== null && status.role !== "leader" ? true : null;
        }, { explain: cluster.logs });
        assertNotEquals(await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader)), leader);
        await progress();
        cluster.heal();
        await progress();
      },
    );

    await step(t, "a slow link and connections broken within a frame do not stop the cluster", async () => {
      const leader = await cluster.waitForLeader();
      const [first, second] = cluster.ids.filter((id) => id !== leader);
      assert(first !== undefined && second !== undefined);
      cluster.delay({ from: leader, to: first, delayMs: 30 });
      for (let breaks = 0; breaks < 3; breaks++) {
        cluster.breakInMidFrame({ from: leader, to: second });
        await progress();
      }
      cluster.heal();
      await progress();
    });
  });
});

Deno.test("partition: without a majority no write is acknowledged, stale reads are answered, and the cluster recovers by itself", async () => {
  await using cluster = await TestCluster.start({ proxied: true });
  await using client = await cluster.connect();
  await client.put("before", "yes");
  const leader = await cluster.waitForLeader();
  await cluster.waitForEqualStates();
  for (const id of cluster.ids) cluster.partition([id]);

  await eventually("no node leads", async () => {
    const statuses = await Promise.all(cluster.ids.map((id) => cluster.status(id)));
    return statuses.every((status) => status?.leader === null) ? true : null;
  }, { explain: cluster.logs });
  await assertRejects(() => client.put("during", "no", { timeoutMs: WRITE_DEADLINE_MS }), Error);
  await assertRejects(() => client.get("before", { timeoutMs: WRITE_DEADLINE_MS }), Error);
  const stale = await client.get("before", { consistency: "stale" });
  assertEquals(stale === null ? null : new TextDecoder().decode(stale.value), "yes");

  cluster.heal();
  await cluster.waitForLeader();
  await client.put("after", `the leader was ${leader}`);
  await cluster.waitForEqualStates();
});
