/** Locks and elections of different clients exclude each other: server-side ones, kvraft's own, and those of etcdctl. */
import { assert, assertEquals } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";
import { etcdctlVersion } from "../../support/etcd/server.ts";
import { answer, begin, call, untilCountIs } from "../../support/etcd/waiting_calls.ts";
import { Process, skip } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";

const LOCK = "v3lockpb.Lock/Lock";
const UNLOCK = "v3lockpb.Lock/Unlock";

Deno.test("etcd: server-side locks and those of kvraft's clients exclude each other", async (t) => {
  await using served = await EtcdCluster.start({ nodes: 1 });
  await using kv = await served.cluster.connect();
  await using client = await GrpcTestClient.connect(served.address(1));

  await step(t, "a client of kvraft waits for one of etcd", async () => {
    const { key } = await call(client, LOCK, { name: "a" });
    let isHeld = false;
    const waiting = kv.lock("a").then((lock) => (isHeld = true, lock));
    await untilCountIs(kv, "a/", 2);
    assertEquals(isHeld, false);
    await call(client, UNLOCK, { key });
    await (await waiting).release();
  });

  await step(t, "a client of etcd waits for one of kvraft", async () => {
    const lock = await kv.lock("a");
    const waiting = await begin(client, LOCK, { name: "a" });
    await untilCountIs(kv, "a/", 2);
    await lock.release();
    await call(client, UNLOCK, { key: (await answer(client, waiting))["key"] });
  });

  await step(t, "an election of kvraft has one leader with those of etcd", async () => {
    const leadership = await kv.elect("e", "kvraft");
    const waiting = await begin(client, "v3electionpb.Election/Campaign", { name: "e", value: "etcd" });
    await untilCountIs(kv, "e/", 2);
    const before = await call(client, "v3electionpb.Election/Leader", { name: "e" });
    assertEquals((before["kv"] as Message)["value"], "kvraft");
    await leadership.resign();
    const { leader } = await answer(client, waiting);
    for await (const observed of kv.observe("e")) {
      assertEquals(new TextDecoder().decode(observed?.value), "etcd");
      break;
    }
    await call(client, "v3electionpb.Election/Resign", { leader });
  });
});

Deno.test("etcd: server-side locks and elections and those of etcdctl exclude each other", async (t) => {
  if (etcdctlVersion() === null) return skip("etcdctl is not installed");
  await using served = await EtcdCluster.start({ nodes: 1 });
  await using kv = await served.cluster.connect();
  await using client = await GrpcTestClient.connect(served.address(1));
  const etcdctl = (...args: readonly string[]): Process =>
    Process.start("etcdctl", ["--endpoints", served.address(1), ...args], {
      cwd: served.cluster.dataFolder(1),
      name: `etcdctl ${args.join(" ")}`,
      keepsInput: true,
    });

  await step(t, "etcdctl waits for a server-side lock, which waits for etcdctl's", async () => {
    const { key } = await call(client, LOCK, { name: "a" });
    await using waiting = etcdctl("lock", "a");
    await untilCountIs(kv, "a/", 2);
    const behind = await begin(client, LOCK, { name: "a" });
    await untilCountIs(kv, "a/", 3);
    assertEquals(waiting.printed, "");
    await call(client, UNLOCK, { key });
    await waiting.waitForOutput(/^a\/[0-9a-f]{14}\n/);
    waiting.signal("SIGINT");
    const { key: next } = await answer(client, behind);
    assert(String(next).startsWith("a/"));
    await call(client, UNLOCK, { key: next });
  });

  await step(t, "etcdctl and the server observe each other's leaders", async () => {
    const { leader } = await call(client, "v3electionpb.Election/Campaign", { name: "e", value: "server" });
    const observed = await begin(client, "v3electionpb.Election/Observe", { name: "e" });
    const seen = async (): Promise<unknown> => {
      const next = await client.next(observed);
      return "kv" in next ? (next["kv"] as Message)["value"] : next;
    };
    assertEquals(await seen(), "server");
    await using listener = etcdctl("elect", "e", "--listen");
    await listener.waitForOutput(/server\n/);
    await using candidate = etcdctl("elect", "e", "stock");
    await untilCountIs(kv, "e/", 2);
    await call(client, "v3electionpb.Election/Resign", { leader });
    assertEquals(await seen(), "stock");
    await candidate.waitForOutput(/stock\n/);
    await listener.waitForOutput(/stock\n/);
    await client.cancel(observed);
  });
});
