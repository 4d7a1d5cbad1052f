/** Transactions with branches, rule by rule. */
import { assert, assertEquals } from "@std/assert";
import {
  type Branches,
  type Comparison,
  type Condition,
  type KeySet,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_RESULT_BYTES,
  type Operation,
  type OperationOutcome,
  type TransactionFailure,
} from "../../../lib/kv/branching_command.ts";
import type { CommandResult, KeyValue, SessionStamp } from "../../../lib/kv/command.ts";
import { bytes, put as putMutation, remove, Replica, stamp, transaction } from "./support.ts";

const text = (some: Uint8Array): string => new TextDecoder().decode(some);

function key(name: string): KeySet {
  return { kind: "key", key: bytes(name) };
}

function range(start: string, end: string | null = null): KeySet {
  return { kind: "range", start: bytes(start), end: end === null ? null : bytes(end) };
}

function put(name: string, value: string | null, returnPrevious = false): Operation {
  return {
    kind: "put",
    key: bytes(name),
    value: value === null ? null : bytes(value),
    returnPrevious,
    leaseId: null,
    expiresAtMs: null,
  };
}

function del(keys: KeySet, returnPrevious = false): Operation {
  return { kind: "delete", keys, returnPrevious };
}

function get(
  keys: KeySet,
  options: { readonly limit?: number; readonly reverse?: boolean; readonly revision?: number } = {},
): Operation {
  const { limit = 100, reverse = false, revision = null } = options;
  return { kind: "get", keys, limit, reverse, revision };
}

function number(value: bigint): Uint8Array {
  const eight = new Uint8Array(8);
  new DataView(eight.buffer).setBigUint64(0, value, true);
  return eight;
}

/** A state machine at feature level 2 with revisions 1 (a=1, b=2), 2 (a=3), 3 (c=4) and 4 (without b). */
function bench(): Replica {
  const replica = new Replica();
  replica.apply({ kind: "raiseFeatureLevel", level: 2 });
  replica.apply(transaction([putMutation("a", "1"), putMutation("b", "2")]));
  replica.apply(transaction([putMutation("a", "3")]));
  replica.apply(transaction([putMutation("c", "4")]));
  replica.apply(transaction([remove("b")]));
  return replica;
}

function run(
  replica: Replica,
  branches: Partial<Branches>,
  session: SessionStamp | null = null,
): CommandResult {
  return replica.apply({
    kind: "branchingTransaction",
    session,
    conditions: [],
    then: [],
    else: [],
    ...branches,
  });
}

function outcomesOf(result: CommandResult): readonly OperationOutcome[] {
  assert(result.kind === "executed" && result.outcomes !== "omitted", JSON.stringify(result));
  return result.outcomes;
}

/** The entries of a get, as text. */
function entriesOf(outcome: OperationOutcome | undefined): string {
  assert(outcome?.kind === "get");
  const entries = outcome.entries.map(({ key, value, version }) => `${text(key)}=${text(value)} v${version}`);
  return `${entries.join(", ")} of ${outcome.count}${outcome.more ? ", more" : ""}`;
}

function isTrue(condition: Condition): boolean {
  const result = run(bench(), { conditions: [condition] });
  assert(result.kind === "executed");
  assertEquals(result.revision, 4);
  return result.succeeded;
}

const ORDERS: readonly Comparison[] = ["equal", "notEqual", "less", "greater"];

Deno.test("conditions: each comparison of each number, on a key, an absent key, a range and a range without keys", () => {
  const held = (kind: "version" | "createRevision" | "modRevision", keys: KeySet, than: number): string =>
    ORDERS.filter((comparison) => isTrue({ kind, keys, comparison, number: than })).join(" ");
  assertEquals(held("version", key("a"), 2), "equal");
  assertEquals(held("version", key("a"), 1), "notEqual greater");
  assertEquals(held("version", key("a"), 3), "notEqual less");
  assertEquals(held("createRevision", key("a"), 1), "equal");
  assertEquals(held("modRevision", key("a"), 2), "equal");
  assertEquals(held("modRevision", key("b"), 0), "equal", "b was deleted");
  assertEquals(held("createRevision", key("x"), 1), "notEqual less");
  assertEquals(held("modRevision", range(""), 2), "", "a has 2, c has 3");
  assertEquals(held("modRevision", range(""), 1), "notEqual greater");
  assertEquals(held("version", range("x"), 0), "equal");
  assertEquals(held("version", range("c", "a"), 0), "equal", "its end is not above its start");
  assertEquals(held("version", range("a", "a"), 1), "notEqual less");
});

Deno.test("conditions: a value compares in byte order, and holds neither on an absent key nor on a range without keys", () => {
  const held = (keys: KeySet, value: string): string =>
    ORDERS.filter((comparison) => isTrue({ kind: "value", keys, comparison, value: bytes(value) })).join(" ");
  assertEquals(held(key("a"), "3"), "equal");
  assertEquals(held(key("a"), "2"), "notEqual greater");
  assertEquals(held(key("a"), "30"), "notEqual less");
  assertEquals(held(range("a"), "3"), "", "a is 3, c is 4");
  assertEquals(held(range("a"), "5"), "notEqual less");
  assertEquals([held(key("b"), "2"), held(key("x"), ""), held(range("x"), ""), held(range("c", "b"), "")], [
    "",
    "",
    "",
    "",
  ]);
});

Deno.test("branches: all conditions must hold; without an else nothing is done, and the revision stays", () => {
  const replica = bench();
  const conditions: Condition[] = [
    { kind: "version", keys: key("a"), comparison: "equal", number: 2 },
    { kind: "version", keys: key("c"), comparison: "equal", number: 2 },
  ];
  const failed = run(replica, { conditions, then: [put("a", "5")] });
  assertEquals(failed, { kind: "executed", revision: 4, succeeded: false, outcomes: [] });
  const other = run(replica, { conditions, then: [put("a", "5")], else: [get(key("a"))] });
  assert(other.kind === "executed" && !other.succeeded);
  assertEquals(entriesOf(outcomesOf(other)[0]), "a=3 v2 of 1");
  const held = run(replica, { conditions: conditions.slice(0, 1), then: [put("a", "5")] });
  const outcome = { kind: "put", createRevision: 1, version: 3, previous: "omitted" } as const;
  assertEquals(held, { kind: "executed", revision: 5, succeeded: true, outcomes: [outcome] });
});

Deno.test("branches: conditions of nested transactions are about the state before the first operation", () => {
  const replica = bench();
  const isThree: Condition = { kind: "value", keys: key("a"), comparison: "equal", value: bytes("3") };
  const nested: Operation = { kind: "transaction", conditions: [isThree], then: [get(key("a"))], else: [] };
  const [, inner] = outcomesOf(run(replica, { then: [put("a", "9"), nested] }));
  assert(inner?.kind === "transaction" && inner.succeeded);
  assertEquals(entriesOf(inner.outcomes[0]), "a=9 v3 of 1", "its get sees what came before it");
});

Deno.test("operations: a get sees earlier operations and not later ones", () => {
  const replica = bench();
  const all = get(range(""));
  const outcomes = outcomesOf(run(replica, {
    then: [all, put("b", "x"), all, del(range("a", "b")), all, put("a", "y"), put("a", "z"), all],
  }));
  assertEquals(outcomes.filter(({ kind }) => kind === "get").map(entriesOf), [
    "a=3 v2, c=4 v1 of 2",
    "a=3 v2, b=x v1, c=4 v1 of 3",
    "b=x v1, c=4 v1 of 2",
    "a=z v2, b=x v1, c=4 v1 of 3",
  ]);
  assertEquals(replica.machine.revision, 5);
  const numbers = outcomes[7]?.kind === "get" ? outcomes[7].entries.map(numbersOf) : [];
  assertEquals(numbers, [[5, 5, 2], [5, 5, 1], [3, 3, 1]], "a was created again");
  replica.machine.checkStructure();
});

function numbersOf({ createRevision, modRevision, version }: KeyValue): readonly number[] {
  return [createRevision, modRevision, version];
}

Deno.test("operations: several changes of one key are versions of one revision, in the history too", () => {
  const replica = bench();
  run(replica, { then: [put("a", "5"), del(key("a")), put("a", "6"), put("a", "7")] });
  const versions = replica.records().filter((record) => record[0] === "version" && text(record[1]) === "a");
  const shown = versions.map((record) =>
    record[0] === "version"
      ? [record[2] === null ? null : text(record[2]), record[4], record[5], record[6]]
      : []
  );
  assertEquals(shown, [["1", 1, 1, 0], ["3", 2, 2, 0], ["5", 5, 3, 0], [null, 5, 0, 1], ["6", 5, 1, 2]]);
  const now = outcomesOf(run(replica, { then: [get(key("a")), get(key("a"), { revision: 4 })] }));
  assertEquals(now.map(entriesOf), ["a=7 v2 of 1", "a=3 v2 of 1"]);
});

Deno.test("operations: limit and reverse of a get choose its entries; count is of the whole range", () => {
  const replica = bench();
  const outcomes = outcomesOf(run(replica, {
    then: [
      put("b", "5"),
      get(range("a"), { limit: 2 }),
      get(range("a"), { limit: 2, reverse: true }),
      get(range("a", "c"), { limit: 2 }),
      get(range("c", "a")),
      get(range("b", "b")),
    ],
  }));
  assertEquals(outcomes.slice(1).map(entriesOf), [
    "a=3 v2, b=5 v1 of 3, more",
    "c=4 v1, b=5 v1 of 3, more",
    "a=3 v2, b=5 v1 of 2",
    " of 0",
    " of 0",
  ]);
});

Deno.test("operations: a get at a revision reads the state then, without what the transaction did", () => {
  const replica = bench();
  const at = (revision: number): Operation => get(range(""), { revision });
  const outcomes = outcomesOf(run(replica, { then: [put("a", "9"), at(1), at(3), at(4), at(0)] }));
  assertEquals(outcomes.slice(1).map(entriesOf), [
    "a=1 v1, b=2 v1 of 2",
    "a=3 v2, b=2 v1, c=4 v1 of 3",
    "a=3 v2, c=4 v1 of 2",
    " of 0",
  ]);
});

Deno.test("operations: a delete returns the number of keys, and on request what was there", () => {
  const replica = bench();
  const [none, one, all] = outcomesOf(run(replica, {
    then: [del(key("x"), true), del(key("c"), true), del(range(""), false)],
  }));
  assertEquals(none, { kind: "delete", deleted: 0, previous: [] });
  assert(one?.kind === "delete");
  assertEquals([one.deleted, one.previous.map(({ value }) => text(value))], [1, ["4"]]);
  assertEquals(all, { kind: "delete", deleted: 1, previous: [] });
  assertEquals([replica.machine.keyCount, replica.machine.revision], [0, 5]);
});

Deno.test("operations: a transaction whose deletes find nothing, or which only reads, makes no revision", () => {
  const replica = bench();
  for (const then of [[del(key("x"))], [del(range("x"))], [get(range(""))], [del(range("c", "a"))], []]) {
    const result = run(replica, { then });
    assert(result.kind === "executed");
    assertEquals([result.revision, replica.machine.revision], [4, 4]);
  }
});

Deno.test("operations: a put keeps the value on request and returns the previous entry", () => {
  const replica = bench();
  const [kept, created] = outcomesOf(run(replica, { then: [put("a", null, true), put("x", "1", true)] }));
  assert(kept?.kind === "put" && typeof kept.previous === "object" && kept.previous !== null);
  assertEquals([kept.version, numbersOf(kept.previous), text(kept.previous.value)], [3, [1, 2, 2], "3"]);
  assertEquals(created, { kind: "put", createRevision: 5, version: 1, previous: null });
  const entry = replica.machine.get(bytes("a"));
  assertEquals([text(entry?.value ?? bytes("")), entry?.modRevision, entry?.version], ["3", 5, 3]);
});

Deno.test("operations: sum wraps at 2^64; min and max choose; each sets an absent key to its operand", () => {
  const replica = bench();
  const calculate = (kind: "sum" | "min" | "max", name: string, operand: bigint): Operation => ({
    kind,
    key: bytes(name),
    operand: number(operand),
  });
  run(replica, {
    then: [
      calculate("sum", "s", 2n ** 64n - 1n),
      calculate("sum", "s", 3n),
      calculate("min", "i", 2n ** 63n),
      calculate("min", "i", 7n),
      calculate("min", "i", 8n),
      calculate("max", "x", 7n),
      calculate("max", "x", 256n),
      calculate("max", "x", 255n),
    ],
  });
  const values = ["s", "i", "x"].map((name) => {
    const entry = replica.machine.get(bytes(name));
    return [entry?.value, entry?.version];
  });
  assertEquals(values, [[number(2n), 2], [number(7n), 3], [number(256n), 3]]);
});

Deno.test("failures: each has its reason and position, and leaves no change", () => {
  const replica = bench();
  replica.apply({ kind: "compact", revision: 2 });
  const before = replica.records().slice(1);
  const operand = number(1n);
  const failures: readonly [Partial<Branches>, TransactionFailure, readonly number[]][] = [
    [{ then: [put("a", "x"), { kind: "sum", key: bytes("a"), operand }] }, "notANumber", [1]],
    [{ then: [put("x", "x"), put("b", null)] }, "keyNotFound", [1]],
    [{ then: [del(key("a")), put("a", null)] }, "keyNotFound", [1]],
    [{ then: [put("x", "x"), get(key("a"), { revision: 1 })] }, "compacted", [1]],
    [{ then: [put("x", "x"), get(range("a"), { revision: 5 })] }, "futureRevision", [1]],
    [
      {
        then: [put("x", "x"), {
          kind: "transaction",
          conditions: [{ kind: "version", keys: key("x"), comparison: "greater", number: 0 }],
          then: [put("y", "y"), put("y", "y")],
          else: [put("z", "z"), put("b", null)],
        }],
      },
      "keyNotFound",
      [1, 3],
    ],
  ];
  for (const [branches, reason, position] of failures) {
    assertEquals(run(replica, branches), { kind: "transactionFailed", revision: 4, reason, position });
    assertEquals(replica.records().slice(1), before);
    replica.machine.checkStructure();
  }
});

/** A state machine with so many keys k0000… */
function filled(count: number): Replica {
  const replica = bench();
  for (let first = 0; first < count; first += 100) {
    const names = Array.from({ length: Math.min(100, count - first) }, (_, step) => first + step);
    run(replica, { then: names.map((name) => put(`k${String(name).padStart(5, "0")}`, "v")) });
  }
  return replica;
}

Deno.test("limits: the ranges of a transaction may have 10,000 keys in all, and one more fails it", () => {
  const replica = filled(MAX_TRANSACTION_KEYS);
  const half = range("k00000", "k05000");
  const all = range("k");
  const anyVersion = (keys: KeySet): Condition => ({
    kind: "version",
    keys,
    comparison: "greater",
    number: 0,
  });
  const fits: readonly Partial<Branches>[] = [
    { conditions: [anyVersion(all)] },
    { conditions: [anyVersion(half)], then: [get(half, { limit: 10_000 })] },
    { then: [get(half, { limit: 4_999 }), get(all, { limit: 5_001 })] },
    { then: [get(half, { limit: 10_000, revision: 104 }), get(range("k05000"), { limit: 10_000 })] },
  ];
  for (const branches of fits) assertEquals(run(replica, branches).kind, "executed");
  const fails: readonly [Partial<Branches>, readonly number[]][] = [
    [{ conditions: [anyVersion(range("c"))] }, []],
    [{
      conditions: [anyVersion(half)],
      then: [get(half, { limit: 5_000 }), get(key("a")), get(range("c"), { limit: 1 })],
    }, [2]],
    [{ then: [put("k00000x", ""), del(all)] }, [1]],
    [{ then: [get(range("k"), { limit: 1, revision: 104 }), get(range("c"), { limit: 1 })] }, [1]],
    [{ then: [{ kind: "transaction", conditions: [anyVersion(range("c"))], then: [], else: [] }] }, [0]],
  ];
  for (const [branches, position] of fails) {
    const result = run(replica, branches);
    assertEquals(result, { kind: "transactionFailed", revision: 104, reason: "tooManyKeys", position });
  }
  const [deleted] = outcomesOf(run(replica, { then: [del(all), put("k00001", "new")] }));
  assertEquals(deleted, { kind: "delete", deleted: MAX_TRANSACTION_KEYS, previous: [] });
  assertEquals(replica.machine.keyCount, 3);
  replica.machine.checkStructure();
  // The deletions are in the history, so a read of the past still has to look at their keys.
  const past = run(replica, { then: [get(range("c"), { limit: 1, revision: 104 })] });
  assert(past.kind === "transactionFailed" && past.reason === "tooManyKeys");
  replica.apply({ kind: "compact", revision: 105 });
  assertEquals(run(replica, { then: [get(range("c"), { limit: 1, revision: 105 })] }).kind, "executed");
});

Deno.test("limits: conditions may compare 16 MiB with the values of ranges, and one byte more fails the transaction", () => {
  const replica = bench();
  const value = "v".repeat(1_048_576);
  for (let count = 0; count < 16; count++) run(replica, { then: [put(`w${count}`, value)] });
  const isGreater = (keys: KeySet, text: string): Condition => ({
    kind: "value",
    keys,
    comparison: "greater",
    value: bytes(text),
  });
  const all = isGreater(range("w"), value);
  assertEquals(run(replica, { conditions: [all] }).kind, "executed");
  assertEquals(run(replica, { conditions: [isGreater(key("w0"), value), all] }).kind, "executed");
  const nested: Operation = {
    kind: "transaction",
    conditions: [isGreater(range("w9"), "v")],
    then: [],
    else: [],
  };
  const more = run(replica, { conditions: [all], else: [nested] });
  const { revision } = replica.machine;
  assertEquals(more, { kind: "transactionFailed", revision, reason: "tooManyKeys", position: [0] });
});

Deno.test("rangeKeys: it counts the ranges of conditions and of both branches, up to the limit of a transaction", () => {
  const { machine } = filled(200);
  const none = { conditions: [], then: [], else: [] };
  const all = range("k");
  const anyVersion: Condition = { kind: "version", keys: range("k00100"), comparison: "greater", number: 0 };
  const nested: Operation = { kind: "transaction", ...none, else: [get(all, { limit: 3 })] };
  const keys = [
    none,
    { ...none, then: [put("a", "1"), get(key("a")), del(key("k00001"))] },
    {
      ...none,
      conditions: [anyVersion],
      then: [get(all, { limit: 7 })],
      else: [nested, del(range("k00190"))],
    },
    { ...none, then: [get(all, { limit: 1, revision: 3 })] },
    { ...none, then: Array<Operation>(60).fill(del(all)) },
  ].map((branches) => machine.rangeKeys(branches));
  assertEquals(keys, [0, 0, 100 + 7 + 3 + 10, 200 + 25, MAX_TRANSACTION_KEYS]);
});

Deno.test("rangeKeys: bytes to compare and later versions count as the keys that could be read meanwhile", () => {
  const { machine } = filled(200);
  const replica = bench();
  const hot = Array<Operation>(64).fill({ kind: "sum", key: bytes("n"), operand: number(1n) });
  for (let round = 0; round < 10; round++) run(replica, { then: hot });
  const compared = (length: number): number => {
    const value = new Uint8Array(length);
    const condition: Condition = { kind: "value", keys: range("k"), comparison: "less", value };
    return machine.rangeKeys({ conditions: [condition], then: [], else: [] });
  };
  assertEquals([compared(8), compared(1_024), compared(1_048_576)], [200 + 3, 200 + 400, 200 + 32_768]);
  const past = (revision: number, count = 1): number => {
    const then = Array<Operation>(count).fill(get(key("n"), { revision }));
    return replica.machine.rangeKeys({ conditions: [], then, else: [] });
  };
  const { revision } = replica.machine;
  assertEquals([past(revision), past(revision + 1), past(revision - 1), past(4), past(4, 2)], [
    0,
    0,
    8,
    80,
    160,
  ]);
});

Deno.test("limits: the result of a transaction may have 4 MiB of keys and values, and one byte more fails it", () => {
  const replica = bench();
  const value = "v".repeat(1_048_576);
  run(replica, { then: ["w", "x", "y", "z"].map((name) => put(name, value)) });
  const four = get(range("w"));
  const rest = MAX_TRANSACTION_RESULT_BYTES - 3 * (value.length + 1);
  run(replica, { then: [put("z", "v".repeat(rest - 1))] });
  assertEquals(entriesOf(outcomesOf(run(replica, { then: [four] }))[0]).length > rest, true);
  const more = run(replica, { then: [four, put("a", "x", true)] });
  assert(more.kind === "transactionFailed" && more.reason === "resultTooLarge");
  assertEquals(more.position, [1]);
  assertEquals(text(replica.machine.get(bytes("a"))?.value ?? bytes("")), "3");
  const previous = run(replica, { then: [four, del(key("c"), true)] });
  assert(previous.kind === "transactionFailed" && previous.reason === "resultTooLarge");
});

Deno.test("level: at feature level 1 the command is refused, without opening its session", () => {
  const replica = new Replica();
  const result = run(replica, { then: [put("a", "1")] }, stamp());
  assertEquals(result, { kind: "refused", reason: "invalidCommand" });
  assertEquals([replica.machine.sessionCount, replica.machine.keyCount], [0, 0]);
});

Deno.test("sessions: a retry gets the same answer, without outcomes that have more than 4 KiB of entries", () => {
  const replica = bench();
  const write = (sequence: number, then: readonly Operation[]): readonly CommandResult[] => {
    const session = stamp({ sequence });
    return [run(replica, { then }, session), run(replica, { then }, session)];
  };
  run(replica, { then: [put("l", "v".repeat(4_063)), put("m", "v".repeat(4_064))] });
  const [small, smallAgain] = write(1, [put("a", "5"), get(key("l"))]);
  assertEquals(smallAgain, small);
  const [large, largeAgain] = write(2, [put("a", "6"), get(key("m"))]);
  assert(large?.kind === "executed" && large.outcomes !== "omitted");
  assertEquals(largeAgain, { ...large, outcomes: "omitted" });
  const [failed, failedAgain] = write(3, [put("a", "7"), put("x", null)]);
  assertEquals(failedAgain, failed);
  assertEquals(failed?.kind, "transactionFailed");
  assertEquals(replica.machine.get(bytes("a"))?.version, 4);
});
