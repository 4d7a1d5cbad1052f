/** Clients that request more than a node can answer at once, and their effect on the node and its other clients. */
import { assert, assertEquals } from "@std/assert";
import { CONSISTENCY } from "../../lib/protocol/messages.ts";
import { FRAME_KIND } from "../support/frames/kinds.ts";
import { MAX_WAITING_BYTES } from "../../lib/protocol/limits.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { CountingClient } from "../support/processes/counting_client.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/temporary.ts";
import { metricAt } from "../support/prometheus.ts";
import { step } from "../support/step.ts";

const KEYS = 2_500;
const LISTS = 1_000;
/** Time limit for all answers, on a busy machine. */
const PATIENCE_MS = 120_000;
const PUTS_AT_ONCE = 100;
/** Clients that read nothing, and the pages of 4 MiB that each requests. */
const SILENT_CLIENTS = 150;
const LISTS_EACH = 10;
const LARGE_KEYS = 50;
const LARGE_VALUE_BYTES = 100_000;

function list(requestId: number, consistency: number): (number | boolean | null | Uint8Array)[] {
  return [FRAME_KIND.list, requestId, new Uint8Array(0), null, null, null, false, KEYS, consistency];
}

Deno.test("overload: a thousand lists on one connection are answered while other clients are served, without an election", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  for (let first = 0; first < KEYS; first += PUTS_AT_ONCE) {
    await Promise.all(
      Array.from(
        { length: PUTS_AT_ONCE },
        (_, offset) => client.put(`key/${first + offset}`, new Uint8Array(64)),
      ),
    );
  }
  const leader = await cluster.waitForLeader();
  const term = (await cluster.status(leader))?.term;

  for (const consistency of ["linearizable", "stale"] as const) {
    await step(t, consistency, async () => {
      using greedy = await CountingClient.connect(cluster.port(leader));
      const lists = Array.from({ length: LISTS }, (_, id) => list(id + 1, CONSISTENCY[consistency]));
      await greedy.send(...lists);
      greedy.read();
      const answered = (): number => greedy.count(FRAME_KIND.listResult);
      await eventually("the first list is answered", () => answered() > 0 || null, { explain: cluster.logs });
      await client.put("other", consistency);
      const whenPut = answered();
      assertEquals((await client.get("other"))?.version, consistency === "linearizable" ? 1 : 2);
      const whenRead = answered();
      assert(whenRead < LISTS, `the put was answered after ${whenPut} lists, the get after ${whenRead}`);
      await eventually("all lists are answered", () => answered() === LISTS || null, {
        deadlineMs: PATIENCE_MS,
        explain: cluster.logs,
      });
      assertEquals(greedy.count(FRAME_KIND.error), 0);
    });
  }
  assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
  assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
});

Deno.test("overload: clients that read no answers share one budget, the largest are disconnected, and others are served", async () => {
  const firstPort = freePorts(3);
  await using cluster = await TestCluster.start({ flagsOf: (id) => ["--http", `${firstPort + id - 1}`] });
  await using client = await cluster.connect();
  for (let key = 0; key < LARGE_KEYS; key++) {
    await client.put(`large/${key}`, new Uint8Array(LARGE_VALUE_BYTES));
  }
  const leader = await cluster.waitForLeader();
  const term = (await cluster.status(leader))?.term;
  const httpPort = firstPort + leader - 1;

  using silent = new DisposableStack();
  for (let one = 0; one < SILENT_CLIENTS; one++) {
    const connection = silent.use(await CountingClient.connect(cluster.port(leader)));
    await connection.send(
      ...Array.from({ length: LISTS_EACH }, (_, id) => list(id + 1, CONSISTENCY.linearizable)),
    );
  }
  let mostBytes = 0;
  await eventually("a connection is closed", async () => {
    mostBytes = Math.max(mostBytes, await metricAt(httpPort, "kvraft_waiting_bytes"));
    await client.put("other", "value");
    return await metricAt(httpPort, "kvraft_connections_overloaded_total") > 0 || null;
  }, { explain: cluster.logs });
  assert(mostBytes <= MAX_WAITING_BYTES, `${mostBytes} bytes waited`);
  assertEquals((await client.get("other"))?.key.length, 5);
  silent.dispose();
  await eventually(
    "nothing waits any more",
    async () => await metricAt(httpPort, "kvraft_waiting_bytes") < LARGE_VALUE_BYTES || null,
    { explain: cluster.logs },
  );
  assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
  assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
});
