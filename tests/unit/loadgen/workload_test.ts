/** The clients of a workload: their operations, the recorded history, and when they stop. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { History, Operation } from "../../../lib/lincheck/mod.ts";
import { keysNamedInBranches } from "../../../lib/lincheck/transactions/program.ts";
import {
  bytesOfText,
  DEFAULT_MIX,
  figuresOf,
  type Mix,
  OPERATION_KINDS,
  seededRandom,
  textOfBytes,
  Workload,
  type WorkloadOptions,
} from "../../../lib/loadgen/mod.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";
import { FakeStore } from "../cli/support/fake_store.ts";
import { UnrulyStore } from "../cli/support/unruly_store.ts";

const NONE: Mix = {
  put: 0,
  get: 0,
  delete: 0,
  compareAndSet: 0,
  transaction: 0,
  branchingTransaction: 0,
  list: 0,
};

/** The history of this many operations. */
async function historyOf(options: Partial<WorkloadOptions> = {}): Promise<History> {
  const clock = new ManualClock();
  const store = new UnrulyStore({ clock, random: seededRandom(2) });
  const workload = Workload.start({
    clients: [store, store, store],
    seed: 1,
    mix: DEFAULT_MIX,
    prefix: "p/",
    keys: 5,
    timeoutMs: 1_000,
    clock,
    maxOperations: 300,
    ...options,
  });
  await workload.finished;
  assert(workload.isFull);
  return workload.history;
}

function keysOf(operation: Operation): readonly string[] {
  switch (operation.kind) {
    case "list":
      return operation.outcome.kind === "answered"
        ? operation.outcome.result.entries.map(({ key }) => key)
        : [];
    case "transaction":
      return [...operation.checks, ...operation.mutations].map(({ key }) => key);
    case "branchingTransaction":
      return keysNamedInBranches(operation);
    default:
      return [operation.key];
  }
}

function valuesOf(operation: Operation): readonly string[] {
  if (operation.kind === "transaction") {
    return operation.mutations.flatMap((mutation) => mutation.kind === "put" ? [mutation.value] : []);
  }
  return operation.kind === "put" || operation.kind === "compareAndSet" ? [operation.value] : [];
}

Deno.test("Workload: a workload stops when its history is full, with at most one more operation for each client", async () => {
  const { length } = await historyOf();
  assert(length >= 300 && length < 303, `${length}`);
});

Deno.test("Workload: every kind of the mix occurs, no other kind does, and only keys with the prefix are used", async () => {
  const history = await historyOf();
  const missing = OPERATION_KINDS.filter((kind) => !history.some((operation) => operation.kind === kind));
  // The store refuses these, as one with a node of version 0.1 does.
  assertEquals(missing, ["branchingTransaction"]);
  const names = [0, 1, 2, 3, 4].map((number) => `p/000${number}`);
  assertEquals([...new Set(history.flatMap(keysOf))].sort(), names);
  const reads = await historyOf({ mix: { ...NONE, get: 1, list: 3 } });
  assertEquals([...new Set(reads.map(({ kind }) => kind))].sort(), ["get", "list"]);
});

Deno.test("Workload: no value is written twice, and each client has one operation at a time", async () => {
  const history = await historyOf();
  const values = history.flatMap(valuesOf);
  assertEquals(new Set(values).size, values.length);
  for (const client of [1, 2, 3]) {
    let freeAt = 0;
    for (const operation of history.filter((each) => each.client === client)) {
      assert(operation.calledAt >= freeAt, `client ${client} calls again before it was answered`);
      freeAt = operation.returnedAt ?? Number.POSITIVE_INFINITY;
    }
  }
});

Deno.test("Workload: some conditions are met, and some are not", async () => {
  const answers = (await historyOf({ maxOperations: 600 })).flatMap((operation) =>
    (operation.kind === "compareAndSet" || operation.kind === "transaction") &&
      operation.outcome.kind === "answered"
      ? [`${operation.kind} ${operation.outcome.result.succeeded}`]
      : []
  );
  assertEquals([...new Set(answers)].sort(), [
    "compareAndSet false",
    "compareAndSet true",
    "transaction false",
    "transaction true",
  ]);
});

Deno.test("Workload: the same seed and the same answers give the same operations, another seed others", async () => {
  assertEquals(await historyOf({ seed: 5 }), await historyOf({ seed: 5 }));
  const kinds = (history: History): string => history.map(({ kind }) => kind).join();
  assert(kinds(await historyOf({ seed: 5 })) !== kinds(await historyOf({ seed: 6 })));
});

Deno.test("Workload: an error that is not one of the client library ends all clients, and rejects", async () => {
  const broken = new FakeStore();
  broken.before = () => Promise.reject(new TypeError("a fault of the program"));
  await assertRejects(() => historyOf({ clients: [broken, broken] }), TypeError, "a fault of the program");
});

Deno.test("Workload: the figures count outcomes by kind, and find the longest time without an answered write", () => {
  const put = (returnedAt: number, kind: "answered" | "unknown" | "notApplied"): Operation => ({
    kind: "put",
    key: "k",
    value: "v",
    client: 1,
    calledAt: returnedAt - 1,
    returnedAt,
    outcome: kind === "answered" ? { kind, result: { revision: 1 } } : { kind },
  });
  const none = { operations: 0, answered: 0, notApplied: 0, unknown: 0 };
  const puts = { operations: 4, answered: 2, notApplied: 1, unknown: 1 };
  const byKind = {
    put: puts,
    get: none,
    delete: none,
    compareAndSet: none,
    transaction: none,
    branchingTransaction: none,
    list: none,
  };
  const history = [put(30, "answered"), put(20, "answered"), put(60, "unknown"), put(70, "notApplied")];
  assertEquals(figuresOf(history, { startedAt: 10, endedAt: 90 }), {
    ...puts,
    byKind,
    longestWithoutWriteMs: 60,
  });
  assertEquals(figuresOf([], { startedAt: 10, endedAt: 90 }).longestWithoutWriteMs, null);
});

Deno.test("Workload: any bytes become a text of one character each, and are converted back", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, code) => code);
  assertEquals([textOfBytes(bytes).length, bytesOfText(textOfBytes(bytes))], [256, bytes]);
});
