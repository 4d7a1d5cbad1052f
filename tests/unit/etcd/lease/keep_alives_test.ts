/** LeaseKeepAlive: order, batches over streams, dead leases, failures, slow clients, users without rights. */
import { assert, assertEquals } from "@std/assert";
import { leaseMethods } from "../../../../lib/etcd/lease/methods.ts";
import { LEASE_KEEP_ALIVE_REQUEST, LEASE_KEEP_ALIVE_RESPONSE } from "../../../../lib/etcd/messages/lease.ts";
import type { GivenOf, MessageOf } from "../../../../lib/etcd/protobuf/message.ts";
import { MethodsOnStore, type OpenStream } from "../../../support/etcd/methods_on_store.ts";

type Stream = OpenStream<
  GivenOf<typeof LEASE_KEEP_ALIVE_REQUEST>,
  MessageOf<typeof LEASE_KEEP_ALIVE_RESPONSE>
>;

function open(service: MethodsOnStore): Stream {
  const messages = { request: LEASE_KEEP_ALIVE_REQUEST, response: LEASE_KEEP_ALIVE_RESPONSE };
  return service.open("/etcdserverpb.Lease/LeaseKeepAlive", messages);
}

function grant(service: MethodsOnStore, ttlMs: number, ...leaseIds: readonly number[]): void {
  for (const leaseId of leaseIds) service.store.apply({ kind: "grantLease", session: null, leaseId, ttlMs });
}

/** The lists of leases that the node was asked to keep alive. */
function asked(service: MethodsOnStore): (readonly number[])[] {
  return service.cluster.node(1).requests.flatMap((request) =>
    request.kind === "keepAlive" ? [request.leaseIds] : []
  );
}

const answers = ({ received }: Stream): unknown[] => received.map(({ id, ttl }) => [id, ttl]);

Deno.test("keep-alive: a lease lasts as long as it is kept alive; a dead one has a TTL of 0, and the stream goes on", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  grant(service, 3_000, 5);
  const stream = open(service);
  for (let second = 0; second < 8; second++) {
    await stream.send({ id: 5n });
    await service.cluster.pass(1_000);
  }
  assertEquals(answers(stream), Array(8).fill([5n, 3]));
  await service.cluster.pass(3_500);
  await stream.send({ id: 5n }, { id: 0n }, { id: -1n }, { id: 2n ** 60n });
  await service.cluster.pass(100);
  assertEquals(answers(stream).slice(8), [[5n, 0], [0n, 0], [-1n, 0], [2n ** 60n, 0]]);
  assertEquals([stream.ended, stream.received.every(({ header }) => header?.revision === 1)], [null, true]);
  await stream.halfClose();
  assertEquals(stream.ended, "ok");
});

Deno.test("keep-alive: what arrives in one turn over many streams is one request, and is answered in order", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  grant(service, 10_000, ...ids);
  const streams = ids.map(() => open(service));
  await Promise.all(
    streams.map((stream, index) =>
      stream.send({ id: BigInt(ids.length - index) }, { id: 4711n }, { id: BigInt(index + 1) })
    ),
  );
  await service.cluster.pass(100);
  assertEquals(
    streams.map(answers),
    ids.map((id) => [[BigInt(101 - id), 10], [4711n, 0], [BigInt(id), 10]]),
  );
  assertEquals(asked(service).map(({ length }) => length), [300]);
  for (const stream of streams) await stream.halfClose();
  assertEquals(streams.map(({ ended }) => ended), Array<"ok">(100).fill("ok"));
});

Deno.test("keep-alive: half-closing ends the stream after the last answer", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  grant(service, 10_000, 5);
  const stream = open(service);
  service.cluster.node(1).isHung = true;
  await stream.send({ id: 5n });
  await stream.halfClose();
  assertEquals([stream.ended, answers(stream)], [null, []]);
  service.cluster.node(1).isHung = false;
  await service.cluster.pass(3_000);
  assertEquals([stream.ended, answers(stream)], ["ok", [[5n, 10]]]);
});

Deno.test("keep-alive: a cluster that does not answer ends the stream, though its client sends nothing more", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const stream = open(service);
  await stream.send({ id: 5n });
  await service.cluster.pass(100);
  service.cluster.node(1).isHung = true;
  await stream.send({ id: 5n });
  await service.cluster.pass(8_000);
  assert(stream.ended !== null && stream.ended !== "ok");
  assertEquals([stream.ended.code, stream.ended.message], [14, "etcdserver: request timed out"]);
  assertEquals(answers(stream), [[5n, 0]]);
});

Deno.test("keep-alive: streams end when the front end stops, so that clients turn to another node", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const before = open(service);
  await before.send({ id: 5n });
  await service.cluster.pass(100);
  service.closing.close();
  const after = open(service);
  await service.cluster.pass(100);
  for (const { ended } of [before, after]) {
    assert(ended !== null && ended !== "ok");
    assertEquals([ended.code, ended.message], [14, "etcdserver: server stopped"]);
  }
});

Deno.test("keep-alive: a client that takes no answers, or asks for too many at once, is not read", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const stream = open(service);
  stream.isReading = false;
  const many = Array.from({ length: 5_000 }, () => ({ id: 5n }));
  await stream.send(...many);
  await service.cluster.pass(200);
  assertEquals([stream.received.length, stream.unread], [1, 4_000]);
  stream.readOn();
  await service.cluster.pass(2_000);
  assertEquals([stream.received.length, stream.unread], [5_000, 0]);
});

Deno.test("keep-alive: a lease that its user may not keep alive ends its own stream alone", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const ids = [1, 2, 3, 4, 5, 6, 7];
  grant(service, 10_000, ...ids);
  const node = service.cluster.node(1);
  const { serve } = node;
  node.serve = (request, send) => {
    const isRefused = request.kind === "keepAlive" && request.leaseIds.includes(6);
    if (!isRefused) return serve(request, send);
    const { requestId } = request;
    return {
      kind: "error",
      requestId,
      code: "permissionDenied",
      message: "Cannot keep leases alive.",
      outcome: "not-applied",
      leader: 1,
    };
  };
  const streams = ids.map(() => open(service));
  await Promise.all(streams.map((stream, index) => stream.send({ id: BigInt(index + 1) })));
  await service.cluster.pass(500);
  const ends = streams.map(({ ended, received }) =>
    ended === null ? received[0]?.ttl : ended === "ok" ? ended : ended.message
  );
  assertEquals(ends, [10, 10, 10, 10, 10, "etcdserver: permission denied", 10]);
});
