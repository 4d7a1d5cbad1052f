/** Clients of the keys below a prefix: the keys that they send, and those that they return. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InvalidRequestError } from "../../../lib/mod.ts";
import type { OperationOutcome } from "../../../lib/kv/branching_command.ts";
import { decodeCommand } from "../../../lib/protocol/command.ts";
import { entry, FakeCluster, sent, writeResult } from "../../support/fakes/scripted_node.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** Returns the keys of the last write of node 1, as text, with the kinds of its parts. */
function lastWrite(cluster: FakeCluster): unknown {
  const request = cluster.node(1).requests.at(-1);
  if (request?.kind !== "write") return null;
  const command = decodeCommand(request.command);
  if (command.kind === "transaction") {
    return {
      checks: command.checks.map(({ key }) => text(key)),
      mutations: command.mutations.map(({ kind, key }) => [kind, text(key)]),
    };
  }
  if (command.kind !== "branchingTransaction") return null;
  const { conditions, then, else: otherwise } = command;
  return JSON.parse(
    JSON.stringify(
      { conditions, then, otherwise },
      (_, value) => value instanceof Uint8Array ? text(value) : value,
    ),
  );
}

Deno.test("prefix: reads and writes of one key have the prefix on the wire, and not in results", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const users = client.prefix("app/").prefix(bytes("users/"));
  await cluster.finish(users.put("ann", "1"));
  assertEquals(lastWrite(cluster), { checks: [], mutations: [["put", "app/users/ann"]] });
  await cluster.finish(users.delete(bytes("ann")));
  assertEquals(lastWrite(cluster), { checks: [], mutations: [["delete", "app/users/ann"]] });
  const { current } = await cluster.finish(users.compareAndSet("ann", { expect: null, value: "1" }));
  assertEquals([text(current?.key), lastWrite(cluster)], [
    "ann",
    { checks: ["app/users/ann"], mutations: [["put", "app/users/ann"]] },
  ]);
  const { requestId } = cluster.node(1).requests.at(-1) ?? { requestId: 0 };
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "getResult",
    requestId,
    entry: entry("app/users/ann"),
    revision: 1,
  });
  assertEquals(text((await cluster.finish(users.get("ann")))?.key), "ann");
  assertEquals(sent(cluster).at(-1), {
    kind: "get",
    key: bytes("app/users/ann"),
    consistency: "linearizable",
  });
  assertEquals(requestId > 0, true);
});

Deno.test("prefix: listings stay below it, and their cursors continue there", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const app = client.prefix("app/");
  cluster.node(1).answer = ({ requestId }) => {
    const page = { entries: [entry("app/k")], more: true, revision: 1, after: null };
    return { kind: "listResult", requestId, page };
  };
  const { entries, cursor } = await cluster.finish(app.list({ start: "a", limit: 1 }));
  assertEquals(entries.map(({ key }) => text(key)), ["k"]);
  await cluster.finish(app.list({ prefix: "b", end: "c", cursor, limit: 1 }));
  const query = { reverse: false, limit: 1 };
  assertEquals(
    sent(cluster),
    [
      { prefix: bytes("app/"), start: bytes("app/a"), end: null, after: null, ...query },
      { prefix: bytes("app/b"), start: null, end: bytes("app/c"), after: bytes("app/k"), ...query },
    ].map((query) => ({ kind: "list", query, consistency: "linearizable", visibleOnly: false })),
  );
});

Deno.test("prefix: checks, operations and results of transactions, nested ones too", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const app = client.prefix("a/");
  await cluster.finish(app.transaction({
    checks: [{ key: "x", exists: true }],
    mutations: [{ kind: "put", key: "y", value: "v" }, { kind: "delete", key: "z" }],
  }));
  assertEquals(lastWrite(cluster), { checks: ["a/x"], mutations: [["put", "a/y"], ["delete", "a/z"]] });
  cluster.node(1).answer = (request) => {
    const got: OperationOutcome = { kind: "get", entries: [entry("a/k")], more: false, count: 1 };
    const deleted: OperationOutcome = { kind: "delete", deleted: 1, previous: [entry("a/k")] };
    const put: OperationOutcome = { kind: "put", createRevision: 1, version: 2, previous: entry("a/k") };
    const inner: OperationOutcome = { kind: "transaction", succeeded: true, outcomes: [got] };
    return writeResult(request, {
      kind: "executed",
      revision: 9,
      succeeded: true,
      outcomes: [put, deleted, inner],
    });
  };
  const { results } = await cluster.finish(app.transaction({
    checks: [{ prefix: "p", version: 1 }],
    then: [
      { kind: "put", key: "k", value: "v", returnPrevious: true },
      { kind: "delete", start: "k", returnPrevious: true },
      { kind: "transaction", then: [{ kind: "get", key: "k" }] },
    ],
    else: [{ kind: "sum", key: "n", operand: 1 }, { kind: "get", start: "b", end: "c" }],
  }));
  const range = (start: string, end: string): object => ({ kind: "range", start, end });
  const { conditions, then, otherwise } = lastWrite(cluster) as Record<string, Record<string, unknown>[]>;
  assertEquals(
    [conditions, then, otherwise].map((list) => list?.map(({ key, keys }) => key ?? keys ?? null)),
    [
      [range("a/p", "a/q")],
      ["a/k", range("a/k", "a0"), null],
      ["a/n", range("a/b", "a/c")],
    ],
  );
  const previous = entry("k");
  assertEquals<unknown>(results, [
    { kind: "put", createRevision: 1, version: 2, previous },
    { kind: "delete", deleted: 1, previous: [previous] },
    {
      kind: "transaction",
      succeeded: true,
      results: [{ kind: "get", entries: [previous], more: false, count: 1, entry: previous }],
    },
  ]);
});

Deno.test("prefix: keys that are none are refused as without it", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const app = client.prefix("app/");
  await assertRejects(() => app.put("", "v"), InvalidRequestError, "empty key");
  await assertRejects(() => app.get("\ud800"), InvalidRequestError, "well-formed");
  await assertRejects(
    () => app.transaction({ then: [{ kind: "get", end: "x" } as never] }),
    InvalidRequestError,
    "exactly one",
  );
  assertThrows(() => client.prefix(7 as never), InvalidRequestError);
  assertEquals(cluster.node(1).requests, []);
});
