/** The short form of `deno task torture`: one trial in which every kind of fault strikes once, or as many as time allows. */
// deno-lint-ignore-file no-console -- what happened is worth seeing when it went wrong
import { assert, assertEquals } from "@std/assert";
import { runTrial } from "./trial.ts";

const TRIAL_MS = 24_000;
const SEED = 1;

Deno.test("a cluster under random faults stays linearizable, loses nothing, and is one in the end", async () => {
  const lines: string[] = [];
  try {
    const { figures, acknowledged, struck } = await runTrial({
      nodes: 3,
      seed: SEED,
      goesOn: ({ elapsedMs, hasStruckAll }) => elapsedMs < TRIAL_MS && !hasStruckAll,
      tell: (line) => lines.push(line),
    });
    assert(struck.size > 0 && figures.answered > 0 && acknowledged > 0);
    assertEquals(figures.operations, figures.answered + figures.notApplied + figures.unknown);
  } catch (error) {
    console.log(lines.join("\n"));
    throw error;
  }
});
