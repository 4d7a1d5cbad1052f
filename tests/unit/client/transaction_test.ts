/** Transactions with branches: what is sent for the arguments, and the results, by type and by value. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AnswerOmittedError,
  type BranchingResult,
  counterBytes,
  counterValue,
  InternalError,
  InvalidRequestError,
  type KeyValue,
  type KvClient,
  SessionExpiredError,
  TransactionFailedError,
} from "../../../lib/mod.ts";
import type { BranchingTransaction, OperationOutcome } from "../../../lib/kv/branching_command.ts";
import type { CommandResult } from "../../../lib/kv/command.ts";
import { decodeCommand } from "../../../lib/protocol/command.ts";
import { applied, FakeCluster, type FakeNode, writeResult } from "../../support/fakes/scripted_node.ts";

const utf8 = new TextEncoder();
const ENTRY: KeyValue = {
  key: utf8.encode("a"),
  value: utf8.encode("1"),
  createRevision: 3,
  modRevision: 5,
  version: 2,
};

/** Whether two types are the same. */
type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends (<T>() => T extends Other ? 1 : 2) ? true
  : false;

/** Compiles only with `true` as the type argument. */
function assertType<_Holds extends true>(): void {}

/** Returns the transactions with branches that a node received. */
function received(node: FakeNode): readonly BranchingTransaction[] {
  return node.requests.flatMap((request) => {
    const command = request.kind === "write" ? decodeCommand(request.command) : null;
    return command?.kind === "branchingTransaction" ? [command] : [];
  });
}

/** Answers every write with this result. */
function answering(node: FakeNode, result: CommandResult): void {
  node.answer = (request) => writeResult(request, result);
}

function executed(outcomes: readonly OperationOutcome[] | "omitted", succeeded = true): CommandResult {
  return { kind: "executed", revision: 9, succeeded, outcomes };
}

async function withClient(use: (client: KvClient, cluster: FakeCluster) => Promise<void>): Promise<void> {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  await use(client, cluster);
}

Deno.test("transaction: every form of check and operation is sent as the store executes it", async () => {
  await withClient(async (client, cluster) => {
    await cluster.finish(client.transaction({
      checks: [
        { key: "k", exists: true },
        { prefix: "p", exists: false },
        { key: "k", value: "v" },
        { start: "a", end: "b", value: Uint8Array.of(1), comparison: "<" },
        { start: "a", version: 3, comparison: "!=" },
        { key: "k", createRevision: 4, comparison: ">" },
        { key: "k", modRevision: 5 },
      ],
      then: [
        { kind: "put", key: "k", value: "v" },
        { kind: "put", key: "k", keepValue: true, returnPrevious: true },
        { kind: "delete", prefix: "" },
        { kind: "get", key: "k" },
        { kind: "get", start: "a", end: "b", limit: 7, reverse: true, revision: 2 },
        { kind: "sum", key: "n", operand: -1 },
        { kind: "min", key: "n", operand: 258n },
        { kind: "max", key: "n", operand: 2n ** 64n - 1n },
        {
          kind: "transaction",
          checks: [{ key: "k", exists: true }],
          else: [{ kind: "delete", key: "k", returnPrevious: true }],
        },
      ],
    }));
    const key = { kind: "key", key: utf8.encode("k") } as const;
    const from = (start: string, end: string | null) =>
      ({ kind: "range", start: utf8.encode(start), end: end === null ? null : utf8.encode(end) }) as const;
    const exists = { kind: "version", keys: key, comparison: "notEqual", number: 0 } as const;
    const n = utf8.encode("n");
    const unattached = { leaseId: null, expiresAtMs: null };
    const [{ session, ...transaction } = {}] = received(cluster.node(1));
    assertEquals(session?.sequence, 1);
    assertEquals<unknown>(transaction, {
      kind: "branchingTransaction",
      conditions: [
        exists,
        { kind: "version", keys: from("p", "q"), comparison: "equal", number: 0 },
        { kind: "value", keys: key, comparison: "equal", value: utf8.encode("v") },
        { kind: "value", keys: from("a", "b"), comparison: "less", value: Uint8Array.of(1) },
        { kind: "version", keys: from("a", null), comparison: "notEqual", number: 3 },
        { kind: "createRevision", keys: key, comparison: "greater", number: 4 },
        { kind: "modRevision", keys: key, comparison: "equal", number: 5 },
      ],
      then: [
        { kind: "put", key: utf8.encode("k"), value: utf8.encode("v"), returnPrevious: false, ...unattached },
        { kind: "put", key: utf8.encode("k"), value: null, returnPrevious: true, ...unattached },
        { kind: "delete", keys: from("", null), returnPrevious: false },
        { kind: "get", keys: key, limit: 10_000, reverse: false, revision: null },
        { kind: "get", keys: from("a", "b"), limit: 7, reverse: true, revision: 2 },
        { kind: "sum", key: n, operand: new Uint8Array(8).fill(255) },
        { kind: "min", key: n, operand: Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0) },
        { kind: "max", key: n, operand: new Uint8Array(8).fill(255) },
        {
          kind: "transaction",
          conditions: [exists],
          then: [],
          else: [{ kind: "delete", keys: key, returnPrevious: true }],
        },
      ],
      else: [],
    });
  });
});

Deno.test("transaction: results have the types and the values of their operations", async () => {
  await withClient(async (client, cluster) => {
    answering(
      cluster.node(1),
      executed([
        { kind: "put", createRevision: 3, version: 2, previous: "omitted" },
        { kind: "put", createRevision: 3, version: 3, previous: ENTRY },
        { kind: "delete", deleted: 1, previous: [] },
        { kind: "delete", deleted: 1, previous: [ENTRY] },
        { kind: "get", entries: [ENTRY], more: false, count: 1 },
        { kind: "get", entries: [ENTRY], more: true, count: 4 },
        { kind: "put", createRevision: 9, version: 1, previous: "omitted" },
        {
          kind: "transaction",
          succeeded: false,
          outcomes: [{ kind: "get", entries: [], more: false, count: 0 }],
        },
      ]),
    );
    const result = await cluster.finish(client.transaction({
      then: [
        { kind: "put", key: "a", value: "2" },
        { kind: "put", key: "a", value: "3", returnPrevious: true },
        { kind: "delete", key: "a" },
        { kind: "delete", prefix: "a", returnPrevious: true },
        { kind: "get", key: "a" },
        { kind: "get", prefix: "a", limit: 1 },
        { kind: "sum", key: "n", operand: 1 },
        {
          kind: "transaction",
          checks: [{ key: "a", version: 9 }],
          then: [],
          else: [{ kind: "get", key: "b" }],
        },
      ],
    }));
    assertType<Same<typeof result.succeeded, true>>();
    const [put, previousPut, removed, removedEntries, one, range, sum, nested] = result.results;
    assertType<Same<typeof result.results.length, 8>>();
    assertType<Same<typeof put.kind, "put">>();
    assertType<Same<"previous" extends keyof typeof put ? true : false, false>>();
    assertType<Same<typeof previousPut.previous, KeyValue | null>>();
    assertType<Same<"previous" extends keyof typeof removed ? true : false, false>>();
    assertType<Same<typeof removedEntries.previous, readonly KeyValue[]>>();
    assertType<Same<typeof one.entry, KeyValue | null>>();
    assertType<Same<"entry" extends keyof typeof range ? true : false, false>>();
    assertType<Same<typeof range.entries, readonly KeyValue[]>>();
    assertType<Same<typeof sum.kind, "sum">>();
    assert(!nested.succeeded);
    assertType<Same<typeof nested.results[0]["entry"], KeyValue | null>>();
    assertEquals<unknown>(result, {
      succeeded: true,
      revision: 9,
      results: [
        { kind: "put", createRevision: 3, version: 2 },
        { kind: "put", createRevision: 3, version: 3, previous: ENTRY },
        { kind: "delete", deleted: 1 },
        { kind: "delete", deleted: 1, previous: [ENTRY] },
        { kind: "get", entries: [ENTRY], more: false, count: 1, entry: ENTRY },
        { kind: "get", entries: [ENTRY], more: true, count: 4 },
        { kind: "sum", createRevision: 9, version: 1 },
        {
          kind: "transaction",
          succeeded: false,
          results: [{ kind: "get", entries: [], more: false, count: 0, entry: null }],
        },
      ],
    });
  });
});

Deno.test("transaction: a failed check gives the results of else, typed by its operations", async () => {
  await withClient(async (client, cluster) => {
    answering(cluster.node(1), executed([{ kind: "delete", deleted: 0, previous: [] }], false));
    const request = {
      checks: [{ key: "a", exists: true }],
      then: [{ kind: "get", key: "a" }],
      else: [{ kind: "delete", key: "b" }],
    } as const;
    const result = await cluster.finish(client.transaction(request));
    if (result.succeeded) assertType<Same<typeof result.results[0]["entry"], KeyValue | null>>();
    else assertType<Same<typeof result.results[0]["deleted"], number>>();
    assertEquals<BranchingResult>(result, {
      succeeded: false,
      revision: 9,
      results: [{ kind: "delete", deleted: 0 }],
    });
  });
});

Deno.test("transaction: the short form is sent as before, and has its own result", async () => {
  await withClient(async (client, cluster) => {
    const mutations = [{ kind: "put", key: "a", value: "1" }] as const;
    const result = await cluster.finish(
      client.transaction({ checks: [{ key: "a", exists: false }], mutations }),
    );
    assertType<Same<typeof result.failedChecks, readonly number[]>>();
    assertEquals(result, { succeeded: true, failedChecks: [], revision: 1 });
    assertEquals(received(cluster.node(1)), []);
    assertEquals(cluster.node(1).writes.map(({ kind }) => kind), ["transaction"]);
  });
});

Deno.test("transaction: one that fails is a TransactionFailedError with its reason and the operation's position", async () => {
  const request = {
    checks: [{ key: "a", exists: true }],
    then: [{ kind: "get", key: "a" }, { kind: "sum", key: "a", operand: 1 }],
    else: [{ kind: "delete", key: "a" }, {
      kind: "transaction",
      then: [],
      else: [{ kind: "put", key: "a", keepValue: true }],
    }],
  } as const;
  const table = [
    { reason: "notANumber", position: [1], at: "then[1]" },
    { reason: "keyNotFound", position: [3, 0], at: "else[1].else[0]" },
    { reason: "tooManyKeys", position: [], at: "checks" },
    { reason: "tooManyKeys", position: [3], at: "else[1].checks" },
    { reason: "resultTooLarge", position: [0], at: "then[0]" },
    { reason: "compacted", position: [0], at: "then[0]" },
    { reason: "futureRevision", position: [0], at: "then[0]" },
  ] as const;
  await withClient(async (client, cluster) => {
    for (const { reason, position, at } of table) {
      answering(cluster.node(1), { kind: "transactionFailed", revision: 9, reason, position });
      const error = await assertRejects(
        () => cluster.finish(client.transaction(request)),
        TransactionFailedError,
      );
      assertEquals(
        [error.reason, error.position, error.revision, error.outcome, error.code],
        [reason, at, 9, "not-applied", "transactionFailed"],
      );
      assert(error.message.startsWith(`Cannot apply a transaction: ${at}: `), error.message);
      assert(error.message.endsWith(" Nothing was changed."), error.message);
    }
  });
});

Deno.test("transaction: an answer without its results is an AnswerOmittedError, with outcome applied", async () => {
  await withClient(async (client, cluster) => {
    answering(cluster.node(1), executed("omitted"));
    const error = await assertRejects(
      () => cluster.finish(client.transaction({ then: [{ kind: "get", key: "a" }] })),
      AnswerOmittedError,
    );
    assertEquals([error.outcome, error.succeeded, error.revision, error.code], [
      "applied",
      true,
      9,
      "answerOmitted",
    ]);
  });
});

Deno.test("transaction: outcomes of other operations, or too few, are a wrong answer of unknown outcome", async () => {
  const get = { kind: "get", entries: [], more: false, count: 0 } as const;
  const put = { kind: "put", createRevision: 1, version: 1, previous: "omitted" } as const;
  const table: readonly CommandResult[] = [
    executed([]),
    executed([get, { ...put, previous: null }, get]),
    executed([put, get]),
    executed([get, put], false),
    executed([{ ...get, entries: [ENTRY, ENTRY] }, { ...put, previous: null }]),
    executed([get, put]),
    { kind: "applied", revision: 9, outcomes: [] },
    { kind: "checksFailed", revision: 9, failedChecks: [0], current: null },
  ];
  await withClient(async (client, cluster) => {
    for (const result of table) {
      answering(cluster.node(1), result);
      const error = await assertRejects(
        () =>
          cluster.finish(client.transaction({
            then: [{ kind: "get", key: "a" }, { kind: "put", key: "a", value: "1", returnPrevious: true }],
          })),
        InternalError,
      );
      assertEquals(error.outcome, "unknown", Deno.inspect(result));
    }
  });
});

Deno.test("transaction: the results of a transaction are no answer to other writes", async () => {
  await withClient(async (client, cluster) => {
    answering(cluster.node(1), executed([]));
    const mutations = [{ kind: "delete", key: "a" }] as const;
    const calls = [
      () => client.delete("a"),
      () => client.compareAndSet("a", { expect: null, value: "1" }),
      () => client.transaction({ mutations }),
      () => client.put("a", "1"),
    ];
    for (const call of calls) await assertRejects(() => cluster.finish(call()), InternalError);
  });
});

Deno.test("transaction: a lost answer is asked for again with the same bytes, and a forgotten session is named", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect();
  const request = { then: [{ kind: "sum", key: "n", operand: 1 }] } as const;
  cluster.node(1).answer = () => "disconnect";
  await cluster.finish(client.transaction(request));
  assertEquals(received(cluster.node(1)).length, 1);
  assertEquals(received(cluster.node(2)), received(cluster.node(1)));
  let isLost = true;
  cluster.node(2).answer = (request) => {
    if (!isLost) return writeResult(request, { kind: "refused", reason: "sessionExpired" });
    isLost = false;
    return "disconnect";
  };
  await assertRejects(() => cluster.finish(client.transaction(request)), SessionExpiredError);
});

Deno.test("transaction: a session that was dropped before the first attempt is replaced, with the same operations", async () => {
  await withClient(async (client, cluster) => {
    let isExpired = true;
    cluster.node(1).answer = (request) => {
      if (request.kind === "status") {
        return { kind: "statusResult", requestId: request.requestId, status: cluster.node(1).status() };
      }
      if (!isExpired) return applied(request, 7);
      isExpired = false;
      return writeResult(request, { kind: "refused", reason: "sessionExpired" });
    };
    const { revision } = await cluster.finish(
      client.transaction({ then: [{ kind: "sum", key: "n", operand: 1 }] }),
    );
    assertEquals(revision, 7);
    const [{ session: old, ...one } = {}, { session, ...other } = {}] = received(cluster.node(1));
    assertEquals(one, other);
    assert(old?.sessionId !== session?.sessionId);
  });
});

Deno.test("transaction: the caller may reuse its bytes as soon as the call has begun", async () => {
  await withClient(async (client, cluster) => {
    const key = utf8.encode("k");
    const done = client.transaction({ then: [{ kind: "put", key, value: key }] });
    key.fill(0);
    await cluster.finish(done);
    const [operation] = received(cluster.node(1))[0]?.then ?? [];
    assert(operation?.kind === "put");
    assertEquals([operation.key, operation.value], [utf8.encode("k"), utf8.encode("k")]);
  });
});

Deno.test("counterValue: counterBytes is its inverse, little-endian; other values and numbers are refused", () => {
  for (const number of [0n, 1n, 256n, 2n ** 53n, 2n ** 64n - 1n]) {
    assertEquals(counterValue(counterBytes(number)), number);
  }
  assertEquals(counterBytes(258), Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0));
  assertEquals(counterValue(Uint8Array.of(9, 2, 1, 0, 0, 0, 0, 0, 0).subarray(1)), 258n);
  for (const value of [new Uint8Array(7), new Uint8Array(9)]) {
    assertThrows(() => counterValue(value), InvalidRequestError);
  }
  for (const number of [-1, -1n, 0.5, 2 ** 53, 2n ** 64n]) {
    assertThrows(() => counterBytes(number), InvalidRequestError);
  }
});
