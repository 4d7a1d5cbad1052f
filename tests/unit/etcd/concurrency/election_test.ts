/** v3electionpb.Election: campaigns, values, resignations and observers. */
import { assert, assertEquals } from "@std/assert";
import { concurrencyMethods } from "../../../../lib/etcd/concurrency/methods.ts";
import {
  CAMPAIGN_REQUEST,
  CAMPAIGN_RESPONSE,
  LEADER_REQUEST,
  LEADER_RESPONSE,
  PROCLAIM_REQUEST,
  PROCLAIM_RESPONSE,
  RESIGN_REQUEST,
  RESIGN_RESPONSE,
} from "../../../../lib/etcd/messages/concurrency.ts";
import type { GivenOf, MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { MethodsOnStore, type OpenStream } from "../../../support/etcd/methods_on_store.ts";

const CAMPAIGN = { request: CAMPAIGN_REQUEST, response: CAMPAIGN_RESPONSE };
const PROCLAIM = { request: PROCLAIM_REQUEST, response: PROCLAIM_RESPONSE };
const LEADER = { request: LEADER_REQUEST, response: LEADER_RESPONSE };
const RESIGN = { request: RESIGN_REQUEST, response: RESIGN_RESPONSE };
const NOT_LEADER = [2, "election: not leader"] as const;

type LeaderKey = NonNullable<GivenOf<typeof RESIGN_REQUEST>["leader"]>;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const path = (name: string): string => `/v3electionpb.Election/${name}`;

async function open(...leaseIds: readonly number[]): Promise<MethodsOnStore> {
  const service = await MethodsOnStore.open(concurrencyMethods);
  for (const leaseId of leaseIds) {
    service.store.apply({ kind: "grantLease", session: null, leaseId, ttlMs: 3_600_000 });
  }
  return service;
}

/** Begins to campaign in the election "e", and joins it. */
async function campaign(
  service: MethodsOnStore,
  lease: bigint,
  value: string,
): Promise<
  { answer: MessageOf<typeof CAMPAIGN_RESPONSE> | null; failure: readonly [number, string] | null }
> {
  const begun: Awaited<ReturnType<typeof campaign>> = { answer: null, failure: null };
  service.begin(path("Campaign"), CAMPAIGN, { given: { name: bytes("e"), lease, value: bytes(value) } }).then(
    (answer) => begun.answer = answer,
    (error) => {
      assert(error instanceof EtcdError, String(error));
      begun.failure = [error.code, error.message];
    },
  );
  await service.cluster.pass(200);
  return begun;
}

async function proclaim(service: MethodsOnStore, leader: LeaderKey, value: string): Promise<number> {
  const { header } = await service.ask(path("Proclaim"), PROCLAIM, { leader, value: bytes(value) });
  return header?.revision ?? 0;
}

async function resign(service: MethodsOnStore, leader: LeaderKey): Promise<number> {
  return (await service.ask(path("Resign"), RESIGN, { leader })).header?.revision ?? 0;
}

/** The values that an observer was sent, with the revisions of their headers. */
function seen({ received }: OpenStream<never, MessageOf<typeof LEADER_RESPONSE>>): unknown[] {
  return received.map(({ header, kv }) => [header?.revision, text(kv?.value)]);
}

Deno.test("election: the first leads, the same lease again leads with its new value, the next one when it resigns", async () => {
  await using service = await open(0x4d, 2);
  const first = await campaign(service, 0x4dn, "a");
  const leader = { name: bytes("e"), key: bytes("e/4d"), rev: 2, lease: 0x4dn };
  assertEquals([first.answer?.header?.revision, first.answer?.leader], [2, leader]);
  const again = await campaign(service, 0x4dn, "b");
  assertEquals(again.answer?.leader, leader);
  const { kv, header } = await service.ask(path("Leader"), LEADER, { name: bytes("e") });
  assertEquals([header?.revision, text(kv?.value), kv?.createRevision, kv?.modRevision, kv?.lease], [
    3,
    "b",
    2,
    3,
    0x4dn,
  ]);
  const next = await campaign(service, 2n, "c");
  assertEquals(next.answer, null);
  assertEquals(await proclaim(service, leader, "d"), 5);
  assertEquals(await proclaim(service, { ...leader, lease: 0n }, "f"), 6);
  assertEquals(service.store.machine.lease(0x4d)?.keyCount, 1);
  assertEquals(await resign(service, leader), 7);
  await service.cluster.pass(100);
  assertEquals(next.answer?.leader, { name: bytes("e"), key: bytes("e/2"), rev: 4, lease: 2n });
  assertEquals(await resign(service, leader), 7);
});

Deno.test("election: failures have the code 2 and etcd's texts", async () => {
  await using service = await open(1);
  const refused = (
    method: "Proclaim" | "Resign",
    leader?: LeaderKey,
  ): Promise<readonly [number, string]> =>
    method === "Proclaim"
      ? service.refusal(path(method), PROCLAIM, { ...leader === undefined ? {} : { leader } })
      : service.refusal(path(method), RESIGN, { ...leader === undefined ? {} : { leader } });
  assertEquals(await service.refusal(path("Leader"), LEADER, { name: bytes("e") }), [
    2,
    "election: no leader",
  ]);
  for (const method of ["Proclaim", "Resign"] as const) {
    assertEquals(await refused(method), [2, '"leader" field must be provided']);
    assertEquals(await refused(method, {}), [2, "etcdserver: key is not provided"]);
  }
  const { answer } = await campaign(service, 1n, "a");
  const leader = answer?.leader;
  assert(leader !== undefined && leader !== null);
  for (const rev of [0, 1, 3, -1, Number.MAX_SAFE_INTEGER]) {
    assertEquals(await refused("Proclaim", { ...leader, rev }), NOT_LEADER);
    assertEquals(await resign(service, { ...leader, rev }), 2);
  }
  assertEquals(await refused("Proclaim", { ...leader, key: bytes("e/2"), rev: 0 }), NOT_LEADER);
  for (const lease of [2n, -1n]) {
    assertEquals(await refused("Proclaim", { ...leader, lease }), [
      2,
      "etcdserver: requested lease not found",
    ]);
  }
  assertEquals((await campaign(service, 9n, "a")).failure, [2, "etcdserver: requested lease not found"]);
  assertEquals(service.store.keys, ["e/1"]);
});

Deno.test("election: a candidate whose lease ends while it waits does not lead", async () => {
  await using service = await open(1, 2);
  const first = await campaign(service, 1n, "a");
  const second = await campaign(service, 2n, "b");
  service.store.apply({ kind: "revokeLease", session: null, leaseId: 2 });
  assert(first.answer !== null && first.answer.leader !== null);
  await resign(service, first.answer.leader);
  await service.cluster.pass(100);
  assertEquals([second.answer, second.failure], [null, NOT_LEADER]);
});

Deno.test("observe: the leader, its values, and each later leader; none is sent while there is none", async () => {
  await using service = await open(1, 2);
  const observer = service.open(path("Observe"), LEADER);
  await observer.send({ name: bytes("e") });
  await observer.halfClose();
  await service.cluster.pass(200);
  assertEquals(seen(observer), []);
  const first = await campaign(service, 1n, "a");
  await campaign(service, 2n, "b");
  const leader = first.answer?.leader;
  assert(leader !== undefined && leader !== null);
  await proclaim(service, leader, "c");
  await service.cluster.pass(100);
  assertEquals(seen(observer), [[2, "a"], [4, "c"]]);
  await resign(service, leader);
  await service.cluster.pass(100);
  service.store.apply({ kind: "revokeLease", session: null, leaseId: 2 });
  await service.cluster.pass(100);
  await campaign(service, 1n, "d");
  assertEquals(seen(observer), [[2, "a"], [4, "c"], [5, "b"], [7, "d"]]);
  assertEquals([observer.ended, service.store.watchCount], [null, 1]);
  await observer.leave();
  await service.cluster.pass(100);
  assertEquals(service.store.watchCount, 0);
  assert(observer.ended instanceof EtcdError);
});

Deno.test("observe: a client that does not read holds its observation up, and gets every value later", async () => {
  await using service = await open(1);
  const { answer } = await campaign(service, 1n, "a");
  const leader = answer?.leader;
  assert(leader !== undefined && leader !== null);
  const observer = service.open(path("Observe"), LEADER);
  observer.isReading = false;
  await observer.send({ name: bytes("e") });
  await service.cluster.pass(100);
  for (const value of ["b", "c", "d"]) await proclaim(service, leader, value);
  assertEquals(seen(observer), [[2, "a"]]);
  observer.readOn();
  await service.cluster.pass(100);
  assertEquals(seen(observer), [[2, "a"], [3, "b"], [4, "c"], [5, "d"]]);
  await observer.leave();
});

Deno.test("observe: it goes on without a repetition where the history of its watch was compacted", async () => {
  await using service = await open(1);
  const { answer } = await campaign(service, 1n, "a");
  const leader = answer?.leader;
  assert(leader !== undefined && leader !== null);
  const node = service.cluster.node(1);
  const { serve } = node;
  let refused = 0;
  node.serve = (request, send) => {
    if (request.kind !== "watch" || refused === 3) return serve(request, send);
    refused += 1;
    const { requestId } = request;
    const message = "Cannot watch: the history is compacted.";
    return {
      kind: "error",
      requestId,
      code: "compacted",
      message,
      outcome: "not-applied",
      leader: 1,
      compactedRevision: 1,
    };
  };
  const observer = service.open(path("Observe"), LEADER);
  await observer.send({ name: bytes("e") });
  await service.cluster.pass(200);
  await proclaim(service, leader, "b");
  await service.cluster.pass(200);
  assertEquals([refused, seen(observer)], [3, [[2, "a"], [3, "b"]]]);
  service.closing.close();
  await service.cluster.pass(100);
  assert(observer.ended instanceof EtcdError);
  assertEquals([observer.ended.code, observer.ended.message], [14, "etcdserver: server stopped"]);
});
