/** Whole servers: watches on every node, from the present and from the past. */
import { assert, assertEquals } from "@std/assert";
import type { ServerFrame } from "../../../../lib/protocol/client_frames.ts";
import { MAX_WATCHES_PER_CONNECTION } from "../../../../lib/server/watch/watch_requests.ts";
import { RawConnection } from "../../../support/fakes/accepting_node.ts";
import { FRAME_KIND } from "../../../support/frames/kinds.ts";
import { parseMetrics, sumOf } from "../../../support/prometheus.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import {
  ALL_KEYS,
  prefixKeys,
  TestWatch,
  WatchClient,
  type WatchOptions,
} from "../../../support/frames/watch_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Connects to a node of a cluster. */
function connect({ network, clock }: MemoryCluster, id: number): Promise<WatchClient> {
  return WatchClient.open({ network, clock, address: MemoryCluster.addressOf(id).address });
}

/** Returns the refusal of a watch. */
async function refusal(
  cluster: MemoryCluster,
  client: WatchClient,
  options: WatchOptions,
): Promise<ServerFrame<"error">> {
  const answer = await cluster.run(client.watch(options));
  assert(answer !== null && !(answer instanceof TestWatch), "the watch is refused");
  return answer;
}

Deno.test("Server: watches on each of three nodes get every event of their keys, in order", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  await cluster.run(client.put("a/1", "before"));
  const connections = [await connect(cluster, 1), await connect(cluster, 2), await connect(cluster, 3)];
  const all: TestWatch[] = [];
  const deletes: TestWatch[] = [];
  const one: TestWatch[] = [];
  for (const connection of connections) {
    all.push(await cluster.run(connection.start({ keys: prefixKeys("a/"), previous: true })));
    deletes.push(await cluster.run(connection.start({ keys: ALL_KEYS, puts: false })));
    one.push(await cluster.run(connection.start({ keys: { kind: "key", key: bytes("b") }, from: 1 })));
  }
  await cluster.run(client.put("a/1", "x"));
  await cluster.run(client.put("b", "y"));
  await cluster.run(client.delete("a/1"));
  await cluster.run(client.put("a/2", "z"));
  for (const connection of connections) assertEquals(await cluster.run(connection.progress()), 5);
  for (const watch of all) {
    assertEquals(watch.text, [
      "2 put a/1=x (was before)",
      "4 delete a/1 (was x)",
      "5 put a/2=z (was absent)",
    ]);
  }
  for (const watch of deletes) assertEquals(watch.text, ["4 delete a/1"]);
  for (const watch of one) assertEquals(watch.text, ["3 put b=y"]);
  for (const connection of connections) connection.close();
});

Deno.test("Server: watches on followers get a single write soon, and not only with the next heartbeat", async () => {
  await using cluster = new MemoryCluster();
  const changes = { heartbeatMs: 500, electionTimeoutMs: 5_000 };
  for (const id of [1, 2, 3]) await cluster.start(id, { founders: [1, 2, 3], changes });
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  const connections = [await connect(cluster, 1), await connect(cluster, 2), await connect(cluster, 3)];
  const watches: TestWatch[] = [];
  for (const connection of connections) watches.push(await cluster.run(connection.start({ keys: ALL_KEYS })));
  for (let write = 1; write <= 5; write++) {
    const startedAt = cluster.clock.now();
    await cluster.run(client.put("a", `${write}`));
    await cluster.until(() => watches.every(({ revisions }) => revisions.length === write));
    const tookMs = cluster.clock.now() - startedAt;
    assert(tookMs <= 100, `the last watch got it after ${tookMs} ms`);
  }
  for (const connection of connections) connection.close();
});

Deno.test("Server: watches that cannot begin are refused by name", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  const connection = await connect(cluster, 1);
  await cluster.untilHistory(client);
  for (const value of ["1", "2", "3"]) await cluster.run(client.put("k", value));
  await cluster.run(client.compact(2));
  const key = { kind: "key", key: bytes("k") } as const;
  const cases: readonly [WatchOptions, string, string][] = [
    [{ keys: key, puts: false, deletes: false }, "invalidRequest", "Cannot watch neither puts nor deletes"],
    [{ keys: key, from: 0 }, "invalidRequest", "Cannot watch from revision 0"],
    [{ keys: key, from: 2 }, "compacted", "the history is kept from revision 2 on"],
    [{ keys: key, from: 5 }, "futureRevision", "revision 5 is above the present one, 3"],
    [{ keys: { kind: "key", key: bytes("") } }, "invalidRequest", "empty key"],
    [{ keys: { kind: "key", key: new Uint8Array(5_000) } }, "keyTooLarge", "a key of 5000 bytes"],
    [
      { keys: { kind: "range", start: bytes("b"), end: bytes("b") } },
      "invalidRequest",
      "not above its start",
    ],
    [
      { keys: { kind: "range", start: bytes("b"), end: bytes("a") } },
      "invalidRequest",
      "not above its start",
    ],
  ];
  for (const [options, code, message] of cases) {
    const answer = await refusal(cluster, connection, options);
    assertEquals([answer.code, answer.message.includes(message)], [code, true], answer.message);
    assertEquals(answer.compactedRevision, code === "compacted" ? 2 : undefined);
  }
  const last = await cluster.run(connection.start({ keys: key, from: 3 }));
  const next = await cluster.run(connection.start({ keys: key, from: 4 }));
  await cluster.run(connection.progress());
  assertEquals([last.text, next.text], [["3 put k=3"], []]);
  connection.close();
});

Deno.test("Server: a second watch under the id of a running one is refused, and the first goes on", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.untilHistory(client);
  const caller = await RawConnection.connect(cluster.network, 1);
  await caller.send([0, "kvraft", 1, 1, 2, null, null, null, null]);
  const request = [FRAME_KIND.watch, 7, [1, bytes("k")], null, true, true, false];
  await caller.send(request);
  await caller.send(request);
  const kinds = (): unknown[] => caller.received.map((frame) => Array.isArray(frame) ? frame[0] : null);
  await cluster.until(() => kinds().includes(FRAME_KIND.watchStarted));
  await cluster.run(client.put("k", "1"));
  await cluster.until(() => kinds().includes(FRAME_KIND.watchEvents));
  const error = caller.received.find((frame) => Array.isArray(frame) && frame[0] === FRAME_KIND.error);
  assert(Array.isArray(error));
  assertEquals(error.slice(1, 4), [
    7,
    "invalidRequest",
    "Cannot watch: this connection has a watch of the id 7 already.",
  ]);
  caller.close();
});

Deno.test("Server: a cancelled watch gets nothing more, also one that is cancelled before it has begun", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.untilHistory(client);
  const connection = await connect(cluster, 1);
  const watch = await cluster.run(connection.start({ keys: ALL_KEYS }));
  const early = connection.watch({ keys: ALL_KEYS });
  const cancelled = connection.request({ kind: "cancelWatch", watchId: watch.watchId + 1 });
  const unknown = connection.request({ kind: "cancelWatch", watchId: 77 });
  const begun = await cluster.run(early);
  assert(begun instanceof TestWatch);
  for (const answer of [cancelled, unknown]) {
    assertEquals((await cluster.run(answer))?.kind, "watchCancelled");
  }
  await cluster.run(client.put("a", "1"));
  await cluster.run(connection.request({ kind: "cancelWatch", watchId: watch.watchId }));
  await cluster.run(client.put("a", "2"));
  await cluster.run(connection.progress());
  assertEquals([watch.text, begun.text], [["1 put a=1"], []]);
  connection.close();
});

Deno.test("Server: a connection has a bounded number of watches, and a closed one has none", async () => {
  await using cluster = new MemoryCluster();
  const http = { host: "n1", port: 9101 };
  await cluster.start(1, { founders: [1], changes: { http } });
  const client = await cluster.client(1);
  await cluster.untilHistory(client);
  const connection = await connect(cluster, 1);
  const key = (number: number): WatchOptions => ({ keys: { kind: "key", key: bytes(`${number}`) } });
  const first = await cluster.run(connection.start(key(0)));
  const more = Array.from(
    { length: MAX_WATCHES_PER_CONNECTION },
    (_, number) => connection.watch(key(number)),
  );
  const answers = await cluster.run(Promise.all(more));
  const refused = answers.flatMap((answer) => answer instanceof TestWatch ? [] : [answer?.code]);
  assertEquals(refused, ["tooManyWatches"]);
  await cluster.run(connection.request({ kind: "cancelWatch", watchId: first.watchId }));
  await cluster.run(connection.start(key(0)));
  const watches = async (): Promise<number> =>
    sumOf(parseMetrics((await cluster.http.ask("n1:9101", "/metrics")).body), "kvraft_watches");
  assertEquals(await watches(), MAX_WATCHES_PER_CONNECTION);
  connection.close();
  await cluster.until(async () => await watches() === 0);
});

Deno.test("Server: a watch that is cancelled before it has begun makes room for another one", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  const connection = await connect(cluster, 2);
  const key = { keys: { kind: "key", key: bytes("k") } } as const;
  const first = connection.watch(key);
  const full = Array.from({ length: MAX_WATCHES_PER_CONNECTION - 1 }, () => connection.watch(key));
  const cancelled = connection.request({ kind: "cancelWatch", watchId: 1 });
  const last = connection.watch(key);
  const answers = await cluster.run(Promise.all([first, ...full, last]));
  assert(answers.every((answer) => answer instanceof TestWatch), "all of them begin");
  assertEquals(answers[0] instanceof TestWatch ? answers[0].watchId : 0, 1);
  assertEquals((await cluster.run(cancelled))?.kind, "watchCancelled");
  assertEquals((await refusal(cluster, connection, key)).code, "tooManyWatches");
  connection.close();
});

Deno.test("Server: a client that does not read takes bounded memory, and gets all events once it reads", async () => {
  await using cluster = new MemoryCluster();
  const http = { host: "n1", port: 9101 };
  await cluster.start(1, { founders: [1], changes: { http } });
  const client = await cluster.client(1);
  await cluster.untilHistory(client);
  const connection = await connect(cluster, 1);
  const socket = cluster.network.connections.at(-1);
  const watches: TestWatch[] = [];
  for (let number = 0; number < 5; number++) {
    watches.push(await cluster.run(connection.start({ keys: ALL_KEYS, previous: true })));
  }
  socket?.stall(true);
  const figure = async (name: string): Promise<number> =>
    sumOf(parseMetrics((await cluster.http.ask("n1:9101", "/metrics")).body), name);
  const writes = 100;
  for (let number = 0; number < writes; number++) {
    await cluster.run(client.put(`${number % 7}`, new Uint8Array(50_000).fill(number)));
  }
  assertEquals(await figure("kvraft_watches_behind"), 5);
  const waiting = await figure("kvraft_waiting_bytes");
  assert(waiting > 1_000_000 && waiting < 1_500_000, `${waiting} bytes wait for it`);
  socket?.stall(false);
  await cluster.run(connection.progress());
  for (const { revisions } of watches) {
    assertEquals(revisions.map(({ revision }) => revision), Array.from({ length: writes }, (_, n) => n + 1));
  }
  assertEquals(await figure("kvraft_watches_behind"), 0);
  connection.close();
});

Deno.test("Server: a node that is stopped, or without a leader, ends its watches by name", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  const watches: TestWatch[] = [];
  for (const id of [1, 2, 3]) {
    const connection = await connect(cluster, id);
    watches.push(await cluster.run(connection.start({ keys: ALL_KEYS })));
  }
  await cluster.run(client.put("a", "1"));
  await cluster.stop(1);
  await cluster.run(client.put("a", "2"));
  assertEquals(watches.map(({ ended }) => ended?.code), ["stopping", undefined, undefined]);
  await cluster.until(() => watches[2]?.revisions.length === 2);
  await cluster.stop(2);
  await cluster.until(() => watches[2]?.ended !== null);
  assertEquals(watches[2]?.ended?.code, "noLeader");
  assertEquals(watches[2]?.text, ["1 put a=1", "2 put a=2"]);
  const connection = await connect(cluster, 3);
  assertEquals((await refusal(cluster, connection, { keys: ALL_KEYS })).code, "noLeader");
  connection.close();
});
