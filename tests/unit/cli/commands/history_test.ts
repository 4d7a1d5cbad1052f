/** The commands on the history: `history`, `compact`, and `--revision` of `get`, `list` and `export`. */
import { assertEquals } from "@std/assert";
import { FutureRevisionError } from "../../../../lib/client/errors.ts";
import { FakeStore } from "../support/fake_store.ts";
import { run } from "../support/run_client.ts";

/** Returns a store in which `k` was hello, goodbye, deleted, and again, and a key and value that are not text. */
async function changed(): Promise<FakeStore> {
  const store = new FakeStore();
  await store.put("k", "hello");
  await store.put("k", "good\tbye");
  await store.delete("k");
  await store.put("k", "again");
  await store.put(Uint8Array.of(0xff), Uint8Array.of(0x80));
  store.calls.length = 0;
  return store;
}

Deno.test("get, list, export: --revision reads as of that revision", async () => {
  const store = await changed();
  assertEquals(await run(["get", "k", "--revision", "1"], { store }), { code: 0, out: "hello", err: "" });
  assertEquals((await run(["get", "k", "--revision", "3"], { store })).code, 1);
  assertEquals(await run(["list", "--revision", "2"], { store }), {
    code: 0,
    out: "k\tgood\\tbye\n",
    err: "",
  });
  assertEquals((await run(["export", "--revision", "1"], { store })).out, '{"key":"k","value":"hello"}\n');
  assertEquals(
    (await run(["list", "--revision", "5", "--limit", "1"], { store })).err,
    "-- 1 shown, and there are more: list --limit 1 --revision 5 --after k\n",
  );
  assertEquals(store.calls[0], { name: "get", consistency: "linearizable", revision: 1 });
});

Deno.test("get: a revision that the history does not have ends with 2, and its code tells it from an absent key", async () => {
  const store = await changed();
  store.compactedRevision = 2;
  const args = ["get", "k", "--revision", "1"];
  assertEquals(await run(args, { store }), {
    code: 2,
    out: "",
    err: "kvraft: Cannot read as of that revision: it is compacted.\n",
  });
  assertEquals(
    (await run([...args, "--output", "json"], { store })).err,
    '{"error":{"code":"compacted","message":"Cannot read as of that revision: it is compacted."}}\n',
  );
  store.before = () => Promise.reject(new FutureRevisionError("Cannot get a key: no such revision yet."));
  assertEquals((await run(args, { store })).code, 2);
  assertEquals(
    (await run(["get", "k", "--revision", "now"], { store })).err,
    'kvraft: --revision must be an integer from 0 to 9007199254740991, not "now".\n',
  );
});

Deno.test("history: a line for each version with its revision, the newest first, and a table on a terminal", async () => {
  const store = await changed();
  assertEquals(await run(["history", "k"], { store }), {
    code: 0,
    out: "4\tput\t1\tagain\n3\tdelete\n2\tput\t2\tgood\\tbye\n1\tput\t1\thello\n",
    err: "",
  });
  assertEquals(
    (await run(["history", "k"], { store, terminal: true })).out,
    [
      "revision  version  value\n",
      "4         1        again\n",
      "3                  (deleted)\n",
      "2         2        good\\tbye\n",
      "1         1        hello\n",
    ].join(""),
  );
  assertEquals(await run(["history", "nothing"], { store }), { code: 1, out: "", err: "(no history)\n" });
});

Deno.test("history: a page says how to go on, also for a key that is not text", async () => {
  const store = await changed();
  assertEquals(await run(["history", "k", "--limit", "2"], { store }), {
    code: 0,
    out: "4\tput\t1\tagain\n3\tdelete\n",
    err: "-- 2 shown, and there are more: history k --limit 2 --before 3\n",
  });
  assertEquals(
    (await run(["history", "k", "--limit", "2", "--before", "3"], { store })).out,
    "2\tput\t2\tgood\\tbye\n1\tput\t1\thello\n",
  );
  await store.put(Uint8Array.of(0xff), "2");
  const binary = await run(["history", "--key-base64", "/w==", "--limit", "1"], { store });
  assertEquals(
    binary.err,
    "-- 1 shown, and there are more: history '\\xff' --limit 1 --before 6 --escapes\n",
  );
  assertEquals(
    (await run(["history", "\\xff", "--limit", "1", "--before", "6", "--escapes"], { store })).out,
    "5\tput\t1\t\\x80\n",
  );
});

Deno.test("history: the JSON document has the versions, the next page and where the history begins", async () => {
  const store = await changed();
  store.compactedRevision = 1;
  const { out } = await run(["history", "k", "--limit", "3", "--output", "json"], { store });
  assertEquals(JSON.parse(out), {
    versions: [
      { value: "again", createRevision: 4, modRevision: 4, version: 1 },
      { modRevision: 3, deleted: true },
      { value: "good\tbye", createRevision: 1, modRevision: 2, version: 2 },
    ],
    before: 2,
    compactedRevision: 1,
    revision: 5,
  });
});

Deno.test("compact: it reports from which revision on the history is kept", async () => {
  const store = await changed();
  assertEquals(await run(["compact", "3"], { store }), {
    code: 0,
    out: "ok  history from revision 3 on\n",
    err: "",
  });
  assertEquals(
    (await run(["compact", "2", "--output", "json"], { store })).out,
    '{"compactedRevision":3}\n',
  );
  assertEquals((await run(["compact", "-1"], { store })).code, 2);
  assertEquals(
    await run(["compact"], { store }),
    {
      code: 2,
      out: "",
      err: "kvraft: compact needs <revision>. Usage: compact <revision>. Example: compact 12\n",
    },
  );
});
