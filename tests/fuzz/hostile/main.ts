/**
 * The command of the hostile programs: `deno task fuzz:hostile`.
 *
 *     --seconds N      duration (the default: 60)
 *     --nodes 1|3      real servers on loopback: one, or three of a cluster of four (the default: 3)
 *     --peer-secret    the real servers have a peer secret, which the hostile programs do not know
 *     --auth           clients must sign in: the hostile programs are one that does not, a user without rights, one with
 *                      rights over a prefix, and in the second half an operator; with a peer secret, or --tls
 *     --tls            the real servers' ports have TLS: hostile bytes before, during and after handshakes, too
 *     --denokv         attacks the port of Deno KV in place of the nodes' own
 *     --etcd           attacks the port for etcd's clients in place of the nodes' own
 *     --simulated      simulated servers in place of real ones, seed after seed
 *     --seed S         of the hostile programs, or the first of the simulated ones (random)
 *     --seeds A..B     these simulated ones, and no others
 *     --trace          writes down everything that happens in them
 *
 * It prints its progress every minute, and exits with 1 as soon as a node has ended, a term has changed, or another
 * client was not served.
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { attackDenokv } from "../denokv/processes.ts";
import { attackEtcd } from "../etcd/processes.ts";
import { reportText, runAgainstProcesses } from "./processes.ts";
import { type HostileReport, runSimulated, scenarioOf } from "./simulated.ts";

const DEFAULT_SECONDS = 60;
const TELL_MS = 60_000;
const MAX_SEED = 2 ** 31;

/** The options of a run. */
interface Flags {
  readonly seconds: number;
  readonly nodes: 1 | 3;
  readonly hasSecret: boolean;
  readonly hasUsers: boolean;
  readonly hasTls: boolean;
  readonly isDenokv: boolean;
  readonly isEtcd: boolean;
  readonly seed: number;
  /** First and last seed; null when the duration decides. */
  readonly seeds: readonly [number, number] | null;
  readonly isSimulated: boolean;
  readonly isTraced: boolean;
}

if (import.meta.main) Deno.exit(await main(flagsOf(Deno.args)));

function flagsOf(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: "string", default: `${DEFAULT_SECONDS}` },
      nodes: { type: "string", default: "3" },
      seed: { type: "string" },
      seeds: { type: "string" },
      "peer-secret": { type: "boolean", default: false },
      auth: { type: "boolean", default: false },
      tls: { type: "boolean", default: false },
      denokv: { type: "boolean", default: false },
      etcd: { type: "boolean", default: false },
      simulated: { type: "boolean", default: false },
      trace: { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  const seed = Number(values.seed ?? Math.floor(Math.random() * MAX_SEED));
  const [first = Number.NaN, last = Number.NaN] = values.seeds?.split("..").map(Number) ?? [seed, seed];
  const isNodes = values.nodes === "1" || values.nodes === "3";
  if (!isNodes || !(seconds > 0) || ![seed, first, last].every(Number.isSafeInteger)) {
    console.error(
      "Usage: deno task fuzz:hostile [--seconds <n>] [--nodes 1|3] [--peer-secret] [--auth] [--tls] [--denokv] " +
        "[--etcd] [--simulated] [--seed <n>] [--seeds <n>..<n>] [--trace]",
    );
    Deno.exit(2);
  }
  return {
    seconds,
    nodes: values.nodes === "1" ? 1 : 3,
    hasSecret: values["peer-secret"],
    hasUsers: values.auth,
    hasTls: values.tls,
    isDenokv: values.denokv,
    isEtcd: values.etcd,
    seed,
    seeds: values.seeds === undefined ? null : [first, last],
    isSimulated: values.simulated || values.seeds !== undefined,
    isTraced: values.trace,
  };
}

async function main(flags: Flags): Promise<number> {
  if (flags.isSimulated) return await simulate(flags);
  const { nodes, hasSecret, hasUsers, hasTls, isDenokv, isEtcd, seconds, seed } = flags;
  console.log(`${nodes === 1 ? "one node" : "three nodes"} for ${seconds} s with --seed ${seed}`);
  const tell = (line: string): void => console.log(line);
  if (isDenokv) return exitCodeOf(await attackDenokv({ nodes, seconds, seed, tell }));
  if (isEtcd) return exitCodeOf(await attackEtcd({ nodes, seconds, seed, tell }));
  const report = await runAgainstProcesses({
    nodes,
    hasSecret,
    hasUsers,
    hasTls,
    seconds,
    seed,
    tell,
  });
  console.log(reportText(report, seconds));
  return exitCodeOf(report.problems);
}

function exitCodeOf(problems: readonly string[]): number {
  for (const problem of problems) console.log(`FAILED: ${problem}`);
  return problems.length > 0 ? 1 : 0;
}

async function simulate({ seconds, seed, seeds, isTraced }: Flags): Promise<number> {
  const begin = performance.now();
  const [first, last] = seeds ?? [seed, Number.POSITIVE_INFINITY];
  const isOver = (): boolean => seeds === null && performance.now() - begin > seconds * 1_000;
  const sums = { runs: 0, frames: 0, failed: 0, longestWaitMs: 0 };
  let reportedMs = begin;
  for (let next = first; next <= last && !isOver(); next++) {
    const report = await runSimulated(next, { trace: isTraced ? (line): void => console.log(line) : null });
    sums.runs += 1;
    sums.frames += framesOf(report);
    sums.failed += Number(report.problems.length > 0);
    if (scenarioOf(next).claims === "none") {
      sums.longestWaitMs = Math.max(sums.longestWaitMs, Math.round(report.longestWaitMs));
    }
    if (seeds !== null) tellRun(report);
    for (const problem of report.problems) console.log(`seed ${next} FAILED: ${problem}`);
    if (performance.now() - reportedMs < TELL_MS) continue;
    reportedMs = performance.now();
    console.log(`after ${Math.round((reportedMs - begin) / 1_000)} s: ${JSON.stringify(sums)}`);
  }
  console.log(`simulated from seed ${first} on: ${JSON.stringify(sums)}`);
  return sums.failed > 0 ? 1 : 0;
}

function framesOf({ frames }: HostileReport): number {
  return [...frames.values()].reduce((sum, count) => sum + count, 0);
}

function tellRun(report: HostileReport): void {
  const { seed, longestWaitMs, calls, hash } = report;
  console.log(
    `seed ${seed} (${JSON.stringify(scenarioOf(seed))}): ${framesOf(report)} frames, ` +
      `${calls} calls of another client, longest wait ${longestWaitMs.toFixed(0)} ms, hash ${hash}`,
  );
}
