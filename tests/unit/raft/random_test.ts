/**
 * The bare core under random faults: many short runs, each decided by its seed (tests/support/raft/random_network.ts).
 *
 * `deno test … random_test.ts -- --seeds=5000 --first-seed=1` runs more of them; `-- --seed=17` runs one again and
 * shows in its failure all that happened.
 */
import { numberOption } from "../../support/seeded_random.ts";
import { RaftNetwork } from "../../support/raft/random_network.ts";

const SEEDS = 600;
const STEPS = 1_500;
/** Number of the last events shown of a failing run. */
const SHOWN_EVENTS = 60;

function runSeed(seed: number, options: { trace: boolean }): string[] {
  using network = new RaftNetwork(seed, options);
  try {
    network.run(STEPS);
    network.mustRecover();
  } catch (error) {
    if (!options.trace) {
      network[Symbol.dispose]();
      return runSeed(seed, { trace: true });
    }
    const shown = numberOption("seed") === null ? network.trace.slice(-SHOWN_EVENTS) : network.trace;
    throw new Error(`Seed ${seed} failed (again: -- --seed=${seed}) after\n${shown.join("\n")}`, {
      cause: error,
    });
  }
  return network.trace;
}

Deno.test("Raft: no run of random faults breaks an invariant of the core, and every majority recovers", () => {
  const only = numberOption("seed");
  if (only !== null) return void runSeed(only, { trace: true });
  const first = numberOption("first-seed") ?? 1;
  const count = numberOption("seeds") ?? SEEDS;
  for (let seed = first; seed < first + count; seed++) runSeed(seed, { trace: false });
});
