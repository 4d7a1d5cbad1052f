/** Transactions with branches, and reads as of past revisions: their answers are right or wrong. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Branches,
  type BranchesResult,
  type BranchOperation,
  type BranchOutcome,
  type Entry,
  type History,
  type KeySet,
  type ListedEntry,
  type Operation,
  type Outcome,
  textOfNumber,
  violationPage,
} from "../../../lib/lincheck/mod.ts";
import { answered, entry, get, list, listed, put, range, type Span, UNKNOWN, verdictOf } from "./support.ts";

const ALL: KeySet = { kind: "range", start: "", end: null };

function key(name: string): KeySet {
  return { kind: "key", key: name };
}

function putting(name: string, value: string | null, returnPrevious = false): BranchOperation {
  return { kind: "put", key: name, value, returnPrevious };
}

function getting(keys: KeySet): BranchOperation {
  return { kind: "get", keys, limit: 100, reverse: false, revision: null };
}

function deleting(keys: KeySet, returnPrevious = false): BranchOperation {
  return { kind: "delete", keys, returnPrevious };
}

function got(...entries: ListedEntry[]): BranchOutcome {
  return { kind: "get", entries, more: false, count: entries.length };
}

function wrote(
  [createRevision, version]: readonly [number, number],
  previous: ListedEntry | null | "omitted" = "omitted",
): BranchOutcome {
  return { kind: "put", createRevision, version, previous };
}

function deleted(count: number, ...previous: ListedEntry[]): BranchOutcome {
  return { kind: "delete", deleted: count, previous };
}

function branching(
  [client, calledAt, returnedAt]: Span,
  transaction: Partial<Branches>,
  outcome: Outcome<BranchesResult>,
): Operation {
  const whole = { conditions: [], then: [], else: [], ...transaction };
  return { kind: "branchingTransaction", client, calledAt, returnedAt, transaction: whole, outcome };
}

function executed(
  revision: number,
  outcomes: readonly BranchOutcome[],
  succeeded = true,
): Outcome<BranchesResult> {
  return answered({ kind: "executed", succeeded, outcomes, revision });
}

/** A get of key `a` as of a past revision. */
function past([client, calledAt, returnedAt]: Span, revision: number, result: Entry | null): Operation {
  return { kind: "get", key: "a", revision, client, calledAt, returnedAt, outcome: answered(result) };
}

/** The histories of a test: the right answer, and wrong ones with a part of the reason. */
function assertVerdicts(
  history: (answer: Outcome<BranchesResult>) => History,
  right: Outcome<BranchesResult>,
  wrong: Readonly<Record<string, Outcome<BranchesResult>>>,
): void {
  assertEquals(verdictOf(history(right)).kind, "linearizable");
  for (const [why, answer] of Object.entries(wrong)) {
    const verdict = verdictOf(history(answer));
    assert(verdict.kind === "violation", why);
    const page = violationPage(history(answer), verdict);
    assertStringIncludes(page.replaceAll("&#39;", "'"), why);
  }
}

const A1 = listed("a", entry("1", [1, 1, 1]));
const B2 = listed("b", entry("2", [2, 2, 1]));

Deno.test("check: a get in a transaction has to show an earlier put of the same transaction", () => {
  const then = [putting("a", "9"), getting(key("a"))];
  assertVerdicts(
    (outcome) => [put([1, 0, 1], "a=1", 1), branching([1, 2, 3], { then }, outcome)],
    executed(2, [wrote([1, 2]), got(listed("a", entry("9", [1, 2, 2])))]),
    {
      "of operation 2, the entries are others": executed(2, [wrote([1, 2]), got(A1)]),
      "of operation 1, the numbers of the key are others": executed(2, [
        wrote([1, 1]),
        got(listed("a", entry("9", [1, 2, 2]))),
      ]),
    },
  );
});

Deno.test("check: conditions are checked on the state before the transaction, and choose the branch", () => {
  const nested: BranchOperation = {
    kind: "transaction",
    conditions: [{ kind: "value", keys: key("a"), comparison: "equal", value: "1" }],
    then: [getting(key("b"))],
    else: [],
  };
  const transaction = {
    conditions: [{ kind: "version", keys: ALL, comparison: "less", number: 2 }],
    then: [putting("a", "9"), nested],
    else: [getting(ALL)],
  } as const;
  const inner = (succeeded: boolean, outcomes: BranchOutcome[]): BranchOutcome => ({
    kind: "transaction",
    succeeded,
    outcomes,
  });
  assertVerdicts(
    (outcome) => [
      put([1, 0, 1], "a=1", 1),
      put([1, 1, 2], "b=2", 2),
      branching([1, 3, 4], transaction, outcome),
    ],
    executed(3, [wrote([1, 2]), inner(true, [got(B2)])]),
    {
      "its conditions held": executed(2, [got(A1, B2)], false),
      "of operation 2, the other branch was to run": executed(3, [wrote([1, 2]), inner(false, [])]),
    },
  );
});

Deno.test("check: a delete of a range has to delete all of its keys, and to return what was there", () => {
  const then = [deleting(ALL, true), getting(ALL)];
  assertVerdicts(
    (outcome) => [
      put([1, 0, 1], "a=1", 1),
      put([1, 1, 2], "b=2", 2),
      branching([1, 3, 4], { then }, outcome),
      list([2, 5, 6], range(), { entries: [], revision: 3 }),
    ],
    executed(3, [deleted(2, A1, B2), got()]),
    {
      "of operation 1, 2 keys were there to delete": executed(3, [deleted(1, A1), got()]),
      "of operation 1, the previous entries are others": executed(3, [deleted(2, A1, A1), got()]),
      "of operation 2, the entries are others": executed(3, [deleted(2, A1, B2), got(B2)]),
    },
  );
  const left: History = [
    put([1, 0, 1], "a=1", 1),
    put([1, 1, 2], "b=2", 2),
    branching([1, 3, 4], { then: [deleting(ALL)] }, executed(3, [deleted(2)])),
    get([2, 5, 6], "b", entry("2", [2, 2, 1])),
  ];
  assertEquals(verdictOf(left).kind, "violation");
});

Deno.test("check: a put has to return the previous entry, and a sum what it is", () => {
  const one = textOfNumber(1n);
  const then: BranchOperation[] = [
    { kind: "sum", key: "n", operand: textOfNumber(2n ** 64n - 1n) },
    putting("n", null, true),
  ];
  assertVerdicts(
    (outcome) => [put([1, 0, 1], `n=${one}`, 1), branching([1, 2, 3], { then }, outcome)],
    executed(2, [wrote([1, 2]), wrote([1, 3], listed("n", entry(textOfNumber(0n), [1, 2, 2])))]),
    {
      "of operation 2, the previous entry is another one": executed(2, [
        wrote([1, 2]),
        wrote([1, 3], listed("n", entry(one, [1, 1, 1]))),
      ]),
      "of operation 2, the previous entry is missing": executed(2, [wrote([1, 2]), wrote([1, 3])]),
    },
  );
});

Deno.test("check: a transaction that failed has to have failed for its reason, and changes nothing", () => {
  const then = [putting("a", "9"), putting("b", null)];
  const failed = (position: number): Outcome<BranchesResult> =>
    answered({ kind: "failed", reason: "keyNotFound", position: [position], revision: 1 });
  assertVerdicts(
    (outcome) => [
      put([1, 0, 1], "a=1", 1),
      branching([1, 2, 3], { then }, outcome),
      get([2, 4, 5], "a", entry("1", [1, 1, 1])),
    ],
    failed(1),
    { "it would have failed (keyNotFound)": failed(0) },
  );
});

Deno.test("check: a transaction of unknown outcome explains its changes all together, and only once", () => {
  const transfer = branching([1, 2, 3], { then: [putting("a", "8"), putting("b", "8")] }, UNKNOWN);
  const before = [put([1, 0, 1], "a=1", 1), transfer];
  const a = get([2, 4, 5], "a", entry("8", [1, 2, 2]));
  assertEquals(verdictOf([...before, a, get([2, 6, 7], "b", entry("8", [2, 2, 1]))]).kind, "linearizable");
  assertEquals(verdictOf([...before, a, get([2, 6, 7], "b", null)]).kind, "violation");
  const again = [put([2, 6, 7], "a=1", 3), get([2, 8, 9], "a", entry("8", [1, 4, 4]))];
  assertEquals(verdictOf([...before, a, ...again]).kind, "violation");
});

Deno.test("check: a read as of a past revision has to show the state of that revision, whenever it is made", () => {
  const history = (revision: number, seen: Entry | null): History => [
    put([1, 0, 1], "a=1", 1),
    put([1, 2, 3], "a=2", 2),
    put([1, 4, 5], "b=3", 3),
    past([2, 6, 7], revision, seen),
  ];
  assertEquals(verdictOf(history(0, null)).kind, "linearizable");
  assertEquals(verdictOf(history(1, entry("1", [1, 1, 1]))).kind, "linearizable");
  assertEquals(verdictOf(history(1, entry("2", [1, 2, 2]))).kind, "violation");
  assertEquals(verdictOf(history(2, entry("1", [1, 1, 1]))).kind, "violation");
  assertEquals(verdictOf(history(3, null)).kind, "violation");
});

Deno.test("check: a write of unknown outcome explains reads of the past at one revision", () => {
  const history = (second: Operation): History => [
    put([1, 0, 1], "a=1", 1),
    put([2, 1, 2], "a=2", UNKNOWN),
    put([1, 3, 4], "b=3", 3),
    past([3, 5, 6], 2, entry("2", [1, 2, 2])),
    second,
  ];
  assertEquals(verdictOf(history(past([3, 7, 8], 3, entry("2", [1, 2, 2])))).kind, "linearizable");
  assertEquals(verdictOf(history(past([3, 7, 8], 3, entry("1", [1, 1, 1])))).kind, "violation");
});
