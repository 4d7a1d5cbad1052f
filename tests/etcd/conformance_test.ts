/** The conformance cases: requests and their exact answers, on kvraft, and on etcd where it is installed. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { GrpcTestClient } from "../support/etcd/grpc_client.ts";
import type { Message } from "../support/etcd/messages.ts";
import { EtcdServer, etcdVersion } from "../support/etcd/server.ts";
import { skip } from "../support/processes/process.ts";
import { type Case, runCase } from "./conformance/case.ts";
import { CLUSTER_CASES } from "./conformance/cluster_cases.ts";
import { FRESH_CASE, KV_CASES } from "./conformance/kv_cases.ts";
import { LEASE_CASES } from "./conformance/lease_cases.ts";
import { TXN_CASES } from "./conformance/txn_cases.ts";
import { WATCH_CASES } from "./conformance/watch_cases.ts";

/** The cases by topic. The first one needs a fresh store. */
const TOPICS: Readonly<Record<string, readonly Case[]>> = {
  KV: [FRESH_CASE, ...KV_CASES],
  transactions: TXN_CASES,
  watches: WATCH_CASES,
  leases: LEASE_CASES,
  "members and maintenance": CLUSTER_CASES,
};

/** Returns the text of the first wrong answer of each case. */
async function problemsOf(address: string, cases: readonly Case[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [position, one] of cases.entries()) {
    await using client = await GrpcTestClient.connect(address);
    try {
      await runCase(client, one, position);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      problems.push(`${one.name}: ${error.message}`);
    }
  }
  return problems;
}

/** Sends requests to the JSON gateway and compares the answers. */
async function assertGateway(address: string): Promise<void> {
  const version: Record<string, string> = await (await fetch(`http://${address}/version`)).json();
  assertEquals(Object.keys(version).toSorted(), ["etcdcluster", "etcdserver", "storage"]);
  for (const one of Object.values(version)) assertMatch(one, /^\d+\.\d+\.\d+$/);
  const response = await fetch(`http://${address}/v3/kv/range`, {
    method: "POST",
    body: JSON.stringify({ key: btoa("k"), revision: "99999" }),
  });
  assertEquals(response.status, 400);
  const { code, message } = await response.json();
  assertEquals({ code, message }, {
    code: 11,
    message: "etcdserver: mvcc: required revision is a future revision",
  });
}

for (const [topic, cases] of Object.entries(TOPICS)) {
  Deno.test(`conformance of ${topic}: etcd answers as the cases say`, async () => {
    if (etcdVersion() === null) return skip("etcd is not installed");
    await using etcd = await EtcdServer.start();
    assertEquals(await problemsOf(etcd.address, cases), []);
  });

  Deno.test(`conformance of ${topic}: kvraft answers as the cases say`, async () => {
    await using served = await EtcdCluster.start({ nodes: 1 });
    assertEquals(await problemsOf(served.address(1), cases), []);
  });
}

/** Watches from a compacted revision, and again from the revision that the cancellation names. */
async function assertRestart(address: string): Promise<void> {
  await using client = await GrpcTestClient.connect(address);
  const put = async (): Promise<void> => void await client.call("etcdserverpb.KV/Put", { key: "k" });
  for (let count = 0; count < 3; count++) await put();
  await client.call("etcdserverpb.KV/Compact", { revision: 3 });
  const stream = await client.open("etcdserverpb.Watch/Watch");
  await client.send(stream, { create_request: { key: "k", start_revision: 1 } });
  await client.next(stream);
  const { compact_revision }: Message = Object(await client.next(stream));
  await client.send(stream, { create_request: { key: "k", start_revision: compact_revision, watch_id: 7 } });
  await client.next(stream);
  const { watch_id, canceled = false, events }: Message = Object(await client.next(stream));
  assertEquals([watch_id, canceled], [7, false], "it is not cancelled again");
  assert(Array.isArray(events), "it has the events from there on");
}

Deno.test("conformance of watches: etcd's may begin again at compact_revision", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using etcd = await EtcdServer.start();
  await assertRestart(etcd.address);
});

Deno.test("conformance of watches: kvraft's may begin again at compact_revision", async () => {
  await using served = await EtcdCluster.start({ nodes: 1 });
  await assertRestart(served.address(1));
});

Deno.test("conformance of the JSON gateway: etcd answers as the cases say", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using etcd = await EtcdServer.start();
  await assertGateway(etcd.address);
});

Deno.test("conformance of the JSON gateway: kvraft answers as the cases say", async () => {
  await using served = await EtcdCluster.start({ nodes: 1 });
  await assertGateway(served.address(1));
});
