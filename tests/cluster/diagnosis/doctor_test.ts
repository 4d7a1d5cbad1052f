/** `client doctor` with real processes: each fault is produced on purpose and found, and a healthy cluster has none. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { unpackEarlier } from "../../support/processes/earlier.ts";
import { kvraftCommand, Process, READY_LINE, skip } from "../../support/processes/process.ts";
import { slowSyncs } from "../../torture/slow_syncs.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";
import { SmallDisk } from "../../torture/small_disk.ts";
import { Authority } from "../../support/tls/certificates.ts";
import { doctor, finds, findsAmong } from "./diagnosed.ts";

Deno.test("doctor: a healthy cluster has no finding; dead and paused nodes, and a lost majority, are found", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  await finds(cluster, []);
  await eventually("doctor ends with 0", async () => (await doctor(cluster)).code === 0 || null, {
    explain: cluster.logs,
  });
  const [one = 0, other = 0] = cluster.ids.filter((id) => id !== leader);
  await cluster.kill(one);
  assertEquals((await finds(cluster, [`problem silent-node n${one}`])).code, 1);
  await cluster.startNode(one);
  await finds(cluster, []);
  cluster.pause(other);
  const paused = await finds(cluster, [`problem silent-node n${other}`]);
  assert(paused.findings[0]?.what.includes("no answer within"), paused.findings[0]?.what);
  await cluster.kill(one);
  const silent = [`problem silent-node n${one}`, `problem silent-node n${other}`];
  const { code, findings } = await finds(cluster, ["critical no-quorum", ...silent]);
  assertEquals([code, findings[0]?.rule], [1, "no-quorum"]);
  await cluster.kill(leader);
  await cluster.kill(other);
  assertEquals(await doctor(cluster).then(({ code, found }) => [code, found]), [3, ["critical no-node"]]);
});

Deno.test("doctor: a link that is cut in one direction is found with its direction, and the node that lags behind it", async () => {
  await using cluster = await TestCluster.start({ proxied: true });
  const leader = await cluster.waitForLeader();
  await finds(cluster, []);
  const [to = 0] = cluster.ids.filter((id) => id !== leader);
  cluster.cut({ from: leader, to });
  await using client = await cluster.connect([leader]);
  for (let batch = 0; batch < 12; batch++) {
    await Promise.all(Array.from({ length: 100 }, (_, key) => client.put(`${batch}/${key}`, "value")));
  }
  await findsAmong(cluster, `warning lagging-node n${to}`);
  const { findings } = await findsAmong(cluster, `problem link-down n${leader}`);
  const whats = findings.map(({ what }) => what);
  assert(
    whats.includes(`The link from n${leader} to n${to} is down, and works in the other direction.`),
    whats.join(),
  );
  cluster.heal();
});

Deno.test("doctor: a copy of a node's data directory that runs beside it is found", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  await finds(cluster, []);
  const [id = 0] = cluster.ids.filter((other) => other !== leader);
  await cluster.stop(id);
  await using folder = await TemporaryFolder.make();
  await Deno.mkdir(join(folder.path, "data"), { recursive: true });
  await using copying = Process.start("cp", [
    "-r",
    cluster.dataFolder(id),
    join(folder.path, "data", `node-${id}`),
  ], {
    cwd: folder.path,
  });
  assertEquals((await copying.end()).code, 0);
  await cluster.startNode(id);
  const [program, ...args] = kvraftCommand([
    "server",
    ...cluster.serverArguments(id, `127.0.0.1:${freePorts(1)}`),
  ]);
  await using _copy = Process.start(program, args, { cwd: folder.path, name: "the copy" });
  const { findings } = await findsAmong(cluster, `critical two-processes n${id}`);
  assertEquals(findings[0]?.rule, "two-processes");
});

Deno.test("doctor: different settings, a quota that is nearly used, few descriptors and cancelled watches are found", async () => {
  await using cluster = await TestCluster.start({
    started: [1, 2],
    flags: ["--quota-bytes", "20000", "--history-bytes", "2000"],
    flagsOf: (id) => id === 2 ? ["--history-seconds", "9"] : [],
  });
  // Deno raises the soft limit to the hard one.
  const command = kvraftCommand(["server", ...cluster.serverArguments(3)]);
  await using third = Process.start("sh", ["-c", 'ulimit -n 700; exec "$@"', "sh", ...command], {
    cwd: cluster.folder.path,
    name: "node 3",
  });
  await third.waitForOutput(READY_LINE);
  await cluster.waitForLeader();
  const { findings } = await finds(cluster, ["warning settings", "warning descriptors n3"]);
  assert(
    findings.some(({ what }) => what === "--history-seconds differs (n1 and n3: 0; n2: 9)."),
    JSON.stringify(findings),
  );
  await using client = await cluster.connect([1]);
  for (let round = 0; round < 8; round++) {
    await Promise.all(Array.from({ length: 5 }, (_, key) => client.put(`key ${key}`, "v".repeat(3_400))));
  }
  const ended = await client.watch({ prefix: "", from: 1 })[Symbol.asyncIterator]().next().then(
    () => null,
    (error: unknown) => error,
  );
  assert(ended instanceof Error && ended.name === "CompactedError", `${ended}`);
  const leader = await cluster.waitForLeader();
  const { found } = await findsAmong(cluster, `warning quota n${leader}`);
  assert(found.some((one) => one.startsWith("warning history n")), found.join());
});

Deno.test("doctor: a snapshot that fails and a learner that does not answer are found", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  const learner = await cluster.join();
  await cluster.client(["member", "add", `${learner}`, cluster.memberAddress(learner), "--learner"], {
    nodes: [1],
  });
  await finds(cluster, []);
  await cluster.kill(learner);
  await finds(cluster, [`problem silent-node n${learner}`, `warning learner-behind n${learner}`]);
  await Deno.remove(join(cluster.dataFolder(1), "snapshots"), { recursive: true });
  await using client = await cluster.connect([1]);
  const failed = await client.cluster.takeSnapshot({ node: 1 }).then(() => null, (error: unknown) => error);
  assert(failed instanceof Error);
  await findsAmong(cluster, "problem snapshot-fails n1");
});

Deno.test("doctor: certificates that end in a few days are found", async () => {
  await using cluster = await TestCluster.start({
    flags: ["--tls-ca", "ca.crt", "--tls-cert", "node.crt", "--tls-key", "node.key"],
    prepare: async ({ folder }) => {
      const authority = new Authority();
      const { cert, key } = authority.node({ validToDays: 5.5 });
      await Deno.writeTextFile(join(folder.path, "ca.crt"), authority.cert);
      await Deno.writeTextFile(join(folder.path, "node.crt"), cert);
      await Deno.writeTextFile(join(folder.path, "node.key"), key, { mode: 0o600 });
      return null;
    },
  });
  const expected = cluster.ids.map((id) => `warning certificate n${id}`);
  const { findings } = await finds(cluster, expected, ["--tls-ca", "ca.crt"]);
  assertEquals(findings[0]?.what, "n1: its certificate ends in 5 days.");
});

Deno.test("doctor: a node of an earlier version is found, and that it holds the feature level back", async () => {
  await using earlier = await TemporaryFolder.make();
  if (!unpackEarlier(earlier.path)) return skip("the earlier version is not in this clone's history");
  await using cluster = await TestCluster.start({ started: [] });
  await Promise.all([cluster.startNode(1), cluster.startNode(2), cluster.startNode(3, earlier.path)]);
  await cluster.waitForLeader([1, 2]);
  const { findings } = await finds(cluster, ["warning versions", "warning feature-level"]);
  assert(findings.some(({ what }) => what.endsWith("held back by n3.")), JSON.stringify(findings));
});

Deno.test("doctor: a disk that is nearly full is found", async () => {
  let disk: SmallDisk | string = "";
  await using cluster = await TestCluster.start({
    nodes: 1,
    flags: ["--segment-bytes", "1048576"],
    prepare: async (unstarted) => {
      disk = await SmallDisk.mount(unstarted.dataFolder(1));
      return disk instanceof SmallDisk ? disk : null;
    },
  });
  const mounted: unknown = disk;
  if (!(mounted instanceof SmallDisk)) return skip(`no file system can be mounted: ${mounted}`);
  await finds(cluster, []);
  await using client = await cluster.connect();
  mounted.fill();
  await eventually("doctor finds that the disk is nearly full", async () => {
    await client.put("key", "v".repeat(100_000)).catch(() => {});
    return (await doctor(cluster)).found.includes("problem disk-full n1") || null;
  }, { explain: cluster.logs });
  mounted.free();
  await finds(cluster, []);
});

Deno.test("doctor: a node with a slow disk is found", async () => {
  await using cluster = await TestCluster.start({ started: [1, 2] });
  const env = await slowSyncs(cluster.folder.path);
  if (env === null) return skip("there is no C compiler to make syncs slow with");
  const [program, ...args] = kvraftCommand(["server", ...cluster.serverArguments(3)]);
  await using third = Process.start(program, args, {
    cwd: cluster.folder.path,
    env,
    name: "node 3",
  });
  await third.waitForOutput(READY_LINE);
  await cluster.waitForLeader([1, 2]);
  await using client = await cluster.connect([1, 2]);
  await eventually("doctor finds the slow disk", async () => {
    for (let key = 0; key < 3; key++) await client.put(`key ${key}`, "value");
    return (await doctor(cluster)).found.includes("warning slow-disk n3") || null;
  }, { explain: cluster.logs });
});
