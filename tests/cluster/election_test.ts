/** Real processes: election of a leader, service by all nodes, and clean stops. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { step } from "../support/step.ts";
import { eventually } from "../support/eventually.ts";

Deno.test("election: three nodes elect one leader, and each of them serves every client", async (t) => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();

  await step(t, "all nodes name the same leader in the same term", async () => {
    await eventually("every node follows it", async () => {
      const statuses = await Promise.all(cluster.ids.map((id) => cluster.status(id)));
      return statuses.every((status) => status?.leader === leader) ? true : null;
    }, { explain: cluster.logs });
    const statuses = await Promise.all(cluster.ids.map((id) => cluster.status(id)));
    assertEquals(new Set(statuses.map((status) => status?.term)).size, 1);
    assertEquals(statuses.filter((status) => status?.role === "leader").length, 1);
  });

  await step(t, "a write through any one node is read through every other", async () => {
    const decoder = new TextDecoder();
    for (const writerNode of cluster.ids) {
      await using writer = await cluster.connect([writerNode]);
      await writer.put("color", `from ${writerNode}`);
      for (const readerNode of cluster.ids) {
        await using reader = await cluster.connect([readerNode]);
        const entry = await reader.get("color");
        assertEquals(entry === null ? null : decoder.decode(entry.value), `from ${writerNode}`);
      }
    }
  });

  await step(
    t,
    "a leader that gets SIGTERM transfers leadership, exits with 0, and restarts as a follower",
    async () => {
      const finished = await cluster.stop(leader);
      assertEquals(
        { code: finished.code, signal: finished.signal },
        { code: 0, signal: null },
        cluster.logs(),
      );
      const successor = await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
      assertNotEquals(successor, leader);
      await using client = await cluster.connect();
      await client.put("color", "after the stop");
      await cluster.startNode(leader);
      assertEquals((await cluster.waitForEqualStates()).length, 64);
      assertEquals((await cluster.status(leader))?.role, "follower");
    },
  );

  await step(t, "all nodes, stopped at the same time, exit with 0", async () => {
    const finished = await Promise.all(cluster.ids.map((id) => cluster.stop(id)));
    assertEquals(finished.map(({ code }) => code), [0, 0, 0], cluster.logs());
  });
});

Deno.test("election: a single node serves, and keeps acknowledged writes over a kill -9", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await using client = await cluster.connect();
  const { revision } = await client.put("alone", "yes");
  await cluster.kill(1);
  await cluster.startNode(1);
  const entry = await client.get("alone");
  assert(entry !== null, cluster.logs());
  assertEquals({ modRevision: entry.modRevision, version: entry.version }, {
    modRevision: revision,
    version: 1,
  });
});
