/** Watches over gRPC at real nodes: no event is missed or repeated while nodes die, also by many watches at once. */
import { assert, assertEquals } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";
import { eventually } from "../../support/eventually.ts";
import { step } from "../../support/step.ts";

const METHOD = "etcdserverpb.Watch/Watch";
const ALL: Message = { key: "\0", range_end: "\0" };

/** A stream of watches, whose client begins it again at another node as clientv3 does. */
class Watcher implements AsyncDisposable {
  readonly #addresses: readonly string[];
  readonly #after: number;
  #client: GrpcTestClient | null = null;
  #stream = 0;
  #turn = 0;
  /** Revisions of the events so far. */
  readonly revisions: number[] = [];

  /** Reads everything after a revision. */
  constructor(addresses: readonly string[], after: number) {
    this.#addresses = addresses;
    this.#after = after;
  }

  /** Reads until it has the event of a revision. */
  async readTo(revision: number): Promise<void> {
    while ((this.revisions.at(-1) ?? 0) < revision) {
      if (this.#client === null) await this.#begin();
      else if (!await this.#read(this.#client)) await this.#end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #begin(): Promise<void> {
    await eventually("a watch begins", async () => {
      const address = this.#addresses[this.#turn++ % this.#addresses.length] ?? "";
      try {
        this.#client = await GrpcTestClient.connect(address);
      } catch {
        return null;
      }
      this.#stream = await this.#client.open(METHOD);
      const start_revision = (this.revisions.at(-1) ?? this.#after) + 1;
      await this.#client.send(this.#stream, { create_request: { ...ALL, start_revision } });
      return true;
    });
  }

  /** Reads one message; returns false once the stream has ended. */
  async #read(client: GrpcTestClient): Promise<boolean> {
    try {
      const message = await client.next(this.#stream);
      if ("code" in message) return false;
      assert(!("canceled" in message), "a watch is not cancelled");
      for (const event of listOf(message["events"])) this.revisions.push(revisionOf(event));
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return false;
      throw error;
    }
  }

  async #end(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.[Symbol.asyncDispose]();
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function revisionOf(event: unknown): number {
  const kv = typeof event === "object" && event !== null && "kv" in event ? event.kv : null;
  const revision = typeof kv === "object" && kv !== null && "mod_revision" in kv ? kv.mod_revision : null;
  return Number(revision);
}

function between(after: number, last: number): readonly number[] {
  return Array.from({ length: last - after }, (_, at) => after + 1 + at);
}

Deno.test("etcd: a watch at a follower goes on over the death of the leader and a compaction", async (t) => {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  await using kv = await cluster.connect();
  const leader = await cluster.waitForLeader();
  const followers = cluster.ids.filter((id) => id !== leader).map((id) => served.address(id));
  // A new cluster has no history before all nodes have agreed on that.
  await kv.history("k");
  const first = (await kv.put("k", "first")).revision + 1;
  await using watcher = new Watcher(followers.slice(0, 1), first);
  let last = first;
  const write = async (count: number): Promise<void> => {
    for (let value = 0; value < count; value++) last = (await kv.put("k", `${value}`)).revision + 1;
  };

  await step(t, "events of before the leader's death", async () => {
    await write(20);
    await watcher.readTo(last);
  });
  await step(t, "events of after it, and after a compaction of what it has", async () => {
    await cluster.kill(leader);
    await write(20);
    await watcher.readTo(last);
    await kv.compact(last - 1);
    await write(20);
    await watcher.readTo(last);
    assertEquals(watcher.revisions, between(first, last));
  });
  await step(t, "a restart of the leader", async () => {
    await cluster.startNode(leader);
    await write(20);
    await watcher.readTo(last);
    assertEquals(watcher.revisions, between(first, last));
  });
});

Deno.test("etcd: a thousand watches on fifty streams each get every event once", async () => {
  await using served = await EtcdCluster.start();
  const { cluster } = served;
  await using kv = await cluster.connect();
  await kv.put("k", "first");
  await using clients = new AsyncDisposableStack();
  const streams: { readonly client: GrpcTestClient; readonly stream: number }[] = [];
  for (let at = 0; at < 50; at++) {
    const address = served.addresses[at % served.addresses.length] ?? "";
    const client = clients.use(await GrpcTestClient.connect(address));
    const stream = await client.open(METHOD);
    for (let watch = 0; watch < 20; watch++) await client.send(stream, { create_request: { key: "k" } });
    for (let watch = 0; watch < 20; watch++) await client.next(stream);
    streams.push({ client, stream });
  }
  const writes = 5;
  for (let value = 0; value < writes; value++) await kv.put("k", `${value}`);
  for (const { client, stream } of streams) {
    const seen: string[] = [];
    while (seen.length < 20 * writes) {
      const message = await client.next(stream);
      assert(!("code" in message), "the stream goes on");
      for (const event of listOf(message["events"])) {
        seen.push(`${message["watch_id"] ?? 0}@${revisionOf(event)}`);
      }
    }
    const expected = Array.from({ length: 20 * writes }, (_, at) => `${at % 20}@${3 + Math.floor(at / 20)}`);
    assertEquals(seen.toSorted(), expected.toSorted());
  }
});
