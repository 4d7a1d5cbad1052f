/** Gateways for kvraft's own clients, before a cluster of real nodes: commands, faults under load, users, TLS. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { AuthenticationError, KvClient, PermissionDeniedError } from "../../../lib/mod.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { type Finished, type Process, runKvraft, startKvraft } from "../../support/processes/process.ts";
import { ResumingWatch } from "../../support/processes/resuming_watch.ts";
import { Workload } from "../../support/processes/workload.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";
import { Authority } from "../../support/tls/certificates.ts";

const HOST = "127.0.0.1";
const WATCHED = new TextEncoder().encode("w/");
const BEHIND_WATCHED = new TextEncoder().encode("w0");

/** Starts a gateway for kvraft's clients, and waits until it serves. */
async function startGateway(
  cluster: TestCluster,
  address: string,
  flags: readonly string[] = [],
): Promise<Process> {
  const nodes = cluster.ids.map((id) => cluster.address(id)).join(",");
  const gateway = startKvraft(["gateway", "--cluster", nodes, "--bind", address, ...flags], {
    cwd: cluster.folder.path,
    name: `the gateway on ${address}`,
  });
  await gateway.waitForOutput(/serves .*kvraft's clients on/, { explain: cluster.logs });
  return gateway;
}

Deno.test("gateway: the client's commands work through it, and show the real nodes", async (t) => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const address = `${HOST}:${freePorts(1)}`;
  await using gateway = await startGateway(cluster, address);
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runKvraft(["client", "--cluster", address, ...args], {
      cwd: cluster.folder.path,
    });
    assertEquals(code, 0, `${args.join(" ")}: ${stderr}\n${gateway.printed}`);
    return stdout;
  };

  await step(t, "keys, history, transactions and leases", async () => {
    await run("put", "a", "1");
    assertEquals(await run("get", "a"), "1");
    await run("cas", "a", "1", "2");
    assertEquals(await run("list"), "a\t2\n");
    assertMatch(await run("history", "a"), /^\d+\tput\t2\t2\n\d+\tput\t1\t1\n$/);
    assertMatch(await run("txn", "put t 5"), /put t: version 1/);
    assertMatch(await run("lease", "grant", "30s"), /lease \d+, ttl 30s/);
    assertMatch(await run("export"), /"key":"a","value":"2"/);
    assertMatch(await run("health"), /^healthy/);
    assertMatch(await run("auth", "status"), /authentication is disabled/);
  });

  await step(t, "the status has every node, and of one that is dead says so", async () => {
    assertMatch(await run("members"), new RegExp(`n${leader} .*voter, leads.*up`));
    const dead = cluster.ids.find((id) => id !== leader) ?? 0;
    await cluster.kill(dead);
    const status = await run("status");
    assertMatch(status, new RegExp(`^leader n${leader},`));
    assertMatch(status, new RegExp(`n${dead} .*unreachable`));
    for (const id of cluster.ids) assertMatch(status, new RegExp(`n${id} +${cluster.address(id)}`));
    await cluster.startNode(dead);
  });

  await step(t, "a backup is that of a node, and leadership is transferred", async () => {
    assertMatch(await run("snapshot", "now"), new RegExp(`snapshot of n${leader}: `));
    assert((await run("snapshot", "save")).length > 0);
    const other = cluster.ids.find((id) => id !== leader) ?? 0;
    await eventually("the other node is ready to lead", async () => (await cluster.status(other)) !== null);
    assertMatch(await run("transfer-leader", `${other}`), new RegExp(`leader n${other}`));
    await run("put", "after", "the transfer");
  });

  await step(t, "it stops cleanly", async () => {
    assertEquals((await gateway.stop()).code, 0, gateway.printed);
  });
});

Deno.test("gateway: writes through two of them are applied once while gateways and nodes are killed, and no event is lost", async () => {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  const first = freePorts(2);
  const addresses = [`${HOST}:${first}`, `${HOST}:${first + 1}`];
  const [one = "", two = ""] = addresses;
  const gateways = new Map([[one, await startGateway(cluster, one)], [
    two,
    await startGateway(cluster, two),
  ]]);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    for (const gateway of gateways.values()) await gateway.kill();
  });
  const explain = (): string =>
    [...gateways.values()].map(({ printed }) => printed).join("\n") + cluster.logs();
  const client = stack.use(await KvClient.connect({ cluster: addresses, timeoutMs: DEADLINE_MS }));
  const workload = stack.use(Workload.start(client));
  const watcher = stack.use(
    new ResumingWatch({
      keys: { kind: "range", start: WATCHED, end: BEHIND_WATCHED },
      addresses,
      from: 1,
    }),
  );
  const puts: number[] = [];
  const put = async (): Promise<void> => void puts.push((await client.put(`w/${puts.length}`, "x")).revision);
  await put();
  await workload.progress(50, explain);
  for (const address of [one, two]) {
    await gateways.get(address)?.kill();
    await workload.progress(50, explain);
    await put();
    gateways.set(address, await startGateway(cluster, address));
    const leader = await cluster.waitForLeader();
    await cluster.kill(leader);
    await workload.progress(50, explain);
    await put();
    await cluster.startNode(leader);
    await workload.progress(50, explain);
  }
  const paused = await cluster.waitForLeader();
  cluster.pause(paused);
  await workload.progress(50, explain);
  await put();
  cluster.resume(paused);
  await workload.stopAndVerify();
  await eventually(
    "the watch has the last event",
    () => watcher.newest >= (puts.at(-1) ?? 0) ? true : null,
    { explain: () => `${watcher.ends.join()}\n${explain()}` },
  );
  assertEquals(watcher.seen.map(({ revision }) => revision), puts);
  assertEquals(watcher.compacted, []);
  await cluster.waitForEqualStates();
});

Deno.test("gateway: users sign in at the cluster through it, and have their own rights and no others", async (t) => {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  const address = `${HOST}:${freePorts(1)}`;
  await using gateway = await startGateway(cluster, address);
  const connect = (user: string, password: string): Promise<KvClient> =>
    KvClient.connect({ cluster: [address], user, password, timeoutMs: DEADLINE_MS });
  await using open = await KvClient.connect({ cluster: [address], timeoutMs: DEADLINE_MS });
  await open.auth.addUser("root", { password: "pw-root" });
  await open.auth.grantRole("root", "root");
  for (const name of ["ada", "bob"]) {
    await open.auth.addUser(name, { password: `pw-${name}` });
    await open.auth.addRole(`r-${name}`);
    for (const right of ["read", "write"] as const) {
      await open.auth.grant(`r-${name}`, right, { prefix: `${name}/` });
    }
    await open.auth.grantRole(name, `r-${name}`);
  }
  await using root = await connect("root", "pw-root");
  await root.auth.enable();
  await using ada = await connect("ada", "pw-ada");
  await using bob = await connect("bob", "pw-bob");

  await step(t, "each has the rights of its own user, over shared connections", async () => {
    await Promise.all([ada.put("ada/1", "a"), bob.put("bob/1", "b")]);
    await assertRejects(() => ada.get("bob/1"), PermissionDeniedError);
    await assertRejects(() => bob.put("ada/1", "b"), PermissionDeniedError);
    await assertRejects(() => open.get("ada/1"), AuthenticationError);
    assertEquals((await ada.auth.status()).user, "ada");
  });

  await step(t, "a wrong password is refused", async () => {
    await assertRejects(() => connect("ada", "wrong"), AuthenticationError);
  });

  await step(t, "a user who was removed is refused at once", async () => {
    await root.auth.removeUser("bob");
    await assertRejects(() => bob.get("bob/1"), AuthenticationError);
    await ada.put("ada/2", "still");
  });

  assertEquals((await gateway.stop()).code, 0, gateway.printed);
});

Deno.test("gateway: with TLS it takes trusted connections only, and uses renewed files without a restart", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await cluster.waitForLeader();
  const cwd = cluster.folder.path;
  const authority = new Authority();
  const write = async (name: string, text: string): Promise<void> => {
    await Deno.writeTextFile(join(cwd, name), text, { mode: 0o600 });
  };
  const renew = async (): Promise<void> => {
    const { cert, key } = authority.node();
    await write("gateway.key", key);
    await write("gateway.crt", cert);
  };
  await write("ca.crt", authority.cert);
  await renew();
  const first = freePorts(2);
  const address = `${HOST}:${first}`;
  const flags = ["--tls-cert", "gateway.crt", "--tls-key", "gateway.key", "--tls-ca", "ca.crt"];
  const etcd = `${HOST}:${first + 1}`;
  await using gateway = await startGateway(cluster, address, [...flags, "--etcd", etcd]);
  const client = (...args: readonly string[]): Promise<Finished> =>
    runKvraft(["client", "--cluster", address, ...args], { cwd });
  const trusted = await client("--tls-ca", "ca.crt", "put", "a", "1");
  assertEquals([trusted.code, trusted.stderr], [0, ""]);
  const plain = await client("get", "a", "--timeout-ms", "2000");
  assert(plain.code !== 0 && /TLS/.test(plain.stderr), plain.stderr);
  const http = Deno.createHttpClient({ caCerts: [authority.cert] });
  try {
    const response = await fetch(`https://${etcd}/health`, { client: http });
    assertEquals(await response.json(), { health: "true", reason: "" });
  } finally {
    http.close();
  }
  await renew();
  await gateway.waitForOutput(/Read the TLS files again/);
  assertEquals((await client("--tls-ca", "ca.crt", "get", "a")).stdout, "1");
  assertEquals((await gateway.stop()).code, 0, gateway.printed);
});
