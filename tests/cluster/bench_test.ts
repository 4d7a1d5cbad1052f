/** `kvraft client bench` on a real node: its figures add up and it removes its keys. Speed is not tested. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../support/processes/cluster.ts";
import { runKvraft } from "../support/processes/process.ts";

Deno.test("client bench: the figures add up, without errors, and all its keys are removed", async () => {
  await using cluster = await TestCluster.start({ nodes: 1 });
  await cluster.waitForLeader();
  await using client = await cluster.connect();
  await client.put("mine", "stays");
  const bench = async (args: readonly string[]): Promise<Record<string, unknown>> => {
    const all = ["client", "--cluster", cluster.address(1), "bench", "--output", "json", ...args];
    const { code, stdout, stderr } = await runKvraft(all, { cwd: cluster.folder.path });
    assertEquals([code, stderr], [0, ""]);
    return JSON.parse(stdout);
  };
  const short = ["--duration", "300ms", "--warmup", "100ms", "--key-count", "50"];

  const closed = await bench([...short, "--clients", "8", "--in-flight", "2", "--distribution", "zipf"]);
  assertAddsUp(closed);
  assertEquals([closed["errors"], closed["unsent"], closed["keys"]], [{}, 0, "removed"]);

  const open = await bench([...short, "--rate", "200", "--mix", "get=1", "--consistency", "stale", "--keep"]);
  assertAddsUp(open);
  // 200 a second over 0.4 s, of which the first 0.1 s is not counted.
  assertEquals([numberOf(open, "operations") + numberOf(open, "unsent"), open["keys"]], [60, "kept"]);

  const { entries } = await client.list({ limit: 1_000 });
  assertEquals(entries.length, 51, "the key that was there before, and those that were kept");
});

/** Checks that the parts sum to the total, and that the percentiles are in order. */
function assertAddsUp(document: Record<string, unknown>): void {
  const kinds = objectOf(document, "byKind");
  const parts = numberOf(objectOf(kinds, "put"), "operations") +
    numberOf(objectOf(kinds, "get"), "operations");
  const operations = numberOf(document, "operations");
  assert(operations > 0);
  assertEquals(parts, operations);
  const latency = objectOf(document, "latencyMs");
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0] = ["p50", "p90", "p99", "p999", "max"].map((name) =>
    numberOf(latency, name)
  );
  assert(0 < p50 && p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max, JSON.stringify(latency));
  const perSecond = operations / numberOf(document, "elapsedMs") * 1_000;
  assert(Math.abs(numberOf(document, "throughput") / perSecond - 1) < 0.01);
}

function objectOf(document: Record<string, unknown>, name: string): Record<string, unknown> {
  const value = document[name];
  assert(typeof value === "object" && value !== null, `${name} is an object`);
  return { ...value };
}

function numberOf(document: Record<string, unknown>, name: string): number {
  const value = document[name];
  assert(typeof value === "number", `${name} is a number`);
  return value;
}
