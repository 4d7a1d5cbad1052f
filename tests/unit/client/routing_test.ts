/** The node of a request: the leader where it can be reached, else another node. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, type ConnectionState, KvClient, VersionMismatchError } from "../../../lib/mod.ts";
import { SILENCE_LIMIT_MS } from "../../../lib/client/connection.ts";
import type { ClientRequest } from "../../../lib/protocol/client_frames.ts";
import { FakeCluster, type FakeNode } from "../../support/fakes/scripted_node.ts";

function lead(cluster: FakeCluster, leader: number, term: number): void {
  for (const node of cluster.nodes) {
    node.leader = leader;
    node.term = term;
  }
}

function kinds({ requests }: FakeNode): readonly ClientRequest["kind"][] {
  return requests.map(({ kind }) => kind);
}

Deno.test("routing: a client given one follower's address finds the leader and sends to it", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect([3]);
  await cluster.finish(client.put("k", "v"));
  assertEquals(cluster.nodes.map(kinds), [["write"], [], []]);
  assertEquals(client.connectionState(), { kind: "connected", node: 1, leader: 1 });
});

Deno.test("routing: if the leader cannot be dialed, another node forwards requests", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).kill();
  await using client = await cluster.connect([2]);
  await cluster.finish(client.put("k", "v"));
  await cluster.finish(client.get("k"));
  assertEquals(kinds(cluster.node(2)), ["write", "get"]);
});

Deno.test("routing: a notice of another leader moves the next request there", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  const states: ConnectionState[] = [];
  client.onStateChange((state) => states.push(state));
  cluster.node(1).notify(2, 2);
  await cluster.pass(0);
  await cluster.finish(client.put("k", "v"));
  assertEquals(kinds(cluster.node(2)), ["write"]);
  assertEquals(states.at(-1), { kind: "connected", node: 2, leader: 2 });
});

Deno.test("routing: a notice of an older term does not move requests back", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  cluster.node(1).notify(2, 5);
  await cluster.pass(0);
  cluster.node(2).notify(2, 5);
  cluster.node(1).notify(1, 3);
  await cluster.pass(0);
  await cluster.finish(client.put("k", "v"));
  assertEquals(cluster.nodes.map(kinds), [[], ["write"]]);
});

Deno.test("routing: a node that does not lead and names the leader is not asked twice", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect([1]);
  cluster.node(1).answer = ({ requestId }) => (
    {
      kind: "error",
      requestId,
      code: "notLeader",
      message: "Node 2 leads.",
      outcome: "not-applied",
      leader: 2,
    }
  );
  assertEquals(await cluster.finish(client.cluster.transferLeadership(1)), 1);
  assertEquals(cluster.nodes.map(kinds), [["transferLeadership"], ["transferLeadership"]]);
});

Deno.test("routing: a transfer that may have begun is not requested again", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "disconnect";
  const error = await assertRejects(
    () => cluster.finish(client.cluster.transferLeadership(2)),
    ConnectionError,
  );
  assertEquals(error.outcome, "unknown");
  assertEquals(cluster.nodes.flatMap(kinds), ["transferLeadership"]);
});

Deno.test("routing: when the leader is killed, its writes go to the others at once", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "silence";
  const writes = Promise.all([client.put("a", "v"), client.put("b", "v")]);
  await cluster.pass(0);
  const start = cluster.clock.now();
  cluster.node(1).kill();
  lead(cluster, 2, 2);
  await cluster.finish(writes);
  assert(cluster.clock.now() - start < 100, "no call waited for a deadline");
});

Deno.test("routing: a suspended leader is not asked again while other nodes answer", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "silence";
  let asked = 0;
  for (const id of [2, 3]) {
    const { answer } = cluster.node(id);
    cluster.node(id).answer = (request) => {
      // No leader is elected yet when the first retry arrives.
      if (asked++ > 0) return answer(request);
      const { requestId } = request;
      const message = "This node knows of no leader.";
      return { kind: "error", requestId, code: "noLeader", message, outcome: "not-applied", leader: null };
    };
  }
  const start = cluster.clock.now();
  await cluster.finish(client.put("k", "v", { timeoutMs: 30_000 }));
  await cluster.finish(client.put("k", "w", { timeoutMs: 30_000 }));
  assert(cluster.clock.now() - start < 2_000, "only the first attempt waited for the suspended node");
  assertEquals(kinds(cluster.node(1)), ["write"]);
});

Deno.test("routing: a suspended leader is asked again once it sends anything", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const { answer } = cluster.node(1);
  cluster.node(1).answer = () => "silence";
  await cluster.finish(client.put("k", "v", { timeoutMs: 30_000 }));
  cluster.node(1).answer = answer;
  cluster.node(1).notify(1, 3);
  await cluster.pass(0);
  await cluster.finish(client.put("k", "w"));
  assertEquals(kinds(cluster.node(1)), ["write", "write"]);
});

Deno.test("routing: where every node is silent, requests still go to one of them", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const answers = cluster.nodes.map(({ answer }) => answer);
  for (const node of cluster.nodes) node.answer = () => "silence";
  const write = client.put("k", "v", { timeoutMs: 30_000 });
  await cluster.pass(6_000);
  for (const [position, answer] of answers.entries()) cluster.node(position + 1).answer = answer;
  await cluster.finish(write);
});

Deno.test("routing: the connection of a node that stays silent is closed without further requests", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const { answer } = cluster.node(1);
  cluster.node(1).answer = () => "silence";
  await cluster.finish(client.put("k", "v", { timeoutMs: 30_000 }));
  await cluster.pass(SILENCE_LIMIT_MS);
  cluster.node(1).answer = answer;
  cluster.node(2).notify(1, 3);
  await cluster.pass(100);
  await cluster.finish(client.put("k", "w"));
  assertEquals(kinds(cluster.node(1)), ["write", "write"], "it was dialed again");
});

Deno.test("routing: a client connected to two nodes that know of no leader finds the others", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(3).kill();
  await using client = await cluster.connect();
  lead(cluster, 3, 1);
  for (const id of [1, 2]) {
    const node = cluster.node(id);
    node.notify(null, 1);
    node.answer = ({ requestId }) => ({
      kind: "error",
      requestId,
      code: "noLeader",
      message: "This node knows of no leader.",
      outcome: "not-applied",
      leader: null,
    });
  }
  const write = client.put("k", "v", { timeoutMs: 30_000 });
  await cluster.pass(2_000); // long enough to have reached both
  assert([1, 2].every((id) => cluster.node(id).requests.length > 0), "both were asked");
  cluster.node(3).start();
  await cluster.finish(write);
  assertEquals(kinds(cluster.node(3)), ["write"]);
});

Deno.test("routing: a node's report of the leader is dropped with its connection", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(3).kill();
  await using client = await cluster.connect([1, 2]);
  await cluster.finish(client.get("k"));
  await cluster.finish(client.get("k", { consistency: "stale" }));
  assertEquals(client.connectionState(), { kind: "connected", node: 1, leader: 1 });
  // Node 2 has heard from no leader since; only node 1 had ever named one, itself.
  cluster.node(2).notify(null, 1);
  cluster.node(1).kill();
  await cluster.pass(0);
  assertEquals(client.connectionState(), { kind: "connected", node: 2, leader: null });
});

Deno.test("routing: a slow node keeps its connection, one without answers for long is dialed again", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  node.isHung = true;
  const call = client.get("k", { timeoutMs: 60_000 });
  await cluster.pass(8_000);
  assertEquals(
    client.connectionState().kind,
    "connected",
    "attempts were given up, and the node may be slow",
  );
  await cluster.pass(12_000);
  assertEquals(client.connectionState().kind, "reconnecting");
  node.isHung = false;
  assertEquals(await cluster.finish(call), null);
});

Deno.test("routing: stale reads are answered by a node that knows of no leader", async () => {
  const cluster = new FakeCluster(3);
  for (const node of cluster.nodes) node.leader = null;
  for (const id of [1, 3]) cluster.node(id).kill();
  await using client = await cluster.connect();
  assertEquals(await cluster.finish(client.get("k", { consistency: "stale" })), null);
  assertEquals(client.connectionState(), { kind: "connected", node: 2, leader: null });
});

Deno.test("routing: stale reads go to all nodes in turn, and linearizable requests to the leader", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect([2]);
  const stale = { consistency: "stale" } as const;
  await cluster.finish(client.get("k", stale)); // reaches the others
  await cluster.pass(100);
  const before = cluster.nodes.map(({ requests }) => requests.length);
  for (let read = 0; read < 6; read++) await cluster.finish(client.get("k", stale));
  for (let read = 0; read < 3; read++) await cluster.finish(client.list(stale));
  await cluster.finish(client.get("k"));
  assertEquals(cluster.nodes.map(({ requests }, node) => requests.length - (before[node] ?? 0)), [4, 3, 3]);
});

Deno.test("routing: a stale read is sent to another node when the next one is closed", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  const stale = { consistency: "stale" } as const;
  await cluster.finish(client.get("k", stale));
  await cluster.pass(100);
  cluster.node(3).kill();
  for (let read = 0; read < 4; read++) {
    assertEquals(await cluster.finish(client.get("k", stale)), null);
  }
  assertEquals(cluster.node(3).requests.length <= 1, true);
});

Deno.test("routing: the error for an unreachable cluster has each address and its reason", async () => {
  const cluster = new FakeCluster(3);
  cluster.node(1).kill();
  cluster.node(2).isHung = true;
  cluster.node(3).refusal = { kind: "refusal", code: "busy", message: "This node has its limit of clients." };
  const error = await assertRejects(() => cluster.connect(), ConnectionError);
  for (
    const part of [
      "10.0.0.1:7001: nothing listens",
      "10.0.0.2:7001: no answer within 1000 ms",
      "its limit of clients",
    ]
  ) {
    assert(error.message.includes(part), `"${error.message}" says "${part}"`);
  }
  await cluster.pass(0);
  assertEquals([cluster.clock.timerCount, ...cluster.nodes.map(({ connections }) => connections)], [
    0,
    0,
    0,
    0,
  ]);
});

Deno.test("connect: a cluster of other versions is distinguished from one that is down", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).refusal = { kind: "refusal", code: "versionMismatch", message: "This node speaks 2 to 3." };
  await assertRejects(() => cluster.connect(), VersionMismatchError, "speaks 2 to 3");
});

Deno.test("routing: nodes of two clusters are not mixed", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(2).clusterId = "fedcba9876543210";
  await using client = await cluster.connect([1]);
  const { nodes } = await cluster.finish(client.cluster.status());
  assertEquals(nodes.map(({ reachable }) => reachable), [true, false]);
});

/** Nodes 4, 5 and 6 are the members now, and node 4 leads; every node that runs has applied that. */
function replaceAll(cluster: FakeCluster): void {
  lead(cluster, 4, 2);
  cluster.members = cluster.nodes.slice(3).map(({ id, address }) => ({ id, address, role: "voter" }));
  for (const node of cluster.nodes) node.appliedIndex = 20;
}

Deno.test("routing: with notices a client can use the cluster after the replacement of every node that it was given", async () => {
  const cluster = new FakeCluster(6);
  cluster.members = cluster.members.slice(0, 3);
  await using client = await cluster.connect([1, 2, 3]);
  replaceAll(cluster);
  cluster.node(1).notifyMembers();
  await cluster.pass(0);
  for (const id of [1, 2, 3]) cluster.node(id).kill();
  await cluster.finish(client.put("k", "v"));
  assertEquals(cluster.nodes.filter(({ requests }) => requests.length > 0).map(({ id }) => id), [4]);
  assertEquals((await cluster.finish(client.cluster.members())).map(({ id }) => id), [4, 5, 6]);
});

Deno.test("routing: without notices a client learns of new members in its next handshake", async () => {
  const cluster = new FakeCluster(6);
  cluster.members = cluster.members.slice(0, 3);
  await using client = await cluster.connect([1, 2, 3]);
  replaceAll(cluster);
  for (const id of [1, 2]) cluster.node(id).kill();
  await cluster.finish(client.put("k", "v"));
  cluster.node(3).kill();
  await cluster.finish(client.put("k", "w"));
  assertEquals([cluster.node(3), cluster.node(4)].map(kinds), [["write"], ["write"]]);
});

Deno.test("routing: after all connections are lost the next call connects again", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).kill();
  await cluster.pass(0);
  assertEquals(client.connectionState().kind, "reconnecting");
  assertEquals(cluster.clock.timerCount, 0);
  const put = client.put("k", "v");
  await cluster.pass(500);
  cluster.node(1).start();
  await cluster.finish(put);
});

Deno.test("routing: with a listener a lost cluster is connected again without a call", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const states: ConnectionState["kind"][] = [];
  const stop = client.onStateChange(({ kind }) => {
    states.push(kind);
    throw new Error("a listener's mistake");
  });
  cluster.node(1).kill();
  await cluster.pass(1_000);
  cluster.node(1).start();
  await cluster.pass(1_000);
  assertEquals([...new Set(states)], ["reconnecting", "connected"]);
  stop();
});

Deno.test("connect: invalid addresses are refused before anything is dialled", async () => {
  await assertRejects(() => KvClient.connect({ cluster: [] }), Error, "empty");
  await assertRejects(() => KvClient.connect({ cluster: ["127.0.0.1"] }), Error, "127.0.0.1");
});
