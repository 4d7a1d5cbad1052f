/** Metrics and health of real processes over HTTP, under writes, without a leader, and after a stop. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { eventually } from "../../support/eventually.ts";
import { type ParsedMetric, parseMetrics, sumOf } from "../../support/prometheus.ts";
import { runKvraft } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";

const WRITES = 300;
const WRITERS = 10;

type Metrics = ReadonlyMap<string, ParsedMetric>;

/** Fetches a page of a node. */
async function page(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, body: await answer.text() };
}

async function metricsOf(port: number): Promise<Metrics> {
  return parseMetrics((await page(port, "/metrics")).body);
}

/** Returns the number of client writes that a node answered without an error. */
function writesOf(metrics: Metrics): number {
  return sumOf(metrics, "kvraft_requests_total", { labels: { kind: "write", outcome: "ok" } });
}

/** Runs concurrent writers, each with one write in flight. */
async function write(client: KvClient): Promise<void> {
  await Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
    for (let number = 0; number < WRITES / WRITERS; number++) {
      await client.put(`swordfish-${writer}-${number}`, "opensesame");
    }
  }));
}

/** Scrapes a node before, repeatedly during, and after some work. */
async function scrapedDuring(
  port: number,
  work: () => Promise<void>,
): Promise<{ readonly before: Metrics; readonly seen: readonly number[]; readonly after: Metrics }> {
  const before = await metricsOf(port);
  let isDone = false;
  const seen: number[] = [];
  const scraping = (async (): Promise<void> => {
    while (!isDone) seen.push(writesOf(await metricsOf(port)));
  })();
  await work().finally(() => isDone = true);
  await scraping;
  return { before, seen, after: await metricsOf(port) };
}

/** Checks that the counters of a leader have grown by the number of writes. */
function assertAddsUp(before: Metrics, after: Metrics): void {
  const grown = (name: string, given: Parameters<typeof sumOf>[2] = {}): number =>
    sumOf(after, name, given) - sumOf(before, name, given);
  assertEquals(writesOf(after) - writesOf(before), WRITES);
  assertEquals(grown("kvraft_revision"), WRITES);
  assertEquals(sumOf(after, "kvraft_keys"), WRITES);
  assert(grown("kvraft_proposals_total", { labels: { outcome: "accepted" } }) >= WRITES);
  assert(grown("kvraft_batch_entries", { suffix: "_sum" }) >= WRITES);
  assertEquals(
    grown("kvraft_request_seconds", { labels: { kind: "write" }, suffix: "_count" }),
    grown("kvraft_requests_total", { labels: { kind: "write" } }),
  );
  assert(grown("kvraft_sync_seconds", { suffix: "_count" }) > 0);
  assert(grown("process_cpu_seconds_total") > 0 && sumOf(after, "process_resident_memory_bytes") > 1e6);
}

Deno.test("http: nodes serve metrics and readiness until they stop", async (t) => {
  const firstPort = freePorts(3);
  const http = (id: number): number => firstPort + id - 1;
  await using cluster = await TestCluster.start({ flagsOf: (id) => ["--http", `${http(id)}`] });
  const leader = await cluster.waitForLeader();
  const ready = (id: number): Promise<true> =>
    eventually(
      `node ${id} is ready`,
      async () => (await page(http(id), "/ready")).status === 200 ? true : null,
      {
        explain: cluster.logs,
      },
    );

  await step(
    t,
    "scraped while they are written to, the counters never fall and add up in the end",
    async () => {
      for (const id of cluster.ids) await ready(id);
      await using client = await cluster.connect([leader]);
      const { before, seen, after } = await scrapedDuring(http(leader), () => write(client));
      assertEquals(seen, seen.toSorted((a, b) => a - b));
      assertAddsUp(before, after);
      assertEquals(sumOf(after, "kvraft_role", { labels: { role: "leader" } }), 1);
      assertEquals(sumOf(after, "kvraft_peer_connected"), 2);
      for (const path of ["/metrics", "/status", "/"]) {
        assert(
          !/swordfish|opensesame/.test((await page(http(leader), path)).body),
          `${path} tells no key and no value`,
        );
      }
    },
  );

  await step(t, "a port in use is refused with a clear message, and nothing is created", async () => {
    const bind = `127.0.0.1:${freePorts(1)}`;
    const args = ["--node-id", "1", "--bind", bind, "--cluster", `1=${bind}`, "--data-dir", "./data/other"];
    const finished = await runKvraft(["server", ...args, "--http", `${http(1)}`], {
      cwd: cluster.folder.path,
    });
    assertEquals(finished.code, 70, finished.stderr);
    assertStringIncludes(finished.stderr, `Cannot serve HTTP on 127.0.0.1:${http(1)}: the port is in use.`);
    assert(![...Deno.readDirSync(`${cluster.folder.path}/data`)].some(({ name }) => name === "other"));
  });

  await step(
    t,
    "without a majority a node is alive and not ready, and with one it is ready again",
    async () => {
      const [first = 0, ...others] = cluster.ids.filter((id) => id !== leader);
      await cluster.kill(leader);
      for (const id of others) await cluster.kill(id);
      await eventually("the last node misses its leader", async () => {
        const { status, body } = await page(http(first), "/ready");
        return status === 503 && body.startsWith("noLeader: ") ? true : null;
      }, { explain: cluster.logs });
      assertEquals(await page(http(first), "/live"), { status: 200, body: "live\n" });
      await cluster.startNodes([leader, ...others]);
      for (const id of cluster.ids) await ready(id);
    },
  );

  await step(t, "a stopped node does not answer", async () => {
    for (const id of cluster.ids) assertEquals((await cluster.stop(id)).code, 0, cluster.logs());
    for (const id of cluster.ids) {
      const isClosed = await page(http(id), "/live").then(() => false, () => true);
      assert(isClosed, `node ${id} still answers`);
    }
  });
});
