/** `client doctor` with real processes: states of machines and of their network, each with the remedy that doctor names. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { KvClient } from "../../../lib/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import {
  kvraftCommand,
  Process,
  READY_LINE,
  runKvraft,
  runs,
  skip,
} from "../../support/processes/process.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";
import { Authority } from "../../support/tls/certificates.ts";
import { SmallDisk } from "../../torture/small_disk.ts";
import { type Asked, doctor, findsAmong, findsNoMore, startApart } from "./diagnosed.ts";

/** A delay of the event loop counts from the 30th second on, for one or two windows of ten seconds. */
const WINDOWS_MS = 90_000;

/** Returns the library that libfaketime's program preloads. */
function faketimeLibrary(): string {
  const { stdout } = new Deno.Command("faketime", { args: ["-f", "+0s", "sh", "-c", "echo $LD_PRELOAD"] })
    .outputSync();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("doctor: a wrong clock is found at its node, also when that leads, until the clock is right", async () => {
  if (!runs("faketime", "--version")) return skip("faketime is not installed");
  await using cluster = await TestCluster.start({ started: [1, 2] });
  const offset = join(cluster.folder.path, "offset");
  await Deno.writeTextFile(offset, "+20s\n");
  await using _third = await startApart(cluster, 3, {
    LD_PRELOAD: faketimeLibrary(),
    FAKETIME_TIMESTAMP_FILE: offset,
    FAKETIME_CACHE_DURATION: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  });
  await cluster.waitForLeader();
  const { finding: { what } } = await findsAmong(cluster, "problem clock n3");
  assertStringIncludes(what, "n3: its clock is 20.0 s ahead of that of n");
  await using client = await cluster.connect();
  await client.cluster.transferLeadership(3);
  const { found } = await findsAmong(cluster, "problem clock n3");
  assertEquals(found.filter((one) => one.includes(" clock ")), ["problem clock n3"]);
  const top = await cluster.client(["top", "--once"]);
  assert(/^doctor finds: .*clock n3/m.test(top.stdout), top.stdout);
  await Deno.writeTextFile(offset, "+0s\n");
  await findsNoMore(cluster, "clock");
});

Deno.test("doctor: a node that is killed again and again is found, and that its log ends without a reason", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const [id = 0] = cluster.ids.filter((other) => other !== leader);
  let starts = 0;
  const { what, remedy } = await eventually("enough restarts are counted", async () => {
    await cluster.kill(id);
    await cluster.startNode(id);
    starts += 1;
    await findsNoMore(cluster, "silent-node");
    await findsNoMore(cluster, "link-down");
    const { findings } = await doctor(cluster);
    return findings.find(({ rule, node }) => rule === "restarts" && node === id) ?? null;
  }, { explain: cluster.logs, deadlineMs: WINDOWS_MS });
  assert(starts > 3, `${starts} starts are not too many`);
  assert(/connected [4-9] times within ten minutes; its process runs for \d+ s\.$/.test(what), what);
  assertStringIncludes(remedy, "Without one something killed it");
  await cluster.kill(id);
  const { finding: silent } = await findsAmong(cluster, `warning restarts n${id}`);
  assertEquals(silent.remedy, remedy);
});

Deno.test("doctor: leadership that changes again and again is found", async () => {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  await using client = await cluster.connect();
  const { what } = await eventually("enough changes are counted", async () => {
    for (const id of cluster.ids) await client.cluster.transferLeadership(id);
    const { findings } = await doctor(cluster);
    return findings.find(({ rule }) => rule === "leader-changes") ?? null;
  }, { explain: cluster.logs });
  assert(/^There were \d+ elections within ten minutes\.$/.test(what), what);
});

/** Returns an address of this machine that is not loopback; null without one. */
function addressBeyondLoopback(): string | null {
  return Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  )?.address ?? null;
}

Deno.test("doctor: a node that listens beyond its machine without TLS is found, until it has a certificate", async () => {
  const host = addressBeyondLoopback();
  if (host === null) return skip("this machine has loopback addresses only");
  await using folder = await TemporaryFolder.make();
  const address = `${host}:${freePorts(1)}`;
  const start = async (flags: readonly string[]): Promise<Process> => {
    const [program, ...args] = kvraftCommand([
      "server",
      ...["--node-id", "1", "--bind", address, "--cluster", `1=${address}`, ...flags],
    ]);
    const server = Process.start(program, args, { cwd: folder.path });
    await server.waitForOutput(READY_LINE);
    return server;
  };
  const asked = (server: Process): Asked => ({
    ids: [1],
    address: () => address,
    run: (args) => runKvraft(args, { cwd: folder.path }),
    logs: () => server.printed,
  });
  {
    await using server = await start(["--insecure"]);
    const { finding: { what } } = await findsAmong(asked(server), "warning no-tls");
    assertEquals(what, "n1 use no TLS, and the nodes have addresses beyond this machine.");
  }
  const authority = new Authority();
  const { cert, key } = authority.node({ altNames: [`IP:${host}`] });
  await Deno.writeTextFile(join(folder.path, "ca.crt"), authority.cert);
  await Deno.writeTextFile(join(folder.path, "node.crt"), cert);
  await Deno.writeTextFile(join(folder.path, "node.key"), key, { mode: 0o600 });
  await using server = await start([
    ...["--tls-ca", "ca.crt", "--tls-cert", "node.crt", "--tls-key", "node.key"],
  ]);
  await findsNoMore(asked(server), "no-tls", { flags: ["--tls-ca", "ca.crt"] });
});

Deno.test("doctor: a node whose places for clients are taken is found, also when it refuses doctor", async () => {
  let most = "16";
  await using cluster = await TestCluster.start({
    flagsOf: (id) => id === 1 ? ["--max-connections", most, "--connections-per-address", most] : [],
  });
  await cluster.waitForLeader();
  await using clients = new AsyncDisposableStack();
  const open = async (): Promise<KvClient> => clients.use(await cluster.connect([1]));
  for (let count = 0; count < 14; count++) await open();
  const { finding: { what } } = await findsAmong(cluster, "warning connections n1");
  assertEquals(what, "n1: 15 of at most 16 clients are connected.");
  await Promise.all([open(), open()]);
  const { finding: { remedy } } = await findsAmong(cluster, "problem silent-node n1");
  assertStringIncludes(remedy, "If it refuses this client, do what the reason says");
  await findsAmong(cluster, "warning connections n1");
  await cluster.kill(1);
  most = "64";
  await cluster.startNode(1);
  await findsNoMore(cluster, "connections");
});

Deno.test("doctor: a node that is suspended in short turns is found, until that ends", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const [id = 0] = cluster.ids.filter((other) => other !== leader);
  const turns = 'while :; do kill -STOP "$0"; sleep 0.5; kill -CONT "$0"; sleep 0.5; done';
  {
    await using _turns = Process.start("sh", ["-c", turns, `${cluster.pid(id)}`], {
      cwd: cluster.folder.path,
    });
    await findsAmong(cluster, `warning slow-loop n${id}`, { deadlineMs: WINDOWS_MS });
  }
  cluster.resume(id);
  await findsNoMore(cluster, "slow-loop", { deadlineMs: WINDOWS_MS });
});

Deno.test("doctor: a heap that is nearly full is found before the process ends, until the heap is larger", async () => {
  await using cluster = await TestCluster.start({ nodes: 1, started: [] });
  {
    await using _small = await startApart(cluster, 1, { DENO_V8_FLAGS: "--max-old-space-size=36" });
    await using client = await cluster.connect();
    await eventually("the heap is nearly full", async () => {
      await Promise.all(
        Array.from({ length: 2_000 }, () => client.leases.grant({ ttlMs: 3_600_000 })),
      );
      const [answer] = await client.cluster.describe({ scope: "self" });
      const { heapBytes = 0, heapLimitBytes } = answer?.kind === "reachable" && answer.report.memory || {};
      return heapBytes > 0.9 * (heapLimitBytes ?? Infinity) || null;
    }, { deadlineMs: WINDOWS_MS });
    const { finding: { what } } = await findsAmong(cluster, "problem memory n1");
    assert(/^n1: 9\d % of the JavaScript heap is used\.$/.test(what), what);
  }
  await using _large = await startApart(cluster, 1, { DENO_V8_FLAGS: "--max-old-space-size=100" });
  await findsNoMore(cluster, "memory");
});

Deno.test("doctor: a follower whose disk is full is found, and goes on by itself when there is space", async () => {
  let disk: SmallDisk | string = "";
  await using cluster = await TestCluster.start({
    flags: ["--segment-bytes", "1048576"],
    prepare: async (unstarted) => {
      disk = await SmallDisk.mount(unstarted.dataFolder(1));
      return disk instanceof SmallDisk ? disk : null;
    },
  });
  const mounted: unknown = disk;
  if (!(mounted instanceof SmallDisk)) return skip(`no file system can be mounted: ${mounted}`);
  await using client = await cluster.connect();
  if (await cluster.waitForLeader() === 1) await client.cluster.transferLeadership(2);
  mounted.fill();
  await eventually("the follower's log has no space", async () => {
    await client.put("key", "v".repeat(100_000));
    return (await cluster.status(1))?.disk === "full" || null;
  }, { explain: cluster.logs });
  const { finding: { what } } = await findsAmong(cluster, "critical disk-full n1");
  assertEquals(what, "n1: the disk is full, and the node does not take part.");
  mounted.free();
  await findsNoMore(cluster, "disk-full");
  await cluster.waitForEqualStates();
});
