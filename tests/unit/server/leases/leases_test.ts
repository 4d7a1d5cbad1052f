/** Whole servers: leases and keys that expire, on every node, over changes of leader and restarts. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { KvClient } from "../../../../lib/mod.ts";
import { MAX_KEY_BYTES, MAX_LEASE_TTL_MS } from "../../../../lib/kv/mod.ts";
import { MemoryCluster, START_OF_2026_MS } from "../../../support/fakes/memory_cluster.ts";
import { LeaseClient, LeaseRequestError } from "../../../support/frames/lease_client.ts";

/** A cluster of three at feature level 2, with a connection to each node. */
class LeaseCluster implements AsyncDisposable {
  readonly cluster = new MemoryCluster();
  #connections = new Map<number, LeaseClient>();
  #client: KvClient | null = null;

  static async start(): Promise<LeaseCluster> {
    const leases = new LeaseCluster();
    await leases.cluster.found(1, 2, 3);
    await leases.cluster.untilHistory(await leases.client());
    return leases;
  }

  async client(): Promise<KvClient> {
    return this.#client ??= await this.cluster.client(1, 2, 3);
  }

  /** The node that leads. */
  async leader(): Promise<number> {
    let leader: number | null = null;
    await this.cluster.until(async () => {
      leader = (await (await this.client()).cluster.status()).leader;
      return leader !== null;
    });
    assert(leader !== null);
    return leader;
  }

  /** Makes a request at a node. */
  async at<T>(node: number, request: (client: LeaseClient) => Promise<T>): Promise<T> {
    const { network, clock } = this.cluster;
    let connection = this.#connections.get(node);
    if (connection === undefined) {
      const { address } = MemoryCluster.addressOf(node);
      connection = await this.cluster.run(LeaseClient.open({ network, clock, address }));
      this.#connections.set(node, connection);
    }
    return await this.cluster.run(request(connection));
  }

  /** Stops nodes. */
  async stop(...nodes: readonly number[]): Promise<void> {
    for (const node of nodes) {
      this.#connections.get(node)?.close();
      this.#connections.delete(node);
      await this.cluster.stop(node);
    }
  }

  /** The time that a lease has left, as each running node tells it; null where it does not exist. */
  async remaining(leaseId: number, ...nodes: readonly number[]): Promise<readonly (number | null)[]> {
    const all: (number | null)[] = [];
    for (const node of nodes) {
      all.push((await this.at(node, (client) => client.lease(leaseId)))?.remainingMs ?? null);
    }
    return all;
  }

  /** Lets time pass until a lease does not exist on a node. */
  async untilEnded(leaseId: number, node: number): Promise<void> {
    while ((await this.at(node, (client) => client.lease(leaseId, "stale"))) !== null) {
      await this.cluster.pass(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    await this.cluster[Symbol.asyncDispose]();
  }
}

function assertBetween(value: number | null | undefined, low: number, high: number): void {
  assert(
    typeof value === "number" && value >= low && value <= high,
    `${value} is not from ${low} to ${high}`,
  );
}

Deno.test("Server: a lease that no client keeps alive ends on all nodes, with all its keys in one revision", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  assertEquals((await leases.at(2, (client) => client.grant(7, 3_000))).kind, "leaseGranted");
  const begin = cluster.clock.now();
  for (const key of ["a", "b", "c"]) await leases.at(3, (client) => client.put(key, 7));
  const { revision } = await leases.at(1, (client) => client.leasePage(7, {}));
  for (const node of [1, 2, 3]) {
    const seen = await leases.at(node, (client) => client.lease(7));
    assertEquals([seen?.ttlMs, seen?.keyCount, seen?.keys], [3_000, 3, ["a", "b", "c"]]);
    assertBetween(seen?.remainingMs, 2_500, 3_000);
  }
  await leases.untilEnded(7, 1);
  assertBetween(cluster.clock.now() - begin, 3_000 - 100, 4_000);
  for (const node of [1, 2, 3]) {
    await leases.untilEnded(7, node);
    assertEquals((await leases.at(node, (client) => client.leasePage(7, {}))).revision, revision + 1);
  }
  const client = await leases.client();
  const { versions } = await cluster.run(client.history("b"));
  assertEquals(versions.map(({ modRevision, value }) => [modRevision, value === null])[0], [
    revision + 1,
    true,
  ]);
  assertEquals(await leases.at(1, (client) => client.keepAlive(7)), [0]);
});

Deno.test("Server: a lease that is kept alive by any node goes on, and another ends", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  await leases.at(1, (client) => client.grant(1, 2_000));
  await leases.at(1, (client) => client.grant(2, 2_000));
  await leases.at(1, (client) => client.put("kept", 1));
  await leases.at(1, (client) => client.put("ended", 2));
  for (let round = 0; round < 9; round++) {
    await cluster.pass(1_000);
    assertEquals(await leases.at(1 + round % 3, (client) => client.keepAlive(1, 99)), [2_000, 0]);
  }
  const client = await leases.client();
  assertEquals((await cluster.run(client.list({}))).entries.map(({ key }) => new TextDecoder().decode(key)), [
    "kept",
  ]);
});

Deno.test("Server: what is left of a lease goes on over changes of leader", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  await leases.at(1, (client) => client.grant(7, 20_000));
  const begin = cluster.clock.now();
  const client = await leases.client();
  for (let round = 0; round < 3; round++) {
    await cluster.pass(4_000);
    const leader = await leases.leader();
    await cluster.run(client.cluster.transferLeadership(1 + leader % 3));
    const left = begin + 20_000 - cluster.clock.now();
    for (const remainingMs of await leases.remaining(7, 1, 2, 3)) {
      assertBetween(remainingMs, left - 500, left + 500);
    }
  }
  await leases.untilEnded(7, 1);
  assertBetween(cluster.clock.now() - begin, 20_000 - 100, 21_000);
});

Deno.test("Server: what is left of a lease goes on without its leader, and a lease kept alive does not end", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  const first = await leases.leader();
  const others = [1, 2, 3].filter((node) => node !== first);
  const [second = 0] = others;
  await leases.at(second, (client) => client.grant(1, 6_000));
  await leases.at(second, (client) => client.grant(2, 6_000));
  const begin = cluster.clock.now();
  await cluster.pass(3_000);
  await leases.stop(first);
  await leases.leader();
  await cluster.until(async () => {
    try {
      return (await leases.at(second, (client) => client.keepAlive(1)))[0] === 6_000;
    } catch (error) {
      if (error instanceof LeaseRequestError) return false;
      throw error;
    }
  });
  await leases.untilEnded(2, second);
  assertBetween(cluster.clock.now() - begin, 6_000 - 100, 8_000);
  const [left] = await leases.remaining(1, second);
  assertBetween(left, 1_000, 4_000);
});

Deno.test("Server: a lease has the time left that it had before all nodes were stopped", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  await leases.at(1, (client) => client.grant(7, 30_000));
  await leases.at(1, (client) => client.put("key", 7));
  await cluster.pass(10_000);
  const [before] = await leases.remaining(7, 1);
  await leases.stop(1, 2, 3);
  await cluster.pass(100_000);
  for (const node of [1, 2, 3]) await cluster.start(node);
  await leases.leader();
  const [after] = await leases.remaining(7, 2);
  // Only what was counted is in the log: half a second may be lost, and the time until a leader was there counts.
  assertBetween(after, (before ?? 0) - 2_000, (before ?? 0) + 600);
  await leases.untilEnded(7, 3);
  assertEquals((await leases.at(1, (client) => client.leasePage(7, {}))).lease, null);
});

Deno.test("Server: keys with a time are deleted soon after it by the wall clock of the leader", async () => {
  await using leases = await LeaseCluster.start();
  const { cluster } = leases;
  const atMs = START_OF_2026_MS + Math.ceil(cluster.clock.now()) + 5_000;
  await leases.at(2, (client) => client.put("soon", null, atMs));
  await leases.at(2, (client) => client.put("later", null, atMs + 3_600_000));
  const client = await leases.client();
  const entry = await cluster.run(client.get("soon"));
  assert(entry !== null);
  while (await cluster.run(client.get("soon")) !== null) await cluster.pass(20);
  assertBetween(START_OF_2026_MS + cluster.clock.now(), atMs, atMs + 1_500);
  assert(await cluster.run(client.get("later")) !== null);
});

Deno.test("Server: a list of leases comes in pages by id, and a lease's keys after a key", async () => {
  await using leases = await LeaseCluster.start();
  for (const leaseId of [5, 1, 3]) await leases.at(1, (client) => client.grant(leaseId, 60_000));
  for (const key of ["x", "y", "z"]) await leases.at(1, (client) => client.put(key, 3));
  const first = await leases.at(2, (client) => client.list(0, 2));
  assertEquals([first.leases.map(({ leaseId, keyCount }) => [leaseId, keyCount]), first.more], [[[1, 0], [
    3,
    3,
  ]], true]);
  const second = await leases.at(2, (client) => client.list(3, 2));
  assertEquals([second.leases.map(({ leaseId }) => leaseId), second.more], [[5], false]);
  const { lease } = await leases.at(3, (client) => client.leasePage(3, { after: "x" }));
  assertEquals([lease?.keys.length, lease?.keyCount, lease?.more], [2, 3, false]);
});

Deno.test("Server: leases that do not exist, and requests that break a rule, are named and change nothing", async () => {
  await using leases = await LeaseCluster.start();
  const failed = async (request: (client: LeaseClient) => Promise<unknown>): Promise<string> => {
    const error = await assertRejects(() => leases.at(2, request), LeaseRequestError);
    return error.code;
  };
  const result = async (request: (client: LeaseClient) => Promise<unknown>): Promise<unknown> => {
    const answer = await leases.at(2, request);
    assert(typeof answer === "object" && answer !== null);
    return "reason" in answer ? answer.reason : answer;
  };
  assertEquals((await leases.at(1, (client) => client.grant(7, 5_000))).kind, "leaseGranted");
  assertEquals(await result((client) => client.grant(7, 5_000)), "leaseExists");
  assertEquals(await result((client) => client.revoke(8)), "leaseNotFound");
  assertEquals(await result((client) => client.put("key", 8)), "leaseNotFound");
  assertEquals(await leases.at(3, (client) => client.keepAlive(8, 7)), [0, 5_000]);
  assertEquals((await leases.at(1, (client) => client.revoke(7))).kind, "leaseRevoked");
  assertEquals(await result((client) => client.put("key", 7)), "leaseNotFound");
  assertEquals(await result((client) => client.revoke(7)), "leaseNotFound");
  // The lease ends in the same turn, before the put.
  await leases.at(2, (client) => client.grant(7, 5_000));
  const results = await leases.at(2, (client) => Promise.all([client.revoke(7), client.put("key", 7)]));
  assertEquals(results.map(({ kind }) => kind), ["leaseRevoked", "transactionFailed"]);
  // Two leases for one key.
  const key = new TextEncoder().encode("key");
  const mutations = [1, 2].map((leaseId) => (
    { kind: "expiringPut", key, value: key, leaseId, expiresAtMs: null } as const
  ));
  assertEquals(
    await failed((client) => client.write({ kind: "transaction", session: null, checks: [], mutations })),
    "invalidRequest",
  );
  for (const ttlMs of [0, 999, MAX_LEASE_TTL_MS + 1]) {
    assertEquals(await failed((client) => client.grant(9, ttlMs)), "invalidRequest");
  }
  assertEquals(await failed((client) => client.keepAlive()), "invalidRequest");
  assertEquals(await failed((client) => client.keepAlive(0)), "invalidRequest");
  assertEquals(await failed((client) => client.lease(0)), "invalidRequest");
  const tooLong = { after: "k".repeat(MAX_KEY_BYTES + 1) };
  assertEquals(await failed((client) => client.leasePage(1, tooLong)), "keyTooLarge");
  assertEquals((await leases.at(2, (client) => client.leasePage(1, { after: "" }))).lease, null);
  assertEquals(await failed((client) => client.list(0, 0)), "invalidRequest");
  assertEquals(await failed((client) => client.list(0, 10_001)), "invalidRequest");
  assertEquals(
    await failed((client) => client.write({ kind: "deleteExpired", untilMs: 1 })),
    "invalidRequest",
  );
  assertEquals((await leases.at(1, (client) => client.list(0, 10))).leases, []);
});
