/** The front end for etcd's clients of real nodes: what it answers over gRPC and over plain HTTP. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { startKvraft } from "../../support/processes/process.ts";
import { parseMetrics, sumOf } from "../../support/prometheus.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

/** Returns the status and the text of a page. */
async function page(port: number, path: string, method = "GET"): Promise<readonly [number, string]> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  return [answer.status, await answer.text()];
}

Deno.test("etcd: a node with --etcd answers gRPC and HTTP on one port", async (t) => {
  const port = freePorts(3);
  const flags = ["--etcd", `127.0.0.1:${port}`, "--http", `127.0.0.1:${port + 1}`];
  await using cluster = await TestCluster.start({ nodes: 1, flags });
  await cluster.waitForLeader();

  await step(t, "a method that there is not has status 12, and its name", async () => {
    await using client = await GrpcTestClient.connect(`127.0.0.1:${port}`);
    const { code, message } = await client.call("etcdserverpb.Nothing/Put", {});
    assertEquals([code, message], [12, "unknown service etcdserverpb.Nothing"]);
  });

  await step(t, "the pages are those of etcd", async () => {
    assertEquals(
      await page(port, "/version"),
      [200, '{"etcdserver":"3.7.0","etcdcluster":"3.7.0","storage":"3.7.0"}'],
    );
    const healthy = [200, '{"health":"true","reason":""}'] as const;
    assertEquals(await page(port, "/health"), healthy);
    assertEquals(await page(port, "/health?serializable=true"), healthy);
    assertEquals(await page(port, "/livez?verbose"), [200, "[+]serializable_read ok\nok\n"]);
    assertEquals(await page(port, "/readyz"), [200, "ok\n"]);
    assertEquals(await page(port, "/readyz/linearizable_read"), [200, "ok\n"]);
    const lines = "[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
    assertEquals(await page(port, "/readyz?verbose&exclude=data_corruption"), [200, lines]);
    assertEquals(await page(port, "/health", "POST"), [405, "Method Not Allowed\n"]);
    for (const path of ["/nothing", "/readyz/nothing", "/livez/linearizable_read", "/"]) {
      assertEquals(await page(port, path), [404, "404 page not found\n"]);
    }
    const [status, metrics] = await page(port, "/metrics");
    assertEquals(status, 200);
    assertStringIncludes(metrics, "\netcd_server_is_leader 1\n");
  });

  await step(t, "metrics and status count requests by method", async () => {
    await using client = await GrpcTestClient.connect(`127.0.0.1:${port}`);
    assertEquals((await client.call("etcdserverpb.Maintenance/Status", {})).code, 0);
    assertEquals((await client.call("etcdserverpb.Cluster/MemberRemove", { ID: 9 })).code, 5);
    const metrics = parseMetrics((await page(port + 1, "/metrics"))[1]);
    const labels = { service: "etcdserverpb.Cluster", method: "MemberRemove", status: "5" };
    assertEquals(sumOf(metrics, "kvraft_etcd_requests_total", { labels }), 1);
    const { etcd } = JSON.parse((await page(port + 1, "/status"))[1]);
    assertEquals(etcd, { connections: 2, streams: 0, requests: 2, failed: 1 });
  });

  await step(t, "a gateway serves the same, by the state of its node", async () => {
    const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
    const args = ["gateway", "--cluster", nodes, "--etcd", `127.0.0.1:${port + 2}`];
    await using gateway = startKvraft(args, { cwd: cluster.folder.path, name: "the gateway" });
    await gateway.waitForOutput(/serves etcd v3 on/);
    await using client = await GrpcTestClient.connect(`127.0.0.1:${port + 2}`);
    const { code, messages: [list] } = await client.call("etcdserverpb.Cluster/MemberList", {});
    const [member] = Array.isArray(list?.["members"]) ? list["members"] : [];
    assertEquals([code, member?.clientURLs], [0, [`http://127.0.0.1:${port}`]]);
    const put = await client.call("etcdserverpb.KV/Put", { key: "k", value: "v" });
    assertEquals([put.code, Object(put.messages[0]?.["header"]).member_id], [0, 1]);
    assertEquals(await page(port + 2, "/health"), [200, '{"health":"true","reason":""}']);
    assertEquals((await gateway.stop()).code, 0, gateway.printed);
  });
});
