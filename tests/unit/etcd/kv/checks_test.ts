/** The checks of transactions that etcd makes before it executes them. */
import { assertEquals } from "@std/assert";
import { checkTxn } from "../../../../lib/etcd/kv/checks.ts";
import { type RequestOpGiven, TXN_REQUEST, type TxnRequestGiven } from "../../../../lib/etcd/messages/kv.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { bytes } from "../../kv/support.ts";

const DUPLICATE = "etcdserver: duplicate key given in txn request";
const TOO_MANY = "etcdserver: too many operations in txn request";

const put = (key: string): RequestOpGiven => ({
  request: { kind: "requestPut", value: { key: bytes(key) } },
});
const remove = (key: string, rangeEnd = ""): RequestOpGiven => ({
  request: { kind: "requestDeleteRange", value: { key: bytes(key), rangeEnd: bytes(rangeEnd) } },
});
const get = (key: string): RequestOpGiven => ({
  request: { kind: "requestRange", value: { key: bytes(key) } },
});
const txn = (
  success: readonly RequestOpGiven[],
  failure: readonly RequestOpGiven[] = [],
): RequestOpGiven => ({
  request: { kind: "requestTxn", value: { success, failure } },
});
const many = (count: number, one: RequestOpGiven): readonly RequestOpGiven[] => Array(count).fill(one);

/** Returns the text of the refusal of a transaction; null if it is let through. */
function refusal(given: TxnRequestGiven): string | null {
  try {
    checkTxn(TXN_REQUEST.decode(TXN_REQUEST.encode(given)));
    return null;
  } catch (error) {
    if (error instanceof EtcdError) return error.message;
    throw error;
  }
}

const CASES: readonly (readonly [string, TxnRequestGiven, string | null])[] = [
  ["nothing", {}, null],
  ["two puts of a key", { success: [put("a"), put("a")] }, DUPLICATE],
  ["two puts of a key in the branch that is not taken", { failure: [put("a"), put("a")] }, DUPLICATE],
  ["a put in each branch", { success: [put("a")], failure: [put("a")] }, null],
  ["a put and a deletion of it", { success: [put("a"), remove("a")] }, DUPLICATE],
  ["a put in a deleted range", { success: [remove("a", "c"), put("b")] }, DUPLICATE],
  ["a put at the end of a deleted range", { success: [remove("a", "c"), put("c")] }, null],
  ["a put and a deletion to the end of all keys", { success: [put("b"), remove("a", "\0")] }, null],
  ["deletions that overlap", { success: [remove("a", "c"), remove("b")] }, null],
  ["a put within and one beside it", { success: [txn([put("a")]), put("a")] }, DUPLICATE],
  ["puts in both branches of one", { success: [txn([put("a")], [put("a")])] }, null],
  ["puts in two that are nested", { success: [txn([put("a")]), txn([put("a")])] }, DUPLICATE],
  ["puts in the other branches of two", { success: [txn([put("a")]), txn([], [put("a")])] }, DUPLICATE],
  ["a put, then a deletion in a later one", { success: [txn([put("a")]), txn([remove("a")])] }, null],
  ["a deletion, then a put in a later one", { success: [txn([remove("a")]), txn([put("a")])] }, DUPLICATE],
  ["a put beside a deletion within", { success: [txn([remove("a")]), put("a")] }, DUPLICATE],
  ["an operation that is none", { success: [{}] }, "etcdserver: key not found"],
  ["a condition without a key", { compare: [{}] }, "etcdserver: key is not provided"],
  [
    "a get without a key, in a nested branch",
    { success: [txn([], [get("")])] },
    "etcdserver: key is not provided",
  ],
  ["128 operations", { success: many(128, get("a")) }, null],
  ["129 operations", { success: many(129, get("a")) }, TOO_MANY],
  ["129 conditions", { compare: Array(129).fill({ key: bytes("a") }) }, TOO_MANY],
  ["126 operations and one within", { success: [...many(126, get("a")), txn([get("a")])] }, null],
  ["127 operations and one within", { success: [...many(127, get("a")), txn([get("a")])] }, TOO_MANY],
  [
    "128 conditions and as many operations of each branch",
    {
      compare: Array(128).fill({ key: bytes("a") }),
      success: many(128, get("a")),
      failure: many(128, get("a")),
    },
    null,
  ],
  [
    "more parts in all than the store takes",
    { success: many(64, txn(many(32, get("a")))) },
    TOO_MANY,
  ],
  ["too many before no key", { success: many(129, get("")) }, TOO_MANY],
];

for (const [title, given, expected] of CASES) {
  Deno.test(`checkTxn: ${title}`, () => assertEquals(refusal(given), expected));
}
