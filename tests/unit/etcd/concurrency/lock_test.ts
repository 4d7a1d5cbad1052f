/** v3lockpb.Lock: keys, order, leases of the server, and what a client leaves behind that has gone. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CloseSignal } from "../../../../lib/client/call_context.ts";
import { concurrencyMethods } from "../../../../lib/etcd/concurrency/methods.ts";
import { MAX_WAITING_CALLS, WaitingCalls } from "../../../../lib/etcd/concurrency/waiting_calls.ts";
import {
  LOCK_REQUEST,
  LOCK_RESPONSE,
  UNLOCK_REQUEST,
  UNLOCK_RESPONSE,
} from "../../../../lib/etcd/messages/concurrency.ts";
import type { MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";

const LOCK = { request: LOCK_REQUEST, response: LOCK_RESPONSE };
const UNLOCK = { request: UNLOCK_REQUEST, response: UNLOCK_RESPONSE };
const PATH = "/v3lockpb.Lock/Lock";
const TTL_MS = 3_600_000;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A request for a lock, and how it ended. */
class Request {
  readonly client = new AbortController();
  answer: MessageOf<typeof LOCK_RESPONSE> | null = null;
  failure: readonly [number, string] | null = null;

  /** Begins it. */
  constructor(service: MethodsOnStore, lease: bigint, name = "l") {
    const given = { name: bytes(name), lease };
    service.begin(PATH, LOCK, { given, signal: this.client.signal }).then(
      (answer) => this.answer = answer,
      (error) => {
        assert(error instanceof EtcdError, String(error));
        this.failure = [error.code, error.message];
      },
    );
  }

  /** The key by which it holds the lock. */
  get key(): string | null {
    return this.answer === null ? null : text(this.answer.key);
  }
}

async function open(...leaseIds: readonly number[]): Promise<MethodsOnStore> {
  const service = await MethodsOnStore.open(concurrencyMethods);
  for (const leaseId of leaseIds) {
    service.store.apply({ kind: "grantLease", session: null, leaseId, ttlMs: TTL_MS });
  }
  return service;
}

/** Begins a request, and lets it join the queue. */
async function request(service: MethodsOnStore, lease: bigint, name?: string): Promise<Request> {
  const begun = new Request(service, lease, name);
  await service.cluster.pass(200);
  return begun;
}

function unlock(service: MethodsOnStore, key: string): Promise<MessageOf<typeof UNLOCK_RESPONSE>> {
  return service.ask("/v3lockpb.Lock/Unlock", UNLOCK, { key: bytes(key) });
}

Deno.test("lock: the key is the name and the lease in hexadecimal; the same lease again changes nothing", async () => {
  await using service = await open(0x4d);
  const { answer } = await request(service, 0x4dn, "n/a");
  assertEquals([answer?.header?.revision, text(answer?.key ?? new Uint8Array())], [2, "n/a/4d"]);
  const again = await request(service, 0x4dn, "n/a");
  assertEquals([again.answer?.header?.revision, again.key, service.store.keys], [2, "n/a/4d", ["n/a/4d"]]);
  const empty = await request(service, 0x4dn, "");
  assertEquals([empty.answer?.header?.revision, empty.key], [3, "/4d"]);
  assertEquals((await unlock(service, "n/a/4d")).header?.revision, 4);
  assertEquals((await unlock(service, "n/a/4d")).header?.revision, 4);
  assertEquals(service.store.keys, ["/4d"]);
});

Deno.test("lock: failures have the code 2 and etcd's texts", async () => {
  await using service = await open();
  const refused = (lease: bigint): Promise<readonly [number, string]> =>
    service.refusal(PATH, LOCK, { name: bytes("l"), lease });
  for (const lease of [99n, -1n, 2n ** 60n]) {
    assertEquals(await refused(lease), [2, "etcdserver: requested lease not found"]);
  }
  assertEquals(await service.refusal("/v3lockpb.Lock/Unlock", UNLOCK, {}), [
    2,
    "etcdserver: key is not provided",
  ]);
  const reserved = { name: new Uint8Array(9).fill(0xff) };
  assertEquals(await service.refusal(PATH, LOCK, reserved), [2, "etcdserver: permission denied"]);
  for (const length of [4_095, 4_096, 2_000_000]) {
    const long = { name: new Uint8Array(length), lease: 1n };
    assertEquals(await service.refusal(PATH, LOCK, long), [2, "etcdserver: request is too large"]);
    const key = { key: new Uint8Array(length + 2) };
    assertEquals((await service.refusal("/v3lockpb.Lock/Unlock", UNLOCK, key))[0], 2);
  }
  assertEquals([service.store.keys, service.store.machine.leaseCount], [[], 0]);
});

Deno.test("lock: clients get it in the order in which they came, and one change wakes one of them", async () => {
  await using service = await open(1, 2, 3, 4);
  const requests = [await request(service, 3n)];
  assertEquals(service.notedWaits, 0);
  for (const lease of [1n, 4n, 2n]) requests.push(await request(service, lease));
  assertEquals(service.notedWaits, 3, "those that wait keep no other requests waiting");
  const held = (): readonly (string | null)[] => requests.map(({ key }) => key);
  assertEquals(held(), ["l/3", null, null, null]);
  const lists = (): number => service.cluster.node(1).requests.filter(({ kind }) => kind === "list").length;
  const before = lists();
  await unlock(service, "l/3");
  await service.cluster.pass(100);
  assertEquals([held(), lists() - before], [["l/3", "l/1", null, null], 1]);
  assertEquals(requests[1]?.answer?.header?.revision, 6);
  // One in the middle ends: the one behind it waits for the one before it.
  service.store.apply({ kind: "revokeLease", session: null, leaseId: 4 });
  await service.cluster.pass(100);
  assertEquals(held(), ["l/3", "l/1", null, null]);
  await unlock(service, "l/1");
  await service.cluster.pass(100);
  assertEquals([held(), requests[2]?.failure], [
    ["l/3", "l/1", null, "l/2"],
    [2, "mutex: session is expired"],
  ]);
});

Deno.test("lock: keys that other clients made below the name come first", async () => {
  await using service = await open(7);
  for (const key of ["l/0", "l/other/1", "l/zzz"]) {
    const mutations = [{ kind: "put", key: bytes(key), value: bytes("v") }] as const;
    service.store.apply({ kind: "transaction", session: null, checks: [], mutations });
  }
  const waiting = await request(service, 7n);
  for (const key of ["l/zzz", "l/other/1", "l/0"]) {
    assertEquals(waiting.answer, null);
    await unlock(service, key);
    await service.cluster.pass(100);
  }
  assertEquals(waiting.key, "l/7");
});

Deno.test("lock: a client that goes away while it waits leaves no key behind", async () => {
  await using service = await open(1, 2, 3);
  const [holder, gone, next] = [
    await request(service, 1n),
    await request(service, 2n),
    await request(service, 3n),
  ];
  gone.client.abort();
  await service.cluster.pass(100);
  assertEquals([service.store.keys, gone.failure?.[0], holder.failure], [["l/1", "l/3"], 1, null]);
  // A client that holds the lock keeps it: its request has ended.
  holder.client.abort();
  await service.cluster.pass(100);
  assertEquals([service.store.keys, next.answer], [["l/1", "l/3"], null]);
  await unlock(service, "l/1");
  await service.cluster.pass(100);
  assertEquals(next.key, "l/3");
  assertEquals(service.store.watchCount, 0);
});

Deno.test("lock: a client that goes away before it has its answer does not hold the lock", async () => {
  await using service = await open(1);
  const gone = new Request(service, 1n);
  gone.client.abort();
  await service.cluster.pass(200);
  assertEquals([service.store.keys, gone.failure?.[0]], [[], 1]);
});

Deno.test("lock: a second request of the client that holds it deletes nothing when it is given up", async () => {
  await using service = await open(1);
  const holder = await request(service, 1n);
  service.cluster.node(1).isHung = true;
  const again = new Request(service, 1n);
  again.client.abort();
  service.cluster.node(1).isHung = false;
  await service.cluster.pass(8_000);
  assertEquals([holder.key, again.failure?.[0], service.store.keys], ["l/1", 1, ["l/1"]]);
});

Deno.test("lock: without a lease the server makes one, which lives as long as the client waits, and a minute then", async () => {
  await using service = await open(1);
  const holder = await request(service, 1n);
  const waiting = await request(service, 0n);
  const { machine } = service.store;
  await service.cluster.pass(190_000);
  assertEquals([machine.leaseCount, waiting.failure], [2, null]);
  await unlock(service, holder.key ?? "");
  await service.cluster.pass(200);
  assert(waiting.key !== null && /^l\/[1-9a-f][0-9a-f]{13}$/.test(waiting.key), String(waiting.key));
  const leaseId = Number.parseInt(waiting.key.slice(2), 16);
  const { ttlMs, deadlineMs } = machine.lease(leaseId) ?? { ttlMs: 0, deadlineMs: 0 };
  assertEquals(ttlMs, 60_000);
  assert(deadlineMs - machine.logTimeMs > 59_000, `${deadlineMs - machine.logTimeMs} ms are left`);
  await service.cluster.pass(61_500);
  assertEquals([service.store.keys, machine.leaseCount], [[], 1]);
});

Deno.test("lock: a lease of the server is revoked when its client goes away", async () => {
  await using service = await open(1);
  await request(service, 1n);
  const gone = await request(service, 0n);
  assertEquals(service.store.machine.leaseCount, 2);
  gone.client.abort();
  await service.cluster.pass(200);
  assertEquals([service.store.keys, service.store.machine.leaseCount], [["l/1"], 1]);
});

Deno.test("lock: when the front end stops, a client keeps its place by its lease; leases of the server end", async () => {
  await using service = await open(1, 2);
  const requests = [await request(service, 1n), await request(service, 2n), await request(service, 0n)];
  service.closing.close();
  await service.cluster.pass(200);
  const stopped = [14, "etcdserver: server stopped"] as const;
  assertEquals(requests.map(({ failure }) => failure), [null, stopped, stopped]);
  assertEquals([service.store.keys, service.store.machine.leaseCount], [["l/1", "l/2"], 2]);
  assertEquals((await request(service, 2n)).failure, stopped);
});

Deno.test("lock: an answer that is lost makes no second key, and a leader that is missing is waited for", async () => {
  await using service = await open(1, 2);
  const node = service.cluster.node(1);
  const { serve } = node;
  let lost = 0;
  node.serve = (request, send) => {
    const reply = serve(request, send);
    return request.kind === "write" && lost++ < 2 ? "disconnect" : reply;
  };
  const holder = new Request(service, 1n);
  await service.cluster.pass(5_000);
  assertEquals([holder.key, lost > 2, service.store.keys], ["l/1", true, ["l/1"]]);
  node.isHung = true;
  const waiting = new Request(service, 2n);
  await service.cluster.pass(30_000);
  assertEquals([waiting.answer, waiting.failure], [null, null]);
  node.isHung = false;
  await service.cluster.pass(10_000);
  assertEquals([waiting.answer, waiting.failure, service.store.keys], [null, null, ["l/1", "l/2"]]);
  await unlock(service, "l/1");
  await service.cluster.pass(1_000);
  assertEquals(waiting.key, "l/2");
});

Deno.test("waiting calls: one more than the limit is refused at once", async () => {
  const waiting = new WaitingCalls(new CloseSignal());
  const { promise, resolve } = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  const run = (): Promise<void> => waiting.run({ signal, noteWaiting: () => {} }, () => promise);
  const runs = Array.from({ length: MAX_WAITING_CALLS }, run);
  await assertRejects(run, EtcdError, "too many requests");
  resolve();
  await Promise.all(runs);
  await run();
});
