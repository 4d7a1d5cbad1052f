/** Deno KV over three nodes against denokv, which is one SQLite file: throughput, and the pause when the leader is killed. */
import { join } from "@std/path";
import { CHECKOUT } from "../../../support/checkout.ts";
import { CLIENT_ENVIRONMENT, denokvCommand, DenokvServer } from "../../../support/denokv/server.ts";
import { Process } from "../../../support/processes/process.ts";
import { installDeno } from "../../../support/denokv/stock_clients.ts";
import { cpuMsOf } from "../../processes.ts";
import { atLeast, atMost, type Figure, reported } from "../figures.ts";
import type { Lab, Situation } from "../lab.ts";
import type { Nodes } from "../nodes.ts";
import { Balancer } from "./balancer.ts";

const HOST = "127.0.0.1";
const SCRIPT = join(CHECKOUT, "tests/bench/situations/denokv/load_main.mjs");
/** The Deno whose client waits for a delayed acknowledgement in every call. */
const SLOW_DENO = "2.9.8";
const TURNS = 5;
const SLOW_TURNS = 3;
const SECONDS = 3;
const WARMUP_SECONDS = 0.5;
const SECONDS_OF_A_WARM_UP = 1.5;
const KEYS = 1_000;
const KILLS = 5;
const CALLERS = 32;
const SECONDS_OF_A_KILL = 5;
const KILL_AFTER_SECONDS = 1.5;
const GOAL_PAUSE_MS = 600;
const ANSWER_DEADLINE_MS = 60_000;

/** The calls that are measured, with the goal against denokv. */
const WORKS = [
  { work: "set", callers: 1, goal: 0.6 },
  { work: "set", callers: 64, goal: 2 },
  { work: "get", callers: 1, goal: 0.8 },
  { work: "get", callers: 64, goal: 1 },
  { work: "sum", callers: 64, goal: 1.5 },
] as const;
const SLOW_GOAL = 40;

/** The load that load_main.mjs makes. */
export interface Assignment {
  readonly url: string;
  readonly work: "set" | "get" | "sum";
  readonly callers: number;
  /** Handles of `Deno.openKv`, each of which has a connection of its own. */
  readonly handles: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly keys: number;
}

/** The output of load_main.mjs. */
export interface Answer {
  readonly perSecond: number;
  /** Calls that were answered, those of the warm-up included. */
  readonly calls: number;
  readonly p50Ms: number | null;
  /** The longest time without an answer of each caller. */
  readonly pausesMs: readonly number[];
}

/** The situation. */
export const denokv: Situation = {
  name: "denokv",
  about:
    `Calls of a stock Deno ${Deno.version.deno} client (one handle, ${KEYS} keys, values of 256 bytes) to the leader of ` +
    `three nodes and to denokv, in turn; the other one is idle. denokv is one process with one SQLite file, and not ` +
    `replicated. The client shares the cores with the nodes. Deno ${SLOW_DENO}: the same with its client. Pause: ` +
    `${CALLERS} callers with a handle each set keys through a TCP balancer while the leader gets kill -9; the longest ` +
    "time without an answer of each caller.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const command = denokvCommand();
    if (command === null) lab.say("  denokv is not installed: no comparison with it");
    const folder = join(CHECKOUT, ".cache", "bench");
    const peer = command === null ? null : await lab.own(DenokvServer.start(command, folder));
    await using nodes = await lab.startNodes({ denokv: true });
    await warmUp(lab, nodes);
    return [
      ...await throughput(lab, nodes, peer),
      ...await throughFollower(lab, nodes),
      ...await slowClient(lab, nodes, peer),
      ...await pauses(lab, nodes),
    ];
  },
};

/** Has every node serve every kind of call for a while, so that hot functions are compiled. */
async function warmUp(lab: Lab, nodes: Nodes): Promise<void> {
  for (const id of nodes.ids) {
    for (const work of ["set", "get", "sum"] as const) {
      await load(lab, {
        url: urlOf(nodes, id),
        work,
        callers: 64,
        seconds: lab.seconds(SECONDS_OF_A_WARM_UP),
      });
    }
  }
}

/** Measures every kind of call on both, in turn. */
async function throughput(lab: Lab, nodes: Nodes, peer: DenokvServer | null): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
    for (const { work, callers, goal } of WORKS) {
      const text = `${work}, ${callers} ${callers === 1 ? "caller" : "callers"}`;
      const measure = (url: string): Promise<Answer> => load(lab, { url, work, callers });
      figures.push(...await sideBySide({ lab, nodes, peer, turn, goal, text, measure }));
    }
  }
  return figures;
}

/** Measures both in an order that alternates; returns the two figures and their ratio. */
async function sideBySide(
  { lab, nodes, peer, turn, goal, text, measure }: {
    readonly lab: Lab;
    readonly nodes: Nodes;
    readonly peer: DenokvServer | null;
    readonly turn: number;
    readonly goal: number;
    readonly text: string;
    readonly measure: (url: string) => Promise<Answer>;
  },
): Promise<readonly Figure[]> {
  const own = urlOf(nodes, await nodes.waitForLeader());
  const urls = peer === null ? [own] : turn % 2 === 0 ? [own, peer.url] : [peer.url, own];
  const costs = new Map<string, Cost>();
  for (const url of urls) {
    const cpuMs = (): number => (
      url === peer?.url ? cpuMsOf(peer.pid) : nodes.ids.reduce((sum, id) => sum + nodes.cpuMs(id), 0)
    );
    costs.set(url, await costOf(measure, url, cpuMs));
  }
  const { perSecond: ours, cpuMicroseconds } = costs.get(own) ?? NO_COST;
  const theirs = peer === null ? null : costs.get(peer.url)?.perSecond ?? null;
  lab.say(`  ${text}: ${ours.toFixed(0)}/s, denokv ${theirs?.toFixed(0) ?? "not measured"}/s`);
  return [
    reported(`${text}, three nodes`, ours, "calls/s"),
    reported(`${text}, CPU of the three nodes for each`, cpuMicroseconds, "µs"),
    ...(theirs === null ? [] : [
      reported(`${text}, denokv`, theirs, "calls/s"),
      reported(`${text}, CPU of denokv for each`, costs.get(peer?.url ?? "")?.cpuMicroseconds ?? 0, "µs"),
      atLeast(goal, `${text}, against denokv`, ours / theirs, "×"),
    ]),
  ];
}

/** Throughput, and the CPU time of all server processes for each call, the warm-up included. */
interface Cost {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

const NO_COST: Cost = { perSecond: 0, cpuMicroseconds: 0 };

async function costOf(
  measure: (url: string) => Promise<Answer>,
  url: string,
  cpuMs: () => number,
): Promise<Cost> {
  const before = cpuMs();
  const { perSecond, calls } = await measure(url);
  return { perSecond, cpuMicroseconds: (cpuMs() - before) * 1_000 / Math.max(1, calls) };
}

/** Measures calls to a node that asks the leader. */
async function throughFollower(lab: Lab, nodes: Nodes): Promise<readonly Figure[]> {
  const leader = await nodes.waitForLeader();
  const follower = nodes.ids.find((id) => id !== leader) ?? leader;
  const figures: Figure[] = [];
  for (const { work, callers } of WORKS.filter((one) => one.work !== "sum")) {
    const { perSecond } = await load(lab, { url: urlOf(nodes, follower), work, callers });
    figures.push(reported(`${work}, ${callers} at a follower`, perSecond, "calls/s"));
  }
  return figures;
}

/** Measures one caller of the other Deno on both, in turn. */
async function slowClient(lab: Lab, nodes: Nodes, peer: DenokvServer | null): Promise<readonly Figure[]> {
  const deno = await installDeno(SLOW_DENO);
  if (deno === null) {
    lab.say(`  pip could not install Deno ${SLOW_DENO}: not measured`);
    return [];
  }
  const figures: Figure[] = [];
  for (let turn = 0; turn < lab.count(SLOW_TURNS, 1); turn++) {
    const measure = (url: string): Promise<Answer> => load(lab, { url, work: "set", callers: 1 }, deno);
    const text = `set, 1 caller of Deno ${SLOW_DENO}`;
    figures.push(...await sideBySide({ lab, nodes, peer, turn, goal: SLOW_GOAL, text, measure }));
  }
  return figures;
}

/** Kills the leader under callers, and restarts it, several times. */
async function pauses(lab: Lab, nodes: Nodes): Promise<readonly Figure[]> {
  await using balancer = await lab.own(new Balancer(nodes.ids.map((id) => nodes.denokvPort(id))));
  const figures: Figure[] = [];
  for (let kill = 0; kill < lab.count(KILLS, 1); kill++) {
    const leader = await nodes.waitForLeader();
    const work = {
      url: `http://${HOST}:${balancer.port}`,
      work: "set",
      callers: CALLERS,
      handles: CALLERS,
    } as const;
    const process = await startLoad(lab, { ...work, seconds: SECONDS_OF_A_KILL });
    await process.waitForOutput(/begun/, { deadlineMs: ANSWER_DEADLINE_MS });
    await lab.rest(KILL_AFTER_SECONDS);
    await nodes.kill(leader);
    const { pausesMs } = await answerOf(process);
    await nodes.startNode(leader);
    await nodes.waitUntilLevel();
    const sorted = pausesMs.toSorted((a, b) => a - b);
    lab.say(`  leader killed: ${sorted.map((pause) => pause.toFixed(0)).join(" ")} ms`);
    const text = `pause of ${CALLERS} callers when the leader is killed`;
    figures.push(...sorted.map((pause) => atMost(GOAL_PAUSE_MS, text, pause, "ms")));
  }
  return figures;
}

function urlOf(nodes: Nodes, id: number): string {
  return `http://${HOST}:${nodes.denokvPort(id)}`;
}

type Work = Pick<Assignment, "url" | "work" | "callers"> & Partial<Assignment>;

/** Runs callers with a stock client to the end. */
async function load(lab: Lab, work: Work, deno = Deno.execPath()): Promise<Answer> {
  return await answerOf(await startLoad(lab, work, deno));
}

async function startLoad(lab: Lab, work: Work, deno = Deno.execPath()): Promise<Process> {
  const assignment: Assignment = {
    handles: 1,
    keys: KEYS,
    warmupSeconds: WARMUP_SECONDS,
    seconds: lab.seconds(SECONDS),
    ...work,
  };
  const args = ["run", "--quiet", "--no-config", "--allow-net", "--allow-env", "--unstable-kv", SCRIPT];
  return await lab.own(Process.start(deno, [...args, JSON.stringify(assignment)], {
    cwd: CHECKOUT,
    name: "callers of Deno KV",
    env: CLIENT_ENVIRONMENT,
  }));
}

async function answerOf(process: Process): Promise<Answer> {
  const { code, stdout, stderr } = await process.end({ deadlineMs: ANSWER_DEADLINE_MS });
  if (code !== 0) throw new Error(`The callers of Deno KV failed: ${stderr.trim()}`);
  return JSON.parse(stdout);
}
