/** Gateways for kvraft's own clients, before servers in memory: exactly once, the clients' directory, shared connections. */
import { assert, assertEquals } from "@std/assert";
import { MAX_WATCHES } from "../../../lib/client/core.ts";
import { CLIENTS_A_LANE } from "../../../lib/gateway/upstreams.ts";
import type { Command } from "../../../lib/kv/mod.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { prefixKeys } from "../../support/frames/watch_client.ts";
import { putOf, type UserClient } from "../../support/frames/user_client.ts";
import { GATEWAY_PORT, Scene } from "./scene.ts";

/** Events of 90 kB: more than may wait for one connection. */
const EVENTS = 800;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("gateway: a write that is repeated through another gateway and at a node is applied once", async () => {
  await using scene = await Scene.start(1, 2, 3);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  await scene.gateway("g2", 2);
  const client = await scene.client("g1");
  await cluster.run(client.put("first", "1"));
  const command: Command = {
    kind: "transaction",
    session: { sessionId: 77, sequence: 1, acknowledgedBelow: 1, openedAt: 1 },
    checks: [],
    mutations: [{ kind: "put", key: bytes("once"), value: bytes("1") }],
  };
  const answers: unknown[] = [];
  for (
    const [host, port] of [["g1", GATEWAY_PORT], ["g2", GATEWAY_PORT], ["n3", 7001], [
      "g1",
      GATEWAY_PORT,
    ]] as const
  ) {
    using raw = await scene.user(host, port);
    answers.push(await cluster.run(raw.write(command)));
  }
  const [first, ...others] = answers;
  assertEquals(others, [first, first, first]);
  assertEquals((await cluster.run(client.get("once")))?.version, 1);
});

Deno.test("gateway: its clients dial no node, see the real ones, and go on with another gateway", async () => {
  await using scene = await Scene.start(1, 2, 3);
  const { cluster } = scene;
  const one = await scene.gateway("g1", 1, 2, 3);
  const client = await scene.client("g1", "g2");
  await cluster.run(client.put("a", "1"));
  const { leader, nodes } = await cluster.run(client.cluster.status());
  assert(leader !== null && leader <= 3);
  assertEquals(nodes.map(({ reachable, id, address }) => ({ reachable, id, address })), [
    { reachable: true, id: 1, address: "n1:7001" },
    { reachable: true, id: 2, address: "n2:7001" },
    { reachable: true, id: 3, address: "n3:7001" },
  ]);
  assertEquals((await cluster.run(client.get("a", { consistency: "stale" })))?.version, 1);
  const taken = await cluster.run(client.cluster.takeSnapshot());
  assertEquals(taken.nodeId, leader);
  await cluster.stop(leader);
  await cluster.run(client.put("a", "2"));
  const after = await cluster.run(client.cluster.status());
  assertEquals(after.nodes.filter(({ reachable }) => !reachable).map(({ id }) => id), [leader]);
  await scene.gateway("g2", ...[1, 2, 3].filter((id) => id !== leader));
  await cluster.run(one.close());
  await cluster.run(client.put("a", "3"));
  assertEquals((await cluster.run(client.get("a")))?.version, 3);
});

Deno.test("gateway: hundreds of clients share a few connections to the nodes", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  const first = await scene.client("g1");
  await cluster.run(first.put("first", "1"));
  const before = cluster.network.connections.length;
  const count = CLIENTS_A_LANE + 10;
  const clients: UserClient[] = [];
  for (let n = 0; n < count; n++) clients.push(await scene.user("g1"));
  const results = await cluster.run(Promise.all(clients.map((client, n) => client.put(`k${n}`))));
  assertEquals(new Set(results), new Set(["applied"]));
  const made = cluster.network.connections.length - before - count;
  assertEquals(made, 1, "one more lane with one connection");
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("gateway: clients that come at once are spread over as many lanes as they need", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  const before = cluster.network.connections.length;
  const clients: UserClient[] = [];
  for (let n = 0; n <= CLIENTS_A_LANE; n++) clients.push(await scene.user("g1"));
  await cluster.run(Promise.all(clients.map((client, n) => client.put(`k${n}`))));
  const made = cluster.network.connections.length - before - clients.length;
  assertEquals(made, 2, "a lane for all but one of the clients, and one for the last");
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("gateway: watches that wait for one new lane get further lanes, and none is refused", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  await cluster.untilHistory(await scene.client("g1"));
  const watchers = await Promise.all(["g1", "g1", "g1"].map((host) => scene.watcher(host)));
  const watches = watchers.flatMap((watcher) =>
    Array.from({ length: MAX_WATCHES }, () => watcher.start({ keys: prefixKeys("w/") }))
  );
  const started = await cluster.run(Promise.all(watches));
  assertEquals(started.length, 3 * MAX_WATCHES);
  for (const watcher of watchers) watcher.close();
});

Deno.test("gateway: a client that does not read its events delays no other, and gets all of them in the end", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  const client = await scene.client("g1");
  await cluster.untilHistory(client);
  const slow = await scene.watcher("g1");
  const stalled = cluster.network.connections.at(-1);
  assert(stalled !== undefined);
  const quick = await scene.watcher("g1");
  const slowly = await cluster.run(slow.start({ keys: prefixKeys("w/") }));
  const quickly = await cluster.run(quick.start({ keys: prefixKeys("w/") }));
  stalled.stall();
  const value = "x".repeat(90_000);
  const revisions: number[] = [];
  for (let n = 0; n < EVENTS; n++) {
    revisions.push((await cluster.run(client.put(`w/${n}`, value))).revision);
  }
  await cluster.until(() => quickly.revisions.length === EVENTS);
  assert(slowly.revisions.length < EVENTS);
  const { behind } = await cluster.run(quick.progressAtOnce());
  assertEquals(behind, []);
  stalled.stall(false);
  await cluster.until(() => slowly.revisions.length === EVENTS);
  assertEquals(slowly.revisions.map(({ revision }) => revision), revisions);
  assertEquals([slowly.ended, quickly.ended], [null, null]);
  const revision = await cluster.run(slow.progress());
  assertEquals(revision, revisions.at(-1));
  slow.close();
  quick.close();
});

Deno.test("gateway: a watch ends with its node, and its client begins it again without a gap", async () => {
  await using scene = await Scene.start(1, 2, 3);
  const { cluster } = scene;
  await scene.gateway("g1", 1, 2, 3);
  const client = await scene.client("g1");
  await cluster.untilHistory(client);
  const seen: number[] = [];
  const reading = (async (): Promise<void> => {
    for await (const batch of client.watch({ prefix: "w/" })) {
      if (batch.kind === "events") seen.push(batch.revision);
    }
  })().catch(() => {});
  const raw = await scene.watcher("g1");
  const watch = await cluster.run(raw.start({ keys: prefixKeys("w/") }));
  const { leader } = await cluster.run(client.cluster.status());
  const revisions = [(await cluster.run(client.put("w/1", "1"))).revision];
  await cluster.until(() => seen.length === 1);
  await cluster.stop(leader ?? 0);
  revisions.push((await cluster.run(client.put("w/2", "2"))).revision);
  await cluster.until(() => seen.length === 2);
  assertEquals(seen, revisions);
  assertEquals((await cluster.run(watch.whenEnded)).code, "stopping");
  const cancelled = await cluster.run(raw.request({ kind: "cancelWatch", watchId: watch.watchId }));
  assertEquals(cancelled?.kind, "watchCancelled");
  raw.close();
  await cluster.run(client.close());
  await reading;
});

Deno.test("gateway: nodes that fall silent are found, requests go to another one, and a write is applied once", async () => {
  await using scene = await Scene.start(1, 2, 3);
  const { cluster } = scene;
  const { connections } = cluster.network;
  const before = connections.length;
  await scene.gateway("g1", 1, 2, 3);
  const own = connections.length;
  const client = await scene.client("g1");
  await cluster.run(client.put("a", "1"));
  const upstream = connections.slice(before).filter((connection) => connection !== connections[own]);
  assert(upstream.length > 0);
  for (const connection of upstream) connection.stall();
  await cluster.run(client.put("a", "2"));
  assertEquals((await cluster.run(client.get("a")))?.version, 2);
});

Deno.test("gateway: the outcome of a write is unknown where its node is lost before the answer", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  const client = await scene.client("g1");
  const { connections } = cluster.network;
  const own = connections.length;
  await cluster.run(client.put("first", "1"));
  const raw = await scene.watcher("g1");
  const lane = connections.slice(own, -1);
  assert(lane.length > 0);
  for (const connection of lane) connection.stall();
  const command = encodeCommand(putOf("a"));
  const answer = raw.request({ kind: "write", command });
  await cluster.pass(100);
  for (const connection of lane) connection.reset();
  const refused = await cluster.run(answer);
  assert(refused?.kind === "error");
  assertEquals([refused.code, refused.outcome], ["leadershipLost", "unknown"]);
  raw.close();
});

Deno.test("gateway: a watch and a snapshot that the client does not have, and a node's hello, are refused", async () => {
  await using scene = await Scene.start(1);
  const { cluster } = scene;
  await scene.gateway("g1", 1);
  const client = await scene.client("g1");
  await cluster.run(client.put("first", "1"));
  const raw = await scene.watcher("g1");
  const ask = async (request: Parameters<typeof raw.request>[0]): Promise<string> => {
    const answer = await cluster.run(raw.request(request));
    return answer?.kind === "error" ? `${answer.code}: ${answer.message}` : answer?.kind ?? "closed";
  };
  assertEquals(
    await ask({ kind: "readSnapshot", snapshotId: 1, offset: 0 }),
    "invalidRequest: Cannot read snapshot 1: it is not open on this connection.",
  );
  assertEquals(await ask({ kind: "closeSnapshot", snapshotId: 1 }), "snapshotClosed");
  assertEquals(await ask({ kind: "cancelWatch", watchId: 9 }), "watchCancelled");
  assertEquals(await ask({ kind: "watchProgress", atOnce: true }), "watchProgressResult");
  assertEquals(
    await ask({ kind: "memberStatus", node: 9 }),
    "noLeader: Cannot ask node 9 for its status: node 9 is no member",
  );
  raw.close();
});
