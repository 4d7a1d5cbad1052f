/** Put, DeleteRange, Txn and Compact over the store: what depends on the translation to its transactions. */
import { assertEquals } from "@std/assert";
import { failureOf } from "../../../../lib/etcd/kv/failures.ts";
import {
  COMPARE_RESULT,
  COMPARE_TARGET,
  type RequestOpGiven,
  SORT_ORDER,
  SORT_TARGET,
  type TxnRequestGiven,
} from "../../../../lib/etcd/messages/kv.ts";
import type { GivenOf } from "../../../../lib/etcd/protobuf/message.ts";
import type { MethodsOnStore } from "../../../support/etcd/methods_on_store.ts";
import { bytes } from "../../kv/support.ts";
import { KV, openKv, path, text } from "./support.ts";

type RangeGiven = GivenOf<typeof KV.Range.request>;
type PutGiven = GivenOf<typeof KV.Put.request>;

const KEY_NOT_FOUND = [3, "etcdserver: key not found"] as const;
const COMPACTED = [11, "etcdserver: mvcc: required revision has been compacted"] as const;
const TOO_LARGE = [3, "etcdserver: request is too large"] as const;
const RESERVED = new Uint8Array(9).fill(0xff);

const putOf = (key: string, value: string, more: PutGiven = {}): PutGiven => ({
  key: bytes(key),
  value: bytes(value),
  ...more,
});
const put = (key: string, value: string, more: PutGiven = {}): RequestOpGiven => ({
  request: { kind: "requestPut", value: putOf(key, value, more) },
});
const get = (key: string, more: RangeGiven = {}): RequestOpGiven => ({
  request: { kind: "requestRange", value: { key: bytes(key), ...more } },
});
const remove = (key: string, rangeEnd = ""): RequestOpGiven => ({
  request: {
    kind: "requestDeleteRange",
    value: { key: bytes(key), rangeEnd: bytes(rangeEnd), prevKv: true },
  },
});

/** Returns the answer to a transaction: its branch, its revision and, in short, its answers. */
async function txn(kv: MethodsOnStore, given: TxnRequestGiven): Promise<readonly unknown[]> {
  const { succeeded, header, responses } = await kv.ask(path("Txn"), KV.Txn, given);
  const answers = responses.map(({ response }) => {
    switch (response?.kind) {
      case "responseRange": {
        const { header, kvs, more, count } = response.value;
        return [
          header?.revision,
          kvs.map(({ key, value }) => `${text(key)}=${text(value)}`).join(),
          more,
          count,
        ];
      }
      case "responsePut":
        return [response.value.header?.revision, response.value.prevKv?.version ?? null];
      case "responseDeleteRange":
        return [response.value.header?.revision, response.value.prevKvs.map(({ key }) => text(key)).join()];
      case "responseTxn":
        return [response.value.header?.revision, response.value.succeeded];
      case undefined:
        return null;
    }
  });
  return [succeeded, header?.revision, ...answers];
}

Deno.test("Put: a key keeps its value or its lease, and a put that keeps what is not there changes nothing", async () => {
  await using kv = await openKv();
  kv.store.apply({ kind: "grantLease", session: null, leaseId: 7, ttlMs: 60_000 });
  const ask = (given: PutGiven): Promise<unknown> => kv.ask(path("Put"), KV.Put, given);
  const refusal = (given: PutGiven): Promise<unknown> => kv.refusal(path("Put"), KV.Put, given);
  assertEquals(await refusal(putOf("k", "", { ignoreValue: true })), KEY_NOT_FOUND);
  assertEquals(await refusal(putOf("k", "v", { ignoreLease: true })), KEY_NOT_FOUND);
  // Of two reasons etcd names the lease.
  const lease = await refusal(putOf("k", "", { ignoreValue: true, lease: 9n }));
  assertEquals(lease, [5, "etcdserver: requested lease not found"]);
  assertEquals(kv.store.machine.revision, 0);
  await ask(putOf("k", "v", { lease: 7n }));
  await ask(putOf("k", "w", { ignoreLease: true }));
  await ask(putOf("k", "", { ignoreValue: true, ignoreLease: true }));
  const { kvs } = await kv.ask(path("Range"), KV.Range, { key: bytes("k") });
  assertEquals(kvs.map(({ value, lease, version }) => [text(value), lease, version]), [["w", 7n, 3]]);
  const { prevKv } = await kv.ask(path("Put"), KV.Put, putOf("k", "x", { ignoreLease: true, prevKv: true }));
  assertEquals([prevKv?.version, prevKv?.lease], [3, 7n]);
});

Deno.test("Txn: a put that keeps the lease of an absent key fails the whole transaction", async () => {
  await using kv = await openKv();
  const success = [put("a", "1"), put("b", "1", { ignoreLease: true })];
  assertEquals(await kv.refusal(path("Txn"), KV.Txn, { success }), KEY_NOT_FOUND);
  assertEquals(kv.store.keys, []);
  await kv.ask(path("Put"), KV.Put, putOf("b", "0"));
  assertEquals(await txn(kv, { success: [put("b", "1", { ignoreLease: true, prevKv: true })] }), [true, 3, [
    3,
    1,
  ]]);
});

Deno.test("Txn: answers have the revision before the first change and the next one from there on", async () => {
  await using kv = await openKv();
  await kv.ask(path("Put"), KV.Put, putOf("a", "1"));
  const nested: RequestOpGiven = {
    request: {
      kind: "requestTxn",
      value: {
        compare: [{
          key: bytes("b"),
          target: COMPARE_TARGET.version,
          result: COMPARE_RESULT.equal,
          targetUnion: { kind: "version", value: 0 },
        }],
        success: [get("b")],
      },
    },
  };
  const success = [get("a"), remove("x"), put("b", "2"), get("b"), nested, remove("a", "b")];
  assertEquals(await txn(kv, { success }), [
    true,
    3,
    [2, "a=1", false, 1],
    [2, ""],
    [3, null],
    [3, "b=2", false, 1],
    [0, true],
    [3, "a"],
  ]);
  assertEquals(await txn(kv, { success: [get("b"), remove("x")] }), [true, 3, [3, "b=2", false, 1], [3, ""]]);
});

Deno.test("Txn: reads have the limits, orders and filters of Range", async () => {
  await using kv = await openKv();
  for (const [key, value] of [["b", "3"], ["a", "1"], ["c", "2"], ["a", "9"]] as const) {
    await kv.ask(path("Put"), KV.Put, putOf(key, value));
  }
  const all = { rangeEnd: bytes("\0") };
  const { descend } = SORT_ORDER;
  const success = [
    get("a", { ...all, limit: 2 }),
    get("a", { ...all, limit: 1, sortOrder: descend }),
    get("a", { ...all, limit: 1, sortTarget: SORT_TARGET.create }),
    get("a", { ...all, limit: 1, sortTarget: SORT_TARGET.value, sortOrder: descend }),
    get("a", { ...all, limit: 1, minModRevision: 4 }),
    get("a", { ...all, countOnly: true }),
    get("a", { ...all, keysOnly: true }),
    get("a", { revision: 3 }),
    get("a", { revision: -1 }),
  ];
  assertEquals(await txn(kv, { success }), [
    true,
    5,
    [5, "a=9,b=3", true, 3],
    [5, "c=2", true, 3],
    [5, "b=3", true, 3],
    [5, "a=9", true, 3],
    [5, "a=9", true, 3],
    [5, "", false, 3],
    [5, "a=,b=,c=", false, 3],
    [5, "a=1", false, 1],
    [5, "a=9", false, 1],
  ]);
  const future = { success: [put("d", "1"), get("a", { revision: 6 })] };
  const [code] = await kv.refusal(path("Txn"), KV.Txn, future);
  assertEquals([code, kv.store.machine.revision], [11, 4]);
});

Deno.test("failureOf: a transaction that the store's bounds refuse is one of exhausted resources", () => {
  const reasons = ["tooManyKeys", "resultTooLarge", "tooManyLeaseKeys"] as const;
  assertEquals(reasons.map((reason) => failureOf(reason).code), [8, 8, 8]);
});

Deno.test("KV: keys that belong to databases do not exist, and cannot be written", async () => {
  await using kv = await openKv();
  await kv.ask(path("Put"), KV.Put, putOf("k", "v"));
  const refused = await kv.refusal(path("Put"), KV.Put, { key: RESERVED, value: bytes("v") });
  assertEquals(refused[0], 3);
  const single = await kv.ask(path("Range"), KV.Range, { key: RESERVED });
  const rest = await kv.ask(path("Range"), KV.Range, { key: RESERVED, rangeEnd: bytes("\0") });
  const all = await kv.ask(path("Range"), KV.Range, { key: bytes("\0"), rangeEnd: bytes("\0") });
  assertEquals([single, rest, all].map(({ count, header }) => [count, header?.revision]), [[0, 2], [0, 2], [
    1,
    2,
  ]]);
  const removed = await kv.ask(path("DeleteRange"), KV.DeleteRange, { key: RESERVED, rangeEnd: bytes("\0") });
  assertEquals([removed.deleted, removed.header?.revision], [0, 2]);
});

Deno.test("KV: keys and values above the store's limits are too large, and keys of the largest size are not", async () => {
  await using kv = await openKv();
  const key = new Uint8Array(4_096).fill(97);
  await kv.ask(path("Put"), KV.Put, { key, value: bytes("v") });
  assertEquals((await kv.ask(path("Range"), KV.Range, { key })).count, 1);
  const longer = new Uint8Array(4_097).fill(97);
  assertEquals(await kv.refusal(path("Put"), KV.Put, { key: longer }), TOO_LARGE);
  assertEquals(await kv.refusal(path("Range"), KV.Range, { key: longer }), TOO_LARGE);
  const value = new Uint8Array(1_048_577);
  assertEquals(await kv.refusal(path("Put"), KV.Put, { key, value }), TOO_LARGE);
  assertEquals(await kv.refusal(path("Put"), KV.Put, { key, value, prevKv: true }), TOO_LARGE);
});

Deno.test("Compact: the present revision once, then no more; neither one of the future nor of none", async () => {
  await using kv = await openKv();
  const ask = async (revision: number): Promise<unknown> =>
    (await kv.ask(path("Compact"), KV.Compact, { revision })).header?.revision;
  const refusal = (revision: number): Promise<unknown> =>
    kv.refusal(path("Compact"), KV.Compact, { revision });
  assertEquals(await ask(1), 1);
  for (const value of ["1", "2"]) await kv.ask(path("Put"), KV.Put, putOf("k", value));
  assertEquals(await refusal(4), [11, "etcdserver: mvcc: required revision is a future revision"]);
  assertEquals(await ask(2), 3);
  for (const revision of [2, 1, 0, -1]) assertEquals(await refusal(revision), COMPACTED);
  assertEquals((await kv.ask(path("Range"), KV.Range, { key: bytes("k"), revision: 2 })).count, 1);
});
