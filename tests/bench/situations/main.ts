/**
 * `deno task bench:situations`: measures kvraft under failures, pauses and growth, each situation against its goal.
 *
 * Writes docs/benchmarks/situations.md, situations.json and growth.svg after each situation, so that an early end loses
 * none; situations that are not measured keep their last results.
 */
import { join } from "@std/path";
import { integerOfText, type OptionSpec, optionUsage, parseArguments } from "../../../lib/cli/arguments.ts";
import { UsageError } from "../../../lib/cli/errors.ts";
import { columns } from "../../../lib/cli/help.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { machineOf } from "../machine.ts";
import { markdownTable } from "../page.ts";
import { say } from "../say.ts";
import { type Figure, mergeResults, rowsOf, type SituationResults } from "./figures.ts";
import { denokv } from "./denokv/denokv.ts";
import { etcd } from "./etcd/etcd.ts";
import { etcdList } from "./etcd/etcd_list.ts";
import { besideEarlier } from "./store/beside_earlier.ts";
import { followerStopped } from "./follower_stopped.ts";
import { growth } from "./growth.ts";
import { growthPlot } from "./growth_plot.ts";
import { httpCost } from "./http_cost.ts";
import { hourOfLoad } from "./store/hour_of_load.ts";
import { idle } from "./idle.ts";
import { Lab, type Situation } from "./lab.ts";
import { leaderKilled } from "./leader_killed.ts";
import { leases } from "./leases.ts";
import { manyConnections } from "./many_connections.ts";
import { manyKeys } from "./store/many_keys.ts";
import { memory } from "./store/memory.ts";
import { mixedSizes } from "./mixed_sizes.ts";
import { overload } from "./overload.ts";
import { cellsOf, type Situations, situationsPage } from "./page.ts";
import { security } from "./security/security.ts";
import { pauses } from "./store/pauses.ts";
import { readsSpread } from "./reads_spread.ts";
import { readsUnderLease } from "./reads_under_lease.ts";
import { startUp } from "./start_up.ts";
import { tenMillionKeys } from "./store/ten_million_keys.ts";
import { watchers } from "./watch/watchers.ts";

const SITUATIONS: readonly Situation[] = [
  leaderKilled,
  idle,
  overload,
  followerStopped,
  memory,
  hourOfLoad,
  pauses,
  manyKeys,
  tenMillionKeys,
  besideEarlier,
  mixedSizes,
  readsSpread,
  readsUnderLease,
  startUp,
  manyConnections,
  leases,
  watchers,
  growth,
  httpCost,
  security,
  denokv,
  etcd,
  etcdList,
];

const OPTIONS: readonly OptionSpec[] = [
  { name: "quick", placeholder: null, help: "measure each once, in short form, to check that it works" },
  { name: "only", placeholder: "<text>", help: "only situations whose name contains this" },
  { name: "rounds", placeholder: "<n>", help: "measurements of each (1 or 3)" },
  {
    name: "stopped-seconds",
    placeholder: "<n>",
    help: "how long a follower is suspended (30; the goal: 600)",
  },
  {
    name: "speed-up",
    placeholder: "<n>",
    help: "how much faster the load of an hour is put (10; 1 takes the hour)",
  },
  { name: "output", placeholder: "<folder>", help: "where everything is written (docs/benchmarks)" },
  { name: "help", placeholder: null, help: "explain, and do nothing" },
];

/** The options of a run. */
interface Plan {
  readonly isQuick: boolean;
  /** Null for the default of each situation. */
  readonly rounds: number | null;
  readonly stoppedSeconds: number;
  readonly speedUp: number;
  readonly situations: readonly Situation[];
  readonly output: string;
  readonly command: string;
}

/** Parses the command line; throws UsageError. */
function planOf(args: readonly string[]): Plan | null {
  const { options } = parseArguments(args, OPTIONS);
  if (options.has("help")) return null;
  const isQuick = options.has("quick");
  const only = options.get("only") ?? "";
  const situations = SITUATIONS.filter(({ name }) => name.includes(only));
  if (situations.length === 0) {
    const names = SITUATIONS.map(({ name }) => name).join(", ");
    throw new UsageError(`--only: no situation has "${only}" in its name; there are ${names}.`);
  }
  const integer = (name: string, max: number): number | null => {
    const text = options.get(name);
    return text === undefined ? null : integerOfText(text, { name: `--${name}`, min: 1, max });
  };
  return {
    isQuick,
    rounds: integer("rounds", 100) ?? (isQuick ? 1 : null),
    stoppedSeconds: integer("stopped-seconds", 3_600) ?? (isQuick ? 5 : 30),
    speedUp: integer("speed-up", 100) ?? 10,
    situations,
    output: options.get("output") ?? join(CHECKOUT, "docs", "benchmarks"),
    command: ["deno task bench:situations", ...args].join(" "),
  };
}

/** Measures one situation; a failure is printed, and does not end the others. */
async function measure(situation: Situation, plan: Plan, end: AbortSignal): Promise<SituationResults> {
  const rounds = plan.rounds ?? situation.rounds;
  const loadAverage = Deno.loadavg()[0] ?? 0;
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (let round = 1; round <= rounds && !end.aborted; round++) {
    say(`${situation.name}, round ${round} of ${rounds}`);
    await using lab = new Lab({ ...plan, say });
    const clear = (): void => void lab[Symbol.asyncDispose]();
    end.addEventListener("abort", clear);
    try {
      figures.push(...await situation.measure(lab));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      say(`  failed: ${why}`);
      failures.push(why.split("\n", 1)[0] ?? "");
    } finally {
      end.removeEventListener("abort", clear);
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  return { name: situation.name, date, isQuick: plan.isQuick, rounds, loadAverage, figures, failures };
}

function resultsBefore(path: string): readonly SituationResults[] {
  try {
    const before: Situations = JSON.parse(Deno.readTextFileSync(path));
    return before.situations;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Writes all output files and formats them. */
async function write(folder: string, all: Situations): Promise<void> {
  Deno.mkdirSync(folder, { recursive: true });
  const abouts = Object.fromEntries(SITUATIONS.map(({ name, about }) => [name, about]));
  const svg = growthPlot(all.situations.flatMap(({ figures }) => figures));
  const texts = {
    "situations.json": JSON.stringify(all),
    "situations.md": situationsPage(all, abouts),
    ...(svg === null ? {} : { "growth.svg": svg }),
  };
  const paths = Object.entries(texts).map(([name, text]) => {
    Deno.writeTextFileSync(join(folder, name), text);
    return join(folder, name);
  });
  const args = ["fmt", "--quiet", `--config=${join(CHECKOUT, "deno.json")}`, ...paths];
  await new Deno.Command(Deno.execPath(), { args }).output();
}

async function run(plan: Plan): Promise<void> {
  Deno.mkdirSync(join(CHECKOUT, ".cache"), { recursive: true });
  const machine = await machineOf(join(CHECKOUT, ".cache"));
  const before = resultsBefore(join(plan.output, "situations.json"));
  const names = SITUATIONS.map(({ name }) => name);
  const end = new AbortController();
  const onSignal = (): void => end.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  const results: SituationResults[] = [];
  for (const situation of plan.situations) {
    if (end.signal.aborted) break;
    const startedAt = performance.now();
    const result = await measure(situation, plan, end.signal);
    if (end.signal.aborted) break;
    results.push(result);
    const rows = rowsOf(result.figures).map((row) => cellsOf(situation.name, row).slice(1));
    say(markdownTable(["figure", "goal", "median", "least – greatest", "of", ""], rows).join("\n"));
    say(`  took ${((performance.now() - startedAt) / 1_000).toFixed(0)} s\n`);
    const { command } = plan;
    await write(plan.output, { command, machine, situations: mergeResults(before, results, names) });
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, onSignal);
  if (results.length > 0) say(`Written: ${plan.output}/situations.md, situations.json, growth.svg`);
  if (results.some(({ failures }) => failures.length > 0) || end.signal.aborted) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    const plan = planOf(Deno.args);
    if (plan === null) {
      const usage = columns(OPTIONS.map((one) => [optionUsage(one), one.help]));
      say(`deno task bench:situations [options]\n\n${usage}`);
    } else await run(plan);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    say(error.message);
    Deno.exit(2);
  }
}
