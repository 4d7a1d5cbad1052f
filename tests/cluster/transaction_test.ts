/** Transactions with branches against real nodes: from the library, from the command line, and over a leader's death. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { counterValue, type KvClient, TransactionFailedError } from "../../lib/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { step } from "../support/step.ts";

/** Callers that write at the same time. */
const CALLERS = 8;
/** Transactions of each of them. */
const ROUNDS = 40;

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

Deno.test("transactions: branches, results and failures, from the library and from the command line", async (t) => {
  await using cluster = await TestCluster.start();
  await using client = await cluster.connect();
  await step(
    t,
    "each operation sees those before it, and all changes have one revision",
    () => seesItself(client),
  );
  await step(t, "a transaction that fails changes nothing", () => failsCompletely(client));
  await step(t, "of many that take an absent key one succeeds, and the others learn who it was", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, caller) => {
      const { succeeded, results } = await client.transaction({
        checks: [{ key: "lock", exists: false }],
        then: [{ kind: "put", key: "lock", value: `caller ${caller}` }, { kind: "get", key: "lock" }],
        else: [{ kind: "get", key: "lock" }],
      });
      return { succeeded, owner: text((succeeded ? results[1] : results[0]).entry?.value) };
    }));
    assertEquals(answers.filter(({ succeeded }) => succeeded).length, 1);
    assertEquals(new Set(answers.map(({ owner }) => owner)).size, 1);
  });
  await step(t, "sums are counted once though the leader is killed among them", async () => {
    const work = Array.from({ length: CALLERS }, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        await client.transaction({ then: [{ kind: "sum", key: "sum", operand: 1 }], timeoutMs: 60_000 });
      }
    });
    await cluster.kill(await cluster.waitForLeader());
    await Promise.all(work);
    const entry = await client.get("sum");
    assert(entry !== null);
    assertEquals([counterValue(entry.value), entry.version], [BigInt(CALLERS * ROUNDS), CALLERS * ROUNDS]);
  });
  await step(
    t,
    "client txn prints the branch and a line for each operation",
    () => fromTheCommandLine(cluster),
  );
});

async function seesItself(client: KvClient): Promise<void> {
  const { revision, results: [put, , , , got, sum, read] } = await client.transaction({
    then: [
      { kind: "put", key: "a/1", value: "old", returnPrevious: true },
      { kind: "put", key: "a/1", value: "new" },
      { kind: "put", key: "a/2", value: "other" },
      { kind: "delete", key: "a/2" },
      { kind: "get", prefix: "a/" },
      { kind: "sum", key: "n", operand: 41 },
      { kind: "get", key: "n" },
    ],
  });
  assertEquals(put.previous, null);
  assertEquals(got.entries.map(({ key, value, version }) => [text(key), text(value), version]), [[
    "a/1",
    "new",
    2,
  ]]);
  assertEquals([sum.createRevision, read.entry?.modRevision], [revision, revision]);
  assertEquals(read.entry === null ? null : counterValue(read.entry.value), 41n);
}

async function failsCompletely(client: KvClient): Promise<void> {
  const error = await assertRejects(
    () =>
      client.transaction({ then: [{ kind: "delete", key: "n" }, { kind: "sum", key: "a/1", operand: 1 }] }),
    TransactionFailedError,
  );
  assertEquals([error.reason, error.position, error.outcome], ["notANumber", "then[1]", "not-applied"]);
  assertEquals((await client.get("n"))?.version, 1);
}

async function fromTheCommandLine(cluster: TestCluster): Promise<void> {
  const one = await cluster.client([
    "txn",
    "if exists a/1 and absent a/2 then put a/2 x; sum n 1; get n else get a/2",
  ]);
  assertEquals(
    one.stdout.replace(/revision \d+/, "revision R"),
    "then  revision R\nput a/2: version 1\nsum n: version 2\nget n: 42\n",
  );
  const other = await cluster.client([
    "txn",
    "--output",
    "json",
    "if absent a/2 then put a/2 y else get a/ --prefix",
  ], {
    code: 1,
  });
  const { succeeded, results } = JSON.parse(other.stdout);
  assertEquals([succeeded, results[0].count], [false, 2]);
  const failed = await cluster.client(["txn", "touch none"], { code: 1 });
  assertEquals(failed.stdout, "");
}
