/** Leases: the calls on them, keeping them alive together, and when a holder learns that one is lost. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  InvalidRequestError,
  LeaseExistsError,
  LeaseLostError,
  LeaseNotFoundError,
  TooManyLeaseKeysError,
  TransactionFailedError,
} from "../../../lib/mod.ts";
import { MAX_IN_FLIGHT } from "../../../lib/client/admission.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import { FakeCluster } from "../../support/fakes/scripted_node.ts";
import { SharedStore } from "../../support/fakes/shared_store.ts";

const TTL_MS = 3_000;

/** Requests to keep leases alive that a node received, as lists of ids. */
function keepAlives(cluster: FakeCluster, node = 1): (readonly number[])[] {
  return cluster.node(node).requests.flatMap((request) =>
    request.kind === "keepAlive" ? [request.leaseIds] : []
  );
}

function reasonOf({ reason }: AbortSignal): string {
  assert(reason instanceof LeaseLostError);
  return reason.message;
}

Deno.test("leases: granted, kept alive and revoked, with errors by name", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const { leases } = client;
  const granted = await cluster.finish(leases.grant({ ttlMs: TTL_MS, leaseId: 7 }));
  assertEquals(granted, { leaseId: 7, ttlMs: TTL_MS, revision: 0 });
  await assertRejects(
    () => cluster.finish(leases.grant({ ttlMs: TTL_MS, leaseId: 7 })),
    LeaseExistsError,
    "id 7",
  );
  const random = await cluster.finish(leases.grant({ ttlMs: TTL_MS }));
  assert(Number.isSafeInteger(random.leaseId) && random.leaseId > 0 && random.leaseId !== 7);
  assertEquals(await cluster.finish(leases.keepAlive([7, 8])), [
    { leaseId: 7, ttlMs: TTL_MS },
    { leaseId: 8, ttlMs: null },
  ]);
  await cluster.finish(client.put("a", "v", { leaseId: 7 }));
  await cluster.finish(client.put("b", "v", { leaseId: 7, expiresAtMs: 9_000_000_000_000 }));
  assertEquals((await cluster.finish(client.get("b")))?.leaseId, 7);
  assertEquals(await cluster.finish(leases.revoke(7)), { deleted: 2, revision: 3 });
  assertEquals(store.keys, []);
  await assertRejects(() => cluster.finish(leases.revoke(7)), LeaseNotFoundError, "revoke lease 7");
});

Deno.test("leases: pages of keys and of leases are put together as the node gives them", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const lease = { leaseId: 7, ttlMs: TTL_MS, remainingMs: 10, keyCount: 3 };
  const keys = [1, 2, 3].map((byte) => new Uint8Array([byte]));
  cluster.node(1).answer = (request) => {
    const { requestId } = request;
    if (request.kind === "listLeases") {
      return { kind: "leasesResult", requestId, leases: [lease], more: true, revision: 5 };
    }
    if (request.kind !== "lease") return "silence";
    if (request.leaseId !== 7) return { kind: "leaseResult", requestId, lease: null, revision: 5 };
    const page = request.after === null ? keys.slice(0, 2) : keys.slice(2);
    const shown = request.keys ? { keys: page, more: request.after === null } : { keys: [], more: false };
    return { kind: "leaseResult", requestId, lease: { ...lease, ...shown }, revision: 5 };
  };
  assertEquals(await cluster.finish(client.leases.timeToLive(7)), lease);
  assertEquals(await cluster.finish(client.leases.timeToLive(7, { keys: true })), { ...lease, keys });
  assertEquals(await cluster.finish(client.leases.timeToLive(8)), null);
  assertEquals(await cluster.finish(client.leases.list({ limit: 1, after: 3 })), {
    leases: [lease],
    after: 7,
    revision: 5,
  });
});

Deno.test("leases: a put with a lease that has ended is refused by name, in a transaction by position", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  await assertRejects(
    () => cluster.finish(client.put("k", "v", { leaseId: 9 })),
    LeaseNotFoundError,
    "put a key",
  );
  const put = { kind: "put", key: "k", value: "v", leaseId: 9 } as const;
  for (
    const [request, position] of [
      [{ mutations: [{ kind: "delete", key: "x" }, put] }, "mutations[1]"],
      [{ then: [put] }, "then[0]"],
    ] as const
  ) {
    const error = await assertRejects(
      () => cluster.finish(client.transaction(request as { then: [typeof put] })),
      TransactionFailedError,
    );
    assertEquals([error.reason, error.position], ["leaseNotFound", position]);
  }
  cluster.node(1).serve = ({ requestId }) => {
    const result = {
      kind: "transactionFailed",
      revision: 1,
      reason: "tooManyLeaseKeys",
      position: [0],
    } as const;
    return { kind: "writeResult", requestId, result: encodeResult(result) };
  };
  await assertRejects(() => cluster.finish(client.put("k", "v", { leaseId: 9 })), TooManyLeaseKeysError);
});

Deno.test("leases: a check compares the lease of a key, and a put can keep it", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  await cluster.finish(client.leases.grant({ ttlMs: TTL_MS, leaseId: 7 }));
  await cluster.finish(client.put("k", "v", { leaseId: 7 }));
  const { succeeded } = await cluster.finish(client.transaction({
    checks: [{ key: "k", leaseId: 7 }, { key: "absent", leaseId: 0 }],
    then: [{ kind: "put", key: "k", value: "w", leaseId: "keep", expiresAtMs: "keep" }],
  }));
  assertEquals([succeeded, (await cluster.finish(client.get("k")))?.leaseId], [true, 7]);
  await cluster.finish(client.put("k", "x"));
  assertEquals((await cluster.finish(client.get("k")))?.leaseId, undefined);
});

Deno.test("leases: wrong arguments are refused before anything is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const { leases } = client;
  for (const ttlMs of [0, -1, 999, 1_000.5, 9_000_000_000_001, NaN, "5" as never]) {
    await assertRejects(() => leases.grant({ ttlMs }), InvalidRequestError, "time to live");
    await assertRejects(() => client.lease({ ttlMs }), InvalidRequestError, "time to live");
  }
  for (const leaseId of [0, -1, 1.5, 2 ** 53]) {
    await assertRejects(() => leases.grant({ ttlMs: TTL_MS, leaseId }), InvalidRequestError, "id of a lease");
    await assertRejects(() => leases.revoke(leaseId), InvalidRequestError, "id of a lease");
    await assertRejects(() => leases.keepAlive([leaseId]), InvalidRequestError, "id of a lease");
    await assertRejects(() => client.put("k", "v", { leaseId }), InvalidRequestError);
    await assertRejects(() => client.put("k", "v", { expiresAtMs: leaseId }), InvalidRequestError);
  }
  for (const count of [0, 10_001]) {
    const ids = Array.from({ length: count }, (_, position) => position + 1);
    await assertRejects(() => leases.keepAlive(ids), InvalidRequestError, `${count} leases`);
  }
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("lease: all leases of a client are kept alive together, until they are released", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const leases = await cluster.finish(
    Promise.all([1, 2, 3].map((leaseId) => client.lease({ ttlMs: TTL_MS, leaseId }))),
  );
  await cluster.finish(client.put("k", "v", { leaseId: 1 }));
  await cluster.pass(10 * TTL_MS);
  assertEquals(new Set(keepAlives(cluster).map((ids) => ids.toSorted().join())), new Set(["1,2,3"]));
  assert(
    keepAlives(cluster).length >= 25 && keepAlives(cluster).length <= 35,
    "one request a third of the time",
  );
  assertEquals([store.machine.leaseCount, store.keys], [3, ["k"]]);
  await cluster.finish(Promise.all(leases.map((lease) => lease.revoke())));
  assertEquals([store.machine.leaseCount, store.keys], [0, []]);
  assertEquals(leases.map(({ lost }) => lost.aborted), [false, false, false]);
  const before = keepAlives(cluster).length;
  await cluster.pass(TTL_MS);
  assertEquals(keepAlives(cluster).length, before);
});

Deno.test("lease: keep-alives do not wait behind the other calls of a client", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  const client = await cluster.connect();
  const lease = await cluster.finish(client.lease({ ttlMs: TTL_MS, leaseId: 7 }));
  const { serve } = cluster.node(1);
  cluster.node(1).serve = (request, send) => request.kind === "get" ? "silence" : serve(request, send);
  const gets = Array.from({ length: MAX_IN_FLIGHT + 1 }, () => client.get("k", { timeoutMs: 60_000 }));
  const all = Promise.allSettled(gets);
  await cluster.pass(3 * TTL_MS);
  assertEquals(lease.lost.aborted, false);
  assertEquals(await cluster.finish(client.leases.keepAlive([7])), [{ leaseId: 7, ttlMs: TTL_MS }]);
  await client.close();
  await all;
});

Deno.test("lease: it is kept through the loss of a node, and of answers", async () => {
  const cluster = new FakeCluster(3);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const lease = await cluster.finish(client.lease({ ttlMs: TTL_MS }));
  for (let round = 0; round < 6; round++) {
    cluster.node(1 + round % 3).isHung = true;
    await cluster.pass(TTL_MS);
    cluster.node(1 + round % 3).isHung = false;
    cluster.node(1 + (round + 1) % 3).disconnect();
  }
  assertEquals([lease.lost.aborted, store.machine.leaseCount], [false, 1]);
  await cluster.finish(lease.revoke());
});

Deno.test("lease: lost counts from the sending of the last request that was confirmed", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  const startedAt = cluster.clock.now();
  const lease = await cluster.finish(client.lease({ ttlMs: TTL_MS }));
  let lostAt: number | null = null;
  lease.lost.addEventListener("abort", () => lostAt = cluster.clock.now());
  // Answers take a while from now on; the last one that arrives was sent at a third of the time to live.
  const serve = cluster.node(1).serve;
  const sentAt: number[] = [];
  cluster.node(1).serve = (request, send) => {
    if (request.kind !== "keepAlive") return serve(request, send);
    sentAt.push(cluster.clock.now());
    if (sentAt.length > 1) return "silence";
    const answer = serve(request, send);
    if (answer !== null && typeof answer === "object") cluster.clock.after(300, () => send(answer));
    return "silence";
  };
  await cluster.pass(3 * TTL_MS);
  const [confirmedAt = 0] = sentAt;
  assert(confirmedAt >= startedAt + TTL_MS / 3);
  assert(lostAt !== null);
  assertEquals(Math.round(lostAt - confirmedAt), TTL_MS);
  assert(reasonOf(lease.lost).includes("no keep-alive was confirmed for 3000 ms"), reasonOf(lease.lost));
});

Deno.test("lease: a holder that was suspended finds it lost as soon as it looks", async () => {
  const cluster = new FakeCluster(1);
  new SharedStore(cluster);
  await using client = await cluster.connect();
  const lease = await cluster.finish(client.lease({ ttlMs: TTL_MS }));
  cluster.clock.work(TTL_MS);
  assertEquals(lease.lost.aborted, true);
});

Deno.test("lease: lost fires when the cluster says that the lease has ended, and when the client is closed", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  const client = await cluster.connect();
  const [ended, closed] = await cluster.finish(Promise.all([
    client.lease({ ttlMs: TTL_MS, leaseId: 1 }),
    client.lease({ ttlMs: TTL_MS, leaseId: 2 }),
  ]));
  store.apply({ kind: "revokeLease", session: null, leaseId: 1 });
  await cluster.pass(TTL_MS / 2);
  assertEquals([ended.lost.aborted, closed.lost.aborted], [true, false]);
  assertEquals(reasonOf(ended.lost), "Cannot keep lease 1: it has ended.");
  await client.close();
  assertEquals(reasonOf(closed.lost), "Cannot keep lease 2: the client was closed.");
  await cluster.finish(closed.revoke());
});

Deno.test("lease: lost fires when the lease has ended and its id is granted again", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const first = await cluster.finish(client.lease({ ttlMs: TTL_MS, leaseId: 7 }));
  store.apply({ kind: "revokeLease", session: null, leaseId: 7 });
  const again = await cluster.finish(client.lease({ ttlMs: TTL_MS, leaseId: 7 }));
  assertEquals(reasonOf(first.lost), "Cannot keep lease 7: it had ended, and its id was granted again.");
  await cluster.finish(first.revoke());
  await cluster.pass(3 * TTL_MS);
  assertEquals([again.lost.aborted, store.machine.leaseCount], [false, 1]);
});

Deno.test("lease: a lease with a short time is not held up by the request for another one", async () => {
  const cluster = new FakeCluster(2);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  const long = await cluster.finish(client.lease({ ttlMs: 30_000, leaseId: 30 }));
  const { serve } = cluster.node(1);
  for (const node of cluster.nodes) {
    node.serve = (request, send) =>
      request.kind === "keepAlive" && request.leaseIds.join() === "30" ? "silence" : serve(request, send);
  }
  await cluster.pass(10_500);
  const short = await cluster.finish(client.lease({ ttlMs: 1_000, leaseId: 1 }));
  await cluster.pass(10_000);
  assertEquals([short.lost.aborted, long.lost.aborted, store.machine.leaseCount], [false, false, 2]);
  await cluster.finish(short.revoke());
});

Deno.test("lease: dispose revokes it, and neither rejects nor waits long when the cluster is away", async () => {
  const cluster = new FakeCluster(1);
  const store = new SharedStore(cluster);
  await using client = await cluster.connect();
  await cluster.finish((async () => {
    await using lease = await client.lease({ ttlMs: TTL_MS });
    await client.put("k", "v", { leaseId: lease.leaseId });
    assertEquals(store.keys, ["k"]);
  })());
  assertEquals([store.keys, store.machine.leaseCount], [[], 0]);
  const lease = await cluster.finish(client.lease({ ttlMs: TTL_MS }));
  cluster.node(1).isHung = true;
  const before = cluster.clock.now();
  await cluster.finish(lease[Symbol.asyncDispose]());
  assert(cluster.clock.now() - before <= 2_500);
  cluster.node(1).isHung = false;
  await cluster.pass(TTL_MS + 1_000);
  assertEquals(store.machine.leaseCount, 0, "nothing keeps it alive");
});
