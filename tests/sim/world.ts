/**
 * One simulated world: machines with servers, clients, and the network between them, made from a plan.
 */
import { KvClient, KvraftError } from "../../lib/mod.ts";
import { formatAddress } from "../../lib/net/address.ts";
import type { ServerConfig } from "../../lib/server/config.ts";
import { SNAPSHOT_LIMITS } from "../../lib/server/snapshots.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { Coverage } from "./coverage.ts";
import { Invariants } from "./invariants.ts";
import { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { Process } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { SimClock } from "./sim_clock.ts";
import { Fabric, SimNetwork } from "./sim_network.ts";
import { SimClient } from "./workload.ts";

const PORT = 7_000;

/** Takes lines of a trace. */
export type Trace = (line: string) => void;

/** Everything there is in a run. */
export class World {
  readonly plan: Plan;
  readonly scheduler = new Scheduler();
  readonly coverage = new Coverage();
  readonly random: SeededRandom;
  readonly fabric: Fabric;
  readonly machines: readonly Machine[];
  readonly clients: readonly SimClient[];
  readonly invariants: Invariants;
  /** What no world may come to; the first is the one that counts. */
  readonly violations: string[] = [];
  /** Whether the clients begin no further calls. */
  isOver = false;
  #operators = 0;
  readonly #trace: Trace | null;

  constructor(plan: Plan, trace: Trace | null) {
    this.plan = plan;
    this.#trace = trace;
    this.random = new SeededRandom(plan.seed * 40_503 + 7);
    const { latencyMs, bytesPerMs, capacityBytes, pieceBytes } = plan;
    const { scheduler } = this;
    this.fabric = new Fabric(
      { scheduler, random: this.#fork(), capacityBytes, pieceBytes },
      { latencyMs, bytesPerMs },
    );
    const ids = Array.from({ length: plan.nodes }, (_, position) => position + 1);
    this.invariants = new Invariants({
      nodes: ids,
      coverage: this.coverage,
      isLive: () => scheduler.current?.isDead === false,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
    scheduler.onFailed = (error): void =>
      this.violated(`${scheduler.current?.name ?? "the world"} threw: ${stackOf(error)}`);
    this.machines = ids.map((id) => this.#machine(id));
    this.clients = Array.from({ length: plan.clients }, (_, position) => this.#client(position + 1));
  }

  /** Addresses of all nodes, as a client gives them. */
  get cluster(): readonly string[] {
    return this.machines.map(({ host }) => formatAddress({ host, port: PORT }));
  }

  /**
   * Addresses of the nodes that must catch up with the leader: those that do not stay broken. A leader may itself be
   * cut off from one of them, and go on with a majority.
   */
  get following(): readonly string[] {
    const broken = this.plan.breakages.map(({ node }) => node);
    const { leader } = this.invariants;
    const isApart = (node: number): boolean =>
      leader !== null && leader !== node &&
      (this.fabric.link(hostOf(leader), hostOf(node)).isCut ||
        this.fabric.link(hostOf(node), hostOf(leader)).isCut);
    return this.cluster.filter((_, position) => !broken.includes(position + 1) && !isApart(position + 1));
  }

  /** A machine by its node's id. */
  machine(id: number): Machine {
    const machine = this.machines[id - 1];
    if (machine === undefined) throw new RangeError(`there is no node ${id}`);
    return machine;
  }

  /** Notes what must not be. */
  violated(message: string): void {
    if (this.scheduler.current?.isDead === true) return;
    this.trace(() => `VIOLATION: ${message}`);
    this.violations.push(message);
  }

  /** Writes a line of the trace, if anybody reads it. */
  trace(line: () => string): void {
    if (this.#trace === null) return;
    this.#trace(`${this.scheduler.nowMs.toFixed(3).padStart(11)} ${line()}`);
  }

  /** What a client process of this world gets in place of the real machine. */
  clientProcess(name: string, host: string): {
    readonly process: Process;
    readonly platform: SimClientPlatform;
  } {
    const { scheduler, fabric } = this;
    const random = this.#fork();
    const process = new Process(name, { host, scheduler });
    const network = new SimNetwork(fabric, process);
    const clock = new SimClock({ process, random, speed: 1 });
    return { process, platform: { network, clock, random: () => random.next() } };
  }

  /** An operator asks for another leader, once. */
  transferLeadership(target: number): void {
    this.#operators += 1;
    const { process, platform } = this.clientProcess(`o${this.#operators}`, "10.0.2.2");
    process.wake(() => void transfer(this, platform, target));
  }

  #machine(id: number): Machine {
    const { plan, scheduler, fabric } = this;
    const members = Array.from({ length: plan.nodes }, (_, position) => ({
      id: position + 1,
      address: { host: hostOf(position + 1), port: PORT },
    }));
    const config: ServerConfig = {
      nodeId: id,
      bind: { host: hostOf(id), port: PORT },
      members,
      clusterName: "sim",
      dataDir: "/data",
      electionTimeoutMs: plan.electionTimeoutMs,
      heartbeatMs: plan.heartbeatMs,
      logLevel: "debug",
      logFormat: "text",
      maxValueBytes: 1_048_576,
      segmentBytes: plan.segmentBytes,
      maxConnections: 64,
      join: [],
      quotaBytes: null,
      snapshotLogBytes: 67_108_864,
    };
    return new Machine({
      config,
      limits: { ...plan.limits, snapshots: SNAPSHOT_LIMITS },
      host: hostOf(id),
      scheduler,
      fabric,
      random: this.#fork(),
      clockSpeed: plan.clockSpeeds[id - 1] ?? 1,
      syncMs: plan.syncMs,
      violated: (message) => this.violated(message),
      onDeath: () => this.invariants.died(id),
      onRefusal: () => this.coverage.count("refusedFolders"),
      onDiskFault: (fault) =>
        this.coverage.count(fault === "died" ? "deathsInDiskOperations" : "diskFailures"),
      trace: (line) => this.trace(line),
    });
  }

  #client(number: number): SimClient {
    const { plan, coverage } = this;
    const { process, platform } = this.clientProcess(`c${number}`, clientHostOf(number));
    return new SimClient({
      number,
      process,
      platform,
      cluster: this.cluster,
      plan,
      random: this.#fork(),
      coverage,
      isOver: () => this.isOver,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
  }

  /** A stream of random numbers of its own, so that one part's draws do not move another's. */
  #fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.random.next() * 2 ** 32));
  }
}

/** What a client process gets. */
export type SimClientPlatform = {
  readonly network: SimNetwork;
  readonly clock: SimClock;
  readonly random: () => number;
};

/** The machine of a node in the network. */
export function hostOf(node: number): string {
  return `10.0.0.${node}`;
}

async function transfer(world: World, platform: SimClientPlatform, target: number): Promise<void> {
  try {
    const client = await KvClient.connect({ cluster: world.cluster, platform, timeoutMs: 1_000 });
    await client.transferLeadership(target, { timeoutMs: 3_000 });
    world.coverage.count("leadershipTransfers");
    await client.close();
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    world.trace(() => `transfer to n${target} failed: ${error.message}`);
  }
}

/** The machine of a client. */
export function clientHostOf(client: number): string {
  return `10.0.1.${client}`;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
