/** Watches that are lost, refused or unknown while the connection to their node stays open. */
import { assertEquals } from "@std/assert";
import { QUIET_LIMIT_MS } from "../../../../lib/client/watch/connection_watches.ts";
import { BatchReader } from "../../../support/fakes/batch_reader.ts";
import { FakeCluster } from "../../../support/fakes/scripted_node.ts";
import { WatchedLog } from "../../../support/fakes/watched_log.ts";

Deno.test("watch: one that is lost while its connection stays open is cancelled at its node", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  await cluster.finish(client.get("k", { consistency: "stale" })); // connects to all nodes
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  let refusals = 0;
  const { serve } = cluster.node(1);
  cluster.node(1).serve = (request, send) => {
    if (request.kind !== "watchProgress") return serve(request, send);
    refusals++;
    const { requestId } = request;
    const message = "Cannot watch: no leader has confirmed that this node is up to date.";
    return { kind: "error", requestId, code: "noLeader", message, leader: null, outcome: "not-applied" };
  };
  await cluster.pass(2 * QUIET_LIMIT_MS + 1_000);
  assertEquals([refusals, cluster.node(1).connections], [1, 1]);
  assertEquals(log.started.map(({ node }) => node !== 1), [false, true]);
  assertEquals(log.size, 1, "the first watch is cancelled");
  log.put("k");
  await cluster.pass(20);
  await reader.end();
  await reading;
  assertEquals(reader.revisions, [1]);
});

Deno.test("watch: notices of a watch that the client does not know cancel it, once until the node answers", async () => {
  const cluster = new FakeCluster(1);
  new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  const cancelled = (): readonly number[] =>
    cluster.node(1).requests.flatMap((request) => request.kind === "cancelWatch" ? [request.watchId] : []);
  for (let revision = 1; revision <= 3; revision++) {
    cluster.node(1).broadcast({ kind: "watchProgressed", watchIds: [77, 78], revision });
    cluster.node(1).broadcast({ kind: "watchEvents", watchId: 77, revision, events: [], more: false });
  }
  await cluster.pass(0);
  assertEquals(cancelled(), [77, 78]);
  await reader.end();
  await reading;
});

Deno.test("watch: a node that refuses it as busy is not asked next, though it leads", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const { serve } = cluster.node(1);
  cluster.node(1).serve = (request, send) => {
    if (request.kind !== "watch") return serve(request, send);
    const message = "Cannot watch: this node has too many watches. Try another node.";
    return {
      kind: "error",
      requestId: request.requestId,
      code: "busy",
      message,
      leader: 1,
      outcome: "not-applied",
    };
  };
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(1_000);
  assertEquals(cluster.node(1).requests.filter(({ kind }) => kind === "watch").length, 1);
  assertEquals(log.started.map(({ node }) => node !== 1), [true]);
  await reader.end();
  await reading;
});
