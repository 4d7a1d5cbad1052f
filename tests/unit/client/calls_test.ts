/** The request of each call, and its result for each answer. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  InvalidRequestError,
  KeyTooLargeError,
  type KeyValue,
  type KvClient,
  ValueTooLargeError,
} from "../../../lib/mod.ts";
import { MAX_VALUE_BYTES } from "../../../lib/kv/command.ts";
import { FakeCluster, writeResult } from "../../support/fakes/scripted_node.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function entry(key: string, modRevision: number): KeyValue {
  return { key: text(key), value: text("v"), createRevision: 1, modRevision, version: modRevision };
}

Deno.test("put: it is a transaction with one mutation and the session's first stamp", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const result = await cluster.finish(client.put("k", "v"));
  assertEquals(result, { revision: 1 });
  const [write] = cluster.node(1).writes;
  assertEquals(write?.mutations, [{ kind: "put", key: text("k"), value: text("v") }]);
  assertEquals(write?.checks, []);
  assertEquals({ ...write?.stamp, sessionId: 0 }, {
    sessionId: 0,
    sequence: 1,
    acknowledgedBelow: 1,
    openedAt: 10,
  });
});

Deno.test("put: bytes that the caller changes after the call are sent unchanged", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const value = text("before");
  const put = client.put("k", value);
  value.fill(0);
  await cluster.finish(put);
  assertEquals(cluster.node(1).writes[0]?.mutations, [{
    kind: "put",
    key: text("k"),
    value: text("before"),
  }]);
});

Deno.test("get: it returns the entry, and null for a key that does not exist", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "getResult",
    requestId,
    entry: entry("k", 3),
    revision: 7,
  });
  assertEquals(await cluster.finish(client.get("k")), entry("k", 3));
  cluster.node(1).answer = ({ requestId }) => ({ kind: "getResult", requestId, entry: null, revision: 7 });
  assertEquals(await cluster.finish(client.get("k", { consistency: "stale" })), null);
  assertEquals(
    cluster.node(1).requests.map((request) => request.kind === "get" && request.consistency),
    ["linearizable", "stale"],
  );
});

Deno.test("delete: it returns whether the key existed", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = (request) =>
    writeResult(request, { kind: "applied", revision: 4, outcomes: [{ kind: "delete", deleted: false }] });
  assertEquals(await cluster.finish(client.delete("k")), { deleted: false, revision: 4 });
});

Deno.test("compareAndSet: success returns the new entry", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = (request) =>
    writeResult(request, {
      kind: "applied",
      revision: 9,
      outcomes: [{ kind: "put", createRevision: 4, version: 3 }],
    });
  assertEquals(await cluster.finish(client.compareAndSet("k", { expect: "old", value: "new" })), {
    succeeded: true,
    current: { key: text("k"), value: text("new"), createRevision: 4, modRevision: 9, version: 3 },
    revision: 9,
  });
  assertEquals(cluster.node(1).writes[0]?.checks, [{ kind: "value", key: text("k"), value: text("old") }]);
});

Deno.test("compareAndSet: failure returns the current entry", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = (request) =>
    writeResult(request, { kind: "checksFailed", revision: 9, failedChecks: [0], current: entry("k", 5) });
  assertEquals(await cluster.finish(client.compareAndSet("k", { expect: null, value: "new" })), {
    succeeded: false,
    current: entry("k", 5),
    revision: 9,
  });
  assertEquals(cluster.node(1).writes[0]?.checks, [{ kind: "exists", key: text("k"), exists: false }]);
});

Deno.test("compareAndSet: a failed check without the current entry makes it read the key", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = (request) =>
    request.kind === "get"
      ? { kind: "getResult", requestId: request.requestId, entry: entry("k", 12), revision: 12 }
      : writeResult(request, { kind: "checksFailed", revision: 9, failedChecks: [0], current: "omitted" });
  assertEquals(await cluster.finish(client.compareAndSet("k", { expect: null, value: "new" })), {
    succeeded: false,
    current: entry("k", 12),
    revision: 12,
  });
  assertEquals(cluster.node(1).writes.map(({ returnCurrent }) => returnCurrent), [true]);
});

Deno.test("compareAndSet: it starts again when the key that it reads has the expected value", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  node.answer = (request) => {
    if (request.kind === "get") {
      return { kind: "getResult", requestId: request.requestId, entry: null, revision: 12 };
    }
    return node.writes.length === 1
      ? writeResult(request, { kind: "checksFailed", revision: 9, failedChecks: [0], current: "omitted" })
      : writeResult(request, {
        kind: "applied",
        revision: 13,
        outcomes: [{ kind: "put", createRevision: 13, version: 1 }],
      });
  };
  assertEquals(await cluster.finish(client.compareAndSet("k", { expect: null, value: "new" })), {
    succeeded: true,
    current: { key: text("k"), value: text("new"), createRevision: 13, modRevision: 13, version: 1 },
    revision: 13,
  });
  const sequences = node.writes.map(({ stamp }) => stamp.sequence);
  assertEquals(sequences, [1, 2]);
});

Deno.test("transaction: it sends every kind of check and mutation, and names the checks that failed", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = (request) =>
    writeResult(request, { kind: "checksFailed", revision: 9, failedChecks: [0, 2], current: null });
  const result = await cluster.finish(client.transaction({
    checks: [{ key: "a", modRevision: 7 }, { key: "b", exists: true }, { key: "c", value: "v" }],
    mutations: [{ kind: "put", key: "d", value: "w" }, { kind: "delete", key: "e" }],
  }));
  assertEquals(result, { succeeded: false, failedChecks: [0, 2], revision: 9 });
  const [write] = cluster.node(1).writes;
  assertEquals(write?.checks, [
    { kind: "modRevision", key: text("a"), modRevision: 7 },
    { kind: "exists", key: text("b"), exists: true },
    { kind: "value", key: text("c"), value: text("v") },
  ]);
  assertEquals(write?.mutations, [
    { kind: "put", key: text("d"), value: text("w") },
    { kind: "delete", key: text("e") },
  ]);
});

Deno.test("list: it continues behind the last key of the page before, in the same direction only", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const page = { entries: [entry("a", 1), entry("b", 2)], more: true, revision: 3, after: null };
  cluster.node(1).answer = ({ requestId }) => ({ kind: "listResult", requestId, page });
  const first = await cluster.finish(client.list({ limit: 2 }));
  assertEquals({ ...first, cursor: null }, { entries: page.entries, cursor: null, revision: 3 });
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "listResult",
    requestId,
    page: { ...page, more: false },
  });
  const second = await cluster.finish(client.list({ limit: 2, cursor: first.cursor }));
  assertEquals(second.cursor, null);
  assertEquals(
    cluster.node(1).requests.map((request) => request.kind === "list" && request.query.after),
    [null, text("b")],
  );
  await assertRejects(
    () => client.list({ cursor: first.cursor, reverse: true }),
    InvalidRequestError,
    "direction",
  );
  await assertRejects(() => client.list({ cursor: "no cursor!" }), InvalidRequestError, "cursor");
});

Deno.test("client: wrong arguments are refused before anything is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  await assertRejects(() => client.put("", "v"), InvalidRequestError, "empty key");
  await assertRejects(() => client.get(new Uint8Array(5000)), KeyTooLargeError, "5000 bytes");
  const long = new Uint8Array(MAX_VALUE_BYTES + 1);
  await assertRejects(() => client.put("k", long), ValueTooLargeError, `at most ${MAX_VALUE_BYTES}`);
  await assertRejects(() => client.put("k", "\ud800"), InvalidRequestError, "Unicode");
  await assertRejects(() => client.get("k", { timeoutMs: 0 }), InvalidRequestError, "timeoutMs");
  await assertRejects(() => client.list({ limit: 0 }), InvalidRequestError, "limit");
  await assertRejects(() => client.transaction({ mutations: [] }), InvalidRequestError, "mutation");
  await assertRejects(() => client.cluster.transferLeadership(0), InvalidRequestError, "0 as a node's id");
  await assertRejects(() => client.cluster.stateHash("nowhere"), InvalidRequestError, "address");
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("client: a node's lower value limit does not keep a value from being sent", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).maxValueBytes = 1;
  await using client = await cluster.connect();
  await cluster.finish(client.put("k", "more than one byte"));
  assertEquals(cluster.node(1).writes.length, 1);
});

Deno.test("status: it asks every node directly and reports the ones without an answer", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect([1]);
  cluster.node(2).isHung = true;
  cluster.node(3).term = 2;
  cluster.node(3).leader = 3;
  const { nodes, ...rest } = await cluster.finish(client.cluster.status());
  assertEquals(rest, { leader: 3, term: 2 });
  assertEquals(nodes.map(({ id, address, reachable }) => ({ id, address, reachable })), [
    { id: 1, address: "10.0.0.1:7001", reachable: true },
    { id: 2, address: "10.0.0.2:7001", reachable: false },
    { id: 3, address: "10.0.0.3:7001", reachable: true },
  ]);
});

/** State of each node in its cluster's status. */
async function statesOf(
  cluster: FakeCluster,
  client: KvClient,
  timeoutMs: number,
): Promise<readonly unknown[]> {
  const { nodes } = await cluster.finish(client.cluster.status({ timeoutMs }));
  return nodes.map((node) => node.reachable ? "up" : [node.state, node.reason]);
}

Deno.test("status: a frozen node is notAnswering and a stopped one unreachable, connected or not", async () => {
  const cluster = new FakeCluster(3);
  await using client = await cluster.connect();
  await cluster.finish(client.cluster.status());
  for (const isConnected of [true, false]) {
    cluster.node(2).isHung = true;
    if (!isConnected) cluster.node(2).disconnect();
    cluster.node(3).kill();
    await cluster.pass(0);
    assertEquals(await statesOf(cluster, client, 2_000), [
      "up",
      ["notAnswering", `no answer within ${isConnected ? 2_000 : 1_000} ms`],
      ["unreachable", "nothing listens there"],
    ]);
  }
});

Deno.test("status: an address whose node is not known does not delay other nodes", async () => {
  const cluster = new FakeCluster(4);
  cluster.members = cluster.members.slice(0, 3);
  cluster.node(4).isHung = true;
  await using client = await cluster.connect([1, 4]);
  assertEquals(await statesOf(cluster, client, 300), ["up", "up", "up"]);
});

Deno.test("members, stateHash: they return the answers, and a dead node is named", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect([1]);
  assertEquals(await cluster.finish(client.cluster.members()), [
    { id: 1, address: "10.0.0.1:7001", role: "voter" },
    { id: 2, address: "10.0.0.2:7001", role: "voter" },
  ]);
  const hash = await cluster.finish(client.cluster.stateHash("10.0.0.2:7001"));
  assertEquals(hash, { appliedIndex: 10, revision: 1, hash: "ab" });
  assertEquals(cluster.node(2).requests.map(({ kind }) => kind), ["stateHash"]);
  cluster.node(2).kill();
  await cluster.pass(0);
  const error = await assertRejects(
    () => cluster.finish(client.cluster.stateHash("10.0.0.2:7001")),
    Error,
    "10.0.0.2:7001",
  );
  assertEquals(error.name, "ConnectionError");
});
