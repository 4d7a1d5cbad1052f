/** The command `txn` on a store that gives a fixed result: where the text comes from, what is shown, exit codes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { AnswerOmittedError, TransactionFailedError } from "../../../../lib/client/errors.ts";
import { counterBytes } from "../../../../lib/client/transaction/counter.ts";
import type { BranchingResult } from "../../../../lib/client/transaction/types.ts";
import type { KeyValue } from "../../../../lib/kv/command.ts";
import { run } from "../support/run_client.ts";
import { FakeStore } from "../support/fake_store.ts";

const utf8 = new TextEncoder();

/** The transaction `if exists a then put b "x y"` with an empty `else`. */
const SENT = {
  checks: [{ key: utf8.encode("a"), exists: true }],
  then: [{ kind: "put", key: utf8.encode("b"), value: utf8.encode("x y") }],
  else: [],
};
const TEXT = 'if exists a then put b "x y"';
const PUT: BranchingResult = {
  succeeded: true,
  revision: 7,
  results: [{ kind: "put", createRevision: 7, version: 1 }],
};

function storeThat(result: BranchingResult): FakeStore {
  const store = new FakeStore();
  store.branchingResult = result;
  return store;
}

function entry(key: string, value: string | Uint8Array): KeyValue {
  const bytes = typeof value === "string" ? utf8.encode(value) : value;
  return { key: utf8.encode(key), value: bytes, createRevision: 3, modRevision: 5, version: 2 };
}

Deno.test("txn: one argument, several, a file, standard input and a line of commands are the same transaction", async () => {
  const words = ["if", "exists", "a", "then", "put", "b", "x y"];
  const ways: readonly (readonly [readonly string[], Parameters<typeof run>[1]])[] = [
    [["txn", TEXT], {}],
    [["txn", ...words], {}],
    [["txn", "--", ...words], {}],
    [["txn", "--timeout-ms", "900", TEXT], {}],
    [["--timeout-ms=900", "txn", ...words], {}],
    [["txn", "-"], { input: [TEXT] }],
    [["txn", "-"], { input: ["\ufeffif exists a\r\nthen\r\n", '  put b "x y"\r\n'] }],
    [["txn", "--file", "f"], { files: { f: `${TEXT}\n` } }],
    [[], { input: [`txn ${TEXT}\n`] }],
    [
      [
        "txn",
        `{"checks":[{"key":"a","exists":true}],"then":[{"kind":"put","key":"b","valueBase64":"eCB5"}]}`,
      ],
      {},
    ],
    [[], {
      input: [
        `txn {"checks":[{"keyBase64":"YQ==","exists":true}],"then":[{"kind":"put","key":"b","value":"x\\u0020y"}]}`,
      ],
    }],
  ];
  for (const [args, options] of ways) {
    const store = storeThat(PUT);
    const { code, out, err } = await run(args, { store, ...options });
    assertEquals(
      { code, out, err },
      { code: 0, out: "then  revision 7\nput b: version 1\n", err: "" },
      args.join(" "),
    );
    assertEquals<unknown>(store.transactions, [SENT], args.join(" "));
  }
});

Deno.test("txn: each result is shown on a line, with entries below it, and what is not text is escaped", async () => {
  const store = storeThat({
    succeeded: true,
    revision: 9,
    results: [
      { kind: "put", createRevision: 3, version: 2, previous: entry("a", "old") },
      { kind: "put", createRevision: 9, version: 1, previous: null },
      { kind: "put", createRevision: 3, version: 4 },
      { kind: "delete", deleted: 2, previous: [entry("u:1", "ada"), entry("u:2", Uint8Array.of(0xff))] },
      { kind: "sum", createRevision: 3, version: 5 },
      {
        kind: "get",
        entries: [entry("n", counterBytes(41))],
        more: false,
        count: 1,
        entry: entry("n", counterBytes(41)),
      },
      { kind: "get", entries: [], more: false, count: 0, entry: null },
      { kind: "get", entries: [entry("l\n", "one")], more: true, count: 3 },
      { kind: "get", entries: [entry("m", counterBytes(7))], more: false, count: 1, entry: null },
    ],
  });
  const text =
    "put a 1 --previous; put b 2 --previous; touch c; delete u: --prefix --previous; sum n 1; get n; get x; " +
    "get l --end m --limit 1; get m";
  const { code, out } = await run(["txn", text], { store });
  assertEquals(code, 0);
  assertEquals(out.split("\n"), [
    "ok  revision 9",
    "put a: version 2, was old",
    "put b: version 1, did not exist",
    "touch c: version 4",
    "delete u: --prefix: 2 keys removed",
    "  u:1: ada",
    "  u:2: \\xff (1 byte)",
    "sum n: version 5",
    "get n: 41",
    "get x: (not found)",
    "get l --end m: 1 of 3 keys",
    "  l\\n: one",
    "get m: \\x07\\x00\\x00\\x00\\x00\\x00\\x00\\x00 (8 bytes), as a counter 7",
    "",
  ]);
});

Deno.test("txn: conditions that do not hold end with 1, and the results are those of else", async () => {
  const result: BranchingResult = {
    succeeded: false,
    revision: 6,
    results: [{ kind: "delete", deleted: 0 }],
  };
  const ended = await run(["txn", "if absent a then put a 1 else delete b"], { store: storeThat(result) });
  assertEquals(ended, { code: 1, out: "else  revision 6\ndelete b: 0 keys removed\n", err: "" });
});

Deno.test("txn: nested transactions come as JSON, and their results are indented", async () => {
  const store = storeThat({
    succeeded: true,
    revision: 6,
    results: [{
      kind: "transaction",
      succeeded: false,
      results: [{ kind: "max", createRevision: 6, version: 1 }],
    }],
  });
  const json =
    `{"then":[{"kind":"transaction","checks":[{"key":"a","version":3}],"else":[{"kind":"max","key":"n","operand":"7"}]}]}`;
  const { code, out } = await run(["txn", json], { store });
  assertEquals([code, out], [0, "ok  revision 6\ntransaction: else\n  max n: version 1\n"]);
});

Deno.test("txn: --output json gives branch, revision and one document for each operation", async () => {
  const store = storeThat({
    succeeded: false,
    revision: 6,
    results: [
      { kind: "put", createRevision: 3, version: 2, previous: null },
      { kind: "delete", deleted: 1, previous: [entry("a", "1")] },
      { kind: "get", entries: [entry("n", counterBytes(255))], more: false, count: 1, entry: null },
      { kind: "transaction", succeeded: true, results: [{ kind: "sum", createRevision: 6, version: 1 }] },
    ],
  });
  const { code, out } = await run(["txn", "--output", "json", "if exists a then get b"], { store });
  assertEquals(code, 1);
  assertEquals(JSON.parse(out), {
    succeeded: false,
    revision: 6,
    results: [
      { kind: "put", createRevision: 3, version: 2, previous: null },
      {
        kind: "delete",
        deleted: 1,
        previous: [{ key: "a", value: "1", createRevision: 3, modRevision: 5, version: 2 }],
      },
      {
        kind: "get",
        entries: [{
          key: "n",
          valueBase64: "/wAAAAAAAAA=",
          createRevision: 3,
          modRevision: 5,
          version: 2,
          counter: "255",
        }],
        more: false,
        count: 1,
      },
      { kind: "transaction", succeeded: true, results: [{ kind: "sum", createRevision: 6, version: 1 }] },
    ],
  });
});

Deno.test("txn: wrong usage ends with 2 and does not ask the cluster", async () => {
  const table: readonly (readonly [readonly string[], RegExp])[] = [
    [
      ["txn"],
      /txn needs <transaction>\. Usage: txn <transaction> \[--file <path>\]\. Example: txn if version/,
    ],
    [["txn", "--file", "f", "get a"], /txn takes <transaction> or --file\. Give one of them\./],
    [
      ["txn", "put", "a", "1", "--output", "json"],
      /at word 4 is "--output", where --lease, --expires-at, --previous or ; is expected/,
    ],
    [["txn", "put a"], /it ends where <value> is expected/],
    [["txn", "put a 'b"], /The quote ' at column 7 is not closed/],
    [["txn", "{"], /it is not JSON/],
    [["txn", "--file", "none"], /Cannot read the file none/],
    [["txn", "--output", "json", "put a"], /^{"error":{"code":"usage"/],
  ];
  for (const [args, pattern] of table) {
    const store = new FakeStore();
    const { code, out, err } = await run(args, { store, files: { f: "" } });
    assertEquals([code, out, store.calls], [2, "", []], args.join(" "));
    assertMatch(err, pattern);
  }
  const lines = await run([], { input: ["txn -\n", "txn put a\n", "txn get a ; put b\n"] });
  assertEquals(lines.code, 2);
  assertMatch(lines.err, /line 1: Standard input has the commands/);
  assertMatch(lines.err, /line 2: Cannot read the transaction: it ends where <value> is expected/);
});

Deno.test("txn: a transaction that failed ends with 1, an answer without results with 5", async () => {
  const failed = new FakeStore();
  failed.before = () =>
    Promise.reject(
      new TransactionFailedError("Cannot apply a transaction: then[0]: …", {
        reason: "notANumber",
        position: "then[0]",
        revision: 3,
      }),
    );
  const omitted = new FakeStore();
  omitted.before = () =>
    Promise.reject(new AnswerOmittedError("It was executed.", { succeeded: true, revision: 3 }));
  assertEquals((await run(["txn", "sum a 1"], { store: failed })).code, 1);
  const { code, err } = await run(["txn", "sum a 1"], { store: omitted });
  assertEquals([code, err], [5, "kvraft: It was executed.\n"]);
});

Deno.test("txn: help explains the grammar, and so does txn --help", async () => {
  const { code, out } = await run(["help", "txn"]);
  assertEquals(code, 0);
  for (
    const word of ["if", "and", "then", "else", "touch", "absent", "--from-key", "--previous", "--reverse"]
  ) {
    assert(out.includes(word), word);
  }
  assertEquals((await run(["txn", "--help"])).out, out);
});
