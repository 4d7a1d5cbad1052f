/** Reads of the past and compaction: what is sent, what comes of each answer, and the cursors of listings at a revision. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  CompactedError,
  FutureRevisionError,
  InternalError,
  InvalidRequestError,
  KeyTooLargeError,
  type ListResult,
  VersionMismatchError,
} from "../../../../lib/mod.ts";
import { decodeCommand } from "../../../../lib/protocol/command.ts";
import type { ClientRequest } from "../../../../lib/protocol/client_frames.ts";
import { entry, FakeCluster, type Reply, sent, writeResult } from "../../../support/fakes/scripted_node.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Returns the refusal of a request, with a message or with a compacted revision. */
function refusal(
  code: "compacted" | "futureRevision" | "unknownKind" | "invalidRequest",
  detail: number | string = "Cannot read: so.",
): (request: ClientRequest) => Reply {
  return ({ requestId }) => {
    const message = typeof detail === "string" ? detail : "Cannot read: so.";
    const refused = { kind: "error", requestId, code, message, leader: 1, outcome: "not-applied" } as const;
    return typeof detail === "string" ? refused : { ...refused, compactedRevision: detail };
  };
}

Deno.test("get: with a revision another request is sent, which a node of an older version refuses", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  assertEquals(await cluster.finish(client.get("k", { revision: 0 })), null);
  await cluster.finish(client.get("k", { revision: 7, consistency: "stale" }));
  await cluster.finish(client.get("k"));
  const key = bytes("k");
  assertEquals(sent(cluster), [
    { kind: "getAt", key, revision: 0, consistency: "linearizable" },
    { kind: "getAt", key, revision: 7, consistency: "stale" },
    { kind: "get", key, consistency: "linearizable" },
  ]);
  cluster.node(1).answer = refusal("unknownKind");
  const error = await assertRejects(
    () => cluster.finish(client.get("k", { revision: 1 })),
    VersionMismatchError,
  );
  assertEquals(
    error.message,
    "Cannot get a key: node 1 runs an older version of kvraft, which does not know this request. " +
      "Upgrade the node. Nothing was changed.",
  );
  // A leader of version 0.1.0 knows the request, but not the command in it.
  cluster.node(1).answer = refusal(
    "invalidRequest",
    "Cannot decode a command: kind 5 is not known to this version.",
  );
  const refused = await assertRejects(() => cluster.finish(client.compact(1)), InvalidRequestError);
  assertEquals(
    refused.message,
    "Cannot compact the history at revision 1: node 1 runs an older version of kvraft, which does not know this request. " +
      "Upgrade the node. Nothing was changed.",
  );
});

Deno.test("get, list, history: refused revisions are errors of their own, and are not retried", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const calls: readonly (() => Promise<unknown>)[] = [
    () => client.get("k", { revision: 3 }),
    () => client.list({ revision: 3, consistency: "stale" }),
    () => client.history("k", { before: 4 }),
  ];
  for (const call of calls) {
    for (const node of cluster.nodes) node.answer = refusal("compacted", 12);
    const compacted = await assertRejects(() => cluster.finish(call()), CompactedError, "node");
    assertEquals([compacted.code, compacted.compactedRevision, compacted.outcome], [
      "compacted",
      12,
      "not-applied",
    ]);
    for (const node of cluster.nodes) node.answer = refusal("futureRevision");
    const future = await assertRejects(() => cluster.finish(call()), FutureRevisionError);
    assertEquals(future.code, "futureRevision");
  }
  assertEquals(cluster.nodes.flatMap(({ requests }) => requests).length, 2 * calls.length);
});

Deno.test("list: all pages of a listing at a revision are of that one, by the cursor alone", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const list = (options: Parameters<typeof client.list>[0]): Promise<ListResult> =>
    cluster.finish(client.list(options));
  cluster.node(1).answer = ({ requestId }) => {
    const page = { entries: [entry("a")], more: true, revision: 9, after: null };
    return { kind: "listResult", requestId, page };
  };
  const { cursor } = await list({ revision: 2 ** 40 });
  assert(cursor !== null);
  await list({ cursor });
  await list({ cursor, revision: 2 ** 40 });
  const revisions = cluster.node(1).requests.map((request) =>
    request.kind === "listAt" ? [request.revision, request.query.after] : request.kind
  );
  assertEquals(revisions, [[2 ** 40, null], [2 ** 40, bytes("a")], [2 ** 40, bytes("a")]]);
  const { cursor: ofPresent } = await list({ reverse: true });
  assert(ofPresent !== null);
  const wrong = [
    { cursor, revision: 8 },
    { cursor: ofPresent, revision: 8, reverse: true },
    { cursor, reverse: true },
    { cursor: cursor.slice(0, 10) },
    { revision: -1 },
    { revision: 1.5 },
  ];
  for (const options of wrong) await assertRejects(() => list(options), InvalidRequestError);
  assertEquals(cluster.node(1).requests.length, 4);
});

Deno.test("list: pages without entries are passed over, and a page continues where the node ended it", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const pages = [
    { entries: [], more: true, revision: 5, after: bytes("c") },
    { entries: [entry("d")], more: true, revision: 5, after: bytes("x") },
    { entries: [], more: false, revision: 5, after: null },
  ];
  cluster.node(1).answer = ({ requestId }) => {
    const page = pages.shift();
    return page === undefined ? "silence" : { kind: "listResult", requestId, page };
  };
  const first = await cluster.finish(client.list({ revision: 5 }));
  assertEquals(first.entries.map(({ key }) => key), [bytes("d")]);
  const last = await cluster.finish(client.list({ cursor: first.cursor }));
  assertEquals([last.entries, last.cursor], [[], null]);
  const afters = cluster.node(1).requests.map((request) => request.kind === "listAt" && request.query.after);
  assertEquals(afters, [null, bytes("c"), bytes("x")]);
});

Deno.test("history: a page has the versions, and says where the next one begins", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const versions = [
    { createRevision: 0, modRevision: 8, version: 0, value: null },
    { createRevision: 3, modRevision: 5, version: 2, value: bytes("hello") },
  ];
  let more = true;
  cluster.node(1).answer = ({ requestId }) => {
    const page = { versions, more, compactedRevision: 4, revision: 9 };
    return { kind: "keyHistoryResult", requestId, page };
  };
  const result = { versions, compactedRevision: 4, revision: 9 };
  assertEquals(await cluster.finish(client.history("k", { limit: 2 })), { ...result, before: 5 });
  more = false;
  const options = { before: 5, consistency: "stale" } as const;
  assertEquals(await cluster.finish(client.history("k", options)), { ...result, before: null });
  assertEquals(sent(cluster), [
    { kind: "keyHistory", query: { key: bytes("k"), limit: 2, before: null }, consistency: "linearizable" },
    { kind: "keyHistory", query: { key: bytes("k"), limit: 100, before: 5 }, consistency: "stale" },
  ]);
  await assertRejects(() => client.history("k", { before: 0 }), InvalidRequestError);
  await assertRejects(() => client.history("k", { limit: 10_001 }), InvalidRequestError);
  await assertRejects(() => client.history(""), InvalidRequestError);
  await assertRejects(() => client.history("k".repeat(4_097)), KeyTooLargeError);
});

Deno.test("compact: it is sent without a session, and again after an attempt whose outcome is unknown", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  let attempts = 0;
  cluster.node(1).answer = (request) =>
    attempts++ === 0
      ? "disconnect"
      : writeResult(request, { kind: "compacted", revision: 14, before: 3, present: 20 });
  assertEquals(await cluster.finish(client.compact(12)), { compactedRevision: 14 });
  const commands = cluster.node(1).requests.map((request) =>
    request.kind === "write" ? decodeCommand(request.command) : null
  );
  assertEquals(commands, Array(2).fill({ kind: "compact", revision: 12 }));
  await assertRejects(() => client.compact(-1), InvalidRequestError);
});

Deno.test("compact: each refusal has its error", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const refuse = (reason: "futureRevision" | "invalidCommand" | "sessionExpired"): void => {
    cluster.node(1).answer = (request) => writeResult(request, { kind: "refused", reason });
  };
  refuse("futureRevision");
  await assertRejects(() => cluster.finish(client.compact(12)), FutureRevisionError, "above the present one");
  refuse("invalidCommand");
  await assertRejects(() => cluster.finish(client.compact(12)), VersionMismatchError, "kvraft 0.2 or later");
  refuse("sessionExpired");
  await assertRejects(() => cluster.finish(client.compact(12)), InternalError);
  cluster.node(1).answer = refusal("futureRevision");
  await assertRejects(() => cluster.finish(client.compact(12)), FutureRevisionError);
});
