/** The cost of watchers: one put that many see, beside etcd, and puts that none sees. */
import { join } from "@std/path";
import { CHECKOUT } from "../../../support/checkout.ts";
import { denoCommand, Process } from "../../../support/processes/process.ts";
import { clientv3Command } from "../../peers/clientv3.ts";
import { PEERS } from "../../peers/peers.ts";
import { atMost, type Figure, reported } from "../figures.ts";
import type { Lab, Situation } from "../lab.ts";
import type { Nodes } from "../nodes.ts";
import type { WatchersAnswer, WatchersAssignment } from "./watchers_main.ts";

const WATCHERS = 1_000;
const CONNECTIONS = 100;
const PUTS = 200;
const VALUE_BYTES = 256;
/** Between "ready" and the first put: until then the CPU times before are read. */
const REST_MS = 1_500;
/** Watchers of keys that are not put, on each node. */
const OTHER_WATCHERS = 10_000;
const OTHER_CONNECTIONS = 10;
const LOAD_SECONDS = 6;
const TURNS = 5;
const GOAL_SPREAD_MS = 20;
const GOAL_CPU_OF_ETCD = 0.5;
const GOAL_COST_OF_OTHERS = 1.03;
const SCRIPT = "tests/bench/situations/watch/watchers_main.ts";

/** The situation. */
export const watchers: Situation = {
  name: "watchers",
  about:
    `One put of ${VALUE_BYTES} bytes at a time that ${WATCHERS} watchers on ${CONNECTIONS} connections to three nodes see ` +
    "(kvraft's decode nothing, those of etcd are its Go client's): the CPU time of all nodes for each, and the time from " +
    `the first to the last watcher. Then puts of 64 clients, without watchers and with ${OTHER_WATCHERS} on each node of keys ` +
    "that are not put, in turn.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const own = await onePut(lab, {
      command: (assignment) => kvraftWatchers(assignment),
      addresses: await nodes.addresses(),
      cpuMs: () => nodes.ids.reduce((sum, id) => sum + nodes.cpuMs(id), 0),
    });
    const etcd = await etcdOnePut(lab);
    const figures = [
      atMost(GOAL_SPREAD_MS, "first to last of the watchers, median", median(own.spreadMs), "ms"),
      reported("first to last of the watchers, greatest", Math.max(...own.spreadMs), "ms"),
      reported("put to the last watcher, median", median(own.lastMs), "ms"),
      reported("CPU of all nodes per put", own.cpuMsPerPut, "ms"),
    ];
    if (etcd !== null) {
      figures.push(
        reported("first to last of etcd's watchers, median", median(etcd.spreadMs), "ms"),
        reported("put to the last watcher of etcd, median", median(etcd.lastMs), "ms"),
        reported("CPU of all nodes of etcd per put", etcd.cpuMsPerPut, "ms"),
        atMost(GOAL_CPU_OF_ETCD, "CPU per put, of etcd's", own.cpuMsPerPut / etcd.cpuMsPerPut, "×"),
      );
    }
    return [...figures, ...await unrelatedPuts(lab, nodes)];
  },
};

/** A store whose watchers are measured. */
interface Watched {
  readonly command: (assignment: WatchersAssignment) => Promise<readonly [string, ...string[]]>;
  readonly addresses: readonly string[];
  /** CPU time of all nodes so far. */
  readonly cpuMs: () => number;
}

/** Measures puts that all watchers see. */
async function onePut(lab: Lab, { command, addresses, cpuMs }: Watched): Promise<
  WatchersAnswer & { readonly cpuMsPerPut: number }
> {
  const puts = lab.count(PUTS, 20);
  const [program, ...args] = await command({
    addresses,
    connections: CONNECTIONS,
    watchers: WATCHERS,
    puts,
    valueBytes: VALUE_BYTES,
    restMs: REST_MS,
  });
  await using process = await lab.own(Process.start(program, args, { cwd: CHECKOUT, name: "watchers" }));
  await process.waitForOutput(/ready/, { deadlineMs: 60_000 });
  const before = cpuMs();
  const { code, stdout, stderr } = await process.end({ deadlineMs: 120_000 });
  if (code !== 0) throw new Error(`the watchers failed: ${stderr.trim()}`);
  const answer: WatchersAnswer = JSON.parse(stdout);
  return { ...answer, cpuMsPerPut: (cpuMs() - before) / puts };
}

/** Returns null when etcd is not installed. */
async function etcdOnePut(lab: Lab): Promise<Awaited<ReturnType<typeof onePut>> | null> {
  const peer = PEERS.find(({ name }) => name === "etcd");
  if (peer === undefined || (await peer.availability()).kind === "missing") return null;
  const folder = Deno.makeTempDirSync({ dir: join(CHECKOUT, ".cache", "bench"), prefix: "etcd-" });
  try {
    await using etcd = await lab.own(peer.start(folder));
    return await onePut(lab, {
      command: (watch) => clientv3Command(JSON.stringify({ watch })),
      addresses: etcd.addresses,
      cpuMs: () => etcd.cpuMs().reduce((sum, ms) => sum + ms, 0),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Measures puts without watchers and with many of other keys, in turn. */
async function unrelatedPuts(lab: Lab, nodes: Nodes): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
    const bare = await putCost(lab, nodes);
    const watching: Process[] = [];
    for (const id of nodes.ids) watching.push(await watchOthers(lab, nodes.address(id)));
    const watched = await putCost(lab, nodes);
    for (const process of watching) await process[Symbol.asyncDispose]();
    figures.push(
      reported("CPU of all nodes per put, no watcher", bare, "µs"),
      reported(`the same, ${OTHER_WATCHERS} watchers of other keys on each`, watched, "µs"),
      atMost(GOAL_COST_OF_OTHERS, "with them, of without", watched / bare, "×"),
    );
  }
  return figures;
}

/** Returns the CPU time of all nodes for each put of a load, in microseconds. */
async function putCost(lab: Lab, nodes: Nodes): Promise<number> {
  const cpuMs = (): number => nodes.ids.reduce((sum, id) => sum + nodes.cpuMs(id), 0);
  const before = cpuMs();
  const startedAt = performance.now();
  const { throughput } = await lab.load(nodes, { seconds: lab.seconds(LOAD_SECONDS), inFlight: 4 });
  const seconds = (performance.now() - startedAt) / 1_000;
  // The time before and after the load is included, with and without watchers alike.
  return (cpuMs() - before) * 1_000 / (throughput * seconds);
}

async function watchOthers(lab: Lab, address: string): Promise<Process> {
  const [program, ...args] = await kvraftWatchers({
    addresses: [address],
    connections: OTHER_CONNECTIONS,
    watchers: OTHER_WATCHERS,
    puts: 0,
    valueBytes: 0,
    restMs: 0,
  });
  const process = await lab.own(Process.start(program, args, { cwd: CHECKOUT, name: "other watchers" }));
  await process.waitForOutput(/ready/, { deadlineMs: 60_000 });
  return process;
}

function kvraftWatchers(assignment: WatchersAssignment): Promise<readonly [string, ...string[]]> {
  return Promise.resolve(
    denoCommand(SCRIPT, { permissions: ["--allow-all"], args: [JSON.stringify(assignment)] }),
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;
}
