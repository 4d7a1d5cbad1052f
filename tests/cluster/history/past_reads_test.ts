/**
 * Reads of the past from real processes: a revision reads the same on every node, before and after kill -9, snapshots and
 * restarts, and on a learner that was fed by a snapshot, until it is compacted.
 */
import { assert, assertEquals } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { parseAddress } from "../../../lib/platform/address.ts";
import { SystemClock, systemDialer } from "../../../lib/platform/system.ts";
import { eventually } from "../../support/eventually.ts";
import { readPast } from "../../support/processes/past_reader.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { step } from "../../support/step.ts";

/** Small, so that a node that joins needs a snapshot. */
const FLAGS = ["--snapshot-log-bytes", "65536", "--segment-bytes", "16384"];
const KEYS = 20;
const ROUNDS = 12;
const VALUE_BYTES = 1_000;

/** Returns what a node answers to reads at these revisions. */
function past(cluster: TestCluster, id: number, revisions: readonly number[]): Promise<string> {
  return readPast({
    network: systemDialer(),
    clock: new SystemClock(),
    address: parseAddress(cluster.address(id)),
    revisions,
    key: "key/3",
  });
}

/** Writes to all keys so many times, with deletions; returns the revisions after each round. */
async function write(client: KvClient, rounds: number): Promise<number[]> {
  const revisions: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let key = 0; key < KEYS; key++) {
      if ((key + round) % 5 === 0) await client.delete(`key/${key}`);
      else await client.put(`key/${key}`, `${round} `.padEnd(VALUE_BYTES, "v"));
    }
    revisions.push((await client.list({ limit: 1 })).revision);
  }
  return revisions;
}

/** Asserts that each of these nodes answers as expected. */
async function assertPast(
  cluster: TestCluster,
  { ids, revisions, expected }: {
    readonly ids: readonly number[];
    readonly revisions: readonly number[];
    readonly expected: string;
  },
): Promise<void> {
  for (const id of ids) assertEquals(await past(cluster, id, revisions), expected, `node ${id}`);
}

Deno.test("history: a revision reads the same on every node, also after crashes and snapshots, until it is compacted", async (t) => {
  await using cluster = await TestCluster.start({ flags: FLAGS });
  await using client = await cluster.connect();
  await eventually("the history has begun", async () => {
    return await client.history("key/0").then(() => true, () => null);
  }, { explain: cluster.logs });
  const revisions = await write(client, ROUNDS);
  const expected = await past(cluster, await cluster.waitForLeader(), revisions);
  assertEquals(expected.includes("compacted"), false);

  await step(t, "on each of the nodes", async () => {
    await assertPast(cluster, { ids: cluster.ids, revisions, expected });
  });

  await step(t, "after snapshots, kill -9 and a restart of all nodes", async () => {
    for (const node of cluster.ids) await client.cluster.takeSnapshot({ node });
    await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
    await cluster.startNodes(cluster.ids);
    await cluster.waitForLeader();
    await assertPast(cluster, { ids: cluster.ids, revisions, expected });
  });

  await step(t, "on a learner that was fed by a snapshot", async () => {
    await eventually("the log was cut", async () => {
      await client.cluster.takeSnapshot();
      const status = await cluster.status(await cluster.waitForLeader());
      return (status?.firstLogIndex ?? 0) > 1 ? true : null;
    }, { explain: cluster.logs });
    const id = await cluster.join();
    const change = { kind: "add", id, address: cluster.memberAddress(id), learner: true } as const;
    await client.cluster.changeMembership(change, { timeoutMs: 20_000 });
    await eventually("it has the state", async () => {
      const status = await cluster.status(id);
      return (status?.revision ?? 0) >= (revisions.at(-1) ?? 0) ? true : null;
    }, { explain: cluster.logs });
    await assertPast(cluster, { ids: [id], revisions, expected });
  });

  await step(
    t,
    "once compacted, earlier revisions are refused on every node, and later ones are as before",
    async () => {
      const [kept, lost] = [revisions.slice(6), revisions[5]];
      const compactedRevision = kept[0];
      assert(compactedRevision !== undefined && lost !== undefined);
      assertEquals(await client.compact(compactedRevision), { compactedRevision });
      const after = await past(cluster, await cluster.waitForLeader(), kept);
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await cluster.startNodes(cluster.ids);
      await cluster.waitForLeader();
      await assertPast(cluster, { ids: cluster.ids, revisions: kept, expected: after });
      for (const id of cluster.ids) {
        const refused = await past(cluster, id, [lost]);
        const refusal = `["compacted",${compactedRevision}]`;
        assert(refused.startsWith(`[${refusal},${refusal},[`), refused.slice(0, 200));
      }
    },
  );
});
