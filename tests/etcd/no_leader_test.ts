/** Requests of etcd's clients to a node whose cluster has no leader. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { GrpcTestClient } from "../support/etcd/grpc_client.ts";
import { eventually } from "../support/eventually.ts";

const RANGE = "etcdserverpb.KV/Range";
const UNAVAILABLE = 14;
const NO_LEADER = "etcdserver: no leader";

Deno.test("no leader: hasleader is refused, and a write fails so that clientv3 does not repeat it", async () => {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  const [alive = 1, ...others] = cluster.ids;
  await using client = await GrpcTestClient.connect(served.address(alive));
  const key = { key: "k" };
  assertEquals((await client.call("etcdserverpb.KV/Put", key)).code, 0);
  await Promise.all(others.map((id) => cluster.kill(id)));

  const write = client.call("etcdserverpb.KV/Put", key);
  await eventually("the node notices that it has no leader", async () => {
    const { code, message } = await client.call(RANGE, key, { hasleader: "true" });
    return code === UNAVAILABLE && message === NO_LEADER ? true : null;
  });
  // Serializable reads go on.
  assertEquals((await client.call(RANGE, { ...key, serializable: true })).code, 0);
  const { code, message } = await write;
  assertEquals(code, UNAVAILABLE, message);
  assertNotEquals(message, NO_LEADER, "it may have been proposed");

  await cluster.startNodes(others);
  await eventually("writes are served again", async () => {
    return (await client.call("etcdserverpb.KV/Put", key)).code === 0 ? true : null;
  });
});
