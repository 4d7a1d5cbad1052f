/** The short form of `deno task torture`: one trial in which every kind of fault strikes once, or as many as time allows. */
// deno-lint-ignore-file no-console -- the output explains a failure
import { assert, assertEquals } from "@std/assert";
import { runTrial } from "./trial.ts";

const TRIAL_MS = 24_000;
const SEED = 1;

Deno.test("torture: a cluster under random faults stays linearizable, shows every change to watchers, loses no write, and ends with equal replicas", async () => {
  const lines: string[] = [];
  try {
    const { figures, watching, acknowledged, struck } = await runTrial({
      nodes: 3,
      seed: SEED,
      goesOn: ({ elapsedMs, hasStruckAll }) => elapsedMs < TRIAL_MS && !hasStruckAll,
      tell: (line) => lines.push(line),
    });
    assert(struck.size > 0 && figures.answered > 0 && acknowledged > 0 && watching.events > 0);
    assertEquals(figures.operations, figures.answered + figures.notApplied + figures.unknown);
  } catch (error) {
    console.log(lines.join("\n"));
    throw error;
  }
});
