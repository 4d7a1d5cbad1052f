/** What a node that is none of the cluster's, or has gone wrong, can say to the others on its lanes. */
import { assert, assertEquals } from "@std/assert";
import type { ValueType } from "@std/msgpack";
import { MAX_TERM } from "../../../lib/protocol/limits.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { Stranger, until } from "../../support/fakes/accepting_node.ts";

/** Each is a frame of node 9 to node 1 that names the term. */
const FRAMES: Readonly<Record<string, (term: number) => ValueType>> = {
  preVote: (term) => [10, 9, 1, term, 1, 1],
  preVoteResponse: (term) => [11, 9, 1, term, true],
  requestVote: (term) => [12, 9, 1, term, 1, 1, true],
  requestVoteResponse: (term) => [13, 9, 1, term, true],
  appendEntries: (term) => [14, 9, 1, term, 0, 0, 0, []],
  appendEntriesResponse: (term) => [15, 9, 1, term, [1, 0]],
  heartbeat: (term) => [16, 9, 1, term, 0, 1],
  heartbeatResponse: (term) => [17, 9, 1, term, 1, 0],
  timeoutNow: (term) => [18, 9, 1, term],
  readIndex: (term) => [19, 9, 1, term, 1],
  readIndexResponse: (term) => [20, 9, 1, term, 1, 1],
  snapshotChunk: (term) => [32, term, 1_000, 1, 10, 0, new Uint8Array(0)],
  snapshotProgress: (term) => [33, term, 1_000, 1, 10, 0],
};

Deno.test("a term that leaps ends its connection, whatever the frame, and the cluster goes on electing", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const { term } = await cluster.run(client.cluster.status());
  for (const [kind, frame] of Object.entries(FRAMES)) {
    for (const leap of [MAX_TERM, Number.MAX_SAFE_INTEGER, term + 2 ** 30]) {
      const server = cluster.server(1);
      assert(server !== null);
      const stranger = await Stranger.connect(cluster.network);
      await stranger.send([0, "kvraft", 1, 1, 1, server.clusterId, 9, 1, null, 109, "n9:7001"]);
      await stranger.send(frame(leap));
      await until(`the connection with the ${kind} was closed`, () => stranger.end !== null);
    }
  }
  await cluster.pass(2_000);
  assertEquals((await cluster.run(client.cluster.status())).term, term);
  assertEquals(cluster.logger.connectionFaults, []);
  for (const leader of [2, 1]) {
    await cluster.run(client.cluster.transferLeadership(leader));
    await cluster.run(client.put("key", `under ${leader}`));
  }
  await cluster.stop(1);
  await cluster.start(1);
  await settle();
});
