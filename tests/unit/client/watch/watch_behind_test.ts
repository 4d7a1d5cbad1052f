/** KvClient.watch at nodes that answer, and get no new entries. */
import { assert, assertEquals } from "@std/assert";
import { QUIET_LIMIT_MS } from "../../../../lib/client/watch/connection_watches.ts";
import { FakeCluster } from "../../../support/fakes/scripted_node.ts";
import { WatchedLog } from "../../../support/fakes/watched_log.ts";

Deno.test("watch: a node that no leader confirms to be up to date is left, though it sends progress", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const batches = client.watch({ key: "k" })[Symbol.asyncIterator]();
  const first = batches.next();
  await cluster.pass(0);
  assertEquals(log.started, [{ node: 1, from: null }]);
  const node = cluster.node(1);
  const { answer } = node;
  const refusal = { code: "noLeader", message: "not up to date", outcome: "not-applied", leader: 1 } as const;
  node.answer = (request) =>
    request.kind === "watchProgress"
      ? { kind: "error", requestId: request.requestId, ...refusal }
      : answer(request);
  for (let second = 0; second < 4 * QUIET_LIMIT_MS / 1_000; second++) {
    if (second % 10 === 0) {
      log.send(1, (watchId) => ({ kind: "watchProgressed", watchIds: [watchId], revision: 0 }));
    }
    await cluster.pass(1_000);
  }
  assert(log.started.length > 1, "it was begun again");
  assert(log.started.at(-1)?.node !== 1, "at another node");
  await batches.return?.();
  assertEquals(await first, { done: true, value: undefined });
});
