/** Whole servers: reads at past revisions on every node, compaction, and refusals. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CompactedError, FutureRevisionError, type KvClient } from "../../../../lib/mod.ts";
import { SNAPSHOT_LIMITS } from "../../../../lib/server/snapshot/snapshots.ts";
import { FRAME_KIND } from "../../../support/frames/kinds.ts";
import { RawConnection } from "../../../support/fakes/accepting_node.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { readPast } from "../../../support/processes/past_reader.ts";

/** Calls in the time of a cluster, with values as text. */
class Reader {
  readonly #cluster: MemoryCluster;
  readonly client: KvClient;

  constructor(cluster: MemoryCluster, client: KvClient) {
    this.#cluster = cluster;
    this.client = client;
  }

  static async of(cluster: MemoryCluster, ...ids: number[]): Promise<Reader> {
    return new Reader(cluster, await cluster.client(...ids));
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.#cluster.run(promise);
  }

  async put(key: string, value: string): Promise<number> {
    return (await this.run(this.client.put(key, value))).revision;
  }

  async get(key: string, revision: number): Promise<string | null> {
    const entry = await this.run(this.client.get(key, { revision }));
    return entry === null ? null : new TextDecoder().decode(entry.value);
  }

  async stale(key: string, revision: number): Promise<string | null> {
    const entry = await this.run(this.client.get(key, { revision, consistency: "stale" }));
    return entry === null ? null : new TextDecoder().decode(entry.value);
  }

  async list(revision: number): Promise<string> {
    const { entries } = await this.run(this.client.list({ revision }));
    return entries.map(({ key, value }) =>
      `${new TextDecoder().decode(key)}=${new TextDecoder().decode(value)}`
    )
      .join(" ");
  }
}

Deno.test("Server: a read at a revision gives the same on every node, also one that was fed by a snapshot", async () => {
  const snapshots = { ...SNAPSHOT_LIMITS, logRatio: 0, tailEntries: 0, tailBytes: 0 };
  await using cluster = new MemoryCluster({ snapshots });
  const changes = { segmentBytes: 4_096 };
  for (const id of [1, 2, 3]) await cluster.start(id, { founders: [1, 2, 3], changes });
  const reader = await Reader.of(cluster, 1, 2);
  await cluster.untilHistory(reader.client);
  const first = await reader.put("a", "1");
  await cluster.stop(3);
  await reader.put("b", "2");
  const second = await reader.put("a", "3");
  await reader.run(reader.client.delete("b"));
  const last = await reader.put("c", "x".repeat(100));
  for (let round = 0; round < 3; round++) {
    for (let key = 0; key < 20; key++) await reader.put(`${round} ${key}`, "v".repeat(500));
    await reader.run(reader.client.cluster.takeSnapshot());
  }
  await cluster.start(3, { changes });
  await cluster.until(() => cluster.logger.messages.includes("state restored from the leader's snapshot"));
  assertEquals(await reader.list(first), "a=1");
  assertEquals(await reader.list(second), "a=3 b=2");
  assertEquals(await reader.list(last), `a=3 c=${"x".repeat(100)}`);
  assertEquals([await reader.get("b", second), await reader.get("b", last)], ["2", null]);
  assertEquals(await reader.stale("a", first), "1");
  const { versions } = await reader.run(reader.client.history("b"));
  assertEquals(versions.map(({ value }) => value?.length ?? null), [null, 1]);
  const { network, clock } = cluster;
  const from = (id: number): Promise<string> => {
    const { address } = MemoryCluster.addressOf(id);
    return cluster.run(readPast({ network, clock, address, revisions: [first, second, last], key: "b" }));
  };
  const expected = await from(1);
  assertEquals([await from(2), await from(3)], [expected, expected]);
});

Deno.test("Server: revisions that are compacted or not made yet are refused by name, on any node", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const reader = await Reader.of(cluster, 1, 2, 3);
  await cluster.untilHistory(reader.client);
  const first = await reader.put("k", "1");
  const second = await reader.put("k", "2");
  const { leader } = await reader.run(reader.client.cluster.status());
  const follower = [1, 2, 3].find((id) => id !== leader) ?? 0;
  const one = await Reader.of(cluster, follower);
  await assertRejects(
    () => one.run(one.client.compact(second + 1)),
    FutureRevisionError,
    `${second + 1} is above the present one, ${second}`,
  );
  assertEquals(await one.run(one.client.compact(second)), { compactedRevision: second });
  assertEquals(await one.run(one.client.compact(first)), { compactedRevision: second });
  const error = await assertRejects(() => one.get("k", first), CompactedError);
  assertEquals(error.compactedRevision, second);
  await assertRejects(() => one.list(first), CompactedError);
  await assertRejects(() => one.run(one.client.history("k", { before: first })), CompactedError);
  await assertRejects(() => one.get("k", second + 1), FutureRevisionError);
  await assertRejects(() => one.stale("k", second + 1), FutureRevisionError);
  assertEquals(await one.get("k", second), "2");
});

Deno.test("Server: at feature level 1 reads of the past are refused until the level is raised", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const caller = await RawConnection.connect(cluster.network, 1);
  await caller.send([0, "kvraft", 1, 1, 2, null, null, null, null]);
  const key = new TextEncoder().encode("k");
  await caller.send([FRAME_KIND.getAt, 1, key, 0, 2]);
  await caller.send([FRAME_KIND.listAt, 2, new Uint8Array(), null, null, null, false, 10, 2, 0]);
  await caller.send([FRAME_KIND.keyHistory, 3, key, 10, null, 2]);
  const errors = (): readonly unknown[] =>
    caller.received.filter((frame) => Array.isArray(frame) && frame[0] === FRAME_KIND.error);
  await cluster.until(() => errors().length === 3);
  const message =
    "Cannot use the history: the leader has not raised the feature level of the cluster yet. Try again.";
  for (const frame of errors()) {
    assert(Array.isArray(frame));
    assertEquals(frame.slice(2, 5), ["noLeader", message, "not-applied"]);
  }
});
