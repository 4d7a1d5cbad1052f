/** The links of a node while members are added, removed and moved, and links to callers that are no members. */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assert, assertEquals } from "@std/assert";
import { parseMembers } from "../../../lib/protocol/node_list.ts";
import { INTRODUCED_IDLE_MS, MAX_INTRODUCED_PEERS } from "../../../lib/protocol/limits.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { NetNode, until } from "../../support/fakes/accepting_node.ts";
import { LinkScene } from "./link_scene.ts";

const heartbeatTo = (to: number): PeerMessage => (
  { kind: "heartbeat", from: 2, to, term: 7, leaderCommit: 0, round: 1 }
);

/** Node 3 as a listener at its usual address. */
function third(scene: LinkScene): NetNode {
  return scene.listen(3);
}

Deno.test("Peers: a new member gets links, and the links to the others stay", async () => {
  const scene = new LinkScene();
  const nodes = [scene.listen(), third(scene)];
  await scene.connected();
  scene.links.update(parseMembers("1=n1:7001,2=n2:7002,3=n3:7003"));
  await scene.connected(3);
  assert(scene.links.send(heartbeatTo(3), 3), "the message is taken");
  await until("the message is there", () => nodes[1]?.messages.length === 1);
  assertEquals([scene.links.isConnected(1), scene.network.attempts], [true, 4]);
  await scene.close(...nodes);
});

Deno.test("Peers: the links to a removed member are closed, and this is reported", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  scene.links.update(parseMembers("2=n2:7002"));
  assertEquals(scene.changes.slice(2), [
    { id: 1, lane: "control", connected: false },
    { id: 1, lane: "bulk", connected: false },
  ]);
  assertEquals(scene.links.send(heartbeatTo(1), 1), false);
  await scene.pass(30_000);
  assertEquals([scene.changes.length, scene.network.attempts], [4, 2]);
  await scene.close(node);
});

Deno.test("Peers: a member that has moved is dialled at its new address", async () => {
  const scene = new LinkScene();
  const before = scene.listen();
  await scene.connected();
  const after = scene.listen(1, { bind: { host: "n9", port: 7009 } });
  scene.links.update(parseMembers("1=n9:7009,2=n2:7002"));
  assertEquals(scene.links.isConnected(1), false);
  await scene.connected();
  assert(scene.links.send(heartbeatTo(1), 1), "the message is taken");
  await until("the message is there", () => after.messages.length === 1);
  assertEquals(before.messages, []);
  assertEquals(scene.changes.map(({ connected }) => connected), [true, true, false, false, true, true]);
  await scene.close(before, after);
});

Deno.test("Peers: an update with the same members changes nothing", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  scene.links.update(parseMembers("1=n1:7001,2=n2:7002"));
  await settle();
  assertEquals([scene.changes.length, scene.network.attempts, node.callers.length], [2, 2, 2]);
  await scene.close(node);
});

Deno.test("Peers: a caller that is no member gets its answers, and keeps its links when it becomes one", async () => {
  const scene = new LinkScene();
  const node = third(scene);
  assertEquals(scene.links.send(heartbeatTo(3), 3), false);
  scene.links.introduce(3, "n3:7003");
  await scene.connected(3);
  scene.links.introduce(3, "n3:7003");
  scene.links.update(parseMembers("2=n2:7002,3=n3:7003"));
  assert(scene.links.send(heartbeatTo(3), 3), "the message is taken");
  await until("the message is there", () => node.messages.length === 1);
  await scene.pass(2 * INTRODUCED_IDLE_MS);
  assertEquals([scene.links.isConnected(3), scene.network.connections.length], [true, 2]);
  await scene.close(node);
});

Deno.test("Peers: a non-member is dialled at the address of its last call; a member only at that of the member list", async () => {
  const scene = new LinkScene();
  const node = third(scene);
  scene.links.introduce(3, "n9:7009");
  scene.links.introduce(1, "n9:7009");
  scene.links.introduce(2, "n9:7009");
  await settle();
  assertEquals(scene.network.attempts, 4, "two lanes to 1 at its own address, two to 3");
  scene.links.introduce(3, "n3:7003");
  await scene.connected(3);
  await scene.close(node);
});

Deno.test("Peers: a caller is forgotten after some time without messages", async () => {
  const scene = new LinkScene();
  const node = third(scene);
  scene.links.update([]);
  scene.links.introduce(3, "n3:7003");
  await scene.connected(3);
  await scene.pass(INTRODUCED_IDLE_MS - 1_000);
  assert(scene.links.send(heartbeatTo(3), 3), "it is still there");
  await scene.pass(INTRODUCED_IDLE_MS - 1_000);
  assertEquals(scene.links.isConnected(3), true);
  await scene.pass(1_000);
  assertEquals([scene.links.isConnected(3), scene.links.send(heartbeatTo(3), 3)], [false, false]);
  assertEquals(scene.changes.map(({ connected }) => connected), [true, true, false, false]);
  await scene.close(node);
});

Deno.test("Peers: a connected caller is not forgotten, even after a long time without messages", async () => {
  const scene = new LinkScene();
  const node = third(scene);
  scene.links.update([]);
  scene.calling.add(3);
  scene.links.introduce(3, "n3:7003");
  await scene.connected(3);
  await scene.pass(5 * INTRODUCED_IDLE_MS);
  assertEquals(scene.links.isConnected(3), true);
  scene.calling.delete(3);
  await scene.pass(INTRODUCED_IDLE_MS);
  assertEquals(scene.links.isConnected(3), false);
  await scene.close(node);
});

Deno.test("Peers: above the bound on callers the one that was idle the longest is forgotten", async () => {
  const scene = new LinkScene();
  scene.links.update([]);
  const node = third(scene);
  scene.links.introduce(3, "n3:7003");
  await scene.connected(3);
  for (let id = 100; id < 100 + MAX_INTRODUCED_PEERS - 1; id++) scene.links.introduce(id, `n${id}:1`);
  assert(scene.links.send(heartbeatTo(3), 3), "it is used again, and so not the oldest");
  scene.links.introduce(200, "n200:1");
  assertEquals(scene.links.isConnected(3), true);
  for (let id = 100; id < 100 + MAX_INTRODUCED_PEERS - 2; id++) scene.links.introduce(id, `n${id}:1`);
  scene.links.introduce(201, "n201:1");
  assertEquals(scene.links.isConnected(3), false);
  await scene.close(node);
});

Deno.test("a node that does not know the cluster's feature level is not used, also when the level rises later", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  scene.featureLevel = FEATURE_LEVEL;
  scene.links.dropBelowFeatureLevel();
  assertEquals(scene.links.isConnected(1), true, "the node knows it");
  scene.featureLevel = FEATURE_LEVEL + 1;
  scene.links.dropBelowFeatureLevel();
  await until("both lanes are closed", () => scene.changes.length === 4);
  await scene.pass(1_000);
  await until("both lanes are refused", () => scene.refusals.length >= 2);
  assertEquals(scene.refusals[0], {
    id: 1,
    code: "versionMismatch",
    message:
      "Cannot use the node at n1:7001: node 1 runs a version of kvraft that knows feature level 2, and the " +
      "cluster is at level 3: it would apply writes differently. Upgrade node 1.",
  });
  assertEquals(scene.links.isConnected(1), false);
  await scene.close(node);
});

Deno.test("Peers: every refusal is reported with its reason", async () => {
  const scene = new LinkScene();
  const message = "Node 2 was removed from this cluster.";
  const node = scene.listen(1, { authorizePeer: () => ({ kind: "refusal", code: "removedNode", message }) });
  await until("both lanes were refused", () => scene.refusals.length === 2);
  assertEquals(scene.refusals[0], {
    id: 1,
    code: "removedNode",
    message: `Cannot use the node at n1:7001: ${message}`,
  });
  assertEquals(scene.logger.messages, ["Cannot reach a node; trying again"]);
  await scene.pass(9_000);
  assertEquals(scene.refusals.length, 2, "only an operator can end this, so it is tried seldom");
  await scene.pass(2_000);
  assertEquals(scene.refusals.length, 4);
  await scene.close(node);
});

Deno.test("Peers: the hello of a node has its data directory's id and its address", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  const caller = {
    role: "peer",
    clusterId: "00112233aabbccdd",
    nodeId: 2,
    dataId: 102,
    address: "n2:7002",
    featureLevel: FEATURE_LEVEL,
    etcdUrl: null,
    credentials: null,
  } as const;
  assertEquals(node.callers, [{ ...caller, lane: "control" }, { ...caller, lane: "bulk" }]);
  await scene.close(node);
});

Deno.test("Peers: after close, new members and callers change nothing", async () => {
  const scene = new LinkScene();
  scene.links.introduce(3, "n3:7003");
  await scene.close();
  const { attempts } = scene.network;
  scene.links.update(parseMembers("1=n1:7001,4=n4:7004"));
  scene.links.introduce(5, "n5:7005");
  await settle();
  assertEquals([scene.network.attempts, scene.clock.timerCount], [attempts, 0]);
});
