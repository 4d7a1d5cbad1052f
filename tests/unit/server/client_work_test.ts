/** ClientWork: the work of a closed connection is dropped, and no longer counted. */
import { assertEquals } from "@std/assert";
import type { ValueType } from "@std/msgpack";
import { CONSISTENCY } from "../../../lib/protocol/messages.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { parseMetrics, sumOf } from "../../support/prometheus.ts";
import { frame } from "../../support/wire.ts";

const LISTS = 10;
const HASHES = 3;
const VALUES = 50;
const VALUE_BYTES = 100_000;
const CLIENT_HELLO = [0, "kvraft", 1, 1, 2, null, null, null, null];
const NOTHING = new Uint8Array(0);

/** Requests of node 1 that wait for an answer, by kind. */
async function inFlight(cluster: MemoryCluster): Promise<Readonly<Record<string, number>>> {
  const { body } = await cluster.http.ask("n1:9101", "/metrics");
  const metrics = parseMetrics(body);
  const of = (kind: string): number => sumOf(metrics, "kvraft_requests_in_flight", { labels: { kind } });
  return { list: of("list"), stateHash: of("stateHash"), transfer: of("transferLeadership") };
}

Deno.test("ClientWork: reads, hashes and transfers of a closed connection are dropped", async () => {
  await using cluster = new MemoryCluster();
  const http = { host: "n1", port: 9101 };
  for (const id of [1, 2, 3]) {
    await cluster.start(id, { founders: [1, 2, 3], changes: id === 1 ? { http } : {} });
  }
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.cluster.transferLeadership(1));
  for (let key = 0; key < VALUES; key++) {
    await cluster.run(client.put(`key/${key}`, new Uint8Array(VALUE_BYTES)));
  }

  const others = [...cluster.network.connections];
  const caller = await RawConnection.connect(cluster.network, 1);
  await caller.send(CLIENT_HELLO);
  await until("it is welcomed", () => caller.received.length > 0);
  // From here on the clock does not move: work that waits for another turn of the event loop, or for another node, waits.
  for (const connection of others) connection.stall(true);
  const query = [NOTHING, null, null, null, false, 1_000];
  const requests: ValueType[] = [
    ...Array.from({ length: LISTS }, (_, id) => [FRAME_KIND.list, id + 1, ...query, CONSISTENCY.stale]),
    ...Array.from({ length: HASHES }, (_, id) => [FRAME_KIND.stateHash, id + 101]),
    [FRAME_KIND.transferLeadership, 201, 2],
  ];
  await caller.sendBytes(new Uint8Array(requests.flatMap((request) => [...frame(request)])));
  await settle();
  const before = await inFlight(cluster);
  assertEquals([(before["list"] ?? 0) > 0, before["stateHash"], before["transfer"]], [true, HASHES, 1]);

  caller.close();
  await settle();
  const after = await inFlight(cluster);
  assertEquals([after["list"], after["transfer"]], [0, 0]);
  // At its next pause the hash that is being computed checks whether its connections are open.
  cluster.clock.advance(0);
  await settle();
  assertEquals((await inFlight(cluster))["stateHash"], 0);
  for (const connection of others) connection.stall(false);
});
