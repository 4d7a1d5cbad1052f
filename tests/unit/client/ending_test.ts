/** Early ends of calls: by their deadline, their caller, or the client's close; and that nothing is left then. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AbortError,
  BusyError,
  ClosedError,
  type KvClient,
  KvraftError,
  TimeoutError,
} from "../../../lib/mod.ts";
import { MAX_IN_FLIGHT, MAX_WAITING_CALLS } from "../../../lib/client/admission.ts";
import { FakeCluster } from "../../support/fakes/scripted_node.ts";

/** The error of a call. */
async function ending(call: Promise<unknown>): Promise<{ readonly code: string; readonly outcome: string }> {
  const { code, outcome } = await assertRejects(() => call, KvraftError);
  return { code, outcome };
}

/** Breaks every connection of a cluster so that neither end notices. */
function stall(cluster: FakeCluster): void {
  for (const connection of cluster.network.connections) connection.stall();
}

Deno.test("client: many calls share one connection, and leave in one write", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const puts = Array.from({ length: 500 }, (_, position) => client.put(`k${position}`, "v"));
  await cluster.finish(Promise.all(puts));
  assertEquals(
    cluster.node(1).writes.map(({ stamp }) => stamp.sequence),
    puts.map((_, position) => position + 1),
  );
  assertEquals(cluster.network.connections.length, 1);
});

Deno.test("client: calls beyond those in flight wait their turn, and beyond those waiting are refused", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const obey = cluster.node(1).answer;
  cluster.node(1).answer = () => "silence";
  const gets = Array.from(
    { length: MAX_IN_FLIGHT + MAX_WAITING_CALLS },
    () => client.get("k", { timeoutMs: 60_000 }),
  );
  await assertRejects(() => client.get("k"), BusyError, "already wait");
  await cluster.pass(0);
  assertEquals(cluster.node(1).requests.length, MAX_IN_FLIGHT);
  cluster.node(1).answer = obey;
  await cluster.finish(Promise.all(gets));
});

Deno.test("client: a waiting call leaves the queue when its caller ends it", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "silence";
  const gets = Array.from({ length: MAX_IN_FLIGHT }, () => client.get("k"));
  const all = Promise.allSettled(gets);
  const abort = new AbortController();
  const put = ending(client.put("k", "v", { signal: abort.signal }));
  await cluster.pass(0);
  abort.abort();
  assertEquals(await put, { code: "aborted", outcome: "not-applied" });
  await client.close();
  await all;
  assertEquals(cluster.node(1).writes, []);
});

Deno.test("client: a waiting write is sent with the bytes that it had at the call", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  const obey = node.answer;
  const stop = new AbortController();
  node.answer = () => "silence";
  const calls = Array.from({ length: MAX_IN_FLIGHT }, () => ending(client.get("k", { signal: stop.signal })));
  const value = new Uint8Array([1, 2]);
  const put = client.put("k", value);
  value.fill(0);
  await cluster.pass(0);
  node.answer = obey;
  stop.abort();
  await cluster.finish(Promise.all([put, ...calls]));
  const [write] = node.writes;
  assertEquals(write?.mutations.map((mutation) => mutation.kind === "put" && mutation.value), [
    new Uint8Array([1, 2]),
  ]);
});

Deno.test("client: a write that its caller ends after it was sent is unknown, and its error carries the caller's reason", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "silence";
  const abort = new AbortController();
  const put = client.put("k", "v", { signal: abort.signal });
  const error = assertRejects(() => put, AbortError);
  await cluster.pass(0);
  abort.abort("enough");
  const { name, outcome, cause } = await error;
  assertEquals({ name, outcome, cause }, { name: "AbortError", outcome: "unknown", cause: "enough" });
});

Deno.test("client: a write whose caller had ended it before is never sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  assertEquals(await ending(client.put("k", "v", { signal: AbortSignal.abort() })), {
    code: "aborted",
    outcome: "not-applied",
  });
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("client: a read without an answer has the outcome not applied", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = () => "silence";
  const error = await assertRejects(() => cluster.finish(client.get("k", { timeoutMs: 500 })), TimeoutError);
  assertEquals(error.outcome, "not-applied");
});

Deno.test("client: a write without any node to send it to before the deadline is not applied", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).kill();
  await cluster.pass(0);
  const error = await assertRejects(
    () => cluster.finish(client.put("k", "v")),
    TimeoutError,
    "nothing listens",
  );
  assertEquals(error.outcome, "not-applied");
});

Deno.test("close: writes that were sent are unknown, the others not applied", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  stall(cluster);
  const first = ending(client.put("a", "v"));
  await cluster.pass(0); // the first is being written now, and the network does not take it
  const second = ending(client.put("b", "v"));
  await cluster.pass(0);
  await client.close();
  assertEquals(await first, { code: "closed", outcome: "unknown" });
  assertEquals(await second, { code: "closed", outcome: "not-applied" });
});

Deno.test("close: a closed client refuses calls, and a second close does nothing", async () => {
  const cluster = new FakeCluster(1);
  const client = await cluster.connect();
  await client.close();
  await client.close();
  await assertRejects(() => client.put("k", "v"), ClosedError);
  await assertRejects(() => client.get("k"), ClosedError);
  await assertRejects(() => client.cluster.status(), ClosedError);
});

Deno.test("close: no timer and no connection stay open, with any calls in flight", async () => {
  const busy: readonly ((client: KvClient, cluster: FakeCluster) => unknown)[] = [
    () => null,
    (client) => client.put("k", "v"),
    (client) => client.cluster.status(),
    (client) => client.onStateChange(() => {}),
    (client, cluster) => {
      cluster.node(1).kill();
      return client.get("k");
    },
    (client, cluster) => {
      for (const node of cluster.nodes) node.isHung = true;
      cluster.node(1).disconnect();
      client.onStateChange(() => {});
      return client.get("k");
    },
  ];
  for (const begin of busy) {
    for (const passedMs of [0, 300]) {
      const cluster = new FakeCluster(3);
      const client = await cluster.connect();
      for (const node of cluster.nodes) node.answer = () => "silence";
      const call = Promise.allSettled([begin(client, cluster)]);
      await cluster.pass(passedMs);
      await client.close();
      await call;
      await cluster.pass(0);
      assertEquals([cluster.clock.timerCount, ...cluster.nodes.map(({ connections }) => connections)], [
        0,
        0,
        0,
        0,
      ]);
    }
  }
});

Deno.test("client: without calls it needs no timer", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  await cluster.finish(client.put("k", "v"));
  await cluster.pass(0);
  assertEquals(cluster.clock.timerCount, 0);
  assert(client.connectionState().kind === "connected");
});
