/** Monitor: the HTTP pages of a server, from before it serves until it has stopped. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { NodeConnection } from "../../../../lib/client/connection.ts";
import { parseAddress } from "../../../../lib/platform/address.ts";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { NetworkError } from "../../../../lib/platform/errors.ts";
import type { HttpResponse } from "../../../../lib/platform/network.ts";
import { sha256Of } from "../../../../lib/platform/secrets.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { AuthCluster } from "../../../support/fakes/auth_cluster.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { parseMetrics, sumOf } from "../../../support/prometheus.ts";

const HTTP = { changes: { http: { host: "n1", port: 9101 } } };
const ADDRESS = "n1:9101";

function ask(cluster: MemoryCluster, path: string, method = "GET"): Promise<HttpResponse> {
  return cluster.run(cluster.http.ask(ADDRESS, path, { method }));
}

Deno.test("Monitor: a server without --http serves no HTTP", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  assertEquals(cluster.http.addresses, []);
});

Deno.test("Monitor: a node that leads is ready, and its pages have its id and role", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1], ...HTTP });
  await cluster.until(async () => (await cluster.http.ask(ADDRESS, "/ready")).status === 200);
  assertEquals(await ask(cluster, "/live"), {
    status: 200,
    contentType: "text/plain; charset=utf-8",
    body: "live\n",
  });
  const status: unknown = JSON.parse((await ask(cluster, "/status")).body);
  assert(typeof status === "object" && status !== null && "role" in status && "members" in status);
  assertEquals([status.role, status.members], ["leader", [{
    id: 1,
    address: "n1:7001",
    role: "voter",
    connected: true,
    roundTripMs: null,
    authenticatedBy: null,
    matchIndex: null,
    lag: null,
    lastContactMs: null,
  }]]);
  assert("historyBytes" in status && "compactedRevision" in status && "featureLevel" in status);
  assertEquals([status.historyBytes, status.compactedRevision, status.featureLevel], [0, 0, 1]);
  const page = await ask(cluster, "/");
  for (const path of ["/metrics", "/status", "/ready", "/live"]) {
    assertStringIncludes(page.body, `href="${path}"`);
  }
  assertEquals((await ask(cluster, "/keys")).status, 404);
});

Deno.test("Monitor: other methods than GET and HEAD are refused", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1], ...HTTP });
  const { status, headers } = await ask(cluster, "/live", "POST");
  assertEquals([status, headers], [405, { allow: "GET, HEAD" }]);
  assertEquals((await ask(cluster, "/live", "HEAD")).status, 200);
});

Deno.test("Monitor: metrics count connections by what names their user, until they end or the user does", async () => {
  await using auth = await AuthCluster.enabled(1, HTTP.changes);
  const counted = async (): Promise<readonly number[]> => {
    const metrics = parseMetrics((await ask(auth.cluster, "/metrics")).body);
    return ["password", "token", "none"].map((via) => sumOf(metrics, "kvraft_clients", { labels: { via } }));
  };
  await auth.addUser("ada");
  const hash = sha256Of("token of ada");
  await auth.run(
    auth.root.change({ kind: "addToken", user: "ada", token: "ci", hash, expiresAtMs: null }),
  );
  assertEquals(await counted(), [1, 0, 1], "root, and the client that the cluster was started with");
  const client = await auth.signedIn("ada", 1);
  const other = await auth.connect(1);
  assertEquals(await counted(), [2, 0, 2]);
  assertEquals(await auth.run(other.signInByToken("token of ada")), "signedIn");
  assertEquals(await counted(), [2, 1, 1]);
  client[Symbol.dispose]();
  await auth.cluster.pass(0);
  assertEquals(await counted(), [1, 1, 1]);
  await auth.run(auth.root.change({ kind: "revokeToken", user: "ada", token: "ci" }));
  assertEquals(await counted(), [1, 0, 2]);
});

Deno.test("Monitor: metrics count the requests of clients, and no page has a key or value", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1], ...HTTP });
  const client = await cluster.client(1);
  for (let number = 1; number <= 20; number++) await cluster.run(client.put(`covert-${number}`, "concealed"));
  await cluster.run(client.get("covert-1"));
  const pages = await Promise.all(
    ["/metrics", "/status", "/status/cluster.json", "/ready", "/"].map((path) => ask(cluster, path)),
  );
  for (const { body } of pages) assert(!/covert-|concealed/.test(body));
  const metrics = parseMetrics(pages[0]?.body ?? "");
  const of = (name: string, labels: Record<string, string> = {}, suffix = ""): number =>
    sumOf(metrics, name, { labels, suffix });
  assertEquals(of("kvraft_keys"), 20);
  assertEquals(of("kvraft_revision"), 20);
  assertEquals(of("kvraft_requests_total", { kind: "write", outcome: "ok" }), 20);
  assertEquals(of("kvraft_proposals_total", { outcome: "accepted" }), 20);
  assertEquals(of("kvraft_requests_total", { kind: "get", outcome: "ok" }), 1);
  assertEquals(of("kvraft_request_seconds", { kind: "get" }, "_count"), 1);
  assertEquals(of("kvraft_requests_in_flight"), 0);
  assertEquals(of("kvraft_connections", { role: "client" }), 1);
  assertEquals(of("kvraft_leader_changes_total"), 1);
  assert(of("kvraft_batch_entries", {}, "_sum") >= 20);
  assert(
    of("kvraft_network_bytes_total", { role: "client", direction: "in" }) > 20 * "covert-1hidden".length,
  );
});

Deno.test("Monitor: a leader reports its lease, and none after a transfer of leadership", async () => {
  await using cluster = new MemoryCluster();
  const leaseOf = async (): Promise<number> =>
    sumOf(parseMetrics((await ask(cluster, "/metrics")).body), "kvraft_lease");
  const changes = { ...HTTP.changes, readMode: "lease" } as const;
  await cluster.start(1, { founders: [1, 2], changes });
  await cluster.start(2, { founders: [1, 2], changes: { readMode: "lease" } });
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("key", "value"));
  if ((await cluster.run(client.cluster.status())).leader !== 1) {
    await cluster.run(client.cluster.transferLeadership(1));
  }
  await cluster.until(async () => await leaseOf() === 1);
  await cluster.run(client.cluster.transferLeadership(2));
  assertEquals(await leaseOf(), 0);
});

Deno.test("Monitor: a leader reports its followers, and a follower that lost it is not ready", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1, 2, 3], ...HTTP });
  for (const id of [2, 3]) await cluster.start(id, { founders: [1, 2, 3] });
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  await cluster.run(client.cluster.transferLeadership(1));
  await cluster.pass(5_000);
  const metrics = parseMetrics((await ask(cluster, "/metrics")).body);
  assertEquals(sumOf(metrics, "kvraft_peer_connected"), 2);
  assertEquals(sumOf(metrics, "kvraft_peer_state", { labels: { state: "replicate" } }), 2);
  assertEquals(metrics.get("kvraft_peer_round_trip_seconds")?.samples.length, 2);
  assertEquals((await ask(cluster, "/ready")).body, "ready\n");
  await cluster.stop(2);
  await cluster.stop(3);
  await cluster.pass(5_000);
  const { status, body } = await ask(cluster, "/ready");
  assertEquals([status, body], [503, "noLeader: This node knows of no leader.\n"]);
});

Deno.test("Monitor: a forwarded write counts as forwarded at the leader, and as a client's at the node that received it", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1, 2, 3], ...HTTP });
  await cluster.start(2, { founders: [1, 2, 3], changes: { http: { host: "n2", port: 9101 } } });
  await cluster.start(3, { founders: [1, 2, 3] });
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.cluster.transferLeadership(1));
  await cluster.pass(1_000);
  // Not through the client library, which would send it to the leader.
  const { network, clock } = cluster;
  const { signal } = new AbortController();
  const address = parseAddress("n2:7001");
  const connection = await cluster.run(
    NodeConnection.open({ network, clock, address, clusterId: null, signal }),
  );
  const serving = connection.serve(() => {});
  const key = new TextEncoder().encode("key");
  const put = { kind: "put", key, value: key } as const;
  const command = encodeCommand({ kind: "transaction", session: null, checks: [], mutations: [put] });
  const request = { kind: "write", command } as const;
  const end = await cluster.run(connection.request(request, { timeoutMs: 5_000, signal: null }));
  assertEquals(end.kind, "answered");
  const countAt = async (node: number, kind: string): Promise<number> => {
    const { body } = await cluster.run(cluster.http.ask(`n${node}:9101`, "/metrics"));
    return sumOf(parseMetrics(body), "kvraft_requests_total", { labels: { kind, outcome: "ok" } });
  };
  assertEquals([await countAt(1, "forward"), await countAt(1, "write")], [1, 0]);
  assertEquals([await countAt(2, "forward"), await countAt(2, "write")], [0, 1]);
  connection.close("the test is done");
  await serving;
});

Deno.test("Monitor: a joining node is live and not ready, with the reason", async () => {
  await using cluster = new MemoryCluster();
  const stop = new AbortController();
  const starting = cluster.begin(1, { join: [2], signal: stop.signal, ...HTTP });
  await settle();
  assertEquals((await cluster.http.ask(ADDRESS, "/live")).status, 200);
  for (const path of ["/ready", "/status", "/metrics"]) {
    const { status, body } = await cluster.http.ask(ADDRESS, path);
    assertEquals([status, body], [503, "joining: This node asks the cluster for its members.\n"]);
  }
  stop.abort();
  assertEquals(await starting.catch((error: unknown) => error), stop.signal.reason);
  assertEquals([cluster.http.addresses, cluster.clock.timerCount, cluster.disk(1).openFiles], [[], 0, 0]);
});

Deno.test("Monitor: a node that is no member yet is not ready", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(2, 3);
  await cluster.start(1, { join: [2], ...HTTP });
  await cluster.pass(2_000);
  const { status, body } = await ask(cluster, "/ready");
  assertEquals(status, 503);
  assertStringIncludes(body, "joining: This node is no member yet.");
});

Deno.test("Monitor: a stopping node reports that until its end, and leaves no listener", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1, 2], ...HTTP });
  await cluster.start(2, { founders: [1, 2] });
  const client = await cluster.client(1);
  await cluster.run(client.put("key", "value"));
  await cluster.run(client.close());
  await cluster.stop(2);
  const stopping = cluster.stop(1);
  await settle();
  assertEquals((await cluster.http.ask(ADDRESS, "/ready")).body, "stopping: This node is stopping.\n");
  await stopping;
  assertEquals([cluster.http.addresses, cluster.clock.timerCount], [[], 0]);
});

Deno.test("Monitor: a port in use ends the start, and no file stays open", async () => {
  await using cluster = new MemoryCluster();
  await cluster.start(1, { founders: [1], ...HTTP });
  await assertRejects(() => cluster.start(2, { founders: [2], ...HTTP }), NetworkError, ADDRESS);
  assertEquals(cluster.disk(2).openFiles, 0);
});
