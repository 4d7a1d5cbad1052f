/**
 * `deno task bench`: kvraft beside etcd, antietcd and a bare echo, on one machine, one disk, with one generator.
 *
 * Everybody is started once, with empty folders, and worked warm. Each round takes the workloads in their order; each
 * workload is measured on one peer after the other, in turn from either end, so that what disturbs the machine for a
 * while disturbs all of them. Writes docs/benchmarks: the page, the plot, and everything that was measured.
 */
import { join } from "@std/path";
import { integerOfText, type OptionSpec, optionUsage, parseArguments } from "../../lib/cli/arguments.ts";
import { UsageError } from "../../lib/cli/errors.ts";
import { columns } from "../../lib/cli/help.ts";
import { CHECKOUT } from "../support/checkout.ts";
import { denoCommand } from "../support/processes/process.ts";
import type { Assignment, GeneratorAnswer } from "./generator_main.ts";
import { machineOf } from "./machine.ts";
import { type Measurement, measurementOf } from "./measurements.ts";
import { page, type Results, summary } from "./page.ts";
import { type Peer, PEERS, type RunningPeer } from "./peers/peers.ts";
import { plot } from "./plot.ts";
import { say } from "./say.ts";
import { sharesOf } from "./shares.ts";
import {
  LARGE_VALUE_BYTES,
  PEER_NAMES,
  type PeerName,
  WARM_UP,
  WARM_UP_SECONDS,
  type Workload,
  WORKLOADS,
} from "./workloads.ts";

/** A generator is new for every measurement, and has to become warm too. */
const LEAST_WARM_UP_MS = 500;

const OPTIONS: readonly OptionSpec[] = [
  { name: "quick", placeholder: null, help: "the main rows, three short rounds: within five minutes" },
  { name: "rounds", placeholder: "<n>", help: "how often each row is measured (5)" },
  {
    name: "seconds",
    placeholder: "<n>",
    help: "how long each measurement takes, beside a warm-up of a fifth of it, at least 0.5 s (5)",
  },
  { name: "peer", placeholder: "<names>", help: "beside whom: etcd,antietcd,echo (all that are here)" },
  { name: "only", placeholder: "<text>", help: "only rows whose name has this in it" },
  {
    name: "generators",
    placeholder: "<n>",
    help: "processes that make the load, each with a part of the clients (1)",
  },
  {
    name: "output",
    placeholder: "<folder>",
    help: "where page, plot and figures are written (docs/benchmarks)",
  },
  { name: "help", placeholder: null, help: "explain, and do nothing" },
];

/** What was asked for. */
interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly generators: number;
  readonly peers: readonly PeerName[];
  readonly workloads: readonly Workload[];
  readonly output: string;
  readonly command: string;
}

/** Throws UsageError. */
function planOf(args: readonly string[]): Plan | null {
  const { options } = parseArguments(args, OPTIONS);
  if (options.has("help")) return null;
  const isQuick = options.has("quick");
  const count = (name: string, fallback: number): number =>
    integerOfText(options.get(name) ?? `${fallback}`, { name: `--${name}`, min: 1, max: 1_000 });
  const named = (options.get("peer") ?? PEER_NAMES.join(",")).split(",");
  const stranger = named.find((name) => !PEER_NAMES.some((known) => known === name));
  if (stranger !== undefined) {
    throw new UsageError(`--peer: there is no "${stranger}"; there are ${PEER_NAMES.join(", ")}.`);
  }
  const only = options.get("only") ?? "";
  const workloads = WORKLOADS.filter(({ name, isMain }) => name.includes(only) && (isMain || !isQuick));
  if (workloads.length === 0) throw new UsageError(`--only: no row has "${only}" in its name.`);
  return {
    rounds: count("rounds", isQuick ? 3 : 5),
    seconds: count("seconds", isQuick ? 2 : 5),
    generators: count("generators", 1),
    peers: PEER_NAMES.filter((name) => name === "kvraft" || named.includes(name)),
    workloads,
    output: options.get("output") ?? join(CHECKOUT, "docs", "benchmarks"),
    command: ["deno task bench", ...args].join(" "),
  };
}

/** Runs one generator to its end. */
async function generate(assignment: Assignment): Promise<GeneratorAnswer> {
  const [program, ...args] = denoCommand("tests/bench/generator_main.ts", {
    permissions: ["--allow-all"],
    args: [JSON.stringify(assignment)],
  });
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout));
  throw new Error(`The generator for ${assignment.peer} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** Measures one peer under one workload. */
async function measure(
  { peer, running, workload, round, loadsKeys, plan }: {
    readonly peer: PeerName;
    readonly running: RunningPeer;
    readonly workload: Workload;
    readonly round: number;
    readonly loadsKeys: boolean;
    readonly plan: Plan;
  },
): Promise<Measurement> {
  const { load, connections, name } = workload;
  const durationMs = plan.seconds * 1_000;
  const warmupMs = Math.max(LEAST_WARM_UP_MS, durationMs / 5);
  const assignment: Assignment = {
    peer,
    addresses: running.addresses,
    connections,
    load: { ...load, ratePerSecond: null, warmupMs, durationMs },
    prefix: "bench/",
    loadsKeys,
  };
  const cpuBefore = running.cpuMs();
  const answers = await Promise.all(sharesOf(assignment, plan.generators).map(generate));
  const cpuMs = running.cpuMs().map((after, node) => after - (cpuBefore[node] ?? 0));
  return measurementOf(answers, {
    round,
    workload: name,
    peer,
    residentBytes: running.residentBytes(),
    cpuMs,
  });
}

/**
 * All rounds. Everybody runs from the first to the last, as servers do, and is warm before it: two of them compile what
 * runs often while it runs. What was measured goes to `measured` at once, so that an early end loses none.
 */
async function runRounds(
  { plan, peers, measured, isEnding }: {
    readonly plan: Plan;
    readonly peers: readonly Peer[];
    readonly measured: Measurement[];
    readonly isEnding: () => boolean;
  },
): Promise<void> {
  await using owner = new AsyncDisposableStack();
  const folder = join(CHECKOUT, ".cache", "bench", "data");
  owner.defer(() => Deno.remove(folder, { recursive: true }));
  const running = new Map<PeerName, RunningPeer>();
  for (const peer of peers) {
    const own = join(folder, peer.name);
    Deno.mkdirSync(own, { recursive: true });
    running.set(peer.name, owner.use(await peer.start(own)));
  }
  for (const [peer, nodes] of running) {
    if (isEnding()) return;
    const warmUp = { ...plan, seconds: WARM_UP_SECONDS };
    await measure({ peer, running: nodes, workload: WARM_UP, round: 0, loadsKeys: false, plan: warmUp });
  }
  const loaded = new Set<string>();
  for (let round = 1; round <= plan.rounds; round++) {
    await runRound(round, { plan, running, loaded, measured, isEnding });
  }
}

/** Every row once, the peers one after the other. */
async function runRound(
  round: number,
  { plan, running, loaded, measured, isEnding }: {
    readonly plan: Plan;
    readonly running: ReadonlyMap<PeerName, RunningPeer>;
    /** Which keys of which size somebody has. */
    readonly loaded: Set<string>;
    readonly measured: Measurement[];
    readonly isEnding: () => boolean;
  },
): Promise<void> {
  const order = [...running.keys()];
  for (const workload of plan.workloads) {
    for (const peer of order) {
      const nodes = running.get(peer);
      if (nodes === undefined || isEnding()) continue;
      // Reads find the values that they are to read, whatever was put under the keys before.
      const keys = `${peer} ${workload.load.keyCount} ${workload.load.valueBytes}`;
      const loadsKeys = peer !== "echo" && workload.load.mix.get > 0 && !loaded.has(keys);
      if (loadsKeys) loaded.add(keys);
      try {
        const one = await measure({ peer, running: nodes, workload, round, loadsKeys, plan });
        measured.push(one);
        say(lineOf(one));
      } catch (error) {
        // One row less of half an hour's work: the page shows that it is not there.
        say(error instanceof Error ? error.message : String(error));
      }
    }
    order.reverse();
  }
}

function lineOf(measurement: Measurement): string {
  const { round, workload, peer, throughput, p50Ms, p99Ms, errors, generator, cpuMicroseconds } = measurement;
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  return [
    `${round}  ${workload.padEnd(36)}  ${peer.padEnd(8)}`,
    `${throughput.toFixed(0).padStart(9)}/s`,
    `p50 ${p50Ms.toFixed(2).padStart(7)} ms`,
    `p99 ${p99Ms.toFixed(2).padStart(8)} ms`,
    `CPU ${cpuMicroseconds.map((one) => one.toFixed(0)).join(" + ")} µs`,
    `generator ${(generator.cpuShare * 100).toFixed(0).padStart(3)} %`,
    ...(failed > 0 ? [`${failed} errors`] : []),
  ].join("  ");
}

/** Writes files, formatted as everything in the checkout is. */
async function write(folder: string, texts: Readonly<Record<string, string>>): Promise<void> {
  Deno.mkdirSync(folder, { recursive: true });
  const paths = Object.entries(texts).map(([name, text]) => {
    Deno.writeTextFileSync(join(folder, name), text);
    return join(folder, name);
  });
  const args = ["fmt", "--quiet", `--config=${join(CHECKOUT, "deno.json")}`, ...paths];
  await new Deno.Command(Deno.execPath(), { args }).output();
}

async function run(plan: Plan): Promise<void> {
  const peers: Peer[] = [];
  const versions: Partial<Record<PeerName, string>> = {};
  for (const peer of PEERS.filter(({ name }) => plan.peers.includes(name))) {
    const availability = await peer.availability();
    if (availability.kind === "missing") {
      say(`${peer.name} is left out: ${availability.why}.`);
      continue;
    }
    peers.push(peer);
    versions[peer.name] = availability.version;
  }
  let isEnding = false;
  const end = (): void => {
    isEnding = true;
  };
  Deno.addSignalListener("SIGINT", end);
  const machine = await machineOf(join(CHECKOUT, ".cache"));
  const measurements: Measurement[] = [];
  const isLarge = ({ load }: Workload): boolean => load.valueBytes >= LARGE_VALUE_BYTES;
  const groups = [
    { peers, workloads: plan.workloads.filter((one) => !isLarge(one)) },
    { peers: peers.filter(({ name }) => name !== "antietcd"), workloads: plan.workloads.filter(isLarge) },
  ];
  for (const group of groups) {
    if (group.workloads.length === 0) continue;
    await runRounds({
      plan: { ...plan, workloads: group.workloads },
      peers: group.peers,
      measured: measurements,
      isEnding: () => isEnding,
    });
  }
  const { command, workloads, rounds, seconds } = plan;
  const about = peers.map(({ name, what }) => ({ name, what, version: versions[name] ?? "" }));
  const date = new Date().toISOString().slice(0, 10);
  const results: Results = { date, command, rounds, seconds, machine, peers: about, measurements };
  await write(plan.output, {
    "results.json": JSON.stringify(results),
    "put.svg": plot(measurements, workloads),
    "README.md": page(results, workloads),
  });
  say(`\n${summary(results, workloads)}\nWritten: ${plan.output}/README.md, put.svg, results.json`);
  Deno.removeSignalListener("SIGINT", end);
}

if (import.meta.main) {
  try {
    const plan = planOf(Deno.args);
    if (plan === null) {
      say(`deno task bench [options]\n\n${columns(OPTIONS.map((one) => [optionUsage(one), one.help]))}`);
    } else await run(plan);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    say(error.message);
    Deno.exit(2);
  }
}
