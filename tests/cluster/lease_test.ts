/** Real processes that answer reads under a lease, with a leader that was suspended while it was replaced. */
import { assertEquals, assertNotEquals } from "@std/assert";
import type { KvClient } from "../../lib/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { DEADLINE_MS, eventually } from "../support/eventually.ts";
import { parseMetrics, sumOf } from "../support/prometheus.ts";
import { freePorts } from "../support/temporary.ts";
import { underLoad } from "../support/processes/under_load.ts";

const LEASE = ["--read-mode", "lease", "--election-timeout-ms", "500", "--heartbeat-ms", "50"];

async function textOf(client: KvClient, key: string): Promise<string | null> {
  const entry = await client.get(key, { timeoutMs: DEADLINE_MS });
  return entry === null ? null : new TextDecoder().decode(entry.value);
}

Deno.test("lease: a leader that was suspended under its lease and replaced serves no stale read", async () => {
  const firstPort = freePorts(3);
  const http = (id: number): number => firstPort + id - 1;
  await using cluster = await TestCluster.start({
    proxied: true,
    flagsOf: (id) => [...LEASE, "--http", `${http(id)}`],
  });
  for (const round of ["first", "second", "third"]) {
    const leader = await cluster.waitForLeader();
    await eventually("the leader has a lease", async () => {
      const metrics = parseMetrics(await (await fetch(`http://127.0.0.1:${http(leader)}/metrics`)).text());
      return sumOf(metrics, "kvraft_lease") === 1 ? true : null;
    }, { explain: cluster.logs });
    await using direct = await cluster.connect([leader]);
    await direct.put(round, "old");
    assertEquals(await textOf(direct, round), "old");

    // Cut off as well, so that it does not learn of its successor when it resumes.
    cluster.pause(leader);
    cluster.partition([leader]);
    const others = cluster.ids.filter((id) => id !== leader);
    assertNotEquals(await cluster.waitForLeader(others), leader);
    await using successors = await cluster.connect(others);
    await successors.put(round, "new");
    const read = textOf(direct, round);
    cluster.resume(leader);
    await eventually("it runs again", () => cluster.status(leader), { explain: cluster.logs });
    cluster.heal();
    assertEquals(await read, "new");
  }
});

Deno.test("lease: reads stay linearizable while leaders are suspended, killed and replaced by transfer", async () => {
  await underLoad({ flags: LEASE, checked: true, watchers: 6 }, async ({ cluster, progress }) => {
    for (let round = 0; round < 2; round++) {
      const frozen = await cluster.waitForLeader();
      cluster.pause(frozen);
      await progress();
      cluster.resume(frozen);
      await progress();
      const killed = await cluster.waitForLeader();
      await cluster.kill(killed);
      await progress();
      await cluster.startNode(killed);
      await progress();
      await using client = await cluster.connect();
      await eventually("leadership has been moved", () => client.cluster.transferLeadership(null), {
        explain: cluster.logs,
      });
      await progress();
    }
  });
});
