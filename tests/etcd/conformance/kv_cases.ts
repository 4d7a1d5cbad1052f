/** Conformance cases of KV, transactions excepted. */
import { assertEquals } from "@std/assert";
import { call, type Case, type CaseStep, header, type Names } from "./case.ts";

export const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
const FUTURE = "etcdserver: mvcc: required revision is a future revision";
const MIN_LARGE = 1_600_000;
const MIN_TOO_LARGE = 2_100_000;

/** Returns the steps that put five keys, the last of which is written first. */
function fiveKeys({ key, rev }: Names): readonly CaseStep[] {
  return ["e", "a", "b", "c", "d"].map((name, at) =>
    call("KV/Put", { key: key(name), value: name }, header(rev + at + 1))
  );
}

/** Returns a pair of one of the five keys. */
function pairOf({ key, rev }: Names, name: string): Record<string, unknown> {
  const revision = rev + 1 + "eabcd".indexOf(name);
  return { key: key(name), create_revision: revision, mod_revision: revision, version: 1, value: name };
}

const whole = ({ key }: Names): { key: string; range_end: string } => ({
  key: key("a"),
  range_end: key("z"),
});

/** A fresh store is needed for this one. */
export const FRESH_CASE: Case = {
  name: "Range all on a fresh store",
  steps: () => [call("KV/Range", { key: "\0", range_end: "\0" }, header(1))],
};

/** The cases. */
export const KV_CASES: readonly Case[] = [
  {
    name: "Put twice",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k"), value: "v" }, header(rev + 1)),
      call("KV/Put", { key: key("k"), value: "w" }, header(rev + 2)),
      call("KV/Range", { key: key("k") }, {
        ...header(rev + 2),
        kvs: [{ key: key("k"), create_revision: rev + 1, mod_revision: rev + 2, version: 2, value: "w" }],
        count: 1,
      }),
    ],
  },
  {
    name: "Put prev_kv",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k"), value: "v", prev_kv: true }, header(rev + 1)),
      call("KV/Put", { key: key("k"), value: "w", prev_kv: true }, {
        ...header(rev + 2),
        prev_kv: { key: key("k"), create_revision: rev + 1, mod_revision: rev + 1, version: 1, value: "v" },
      }),
    ],
  },
  {
    name: "Put, refused",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: "" }, { fails: 3, text: "etcdserver: key is not provided" }),
      call("KV/Put", { key: key("k"), ignore_value: true }, { fails: 3, text: "etcdserver: key not found" }),
      call("KV/Put", { key: key("k"), value: "x", ignore_value: true }, {
        fails: 3,
        text: "etcdserver: value is provided",
      }),
      call("KV/Put", { key: key("k"), lease: 5, ignore_lease: true }, {
        fails: 3,
        text: "etcdserver: lease is provided",
      }),
      call("KV/Put", { key: key("k"), ignore_lease: true }, { fails: 3, text: "etcdserver: key not found" }),
      call("KV/Put", { key: key("k"), lease: 4711 }, {
        fails: 5,
        text: "etcdserver: requested lease not found",
      }),
      call("KV/Range", { key: key("k") }, header(rev)),
    ],
  },
  {
    name: "Put of 1.6 MB and of 2.1 MB",
    steps: ({ key }) => [
      call("KV/Put", { key: key("k"), value: "x".repeat(MIN_LARGE) }, {
        fails: 3,
        text: "etcdserver: request is too large",
      }),
      call("KV/Put", { key: key("k"), value: "x".repeat(MIN_TOO_LARGE) }, {
        fails: 8,
        text: `grpc: received message larger than max (${MIN_TOO_LARGE + 7 + key("k").length} vs. 2097152)`,
      }),
    ],
  },
  {
    name: "DeleteRange",
    steps: (names) => [
      call("KV/DeleteRange", { key: names.key("none") }, header(names.rev)),
      ...fiveKeys(names),
      call("KV/DeleteRange", { key: names.key("a"), range_end: names.key("c"), prev_kv: true }, {
        ...header(names.rev + 6),
        deleted: 2,
        prev_kvs: [pairOf(names, "a"), pairOf(names, "b")],
      }),
      call("KV/DeleteRange", { key: "" }, { fails: 3, text: "etcdserver: key is not provided" }),
    ],
  },
  {
    name: "Range limit",
    steps: (names) => [
      ...fiveKeys(names),
      call("KV/Range", { ...whole(names), limit: 2 }, {
        ...header(names.rev + 5),
        kvs: [pairOf(names, "a"), pairOf(names, "b")],
        more: true,
        count: 5,
      }),
      call("KV/Range", { ...whole(names), limit: 5 }, {
        ...header(names.rev + 5),
        kvs: [..."abcde"].map((name) => pairOf(names, name)),
        count: 5,
      }),
      call("KV/Range", { ...whole(names), count_only: true, limit: 2 }, {
        ...header(names.rev + 5),
        count: 5,
      }),
      call("KV/Range", { key: names.key("z"), range_end: names.key("a") }, header(names.rev + 5)),
      call("KV/Range", { key: "" }, { fails: 3, text: "etcdserver: key is not provided" }),
    ],
  },
  {
    name: "Range filters and order",
    steps: (names) => [
      ...fiveKeys(names),
      call("KV/Range", { ...whole(names), min_mod_revision: names.rev + 3 }, {
        ...header(names.rev + 5),
        kvs: [..."bcd"].map((name) => pairOf(names, name)),
        count: 5,
      }),
      call("KV/Range", { ...whole(names), sort_order: 1, sort_target: 3, limit: 1 }, {
        ...header(names.rev + 5),
        kvs: [pairOf(names, "e")],
        more: true,
        count: 5,
      }),
      call("KV/Range", {
        ...whole(names),
        ...{ sort_order: 2, sort_target: 2, limit: 1, max_create_revision: names.rev + 3 },
      }, { ...header(names.rev + 5), kvs: [pairOf(names, "b")], more: true, count: 5 }),
      call("KV/Range", { ...whole(names), sort_target: 9 }, {
        fails: 3,
        text: "etcdserver: invalid sort option",
      }),
    ],
  },
  {
    name: "Range at a revision",
    steps: (names) => {
      const { rev } = names;
      return [
        ...fiveKeys(names),
        call("KV/Range", { ...whole(names), revision: rev + 2 }, {
          ...header(rev + 5),
          kvs: [pairOf(names, "a"), pairOf(names, "e")],
          count: 2,
        }),
        call("KV/Range", { ...whole(names), revision: rev + 6 }, { fails: 11, text: FUTURE }),
        call("KV/Range", { ...whole(names), revision: -1, count_only: true }, {
          ...header(rev + 5),
          count: 5,
        }),
        call("KV/Compact", { revision: rev + 3 }, header(rev + 5)),
        call("KV/Range", { ...whole(names), revision: rev + 3, count_only: true }, {
          ...header(rev + 5),
          count: 3,
        }),
        call("KV/Range", { ...whole(names), revision: rev + 2 }, { fails: 11, text: COMPACTED }),
        call("KV/Compact", { revision: rev + 5 }, header(rev + 5)),
        call("KV/Compact", { revision: rev + 5 }, { fails: 11, text: COMPACTED }),
        call("KV/Compact", { revision: 0 }, { fails: 11, text: COMPACTED }),
        call("KV/Compact", { revision: rev + 6 }, { fails: 11, text: FUTURE }),
      ];
    },
  },
  {
    name: "RangeStream",
    steps: ({ key, rev }) => {
      const name = (at: number): string => key(`k${String(at).padStart(3, "0")}`);
      const pair = (at: number): Record<string, unknown> => (
        { key: name(at), create_revision: rev + 1, mod_revision: rev + 1, version: 1 }
      );
      const pairs = (from: number, to: number): readonly Record<string, unknown>[] =>
        Array.from({ length: to - from }, (_, at) => pair(from + at));
      const all = { key: key("k"), range_end: key("l") };
      return [
        call("KV/Txn", {
          success: Array.from({ length: 105 }, (_, at) => ({ request_put: { key: name(at) } })),
        }, ({ succeeded }) => assertEquals(succeeded, true)),
        call("KV/RangeStream", all, [
          { range_response: { kvs: pairs(0, 10) } },
          { range_response: { kvs: pairs(10, 30) } },
          { range_response: { kvs: pairs(30, 70) } },
          { range_response: { ...header(rev + 1), kvs: pairs(70, 105), count: 105 } },
        ]),
        call("KV/RangeStream", { ...all, limit: 15 }, [
          { range_response: { kvs: pairs(0, 10) } },
          { range_response: { ...header(rev + 1), kvs: pairs(10, 15), more: true, count: 105 } },
        ]),
        call("KV/RangeStream", { key: key("none") }, [{ range_response: header(rev + 1) }]),
        call("KV/RangeStream", { ...all, count_only: true }, [
          { range_response: { ...header(rev + 1), count: 105 } },
        ]),
        call("KV/RangeStream", { ...all, sort_order: 2 }, {
          fails: 12,
          text: "RangeStream does not support custom sort orders",
        }),
        call("KV/RangeStream", { ...all, min_mod_revision: 1 }, {
          fails: 12,
          text: "RangeStream does not support revision filters",
        }),
      ];
    },
  },
  {
    name: "unknown methods",
    steps: () => [
      call("KV/Nothing", {}, { fails: 12, text: "unknown method Nothing for service etcdserverpb.KV" }),
      call("Nothing/Range", {}, { fails: 12, text: "unknown service etcdserverpb.Nothing" }),
    ],
  },
];
