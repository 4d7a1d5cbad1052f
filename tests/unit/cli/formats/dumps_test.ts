/** `import` of dumps that the real tools have made (tests/support/moving/make_dumps.sh), and of damaged ones. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { FakeStore } from "../support/fake_store.ts";
import { run } from "../support/run_client.ts";
import { CHECKOUT } from "../../../support/checkout.ts";

const DUMPS = join(CHECKOUT, "tests", "support", "moving", "dumps");

function dump(path: string): Uint8Array {
  return Deno.readFileSync(join(DUMPS, path));
}

/** Returns a character for each byte. */
function bytesText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Returns the keys of a store with their values, and the times of expiry of those that have one. */
function contents(store: FakeStore): Readonly<Record<string, string>> {
  const entries = [...store.entries.values()].map(({ key, value, expiresAtMs }) => {
    const lifetime = expiresAtMs === undefined ? "" : ` until ${expiresAtMs}`;
    return [bytesText(key), bytesText(value.subarray(0, 40)) + lifetime] as const;
  });
  return Object.fromEntries(entries.toSorted(([a], [b]) => a < b ? -1 : 1));
}

/** UTF-8, with a character for each byte. */
const GREETING = 'Gr\xc3\xbc\xc3\x9fe, "Welt" {[';
const TEXTS = { bytes: "\x00\xff\x80", empty: "", "user:1": "ada", "user:2": GREETING };

const RDB_KEYS = {
  ...TEXTS,
  expires: "soon until 4102444800000",
  int16: "3000",
  int32: "-200000",
  int64: "9007199254740993",
  int8: "-7",
  long: "\x00".repeat(40),
};
/** A HyperLogLog is a string in an RDB file. */
const HYPERLOGLOG = /^HYLL/;

Deno.test("import: what etcdctl 3.7.3 wrote is put, but for the key of a lease", async () => {
  const store = new FakeStore();
  const { code, out, err } = await run(["import"], { store, input: [dump("etcd-3.7.3/etcd.json")] });
  assertEquals([code, contents(store), err], [0, TEXTS, "-- left out 1 key of leases: worker\n"]);
  assertStringIncludes(out, "4 keys, 46 B");
  await run(["import", "--drop-leases"], { store, input: [dump("etcd-3.7.3/etcd.json")] });
  assertEquals(contents(store)["worker"], "here");
});

Deno.test("import: what Consul 1.14.11 wrote is put, and flags that are not kept are named", async () => {
  const store = new FakeStore();
  const { code, err } = await run(["import"], { store, input: [dump("consul-1.14.11/consul.json")] });
  assertEquals([code, contents(store), err], [
    0,
    { ...TEXTS, flagged: "yes" },
    "-- 1 key without their flags: flagged\n",
  ]);
});

for (
  const [path, version, hashes] of [
    ["redis-6.2.14/dump.rdb", "REDIS0009", 2],
    ["redis-6.2.14/saved.rdb", "REDIS0009", 3],
    ["redis-7.0.15/dump.rdb", "REDIS0010", 2],
    ["redis-7.0.15/saved.rdb", "REDIS0010", 3],
    ["valkey-9.1.2/dump.rdb", "REDIS0011", 2],
    ["valkey-9.1.2/saved.rdb", "VALKEY080", 3],
  ] as const
) {
  Deno.test(`import: ${path}: the strings of ${version} are put, other types are counted and named`, async () => {
    const bytes = dump(path);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, 9)), version);
    const store = new FakeStore();
    const { code, out } = await run(["import", "--output", "json"], { store, input: [bytes] });
    const { counted = "", ...others } = contents(store);
    const { reasons, ...document } = JSON.parse(out);
    const counts = reasons.map((line: { reason: string; count: number }) => [line.reason, line.count]);
    assert(HYPERLOGLOG.test(counted));
    assertEquals([code, others, Object.fromEntries(counts), document.format], [
      1,
      RDB_KEYS,
      {
        "of type hash": hashes,
        "of type list": 2,
        "of type set": 2,
        "of type sorted set": 2,
        "of type stream": 1,
        "in database 3": 1,
      },
      "redis-rdb",
    ]);
    const other = new FakeStore();
    const { code: otherCode } = await run(["import", "--redis-database", "3"], {
      store: other,
      input: [bytes],
    });
    assertEquals([otherCode, contents(other)], [0, { elsewhere: "3" }]);
  });
}

for (const name of ["redis-6.2.14", "redis-7.0.15", "valkey-9.1.2"]) {
  Deno.test(`import: the append-only file of ${name} gives the state after its last command`, async () => {
    const store = new FakeStore();
    const { code, err } = await run(["import"], { store, input: [dump(`${name}/parts.aof`)] });
    const { counted = "", later = "", ...others } = contents(store);
    const { int16: _renamed, "user:1": _deleted, ...kept } = RDB_KEYS;
    assertEquals([code, others], [1, {
      ...kept,
      "user:2": `${GREETING}}`,
      first: "1",
      int8: "3",
      last: "1",
      numbers: "string",
      renamed: "3000",
      second: "2",
    }]);
    assert(HYPERLOGLOG.test(counted) && /^value until \d{13}$/.test(later));
    assertStringIncludes(err, "left out 1 key of type set: words");
  });
}

Deno.test("export: --format etcd writes what etcdctl does, and import reads it", async () => {
  const store = new FakeStore();
  for (let n = 0; n < 2_100; n++) await store.put(`k${n}`, n === 7 ? "" : `${n}`);
  await store.put("expiring", "x", { expiresAtMs: 9_000_000_000_000 });
  await store.put("leased", "x", { leaseId: 9 });
  const { code, out, err } = await run(["export", "--format", "etcd"], { store });
  const document = JSON.parse(out);
  assertEquals([code, document.header, document.count, document.kvs.length], [
    0,
    { revision: 2_102 },
    2_102,
    2_102,
  ]);
  assertEquals(document.kvs.find(({ key }: { key: string }) => key === btoa("leased")), {
    key: btoa("leased"),
    create_revision: 2_102,
    mod_revision: 2_102,
    version: 1,
    value: btoa("x"),
    lease: 9,
  });
  assertStringIncludes(err, "1 key without the time of expiry");
  const copy = new FakeStore();
  await run(["import", "--drop-leases"], { store: copy, input: [out] });
  assertEquals(contents(copy), { ...contents(store), expiring: "x" });
  const { out: none } = await run(["export", "none", "--format", "etcd"], { store });
  assertEquals(none, '{"header":{"revision":2102},"kvs":[],"count":0}\n');
});

Deno.test("import: --prefix selects keys, --to-prefix takes its place, --skip continues", async () => {
  const input = [dump("etcd-3.7.3/etcd.json")];
  const store = new FakeStore();
  const { code, out } = await run(["import", "--prefix", "user:", "--to-prefix", "u/"], { store, input });
  assertEquals([code, Object.keys(contents(store))], [0, ["u/1", "u/2"]]);
  assertStringIncludes(out, "left out: 3 keys without the prefix");
  const rest = new FakeStore();
  await run(["import", "--skip", "3"], { store: rest, input });
  assertEquals(Object.keys(contents(rest)), ["user:2"]);
});

Deno.test("import: a dry run puts nothing, and does not connect", async () => {
  const store = new FakeStore();
  const input = [dump("consul-1.14.11/consul.json")];
  const { code, out } = await run(["import", "--dry-run"], { store, input });
  assertEquals([code, out, store.calls.length], [
    0,
    "ok  dry run, nothing was put: 5 keys, 56 B, could be\n",
    0,
  ]);
});

Deno.test("import: an input without keys to put says so", async () => {
  const outOf = async (args: readonly string[], input: readonly Uint8Array[]): Promise<string> =>
    (await run(["import", ...args], { store: new FakeStore(), input })).out;
  assertEquals(await outOf(["--dry-run"], []), "ok  nothing was put: standard input has no keys\n");
  assertEquals(await outOf([], []), "ok  nothing was put: standard input has no keys\n");
  const input = [dump("consul-1.14.11/consul.json")];
  assertEquals(
    await outOf(["--skip", "99"], input),
    "ok  nothing was put: standard input has no keys after the first 99\n",
  );
  assertEquals(
    await outOf(["--dry-run", "--prefix", "none/"], input),
    "ok  dry run, nothing was put: no key could be; left out: 5 keys without the prefix\n",
  );
});

Deno.test("import: a dump that is cut off anywhere ends with 2, and the number of keys that were put", async () => {
  for (const path of ["etcd-3.7.3/etcd.json", "consul-1.14.11/consul.json", "redis-7.0.15/dump.rdb"]) {
    const bytes = dump(path);
    // The last byte of the text files is a newline.
    const end = path.endsWith("json") ? bytes.length - 1 : bytes.length;
    for (let length = 10; length < end; length += 7) {
      const store = new FakeStore();
      const { code, err, out } = await run(["import"], { store, input: [bytes.slice(0, length)] });
      assertEquals([code, out], [2, ""], `${path} ${length}: ${err}`);
      const count = store.entries.size;
      assertStringIncludes(
        err,
        ` ${count} key${count === 1 ? "" : "s"} were written before, nothing behind.`,
      );
    }
  }
});

Deno.test("import: an append-only file that is cut off within a command puts nothing", async () => {
  const bytes = dump("redis-7.0.15/parts.aof");
  for (let length = bytes.length - 1; length > bytes.length - 20; length--) {
    const store = new FakeStore();
    const { code, err } = await run(["import"], { store, input: [bytes.slice(0, length)] });
    assertEquals([code, store.entries.size], [2, 0], err);
    assertStringIncludes(err, "it is cut off");
  }
});

Deno.test("import: a changed byte of an RDB file is found by its checksum, or before", async () => {
  const bytes = dump("redis-7.0.15/dump.rdb");
  let byChecksum = 0;
  for (let position = 9; position < bytes.length; position += 5) {
    const damaged = bytes.slice();
    damaged[position] = (damaged[position] ?? 0) ^ 0x04;
    const input = [damaged];
    const { code, err } = await run(["import", "--format", "redis-rdb"], { store: new FakeStore(), input });
    assertEquals(code, 2, `byte ${position}: ${err}`);
    if (err.includes("its checksum is")) byChecksum += 1;
  }
  assert(byChecksum > 50, `${byChecksum}`);
});

Deno.test("import: compressed input, and a format that is not the input's, are refused with what to do", async () => {
  const refused = async (args: readonly string[], input: Uint8Array): Promise<string> => {
    const store = new FakeStore();
    const { code, err } = await run(["import", ...args], { store, input: [input] });
    assertEquals([code, store.calls.length], [2, 0]);
    return err;
  };
  assertStringIncludes(await refused([], Uint8Array.of(0x1f, 0x8b, 8, 0)), "gunzip -c <file> |");
  const rdb = dump("redis-7.0.15/dump.rdb");
  assertStringIncludes(
    await refused(["--format", "etcd"], rdb),
    "Cannot read standard input as JSON of etcdctl get",
  );
  assertStringIncludes(await refused(["--format", "consul"], dump("etcd-3.7.3/etcd.json")), "an array");
  const aof = dump("redis-7.0.15/parts.aof");
  const err = await run(["import", "--format", "redis-rdb"], { store: new FakeStore(), input: [aof] });
  assertStringIncludes(err.err, "is it --format redis-aof?");
});
