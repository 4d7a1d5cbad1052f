/**
 * Watches of stock clients of Deno KV: Deno's own, and `@deno/kv` in Node where npm has it, over a cluster whose leader is
 * killed, with slow readers, many keys, missing keys, and several watches on one handle.
 */
import { assert, assertEquals } from "@std/assert";
import { MAX_WATCHES_PER_CONNECTION } from "../../../lib/server/watch/watch_requests.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import { installNodeClient } from "../../support/denokv/stock_clients.ts";
import { denoRuntime, type Key, nodeRuntime, type Runtime, Watcher, Writer } from "./watch/clients.ts";

/** Megabytes by which a node may grow while slow clients watch large values. */
const MAX_GROWTH_MIB = 250;
/** The largest value of Deno KV, less what the rest of the value takes. */
const LARGE_BYTES = 60_000;

const DENO = denoRuntime();

function keysOf(count: number): readonly Key[] {
  return Array.from({ length: count }, (_, number) => ["watched", number]);
}

/** Returns the resident memory of a process. */
function memoryMibOf(pid: number): number {
  const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return Number(kib) / 1_024;
}

/** Runs `test` with the client of Node, unless npm cannot install it here. */
async function withNode(test: (runtime: Runtime) => Promise<void>): Promise<void> {
  await using folder = await TemporaryFolder.make();
  if (await installNodeClient(folder.path)) await test(await nodeRuntime(folder.path));
}

/** Kills the leader while clients watch at every node, or at every other one; all of them show the last commit. */
async function watchOverFailover(runtime: Runtime, at: "every node" | "other nodes"): Promise<void> {
  await using kv = await DenokvCluster.start();
  const { cluster } = kv;
  const leader = await cluster.waitForLeader();
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  const keys = keysOf(3);
  await using writer = new Writer(DENO, { url: kv.url(follower), keys });
  await writer.progress(20);
  await using stack = new AsyncDisposableStack();
  const watched = cluster.ids.filter((id) => at === "every node" || id !== leader);
  const watchers = watched.map((id) => stack.use(new Watcher(runtime, { url: kv.url(id), keys })));
  for (const watcher of watchers) await watcher.shows(3);
  await cluster.kill(leader);
  await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
  await writer.progress(50);
  await cluster.startNode(leader);
  const { versionstamp } = await writer.end();
  for (const watcher of watchers) {
    await watcher.showsLast(versionstamp);
    watcher.verifyOrder();
  }
}

Deno.test("denokv watch: Deno's watches at every node show the last commit after the leader was killed", async () => {
  await watchOverFailover(DENO, "every node");
});

Deno.test("denokv watch: so do Node's at the other nodes", async () => {
  // A watch of @deno/kv 0.14.0 whose connection breaks ends the program.
  await withNode((runtime) => watchOverFailover(runtime, "other nodes"));
});

Deno.test("denokv watch: the stream of a node that has lost its leader stays open", async () => {
  await using kv = await DenokvCluster.start();
  const { cluster } = kv;
  const leader = await cluster.waitForLeader();
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  const keys = keysOf(1);
  await using writer = new Writer(DENO, { url: kv.url(follower), keys });
  await writer.progress(10);
  await using watcher = new Watcher(DENO, { url: kv.url(follower), keys });
  await watcher.shows(2);
  await cluster.kill(leader);
  await writer.progress(20);
  const { versionstamp } = await writer.end();
  await watcher.showsLast(versionstamp);
  assertEquals(await kv.metric(follower, "kvraft_denokv_watches_begun_total"), 1, "the watch was begun once");
});

Deno.test("denokv watch: slow readers of large values cost a node little memory, and get the last state", async () => {
  await using kv = await DenokvCluster.start();
  const { cluster } = kv;
  const leader = await cluster.waitForLeader();
  const keys = keysOf(10);
  await using writer = new Writer(DENO, { url: kv.url(leader), keys, bytes: LARGE_BYTES });
  await writer.progress(10);
  const before = memoryMibOf(cluster.pid(leader));
  await using watcher = new Watcher(DENO, { url: kv.url(leader), keys, slowMs: 2_000, watches: 20 });
  await watcher.shows(20);
  await writer.progress(100);
  const growth = memoryMibOf(cluster.pid(leader)) - before;
  assert(growth < MAX_GROWTH_MIB, `${growth} MiB more`);
  const { versionstamp } = await writer.end();
  await watcher.showsLast(versionstamp, 20);
  watcher.verifyOrder();
});

Deno.test("denokv watch: Deno's client shows a missing key at once, and each of several watches on a handle", async () => {
  await using kv = await DenokvCluster.start();
  const { cluster } = kv;
  const leader = await cluster.waitForLeader();
  const keys = keysOf(10);
  await using watcher = new Watcher(DENO, { url: kv.url(leader), keys, watches: 5 });
  await watcher.shows(5);
  for (const { versionstamps } of watcher.states) assertEquals(versionstamps, keys.map(() => null));
  await using writer = new Writer(DENO, { url: kv.url(leader), keys });
  await writer.progress(10);
  const { versionstamp } = await writer.end();
  await watcher.showsLast(versionstamp, 5);
  watcher.verifyOrder();
});

Deno.test("denokv watch: a node serves more watches than a connection of a cluster's client may have", async () => {
  await using kv = await DenokvCluster.start();
  const leader = await kv.cluster.waitForLeader();
  const watches = MAX_WATCHES_PER_CONNECTION + 100;
  await using watcher = new Watcher(DENO, { url: kv.url(leader), keys: keysOf(1), watches, isApart: true });
  await watcher.shows(watches);
  assertEquals(await kv.metric(leader, "kvraft_denokv_watches"), watches);
});

Deno.test("denokv watch: Node's client watches forty keys, of which none exists at first", async () => {
  await withNode(async (node) => {
    await using kv = await DenokvCluster.start();
    const { cluster } = kv;
    const leader = await cluster.waitForLeader();
    const keys = keysOf(40);
    await using watcher = new Watcher(node, { url: kv.url(leader), keys });
    await using writer = new Writer(DENO, { url: kv.url(leader), keys });
    await watcher.shows(1);
    await writer.progress(10);
    const { versionstamp } = await writer.end();
    await watcher.showsLast(versionstamp);
    watcher.verifyOrder();
  });
});
