/** etcdserverpb.Lease: grants, reads of leases, and grants whose answer is lost. */
import { assert, assertEquals } from "@std/assert";
import { leaseMethods } from "../../../../lib/etcd/lease/methods.ts";
import {
  LEASE_GRANT_REQUEST,
  LEASE_GRANT_RESPONSE,
  LEASE_LEASES_REQUEST,
  LEASE_LEASES_RESPONSE,
  LEASE_REVOKE_REQUEST,
  LEASE_REVOKE_RESPONSE,
  LEASE_TIME_TO_LIVE_REQUEST,
  LEASE_TIME_TO_LIVE_RESPONSE,
} from "../../../../lib/etcd/messages/lease.ts";
import type { GivenOf, MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";

const GRANT = { request: LEASE_GRANT_REQUEST, response: LEASE_GRANT_RESPONSE };
const REVOKE = { request: LEASE_REVOKE_REQUEST, response: LEASE_REVOKE_RESPONSE };
const TIME_TO_LIVE = { request: LEASE_TIME_TO_LIVE_REQUEST, response: LEASE_TIME_TO_LIVE_RESPONSE };
const LEASES = { request: LEASE_LEASES_REQUEST, response: LEASE_LEASES_RESPONSE };

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function grant(
  service: MethodsOnStore,
  given: GivenOf<typeof LEASE_GRANT_REQUEST>,
): Promise<MessageOf<typeof LEASE_GRANT_RESPONSE>> {
  return service.ask("/etcdserverpb.Lease/LeaseGrant", GRANT, given);
}

function refusedGrant(
  service: MethodsOnStore,
  given: GivenOf<typeof LEASE_GRANT_REQUEST>,
): Promise<readonly [number, string]> {
  return service.refusal("/etcdserverpb.Lease/LeaseGrant", GRANT, given);
}

function timeToLive(
  service: MethodsOnStore,
  given: GivenOf<typeof LEASE_TIME_TO_LIVE_REQUEST>,
): Promise<MessageOf<typeof LEASE_TIME_TO_LIVE_RESPONSE>> {
  return service.ask("/etcdserverpb.Lease/LeaseTimeToLive", TIME_TO_LIVE, given);
}

/** Puts keys with a lease. */
function put(service: MethodsOnStore, leaseId: number, ...keys: readonly string[]): void {
  const mutations = keys.map((key) => ({
    kind: "expiringPut" as const,
    key: new TextEncoder().encode(key),
    value: new Uint8Array(1),
    leaseId,
    expiresAtMs: null,
  }));
  const { kind } = service.store.apply({ kind: "transaction", session: null, checks: [], mutations });
  assertEquals(kind, "applied");
}

Deno.test("lease grant: never less than asked, 2 s at least; too long ones and ids that are taken are refused", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const ttls = [];
  for (const ttl of [-1, 0, 1, 2, 3, 600, 9_000_000_000]) ttls.push((await grant(service, { ttl })).ttl);
  assertEquals(ttls, [2, 2, 2, 2, 3, 600, 9_000_000_000]);
  assertEquals(await refusedGrant(service, { ttl: 9_000_000_001 }), [11, "etcdserver: too large lease TTL"]);
  const own = await grant(service, { ttl: 10, id: 77n });
  assertEquals([own.id, own.header?.revision], [77n, 1]);
  assertEquals(await refusedGrant(service, { ttl: 10, id: 77n }), [9, "etcdserver: lease already exists"]);
});

Deno.test("lease grant: the server chooses positive ids of 14 hexadecimal digits; kvraft has no others than its own range", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const ids = [];
  for (let count = 0; count < 20; count++) ids.push((await grant(service, { ttl: 10 })).id);
  assertEquals(new Set(ids).size, 20);
  assert(ids.every((id) => /^[1-9a-f][0-9a-f]{13}$/.test(id.toString(16)) && id < 2n ** 53n));
  assertEquals((await grant(service, { ttl: 10, id: 2n ** 53n - 1n })).id, 2n ** 53n - 1n);
  for (const id of [-1n, 2n ** 53n, 2n ** 63n - 1n]) {
    const [code, message] = await refusedGrant(service, { ttl: 10, id });
    assertEquals(
      [code, message.startsWith(`kvraft: cannot grant a lease with the id ${id}: ids are from 1`)],
      [
        3,
        true,
      ],
    );
  }
});

Deno.test("lease time to live: rounded up while it lives, -1 without an error when it does not", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const { id } = await grant(service, { ttl: 3 });
  put(service, Number(id), "b", "a");
  const seen: number[] = [];
  for (let quarter = 0; quarter <= 16; quarter++) {
    const { ttl } = await timeToLive(service, { id });
    if (ttl !== seen.at(-1)) seen.push(ttl);
    await service.cluster.pass(250);
  }
  assertEquals(seen, [3, 2, 1, -1]);
  const gone = await timeToLive(service, { id, keys: true });
  assertEquals([gone.id, gone.ttl, gone.grantedTtl, gone.keys, gone.header?.revision], [id, -1, 0, [], 3]);
  for (const unknown of [0n, -5n, 99n, 2n ** 60n]) {
    const { id, ttl, header } = await timeToLive(service, { id: unknown });
    assertEquals([id, ttl, header?.revision], [unknown, -1, 3]);
  }
});

Deno.test("lease time to live: a fresh lease, with its keys in order and only if they are asked for", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  await grant(service, { ttl: 600, id: 5n });
  put(service, 5, "b", "a", "c");
  const bare = await timeToLive(service, { id: 5n });
  assertEquals([bare.ttl, bare.grantedTtl, bare.keys, bare.header?.revision], [600, 600, [], 2]);
  assertEquals((await timeToLive(service, { id: 5n, keys: true })).keys.map(text), ["a", "b", "c"]);
});

Deno.test("lease revoke: deletes the keys in one revision; an unknown lease is not found; the id is free again", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  await grant(service, { ttl: 600, id: 5n });
  put(service, 5, "a", "b");
  const revoke = "/etcdserverpb.Lease/LeaseRevoke";
  assertEquals((await service.ask(revoke, REVOKE, { id: 5n })).header?.revision, 3);
  assertEquals(service.store.keys, []);
  for (const id of [5n, 0n, -5n, 2n ** 60n]) {
    assertEquals(await service.refusal(revoke, REVOKE, { id }), [
      5,
      "etcdserver: requested lease not found",
    ]);
  }
  assertEquals((await grant(service, { ttl: 600, id: 5n })).id, 5n);
  assertEquals((await service.ask(revoke, REVOKE, { id: 5n })).header?.revision, 3);
});

Deno.test("lease leases: all of them, over pages", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const path = "/etcdserverpb.Lease/LeaseLeases";
  assertEquals((await service.ask(path, LEASES, {})).leases, []);
  const count = 10_003;
  for (let leaseId = count; leaseId >= 1; leaseId--) {
    service.store.apply({ kind: "grantLease", session: null, leaseId, ttlMs: 60_000 });
  }
  const { leases, header } = await service.ask(path, LEASES, {});
  assertEquals([leases.length, leases[0]?.id, leases.at(-1)?.id, header?.revision], [count, 1, count, 1]);
});

/** Loses the answers of writes from now on; those of reads too for "all". Returns how to end that. */
function loseAnswers(service: MethodsOnStore, which: "writes" | "all"): () => void {
  const node = service.cluster.node(1);
  const { serve } = node;
  node.serve = (request, send) => {
    const reply = serve(request, send);
    return which === "all" || request.kind === "write" ? "silence" : reply;
  };
  return () => node.serve = serve;
}

Deno.test("lease grant: one that was granted without an answer is found by its id, so that no second one stays behind", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  loseAnswers(service, "writes");
  const { id, ttl } = await grant(service, { ttl: 30 });
  assertEquals([ttl, service.store.machine.leaseCount], [30, 1]);
  assertEquals((await timeToLive(service, { id })).grantedTtl, 30);
});

Deno.test("lease grant: its outcome stays unknown if nothing answers, or the client chose the id: unavailable", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const timeout = [14, "etcdserver: request timed out"] as const;
  const restore = loseAnswers(service, "all");
  assertEquals(await refusedGrant(service, { ttl: 30 }), timeout);
  restore();
  loseAnswers(service, "writes");
  // Another client may have granted a lease of this id.
  assertEquals(await refusedGrant(service, { ttl: 30, id: 5n }), timeout);
  assertEquals((await timeToLive(service, { id: 5n })).grantedTtl, 30);
});
