/** Messages with long lists: encoded in steps they are the same messages, and other work is done between the steps. */
import fc from "fast-check";
import { assertEquals, assertRejects } from "@std/assert";
import { JSON_FORMAT } from "../../../../lib/etcd/gateway/json_format.ts";
import { leaseMethods } from "../../../../lib/etcd/lease/methods.ts";
import { RANGE_RESPONSE } from "../../../../lib/etcd/messages/kv.ts";
import { LEASE_LEASES_REQUEST, LEASE_LEASES_RESPONSE } from "../../../../lib/etcd/messages/lease.ts";
import { PROTOBUF } from "../../../../lib/etcd/rpc/grpc.ts";
import { STEP_ELEMENTS, yieldOf } from "../../../../lib/etcd/rpc/long_lists.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { MAX_LIST_ENTRIES } from "../../../../lib/kv/command.ts";
import { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

const HEADER = { clusterId: 1n, memberId: 2n, raftTerm: 3, revision: 4 };

Deno.test("encodeInSteps: the message is the same for every length of its list", async () => {
  const lengths = fc.oneof(fc.nat(3), fc.nat(3 * STEP_ELEMENTS), fc.constantFrom(1, 2, 3).map(inSteps));
  await fc.assert(
    fc.asyncProperty(lengths, fc.boolean(), async (length, more) => {
      const kvs = Array.from({ length }, (_, at) => ({
        key: new TextEncoder().encode(`key ${at}`),
        createRevision: 1,
        modRevision: at + 1,
        version: 1,
      }));
      const message = { header: HEADER, kvs, more, count: length };
      let steps = 0;
      const countStep = (): Promise<void> => Promise.resolve(void steps++);
      const expected = RANGE_RESPONSE.decode(RANGE_RESPONSE.encode(message));
      const binary = await PROTOBUF.encodeInSteps(RANGE_RESPONSE, message, countStep);
      assertEquals(RANGE_RESPONSE.decode(binary), expected);
      assertEquals(steps, Math.max(0, Math.ceil(length / STEP_ELEMENTS) - 1));
      const json = await JSON_FORMAT.encodeInSteps(RANGE_RESPONSE, message, countStep);
      assertEquals(json, JSON_FORMAT.encode(RANGE_RESPONSE, message));
    }),
    { numRuns: 20 },
  );
  assertEquals(await JSON_FORMAT.encodeInSteps(RANGE_RESPONSE, {}, () => Promise.resolve()), encoded("{}"));
});

Deno.test("encodeInSteps: ends with the client", async () => {
  const stop = new AbortController();
  const leases = Array.from({ length: 2 * STEP_ELEMENTS }, (_, id) => ({ id }));
  stop.abort();
  const yieldToOthers = yieldOf({ clock: new ManualClock(), signal: stop.signal });
  for (const format of [PROTOBUF, JSON_FORMAT]) {
    await assertRejects(
      () => format.encodeInSteps(LEASE_LEASES_RESPONSE, { leases }, yieldToOthers),
      EtcdError,
      "the client has gone",
    );
  }
});

Deno.test("LeaseLeases: other work is done between pages and between steps of the answer", async () => {
  await using service = await MethodsOnStore.open(leaseMethods);
  const count = MAX_LIST_ENTRIES + 1;
  for (let leaseId = 1; leaseId <= count; leaseId++) {
    service.store.apply({ kind: "grantLease", session: null, leaseId, ttlMs: 2 ** 40 });
  }
  const messages = { request: LEASE_LEASES_REQUEST, response: LEASE_LEASES_RESPONSE };
  const { clock } = service.cluster;
  const after = clock.after.bind(clock);
  let yields = 0;
  clock.after = (delayMs, callback) => {
    if (delayMs === 0) yields += 1;
    return after(delayMs, callback);
  };
  const { leases } = await service.ask("/etcdserverpb.Lease/LeaseLeases", messages, {});
  assertEquals(leases.length, count);
  const [pages, steps] = [Math.ceil(count / MAX_LIST_ENTRIES), Math.ceil(count / STEP_ELEMENTS)];
  assertEquals(yields, (pages - 1) + (steps - 1));
});

function inSteps(steps: number): number {
  return steps * STEP_ELEMENTS;
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
