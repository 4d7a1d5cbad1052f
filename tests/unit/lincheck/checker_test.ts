/** The checker on histories whose verdict is obvious, and on small random ones against the definition. */
import { assert, assertEquals } from "@std/assert";
import type { History, Operation } from "../../../lib/lincheck/mod.ts";
import { check } from "../../../lib/lincheck/mod.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { isLinearizable } from "./brute_force.ts";
import { simulate } from "./simulated_store.ts";
import {
  entry,
  get,
  LIMITS,
  list,
  listed,
  NOT_APPLIED,
  put,
  range,
  remove,
  transaction,
  UNKNOWN,
  verdictOf,
} from "./support.ts";

const GOOD: Readonly<Record<string, History>> = {
  "a read during a write sees either value": [
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 9], "k=b", 2),
    get([2, 3, 4], "k", entry("a")),
    get([2, 5, 6], "k", entry("b")),
  ],
  "a write of unknown outcome explains a value that appears later": [
    put([1, 0, 1], "k=a", UNKNOWN),
    get([2, 2, 3], "k", null),
    get([2, 5, 6], "k", entry("a")),
  ],
  "a write of unknown outcome may never have happened": [
    put([1, 0, 1], "k=a", UNKNOWN),
    get([2, 2, 3], "k", null),
  ],
  "a delete that found nothing, and a write behind it": [
    remove([1, 0, 1], "k", { deleted: false, revision: 1 }),
    put([1, 2, 3], "k=a", 2),
    get([2, 4, 5], "k", entry("a", [2, 2, 1])),
  ],
  "a listing of one moment beside a transaction": [
    transaction([1, 0, 5], ["a=1", "b=1"], 1),
    list([2, 1, 2], range(), { entries: [], revision: 0 }),
    list([2, 3, 4], range(), { entries: [listed("a", entry("1")), listed("b", entry("1"))], revision: 1 }),
  ],
};

const BAD: Readonly<Record<string, History>> = {
  "a stale read": [
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 3], "k=b", 2),
    get([2, 4, 5], "k", entry("a")),
  ],
  "a lost write": [put([1, 0, 1], "k=a", 1), get([2, 2, 3], "k", null)],
  "a value that goes back": [
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 9], "k=b", 2),
    get([2, 3, 4], "k", entry("b")),
    get([2, 5, 6], "k", entry("a")),
  ],
  "a write whose client learned that it was not applied, and was": [
    put([1, 0, 1], "k=a", NOT_APPLIED),
    get([2, 2, 3], "k", entry("a")),
  ],
  "a doubled write: two writes, three versions": [
    put([1, 0, 1], "k=a", 1),
    put([1, 2, 3], "k=b", null),
    get([2, 4, 5], "k", entry("b", [1, 2, 3])),
  ],
  "half a transaction": [
    transaction([1, 0, 1], ["a=1", "b=1"], 1),
    list([2, 2, 3], range(), { entries: [listed("a", entry("1"))], revision: 1 }),
  ],
  "a listing that mixes two moments": [
    put([1, 0, 1], "a=1", 1),
    put([1, 2, 3], "b=1", 2),
    remove([1, 4, 5], "a", { deleted: true, revision: 3 }),
    put([1, 6, 7], "c=1", 4),
    list([2, 0, 9], range(), {
      entries: [listed("a", entry("1")), listed("b", entry("1")), listed("c", entry("1"))],
      revision: null,
    }),
  ],
  "revisions against the order of time": [put([1, 0, 1], "a=1", 2), put([2, 2, 3], "b=1", 1)],
};

for (const [name, history] of Object.entries(GOOD)) {
  Deno.test(`linearizable: ${name}`, () => {
    assertEquals([verdictOf(history).kind, isLinearizable(history)], ["linearizable", true]);
  });
}

for (const [name, history] of Object.entries(BAD)) {
  Deno.test(`not linearizable: ${name}`, () => {
    assertEquals([verdictOf(history).kind, isLinearizable(history)], ["violation", false]);
  });
}

/** The same history with one answer of a read changed to that of another read, or to absent. */
function spoiled(history: History, random: SeededRandom): History {
  const reads = history.filter((operation) =>
    operation.kind === "get" && operation.outcome.kind === "answered"
  );
  if (reads.length === 0) return history;
  const target = random.pick(reads);
  const source = random.pick(reads);
  return history.map((operation): Operation => {
    if (operation !== target || operation.kind !== "get" || source.kind !== "get") return operation;
    return {
      ...operation,
      outcome: random.chance(0.3) ? { kind: "answered", result: null } : source.outcome,
    };
  });
}

Deno.test("check: the verdict on small random histories is that of the definition, and both verdicts occur", () => {
  const random = new SeededRandom(1);
  const counts = { linearizable: 0, violation: 0, undecided: 0 };
  for (let round = 0; round < 1_500; round++) {
    const linearizable = simulate({
      random: () => random.next(),
      operations: 7,
      clients: 3,
      keys: 2,
      values: 2,
      unknown: 0.15,
      forgotten: 0.3,
      wide: 0.2,
      branching: 0,
      past: 0,
    });
    const history = random.chance(0.5) ? linearizable : spoiled(linearizable, random);
    const { kind } = verdictOf(history);
    counts[kind]++;
    assertEquals(kind, isLinearizable(history) ? "linearizable" : "violation", JSON.stringify(history));
  }
  assert(counts.linearizable > 300 && counts.violation > 100, JSON.stringify(counts));
  assertEquals(counts.undecided, 0);
});

Deno.test("check: above a bound the verdict is undecided, not a guess", () => {
  const random = new SeededRandom(7);
  const history = simulate({
    random: () => random.next(),
    operations: 400,
    clients: 8,
    keys: 2,
    values: 2,
    unknown: 0.1,
    forgotten: 0.5,
    wide: 0.1,
    branching: 0,
    past: 0,
  });
  assertEquals(verdictOf(history).kind, "linearizable");
  assertEquals(check(history, { ...LIMITS, configurations: 3 }).kind, "undecided");
  let now = 0;
  assertEquals(check(history, { ...LIMITS, now: () => now++ * 10 }).kind, "undecided");
});
