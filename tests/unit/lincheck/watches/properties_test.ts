/** Runs of a right store are accepted; the same runs with one wrong notice are refused. */
import { assert, assertEquals } from "@std/assert";
import { checkWatches, type WatchedRun, type WatchVerdict } from "../../../../lib/lincheck/mod.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { verdictOf } from "../support.ts";
import { corrupted, CORRUPTIONS } from "./corruptions.ts";
import { simulateWatches, type WatchedWorkload } from "./watched_store.ts";

const RUNS = 80;

function runOf(seed: number, differences: Partial<WatchedWorkload> = {}): WatchedRun {
  const random = new SeededRandom(seed);
  return simulateWatches({
    random: () => random.next(),
    operations: 80,
    keys: 1 + seed % 6,
    watches: 6,
    unknown: 0.1 * (seed % 3),
    leases: 0.2 * (seed % 4),
    resets: 0.3 * (seed % 2),
    ...differences,
  });
}

/** Returns what is wrong, as a text. */
function problemsOf(verdict: WatchVerdict): string {
  return verdict.kind === "violation" ? JSON.stringify(verdict.findings.slice(0, 3)) : "";
}

Deno.test("checkWatches: runs of a correct store are accepted, and linearizable with what the watches showed", () => {
  const seen = { events: 0, resets: 0, resolved: 0, leaseEnds: 0, watches: 0, revisions: 0 };
  for (let seed = 1; seed <= RUNS; seed++) {
    const run = runOf(seed);
    const verdict = checkWatches(run);
    assert(verdict.kind === "consistent", `seed ${seed}: ${problemsOf(verdict)}`);
    assertEquals(verdictOf(verdict.history).kind, "linearizable", `seed ${seed}`);
    for (const name of ["events", "resets", "resolved", "leaseEnds"] as const) {
      seen[name] += verdict.figures[name];
    }
  }
  assert(
    seen.events > 5_000 && seen.resets > 30 && seen.resolved > 50 && seen.leaseEnds > 30,
    JSON.stringify(seen),
  );
});

for (const kind of CORRUPTIONS) {
  Deno.test(`checkWatches: a run with one wrong notice is refused: ${kind}`, () => {
    let tried = 0;
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = new SeededRandom(seed);
      const wrong = corrupted(runOf(seed), { kind, random: () => random.next() });
      if (wrong === null) continue;
      tried += 1;
      assertEquals(checkWatches(wrong).kind, "violation", `seed ${seed}`);
    }
    assert(tried > RUNS / 4, `only ${tried} runs had something to corrupt`);
  });
}
