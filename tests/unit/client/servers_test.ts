/** The library against whole servers in one process: watches, leases and locks over stops, starts and compaction. */
import { assert, assertEquals } from "@std/assert";
import type { KvClient, WatchBatch } from "../../../lib/mod.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";

const TTL_MS = 4_000;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Starts three servers with a history and leases, and a client. */
async function begin(): Promise<{ readonly cluster: MemoryCluster; readonly client: KvClient }> {
  const cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  return { cluster, client };
}

Deno.test("watch: real servers deliver every put once, over their stops and a slow reader", async () => {
  const { cluster, client } = await begin();
  await using _ = cluster;
  const seen: string[] = [];
  const iterator = client.watch({ prefix: "k/", progress: true })[Symbol.asyncIterator]();
  const take = async (): Promise<void> => {
    const next: IteratorResult<WatchBatch> = await iterator.next();
    if (next.done === true || next.value.kind !== "events") return;
    for (const event of next.value.events) if (event.kind === "put") seen.push(text(event.entry.value));
  };
  await cluster.run(take());
  const values: string[] = [];
  for (let round = 0; round < 6; round++) {
    const down = 1 + round % 3;
    await cluster.stop(down);
    for (let put = 0; put < 5; put++) {
      const value = `${round}.${put}`;
      values.push(value);
      await cluster.run(client.put(`k/${put}`, value));
      await cluster.run(client.put("other", value));
    }
    await cluster.start(down);
    // A slow reader: it reads while the next server is down.
    if (round % 2 === 1) { while (seen.length < values.length) await cluster.run(take()); }
  }
  assertEquals(seen, values);
  await cluster.run(Promise.resolve(iterator.return?.()));
});

Deno.test("lock: real servers pass it on when its holder ends, and not before", async () => {
  const { cluster, client } = await begin();
  await using _ = cluster;
  const holder = await cluster.client(1, 2, 3);
  const lock = await cluster.run(holder.lock("l", { ttlMs: TTL_MS }));
  const waiting = client.lock("l", { ttlMs: TTL_MS });
  let isPassedOn = false;
  waiting.then(() => isPassedOn = true);
  await cluster.pass(3 * TTL_MS);
  assertEquals([isPassedOn, lock.lost.aborted], [false, false]);
  const closedAt = cluster.clock.now();
  await cluster.run(holder.close());
  const next = await cluster.run(waiting);
  const waitedMs = cluster.clock.now() - closedAt;
  assert(waitedMs >= TTL_MS * 2 / 3 - 100 && waitedMs <= TTL_MS + 1_500, `passed on after ${waitedMs} ms`);
  assert(next.fencingToken > lock.fencingToken);
  const late = await cluster.run(client.transaction({ checks: [lock.check], then: [] }));
  assertEquals([late.succeeded, lock.lost.aborted], [false, true]);
  await cluster.run(next.release());
});

Deno.test("lease: real servers count its time over the stop of their leader, and know its keys", async () => {
  const { cluster, client } = await begin();
  await using _ = cluster;
  const lease = await cluster.run(client.lease({ ttlMs: TTL_MS, leaseId: 7 }));
  await cluster.run(client.put("a", "v", { leaseId: 7 }));
  await cluster.run(client.put("b", "v", { leaseId: 7 }));
  for (const id of [1, 2, 3]) {
    await cluster.stop(id);
    await cluster.pass(TTL_MS);
    await cluster.start(id);
  }
  const details = await cluster.run(client.leases.timeToLive(7, { keys: true }));
  assert(details !== null && details.remainingMs <= TTL_MS && details.remainingMs >= TTL_MS / 2);
  assertEquals(details.keys?.map(text), ["a", "b"]);
  assertEquals((await cluster.run(client.leases.list())).leases.map(({ leaseId }) => leaseId), [7]);
  await cluster.run(lease.revoke());
  assertEquals(await cluster.run(client.leases.timeToLive(7)), null);
  assertEquals((await cluster.run(client.list())).entries, []);
});
