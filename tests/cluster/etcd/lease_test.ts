/** Leases over gRPC at real nodes: they survive the death of the leader, and a restart of all nodes with what is left. */
import { assert, assertEquals } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";
import { eventually } from "../../support/eventually.ts";
import { step } from "../../support/step.ts";

const SERVICE = "etcdserverpb.Lease";

/** Calls a method of the service until it succeeds; returns its answer. */
async function ask(client: GrpcTestClient, method: string, request: Message): Promise<Message> {
  return await eventually(`${method} succeeds`, async () => {
    const { code, messages: [answer = null] } = await client.call(`${SERVICE}/${method}`, request);
    return code === 0 ? answer : null;
  });
}

Deno.test("etcd: leases survive the death of the leader, and a restart of all nodes", async (t) => {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  const leader = await cluster.waitForLeader();
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  await using kv = await cluster.connect();

  await step(t, "a lease that is kept alive outlives the leader; one that is not ends", async () => {
    await using client = await GrpcTestClient.connect(served.address(follower));
    const kept = await ask(client, "LeaseGrant", { TTL: 4 });
    const lost = await ask(client, "LeaseGrant", { TTL: 4 });
    await kv.put("kept", "v", { leaseId: Number(kept["ID"]) });
    await kv.put("lost", "v", { leaseId: Number(lost["ID"]) });
    let stream = await client.open(`${SERVICE}/LeaseKeepAlive`);
    /** Keeps the lease alive once; over another stream after a failure, as clients of etcd do. */
    const keepAlive = async (): Promise<unknown> => {
      await client.send(stream, { ID: kept["ID"] });
      const answer = await client.next(stream);
      if (!("code" in answer)) return "TTL" in answer ? answer["TTL"] : 0;
      stream = await client.open(`${SERVICE}/LeaseKeepAlive`);
      return null;
    };
    assertEquals(await keepAlive(), 4);
    await cluster.kill(leader);
    await eventually("the lease that is not kept alive ends", async () => {
      assert(await keepAlive() !== 0, "the other one lives");
      return await kv.get("lost") === null ? true : null;
    }, { explain: cluster.logs });
    assertEquals((await kv.get("kept"))?.leaseId, kept["ID"]);
    await cluster.startNode(leader);
  });

  await step(t, "a lease and its keys are there after a restart of all nodes", async () => {
    const ID = 4_711;
    await using before = await GrpcTestClient.connect(served.address(follower));
    await ask(before, "LeaseGrant", { TTL: 1_000, ID });
    await kv.put("restarted", "v", { leaseId: ID });
    for (const id of cluster.ids) await cluster.kill(id);
    await cluster.startNodes(cluster.ids);
    await using after = await GrpcTestClient.connect(served.address(follower));
    const { TTL, grantedTTL, keys } = await ask(after, "LeaseTimeToLive", { ID, keys: true });
    assertEquals([grantedTTL, keys], [1_000, ["restarted"]]);
    // The seconds since time was last counted in the log are lost with the processes.
    assert(Number(TTL) <= 1_000 && Number(TTL) > 900, `${TTL} s are left`);
    await ask(after, "LeaseRevoke", { ID });
    assertEquals(await kv.get("restarted"), null);
  });
});
