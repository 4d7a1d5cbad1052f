/** Moving from other stores with real tools and a real node: a dump of each, made now, is imported and read back. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { CHECKOUT } from "../../support/checkout.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { type Finished, kvraftCommand, Process, runs, skip } from "../../support/processes/process.ts";
import { freePorts } from "../../support/temporary.ts";

const MAKE_DUMPS = join(CHECKOUT, "tests", "support", "moving", "make_dumps.sh");
/** Ports that a store takes. */
const PORTS = 6;
/** Keys and values of every store that the script makes. */
const EXPECTED: readonly (readonly [string, Uint8Array])[] = [
  ["bytes", Uint8Array.of(0x00, 0xff, 0x80)],
  ["empty", new Uint8Array()],
  ["user:2", new TextEncoder().encode('Grüße, "Welt" {[')],
];

/** Runs a line of bash in the cluster's folder. */
async function bash(cluster: TestCluster, line: string, args: readonly string[]): Promise<Finished> {
  await using process = Process.start("bash", ["-c", line, "bash", ...args], { cwd: cluster.folder.path });
  return await process.end({ explain: cluster.logs });
}

/** Makes the dumps of a store in the cluster's folder. */
async function makeDumps(cluster: TestCluster, store: string): Promise<void> {
  const { code, stderr } = await bash(cluster, 'exec "$@"', [MAKE_DUMPS, store, ".", `${freePorts(PORTS)}`]);
  assertEquals(code, 0, stderr);
}

/** Runs `client import < file`. */
async function importFile(
  cluster: TestCluster,
  file: string,
  options: readonly string[] = [],
): Promise<Finished> {
  const command = kvraftCommand(["client", "--cluster", cluster.address(1), "import", ...options]);
  return await bash(cluster, 'file=$1; shift; "$@" < "$file"', [file, ...command]);
}

/** Asserts that the keys of {@link EXPECTED} are behind a prefix, with their values. */
async function assertCopied(cluster: TestCluster, prefix: string): Promise<void> {
  await using client = await cluster.connect();
  for (const [key, value] of EXPECTED) {
    assertEquals((await client.get(`${prefix}${key}`))?.value, value, key);
  }
}

Deno.test("moving from etcd: what etcdctl writes is imported, and exported as etcdctl writes it", async () => {
  if (!runs("etcd", "--version") || !runs("etcdctl", "version")) return skip("etcd is not installed");
  await using cluster = await TestCluster.start({ nodes: 1 });
  await makeDumps(cluster, "etcd");
  const { code, stdout, stderr } = await importFile(cluster, "etcd.json");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "4 keys, 46 B");
  assertStringIncludes(stderr, "left out 1 key of leases: worker");
  await assertCopied(cluster, "");
  const exported = await cluster.client(["export", "--format", "etcd"]);
  const dump = await Deno.readTextFile(join(cluster.folder.path, "etcd.json"));
  const pairs = (text: string): unknown =>
    JSON.parse(text).kvs.filter(({ lease }: { lease?: number }) => lease === undefined)
      .map(({ key, value }: { key: string; value?: string }) => [key, value]);
  assertEquals(pairs(exported.stdout), pairs(dump));
});

Deno.test("moving from Consul: what consul kv export writes is imported", async () => {
  if (!runs("consul", "version")) return skip("consul is not installed");
  await using cluster = await TestCluster.start({ nodes: 1 });
  await makeDumps(cluster, "consul");
  const { code, stderr } = await importFile(cluster, "consul.json");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "1 key without their flags: flagged");
  await assertCopied(cluster, "");
});

Deno.test("moving from Redis: RDB and append-only files are imported", async () => {
  if (!runs("redis-server", "--version") || !runs("redis-cli", "--version")) {
    return skip("Redis is not installed");
  }
  await using cluster = await TestCluster.start({ nodes: 1 });
  await makeDumps(cluster, "redis");
  const rdb = await importFile(cluster, "saved.rdb", ["--to-prefix", "rdb/"]);
  assertEquals(rdb.code, 1, rdb.stderr);
  assertStringIncludes(rdb.stderr, "left out 2 keys of type sorted set: ");
  await assertCopied(cluster, "rdb/");
  const aof = await importFile(cluster, "parts.aof", ["--to-prefix", "aof/"]);
  assertEquals(aof.code, 1, aof.stderr);
  await using client = await cluster.connect();
  const entries = await Promise.all(["int8", "renamed", "user:1"].map((key) => client.get(`aof/${key}`)));
  const decoder = new TextDecoder();
  assertEquals(entries.map((entry) => entry === null ? null : decoder.decode(entry.value)), [
    "3",
    "3000",
    null,
  ]);
  assertEquals((await client.get("aof/expires"))?.expiresAtMs, 4_102_444_800_000);
});
