/** Conformance cases of transactions. */
import { call, type Case, header } from "./case.ts";

const DUPLICATE = { fails: 3, text: "etcdserver: duplicate key given in txn request" };
const TOO_MANY = { fails: 3, text: "etcdserver: too many operations in txn request" };
const VALUE = 3;
const CREATE = 1;
const NOT_EQUAL = 3;
const MAX_OPERATIONS = 128;

/** The cases. */
export const TXN_CASES: readonly Case[] = [
  {
    name: "an empty Txn",
    steps: ({ rev }) => [call("KV/Txn", {}, { ...header(rev), succeeded: true })],
  },
  {
    name: "Txn compares of a missing key",
    steps: ({ key, rev }) => [
      call("KV/Txn", {
        compare: [{ target: CREATE, key: key("k"), create_revision: 0 }],
        success: [{ request_range: { key: key("k") } }],
      }, {
        ...header(rev),
        succeeded: true,
        responses: [{ response_range: header(rev) }],
      }),
      call("KV/Txn", {
        compare: [{ target: VALUE, result: NOT_EQUAL, key: key("k"), value: "x" }],
        failure: [{ request_delete_range: { key: key("k") } }],
      }, { ...header(rev), responses: [{ response_delete_range: header(rev) }] }),
    ],
  },
  {
    name: "Txn: get, put, get",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k"), value: "1" }, header(rev + 1)),
      call("KV/Txn", {
        success: [
          { request_range: { key: key("k") } },
          { request_put: { key: key("k"), value: "2", prev_kv: true } },
          { request_range: { key: key("k") } },
        ],
      }, {
        ...header(rev + 2),
        succeeded: true,
        responses: [
          {
            response_range: {
              ...header(rev + 1),
              kvs: [
                { key: key("k"), create_revision: rev + 1, mod_revision: rev + 1, version: 1, value: "1" },
              ],
              count: 1,
            },
          },
          {
            response_put: {
              ...header(rev + 2),
              prev_kv: {
                key: key("k"),
                create_revision: rev + 1,
                mod_revision: rev + 1,
                version: 1,
                value: "1",
              },
            },
          },
          {
            response_range: {
              ...header(rev + 2),
              kvs: [
                { key: key("k"), create_revision: rev + 1, mod_revision: rev + 2, version: 2, value: "2" },
              ],
              count: 1,
            },
          },
        ],
      }),
    ],
  },
  {
    name: "a nested Txn compares before the outer one writes",
    steps: ({ key, rev }) => [
      call("KV/Txn", {
        success: [
          { request_put: { key: key("a") } },
          {
            request_txn: {
              compare: [{ target: CREATE, key: key("a"), create_revision: 0 }],
              success: [{ request_put: { key: key("b") } }],
            },
          },
        ],
      }, {
        ...header(rev + 1),
        succeeded: true,
        responses: [
          { response_put: header(rev + 1) },
          { response_txn: { header: {}, succeeded: true, responses: [{ response_put: header(rev + 1) }] } },
        ],
      }),
    ],
  },
  {
    name: "Txn, refused",
    steps: ({ key, rev }) => {
      const put = { request_put: { key: key("a") } };
      const puts = (count: number): readonly Record<string, unknown>[] =>
        Array.from({ length: count }, (_, at) => ({ request_put: { key: key(`${at}`) } }));
      return [
        call("KV/Txn", { success: [put, put] }, DUPLICATE),
        call("KV/Txn", { failure: [put, put] }, DUPLICATE),
        call(
          "KV/Txn",
          { success: [put, { request_delete_range: { key: key("a"), range_end: key("b") } }] },
          DUPLICATE,
        ),
        call("KV/Txn", { success: puts(MAX_OPERATIONS + 1) }, TOO_MANY),
        call("KV/Txn", {
          success: [...puts(MAX_OPERATIONS - 1), {
            request_txn: { success: [{ request_put: { key: key("x") } }] },
          }],
        }, TOO_MANY),
        call("KV/Txn", { success: [{}] }, { fails: 3, text: "etcdserver: key not found" }),
        call("KV/Txn", { success: [put, { request_range: { key: key("a"), revision: rev + 9 } }] }, {
          fails: 11,
          text: "etcdserver: mvcc: required revision is a future revision",
        }),
        call("KV/Range", { key: key("a") }, header(rev)),
      ];
    },
  },
];
