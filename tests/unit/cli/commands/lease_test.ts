/** The commands on leases, `put --lease`, `--ttl` and `--expires-at`, and what reads show of them. */
import { assertEquals } from "@std/assert";
import { LeaseNotFoundError, TimeoutError } from "../../../../lib/client/errors.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeStore } from "../support/fake_store.ts";
import { run, start } from "../support/run_client.ts";

const utf8 = new TextEncoder();

/** Returns a store with the leases 47, which has the keys `a` and 0xff, and 4711. */
async function leased(): Promise<FakeStore> {
  const store = new FakeStore();
  const keys = [utf8.encode("a"), Uint8Array.of(0xff)];
  store.leases.all.set(47, { leaseId: 47, ttlMs: 90_000, remainingMs: 61_500, keyCount: 2, keys });
  await store.leases.grant({ ttlMs: 1_500 });
  store.calls.length = 0;
  return store;
}

Deno.test("lease grant: the id and the time to live, as typed", async () => {
  const store = new FakeStore();
  assertEquals(await run(["lease", "grant", "30s"], { store }), {
    code: 0,
    out: "ok  lease 4711, ttl 30s\n",
    err: "",
  });
  assertEquals(
    (await run(["lease", "grant", "1500ms", "--id", "5", "--output", "json"], { store })).out,
    '{"leaseId":5,"ttlMs":1500,"revision":0}\n',
  );
  assertEquals((await run(["lease", "grant", "2h"], { store })).out, "ok  lease 4711, ttl 2h\n");
});

Deno.test("lease grant: a time that means nothing, or is out of bounds, is refused by name", async () => {
  const range = "must be a time from 1s to 2500000h, such as 1500ms, 10s or 5m";
  for (const ttl of ["500ms", "0s", "30", "1.5s", "-5s", "3d", "2500001h", "99999999999999999s", "s"]) {
    const args = ttl.startsWith("-") ? ["lease", "grant", "--", ttl] : ["lease", "grant", ttl];
    assertEquals(await run(args), { code: 2, out: "", err: `kvraft: <ttl> ${range}, not "${ttl}".\n` });
  }
  assertEquals(
    (await run(["put", "k", "v", "--ttl", "1ms"])).err,
    `kvraft: --ttl ${range}, not "1ms".\n`,
  );
  const id = "must be an integer from 1 to 9007199254740991";
  for (
    const args of [["lease", "grant", "5s", "--id", "0"], ["lease", "revoke", "x"], ["lease", "ttl", "-"]]
  ) {
    const { code, err } = await run(args);
    assertEquals([code, err.includes(id)], [2, true], err);
  }
});

Deno.test("lease revoke: the revision and the number of deleted keys; 1 for an unknown lease", async () => {
  const store = await leased();
  assertEquals(await run(["lease", "revoke", "47"], { store }), {
    code: 0,
    out: "ok  revision 9, 2 keys deleted\n",
    err: "",
  });
  const again = await run(["lease", "revoke", "47", "--output", "json"], { store });
  assertEquals([again.code, JSON.parse(again.err).error.code], [1, "leaseNotFound"]);
});

Deno.test("lease ttl: what is left, and the keys; 1 for an unknown lease", async () => {
  const store = await leased();
  assertEquals(await run(["lease", "ttl", "47"], { store }), {
    code: 0,
    out: "61.5 s of 90s, 2 keys\n",
    err: "",
  });
  assertEquals(
    (await run(["lease", "ttl", "47", "--keys"], { store })).out,
    "61.5 s of 90s, 2 keys\na\n\\xff\n",
  );
  assertEquals(JSON.parse((await run(["lease", "ttl", "47", "--keys", "--output", "json"], { store })).out), {
    leaseId: 47,
    ttlMs: 90_000,
    remainingMs: 61_500,
    keyCount: 2,
    keys: [{ key: "a" }, { keyBase64: "/w==" }],
  });
  assertEquals(await run(["lease", "ttl", "48"], { store }), { code: 1, out: "", err: "(no such lease)\n" });
  assertEquals((await run(["lease", "ttl", "48", "--stale", "--output", "json"], { store })).out, "null\n");
  assertEquals(store.calls.at(-1), { name: "timeToLive", keys: false, consistency: "stale" });
});

Deno.test("lease list: fields for pipes, a table for a terminal, and how to go on", async () => {
  const store = await leased();
  assertEquals(await run(["lease", "list"], { store }), {
    code: 0,
    out: "47\t90000\t61500\t2\n4711\t1500\t1500\t0\n",
    err: "",
  });
  assertEquals(
    (await run(["lease", "list"], { store, terminal: true })).out,
    "lease  ttl     remains  keys\n47     90s     61.5 s   2\n4711   1500ms  1.5 s    0\n",
  );
  const page = await run(["lease", "list", "--limit", "1"], { store });
  assertEquals(page.err, "-- 1 shown, and there are more: lease list --limit 1 --after 47\n");
  assertEquals(
    (await run(["lease", "list", "--limit", "1", "--after", "47"], { store })).out.slice(0, 5),
    "4711\t",
  );
  const { out } = await run(["lease", "list", "--limit", "1", "--output", "json"], { store });
  assertEquals(JSON.parse(out).after, 47);
});

Deno.test("lease keep-alive: three times within the time to live, until Ctrl-C, which ends it with 0", async () => {
  const store = await leased();
  const { environment, ended } = start(["lease", "keep-alive", "47"], { store });
  await settle();
  assertEquals(environment.stdout.text, "ok  lease 47, ttl 90s\n");
  for (let second = 0; second < 61; second += 1) {
    environment.clock.advance(1_000);
    await settle();
  }
  assertEquals(store.calls.length, 3);
  environment.signal();
  assertEquals(await ended, {
    code: 0,
    out: "ok  lease 47, ttl 90s\n",
    err: "lease 47 is not kept alive any more\n",
  });
  assertEquals([store.leases.all.has(47), environment.clock.timerCount], [true, 0]);
  const once = await run(["lease", "keep-alive", "47", "--once", "--output", "json"], { store });
  assertEquals([once.code, once.out], [0, '{"leaseId":47,"ttlMs":90000}\n']);
});

Deno.test("lease keep-alive: it tries again while the cluster does not answer, and ends with 1 when the lease has ended", async () => {
  const store = await leased();
  const { environment, ended } = start(["lease", "keep-alive", "47"], { store });
  await settle();
  store.before = () => Promise.reject(new TimeoutError("Cannot keep leases alive: no leader."));
  for (const passedMs of [30_000, 1_000, 1_000]) {
    environment.clock.advance(passedMs);
    await settle();
  }
  store.before = () => Promise.resolve();
  environment.clock.advance(1_000);
  await settle();
  store.leases.all.delete(47);
  environment.clock.advance(30_000);
  const { code, err } = await ended;
  assertEquals(code, 1);
  assertEquals(err.split("\n"), [
    "-- it may not be kept alive: no leader; trying on",
    "-- it is kept alive again",
    "kvraft: Lease 47 has ended, and its keys are deleted.",
    "",
  ]);
  assertEquals((await run(["lease", "keep-alive", "47"], { store })).code, 1);
});

Deno.test("put: --lease attaches the key, --ttl grants a lease and names it, --expires-at is a time of the clock", async () => {
  const store = await leased();
  assertEquals((await run(["put", "a", "1", "--lease", "47"], { store })).out, "ok  revision 1\n");
  assertEquals(
    (await run(["put", "b", "2", "--ttl", "30s"], { store })).out,
    "ok  revision 2, lease 4711, ttl 30s\n",
  );
  const json = await run(["put", "c", "3", "--ttl", "5m", "--output", "json"], { store });
  assertEquals(json.out, '{"revision":3,"leaseId":4711,"ttlMs":300000}\n');
  await run(["put", "d", "4", "--expires-at", "2030-01-31T09:30:00Z"], { store });
  await run(["put", "e", "5", "--expires-at", "1900000000000", "--lease", "47"], { store });
  await run(["put", "f", "6"], { store });
  const attached = [...store.entries.values()].map(({ leaseId, expiresAtMs }) => [leaseId, expiresAtMs]);
  assertEquals(attached, [
    [47, undefined],
    [4711, undefined],
    [4711, undefined],
    [undefined, Date.UTC(2030, 0, 31, 9, 30)],
    [47, 1_900_000_000_000],
    [undefined, undefined],
  ]);
});

Deno.test("put: contradictions and nonsense are refused, an ended lease ends it with 1", async () => {
  assertEquals(
    (await run(["put", "k", "v", "--lease", "47", "--ttl", "5s"])).err,
    [
      "kvraft: --lease names a lease, and --ttl makes a new one. Give one of them.\n",
    ].join(""),
  );
  for (const time of ["tomorrow", "2030-01-31", "2030-13-31T00:00:00Z", "2030-01-31T09:30:00", "0", "1.5"]) {
    const { code, err } = await run(["put", "k", "v", "--expires-at", time]);
    assertEquals([code, err], [
      2,
      `kvraft: --expires-at must be a time such as 2030-01-31T09:30:00Z, or milliseconds since 1970, not "${time}".\n`,
    ]);
  }
  const store = new FakeStore();
  store.before = () => Promise.reject(new LeaseNotFoundError("Cannot put a key: there is no such lease."));
  assertEquals((await run(["put", "k", "v", "--lease", "9"], { store })).code, 1);
});

Deno.test("get, list, history: the lease and the expiry of a key, where there is one", async () => {
  const store = new FakeStore();
  await store.put("a", "1");
  await store.put("b", "2", { leaseId: 47 });
  const document = JSON.parse((await run(["get", "b", "--output", "json"], { store })).out);
  assertEquals([document.leaseId, "expiresAtMs" in document], [47, false]);
  assertEquals((await run(["list"], { store })).out, "a\t1\nb\t2\n");
  assertEquals(
    (await run(["list"], { store, terminal: true })).out,
    "key  revision  lease  value\na    1                1\nb    2         47     2\n",
  );
  await store.put("b", "3", { expiresAtMs: Date.UTC(2030, 0, 31) });
  assertEquals(
    (await run(["history", "b"], { store, terminal: true })).out,
    [
      "revision  version  lease  expires                   value\n",
      "3         2               2030-01-31T00:00:00.000Z  3\n",
      "2         1        47                               2\n",
    ].join(""),
  );
  const { out } = await run(["history", "b", "--output", "json"], { store });
  assertEquals(JSON.parse(out).versions.map(({ leaseId }: { leaseId?: number }) => leaseId), [undefined, 47]);
});
