/** etcd's front end beside etcd: etcd's own Go client on both, three nodes each. */
import { join } from "@std/path";
import { assert } from "@std/assert";
import { LatencyHistogram } from "../../../../lib/loadgen/mod.ts";
import { CHECKOUT } from "../../../support/checkout.ts";
import { kvraftCommand, Process } from "../../../support/processes/process.ts";
import { freePorts } from "../../../support/temporary.ts";
import type { GeneratorAnswer } from "../../generator_main.ts";
import { cpuMsOf } from "../../processes.ts";
import { atLeast, atMost, type Figure, reported } from "../figures.ts";
import type { Lab, Situation } from "../lab.ts";
import type { Nodes } from "../nodes.ts";
import { client, inTurn, type Side, type Sides, withSides } from "./sides.ts";

const CALLERS = 64;
const CONNECTIONS = 8;
const KEYS = 1_000;
const VALUE_BYTES = 256;
const TURNS = 5;
const SECONDS = 4;
const WARM_UP_SECONDS = 3;
const WARM_UP_SHARE = 0.2;
const MS = 1_000;

const WATCHERS = 1_000;
const WATCH_CONNECTIONS = 50;
const WATCH_TURNS = 3;
const WATCH_PUTS = 100;
/** Between "ready" and the first put. */
const WATCH_REST_MS = 1_500;

const IDLE_CONNECTIONS = 100;
const IDLE_REST_MS = 10_000;

const GOALS = {
  put: 1.1,
  get: 1.3,
  gateway: 1.1,
  leaderCpu: 0.6,
  watch: 1,
  memory: 1,
} as const;

/** The situation. */
export const etcd: Situation = {
  name: "etcd",
  about:
    `etcd's Go client on kvraft's etcd front end and on etcd, three nodes each with default settings, in turn; the other one ` +
    `is idle. ${CALLERS} callers on ${CONNECTIONS} connections to the leader, ${KEYS} keys, values of ${VALUE_BYTES} bytes. ` +
    `Watchers: ${WATCHERS} on ${WATCH_CONNECTIONS} connections to all nodes see one put. Memory: resident, of the node ` +
    `with the most, with ${IDLE_CONNECTIONS} connections and ${WATCHERS} watches. The client shares the cores with the nodes.`,
  rounds: 1,
  measure: (lab) =>
    withSides(lab, async (sides, nodes) => {
      for (const side of sides) await warmUp(lab, side);
      return [
        ...await memory(lab, sides),
        ...await throughput(lab, sides),
        ...await throughGateway(lab, nodes, sides),
        ...await watched(lab, sides),
      ];
    }),
};

/** Calls per second, and CPU time of the nodes for each call, the warm-up included. */
interface Load {
  readonly perSecond: number;
  /** Of the leader, and of all nodes. */
  readonly leaderMicroseconds: number;
  readonly allMicroseconds: number;
}

async function load(lab: Lab, side: Side, work: "put" | "get", seconds: number): Promise<Load> {
  const before = side.cpuMs();
  const answer: GeneratorAnswer = await client(lab, {
    addresses: side.addresses,
    connections: CONNECTIONS,
    prefix: "bench/",
    loadsKeys: false,
    load: {
      clients: CALLERS,
      inFlight: 1,
      mix: { put: work === "put" ? 1 : 0, get: work === "get" ? 1 : 0 },
      valueBytes: VALUE_BYTES,
      keyCount: KEYS,
      warmupMs: seconds * MS * WARM_UP_SHARE,
      durationMs: seconds * MS,
    },
  });
  assert(Object.keys(answer.errors).length === 0, `calls failed: ${JSON.stringify(answer.errors)}`);
  const costs = side.cpuMs().map((ms, node) => (ms - (before[node] ?? 0)) * MS / answer.sent);
  return {
    perSecond: LatencyHistogram.from(answer.latency[work]).count / answer.elapsedMs * MS,
    leaderMicroseconds: costs[0] ?? 0,
    allMicroseconds: costs.reduce((sum, one) => sum + one, 0),
  };
}

async function warmUp(lab: Lab, side: Side): Promise<void> {
  for (const work of ["put", "get"] as const) await load(lab, side, work, lab.seconds(WARM_UP_SECONDS));
}

async function throughput(lab: Lab, sides: Sides): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
    for (const work of ["put", "get"] as const) {
      const loads = new Map<string, Load>();
      for (const side of inTurn(turn, sides)) {
        loads.set(side.name, await load(lab, side, work, lab.seconds(SECONDS)));
      }
      figures.push(...loadFigures(lab, work, loads, GOALS[work]));
    }
  }
  return figures;
}

function loadFigures(
  lab: Lab,
  text: string,
  loads: ReadonlyMap<string, Load>,
  goal: number,
): readonly Figure[] {
  const [own, theirs] = [loads.get("kvraft"), loads.get("etcd")];
  assert(own !== undefined && theirs !== undefined, "both are measured");
  lab.say(`  ${text}: ${own.perSecond.toFixed(0)}/s, etcd ${theirs.perSecond.toFixed(0)}/s`);
  return [
    reported(`${text}, kvraft`, own.perSecond, "calls/s"),
    reported(`${text}, etcd`, theirs.perSecond, "calls/s"),
    atLeast(goal, `${text}, of etcd's`, own.perSecond / theirs.perSecond, "×"),
    reported(`${text}, CPU of kvraft's nodes for each`, own.allMicroseconds, "µs"),
    reported(`${text}, CPU of etcd's nodes for each`, theirs.allMicroseconds, "µs"),
    reported(`${text}, CPU of kvraft's leader for each`, own.leaderMicroseconds, "µs"),
  ];
}

/** Puts through one gateway beside the cluster, and in turn those to the leader itself. */
async function throughGateway(lab: Lab, nodes: Nodes, sides: Sides): Promise<readonly Figure[]> {
  const [own, theirs] = sides;
  const address = `127.0.0.1:${freePorts(1)}`;
  const [program, ...args] = kvraftCommand([
    "gateway",
    ...["--cluster", nodes.ids.map((id) => nodes.address(id)).join(","), "--etcd", address],
  ]);
  const folder = join(CHECKOUT, ".cache", "bench");
  await using gateway = await lab.own(Process.start(program, args, { cwd: folder, name: "gateway" }));
  await gateway.waitForOutput(/serves etcd v3/);
  const through: Side = { ...own, addresses: [address] };
  await warmUp(lab, through);
  const figures: Figure[] = [];
  for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
    const before = cpuMsOf(gateway.pid);
    const seconds = lab.seconds(SECONDS);
    const loads = new Map<string, Load>();
    const inProcess = await load(lab, own, "put", seconds);
    for (const side of inTurn(turn, [through, theirs])) {
      loads.set(side.name, await load(lab, side, "put", seconds));
    }
    figures.push(...loadFigures(lab, "put through a gateway", loads, GOALS.gateway));
    const cost = loads.get("kvraft")?.leaderMicroseconds ?? NaN;
    figures.push(
      atMost(
        GOALS.leaderCpu,
        "CPU of the leader for a put through a gateway",
        cost / inProcess.leaderMicroseconds,
        "×",
      ),
      reported("CPU of the gateway in a turn", cpuMsOf(gateway.pid) - before, "ms"),
    );
  }
  return figures;
}

interface Watched {
  readonly spreadMs: readonly number[];
  readonly lastMs: readonly number[];
}

async function watched(lab: Lab, sides: Sides): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const puts = lab.count(WATCH_PUTS, 20);
  for (let turn = 0; turn < lab.count(WATCH_TURNS, 1); turn++) {
    const costs = new Map<string, { readonly lastMs: number; readonly cpuMs: number }>();
    for (const side of inTurn(turn, sides)) {
      const total = (): number => side.cpuMs().reduce((sum, ms) => sum + ms, 0);
      let before = 0;
      const watch = {
        addresses: side.addresses,
        connections: WATCH_CONNECTIONS,
        watchers: WATCHERS,
        puts,
        valueBytes: VALUE_BYTES,
        restMs: WATCH_REST_MS,
      };
      const answer: Watched = await client(lab, { watch }, () => before = total());
      const median = answer.lastMs.toSorted((a, b) => a - b)[Math.floor(puts / 2)] ?? NaN;
      costs.set(side.name, { lastMs: median, cpuMs: (total() - before) / puts });
    }
    const [own, theirs] = [costs.get("kvraft"), costs.get("etcd")];
    assert(own !== undefined && theirs !== undefined, "both are measured");
    figures.push(
      reported(`put to the last of ${WATCHERS} watchers, kvraft`, own.lastMs, "ms"),
      reported(`put to the last of ${WATCHERS} watchers, etcd`, theirs.lastMs, "ms"),
      atMost(GOALS.watch, "put to the last watcher, of etcd's", own.lastMs / theirs.lastMs, "×"),
      reported("CPU of kvraft's nodes for a put that they see", own.cpuMs, "ms"),
      reported("CPU of etcd's nodes for a put that they see", theirs.cpuMs, "ms"),
      atMost(GOALS.watch, "CPU for a put that they see, of etcd's", own.cpuMs / theirs.cpuMs, "×"),
    );
  }
  return figures;
}

/** Resident memory of the node with the most while idle connections and watches are open. */
async function memory(lab: Lab, sides: Sides): Promise<readonly Figure[]> {
  const megabytes = new Map<string, number>();
  for (const side of sides) {
    const watch = {
      addresses: side.addresses.slice(0, 1),
      connections: IDLE_CONNECTIONS,
      watchers: WATCHERS,
      puts: 0,
      valueBytes: 0,
      restMs: IDLE_REST_MS,
    };
    let whenIdle = Promise.resolve();
    await client(lab, { watch }, () => {
      whenIdle = lab.rest(IDLE_REST_MS / MS / 2).then(() => {
        megabytes.set(side.name, Math.max(...side.residentBytes()) / 1e6);
      });
    });
    await whenIdle;
  }
  const [own = NaN, theirs = NaN] = [megabytes.get("kvraft"), megabytes.get("etcd")];
  const what = `memory with ${IDLE_CONNECTIONS} connections and ${WATCHERS} watches`;
  return [
    reported(`${what}, kvraft`, own, "MB"),
    reported(`${what}, etcd`, theirs, "MB"),
    atMost(GOALS.memory, `${what}, of etcd's`, own / theirs, "×"),
  ];
}
