/**
 * The torture's command: `deno task torture`.
 *
 *     --seconds N      duration, in trials of 45 seconds plus the time to heal (the default: 60)
 *     --nodes 3|5      servers of each trial (the default: 3 and 5 by turns)
 *     --seed S         seed of the first trial (random); the ones after it have the next ones
 *     --auth           clients sign in, and the right of a user to write is taken and given again and again (rights.ts)
 *     --compactions N  in place of trials: kill -9 in the middle of N snapshots (compaction.ts)
 *
 * Real servers from source on loopback, their links through proxies, clients, and a nemesis. The last line
 * is a summary. A trial that fails leaves its logs and its history in data/torture, and the exit code is 1.
 */
// deno-lint-ignore-file no-console -- this is a command
import { join } from "@std/path";
import { parseArgs } from "node:util";
import type { WatchFigures } from "../../lib/lincheck/mod.ts";
import { CHECKOUT } from "../support/checkout.ts";
import type { Fault } from "./nemesis.ts";
import { killInCompactions } from "./compaction.ts";
import { runTrial, TrialError, type TrialReport } from "./trial.ts";

const DEFAULT_SECONDS = 60;
const TRIAL_MS = 45_000;
const MAX_SEED = 1_000_000_000;
const SIZES = [3, 5];

/** The command line options. */
interface Flags {
  readonly seconds: number;
  /** Null: by turns. */
  readonly nodes: number | null;
  readonly seed: number;
  /** Null: trials. */
  readonly compactions: number | null;
  readonly hasUsers: boolean;
}

if (import.meta.main) Deno.exit(await main(flagsOf(Deno.args)));

function flagsOf(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: "string" },
      nodes: { type: "string" },
      seed: { type: "string" },
      compactions: { type: "string" },
      auth: { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  const nodes = values.nodes === undefined ? null : Number(values.nodes);
  const seed = Number(values.seed ?? Math.floor(Math.random() * MAX_SEED));
  const compactions = values.compactions === undefined ? null : Number(values.compactions);
  if (
    !(seconds > 0) || (nodes !== null && !SIZES.includes(nodes)) || !Number.isSafeInteger(seed) ||
    !Number.isSafeInteger(compactions ?? 1)
  ) {
    console.error(
      "Usage: deno task torture [--seconds <n>] [--nodes 3|5] [--seed <n>] [--auth] [--compactions <n>]",
    );
    Deno.exit(2);
  }
  return { seconds, nodes, seed, compactions, hasUsers: values.auth };
}

async function main({ seconds, nodes, seed: firstSeed, compactions, hasUsers }: Flags): Promise<number> {
  const startedAt = performance.now();
  if (compactions !== null) {
    const tell = (line: string): void => console.log(`  ${secondsSince(startedAt).padStart(6)} s  ${line}`);
    await killInCompactions({ kills: compactions, seed: firstSeed, tell });
    return 0;
  }
  const isOver = (): boolean => performance.now() - startedAt >= seconds * 1_000;
  const reports: TrialReport[] = [];
  for (let trial = 0; trial === 0 || !isOver(); trial++) {
    const seed = firstSeed + trial;
    const size = nodes ?? SIZES[trial % SIZES.length] ?? 3;
    console.log(`trial ${trial + 1}: ${size} nodes, seed ${seed}`);
    const begin = performance.now();
    try {
      const report = await runTrial({
        nodes: size,
        seed,
        hasUsers,
        goesOn: ({ elapsedMs }) => elapsedMs < TRIAL_MS && !isOver(),
        tell: (line) => console.log(`  ${secondsSince(begin).padStart(6)} s  ${line}`),
      });
      reports.push(report);
      console.log(`  ${secondsSince(begin).padStart(6)} s  ${trialText(report)}`);
    } catch (error) {
      console.log(
        `  ${secondsSince(begin).padStart(6)} s  FAILED: ${error instanceof Error ? error.message : error}`,
      );
      keepEvidence(error, seed);
      console.log(
        `again, with the same faults: deno task torture --nodes ${size} --seed ${seed} --seconds 45${
          hasUsers ? " --auth" : ""
        }`,
      );
      console.log(`${summaryText(reports, startedAt)}, and 1 that failed (seed ${seed})`);
      return 1;
    }
  }
  console.log(`${summaryText(reports, startedAt)} (seeds ${firstSeed} to ${firstSeed + reports.length - 1})`);
  return 0;
}

function secondsSince(begin: number): string {
  return ((performance.now() - begin) / 1_000).toFixed(1);
}

function trialText({ figures, watching, acknowledged, struck, rights }: TrialReport): string {
  const { operations, unknown, notApplied, longestWithoutWriteMs } = figures;
  const quiet = ((longestWithoutWriteMs ?? 0) / 1_000).toFixed(1);
  return `linearizable: ${operations} operations (${notApplied} failed, ${unknown} of unknown outcome), ` +
    `${watchText([watching])}, ` +
    `${acknowledged} numbered writes acknowledged and found, ${faultCount([...struck.values()])} faults, ` +
    `longest time without a write ${quiet} s${rightsText(rights)}`;
}

function summaryText(reports: readonly TrialReport[], startedAt: number): string {
  const sum = (of: (report: TrialReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const struck = new Map<Fault, number>();
  for (const report of reports) {
    for (const [fault, count] of report.struck) struck.set(fault, (struck.get(fault) ?? 0) + count);
  }
  const faults = [...struck].sort().map(([fault, count]) => `${fault} ${count}`).join(", ");
  return `${reports.length} trials in ${secondsSince(startedAt)} s, all linearizable with equal replicas: ` +
    `${sum(({ figures }) => figures.operations)} operations (${
      sum(({ figures }) => figures.unknown)
    } of unknown ` +
    `outcome), ${watchText(reports.map(({ watching }) => watching))}, ${
      sum(({ acknowledged }) => acknowledged)
    } numbered writes acknowledged and found, ` +
    `${faultCount([...struck.values()])} faults (${faults})`;
}

/** Returns `; a right was taken 30 times, …`. */
function rightsText(rights: TrialReport["rights"]): string {
  if (rights === null) return "";
  const { taken, acknowledged, refused } = rights;
  return `; a right was taken ${taken} times, with ${acknowledged} writes by it and ${refused} refused`;
}

/** Returns `120 watches right: 48123 events, 3 resets`. */
function watchText(figures: readonly WatchFigures[]): string {
  const sum = (of: (figures: WatchFigures) => number): number =>
    figures.reduce((total, each) => total + of(each), 0);
  return `${sum(({ watches }) => watches)} watches right: ${sum(({ events }) => events)} events, ${
    sum(({ resets }) => resets)
  } resets, ${sum(({ leaseEnds }) => leaseEnds)} ends of leases`;
}

function faultCount(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function keepEvidence(error: unknown, seed: number): void {
  if (!(error instanceof TrialError)) return;
  const folder = join(CHECKOUT, "data", "torture", `seed-${seed}`);
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(join(folder, "nodes.log"), error.logs);
  Deno.writeTextFileSync(join(folder, "history.json"), JSON.stringify(error.run));
  console.log(`what the nodes logged and what the clients saw is in ${folder}`);
}
