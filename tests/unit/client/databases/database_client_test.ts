/** DatabaseClient: reads, writes, watches and lists of databases, against servers in memory and scripted nodes. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { databasesOf } from "../../../../lib/client/client.ts";
import type { DatabaseClient } from "../../../../lib/client/databases/database_client.ts";
import type { DatabaseRange } from "../../../../lib/client/databases/types.ts";
import {
  AuthenticationError,
  DatabaseNotFoundError,
  DatabasesChangeRefusedError,
  InternalError,
  InvalidRequestError,
  KeyTooLargeError,
  type KvClient,
} from "../../../../lib/mod.ts";
import type { DatabaseMutation, DatabasesChange } from "../../../../lib/kv/mod.ts";
import type { ClientRequest } from "../../../../lib/protocol/client_frames.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import { entry, FakeCluster } from "../../../support/fakes/scripted_node.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);
const NO_CHECKS = { checks: [] };

/** A set of plain bytes. */
function set(key: string, value: string): DatabaseMutation {
  return {
    kind: "set",
    key: bytes(key),
    value: bytes(`\x03${value}`),
    expiresAtMs: null,
    versionstampedKey: false,
  };
}

function range(start: string, end: string | null, options: Partial<DatabaseRange> = {}): DatabaseRange {
  return {
    start: bytes(start),
    end: end === null ? null : bytes(end),
    limit: 1_000,
    reverse: false,
    ...options,
  };
}

/** Servers with a client. */
class Bench implements AsyncDisposable {
  readonly cluster = new MemoryCluster();
  readonly client: KvClient;
  readonly databases: DatabaseClient;

  private constructor(cluster: MemoryCluster, client: KvClient) {
    this.cluster = cluster;
    this.client = client;
    this.databases = databasesOf(client);
  }

  static async start(nodes = 1): Promise<Bench> {
    const cluster = new MemoryCluster();
    const ids = Array.from({ length: nodes }, (_, position) => position + 1);
    await cluster.found(...ids);
    const client = await cluster.client(...ids);
    await cluster.untilHistory(client);
    return new Bench(cluster, client);
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.cluster.run(promise);
  }

  async create(name: string): Promise<number> {
    const uuid = "00000000-0000-4000-8000-000000000001";
    const change: DatabasesChange = { kind: "create", name, uuid, signingKey: new Uint8Array(32) };
    const { databaseId } = await this.run(this.databases.change(change));
    return databaseId;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cluster[Symbol.asyncDispose]();
  }
}

Deno.test("DatabaseClient: a write, and a read of it without the prefix; another database and the store do not have it", async () => {
  await using bench = await Bench.start();
  const { databases, client } = bench;
  const app = await bench.create("app");
  const written = await bench.run(
    databases.write(app, 0, { ...NO_CHECKS, mutations: [set("a", "1"), set("b", "2")] }),
  );
  assert(written.kind === "databaseWritten");
  const ranges = [
    range("", null),
    range("", null, { reverse: true, limit: 1 }),
    range("b", "b\0"),
    range("c", "c\0"),
  ];
  const read = await bench.run(databases.read(app, ranges));
  assertEquals(read.revision, written.revision);
  assertEquals(read.ranges.map((found) => found.map(({ key, value }) => text(key) + text(value))), [
    ["a\x031", "b\x032"],
    ["b\x032"],
    ["b\x032"],
    [],
  ]);
  assertEquals((await bench.run(databases.read(0, [range("", null)]))).ranges, [[]]);
  assertEquals((await bench.run(client.list())).entries, []);
  const check = { key: bytes("a"), revision: written.revision - 1 };
  const failed = await bench.run(databases.write(app, 0, { checks: [check], mutations: [set("a", "2")] }));
  assertEquals(failed, { kind: "databaseChecksFailed", revision: written.revision, failedChecks: [0] });
  const sum: DatabaseMutation = {
    kind: "max",
    key: bytes("a"),
    value: Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0, 0),
  };
  const notU64 = await bench.run(databases.write(app, 0, { ...NO_CHECKS, mutations: [set("b", "x"), sum] }));
  const expected = {
    kind: "databaseWriteFailed",
    revision: written.revision,
    reason: "notU64",
    position: 1,
  } as const;
  assertEquals(notU64, expected);
});

Deno.test("DatabaseClient: errors by name, before anything is sent where that is possible", async () => {
  await using bench = await Bench.start();
  const { databases } = bench;
  const mutations = [set("k", "v")];
  const fails = async (promise: Promise<unknown>, error: new (...args: never[]) => Error): Promise<void> => {
    const thrown = await bench.run(promise.then(() => null, (reason: unknown) => reason));
    assertInstanceOf(thrown, error);
  };
  await fails(databases.write(7, 0, { ...NO_CHECKS, mutations }), DatabaseNotFoundError);
  await fails(databases.write(0, 7, { ...NO_CHECKS, mutations }), AuthenticationError);
  await fails(databases.write(0, 0, { ...NO_CHECKS, mutations: [] }), InvalidRequestError);
  await fails(
    databases.write(0, 0, { ...NO_CHECKS, mutations: [set("k".repeat(3_000), "")] }),
    KeyTooLargeError,
  );
  await fails(databases.read(0, []), InvalidRequestError);
  await fails(databases.change({ kind: "remove", name: "app" }), DatabasesChangeRefusedError);
  await fails(databases.change({ kind: "remove", name: "A" }), InvalidRequestError);
});

Deno.test("DatabaseClient: the registry as it is changed, with secrets or without", async () => {
  await using bench = await Bench.start();
  const { databases } = bench;
  await bench.create("app");
  const hash = new Uint8Array(32).fill(3);
  const token = { label: "ci", hash, createdAtMs: 5, signingKey: new Uint8Array(32).fill(4) };
  const added = await bench.run(databases.change({ kind: "addToken", name: "default", ...token }));
  assertEquals([added.databaseId, added.tokenId], [0, 1]);
  const list = await bench.run(databases.databases());
  assertEquals([list.authenticationEnabled, list.databases.map(({ name }) => name)], [false, [
    "default",
    "app",
  ]]);
  assertEquals(list.databases[0]?.tokens, [{ id: 1, label: "ci", hash, createdAtMs: 5 }]);
  const shown = await bench.run(databases.databases({ secrets: false, consistency: "stale" }));
  assertEquals(shown.databases[0]?.tokens[0]?.hash.length, 0);
});

Deno.test("DatabaseClient: a large read is of one revision, though it takes several answers and writes go on", async () => {
  await using bench = await Bench.start();
  const { databases } = bench;
  const large = "x".repeat(60_000);
  for (let batch = 0; batch < 12; batch++) {
    const mutations = Array.from(
      { length: 12 },
      (_, number) => set(`k${batch * 12 + number + 1_000}`, large),
    );
    await bench.run(databases.write(0, 0, { ...NO_CHECKS, mutations }));
  }
  for (const reverse of [false, true]) {
    const reading = databases.read(0, [range("k1001", "k1002"), range("k", "l", { reverse, limit: 140 })]);
    const deleting = databases.write(0, 0, {
      ...NO_CHECKS,
      mutations: [{ kind: "delete", key: bytes("k1100") }],
    });
    const { ranges, revision } = await bench.run(reading);
    await bench.run(deleting);
    const keys = ranges[1]?.map(({ key }) => text(key)) ?? [];
    assertEquals([ranges[0]?.length, keys.length, new Set(keys).size], [1, 140, 140]);
    let turns = 0;
    const beforeMore = (): Promise<void> => Promise.resolve(void turns++);
    const again = await bench.run(databases.read(0, [range("k", "l")], { beforeMore }));
    assertEquals([again.ranges[0]?.length, turns], [143, 1]);
    await bench.run(databases.read(0, [range("k", "l", { limit: 10 })], { beforeMore }));
    assertEquals(turns, 1);
    assertEquals(keys, keys.toSorted((a, b) => a < b === !reverse ? -1 : 1));
    assert(ranges[1]?.every(({ modRevision }) => modRevision <= revision));
    await bench.run(databases.write(0, 0, { ...NO_CHECKS, mutations: [set("k1100", large)] }));
  }
});

Deno.test("DatabaseClient: a watch yields when all keys are watched, then for changes, several taken together", async () => {
  await using bench = await Bench.start(3);
  const { databases } = bench;
  const put = async (key: string, database = 0): Promise<number> => {
    const { revision } = await bench.run(
      databases.write(database, 0, { ...NO_CHECKS, mutations: [set(key, "v")] }),
    );
    return revision;
  };
  const app = await bench.create("app");
  const stop = new AbortController();
  const { signal } = stop;
  const keys = [bytes("a"), bytes("b"), bytes("a")];
  const first = databases.watch(0, keys, { signal })[Symbol.asyncIterator]();
  const started = await bench.run(first.next());
  assert(started.done !== true && started.value.revision >= 1);
  // A second watch of the same keys begins at once, over the same watches.
  const second = databases.watch(0, keys.toReversed(), { signal })[Symbol.asyncIterator]();
  await bench.run(second.next());
  await put("other");
  await put("a", app);
  const revisions = [await put("a"), await put("b")];
  await bench.run(databases.read(0, [range("", null)]));
  const seen: number[] = [];
  while (seen.at(-1) !== revisions[1]) {
    const { value } = await bench.run(first.next());
    seen.push(value?.revision ?? 0);
  }
  assertEquals(seen.every((revision) => revisions.includes(revision)), true);
  const last = await bench.run(second.next());
  assert(last.done !== true && revisions.includes(last.value.revision));
  const ended = first.next();
  stop.abort();
  assertEquals((await bench.run(ended)).done, true);
});

Deno.test("DatabaseClient: a watch goes on while each node in turn is stopped", async () => {
  await using bench = await Bench.start(3);
  const { databases, cluster } = bench;
  const stop = new AbortController();
  const watch = databases.watch(0, [bytes("k")], stop)[Symbol.asyncIterator]();
  await bench.run(watch.next());
  for (const id of [1, 2, 3]) {
    await cluster.stop(id);
    const write = databases.write(0, 0, { ...NO_CHECKS, mutations: [set("k", `${id}`)] }, {
      timeoutMs: 60_000,
    });
    const { revision } = await bench.run(write);
    let seen = 0;
    while (seen < revision) seen = (await bench.run(watch.next())).value?.revision ?? Infinity;
    await cluster.start(id);
  }
  stop.abort();
});

Deno.test("DatabaseClient: an answer that does not follow the rules of a read is a named error", async () => {
  const answers: readonly ((request: Extract<ClientRequest, { kind: "readRanges" }>) => object)[] = [
    () => ({ ranges: [[], []], next: null }),
    () => ({ ranges: [], next: null }),
    () => ({ ranges: [], next: { range: 0, after: null } }),
    () => ({ ranges: [[]], next: { range: 1, after: null } }),
    // More entries than the limit leave a range of less than none.
    () => ({ ranges: [[entry("a"), entry("b")]], next: { range: 0, after: bytes("b") } }),
  ];
  for (const answer of answers) {
    const cluster = new FakeCluster(1);
    const client = await cluster.connect();
    cluster.node(1).serve = (request) => {
      if (request.kind !== "readRanges") return null;
      const head = { kind: "readRangesResult" as const, requestId: request.requestId, revision: 1 };
      return { ...head, ranges: [], next: null, ...answer(request) };
    };
    const read = databasesOf(client).read(0, [range("", null, { limit: 1 })]);
    await assertRejects(() => cluster.finish(read), InternalError);
  }
});
