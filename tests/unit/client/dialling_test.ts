/** How the client dials: in races, repeatedly until a deadline, and never past it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, type KvClient, KvraftError, TimeoutError } from "../../../lib/mod.ts";
import { connectOn } from "../../../lib/testing.ts";
import { DIAL_TIMEOUT_MS } from "../../../lib/client/connection.ts";
import { HEAD_START_MS } from "../../../lib/client/dials.ts";
import { FakeCluster } from "../../support/fakes/scripted_node.ts";

/** Chooses the addresses in the order in which they are given: each random number is greater than the one before. */
function inOrder(): () => number {
  let chance = 0;
  return () => chance = Math.min(0.999, chance + 0.001);
}

/** Connects to nodes 1, 2, … in this order. */
function connect(cluster: FakeCluster, timeoutMs: number): Promise<KvClient> {
  const platform = { network: cluster.network, clock: cluster.clock, random: inOrder() };
  return connectOn(platform, { cluster: cluster.nodes.map(({ address }) => address), timeoutMs });
}

/** Duration of `call` on the cluster's clock, and its error. */
async function failureOf(
  cluster: FakeCluster,
  call: Promise<unknown>,
): Promise<{ readonly tookMs: number; readonly error: KvraftError }> {
  const start = cluster.clock.now();
  const error = await assertRejects(() => cluster.finish(call), KvraftError);
  return { tookMs: cluster.clock.now() - start, error };
}

Deno.test("dialling: an address that does not answer delays a call by a head start, not by the time of a dial", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).isHung = true;
  for (const node of cluster.nodes) node.leader = 2;
  const start = cluster.clock.now();
  await using client = await cluster.finish(connect(cluster, 5_000));
  assertEquals(await cluster.finish(client.get("k", { timeoutMs: 500 })), null);
  const tookMs = cluster.clock.now() - start;
  assert(tookMs >= HEAD_START_MS && tookMs < HEAD_START_MS + 50, `it took ${tookMs} ms`);
});

Deno.test("dialling: an address that refuses causes no delay", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).kill();
  cluster.node(2).kill();
  const start = cluster.clock.now();
  await using _client = await cluster.finish(connect(cluster, 5_000));
  assert(cluster.clock.now() - start < HEAD_START_MS);
});

Deno.test("dialling: dials that lost their race are ended, and leave no connection", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).isHung = true;
  cluster.node(2).isHung = true;
  for (const node of cluster.nodes) node.leader = 3;
  await using _client = await cluster.finish(connect(cluster, 5_000));
  await cluster.pass(0);
  assertEquals(cluster.nodes.map(({ connections }) => connections), [0, 0, 1]);
  assertEquals(cluster.clock.timerCount, 0);
});

Deno.test("dialling: an address that lost a race is dialled last in the next one", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).isHung = true;
  for (const node of cluster.nodes) node.leader = 2;
  await using client = await cluster.finish(connect(cluster, 5_000));
  cluster.node(2).kill();
  for (const node of cluster.nodes) node.leader = 3;
  await cluster.pass(0);
  const start = cluster.clock.now();
  await cluster.finish(client.get("k"));
  assert(cluster.clock.now() - start < HEAD_START_MS, "node 3 did not wait for node 1");
});

Deno.test("connect: it does not wait for a leader that does not answer", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(1).isHung = true;
  const platform = { network: cluster.network, clock: cluster.clock, random: inOrder() };
  const start = cluster.clock.now();
  await using client = await cluster.finish(
    connectOn(platform, { cluster: [cluster.node(2).address], timeoutMs: 5_000 }),
  );
  const tookMs = cluster.clock.now() - start;
  assert(tookMs <= HEAD_START_MS + 50 && tookMs < DIAL_TIMEOUT_MS, `it took ${tookMs} ms`);
  assertEquals(client.connectionState(), { kind: "connected", node: 2, leader: 1 });
});

Deno.test("connect: it continues until its deadline while nodes refuse, close or are busy", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).kill();
  cluster.node(2).refusal = { kind: "refusal", code: "busy", message: "This node has its limit of clients." };
  cluster.node(3).answer = () => "disconnect";
  cluster.node(3).refusal = { kind: "refusal", code: "busy", message: "This node has its limit of clients." };
  const connecting = connect(cluster, 5_000);
  await cluster.pass(2_000);
  cluster.node(1).start();
  await using client = await cluster.finish(connecting);
  assertEquals(client.connectionState(), { kind: "connected", node: 1, leader: 1 });
});

Deno.test("connect: at its deadline the error has the last error of each address", async () => {
  for (const isHung of [false, true]) {
    const cluster = new FakeCluster(2);
    for (const node of cluster.nodes) {
      if (isHung) node.isHung = true;
      else node.kill();
    }
    const { tookMs, error } = await failureOf(cluster, connect(cluster, 2_500));
    assert(error instanceof ConnectionError, `${error}`);
    assert(
      error.message.includes(isHung ? "10.0.0.2:7001: no answer within" : "10.0.0.2:7001: nothing listens"),
    );
    assert(tookMs >= 2_500 && tookMs <= 2_550, `it took ${tookMs} ms`);
  }
});

Deno.test("connect: it does not wait if dialling again can't help", async () => {
  const cluster = new FakeCluster(2);
  for (const node of cluster.nodes) {
    node.refusal = { kind: "refusal", code: "versionMismatch", message: "This node speaks 2 to 3." };
  }
  const { tookMs, error } = await failureOf(cluster, connect(cluster, 60_000));
  assertEquals([error.code, tookMs < 50], ["versionMismatch", true]);
});

Deno.test("client: every call ends within 50 ms of its deadline, whichever nodes do not answer", async () => {
  const calls: readonly ((client: KvClient, timeoutMs: number) => Promise<unknown>)[] = [
    (client, timeoutMs) => client.put("k", "v", { timeoutMs }),
    (client, timeoutMs) => client.get("k", { timeoutMs }),
    (client, timeoutMs) => client.get("k", { timeoutMs, consistency: "stale" }),
    (client, timeoutMs) => client.list({ timeoutMs }),
    (client, timeoutMs) => client.compareAndSet("k", { expect: null, value: "v", timeoutMs }),
    (client, timeoutMs) => client.cluster.members({ timeoutMs }),
    (client, timeoutMs) => client.cluster.transferLeadership(2, { timeoutMs }),
    (client, timeoutMs) => client.cluster.changeMembership({ kind: "remove", id: 3 }, { timeoutMs }),
    (client, timeoutMs) => client.cluster.takeSnapshot({ timeoutMs }),
    (client, timeoutMs) => client.cluster.takeSnapshot({ timeoutMs, node: 2 }),
    (client, timeoutMs) => client.cluster.openSnapshot({ timeoutMs }),
    (client, timeoutMs) => client.cluster.stateHash("10.0.0.2:7001", { timeoutMs }),
  ];
  for (const call of calls) {
    for (const timeoutMs of [120, 1_300, 5_000]) {
      for (const isConnected of [true, false]) {
        const cluster = new FakeCluster(3);
        await using client = await cluster.connect();
        for (const node of cluster.nodes) {
          node.isHung = true;
          if (!isConnected) node.disconnect();
        }
        await cluster.pass(0);
        const { tookMs, error } = await failureOf(cluster, call(client, timeoutMs));
        const how = `${call} of ${timeoutMs} ms took ${tookMs} ms: ${error}`;
        assert(tookMs <= timeoutMs + 50, how);
        assert(error instanceof TimeoutError || error instanceof ConnectionError, how);
      }
    }
  }
});
