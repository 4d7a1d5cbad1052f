/** Writes over lost answers, leader changes and forgotten sessions: one stamp for one write, and correct outcomes. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  InternalError,
  KvraftError,
  NoLeaderError,
  SessionExpiredError,
  TimeoutError,
} from "../../../lib/mod.ts";
import type { ClientRequest } from "../../../lib/protocol/client_frames.ts";
import type { ErrorCode, Outcome } from "../../../lib/protocol/messages.ts";
import {
  applied,
  FakeCluster,
  type FakeNode,
  type Reply,
  writeResult,
} from "../../support/fakes/scripted_node.ts";

function refuse(
  code: ErrorCode,
  outcome: Outcome,
  leader: number | null = null,
): (request: ClientRequest) => Reply {
  return ({ requestId }) => ({ kind: "error", requestId, code, message: `It is ${code}.`, outcome, leader });
}

/** Answers the first requests with these in turn, and all later ones with the last. */
function inTurn(
  ...answers: readonly ((request: ClientRequest) => Reply)[]
): (request: ClientRequest) => Reply {
  let next = 0;
  return (request) => answers[Math.min(next++, answers.length - 1)]?.(request) ?? "silence";
}

const expired = (request: ClientRequest): Reply =>
  writeResult(request, { kind: "refused", reason: "sessionExpired" });
const silence = (): Reply => "silence";
const disconnect = (): Reply => "disconnect";

function commands(node: FakeNode): Uint8Array[] {
  return node.requests.filter((request) => request.kind === "write").map(({ command }) => command);
}

Deno.test("writes: a write whose answer is lost is sent again with the same bytes, to another node", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  cluster.node(1).answer = disconnect;
  cluster.node(2).answer = (request) => applied(request, 42);
  assertEquals(await cluster.finish(client.put("k", "v")), { revision: 42 });
  assertEquals(commands(cluster.node(1)).length, 1);
  assertEquals(commands(cluster.node(2)), commands(cluster.node(1)));
});

Deno.test("writes: a write refused by a node that lost its leadership is sent again with the same bytes", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  cluster.node(1).answer = refuse("leadershipLost", "unknown", 2);
  await cluster.finish(client.put("k", "v"));
  assertEquals(commands(cluster.node(2)), commands(cluster.node(1)));
});

Deno.test("writes: a node that does not answer does not use up the deadline: the same stamp goes to another node", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  cluster.node(1).isHung = true;
  const start = cluster.clock.now();
  await cluster.finish(client.put("k", "v", { timeoutMs: 5_000 }));
  assertEquals(cluster.clock.now() - start < 2_500, true);
  assertEquals(commands(cluster.node(2)), commands(cluster.node(1)));
});

Deno.test("writes: each write has the next number, and acknowledges those before it that ended", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  for (let i = 0; i < 3; i++) await cluster.finish(client.put("k", "v"));
  const stamps = cluster.node(1).writes.map(({ stamp }) => stamp);
  assertEquals(stamps.map(({ sequence, acknowledgedBelow }) => [sequence, acknowledgedBelow]), [[1, 1], [
    2,
    2,
  ], [3, 3]]);
  assertEquals(new Set(stamps.map(({ sessionId }) => sessionId)).size, 1);
});

Deno.test("writes: a write without an answer delays the client's acknowledgement", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = inTurn(silence, (request) => applied(request, 1));
  const first = client.put("a", "v", { timeoutMs: 60_000 });
  await cluster.finish(client.put("b", "v"));
  await cluster.finish(client.put("c", "v"));
  const stamps = cluster.node(1).writes.map(({ stamp }) => [stamp.sequence, stamp.acknowledgedBelow]);
  assertEquals(stamps, [[1, 1], [2, 1], [3, 1]]);
  await cluster.finish(first);
});

Deno.test("writes: an unknown write keeps its number, and is acknowledged by those after it", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = silence;
  const error = await assertRejects(
    () => cluster.finish(client.put("a", "v", { timeoutMs: 300 })),
    TimeoutError,
  );
  assertEquals(error.outcome, "unknown");
  cluster.node(1).answer = (request) => applied(request, 1);
  await cluster.finish(client.put("b", "v"));
  const { stamp } = cluster.node(1).writes.at(-1) ?? {};
  assertEquals([stamp?.sequence, stamp?.acknowledgedBelow], [2, 2]);
});

Deno.test("writes: at the deadline a write is not applied when every attempt was surely refused", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  for (const node of cluster.nodes) node.answer = refuse("noLeader", "not-applied");
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), TimeoutError, "noLeader");
  assertEquals([error.outcome, error.code], ["not-applied", "timeout"]);
  assertEquals(error.cause instanceof Error && error.cause.name, "NoLeaderError");
});

Deno.test("writes: with patience a write that was surely refused ends before its deadline, and no other", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const options = { timeoutMs: 10_000, patienceMs: 2_000 }; // of front ends; not in the public types
  const refusal = refuse("noLeader", "not-applied");
  for (const node of cluster.nodes) node.answer = refusal;
  const start = cluster.clock.now();
  await assertRejects(() => cluster.finish(client.put("k", "v", options)), NoLeaderError);
  const tookMs = cluster.clock.now() - start;
  assertEquals(tookMs >= 2_000 && tookMs < 3_000, true, `${tookMs} ms`);
  cluster.node(1).answer = inTurn(refuse("leadershipLost", "unknown"), refusal);
  await assertRejects(() => cluster.finish(client.put("k", "v", options)), TimeoutError);
  assertEquals(cluster.clock.now() - start >= 12_000, true);
});

Deno.test("writes: at the deadline a write is unknown when one attempt among many was", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const refusal = refuse("noLeader", "not-applied");
  cluster.node(1).answer = inTurn(refusal, refuse("leadershipLost", "unknown"), refusal);
  cluster.node(2).answer = refusal;
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), TimeoutError);
  assertEquals(error.outcome, "unknown");
});

Deno.test("writes: a write refused only for its session's age is sent again under a new session", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  const obey = node.answer;
  node.answer = inTurn(expired, obey);
  node.appliedIndex = 500;
  await cluster.finish(client.put("k", "v"));
  const [first, second] = node.writes.map(({ stamp }) => stamp);
  assertNotEquals(first?.sessionId, second?.sessionId);
  assertEquals([first?.sequence, first?.openedAt], [1, 10]);
  assertEquals([second?.sequence, second?.openedAt], [1, 500]);
  await cluster.finish(client.put("k", "v"));
  assertEquals(node.writes.at(-1)?.stamp.sequence, 2);
});

Deno.test("writes: a write sent under a new session has the bytes of the call, even if its caller changed them since", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const node = cluster.node(1);
  node.answer = inTurn(expired, node.answer);
  const [key, value] = [new Uint8Array([1, 2]), new Uint8Array([3])];
  const put = client.put(key, value);
  key.fill(0);
  value.fill(0);
  await cluster.finish(put);
  const [first, second] = node.writes;
  assertEquals(second?.mutations, [{ kind: "put", key: new Uint8Array([1, 2]), value: new Uint8Array([3]) }]);
  assertEquals(first?.mutations, second?.mutations);
});

Deno.test("writes: concurrent writes move to one new session", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const obey = cluster.node(1).answer;
  cluster.node(1).answer = inTurn(expired, expired, expired, obey);
  await cluster.finish(Promise.all([client.put("a", "v"), client.put("b", "v"), client.put("c", "v")]));
  const stamps = cluster.node(1).writes.map(({ stamp }) => stamp);
  assertEquals(new Set(stamps.slice(0, 3).map(({ sessionId }) => sessionId)).size, 1);
  assertEquals(new Set(stamps.slice(3).map(({ sessionId }) => sessionId)).size, 1);
  assertEquals(stamps.slice(3).map(({ sequence }) => sequence).sort(), [1, 2, 3]);
});

Deno.test("writes: a retry that finds its session forgotten is unknown, and is not sent under another stamp", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = inTurn(disconnect, expired);
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), SessionExpiredError);
  assertEquals(error.outcome, "unknown");
  assertEquals(cluster.node(1).writes.length, 2);
});

Deno.test("writes: a permanent refusal is not retried", async () => {
  const codes = [
    "keyTooLarge",
    "valueTooLarge",
    "invalidRequest",
    "storageFull",
    "unknownKind",
    "internal",
  ] as const;
  for (const code of codes) {
    const cluster = new FakeCluster(2);
    await using client = await cluster.connect();
    for (const node of cluster.nodes) node.answer = refuse(code, "not-applied");
    const isUnknown = code === "unknownKind";
    const error = await assertRejects(
      () => cluster.finish(client.put("k", "v")),
      KvraftError,
      isUnknown ? "node 1 runs an older version of kvraft, which does not know this request." : code,
    );
    assertEquals(error.code, isUnknown ? "versionMismatch" : code);
    assertEquals(error.outcome, "not-applied");
    assertEquals(cluster.nodes.flatMap(({ requests }) => requests).length, 1);
  }
});

Deno.test("writes: an answer that can't be read leaves the write unknown", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "writeResult",
    requestId,
    result: new Uint8Array([0xc1]),
  });
  const error = await assertRejects(() => cluster.finish(client.put("k", "v")), InternalError);
  assertEquals(error.outcome, "unknown");
});
