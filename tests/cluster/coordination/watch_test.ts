/**
 * Watches on real nodes under kill -9, suspension, snapshots and compaction: each sees every revision once, in order, with
 * every acknowledged write, and all watches see the same.
 */
import { assert, assertEquals } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { ALL_KEYS } from "../../support/frames/watch_client.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { addNode, removeNode } from "../../support/processes/members.ts";
import { ResumingWatch } from "../../support/processes/resuming_watch.ts";
import { step } from "../../support/step.ts";

const KEYS = 10;

/** A write that was acknowledged. */
interface Acknowledged {
  readonly revision: number;
  readonly key: string;
  readonly value: string;
}

/** Writes unique values until it is stopped. */
class Writer implements AsyncDisposable {
  readonly acknowledged: Acknowledged[] = [];
  readonly #client: KvClient;
  readonly #valueBytes: number;
  #isStopped = false;
  readonly #running: Promise<void>;

  constructor(client: KvClient, valueBytes = 20) {
    this.#client = client;
    this.#valueBytes = valueBytes;
    this.#running = this.#run();
  }

  /** Waits until so many more writes are acknowledged. */
  async progress(writes: number, explain: () => string): Promise<void> {
    const wanted = this.acknowledged.length + writes;
    await eventually(
      `${writes} more writes are acknowledged`,
      () => this.acknowledged.length >= wanted ? true : null,
      {
        explain,
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let number = 0; !this.#isStopped; number++) {
      const key = `key/${number % KEYS}`;
      const value = `${number}`.padEnd(this.#valueBytes, ".");
      const { revision } = await this.#client.put(key, value);
      this.acknowledged.push({ revision, key, value });
    }
  }
}

/** Returns the present revision, once the cluster has a history. */
async function presentRevision(client: KvClient): Promise<number> {
  return (await client.history("any")).revision;
}

/** Waits until each watch has seen everything up to the present revision. */
async function untilLevel(
  client: KvClient,
  watches: readonly ResumingWatch[],
  explain: () => string,
): Promise<number> {
  const { revision } = await client.put("last", "last");
  for (const watch of watches) {
    await eventually(
      `a watch has seen revision ${revision}`,
      () => watch.newest >= revision ? true : null,
      { explain: () => `${watch.newest} ${watch.ends}\n${explain()}` },
    );
  }
  return revision;
}

/** Asserts that a watch of all keys has seen each revision of a range once, in order, and every acknowledged write. */
function assertComplete(
  watch: ResumingWatch,
  from: number,
  to: number,
  writes: readonly Acknowledged[],
): void {
  const revisions = watch.seen.map(({ revision }) => revision);
  assertEquals(revisions, Array.from({ length: to - from + 1 }, (_, position) => from + position));
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  for (const { revision, key, value } of writes) {
    const seen = watch.seen[revision - from]?.events.map((event) =>
      event.kind === "put" ? [text(event.entry.key), text(event.entry.value)] : [text(event.key), null]
    );
    assertEquals(seen, [[key, value]], `revision ${revision}`);
  }
}

Deno.test("watch: no event is lost or repeated on any node when leaders are killed and a follower is suspended", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  await cluster.waitForLeader();
  const from = await presentRevision(client) + 1;
  const addresses = cluster.ids.map((id) => cluster.address(id));
  await using first = new ResumingWatch({ keys: ALL_KEYS, addresses: addresses.slice(0, 1), from });
  await using second = new ResumingWatch({
    keys: ALL_KEYS,
    addresses: addresses.slice(1, 2),
    from,
    previous: true,
  });
  await using third = new ResumingWatch({ keys: ALL_KEYS, addresses: addresses.slice(2), from });
  // Its connection is lost at each kill of the node that it is at; it continues at the next one.
  await using moving = new ResumingWatch({ keys: ALL_KEYS, addresses, from });
  const watches = [first, second, third, moving];
  const writer = new Writer(client);
  await using _stopped = writer;

  await step(t, "leaders are killed and started again", async () => {
    for (let kill = 0; kill < 2; kill++) {
      await writer.progress(50, cluster.logs);
      const leader = await cluster.waitForLeader();
      await cluster.kill(leader);
      await writer.progress(50, cluster.logs);
      await cluster.startNode(leader);
    }
  });

  await step(t, "a follower is suspended for longer than an election takes", async () => {
    const leader = await cluster.waitForLeader();
    const follower = cluster.ids.find((id) => id !== leader) ?? 0;
    cluster.pause(follower);
    await writer.progress(300, cluster.logs);
    cluster.resume(follower);
    await writer.progress(50, cluster.logs);
  });

  await step(t, "each watch has seen every revision once, with what was acknowledged", async () => {
    await writer[Symbol.asyncDispose]();
    const last = await untilLevel(client, watches, cluster.logs);
    for (const watch of watches) assertComplete(watch, from, last, writer.acknowledged);
    assert(watches.some(({ ends }) => ends.includes("lost")), "some connections were lost");
    assertEquals(watches.flatMap(({ compacted }) => compacted), []);
    const previous = second.seen.flatMap(({ events }) => events.map((event) => event.previous));
    assert(previous.every((entry) => entry !== undefined), "each event has what was there before");
  });
});

Deno.test("watch: no event is lost or repeated while nodes are restarted, added and removed", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  await cluster.waitForLeader();
  const from = await presentRevision(client) + 1;
  const addresses = cluster.ids.map((id) => cluster.address(id));
  await using moving = new ResumingWatch({ keys: ALL_KEYS, addresses, from });
  await using later = new ResumingWatch({ keys: ALL_KEYS, addresses: addresses.toReversed(), from });
  const writer = new Writer(client);
  await using _stopped = writer;

  await step(t, "each node is stopped and started again", async () => {
    for (const id of cluster.ids) {
      await cluster.waitForLeader();
      await writer.progress(20, cluster.logs);
      await cluster.stop(id);
      await cluster.startNode(id);
    }
  });

  const added = await addNode(cluster);
  await using learning = new ResumingWatch({ keys: ALL_KEYS, addresses: [cluster.address(added)], from });

  await step(t, "the leader is removed", async () => {
    await writer.progress(20, cluster.logs);
    await removeNode(cluster, await cluster.waitForLeader());
    await writer.progress(20, cluster.logs);
  });

  await step(t, "each watch has seen every revision once, with what was acknowledged", async () => {
    await writer[Symbol.asyncDispose]();
    const watches = cluster.ids.includes(added) ? [moving, later, learning] : [moving, later];
    const last = await untilLevel(client, watches, cluster.logs);
    for (const watch of watches) assertComplete(watch, from, last, writer.acknowledged);
    assert([...moving.ends, ...later.ends].includes("stopping"), "a node that stops ends its watches");
  });
});

/** More entries than a suspended node can have received without reading: `inflightMessages` (128) of one entry each. */
const MAX_UNREAD_ENTRIES = 160;

Deno.test("watch: a follower that is fed by a snapshot sends the events that it missed on an open connection", async (t) => {
  const flags = ["--snapshot-log-bytes", "65536", "--segment-bytes", "16384"];
  await using cluster = await TestCluster.start({ flags });
  await using client = await cluster.connect();
  const leader = await cluster.waitForLeader();
  const from = await presentRevision(client) + 1;
  const follower = cluster.ids.find((id) => id !== leader) ?? 0;
  await using watch = new ResumingWatch({ keys: ALL_KEYS, addresses: [cluster.address(follower)], from });
  const writer = new Writer(client, 2_000);
  await using _stopped = writer;
  await writer.progress(5, cluster.logs);
  await eventually("the watch has seen the first writes", () => watch.seen.length > 2 ? true : null);

  await step(t, "it is suspended until no log contains its next entry", async () => {
    const lastIndex = (await cluster.status(follower))?.lastLogIndex ?? Infinity;
    cluster.pause(follower);
    await writer.progress(2 * MAX_UNREAD_ENTRIES, cluster.logs);
    for (const id of cluster.ids.filter((id) => id !== follower)) {
      await using one = await cluster.connect([id]);
      await eventually(`node ${id} has cut its log`, async () => {
        await one.cluster.takeSnapshot();
        return ((await cluster.status(id))?.firstLogIndex ?? 0) > lastIndex + MAX_UNREAD_ENTRIES
          ? true
          : null;
      }, { explain: cluster.logs });
    }
    cluster.resume(follower);
  });

  await step(t, "its watch has seen every revision once", async () => {
    await writer[Symbol.asyncDispose]();
    const last = await untilLevel(client, [watch], cluster.logs);
    assertComplete(watch, from, last, writer.acknowledged);
    assert(cluster.logs().includes("state restored from the leader's snapshot"), cluster.logs());
  });
});

Deno.test("watch: with a history of a few kilobytes, watches that read lose nothing, and one that can't is ended by name", async (t) => {
  await using cluster = await TestCluster.start({ flags: ["--history-bytes", "16384"] });
  await using client = await cluster.connect();
  const leader = await cluster.waitForLeader();
  const from = await presentRevision(client) + 1;
  const follower = cluster.ids.find((id) => id !== leader) ?? 0;
  const addresses = [cluster.address(leader)];
  await using reading = new ResumingWatch({ keys: ALL_KEYS, addresses, from });
  await using late = new ResumingWatch({ keys: ALL_KEYS, addresses: [cluster.address(follower)], from });
  const writer = new Writer(client, 1_000);
  await using _stopped = writer;

  await step(t, "a follower's process is killed until its next revisions are compacted", async () => {
    await writer.progress(100, cluster.logs);
    await cluster.kill(follower);
    await writer.progress(100, cluster.logs);
    await cluster.startNode(follower);
  });

  await step(
    t,
    "one watch has every revision, the other all but those that were reported as compacted",
    async () => {
      await writer[Symbol.asyncDispose]();
      const last = await untilLevel(client, [reading, late], cluster.logs);
      assertComplete(reading, from, last, writer.acknowledged);
      assertEquals(reading.compacted, []);
      const gaps = late.compacted;
      assert(gaps.length > 0, "some revisions were compacted");
      const revisions = Array.from({ length: last - from + 1 }, (_, position) => from + position)
        .filter((revision) => !gaps.some(({ from, to }) => from <= revision && revision <= to));
      assertEquals(late.seen.map(({ revision }) => revision), revisions);
    },
  );
});
