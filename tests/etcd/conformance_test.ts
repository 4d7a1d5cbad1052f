/** The conformance cases: requests and their exact answers, on kvraft, and on etcd where it is installed. */
import { assertEquals, assertMatch } from "@std/assert";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { GrpcTestClient } from "../support/etcd/grpc_client.ts";
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

Deno.test("conformance of the JSON gateway: etcd answers as the cases say", async () => {
  if (etcdVersion() === null) return skip("etcd is not installed");
  await using etcd = await EtcdServer.start();
  await assertGateway(etcd.address);
});

Deno.test("conformance of the JSON gateway: kvraft answers as the cases say", async () => {
  await using served = await EtcdCluster.start({ nodes: 1 });
  await assertGateway(served.address(1));
});
