/** Watches: order and completeness over lost nodes, slow readers, compaction, and the ends of a watch. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  AbortError,
  ClosedError,
  CompactedError,
  FutureRevisionError,
  InvalidRequestError,
  type KvClient,
  TooManyWatchesError,
  type WatchRequest,
} from "../../../../lib/mod.ts";
import {
  QUIET_LIMIT_MS,
  SIGN_TIMEOUT_MS,
  VERIFY_TIMEOUT_MS,
} from "../../../../lib/client/watch/connection_watches.ts";
import { MAX_WATCHES } from "../../../../lib/client/core.ts";
import { MAX_WAITING_BATCHES } from "../../../../lib/client/watch/batch_queue.ts";
import { entry, FakeCluster, type Reply, sent } from "../../../support/fakes/scripted_node.ts";
import { BatchReader } from "../../../support/fakes/batch_reader.ts";
import { WatchedLog } from "../../../support/fakes/watched_log.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, position) => first + position);
}

Deno.test("watch: each revision comes once and in order, whichever nodes are lost between them", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client, { key: "k", from: 1 });
  const reading = reader.readAll();
  for (let round = 0; round < 30; round++) {
    log.put("k");
    log.put("k");
    await cluster.pass(20 + 40 * (round % 3));
    const { node } = log.started.at(-1) ?? { node: 1 };
    if (round % 3 === 0) log.disconnect(node);
    if (round % 3 === 1) log.end(node, round % 2 === 0 ? "noLeader" : "stopping");
  }
  await cluster.pass(1_000);
  await reader.end();
  await reading;
  assertEquals(reader.revisions, range(1, 60));
  assert(log.started.length > 15, "the watch has begun again and again");
  assert(new Set(log.started.map(({ node }) => node)).size > 1, "at several nodes");
});

Deno.test("watch: it goes on at another node than the one that ended it", async () => {
  const cluster = new FakeCluster(2);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client, { prefix: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  log.put("k");
  await cluster.pass(20);
  const [first] = log.started;
  for (const code of ["noLeader", "stopping", "busy", "internal"] as const) {
    const { node } = log.started.at(-1) ?? { node: 0 };
    log.end(node, code);
    await cluster.pass(5_000);
    assert(log.started.at(-1)?.node !== node, `after ${code} it goes elsewhere`);
  }
  assertEquals(log.started.slice(1).map(({ from }) => from), [2, 2, 2, 2]);
  assertEquals(first?.from, null);
  await reader.end();
  await reading;
});

Deno.test("watch: the parts of a revision are one batch, and come again in whole when their node is lost", async () => {
  const cluster = new FakeCluster(2);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client, { prefix: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  const part = (key: string, more: boolean) => (watchId: number): Extract<Reply, { kind: "watchEvents" }> => (
    { kind: "watchEvents", watchId, revision: 1, events: [{ kind: "delete", key: bytes(key) }], more }
  );
  log.send(1, part("k1", true));
  await cluster.pass(20);
  log.disconnect(1);
  await cluster.pass(1_000);
  assertEquals([log.started.at(-1)?.from, reader.batches], [1, []]);
  const { node } = log.started.at(-1) ?? { node: 0 };
  log.send(node, part("k1", true));
  log.send(node, part("k2", false));
  log.send(node, part("k2", false));
  await cluster.pass(20);
  await reader.end();
  await reading;
  const events = ["k1", "k2"].map((key) => ({ kind: "delete", key: bytes(key), modRevision: 1 } as const));
  assertEquals(reader.batches, [{ kind: "events", revision: 1, events }]);
});

Deno.test("watch: a slow reader does not hold other calls up, and misses nothing", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const slow = new BatchReader(client, { key: "k" });
  const quick = new BatchReader(client, { key: "k" });
  const reading = quick.readAll();
  const first = slow.read();
  await cluster.pass(0);
  const count = 3 * MAX_WAITING_BATCHES;
  for (let revision = 0; revision < count; revision++) log.put("k");
  await cluster.pass(100);
  await first;
  assertEquals(log.size, 1, "the watch of the slow reader is cancelled at its node");
  await cluster.finish(client.put("other", "v"));
  assertEquals(quick.revisions, range(1, count));
  while (slow.batches.length < count) await cluster.finish(slow.read());
  assertEquals(slow.revisions, range(1, count));
  await Promise.all([slow.end(), quick.end(), reading]);
});

Deno.test("watch: large values of a slow reader are bounded in bytes", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const slow = new BatchReader(client, { key: "k", from: 1 });
  log.put("k");
  await cluster.finish(slow.read());
  for (let revision = 0; revision < 10; revision++) log.put("k", "x".repeat(300_000));
  await cluster.pass(100);
  assertEquals(log.size, 0);
  while (slow.batches.length < 11) await cluster.finish(slow.read());
  assertEquals(slow.revisions, range(1, 11));
  await slow.end();
});

Deno.test("watch: break, return and abort cancel it at the node, also while it waits", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const looped = (async () => {
    for await (const batch of client.watch({ key: "k" })) {
      assertEquals(batch.revision, 1);
      break;
    }
  })();
  const waiting = new BatchReader(client, { key: "k", only: "deletes" });
  const reading = waiting.readAll();
  const abort = new AbortController();
  const aborted = new BatchReader(client, { key: "k", from: 1, signal: abort.signal });
  await cluster.pass(0);
  log.put("k");
  await looped;
  await waiting.end();
  await reading;
  const rejected = assertRejects(() => aborted.readAll(), AbortError);
  await cluster.pass(0);
  abort.abort("enough");
  assertEquals((await rejected).cause, "enough");
  await cluster.pass(0);
  assertEquals(log.size, 0);
  assertEquals(cluster.node(1).requests.filter(({ kind }) => kind === "cancelWatch").length, 3);
  assertEquals(await aborted.read(), undefined, "after its error an iteration is at its end");
});

Deno.test("watch: one that is cancelled before it has begun is cancelled at its node once it has", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  let late: (() => void) | null = null;
  cluster.node(1).answer = ({ kind, requestId }) => {
    if (kind !== "watch") return "silence";
    late = () => cluster.node(1).broadcast({ kind: "watchStarted", requestId, revision: 1 });
    return "silence";
  };
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  await reader.end();
  await reading;
  const started = late as (() => void) | null;
  started?.();
  await cluster.pass(0);
  assertEquals(cluster.node(1).requests.map(({ kind }) => kind), ["watch", "cancelWatch", "cancelWatch"]);
});

Deno.test("watch: a node from which nothing comes is left, though the watch is idle", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(60_000);
  assertEquals(log.started, [{ node: 1, from: null }]);
  cluster.node(1).isHung = true;
  for (const node of [2, 3]) cluster.node(node).notify(2, 2);
  log.put("k");
  await cluster.pass(QUIET_LIMIT_MS * 2 + SIGN_TIMEOUT_MS + 1_000);
  assert((log.started.at(-1)?.node ?? 1) !== 1);
  await reader.end();
  await reading;
  assertEquals(reader.revisions, [1]);
});

Deno.test("watch: a frozen leader is left as soon as another one is known", async () => {
  const cluster = new FakeCluster(3);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  await cluster.finish(client.get("k", { consistency: "stale" })); // connects to all nodes
  await cluster.pass(0);
  const reader = new BatchReader(client, { key: "k" });
  const reading = reader.readAll();
  await cluster.pass(0);
  cluster.node(2).notify(2, 2);
  await cluster.pass(2 * VERIFY_TIMEOUT_MS);
  assertEquals(log.started.length, 1, "a former leader that answers keeps its watches");
  cluster.node(1).isHung = true;
  cluster.node(3).notify(3, 3);
  log.put("k");
  await cluster.pass(VERIFY_TIMEOUT_MS + 200);
  assertEquals(log.started.map(({ node }) => node), [1, 3]);
  await reader.end();
  await reading;
  assertEquals(reader.revisions, [1]);
});

Deno.test("watch: progress and interruptions are reported, and progress moves the place from which it goes on", async () => {
  const cluster = new FakeCluster(2);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  log.put("other");
  const reasons: string[] = [];
  const reader = new BatchReader(client, {
    key: "k",
    progress: true,
    onInterruption: (reason) => reasons.push(reason),
  });
  const silent = new BatchReader(client, { key: "k" });
  const reading = [reader.readAll(), silent.readAll()];
  await cluster.pass(0);
  const watchIds = range(1, 5);
  cluster.node(1).broadcast({ kind: "watchProgressed", watchIds, revision: 9 });
  cluster.node(1).broadcast({ kind: "watchProgressed", watchIds, revision: 7 });
  cluster.node(1).broadcast({ kind: "watchProgressed", watchIds, revision: 9 });
  await cluster.pass(0);
  log.disconnect(1);
  await cluster.pass(1_000);
  assertEquals(log.started.map(({ from }) => from), [null, null, 10, 10]);
  await Promise.all([reader.end(), silent.end(), ...reading]);
  assertEquals(reader.batches, [1, 9, 9, 9].map((revision) => ({ kind: "progress", revision })));
  assertEquals(reasons.length, 1);
  assertMatch(reasons[0] ?? "", /^the connection to node 1 was lost: /);
  assertEquals(silent.batches, []);
});

Deno.test("watch: compaction ends it by name, or is bridged by the state of then", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  for (let revision = 0; revision < 5; revision++) log.put("k");
  log.compactedRevision = 3;
  const error = await assertRejects(
    () => cluster.finish(new BatchReader(client, { key: "k", from: 2 }).read()),
    CompactedError,
    "Cannot watch keys from revision 2: the history is compacted up to revision 3.",
  );
  assertEquals(error.compactedRevision, 3);
  const watched = cluster.node(1).serve;
  cluster.node(1).serve = (request, send) => {
    if (request.kind !== "list" && request.kind !== "listAt") return watched(request, send);
    const { requestId } = request;
    const isFirst = request.kind === "list";
    const page = {
      entries: [entry(isFirst ? "a/1" : "a/2")],
      more: isFirst,
      revision: log.revision,
      after: null,
    };
    return { kind: "listResult", requestId, page };
  };
  const reader = new BatchReader(client.prefix("a/"), { from: 2, resync: true });
  const reading = reader.readAll();
  await cluster.pass(0);
  log.put("a/3");
  await cluster.pass(0);
  // The node has fallen behind by more than its history.
  log.isHeld = true;
  log.put("a/3");
  log.compactedRevision = 7;
  log.end(1, "compacted");
  log.isHeld = false;
  await cluster.pass(0);
  await reader.end();
  await reading;
  const entries = [entry("1"), entry("2")];
  assertEquals(reader.batches.map((batch) => batch.kind === "events" ? batch.revision : batch), [
    { kind: "reset", revision: 5, entries },
    6,
    { kind: "reset", revision: 7, entries },
  ]);
  assertEquals(log.started.slice(1).map(({ from }) => from), [2, 6, 8]);
});

Deno.test("watch: a state that is compacted while it is read is read again after a pause", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  for (let revision = 0; revision < 5; revision++) log.put("k");
  log.compactedRevision = 3;
  const { serve } = cluster.node(1);
  let reads = 0;
  cluster.node(1).serve = (request, send) => {
    if (request.kind !== "list" && request.kind !== "listAt") return serve(request, send);
    const { requestId } = request;
    if (request.kind === "list") {
      reads++;
      const page = { entries: [entry("a")], more: true, revision: log.revision, after: null };
      return { kind: "listResult", requestId, page };
    }
    const refusal = { code: "compacted", message: "It is compacted.", outcome: "not-applied" } as const;
    return { kind: "error", requestId, ...refusal, leader: 1, compactedRevision: 5 };
  };
  const reader = new BatchReader(client, { from: 2, resync: true });
  const reading = reader.readAll();
  await cluster.pass(2_000);
  assert(reads >= 5 && reads <= 30, `${reads} reads in two seconds`);
  await reader.end();
  await reading;
  assertEquals(reader.batches, []);
});

Deno.test("watch: a refusal that no other node would change ends it by name", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  for (const node of cluster.nodes) {
    node.answer = ({ requestId }) => ({
      kind: "error",
      requestId,
      code: "futureRevision",
      message: "Cannot watch from revision 9: the present one is 1.",
      leader: 1,
      outcome: "not-applied",
    });
  }
  const reader = new BatchReader(client, { key: "k", from: 9 });
  await assertRejects(() => cluster.finish(reader.read()), FutureRevisionError, "node 1 answered");
  await reader.read();
  assertEquals(reader.batches, []);
});

Deno.test("watch: close of the client ends it, and what waits is not delivered", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  const client = await cluster.connect();
  const reader = new BatchReader(client, { key: "k", from: 1 });
  log.put("k");
  await cluster.finish(reader.read());
  log.put("k");
  await cluster.pass(0);
  await client.close();
  await assertRejects(() => reader.read(), ClosedError);
  await assertRejects(() => new BatchReader(client, { key: "k" }).read(), ClosedError);
  assertEquals(cluster.clock.timerCount, 0);
});

Deno.test("watch: a client has so many watches that one connection takes them all", async () => {
  const cluster = new FakeCluster(1);
  new WatchedLog(cluster);
  await using client = await cluster.connect();
  const readers = range(1, MAX_WATCHES).map(() => new BatchReader(client, { key: "k" }));
  const reading = readers.map((reader) => reader.readAll());
  await cluster.pass(0);
  await assertRejects(
    () => new BatchReader(client, { key: "k" }).read(),
    TooManyWatchesError,
    "1000 watches",
  );
  await readers[0]?.end();
  const another = new BatchReader(client, { key: "k" });
  const last = another.readAll();
  await cluster.pass(0);
  assertEquals(cluster.network.connections.length, 1);
  await Promise.all([...readers, another].map((reader) => reader.end()));
  await Promise.all([...reading, last]);
});

Deno.test("watch: keys, ranges and filters as they are sent, below a prefix too", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const requests: readonly [Pick<KvClient, "watch">, WatchRequest][] = [
    [client, { key: "k", from: 3, only: "puts", previous: true }],
    [client, { prefix: "a", only: "deletes" }],
    [client, {}],
    [client, { start: "b", end: "c" }],
    [client, { end: "c" }],
    [client.prefix("p/"), { key: "k" }],
    [client.prefix("p/"), {}],
    [client.prefix("p/"), { start: "b" }],
    [client.prefix("p/"), { end: "b" }],
    [client, { prefix: "a", visibleOnly: true }],
  ];
  const readers = requests.map(([client, request]) => new BatchReader(client, request));
  const reading = readers.map((reader) => reader.readAll());
  await cluster.pass(0);
  const keyed = (key: string) => ({ kind: "key", key: bytes(key) }) as const;
  const ranged = (start: string, end: string | null) =>
    ({ kind: "range", start: bytes(start), end: end === null ? null : bytes(end) }) as const;
  const plain = { kind: "watch", from: null, puts: true, deletes: true, previous: false, visibleOnly: false };
  assertEquals(sent(cluster), [
    { ...plain, keys: keyed("k"), from: 3, deletes: false, previous: true },
    { ...plain, keys: ranged("a", "b"), puts: false },
    { ...plain, keys: ranged("", null) },
    { ...plain, keys: ranged("b", "c") },
    { ...plain, keys: ranged("", "c") },
    { ...plain, keys: keyed("p/k") },
    { ...plain, keys: ranged("p/", "p0") },
    { ...plain, keys: ranged("p/b", "p0") },
    { ...plain, keys: ranged("p/", "p/b") },
    { ...plain, keys: ranged("a", "b"), visibleOnly: true },
  ]);
  await Promise.all([...readers.map((reader) => reader.end()), ...reading]);
});

Deno.test("watch: events have the keys of the caller, and what was there before if asked", async () => {
  const cluster = new FakeCluster(1);
  const log = new WatchedLog(cluster);
  await using client = await cluster.connect();
  const reader = new BatchReader(client.prefix("p/"), { previous: true, from: 1 });
  log.append([
    { kind: "put", entry: entry("p/k"), previous: null },
    { kind: "delete", key: bytes("p/l"), previous: entry("p/l") },
  ]);
  await cluster.finish(reader.read());
  await reader.end();
  const [batch] = reader.batches;
  assertEquals(batch?.kind === "events" ? batch.events : [], [
    { kind: "put", entry: entry("k"), previous: null },
    { kind: "delete", key: bytes("l"), modRevision: 1, previous: entry("l") },
  ]);
});

Deno.test("watch: wrong arguments are refused at once, and nothing is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const wrong: readonly [unknown, string][] = [
    [null, "as a watch"],
    [{ key: "" }, "empty key"],
    [{ key: "k", prefix: "k" }, "name a key"],
    [{ prefix: "k", end: "l" }, "name a key"],
    [{ start: "b", end: "b" }, "not above its start"],
    [{ key: "k", from: -1 }, "revision"],
    [{ key: "k", from: 0 }, "the first revision is 1"],
    [{ key: "k", from: 1.5 }, "revision"],
    [{ key: "k", only: "both" }, '"puts" or "deletes"'],
    [{ key: "k", previous: 1 }, "previous"],
    [{ key: "k", resync: "yes" }, "resync"],
    [{ key: "k", signal: {} }, "AbortSignal"],
  ];
  for (const [request, message] of wrong) {
    assertThrows(() => client.watch(request as WatchRequest), InvalidRequestError, message);
  }
  assertEquals(cluster.node(1).requests, []);
});
