/** etcd's own tools and other clients, unmodified, on kvraft; the same sessions hold on etcd where it is installed. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { CHECKOUT } from "../support/checkout.ts";
import { EtcdCluster } from "../support/etcd/cluster.ts";
import { etcdctlVersion, EtcdServer, etcdVersion } from "../support/etcd/server.ts";
import { AETCD, ETCD3GW, installEtcd3, installPython, PATRONI } from "../support/etcd/stock_clients.ts";
import { Process, runs, skip } from "../support/processes/process.ts";
import {
  AUTH_SESSION,
  CLUSTER_SESSION,
  KV_SESSION,
  mirror,
  typeAll,
  typeLasting,
} from "./clients/etcdctl_session.ts";
import { curlAll } from "./clients/gateway_session.ts";

/** Runs the program of the npm package etcd3. */
async function runEtcd3(
  command: readonly [string, ...string[]],
  folder: string,
  args: readonly string[],
): Promise<void> {
  await Deno.copyFile(
    join(CHECKOUT, "tests/etcd/clients/etcd3_client.mjs"),
    join(folder, "etcd3_client.mjs"),
  );
  const [program, ...flags] = command;
  await using process = Process.start(program, [...flags, "etcd3_client.mjs", ...args], { cwd: folder });
  const { code, stdout, stderr } = await process.end();
  assertEquals([code, stdout], [0, "done\n"], stderr);
}

const RUNTIMES: readonly (readonly [string, ...string[]])[] = [
  ["node"],
  [Deno.execPath(), "run", "-A", "--no-lock", "--quiet", "--node-modules-dir=manual"],
];

/** The tests of all clients on one server. */
function testClients(
  name: string,
  start: () => Promise<{ address: string; other: string } & AsyncDisposable | null>,
): void {
  Deno.test(`etcdctl on ${name}: every command prints what etcd's documentation shows`, async () => {
    if (etcdctlVersion() === null) return skip("etcdctl is not installed");
    await using server = await start();
    if (server === null) return;
    await typeAll(server.address, KV_SESSION);
    // Only the leader takes move-leader.
    await typeAll(server.other, CLUSTER_SESSION);
    await typeLasting(server.address);
    await typeAll(server.address, AUTH_SESSION);
  });

  Deno.test(`etcdctl make-mirror: ${name} is a source and a destination`, async () => {
    if (etcdctlVersion() === null) return skip("etcdctl is not installed");
    if (etcdVersion() === null) return skip("etcd is not installed");
    await using server = await start();
    if (server === null) return;
    await using etcd = await EtcdServer.start();
    await mirror(etcd.address, server.address);
    await mirror(server.address, etcd.address);
  });

  Deno.test(`curl on ${name}: the JSON gateway answers and watches`, async () => {
    if (!runs("curl", "--version")) return skip("curl is not installed");
    await using server = await start();
    if (server !== null) await curlAll(server.address);
  });

  Deno.test(`npm etcd3 on ${name}: it works in Node and in Deno`, async () => {
    const folder = await installEtcd3();
    if (folder === null) return skip("npm could not install etcd3");
    await using server = await start();
    if (server === null) return;
    for (const [position, runtime] of RUNTIMES.entries()) {
      await runEtcd3(runtime, folder, [server.other, `e${position}/`]);
    }
  });

  const scripts = [
    [AETCD, "aetcd_client.py"],
    [ETCD3GW, "etcd3gw_client.py"],
    [PATRONI, "patroni_client.py"],
  ] as const;
  for (const [client, script] of scripts) {
    Deno.test(`PyPI ${client.name} on ${name}: it works unmodified`, async () => {
      const folder = await installPython(client);
      if (folder === null) return skip(`pip could not install ${client.name}`);
      await using server = await start();
      if (server === null) return;
      const args = client === PATRONI ? [server.other] : server.other.split(":");
      await using process = Process.start("python3", [`tests/etcd/clients/${script}`, ...args], {
        cwd: CHECKOUT,
        env: { PYTHONPATH: folder },
      });
      const { code, stdout, stderr } = await process.end();
      assertEquals([code, stdout], [0, "done\n"], stderr);
    });
  }
}

testClients("etcd", async () => {
  if (etcdVersion() === null) {
    skip("etcd is not installed");
    return null;
  }
  const etcd = await EtcdServer.start();
  return {
    address: etcd.address,
    other: etcd.address,
    [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose](),
  };
});

testClients("kvraft", async () => {
  const served = await EtcdCluster.start();
  const leader = await served.cluster.waitForLeader();
  return {
    address: await served.followerAddress(),
    other: served.address(leader),
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
});
