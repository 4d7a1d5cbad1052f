/** Runs many seeds, counts the visited states, and reduces the faults of a failing seed. */
import { Coverage, type RareState } from "./coverage.ts";
import { type Fault, planOf } from "./plan.ts";
import { run, type RunReport } from "./run.ts";

/** Most runs of one reduction. */
const MAX_SHRINK_RUNS = 150;

/** A seed that failed. */
export interface Failure {
  readonly seed: number;
  readonly violations: readonly string[];
  /** The reduced faults with which it still fails. */
  readonly kept: readonly Fault[];
}

/** The results of a campaign. */
export interface Summary {
  readonly seeds: number;
  readonly virtualMs: number;
  readonly steps: number;
  readonly operations: number;
  readonly faults: number;
  /** Histories that the checker could not decide within its bounds. */
  readonly undecided: number;
  readonly failures: readonly Failure[];
  readonly coverage: Coverage;
  /** The first seed that visited each state. */
  readonly firstSeeds: ReadonlyMap<RareState, number>;
}

/** Options of a campaign. */
export interface CampaignOptions {
  /** The seeds, in order. */
  readonly seeds: Iterable<number>;
  /** Asked before each seed; true ends the campaign. */
  readonly isOver: () => boolean;
  /** Called after each run. */
  readonly onRun: (report: RunReport) => void;
}

/** Runs the seeds, until the end of the list or of the campaign. Reduces a failed seed at once. */
export async function campaign({ seeds, isOver, onRun }: CampaignOptions): Promise<Summary> {
  const coverage = new Coverage();
  const firstSeeds = new Map<RareState, number>();
  const failures: Failure[] = [];
  const sums = { seeds: 0, virtualMs: 0, steps: 0, operations: 0, faults: 0, undecided: 0 };
  for (const seed of seeds) {
    if (isOver()) break;
    const report = await run(planOf(seed));
    onRun(report);
    coverage.add(report.coverage);
    for (const [state, count] of report.coverage.entries()) {
      if (count > 0 && !firstSeeds.has(state)) firstSeeds.set(state, seed);
    }
    sums.seeds += 1;
    sums.virtualMs += report.virtualMs;
    sums.steps += report.steps;
    sums.operations += report.operations;
    sums.faults += report.faults;
    sums.undecided += Number(report.verdict === "undecided");
    if (report.violations.length === 0) continue;
    failures.push({ seed, violations: report.violations, kept: await shrink(report) });
  }
  return { ...sums, failures, coverage, firstSeeds };
}

/** Returns the listed rare states that never occurred. */
export function unvisited(coverage: Coverage): RareState[] {
  return coverage.entries().flatMap(([state, count]) => count === 0 ? [state] : []);
}

/**
 * Removes faults, first many at a time and then one by one, while the run still fails with the same kind of violation
 * (delta debugging). The result need not be minimal.
 */
async function shrink({ plan, violations: [first = ""] }: RunReport): Promise<readonly Fault[]> {
  let kept = plan.faults;
  let runs = 0;
  for (let share = Math.ceil(kept.length / 2); share >= 1; share = share === 1 ? 0 : Math.ceil(share / 2)) {
    for (let begin = 0; begin < kept.length;) {
      runs += 1;
      if (runs > MAX_SHRINK_RUNS) return kept;
      const fewer = [...kept.slice(0, begin), ...kept.slice(begin + share)];
      const { violations } = await run({ ...plan, faults: fewer });
      if (violations.some((one) => sortOf(one) === sortOf(first))) kept = fewer;
      else begin += share;
    }
  }
  return kept;
}

/** Returns a violation without ids and counts: two with the same text are one finding. */
function sortOf(violation: string): string {
  return violation.split("\n", 1)[0]?.replaceAll(/[0-9.]+/g, "#") ?? "";
}
