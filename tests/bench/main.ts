/**
 * `deno task bench`: compares kvraft with etcd, antietcd and an echo server, on one machine, one disk, with one generator.
 *
 * Every peer is started once, with empty directories, and warmed up. Each round runs the workloads in order. Each workload
 * is measured on one peer after the other, in alternating order, so that a temporary disturbance of the machine affects
 * all of them. Writes to docs/benchmarks: the page, the plot, and all measurements.
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
import { clientv3Command } from "./peers/clientv3.ts";
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

/** Every measurement starts a new generator, which needs a warm-up too. */
const LEAST_WARM_UP_MS = 500;

const OPTIONS: readonly OptionSpec[] = [
  { name: "quick", placeholder: null, help: "the main rows, three short rounds: within five minutes" },
  { name: "rounds", placeholder: "<n>", help: "measurements of each row (5)" },
  {
    name: "seconds",
    placeholder: "<n>",
    help: "duration of each measurement, without its warm-up of a fifth of that, at least 0.5 s (5)",
  },
  {
    name: "peer",
    placeholder: "<names>",
    help: "peers to compare with: etcd,antietcd,echo (all that are installed)",
  },
  { name: "only", placeholder: "<text>", help: "only rows whose name contains this" },
  {
    name: "generators",
    placeholder: "<n>",
    help: "processes that generate the load, each with a part of the clients (1)",
  },
  {
    name: "output",
    placeholder: "<folder>",
    help: "where page, plot and figures are written (docs/benchmarks)",
  },
  { name: "help", placeholder: null, help: "explain, and do nothing" },
];

/** The options of a run. */
interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly generators: number;
  readonly peers: readonly PeerName[];
  readonly workloads: readonly Workload[];
  readonly output: string;
  readonly command: string;
}

/** Parses the command line; throws UsageError. */
function planOf(args: readonly string[]): Plan | null {
  const { options } = parseArguments(args, OPTIONS);
  if (options.has("help")) return null;
  const isQuick = options.has("quick");
  const count = (name: string, fallback: number): number =>
    integerOfText(options.get(name) ?? `${fallback}`, { name: `--${name}`, min: 1, max: 1_000 });
  const named = (options.get("peer") ?? PEER_NAMES.join(",")).split(",");
  const unknown = named.find((name) => !PEER_NAMES.some((known) => known === name));
  if (unknown !== undefined) {
    throw new UsageError(`--peer: there is no "${unknown}"; there are ${PEER_NAMES.join(", ")}.`);
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

/** Runs one generator until it exits. */
async function generate(assignment: Assignment, usesClientv3: boolean): Promise<GeneratorAnswer> {
  const text = JSON.stringify(assignment);
  const [program, ...args] = usesClientv3
    ? await clientv3Command(text)
    : denoCommand("tests/bench/generator_main.ts", { permissions: ["--allow-all"], args: [text] });
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
  const answers = await Promise.all(
    sharesOf(assignment, plan.generators).map((share) =>
      generate(share, peer === "etcd" && workload.usesClientv3)
    ),
  );
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
 * Runs all rounds. Every peer runs from the first round to the last, as servers do, and is warmed up before: two of them
 * have just-in-time compilers. Each measurement is added to `measured` at once, so that an early end loses none.
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

/** Measures every row once, the peers one after the other. */
async function runRound(
  round: number,
  { plan, running, loaded, measured, isEnding }: {
    readonly plan: Plan;
    readonly running: ReadonlyMap<PeerName, RunningPeer>;
    /** The key count and value size that each peer has loaded. */
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
      // Loads the values that the reads expect; earlier workloads may have left others.
      const keys = `${peer} ${workload.load.keyCount} ${workload.load.valueBytes}`;
      const loadsKeys = peer !== "echo" && workload.load.mix.get > 0 && !loaded.has(keys);
      if (loadsKeys) loaded.add(keys);
      try {
        const one = await measure({ peer, running: nodes, workload, round, loadsKeys, plan });
        measured.push(one);
        say(lineOf(one));
      } catch (error) {
        // A failed row does not end half an hour's run: the page shows that the row is missing.
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

/** Writes files and formats them. */
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
