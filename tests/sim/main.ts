/**
 * The simulator's command: `deno task sim`.
 *
 *     --seconds N         runs seeds from a random one on for this long (the default: 60)
 *     --seeds A..B        runs these
 *     --seed S            runs one
 *     --users             runs those of the seeds that have authentication on
 *     --keep 3,7          only these of its faults (`--keep none`: none of them)
 *     --trace             writes down everything that happens
 *     --coverage          fails when a listed rare state never occurred
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { campaign, type Failure, type Summary, unvisited } from "./campaign.ts";
import { RARE_STATES } from "./coverage.ts";
import { faultText, planOf } from "./plan.ts";
import { run } from "./run.ts";

const DEFAULT_SECONDS = 60;
/** Interval of the progress lines of a campaign. */
const PROGRESS_INTERVAL_MS = 5_000;

/** The command's flags, as given. */
interface SimFlags {
  readonly seconds?: string | undefined;
  readonly seeds?: string | undefined;
  readonly seed?: string | undefined;
  readonly keep?: string | undefined;
  readonly users: boolean;
  readonly trace: boolean;
  readonly coverage: boolean;
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags === null) {
    console.error(
      "Usage: deno task sim [--seconds N | --seeds A..B | --seed S [--keep 3,7]] [--users] [--trace] [--coverage]",
    );
    return 2;
  }
  if (flags.seed !== undefined) {
    return await replay(Number(flags.seed), { keep: flags.keep ?? null, isTraced: flags.trace });
  }
  const [from, to] = (flags.seeds ?? "").split("..").map(Number);
  const begin = performance.now();
  const seconds = flags.seeds === undefined
    ? Number(flags.seconds ?? DEFAULT_SECONDS)
    : Number.POSITIVE_INFINITY;
  const first = flags.seeds === undefined ? Math.floor(Math.random() * 1e9) : from ?? 1;
  const progress = { seeds: 0, failed: 0, shownAt: begin };
  const summary = await campaign({
    seeds: countFrom(first, {
      last: flags.seeds === undefined ? Number.MAX_SAFE_INTEGER : to ?? first,
      isIncluded: (seed) => !flags.users || planOf(seed).users !== null,
      begin(seed): void {
        const now = performance.now();
        if (now - progress.shownAt < PROGRESS_INTERVAL_MS) return;
        progress.shownAt = now;
        const { seeds, failed } = progress;
        console.error(
          `${seeds} seeds in ${((now - begin) / 1_000).toFixed(0)} s, ${failed} failed; next is ${seed}`,
        );
      },
    }),
    isOver: () => performance.now() - begin > seconds * 1_000,
    onRun: ({ plan: { seed }, violations: [violation] }) => {
      progress.seeds++;
      if (violation === undefined) return;
      progress.failed++;
      console.log(`seed ${seed} failed: ${violation}`);
    },
  });
  for (const failure of summary.failures) tellFailure(failure);
  for (const [state, count] of summary.coverage.entries()) {
    const seed = summary.firstSeeds.get(state);
    const first = seed === undefined ? "" : `, first by seed ${seed}`;
    console.log(`${state.padEnd(24)} ${count}${first}`);
  }
  const missing = flags.coverage ? unvisited(summary.coverage) : [];
  for (const state of missing) console.log(`never happened: ${RARE_STATES[state]} (${state})`);
  console.log(summaryText(summary, performance.now() - begin));
  return summary.failures.length + missing.length > 0 ? 1 : 0;
}

/** Returns the flags; null when it can't be understood. */
function readFlags(args: string[]): SimFlags | null {
  try {
    return parseArgs({
      args,
      options: {
        seconds: { type: "string" },
        seeds: { type: "string" },
        seed: { type: "string" },
        keep: { type: "string" },
        users: { type: "boolean", default: false },
        trace: { type: "boolean", default: false },
        coverage: { type: "boolean", default: false },
      },
    }).values;
  } catch {
    return null;
  }
}

async function replay(
  seed: number,
  { keep, isTraced }: { readonly keep: string | null; readonly isTraced: boolean },
): Promise<number> {
  const plan = planOf(seed);
  const kept = keep?.split(",").map(Number);
  const faults = kept === undefined ? plan.faults : plan.faults.filter(({ id }) => kept.includes(id));
  const { faults: _, ...simulation } = plan;
  console.log(`seed ${seed}: ${JSON.stringify(simulation)}`);
  for (const fault of faults) console.log(faultText(fault));
  const report = await run({ ...plan, faults }, isTraced ? (line) => console.log(line) : null);
  for (const violation of report.violations) console.log(`violation: ${violation}`);
  const { virtualMs, steps, operations, answered, hash } = report;
  console.log(
    `seed ${seed}: ${
      (virtualMs / 1_000).toFixed(1)
    } virtual seconds, ${steps} steps, ${operations} operations ` +
      `(${answered} answered), ${faults.length} faults, hash ${hash}, ${report.violations.length} violations`,
  );
  return report.violations.length > 0 ? 1 : 0;
}

function tellFailure({ seed, violations, kept }: Failure): void {
  console.log(`\nseed ${seed}: ${violations[0]}`);
  for (const fault of kept) console.log(`  ${faultText(fault)}`);
  const keep = kept.map(({ id }) => id).join(",") || "none";
  console.log(`  replay: deno task sim --seed ${seed} --keep ${keep} --trace`);
}

function summaryText(summary: Summary, realMs: number): string {
  const { seeds, virtualMs, operations, faults, undecided, failures } = summary;
  return `${seeds} seeds, ${(virtualMs / 3_600_000).toFixed(2)} virtual hours ` +
    `(${Math.round(virtualMs / realMs)} × real time), ${operations} operations, ${faults} faults, ` +
    `${undecided} histories undecided, ` +
    `${failures.length} violations`;
}

function* countFrom(
  first: number,
  { last, isIncluded, begin }: {
    readonly last: number;
    readonly isIncluded: (seed: number) => boolean;
    readonly begin: (seed: number) => void;
  },
): Iterable<number> {
  for (let seed = first; seed <= last; seed++) {
    if (!isIncluded(seed)) continue;
    begin(seed);
    yield seed;
  }
}
