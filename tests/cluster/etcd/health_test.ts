/** gRPC's health service of a real node: `Watch` sends the present state, and then the loss and the return of the majority. */
import { assertEquals } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";

const METHOD = "grpc.health.v1.Health/Watch";
const [SERVING, NOT_SERVING, SERVICE_UNKNOWN] = [1, 2, 3];

Deno.test("health: Watch sends each change, and keeps the stream of an unknown service open", async () => {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  const leader = await cluster.waitForLeader();
  const node = cluster.ids.find((id) => id !== leader) ?? leader;
  await using client = await GrpcTestClient.connect(served.address(node));
  const next = async (stream: number): Promise<unknown> => {
    const message = await client.next(stream);
    return "status" in message ? message["status"] : message;
  };
  const unknown = await client.open(METHOD);
  await client.send(unknown, { service: "another" });
  assertEquals(await next(unknown), SERVICE_UNKNOWN);
  const watch = await client.open(METHOD);
  await client.send(watch, { service: "" });
  assertEquals(await next(watch), SERVING);
  const others = cluster.ids.filter((id) => id !== node);
  for (const id of others) await cluster.kill(id);
  assertEquals(await next(watch), NOT_SERVING);
  await cluster.startNodes(others);
  assertEquals(await next(watch), SERVING);
});
