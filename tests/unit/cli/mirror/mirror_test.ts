/** `client mirror` on the answers of a scripted etcd: order, repetition, what is left out, and answers that are none. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { EtcdError, pageOf, watchMessagesOf } from "../../../../lib/cli/mirror/etcd_answers.ts";
import { LeftOutKeys, MAX_KEYS } from "../../../../lib/cli/mirror/left_out_keys.ts";
import { RevisionJoiner, RevisionQueue } from "../../../../lib/cli/mirror/revision_queue.ts";
import { PermissionDeniedError, TimeoutError } from "../../../../lib/client/errors.ts";
import { eventually } from "../../../support/eventually.ts";
import { type ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { FakeStore } from "../support/fake_store.ts";
import { run, type Running, start } from "../support/run_client.ts";
import { eventOf, ScriptedEtcd } from "../support/scripted_etcd.ts";

/** Text keys and values of a store. */
function contents(store: FakeStore): Readonly<Record<string, string>> {
  const decoder = new TextDecoder();
  return Object.fromEntries(
    [...store.entries.values()].map(({ key, value }) => [decoder.decode(key), decoder.decode(value)]).sort(),
  );
}

/** The writes that a store got: `put`, `delete`, or `transaction`. */
function writes(store: FakeStore): readonly unknown[] {
  return store.calls.map((call) => Object(call).name).filter((name) => name !== "list");
}

/** A mirror that runs. */
interface RunningMirror extends Running {
  /** Waits for a condition, while the mirror's clock goes on. */
  until(what: string, holds: () => boolean): Promise<void>;
}

function begin(etcd: ScriptedEtcd, store: FakeStore, options: readonly string[] = []): RunningMirror {
  const running = start(["mirror", "--from-etcd", etcd.address, ...options], { store });
  return {
    ...running,
    until: async (what, holds) => {
      await eventually(what, () => {
        running.environment.clock.advance(100);
        return holds() || null;
      }, { explain: () => running.environment.stderr.text });
    },
  };
}

Deno.test("mirror: the changes of a revision are one transaction, also where messages or pages part them", async () => {
  await using etcd = new ScriptedEtcd();
  etcd.revision = 5;
  etcd.entries = Array.from(
    { length: 330 },
    (_, n) => ({ key: `k${String(n).padStart(3, "0")}`, value: `${n}` }),
  );
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  assertEquals(store.entries.size, 330);
  assertEquals(etcd.watchedFrom, [6]);
  const revisions = etcd.requests.filter(({ path }) => path === "/v3/kv/range").slice(1, -1)
    .map(({ body }) => body["revision"]);
  assertEquals(revisions, [5, 5], "the pages behind the first one are of its revision");

  store.calls.length = 0;
  etcd.revision = 7;
  etcd.send({ events: [eventOf(6, "k000", null), eventOf(7, "a", "1")], fragment: true });
  etcd.send({ events: [eventOf(7, "b", "1")] });
  await mirror.until("the last change is made", () => contents(store)["b"] === "1");
  // Revision 6 may go with 7; 7 itself is never parted.
  const made = writes(store);
  assertEquals(made.at(-1), "transaction");
  assert(made.length <= 2, String(made));
  assertEquals(contents(store)["a"], "1");
  assertEquals(contents(store)["k000"], undefined);
  mirror.environment.signal();
  const { code, out } = await mirror.ended;
  assertEquals(code, 0);
  assertStringIncludes(out, "ok  up to revision 7 of etcd: 332 keys put, 1 deleted, 0 were the same");
});

Deno.test("mirror: with a prefix, exactly the keys with it become those of etcd, up to the last one", async () => {
  for (const options of [["--prefix", "a/"], ["--prefix", "a/", "--to-prefix", "copy/of/"]]) {
    await using etcd = new ScriptedEtcd();
    etcd.entries = [{ key: "a/1", value: "1" }, { key: "a/2", value: "2" }];
    const store = new FakeStore();
    const prefix = options.at(-1) ?? "";
    const around = { "a": "1", "a0": "1", "b": "1", "copy/of": "1", "copy/of0": "1" };
    const old = { [`${prefix}0`]: "0", [`${prefix}2`]: "2", [`${prefix}z`]: "26" };
    for (const [key, value] of Object.entries({ ...around, ...old })) await store.put(key, value);
    const args = ["mirror", "--from-etcd", etcd.address, "--once", "--overwrite", ...options];
    const { code, out } = await run(args, { store });
    assertEquals(code, 0);
    assertStringIncludes(out, "1 key put, 2 deleted, 1 were the same");
    assertEquals(contents(store), { ...around, [`${prefix}1`]: "1", [`${prefix}2`]: "2" });
  }
});

Deno.test("mirror: it goes on behind the last revision when the watch ends, and says so once", async () => {
  await using etcd = new ScriptedEtcd();
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  etcd.change({ a: "1" });
  await mirror.until("the change is made", () => contents(store)["a"] === "1");
  etcd.endWatch();
  await mirror.until("the mirror watches again", () => etcd.isWatched);
  // Progress: revisions without changes of these keys, which need not be asked for again.
  etcd.revision = 40;
  etcd.send({});
  etcd.endWatch();
  await mirror.until("the mirror watches for the third time", () => etcd.watchedFrom.length === 3);
  etcd.change({ a: "2" });
  await mirror.until("the next change is made", () => contents(store)["a"] === "2");
  assertEquals(etcd.watchedFrom, [2, 3, 41]);
  mirror.environment.signal();
  await mirror.ended;
  assertEquals(mirror.environment.stderr.text.match(/etcd was lost/g)?.length, 2);
  assertEquals(mirror.environment.stderr.text.match(/copied/g)?.length, 1);
});

Deno.test("mirror: a watch that says nothing although etcd has gone on is begun again; a slow cluster is no reason", async () => {
  await using etcd = new ScriptedEtcd();
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  const { clock, stderr } = mirror.environment;
  await mirror.until("the mirror watches", () => etcd.isWatched);
  // The change has arrived, and its put does not end.
  const held = Promise.withResolvers<void>();
  store.before = () => held.promise;
  etcd.change({ a: "1" });
  await mirror.until("the change is being put", () => writes(store).length === 1);
  for (let checks = 1; checks <= 5; checks++) await nextCheck(etcd, clock);
  assertEquals(etcd.watchedFrom, [2]);
  held.resolve();
  await mirror.until("the change is made", () => contents(store)["a"] === "1");
  // A change of which the watch says nothing.
  etcd.revision = 3;
  for (let checks = 1; checks <= 4 && !stderr.text.includes("silent"); checks++) await nextCheck(etcd, clock);
  assertStringIncludes(stderr.text, "its watch is silent although it has made changes");
  await mirror.until("the mirror watches again", () => etcd.watchedFrom.length === 2);
  assertEquals(etcd.watchedFrom, [2, 3]);
  mirror.environment.signal();
  assertEquals((await mirror.ended).code, 0);
});

/** Lets 10 seconds pass, and waits until the mirror has had the revision of etcd. */
async function nextCheck(etcd: ScriptedEtcd, clock: ManualClock): Promise<void> {
  const before = etcd.requests.length;
  clock.advance(10_000);
  await eventually("etcd was asked", () => etcd.requests.length > before || null);
  // Its timeout is cancelled once the answer was read.
  await eventually("the answer was read", () => clock.timerCount === 1 || null);
}

for (
  const [what, happens] of [
    ["a compaction", (etcd: ScriptedEtcd) => {
      etcd.send({ canceled: true, compact_revision: "9" });
    }],
    ["an older backup of etcd", (etcd: ScriptedEtcd) => {
      etcd.revision = 3;
      etcd.endWatch();
    }],
    ["another etcd at the same address", (etcd: ScriptedEtcd) => {
      etcd.clusterId = "18";
      etcd.endWatch();
    }],
  ] as const
) {
  Deno.test(`mirror: after ${what} it copies again, and deletes what etcd does not have`, async () => {
    await using etcd = new ScriptedEtcd();
    etcd.revision = 8;
    etcd.entries = [{ key: "a", value: "1" }, { key: "b", value: "1" }, { key: "c", value: "1" }];
    const store = new FakeStore();
    const mirror = begin(etcd, store);
    await mirror.until("the mirror watches", () => etcd.isWatched);
    store.calls.length = 0;
    etcd.entries = [{ key: "a", value: "1" }, { key: "c", value: "2" }];
    happens(etcd);
    await mirror.until("the mirror watches again", () => etcd.watchedFrom.length === 2 && etcd.isWatched);
    assertEquals(contents(store), { a: "1", c: "2" });
    assertEquals(writes(store), ["transaction"], "the key that is the same is not written");
    assertEquals(etcd.watchedFrom, [9, etcd.revision + 1]);
    assertStringIncludes(mirror.environment.stderr.text, "copying again");
    // An etcd that has fewer revisions than before, and makes no change, has nothing to send.
    for (let checks = 1; checks <= 4; checks++) await nextCheck(etcd, mirror.environment.clock);
    assertEquals(etcd.watchedFrom.length, 2, mirror.environment.stderr.text);
    mirror.environment.signal();
    await mirror.ended;
  });
}

Deno.test("mirror: a revision that is compacted while it is copied is copied again", async () => {
  await using etcd = new ScriptedEtcd();
  etcd.entries = Array.from({ length: 101 }, (_, number) => ({ key: `k${1_000 + number}`, value: "1" }));
  let isCompacted = false;
  etcd.answer = ({ body }) => {
    if (isCompacted || etcd.requests.length < 2 || body["revision"] === 0) return null;
    isCompacted = true;
    const error = { code: 11, message: "etcdserver: mvcc: required revision has been compacted" };
    return Response.json(error, { status: 400 });
  };
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  assertEquals(Object.keys(contents(store)).length, 101);
  assertStringIncludes(
    mirror.environment.stderr.text,
    "etcd no longer has the revision that was being copied; copying again",
  );
  mirror.environment.signal();
  await mirror.ended;
});

Deno.test("mirror: of a key that kvraft cannot hold, and of one that gets a lease, no old value stays", async () => {
  await using etcd = new ScriptedEtcd();
  etcd.entries = [{ key: "a", value: "1" }, { key: "b", value: "1" }, {
    key: "old",
    value: "1",
    lease: "-77",
  }];
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  assertEquals(contents(store), { a: "1", b: "1" });
  etcd.change({
    a: "x".repeat(1_048_577),
    ["k".repeat(4_097)]: "1",
    "\xff\xff\xff\xff\xff\xff\xff\xff": "1",
  });
  etcd.send({
    events: [{ kv: { key: btoa("b"), value: btoa("2"), mod_revision: "3", lease: "7587892342342" } }],
  });
  await mirror.until("both are deleted", () => store.entries.size === 0);
  etcd.revision = 3;
  etcd.change({ a: "small again" });
  await mirror.until("the key is put again", () => contents(store)["a"] === "small again");
  mirror.environment.signal();
  const { code, out, err } = await mirror.ended;
  assertEquals(code, 1, err);
  assertStringIncludes(
    out,
    "left out: 2 keys of leases, 1 key longer than 4096 bytes, 1 key with names that are reserved",
  );
  assertStringIncludes(err, "left out the key a, one of those with a value of more than 1048576 bytes");
});

Deno.test("mirror: a cluster that does not answer is asked again; a refusal ends it with what was done", async () => {
  await using etcd = new ScriptedEtcd();
  etcd.entries = [{ key: "a", value: "1" }];
  const store = new FakeStore();
  let failures = 0;
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  store.before = () => {
    failures += 1;
    if (failures > 3) return Promise.resolve();
    return Promise.reject(new TimeoutError("No answer.", { outcome: "unknown" }));
  };
  etcd.change({ a: "2" });
  await mirror.until("the change is made", () => contents(store)["a"] === "2");
  assertEquals(failures, 4);
  store.before = () => Promise.reject(new PermissionDeniedError("The user may not write a."));
  etcd.change({ a: "3" });
  const { code, err } = await mirror.ended;
  assertEquals(code, 6);
  assertEquals(err.match(/trying again: No answer/g)?.length, 1);
  assertStringIncludes(err, "The user may not write a. Everything up to revision 2 of etcd is mirrored.");
});

Deno.test("mirror: a token is had with the password, and a new one when etcd has forgotten it", async () => {
  await using etcd = new ScriptedEtcd();
  let issued = 0;
  let valid = "";
  etcd.answer = ({ path, body, token }) => {
    if (path === "/v3/auth/authenticate") {
      assertEquals(body, { name: "ada", password: "secret" });
      valid = `token.${++issued}`;
      return Response.json({ token: valid });
    }
    if (token === valid) return null;
    return Response.json({ code: 16, message: "etcdserver: invalid auth token" }, { status: 401 });
  };
  const store = new FakeStore();
  const running = start(
    ["mirror", "--from-etcd", etcd.address, "--from-user", "ada", "--from-password-file", "pw"],
    { store, files: { pw: "secret\n" } },
  );
  await eventually("the mirror watches", () => etcd.isWatched || null);
  valid = "another";
  etcd.change({ a: "1" });
  etcd.endWatch();
  await eventually("the mirror watches again", () => {
    running.environment.clock.advance(100);
    return etcd.isWatched && issued === 2 || null;
  });
  running.environment.signal();
  assertEquals((await running.ended).code, 0);
});

Deno.test("mirror: it goes on after a proxy has answered that it does not reach etcd", async () => {
  await using etcd = new ScriptedEtcd();
  const store = new FakeStore();
  const mirror = begin(etcd, store);
  await mirror.until("the mirror watches", () => etcd.isWatched);
  let answers = 0;
  etcd.answer = () => ++answers > 2 ? null : new Response("<html>502 Bad Gateway</html>", { status: 502 });
  etcd.endWatch();
  await mirror.until("etcd is reached again", () => answers > 2);
  etcd.change({ a: "1" });
  await mirror.until("the change is made", () => contents(store)["a"] === "1");
  mirror.environment.signal();
  assertEquals((await mirror.ended).code, 0);
});

Deno.test("mirror: of an etcd without users it does not say that another user may read the keys", async () => {
  await using etcd = new ScriptedEtcd();
  // The answer of etcd 3.7 to a sign-in while its authentication is disabled.
  const disabled = { code: 9, message: "etcdserver: authentication is not enabled" };
  etcd.answer = () => Response.json(disabled, { status: 400 });
  const args = ["mirror", "--from-etcd", etcd.address, "--from-user", "ada", "--from-password-file", "pw"];
  const { code, err } = await run(args, { store: new FakeStore(), files: { pw: "secret\n" } });
  assertEquals(code, 3);
  assertStringIncludes(err, "authentication is not enabled");
  assert(!err.includes("Give --from-user"), err);
});

Deno.test("mirror: wrong usage, and an address where no etcd answers, change nothing", async () => {
  const store = new FakeStore();
  for (
    const [args, message] of [
      [[], "mirror needs --from-etcd <host:port>"],
      [["--from-etcd", "nowhere"], "--from-etcd:"],
      [["--from-etcd", "127.0.0.1:1", "--from-ca", "ca.pem"], "--from-ca"],
      [["--from-etcd", "http://127.0.0.1:1,https://127.0.0.1:2"], "all are asked with TLS, or none"],
      [["--from-etcd", "127.0.0.1:1,https://127.0.0.1:2"], "Write https:// before the first, too"],
      [["--from-etcd", "https://127.0.0.1:1,http://127.0.0.1:2"], "has http://127.0.0.1:2 behind"],
      [["--from-etcd", "127.0.0.1:1", "--from-password-file", "pw"], "--from-user says whose it is"],
    ] as const
  ) {
    const { code, err } = await run(["mirror", ...args], { store });
    assertEquals(code, 2, err);
    assertStringIncludes(err, message);
  }
  await using etcd = new ScriptedEtcd();
  const lines: readonly (readonly [Response, number, string])[] = [
    [new Response("<html>", { status: 200 }), 3, "an answer is not JSON"],
    [new Response("404 page not found", { status: 404 }), 3, "it answers with HTTP status 404"],
    [Response.json({ header: { revision: "1e99" } }), 3, "revision is no integer"],
    [Response.json({ code: 14, message: "etcdserver: no leader" }, { status: 503 }), 3, "no leader"],
    [
      Response.json({ code: 3, message: "etcdserver: user name is empty" }, { status: 400 }),
      6,
      "Give --from-user",
    ],
  ];
  for (const [response, exitCode, message] of lines) {
    etcd.answer = () => response;
    const { code, err } = await run(["mirror", "--from-etcd", etcd.address], { store });
    assertEquals(code, exitCode, err);
    assertStringIncludes(err, message);
  }
  await store.put("here", "before");
  const { code } = await run(["mirror", "--from-etcd", etcd.address], { store });
  assertEquals(code, 2);
  assertEquals(contents(store), { here: "before" });
});

Deno.test("mirror: the next member is asked when one does not answer", async () => {
  await using etcd = new ScriptedEtcd();
  etcd.entries = [{ key: "a", value: "1" }];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const store = new FakeStore();
  const from = `http://127.0.0.1:${port}/,${etcd.address}`;
  const { code, out } = await run(["mirror", "--from-etcd", from, "--once", "--output", "json"], { store });
  assertEquals(code, 0);
  assertEquals(JSON.parse(out), {
    revision: 1,
    puts: 1,
    deletes: 0,
    same: 0,
    copies: 1,
    followed: 0,
    leftOut: 0,
    reasons: [],
  });
});

Deno.test("RevisionJoiner: any events in any messages become revisions with the last change of each key", () => {
  const event = fc.record({ step: fc.nat({ max: 2 }), key: fc.constantFrom("a", "b"), cut: fc.boolean() });
  fc.assert(fc.property(fc.array(event), (steps) => {
    const joiner = new RevisionJoiner();
    const joined: (readonly [number, string])[] = [];
    const expected = new Map<string, string>();
    let revision = 1;
    let message: { revision: number; key: Uint8Array; entry: null }[] = [];
    for (const [position, { step, key, cut }] of steps.entries()) {
      revision += step;
      expected.set(`${revision} ${key}`, key);
      message.push({ revision, key: new TextEncoder().encode(key), entry: null });
      const isLast = position === steps.length - 1;
      if (!cut && !isLast) continue;
      for (const complete of joiner.take(message, isLast)) {
        for (const { key } of complete.events) {
          joined.push([complete.revision, new TextDecoder().decode(key)]);
        }
      }
      message = [];
    }
    const names = joined.map(([revision, key]) => `${revision} ${key}`);
    assertEquals(new Set(names), new Set(expected.keys()));
    assertEquals(names.length, expected.size, "no change comes twice");
    const revisions = joined.map(([revision]) => revision);
    assertEquals(revisions, revisions.toSorted((a, b) => a - b));
  }));
});

Deno.test("RevisionQueue: the writer waits while 8 MiB wait, and an end comes behind what waits", async () => {
  const queue = new RevisionQueue();
  const entry = { key: new Uint8Array(1), value: new Uint8Array(5_000_000), hasLease: false };
  const revision = (
    n: number,
  ): { revision: number; events: { revision: number; key: Uint8Array; entry: typeof entry }[] } => ({
    revision: n,
    events: [{ revision: n, key: entry.key, entry }],
  });
  await queue.push(revision(1));
  let isPushed = false;
  const second = queue.push(revision(2)).then(() => isPushed = true);
  await settle();
  assertEquals(isPushed, false);
  assertEquals((await queue.take(() => false)).map(({ revision }) => revision), [1]);
  await second;
  queue.fail(new Error("end"));
  assertEquals((await queue.take(() => true)).length, 1);
  assertEquals(await queue.take(() => true).catch((error: unknown) => String(error)), "Error: end");
});

Deno.test("LeftOutKeys: beyond the limit of names, keys of leases are counted, and only a key that cannot be held is lost", () => {
  const leftOut = new LeftOutKeys(() => {});
  const add = (number: number, reason: string, isLost: boolean): void =>
    leftOut.add(new TextEncoder().encode(`key-${number}`), { reason, isLost });
  for (let number = 0; number <= MAX_KEYS; number++) add(number, "of leases", false);
  assertEquals([leftOut.hasLost, leftOut.tally().total], [false, MAX_KEYS + 1]);
  add(MAX_KEYS + 1, "that are empty", true);
  assertEquals([leftOut.hasLost, leftOut.tally().total], [true, MAX_KEYS + 2]);
  assertEquals(leftOut.tally().lines, [
    { reason: "of leases", count: MAX_KEYS, keys: ["key-0", "key-1", "key-2"] },
    { reason: "that are not named", count: 2, keys: [] },
  ]);
  leftOut.clear();
  assertEquals([leftOut.hasLost, leftOut.tally().total], [false, 0]);
});

Deno.test("answers of etcd: any JSON is a typed answer or an EtcdError", () => {
  const names = [
    "header",
    "revision",
    "kvs",
    "key",
    "value",
    "result",
    "events",
    "kv",
    "canceled",
    "error",
    "mod_revision",
  ];
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      fc.constantFrom(null, true, 7, "8", "AA==", "9".repeat(30), "text"),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie("any")),
    ),
  })).any;
  fc.assert(fc.property(fc.oneof(value.map((json) => JSON.stringify(json)), fc.string()), (text) => {
    for (const read of [pageOf, watchMessagesOf]) {
      try {
        read(text);
      } catch (error) {
        assert(error instanceof EtcdError, String(error));
      }
    }
  }));
});
