/** What was on its way between two nodes when the connection broke: it is sent again once there is another. */
import { assert } from "@std/assert";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";

const ELECTION_TIMEOUT_MS = 10_000;

Deno.test("a write whose entries were lost with their connection waits for the next one, not for a silence", async () => {
  await using cluster = new MemoryCluster();
  const changes = { electionTimeoutMs: ELECTION_TIMEOUT_MS };
  for (const id of [1, 2]) await cluster.start(id, { founders: [1, 2], changes });
  const between = cluster.network.connections.length;
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("key", "before"));
  const lanes = cluster.network.connections.slice(0, between);
  for (const lane of lanes) lane.stall();
  const write = client.put("key", "after");
  const begin = cluster.clock.now();
  await settle();
  for (const lane of lanes) lane.reset();
  await cluster.run(write);
  const elapsedMs = cluster.clock.now() - begin;
  assert(elapsedMs < ELECTION_TIMEOUT_MS / 2, `it took ${elapsedMs} ms`);
});
