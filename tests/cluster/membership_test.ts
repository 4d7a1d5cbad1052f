/**
 * Real processes that come and go: a cluster grows and shrinks under load, moves to new machines, and refuses what
 * would cost somebody the cluster. Afterwards the history is linearizable, every acknowledged write is there, once and
 * in order, and all replicas are equal.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { MembershipRefusedError } from "../../lib/mod.ts";
import { TestCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { addNode, assertLeaves, removeNode, replaceNode, rolesOf } from "../support/members.ts";
import { kvraftCommand, Process } from "../support/process.ts";
import { step } from "../support/step.ts";
import { freePorts } from "../support/temporary.ts";
import { underLoad } from "../support/under_load.ts";

Deno.test("a cluster grows from one node to five and shrinks to three under load", async (t) => {
  await underLoad({ nodes: 1, judged: true }, async ({ cluster, progress }) => {
    await step(t, "one becomes three", async () => {
      await addNode(cluster);
      await addNode(cluster);
      assertEquals(await rolesOf(cluster), ["voter 1", "voter 2", "voter 3"]);
      await progress();
    });
    await step(t, "three become five", async () => {
      await addNode(cluster);
      await addNode(cluster);
      assertEquals(await rolesOf(cluster), ["voter 1", "voter 2", "voter 3", "voter 4", "voter 5"]);
      await progress();
    });
    await step(t, "five become four: a follower leaves", async () => {
      const leader = await cluster.waitForLeader();
      const [follower] = cluster.ids.filter((id) => id !== leader);
      assert(follower !== undefined);
      await removeNode(cluster, follower);
      await progress();
    });
    await step(t, "four become three: the leader leaves, when it has finished the change", async () => {
      await removeNode(cluster, await cluster.waitForLeader());
      assertEquals(await rolesOf(cluster), cluster.ids.map((id) => `voter ${id}`));
      assertEquals(cluster.ids.length, 3);
      await progress();
    });
  });
});

Deno.test("a cluster moves to three new machines under load, and its clients move with it", async (t) => {
  await underLoad({ judged: true }, async ({ cluster, progress }) => {
    await step(t, "a follower that runs is replaced, says so and ends", async () => {
      const leader = await cluster.waitForLeader();
      const old = cluster.ids.find((id) => id <= 3 && id !== leader);
      assert(old !== undefined);
      await replaceNode(cluster, old);
      await assertLeaves(cluster, old);
      await progress();
    });
    await step(t, "a dead node is replaced; when it comes back it hears that, says so and ends", async () => {
      const leader = await cluster.waitForLeader();
      const old = cluster.ids.find((id) => id <= 3 && id !== leader);
      assert(old !== undefined);
      await cluster.kill(old);
      await replaceNode(cluster, old);
      await progress();
      await cluster.startNode(old);
      await assertLeaves(cluster, old);
    });
    await step(t, "the last of the old ones is replaced while it leads", async () => {
      const [old] = cluster.ids;
      assert(old !== undefined && old <= 3);
      await replaceNode(cluster, old);
      await assertLeaves(cluster, old);
      await progress();
    });
    assertEquals(cluster.ids, [4, 5, 6]);
    assertEquals(await rolesOf(cluster), ["voter 4", "voter 5", "voter 6"]);
  });
});
