/** Handovers of leadership that can't be: what the client is told. */
import { assertEquals, assertRejects } from "@std/assert";
import { KvraftError } from "../../../lib/mod.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";

Deno.test("a handover to a node that is no member, or has no vote, says so", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.cluster.transferLeadership(1));
  await cluster.run(client.cluster.changeMembership({ kind: "demote", id: 3 }));
  const table: readonly (readonly [number, string])[] = [
    [9, "node 9 is no member. Members: 1, 2, 3."],
    [3, "node 3 is a learner. Promote it first."],
  ];
  for (const [target, reason] of table) {
    const error = await assertRejects(
      () => cluster.run(client.cluster.transferLeadership(target)),
      KvraftError,
    );
    assertEquals([error.code, error.message], [
      "invalidRequest",
      `Cannot transfer leadership: node 1 answered: ${reason} Nothing was changed.`,
    ]);
  }
});
