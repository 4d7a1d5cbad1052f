/** The search is exact on every kind of small history, and completes long ones. */
import { assert, assertEquals } from "@std/assert";
import {
  type BranchOutcome,
  check,
  type History,
  type Operation,
  replay,
  type Verdict,
} from "../../../lib/lincheck/mod.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { isLinearizable } from "./brute_force.ts";
import { simulate, type Workload } from "./simulated_store.ts";
import {
  entry,
  get,
  LIMITS,
  list,
  listed,
  put,
  range,
  remove,
  transaction,
  UNKNOWN,
  verdictOf,
} from "./support.ts";

/** A workload of many small shapes: one key or several, known revisions or none, all outcomes known or many unknown. */
function smallWorkload(random: SeededRandom): Workload {
  return {
    random: () => random.next(),
    operations: random.pick([4, 5, 6, 7]),
    clients: random.pick([2, 3, 4]),
    keys: random.pick([1, 2, 3]),
    values: random.pick([1, 2, 3]),
    unknown: random.pick([0, 0.3, 0.6]),
    forgotten: random.pick([0, 0, 0.3, 1]),
    wide: random.pick([0, 0.4, 1]),
    branching: random.pick([0, 0, 0.3, 0.7]),
    past: random.pick([0, 0, 0.5]),
  };
}

/** One wrong answer, or one answer less. */
function damaged(history: History, random: SeededRandom): History {
  const target = random.pick(history);
  const number = 1 + random.below(6);
  return history.map((operation) =>
    operation === target ? damagedOperation(operation, { random, number }) : operation
  );
}

function damagedOperation(
  operation: Operation,
  { random, number }: { readonly random: SeededRandom; readonly number: number },
): Operation {
  if (random.chance(0.15)) return { ...operation, outcome: UNKNOWN };
  if (operation.outcome.kind !== "answered") return { ...operation, outcome: { kind: "notApplied" } };
  const returnedAt = random.chance(0.3) ? operation.calledAt : operation.returnedAt;
  const { outcome: { kind } } = operation;
  switch (operation.kind) {
    case "get": {
      const seen = operation.outcome.result;
      const result = seen === null ? entry("v0") : random.pick([null, { ...seen, modRevision: number }]);
      return { ...operation, returnedAt, outcome: { kind, result } };
    }
    case "put":
      return { ...operation, returnedAt, outcome: { kind, result: { revision: number } } };
    case "delete": {
      const { deleted, revision } = operation.outcome.result;
      return { ...operation, returnedAt, outcome: { kind, result: { deleted: !deleted, revision } } };
    }
    case "compareAndSet": {
      const { result } = operation.outcome;
      const current = result.current === null ? null : { ...result.current, createRevision: number };
      return { ...operation, returnedAt, outcome: { kind, result: { ...result, current } } };
    }
    case "transaction": {
      const { result } = operation.outcome;
      return {
        ...operation,
        returnedAt,
        outcome: { kind, result: { ...result, failedChecks: [], revision: number } },
      };
    }
    case "branchingTransaction": {
      const { result } = operation.outcome;
      const change = result.kind === "failed"
        ? { revision: number }
        : random.pick([{ succeeded: !result.succeeded }, { revision: number }, {
          outcomes: damagedOutcomes(result.outcomes, random),
        }]);
      return { ...operation, returnedAt, outcome: { kind, result: { ...result, ...change } } };
    }
    case "list": {
      const { result } = operation.outcome;
      const change = random.pick([{ more: !result.more }, { entries: result.entries.slice(1) }, {
        revision: number,
      }]);
      return { ...operation, returnedAt, outcome: { kind, result: { ...result, ...change } } };
    }
  }
}

function damagedOutcomes(outcomes: readonly BranchOutcome[], random: SeededRandom): readonly BranchOutcome[] {
  const target = random.below(outcomes.length + 1);
  return outcomes.flatMap((outcome, position): readonly BranchOutcome[] => {
    if (position !== target) return [outcome];
    switch (outcome.kind) {
      case "put":
        return [{ ...outcome, version: (outcome.version ?? 0) + 1 }];
      case "delete":
        return [{ ...outcome, deleted: outcome.deleted + random.pick([-1, 1]) }];
      case "get":
        return [{ ...outcome, entries: outcome.entries.slice(1), count: Math.max(0, outcome.count - 1) }];
      case "transaction":
        return random.chance(0.5)
          ? []
          : [{ ...outcome, outcomes: damagedOutcomes(outcome.outcomes, random) }];
    }
  });
}

Deno.test("check: on every kind of small history the verdict is the definition's, and its order replays", () => {
  const random = new SeededRandom(2);
  const counts = { linearizable: 0, violation: 0 };
  for (let round = 0; round < 12_000; round++) {
    let history = simulate(smallWorkload(random));
    for (let damages = random.below(4); damages > 0; damages--) history = damaged(history, random);
    const verdict = verdictOf(history);
    const expected = isLinearizable(history) ? "linearizable" : "violation";
    assertEquals(verdict.kind, expected, JSON.stringify(history));
    if (verdict.kind === "linearizable") assertEquals(replay(history, verdict.order), null);
    counts[expected]++;
  }
  assert(counts.linearizable > 4_000 && counts.violation > 3_000, JSON.stringify(counts));
});

const LONG: Workload = {
  random: () => 0,
  operations: 100_000,
  clients: 32,
  keys: 100,
  values: null,
  unknown: 0.01,
  forgotten: 0,
  wide: 0,
  branching: 0,
  past: 0,
};

/** Generous, so that a busy machine does not change a verdict. */
const LONG_LIMITS = { now: () => performance.now(), timeMs: 300_000, configurations: 4_000_000 };

function longVerdict(
  differences: Partial<Workload>,
  spoil: (history: History) => History = (same) => same,
): Verdict {
  const random = new SeededRandom(1);
  return check(spoil(simulate({ ...LONG, ...differences, random: () => random.next() })), LONG_LIMITS);
}

Deno.test("check: 100,000 operations of 32 clients on 100 keys, some without an answer, are found linearizable", () => {
  assertEquals(longVerdict({}).kind, "linearizable");
});

Deno.test("check: 100,000 operations without any revision, with transactions and listings among them, are found linearizable", () => {
  assertEquals(longVerdict({ forgotten: 1, unknown: 0.001 }).kind, "linearizable");
  assertEquals(longVerdict({ wide: 0.05, operations: 30_000 }).kind, "linearizable");
});

Deno.test("check: one stale read among 100,000 operations is found, and named", () => {
  let stale = -1;
  const verdict = longVerdict({}, (history) => {
    const [key, old] = firstLongLived(history);
    stale = history.findIndex((operation, i) =>
      i > 90_000 && operation.kind === "get" && operation.key === key
    );
    return history.map((operation, i) =>
      i === stale ? get([operation.client, operation.calledAt, operation.returnedAt], key, old) : operation
    );
  });
  assert(verdict.kind === "violation" && verdict.cause.kind === "stuck");
  assertEquals(verdict.cause.operation, stale);
});

/** A key and an early observation of it. */
function firstLongLived(history: History): [string, ReturnType<typeof entry>] {
  for (const operation of history) {
    if (operation.kind !== "get" || operation.outcome.kind !== "answered") continue;
    if (operation.outcome.result !== null) return [operation.key, operation.outcome.result];
  }
  return ["", entry("")];
}

Deno.test("check: a read is stale if another key's write has a later revision, though its own key alone allows it", () => {
  const history: History = [
    put([1, 0, 1], "k=a", 5),
    put([1, 2, 50], "k=b", 10),
    put([2, 3, 4], "other=x", 20),
    get([3, 6, 7], "k", entry("a", [5, 5, 1])),
  ];
  const verdict = verdictOf(history);
  assert(verdict.kind === "violation" && verdict.cause.kind === "stuck");
  assertEquals({ operation: verdict.cause.operation, keys: verdict.keys }, { operation: 3, keys: ["k"] });
  const untold = history.map((operation) =>
    operation.kind === "put"
      ? { ...operation, outcome: { kind: "answered", result: { revision: null } } as const }
      : operation
  );
  assertEquals(
    verdictOf(
      untold.map((operation) => operation.kind === "get" ? get([3, 6, 7], "k", entry("a")) : operation),
    )
      .kind,
    "linearizable",
  );
});

Deno.test("check: a write whose revision no answer showed can't be between two writes with consecutive revisions", () => {
  const gone = (revision: number): History => [
    put([1, 0, 1], "k=a", 5),
    remove([9, 0, 1], "k", UNKNOWN),
    get([2, 2, 3], "k", null),
    put([1, 2, 4], "other=x", revision),
    get([2, 5, 6], "other", entry("x", [revision, revision, 1])),
    get([2, 7, 8], "k", entry("b", [revision + 1, revision + 1, 1])),
    put([1, 6, 9], "k=b", revision + 1),
  ];
  assertEquals([verdictOf(gone(7)).kind, isLinearizable(gone(7))], ["linearizable", true]);
  assertEquals([verdictOf(gone(6)).kind, isLinearizable(gone(6))], ["violation", false]);
});

Deno.test("check: a write that was seen before the first revision was made has no possible revision: a violation", () => {
  const seen = (called: number): History => [
    get([2, 3, 5], "k", entry("a")),
    put([1, 2, 15], "k=a", null),
    put([3, called, called + 1], "other=x", 1),
  ];
  assertEquals([verdictOf(seen(10)).kind, isLinearizable(seen(10))], ["violation", false]);
  const second = seen(4).map((operation) => operation.kind === "get" ? get([2, 3, 5], "k", null) : operation);
  assertEquals([verdictOf(second).kind, isLinearizable(second)], ["linearizable", true]);
});

Deno.test("check: a violation has the possible states, the operation that contradicts them, and an order of all before it", () => {
  const verdict = verdictOf([
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 6], "k=b", 2),
    get([2, 3, 4], "k", entry("c")),
  ]);
  const a = { value: "a", createRevision: 1, modRevision: 1, version: 1 };
  const misfit = {
    kind: "condition",
    condition: { kind: "entry", key: "k", entry: entry("c") },
  } as const;
  assert(verdict.kind === "violation" && verdict.cause.kind === "stuck");
  assertEquals(verdict, {
    kind: "violation",
    keys: ["k"],
    operations: [0, 1, 2],
    cause: {
      kind: "stuck",
      operation: 2,
      from: 3,
      until: 4,
      narrowedBy: [],
      prefix: verdict.cause.prefix,
      possible: [
        {
          states: [{ value: "b", createRevision: 1, modRevision: 2, version: 2 }],
          misfit: { ...misfit, actual: { value: "b", createRevision: 1, modRevision: 2, version: 2 } },
        },
        { states: [a], misfit: { ...misfit, actual: a } },
      ],
      morePossible: false,
    },
  });
});

Deno.test("check: half of a transaction of unknown outcome is not enough to explain an answer", () => {
  const half: History = [
    transaction([1, 0, 1], ["a=1", "b=1"], UNKNOWN),
    get([2, 2, 3], "a", entry("1")),
    get([2, 4, 5], "b", null),
  ];
  assertEquals([verdictOf(half).kind, isLinearizable(half)], ["violation", false]);
  const page: History = [
    transaction([1, 0, 1], ["a=1", "b=1"], UNKNOWN),
    list([2, 2, 3], range(), { entries: [listed("a", entry("1"))], more: true, revision: null }),
    get([2, 4, 5], "b", entry("1")),
  ];
  assertEquals([verdictOf(page).kind, isLinearizable(page)], ["linearizable", true]);
});

Deno.test("check: the bounds on memory and time end an endless search", () => {
  const random = new SeededRandom(3);
  const hard = simulate({
    ...LONG,
    random: () => random.next(),
    operations: 4_000,
    keys: 1,
    values: 2,
    unknown: 0.3,
    forgotten: 1,
  });
  const verdict = check(hard, { ...LIMITS, configurations: 2_000 });
  assertEquals(verdict.kind === "undecided" ? verdict.reason : verdict.kind, "memory");
});
