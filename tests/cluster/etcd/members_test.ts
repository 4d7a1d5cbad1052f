/** Members, status and maintenance over etcd's API on real nodes, and what a node answers without a leader. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

/** Calls a method of one node; returns the message, or the code with the text of a failure. */
async function call(
  port: number,
  method: string,
  request: Message = {},
  metadata: Readonly<Record<string, string>> = {},
): Promise<Message> {
  await using client = await GrpcTestClient.connect(`127.0.0.1:${port}`);
  const { code, message, messages } = await client.call(method, request, metadata);
  return code === 0 ? messages[0] ?? {} : { code, message };
}

/** Returns the members that a node lists, with their URLs. */
async function membersAt(port: number): Promise<readonly Message[]> {
  const { members } = await call(port, "etcdserverpb.Cluster/MemberList", { linearizable: true });
  assert(Array.isArray(members));
  return members;
}

/** Adds a learner through a node that does not lead, and removes it again. */
async function addAndRemove(cluster: TestCluster, at: number): Promise<void> {
  const missing = await call(at, "etcdserverpb.Cluster/MemberAdd", {
    peerURLs: [`http://127.0.0.1:${freePorts(1)}`],
  });
  assertEquals(missing["code"], 9);
  assertStringIncludes(String(missing["message"]), "Start the new node first");
  assertEquals(await call(at, "etcdserverpb.Cluster/MemberAdd", { peerURLs: ["127.0.0.1:1"] }), {
    code: 3,
    message: "etcdserver: given member URLs are invalid",
  });
  const id = await cluster.join();
  const peerURLs = [`http://${cluster.memberAddress(id)}`];
  const added = await call(at, "etcdserverpb.Cluster/MemberAdd", { peerURLs, isLearner: true });
  assertEquals(Object(added["member"]), { ID: id, name: `node-${id}`, peerURLs, isLearner: true });
  assertEquals(await call(at, "etcdserverpb.Cluster/MemberAdd", { peerURLs }), {
    code: 9,
    message: "etcdserver: Peer URLs already exists",
  });
  // Refused while the leader finishes the change before.
  await eventually("the node is removed", async () => {
    const { code } = await call(at, "etcdserverpb.Cluster/MemberRemove", { ID: id });
    return code === undefined || code === 5;
  });
  assertEquals((await membersAt(at)).length, 3);
  await cluster.end(id);
  await cluster.discard(id);
}

/** Checks what a node answers whose leader is suspended, with one more. */
async function assertLeaderless(at: number): Promise<void> {
  const range = { key: "k" };
  await eventually("the node notices", async () => {
    const answer = await call(at, "etcdserverpb.KV/Range", range, { hasleader: "true" });
    return answer["code"] === 14 && answer["message"] === "etcdserver: no leader";
  });
  const health = await fetch(`http://127.0.0.1:${at}/health`);
  assertEquals([health.status, await health.text()], [
    503,
    '{"health":"false","reason":"RAFT NO LEADER"}\n',
  ]);
  const serializable = await fetch(`http://127.0.0.1:${at}/health?serializable=true`);
  assertEquals([serializable.status, await serializable.text()], [200, '{"health":"true","reason":""}']);
  const status = await call(at, "etcdserverpb.Maintenance/Status");
  assertEquals([status["leader"], status["errors"]], [undefined, ["etcdserver: no leader"]]);
}

Deno.test("etcd: members, status and maintenance, and requests without a leader", async (t) => {
  const first = freePorts(4);
  const port = (id: number): number => first + id - 1;
  const url = (id: number): string => `http://127.0.0.1:${port(id)}`;
  const flagsOf = (id: number): readonly string[] => ["--etcd", `127.0.0.1:${port(id)}`];
  await using cluster = await TestCluster.start({ flagsOf });
  const leader = await cluster.waitForLeader();
  const follower = leader % 3 + 1;

  await step(t, "every node lists all members with the URLs of their front ends", async () => {
    const expected = cluster.ids.map((id) => ({
      ID: id,
      name: `node-${id}`,
      peerURLs: [`http://${cluster.memberAddress(id)}`],
      clientURLs: [url(id)],
    }));
    for (const id of cluster.ids) {
      await eventually(`node ${id} knows all URLs`, async () => {
        const members = await membersAt(port(id));
        return JSON.stringify(members.map(({ clientURLs }) => clientURLs)) ===
          JSON.stringify(expected.map(({ clientURLs }) => clientURLs));
      });
      assertEquals((await membersAt(port(id))).map((member) => ({ ...member })), expected);
    }
  });

  await step(t, "status has what etcdctl and Kubernetes read", async () => {
    const status = await call(port(follower), "etcdserverpb.Maintenance/Status");
    const { version, storageVersion, downgradeInfo, errors } = status;
    assertEquals([version, storageVersion, downgradeInfo, errors], ["3.7.0", "3.7.0", {}, undefined]);
    assertEquals([status["leader"], Object(status["header"]).member_id], [leader, follower]);
  });

  await step(t, "hashes are equal on all nodes", async () => {
    const hashes = await Promise.all(cluster.ids.map(async (id) => {
      const { hash, hash_revision, compact_revision } = await call(
        port(id),
        "etcdserverpb.Maintenance/HashKV",
      );
      return [hash, hash_revision, compact_revision];
    }));
    assertEquals(new Set(hashes.map((hash) => JSON.stringify(hash, (_, one) => `${one}`))).size, 1);
  });

  await step(t, "leadership is moved by the leader alone, to a voter", async () => {
    const method = "etcdserverpb.Maintenance/MoveLeader";
    const unknown = { code: 9, message: "etcdserver: bad leader transferee" };
    assertEquals(await call(port(leader), method, { targetID: 99 }), unknown);
    const elsewhere = { code: 9, message: "etcdserver: not leader" };
    assertEquals(await call(port(follower), method, { targetID: follower }), elsewhere);
    const moved = await call(port(leader), method, { targetID: follower });
    assertEquals(moved["code"], undefined);
    assertEquals(await cluster.waitForLeader(), follower);
  });

  await step(t, "a follower adds and removes a node", () => addAndRemove(cluster, port(leader)));
  await step(t, "without a leader, a request with hasleader fails at once, and pages say so", async () => {
    for (const id of [leader, follower]) cluster.pause(id);
    await assertLeaderless(port(6 - leader - follower));
    for (const id of [leader, follower]) cluster.resume(id);
  });
});
