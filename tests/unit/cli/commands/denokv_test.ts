/** The commands on databases of Deno KV, on databases in memory. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { encodeKey } from "../../../../lib/cli/denokv/key_codec.ts";
import { TimeoutError } from "../../../../lib/client/errors.ts";
import { sha256Of } from "../../../../lib/platform/secrets.ts";
import { makeDatabaseFile } from "../../../support/denokv/files.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";
import { FakeStore } from "../support/fake_store.ts";
import { run, start } from "../support/run_client.ts";

/** Returns a store with a database shop, and runs `set` commands in it. */
async function shop(...sets: readonly (readonly [string, string])[]): Promise<FakeStore> {
  const store = new FakeStore();
  await run(["denokv", "create", "shop"], { store });
  for (const [key, value] of sets) {
    assertEquals((await run(["denokv", "set", "shop", key, value], { store })).err, "");
  }
  return store;
}

const DEFAULT_UUID = "00000000-0000-8000-8000-000000000000";

const USERS = [
  [`["users", 17n]`, `{ name: "Ada" }`],
  [`["users", 18n]`, "new Deno.KvU64(5n)"],
  [`["users", -0]`, "new Uint8Array([1])"],
  [`["users"]`, "[1.5, null]"],
] as const;

Deno.test("denokv create: the database, what to type next, and its UUID", async () => {
  const store = new FakeStore();
  const { code, out, err } = await run(["denokv", "create", "shop"], { store });
  assertEquals([code, out], [0, "ok  database shop created\n"]);
  assert(err.includes("/shop") && err.includes("denokv token shop"), err);
  const [change] = store.databases.changes;
  assert(
    change?.kind === "create" && change.signingKey.length === 32 &&
      change.signingKey.some((byte) => byte !== 0),
  );
  assertMatch(change.uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const json = await run(["denokv", "create", "other", "--output", "json"], { store });
  const { uuid, ...rest } = JSON.parse(json.out);
  assertEquals([typeof uuid, rest], ["string", { database: "other", id: 2 }]);
});

Deno.test("denokv create: a name that no database can have is refused before anything is sent", async () => {
  for (const name of ["Shop", "a b", "-a", "", "x".repeat(64), "a/b"]) {
    const store = new FakeStore();
    const { code, err } = await run(["denokv", "create", "--", name], { store });
    assert(code === 2 && err.includes("1 to 63 lower-case letters"), err);
    assertEquals(store.calls, []);
  }
});

Deno.test("denokv token: the token alone on standard output, its hash to the cluster, and how to use it", async () => {
  const store = await shop();
  const { code, out, err } = await run(["denokv", "token", "shop", "--label", "web"], { store });
  assertEquals(code, 0);
  assertMatch(out, /^kvd_[A-Za-z0-9_-]{43}\n$/);
  assert(err.includes("token 1 (web) of shop; it is not shown again; from now on every client"), err);
  assert(err.includes("DENO_KV_ACCESS_TOKEN=<the token> deno run --unstable-kv -A"), err);
  assert(!err.includes(out.trim()), "the token is once in the output");
  const change = store.databases.changes.at(-1);
  assert(change?.kind === "addToken");
  assertEquals([change.hash, change.label], [sha256Of(out.trim()), "web"]);
  assert(!JSON.stringify(store.databases.changes).includes(out.trim()));
  assert(!(await run(["denokv", "token", "shop"], { store })).err.includes("from now on"));
});

Deno.test("denokv list, show and revoke: the databases with the default one, tokens by id", async () => {
  const store = await shop();
  await run(["denokv", "token", "shop", "--label", "web"], { store });
  const uuid = store.databases.all[1]?.uuid;
  assertEquals(
    (await run(["denokv", "list"], { store })).out,
    `default\t0\t${DEFAULT_UUID}\nshop\t1\t${uuid}\n`,
  );
  const shown = await run(["denokv", "show", "shop"], { store });
  assertMatch(shown.out, /^path \/shop\nuuid .*\ntoken 1 {2}web {2}20.*Z\n$/);
  const revoked = await run(["denokv", "revoke", "shop", "1"], { store });
  assertEquals([revoked.code, revoked.out], [0, "ok  token 1 of shop revoked\n"]);
  assert(revoked.err.includes("shop has no token now"), revoked.err);
  assertEquals(
    (await run(["denokv", "show", "default", "--output", "json"], { store })).out,
    `{"id":0,"name":"default","path":"/","uuid":"${DEFAULT_UUID}","tokens":[]}\n`,
  );
  const { code, err } = await run(["denokv", "list", "--limit", "3"], { store });
  assert(code === 2 && err.includes("--limit is for the keys of a <database>"), err);
});

Deno.test("denokv: an unknown database is a no, with those that there are", async () => {
  const store = await shop();
  for (const args of [["show", "shp"], ["get", "shp", "[1]"], ["token", "shp"], ["delete", "shp"]]) {
    const { code, err } = await run(["denokv", ...args], { store });
    assertEquals(
      [code, err.includes("There is no database shp; the cluster has default and shop.")],
      [1, true],
      err,
    );
  }
});

Deno.test("denokv get: key and value as in JavaScript, and on a terminal the format", async () => {
  const store = await shop(...USERS);
  const get = (...args: readonly string[]): ReturnType<typeof run> =>
    run(["denokv", "get", "shop", ...args], { store });
  assertEquals(await get(`["users",17n]`), { code: 0, out: `["users", 17n] → { name: "Ada" }\n`, err: "" });
  assertEquals((await get(`["users", 0]`)).code, 1);
  const terminal = await run(["denokv", "get", "shop", `["users", -0]`], { store, terminal: true });
  assertEquals([terminal.out, terminal.err], [
    `["users", -0] → new Uint8Array([1])\n`,
    "bytes, versionstamp 000000000000000b0000\n",
  ]);
  assertEquals(JSON.parse((await get(`["users", 17n]`, "--output", "json")).out), {
    key: `["users", 17n]`,
    keyBase64: "AnVzZXJzABUR",
    value: { name: "Ada" },
    text: `{ name: "Ada" }`,
    format: "v8 format 15",
    v8Format: 15,
    valueBase64: "/w9vIgRuYW1lIgNBZGF7AQ==",
    versionstamp: "00000000000000090000",
  });
  assertEquals((await get("[1]", "--output", "json")).out, "null\n");
  assertEquals((await get(`["users", 18n]`, "--raw")).out, "\x05\0\0\0\0\0\0\0");
  const refused = await get("users");
  assert(refused.code === 2 && refused.err.includes(`Example: '["users", 17n]'`), refused.err);
});

Deno.test("get: the key of a database is shown as in JavaScript on a terminal, and as bytes elsewhere", async () => {
  const store = new FakeStore();
  const key = Uint8Array.of(...new Uint8Array(8).fill(0xff), 1, 0, 0, 0, 7, ...encodeKey(["a", 1n]));
  const value = Uint8Array.of(3, 1, 2);
  await store.put(key, value);
  const args = ["get", "--key-base64", key.toBase64()];
  const { out } = await run(args, { store, terminal: true });
  assertEquals(out, `["a", 1n] → new Uint8Array([1, 2]) (bytes)\n`);
  assertEquals((await run(args, { store })).out, "\x03\x01\x02");
});

Deno.test("denokv list and show: names and UUIDs of a node that sends others add no line and command no terminal", async () => {
  const store = await shop();
  const escape = "\x1b]0;title\x07\nforged";
  const [, ...others] = store.databases.all;
  const shown = others.map((database) => ({ ...database, uuid: escape }));
  store.databases.all = [...shown.map((database) => ({ ...database, name: escape })), ...shown];
  const escaped = String.raw`\x1b]0;title\x07\nforged`;
  assertEquals(
    (await run(["denokv", "list"], { store })).out,
    `${escaped}\t0\t${escaped}\nshop\t0\t${escaped}\n`,
  );
  const { out } = await run(["denokv", "show", "shop"], { store });
  assertEquals(out, `path /shop\nuuid ${escaped}\nno access token: denokv token makes one\n`);
});

Deno.test("denokv list: the keys behind a prefix in Deno's order, in pages whose next line works", async () => {
  const store = await shop(...USERS);
  const list = (...args: readonly string[]): ReturnType<typeof run> =>
    run(["denokv", "list", "shop", ...args], { store });
  const rows = [
    `["users", 17n]\tv8 format 15\t{ name: "Ada" }\n`,
    `["users", 18n]\tu64\tnew Deno.KvU64(5n)\n`,
    `["users", -0]\tbytes\tnew Uint8Array([1])\n`,
  ];
  assertEquals((await list(`["users"]`)).out, rows.join(""));
  assertEquals((await list()).out, `["users"]\tv8 format 15\t[ 1.5, null ]\n${rows.join("")}`);
  assertEquals((await list(`["users"]`, "--reverse")).out, rows.toReversed().join(""));
  const first = await list(`["users"]`, "--limit", "2");
  assertEquals([first.out, first.err], [
    rows.slice(0, 2).join(""),
    `-- 2 shown, and there are more: denokv list shop '["users"]' --limit 2 --after '["users", 18n]'\n`,
  ]);
  assertEquals((await list(`["users"]`, "--after", `["users", 18n]`)).out, rows[2]);
  assertEquals((await list(`["users"]`, "--after", `["users", 18n]`, "--reverse")).out, rows[0]);
  const { entries, after } = JSON.parse((await list("--limit", "1", "--output", "json")).out);
  assertEquals([entries.length, entries[0].text, after], [1, "[ 1.5, null ]", `["users"]`]);
  const terminal = await run(["denokv", "list", "shop", `["users"]`], { store, terminal: true, columns: 60 });
  assertEquals(
    terminal.out,
    `key             format        value\n["users", 17n]  v8 format 15  { name: "Ada" }\n` +
      `["users", 18n]  u64           new Deno.KvU64(5n)\n["users", -0]   bytes         new Uint8Array([1])\n`,
  );
});

Deno.test("denokv set and delete: the versionstamp; an expiry is kept; a bad value is refused", async () => {
  const store = await shop();
  const set = await run(["denokv", "set", "shop", "[1]", "true", "--expire-in", "1h"], { store });
  assertEquals([set.code, set.out], [0, "ok  versionstamp 00000000000000090000\n"]);
  const { expiresAtMs } = JSON.parse(
    (await run(["denokv", "get", "shop", "[1]", "--output", "json"], { store })).out,
  );
  assert(Math.abs(expiresAtMs - Date.now() - 3_600_000) < 60_000);
  const bad = await run(["denokv", "set", "shop", "[1]", "text"], { store });
  assert(bad.code === 2 && bad.err.includes(`Text goes in quotes: '"text"'`), bad.err);
  assertEquals(
    (await run(["denokv", "delete", "shop", "[1]"], { store })).out,
    "ok  versionstamp 000000000000000a0000\n",
  );
  assertEquals((await run(["denokv", "get", "shop", "[1]"], { store })).code, 1);
});

Deno.test("denokv delete: the database; with --purge after its tokens and keys, which no key goes with", async () => {
  const store = await shop(...USERS);
  await run(["denokv", "token", "shop"], { store });
  assertEquals((await run(["denokv", "delete", "shop", "[1]", "--purge"], { store })).code, 2);
  const { code, out } = await run(["denokv", "delete", "shop", "--purge"], { store });
  assertEquals([code, out], [0, "ok  database shop deleted, with 4 keys\n"]);
  assertEquals(store.databases.changes.map(({ kind }) => kind), [
    "create",
    "addToken",
    "removeToken",
    "addToken",
    "remove",
  ]);
  assertEquals(store.databases.entries.get(1)?.size, 0);
});

Deno.test("denokv delete default --purge: is refused before a key or a token is deleted", async () => {
  const store = await shop();
  await run(["denokv", "token", "default"], { store });
  await run(["denokv", "set", "default", "[1]", "2"], { store });
  const { code, err } = await run(["denokv", "delete", "default", "--purge"], { store });
  assertEquals(code, 1);
  assert(err.includes("Cannot delete the database default: every cluster has it."), err);
  assertEquals(store.databases.changes.map(({ kind }) => kind), ["create", "addToken"]);
  assertEquals(store.databases.entries.get(0)?.size, 1);
});

Deno.test("denokv import: a file of Deno, with encodings and expiry, and what was left out", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/x.sqlite`;
  await makeDatabaseFile(path);
  const store = await shop();
  const { code, out } = await run(["denokv", "import", "shop", path], { store });
  assertEquals(code, 0);
  assertMatch(out, /^ok {2}revision 9, 5 keys, \d+ B, in .*; left out: 2 queued messages\n$/);
  const listed = await run(["denokv", "list", "shop"], { store });
  assertEquals(
    listed.out,
    `["odd", 1.5, -0, NaN, true, new Uint8Array([1, 0, 255])]\tv8 format 16\t"text"\n` +
      `["photo"]\tbytes\tnew Uint8Array([1, 2, 3])\n["session"]\tv8 format 16\t"for a day"\n` +
      `["users", 17n]\tv8 format 16\t{ name: "Ada" }\n["visits"]\tu64\tnew Deno.KvU64(7n)\n`,
  );
  const session = JSON.parse(
    (await run(["denokv", "get", "shop", `["session"]`, "--output", "json"], { store })).out,
  );
  assert(session.expiresAtMs > Date.now());

  const again = await run(["denokv", "import", "shop", path], { store });
  assert(again.code === 1 && again.err.includes("add --overwrite"), again.err);
  const rest = await run(["denokv", "import", "shop", path, "--after", `["session"]`, "--output", "json"], {
    store,
  });
  assertEquals(JSON.parse(rest.out).keys, 2);
  assertEquals((await run(["denokv", "import", "shop", path, "--overwrite"], { store })).code, 0);
});

Deno.test("denokv import: an end in the middle says the key to go on from", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/x.sqlite`;
  makeManyKeys(path);
  const store = await shop();
  let writes = 0;
  store.before = () => {
    if (store.databases.writes.length > writes) writes = store.databases.writes.length;
    return writes === 2
      ? Promise.reject(new TimeoutError("too late", { outcome: "unknown" }))
      : Promise.resolve();
  };
  const { code, err } = await run(["denokv", "import", "shop", path], { store });
  assertEquals(code, 4);
  const [, after = ""] = /To go on: denokv import shop \S+ --after '(.*)'\n$/.exec(err) ?? [];
  assertEquals(after, "[2000]", err);
  store.before = () => Promise.resolve();
  const rest = await run(["denokv", "import", "shop", path, "--after", after, "--output", "json"], { store });
  assertEquals(JSON.parse(rest.out).keys, 500);
  assertEquals(store.databases.entries.get(1)?.size, 2_500);
});

Deno.test("denokv import: Ctrl-C ends it between two writes", async () => {
  await using folder = await TemporaryFolder.make();
  const path = `${folder.path}/x.sqlite`;
  makeManyKeys(path);
  const store = await shop();
  const { environment, ended } = start(["denokv", "import", "shop", path], { store });
  store.before = () => {
    if (store.databases.writes.length === 1) environment.signal();
    return Promise.resolve();
  };
  const { code, err } = await ended;
  assertEquals(code, 4, err);
  assert(err.includes("It was interrupted. To go on: denokv import shop"), err);
  assert(store.databases.entries.get(1)?.size !== 2_500);
});

/** Makes a file with the keys [1] to [2500]. */
function makeManyKeys(path: string): void {
  using database = new DatabaseSync(path);
  database.exec(
    "create table kv (k blob primary key, v blob, v_encoding integer, version integer) without rowid; begin",
  );
  const insert = database.prepare("insert into kv values (?, x'01', 3, 1)");
  for (let number = 1; number <= 2_500; number++) insert.run(encodeKey([number]));
  database.exec("commit");
}
