/** Tests that every mutant can be inserted, and that the runner detects survivors. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { filesOfCheckout, readCheckout } from "../support/checkout.ts";
import { MUTANTS } from "./all.ts";
import { ALL_CHECKS, tests } from "./checks.ts";
import { Laboratory, LaboratoryError } from "./laboratory.ts";
import { tryAll } from "./main.ts";
import { type Mutant, planted, StaleMutantError } from "./mutant.ts";

const QUORUM = tests("quorum", "tests/unit/raft/quorum_test.ts");

/** A majority that is one too small, which the quorum tests must detect. */
const SMALL_MAJORITY: Mutant = {
  id: "X1",
  title: "half of the nodes are a majority",
  failure: "two halves decide apart",
  file: "lib/raft/quorum.ts",
  from: "numbers[Math.floor(numbers.length / 2)]",
  to: "numbers[Math.floor((numbers.length - 1) / 2)]",
  checks: [QUORUM],
};

/** An equivalent program. */
const HARMLESS: Mutant = {
  ...SMALL_MAJORITY,
  id: "X2",
  title: "nothing is wrong",
  to: "numbers[Math.trunc(numbers.length / 2)]",
};

const STALE: Mutant = { ...SMALL_MAJORITY, id: "X3", title: "has no such text", from: "no such text" };
const STALE_REASON =
  'Cannot plant X3 in lib/raft/quorum.ts: the text "no such text" occurs 0 times instead of once. ' +
  "Look up where the code it breaks has gone, and adapt the mutant in tests/mutants.";

Deno.test("mutants: every one can be inserted, and changes the code", () => {
  const unchanged = MUTANTS.filter((mutant) => {
    const source = readCheckout(mutant.file);
    return planted(mutant, source) === source;
  });
  assertEquals(unchanged, []);
});

Deno.test("mutants: there are enough, each with a unique number and a check", () => {
  assert(MUTANTS.length >= 30);
  assertEquals(new Set(MUTANTS.map(({ id }) => id)).size, MUTANTS.length);
  assertEquals(MUTANTS.filter(({ checks }) => checks.length === 0), []);
});

Deno.test("mutants: every check runs existing tests", () => {
  const named = ALL_CHECKS.flatMap(({ args }) => args.filter((arg) => arg.startsWith("tests/")));
  const files = filesOfCheckout([".ts"]);
  assertEquals(named.filter((name) => !files.some((file) => file.startsWith(name))), []);
});

Deno.test("mutants: a text that is missing or not unique is refused by name", () => {
  const source = readCheckout(SMALL_MAJORITY.file);
  assertThrows(() => planted(STALE, source), StaleMutantError, STALE_REASON);
  const twice = { ...SMALL_MAJORITY, from: "numbers" };
  assertThrows(() => planted(twice, source), StaleMutantError, "Cannot plant X1");
});

Deno.test("mutants: an undetected mutant, or one that cannot be tried, gives exit code 1", async () => {
  const lines: string[] = [];
  const exitCode = await tryAll({
    mutants: [SMALL_MAJORITY, HARMLESS, STALE],
    print: (line) => void lines.push(line),
  });
  assertEquals(lines.map((line) => line.replace(/ +[0-9.]+ s +/, " … ")), [
    "X1   quorum … half of the nodes are a majority",
    "X2   SURVIVED … nothing is wrong",
    "X3   NOT TRIED                has no such text",
    "3 mutants, 1 caught, 2 not",
    "X2 in lib/raft/quorum.ts survived: the tests would not notice that two halves decide apart",
    STALE_REASON,
  ]);
  assertEquals(exitCode, 1);
});

Deno.test("mutants: neither the compiler nor a check that always fails counts as a detection", async () => {
  await using laboratory = await Laboratory.make();
  const untyped = { ...SMALL_MAJORITY, to: "numbers[numbers]" };
  await assertRejects(() => laboratory.try(untyped, [QUORUM]), LaboratoryError, "X1 does not compile");
  const broken = tests("broken", "tests/unit/raft/no_such_test.ts");
  await assertRejects(() => laboratory.try(HARMLESS, [broken]), LaboratoryError, "without any mutant");
});
