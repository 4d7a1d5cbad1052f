/** Servers with a peer secret: founding, joining, introducing the secret, and replacing it while they serve. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { KvClient } from "../../../../lib/mod.ts";
import type { ServerConfig } from "../../../../lib/server/config/config.ts";
import { ConfigError } from "../../../../lib/server/config/config_file.ts";
import { JoinError } from "../../../../lib/server/startup/identity.ts";
import {
  PEER_SECRET_CHECK_MS,
  PEER_SECRET_SETTLE_MS,
} from "../../../../lib/server/startup/peer_secret_file.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";

const OLD = "the-old-secret-of-the-cluster-0123456789";
const NEW = "the-new-secret-of-the-cluster-0123456789";
const IDS = [1, 2, 3];

function secretOf(id: number, peerAuth: ServerConfig["peerAuth"] = "require"): Partial<ServerConfig> {
  return { peerSecretFile: `secret-${id}`, peerAuth };
}

/** How each node says that its connections to the others are authenticated. */
async function linksOf(cluster: MemoryCluster, client: KvClient): Promise<readonly string[]> {
  const { nodes } = await cluster.run(client.cluster.status());
  return nodes.map((node) => node.reachable ? node.links.map((link) => link.authenticatedBy).join(" ") : "?");
}

/** Waits until every node says so of both others. */
async function untilLinks(cluster: MemoryCluster, client: KvClient, expected: string): Promise<void> {
  const deadline = cluster.clock.now() + 20_000;
  while ((await linksOf(cluster, client)).some((links) => links !== expected)) {
    assert(cluster.clock.now() < deadline, `the links stay ${await linksOf(cluster, client)}`);
    await cluster.pass(100);
  }
}

async function write(cluster: MemoryCluster, client: KvClient, value: string): Promise<void> {
  await cluster.run(client.put("key", value));
  assertEquals(new TextDecoder().decode((await cluster.run(client.get("key")))?.value), value);
}

Deno.test("peer secret: nodes with one secret form a cluster, and a node with another one has no part in it", async () => {
  await using cluster = new MemoryCluster();
  for (const id of IDS) cluster.secretFiles.set(`secret-${id}`, id === 3 ? NEW : OLD);
  for (const id of IDS) await cluster.start(id, { founders: IDS, changes: secretOf(id) });
  const client = await cluster.client(1, 2);
  await write(cluster, client, "value");
  await cluster.pass(2_000);
  const { nodes } = await cluster.run(client.cluster.status());
  assertEquals(
    nodes.map((node) => node.reachable ? [node.id, node.links, node.commitIndex > 0] : null),
    [
      [1, [{ id: 2, authenticatedBy: "secret" }], true],
      [2, [{ id: 1, authenticatedBy: "secret" }], true],
      [3, [], false],
    ],
  );
  const reasons = cluster.logger.lines.map(({ fields }) => String(fields["reason"]));
  assert(reasons.includes("it has another peer secret"));
  assert(
    reasons.some((reason) => reason.includes("did not prove that it knows the peer secret of this cluster")),
  );
});

Deno.test("peer secret: a server without its file does not start, and makes no data directory", async () => {
  await using cluster = new MemoryCluster();
  const error = await assertRejects(
    () => cluster.start(1, { founders: [1], changes: secretOf(1) }),
    ConfigError,
  );
  assertStringIncludes(error.message, "--peer-secret-file: cannot use secret-1: there is no such file.");
  assertEquals(cluster.disk(1).stat("/data"), null);
});

Deno.test("peer secret: it is introduced node by node while the cluster serves, first accepted and then required", async () => {
  await using cluster = new MemoryCluster();
  for (const id of IDS) await cluster.start(id, { founders: IDS });
  const client = await cluster.client(...IDS);
  await write(cluster, client, "without");
  await untilLinks(cluster, client, "none none");
  for (const id of IDS) cluster.secretFiles.set(`secret-${id}`, OLD);
  for (const peerAuth of ["accept", "require"] as const) {
    for (const id of IDS) {
      await cluster.stop(id);
      await cluster.start(id, { changes: secretOf(id, peerAuth) });
      await write(cluster, client, `${peerAuth} ${id}`);
      const isLast = id === 3;
      if (isLast || peerAuth === "require") await untilLinks(cluster, client, "secret secret");
    }
  }
  // Nothing is left that a node without the secret could use.
  await cluster.stop(3);
  await cluster.start(3);
  await cluster.pass(5_000);
  assertEquals((await linksOf(cluster, client))[0], "secret");
  assertEquals((await linksOf(cluster, client))[2], "");
});

Deno.test("peer secret: it is replaced while the nodes run, and connections of the old one end with it", async () => {
  await using cluster = new MemoryCluster();
  for (const id of IDS) {
    cluster.secretFiles.set(`secret-${id}`, OLD);
    await cluster.start(id, { founders: IDS, changes: secretOf(id) });
  }
  const client = await cluster.client(...IDS);
  await write(cluster, client, "old");
  await untilLinks(cluster, client, "secret secret");
  const { term } = await cluster.run(client.cluster.status());
  for (const content of [`${NEW}\n${OLD}`, NEW]) {
    for (const id of IDS) {
      cluster.secretFiles.set(`secret-${id}`, content);
      await cluster.pass(PEER_SECRET_CHECK_MS + PEER_SECRET_SETTLE_MS + 200);
      await write(cluster, client, `${content.length} ${id}`);
    }
  }
  await untilLinks(cluster, client, "secret secret");
  // A connection is back before an election timeout has passed, so that no leader is replaced.
  assertEquals((await cluster.run(client.cluster.status())).term, term);
  const lost = cluster.logger.lines.filter(({ fields }) =>
    String(fields["reason"]).includes("the peer secret that was proved on it was replaced")
  );
  assert(lost.length > 0);
  // A node that has only the old one is not taken back.
  await cluster.stop(3);
  cluster.secretFiles.set("secret-3", OLD);
  await cluster.start(3, { changes: secretOf(3) });
  await cluster.pass(2_000);
  assertEquals((await linksOf(cluster, client))[2], "");
});

Deno.test("peer secret: a node joins a cluster that has proved the secret, and no other", async () => {
  await using cluster = new MemoryCluster();
  for (const id of [1, 2, 3, 4]) cluster.secretFiles.set(`secret-${id}`, OLD);
  await cluster.start(1, { founders: [1], changes: secretOf(1) });
  const client = await cluster.client(1);
  await write(cluster, client, "value");
  await cluster.start(2, { join: [1], changes: secretOf(2) });
  await cluster.run(
    client.cluster.changeMembership({ kind: "add", id: 2, address: "n2:7001", learner: false }),
  );
  await cluster.until(async () => (await linksOf(cluster, client)).every((links) => links === "secret"));

  // A node with another secret can neither join nor be added.
  cluster.secretFiles.set("secret-3", NEW);
  const refused = await assertRejects(() => cluster.start(3, { join: [1], changes: secretOf(3) }), JoinError);
  assertStringIncludes(refused.message, "did not prove that it knows the peer secret of this cluster");
  await cluster.start(3, { join: [1], changes: secretOf(3, "accept") });
  const add = client.cluster.changeMembership({ kind: "add", id: 3, address: "n3:7001", learner: false });
  await assertRejects(() => cluster.run(add), Error, "it did not prove that it knows the peer secret");

  // A cluster without the secret is none that a node with it joins.
  await cluster.stop(3);
  await cluster.start(5, { founders: [5] });
  const other = await assertRejects(() => cluster.start(4, { join: [5], changes: secretOf(4) }), JoinError);
  assertStringIncludes(other.message, "it did not prove that it knows the peer secret");
});
