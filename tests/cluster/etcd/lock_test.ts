/** v3lockpb and v3electionpb at real nodes: the death of the leader, of the node that serves a client, and of clients. */
import { assertEquals } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";
import { answer, begin, call, keysOf, untilCountIs, untilKeysAre } from "../../support/etcd/waiting_calls.ts";
import { step } from "../../support/step.ts";

const LOCK = "v3lockpb.Lock/Lock";

/** Three nodes, and clients of two of them. */
interface Scene {
  readonly served: EtcdCluster;
  /** The node that leads at first. */
  readonly leader: number;
  readonly others: readonly number[];
  readonly kv: KvClient;
  readonly first: GrpcTestClient;
  readonly second: GrpcTestClient;
}

/** Runs a test with leases from 1 to 9. */
async function withClients(run: (scene: Scene) => Promise<void>): Promise<void> {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  const leader = await cluster.waitForLeader();
  const others = cluster.ids.filter((id) => id !== leader);
  const [one = 0, two = 0] = others;
  await using kv = await cluster.connect();
  await using first = await GrpcTestClient.connect(served.address(one));
  await using second = await GrpcTestClient.connect(served.address(two));
  for (let ID = 1; ID <= 9; ID++) await call(first, "etcdserverpb.Lease/LeaseGrant", { TTL: 600, ID });
  await run({ served, leader, others, kv, first, second });
}

Deno.test("etcd: server-side locks over the death of the leader, of a client, and of its node", async (t) => {
  await withClients(async ({ served, leader, others, kv, first, second }) => {
    const { cluster } = served;
    await step(t, "a lock is held, and waited for, over the death of the leader", async () => {
      const held = await call(first, LOCK, { name: "a", lease: 1 });
      assertEquals(held["key"], "a/1");
      const waiting = await begin(second, LOCK, { name: "a", lease: 2 });
      await untilKeysAre(kv, "a/", ["a/1", "a/2"]);
      const elected = await begin(second, "v3electionpb.Election/Campaign", {
        name: "e",
        lease: 2,
        value: "v",
      });
      assertEquals((await answer(second, elected))["leader"], { name: "e", key: "e/2", rev: 4, lease: 2 });
      await cluster.kill(leader);
      await cluster.waitForLeader(others);
      await untilKeysAre(kv, "a/", ["a/1", "a/2"]);
      await call(first, "v3lockpb.Lock/Unlock", { key: "a/1" });
      assertEquals((await answer(second, waiting))["key"], "a/2");
      const { kv: found } = await call(first, "v3electionpb.Election/Leader", { name: "e" });
      assertEquals((found as Message)["value"], "v");
      await cluster.startNode(leader);
    });

    await step(t, "a client that goes away while it waits leaves no key behind", async () => {
      await using gone = await GrpcTestClient.connect(served.address(others[1] ?? 0));
      await begin(gone, LOCK, { name: "a", lease: 3 });
      await begin(gone, LOCK, { name: "a" });
      await untilCountIs(kv, "a/", 3);
      const waiting = await begin(second, LOCK, { name: "a", lease: 4 });
      await untilCountIs(kv, "a/", 4);
      await gone[Symbol.asyncDispose]();
      await untilKeysAre(kv, "a/", ["a/2", "a/4"]);
      await call(first, "v3lockpb.Lock/Unlock", { key: "a/2" });
      assertEquals((await answer(second, waiting))["key"], "a/4");
    });

    await step(t, "a client whose node dies keeps its place by its lease", async () => {
      await using waiting = await GrpcTestClient.connect(served.address(leader));
      await begin(waiting, LOCK, { name: "a", lease: 5 });
      await untilKeysAre(kv, "a/", ["a/4", "a/5"]);
      const behind = await begin(second, LOCK, { name: "a", lease: 6 });
      await untilKeysAre(kv, "a/", ["a/4", "a/5", "a/6"]);
      await cluster.kill(leader);
      const again = await begin(first, LOCK, { name: "a", lease: 5 });
      await call(first, "v3lockpb.Lock/Unlock", { key: "a/4" });
      assertEquals((await answer(first, again))["key"], "a/5");
      await untilKeysAre(kv, "a/", ["a/5", "a/6"]);
      await call(first, "v3lockpb.Lock/Unlock", { key: "a/5" });
      assertEquals((await answer(second, behind))["key"], "a/6");
      await cluster.startNode(leader);
    });
  });
});

Deno.test("etcd: observers of elections, and the end of calls with their node", async () => {
  await withClients(async ({ served, leader, kv, first, second }) => {
    const { cluster } = served;
    assertEquals((await call(first, LOCK, { name: "a", lease: 6 }))["key"], "a/6");
    const { leader: elected } = await call(second, "v3electionpb.Election/Campaign", {
      name: "e",
      lease: 2,
      value: "v",
    });
    await using observer = await GrpcTestClient.connect(served.address(leader));
    const stream = await begin(observer, "v3electionpb.Election/Observe", { name: "e" });
    const leaderOf = async (): Promise<unknown> => {
      const next = await observer.next(stream);
      return "kv" in next ? (next["kv"] as Message)["value"] : next;
    };
    assertEquals(await leaderOf(), "v");
    const next = await begin(second, "v3electionpb.Election/Campaign", { name: "e", lease: 7, value: "w" });
    await untilKeysAre(kv, "e/", ["e/2", "e/7"]);
    await call(first, "v3electionpb.Election/Resign", { leader: elected });
    assertEquals(await leaderOf(), "w");
    await answer(second, next);
    const waiting = await begin(observer, LOCK, { name: "a", lease: 8 });
    await untilKeysAre(kv, "a/", ["a/6", "a/8"]);
    await cluster.stop(leader);
    const stopped = { code: 14, message: "etcdserver: server stopped" };
    assertEquals([await observer.status(stream), await observer.status(waiting)], [stopped, stopped]);
    assertEquals(await keysOf(kv, "a/"), ["a/6", "a/8"]);
  });
});
