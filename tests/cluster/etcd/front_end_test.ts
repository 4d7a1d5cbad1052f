/** The front end for etcd's clients of real nodes: what it answers over gRPC and over plain HTTP. */
import { assertEquals } from "@std/assert";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

Deno.test("etcd: a node with --etcd answers gRPC and HTTP on one port", async (t) => {
  const port = freePorts(1);
  await using cluster = await TestCluster.start({ nodes: 1, flags: ["--etcd", `127.0.0.1:${port}`] });
  await cluster.waitForLeader();

  await step(t, "a method that there is not has status 12, and its name", async () => {
    await using client = await GrpcTestClient.connect(`127.0.0.1:${port}`);
    const { code, message } = await client.call("etcdserverpb.Nothing/Put", {});
    assertEquals([code, message], [12, "unknown service etcdserverpb.Nothing"]);
  });

  await step(t, "a path that there is not is not found", async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/nothing`);
    assertEquals([answer.status, await answer.text()], [404, "404 page not found\n"]);
  });
});
