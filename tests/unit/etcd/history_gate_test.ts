/** HistoryGate: requests wait for the history of a new cluster, and not any more once there is one. */
import { assertEquals, assertRejects } from "@std/assert";
import { AuthenticationError, NoLeaderError } from "../../../lib/client/errors.ts";
import { HistoryGate } from "../../../lib/etcd/history_gate.ts";
import { allMethods } from "../../../lib/etcd/methods.ts";
import { PUT_REQUEST, PUT_RESPONSE } from "../../../lib/etcd/messages/kv.ts";
import { MethodsOnStore } from "../../support/etcd/methods_on_store.ts";

/** Returns a gate whose reads end as `ends` says, one after the other, and the number of them. */
function gateOf(ends: (Error | null)[]): { readonly gate: HistoryGate; readonly reads: () => number } {
  let reads = 0;
  const core = {
    context: () => Object.create(null),
    call: () => {
      reads += 1;
      const end = ends.shift() ?? null;
      return end === null ? Promise.resolve(Object.create(null)) : Promise.reject(end);
    },
  };
  return { gate: new HistoryGate(core), reads: () => reads };
}

Deno.test("HistoryGate: an action begins once a read has found a history, and later ones at once", async () => {
  const { gate, reads } = gateOf([new NoLeaderError("Cannot read: node 3 has not reported its version.")]);
  const done: string[] = [];
  const act = (name: string) => (): Promise<void> => {
    done.push(name);
    return Promise.resolve();
  };
  await assertRejects(() => gate.pass(100, act("first")), NoLeaderError);
  assertEquals(done, [], "no action without a history");
  await gate.pass(100, act("second"));
  await gate.pass(100, act("third"));
  assertEquals([done, reads()], [["second", "third"], 2]);
});

Deno.test("HistoryGate: a cluster that asks for a user has a history", async () => {
  const { gate } = gateOf([
    new AuthenticationError("Cannot read.", { reason: "unauthenticated", user: null }),
  ]);
  assertEquals(await gate.pass(100, () => Promise.resolve(7)), 7);
});

Deno.test("heldAtGate: a put of a client of etcd passes where there is a history", async () => {
  await using store = await MethodsOnStore.open(allMethods);
  const given = { key: Uint8Array.of(1), value: Uint8Array.of(2) };
  const put = store.begin("/etcdserverpb.KV/Put", { request: PUT_REQUEST, response: PUT_RESPONSE }, {
    given,
  });
  assertEquals((await store.cluster.finish(put)).header?.revision, 2);
});
