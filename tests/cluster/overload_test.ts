/** Clients that ask for more than a node can give at once, and what they cost the node and its other clients. */
import { assert, assertEquals } from "@std/assert";
import { CONSISTENCY, FRAME_KIND } from "../../lib/net/kinds.ts";
import { TestCluster } from "../support/cluster.ts";
import { CountingClient } from "../support/counting_client.ts";
import { eventually } from "../support/eventually.ts";
import { step } from "../support/step.ts";

const KEYS = 5_000;
const LISTS = 1_000;
const KEYS_PER_TRANSACTION = 100;

function list(requestId: number, consistency: number): (number | boolean | null | Uint8Array)[] {
  return [FRAME_KIND.list, requestId, new Uint8Array(0), null, null, null, false, KEYS, consistency];
}

Deno.test("a thousand lists on one connection are answered while other clients are served, and the leader keeps its term", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  for (let first = 0; first < KEYS; first += KEYS_PER_TRANSACTION) {
    await Promise.all(
      Array.from(
        { length: KEYS_PER_TRANSACTION },
        (_, offset) => client.put(`key/${first + offset}`, new Uint8Array(64)),
      ),
    );
  }
  const leader = await cluster.waitForLeader();
  const term = (await cluster.status(leader))?.term;

  for (const consistency of ["linearizable", "stale"] as const) {
    await step(t, consistency, async () => {
      using greedy = await CountingClient.connect(cluster.port(leader));
      const lists = Array.from({ length: LISTS }, (_, id) => list(id + 1, CONSISTENCY[consistency]));
      await greedy.send(...lists);
      greedy.read();
      const answered = (): number => greedy.count(FRAME_KIND.listResult);
      await eventually("the first list is answered", () => answered() > 0 || null, { explain: cluster.logs });
      await client.put("other", consistency);
      const whenPut = answered();
      assertEquals((await client.get("other"))?.version, consistency === "linearizable" ? 1 : 2);
      const whenRead = answered();
      assert(whenRead < LISTS, `the put was answered after ${whenPut} lists, the get after ${whenRead}`);
      await eventually("all lists are answered", () => answered() === LISTS || null, {
        explain: cluster.logs,
      });
      assertEquals(greedy.count(FRAME_KIND.error), 0);
    });
  }
  assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
  assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
});
