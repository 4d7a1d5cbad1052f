/**
 * Hostile programs against simulated nodes: the production server, client and codec in virtual time, so that a seed
 * decides everything and waits do not depend on the machine. Work takes virtual time: the bytes of connections, the
 * entries of lists, the applied commands.
 */
import { StateMachine } from "../../../lib/kv/mod.ts";
import { parseMembers } from "../../../lib/protocol/node_list.ts";
import { parseAddress } from "../../../lib/platform/address.ts";
import { clusterIdOf } from "../../../lib/server/startup/identity.ts";
import { SERVER_LIMITS } from "../../../lib/server/config/server_limits.ts";
import { type Plan, planOf } from "../../sim/plan.ts";
import { observe, type Observer } from "../../sim/invariants/probes.ts";
import { watchRejections } from "../../sim/environment/rejections.ts";
import { addressOf, hostOf, Simulation, type Trace } from "../../sim/simulation.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import type { Claims, FrameKindName, Knowledge } from "./frames.ts";
import type { Guise } from "./hellos.ts";
import { listenAsMember } from "./member.ts";
import { Speaker } from "./speaker.ts";
import { Witness } from "./witness.ts";

/** Longest wait of a correct client for an answer. */
export const MAX_WAIT_MS = 250;
/** Duration of the hostile programs in one run, in virtual time. */
export const HOSTILE_MS = 1_500;
/** Time limit of a call, many times the permitted wait. */
const CALL_TIMEOUT_MS = 5_000;
const START_MS = 20_000;
const RESTART_MS = 30_000;
/** 250 MB a second are decoded or encoded. */
const MS_PER_BYTE = 4e-6;
const MS_PER_LISTED_ENTRY = 0.002;
const MS_PER_APPLIED_COMMAND = 0.005;
/** Terms that elections of correct nodes may add while a hostile member claims terms. */
const ELECTION_TERMS = 100;

/** The scenario of a run. */
export interface Scenario {
  readonly nodes: 1 | 3;
  /** The member that is replaced by a hostile program; null when all members are correct. */
  readonly hostileMember: number | null;
  readonly guises: readonly Guise[];
  readonly claims: Claims;
}

/** The scenarios that seeds take in turns. */
export const SCENARIOS: readonly [Scenario, ...Scenario[]] = [
  { nodes: 1, hostileMember: null, guises: ["client"], claims: "none" },
  { nodes: 3, hostileMember: null, guises: ["client"], claims: "none" },
  { nodes: 3, hostileMember: 3, guises: ["peer", "client"], claims: "none" },
  { nodes: 3, hostileMember: 3, guises: ["peer"], claims: "term" },
  { nodes: 3, hostileMember: 3, guises: ["peer", "client"], claims: "leadership" },
];

/** Returns the scenario of a seed. */
export function scenarioOf(seed: number): Scenario {
  return SCENARIOS[seed % SCENARIOS.length] ?? SCENARIOS[0];
}

/** The results of a run. */
export interface HostileReport {
  readonly seed: number;
  /** Violations, in order. */
  readonly problems: readonly string[];
  /** Frames that were sent, by kind. */
  readonly frames: ReadonlyMap<FrameKindName, number>;
  readonly longestWaitMs: number;
  readonly calls: number;
  /** Equal for equal runs. */
  readonly hash: string;
}

/** Runs one seed. `trace` gets a line for everything that happens. */
export async function runSimulated(
  seed: number,
  { trace = null, hostileMs = HOSTILE_MS }: { readonly trace?: Trace | null; readonly hostileMs?: number } =
    {},
): Promise<HostileReport> {
  const run = new SimulatedRun(seed, { trace, hostileMs });
  using _ = watchRejections(run.simulation);
  const stopObserving = observe(run.observer);
  const stopCharging = chargeForWork(run.simulation);
  try {
    return await run.run();
  } finally {
    stopCharging();
    stopObserving();
  }
}

class SimulatedRun {
  readonly simulation: Simulation;
  readonly #seed: number;
  readonly #hostileMs: number;
  readonly #scenario: Scenario;
  readonly #random: SeededRandom;
  readonly #frames = new Map<FrameKindName, number>();
  readonly #problems: string[] = [];
  readonly #terms = new Map<number, number>();
  #lastIndex = 0;
  #isHostile = true;

  constructor(
    seed: number,
    { trace, hostileMs }: { readonly trace: Trace | null; readonly hostileMs: number },
  ) {
    const scenario = scenarioOf(seed);
    this.#seed = seed;
    this.#scenario = scenario;
    this.#hostileMs = hostileMs;
    this.#random = new SeededRandom(seed * 48_271 + 11);
    this.simulation = new Simulation(planFor(seed, scenario), trace, { msPerByte: MS_PER_BYTE });
  }

  /** Records the nodes' terms. */
  get observer(): Observer {
    const nothing = (): void => {};
    return {
      recovered: nothing,
      stepped: nothing,
      led: nothing,
      readAccepted: nothing,
      readUnderLease: nothing,
      compacted: nothing,
      replied: nothing,
      restored: nothing,
      persisted: nothing,
      noticed: nothing,
      applied: nothing,
      tookReady: ({ id, term, lastIndex }) => {
        this.#terms.set(id, term);
        this.#lastIndex = lastIndex;
      },
    };
  }

  async run(): Promise<HostileReport> {
    const { scheduler, machines } = this.simulation;
    for (const machine of machines) if (this.#correctMembers.includes(machine.id)) machine.start();
    const witness = this.#witness("witness");
    const before = await this.#prepare(witness);
    if (before !== null) {
      await this.#disturb(witness);
      this.#check(witness, before);
      if (this.#problems.length === 0) await this.#restart();
    }
    return {
      seed: this.#seed,
      problems: [...this.simulation.violations, ...this.#problems],
      frames: this.#frames,
      longestWaitMs: witness.longestWaitMs,
      calls: witness.calls,
      hash: scheduler.hash,
    };
  }

  /** The members that run kvraft. */
  get #correctMembers(): readonly number[] {
    return this.#members.filter((id) => id !== this.#scenario.hostileMember);
  }

  get #members(): readonly number[] {
    return Array.from({ length: this.#scenario.nodes }, (_, position) => position + 1);
  }

  /** Resolves to the term in which the cluster serves; null when it does not serve in time. */
  async #prepare(witness: Witness): Promise<number | null> {
    let isReady = false;
    this.#start("witness", (): Promise<void> => witness.prepare().then(() => void (isReady = true)));
    await this.simulation.scheduler.run(START_MS, () => isReady || this.#isBroken);
    if (!isReady) {
      this.#problems.push("the cluster did not come to serve");
      return null;
    }
    return Math.max(...this.#terms.values());
  }

  async #disturb(witness: Witness): Promise<void> {
    const { scheduler } = this.simulation;
    let isWitnessing = true;
    const end = scheduler.nowMs + this.#hostileMs;
    const isTime = (): boolean => scheduler.nowMs < end;
    this.#start("witness", () => witness.run(isTime).then(() => void (isWitnessing = false)));
    const { hostileMember } = this.#scenario;
    if (hostileMember !== null) this.#startMember(hostileMember);
    for (let count = 1 + this.#random.below(4); count > 0; count--) this.#startSpeaker(count, isTime);
    await scheduler.run(end + RESTART_MS, () => !isWitnessing || this.#isBroken);
    this.#isHostile = false;
  }

  #check(witness: Witness, before: number): void {
    const { claims } = this.#scenario;
    const sent = [...this.#frames.values()].reduce((sum, count) => sum + count, 0);
    for (const [id, term] of this.#terms) {
      const most = claims === "none" ? before : before + 2 * sent + ELECTION_TERMS;
      if (term > most) this.#problems.push(`node ${id} came from term ${before} to ${term}`);
    }
    for (const id of this.#correctMembers) {
      if (this.simulation.machine(id).server === null) {
        this.#problems.push(`node ${id} does not run any more`);
      }
    }
    if (claims !== "none") return;
    const [failure] = witness.failures;
    if (failure !== undefined) this.#problems.push(`another client's call failed: ${failure}`);
    const { longestWaitMs } = witness;
    if (longestWaitMs > MAX_WAIT_MS) {
      this.#problems.push(
        `another client waited ${longestWaitMs.toFixed(0)} ms, and ${MAX_WAIT_MS} are allowed`,
      );
    }
  }

  /** Restarts the nodes: data from hostile frames on disk must not prevent that. */
  async #restart(): Promise<void> {
    const { scheduler } = this.simulation;
    const machines = this.#correctMembers.map((id) => this.simulation.machine(id));
    for (const machine of machines) machine.kill();
    for (const machine of machines) machine.recover();
    const haveStarted = (): boolean => machines.every(({ server }) => server !== null);
    await scheduler.run(scheduler.nowMs + RESTART_MS, () => haveStarted() || this.#isBroken);
    if (!haveStarted()) return void this.#problems.push("a node did not start again");
    if (this.#scenario.claims !== "none") return;
    let isServed = false;
    const witness = this.#witness("successor");
    this.#start("successor", () => witness.prepare().then(() => void (isServed = true)));
    await scheduler.run(scheduler.nowMs + RESTART_MS, () => isServed || this.#isBroken);
    if (!isServed) this.#problems.push("after a restart the cluster did not serve");
  }

  get #isBroken(): boolean {
    return this.simulation.violations.length > 0;
  }

  readonly #platforms = new Map<string, ReturnType<Simulation["clientProcess"]>>();

  #process(name: string, host: string): ReturnType<Simulation["clientProcess"]> {
    const known = this.#platforms.get(name) ?? this.simulation.clientProcess(name, host);
    this.#platforms.set(name, known);
    return known;
  }

  #witness(name: string): Witness {
    const { platform } = this.#process(name, "10.0.1.1");
    return new Witness({
      cluster: this.#correctMembers.map(addressOf),
      clock: platform.clock,
      callTimeoutMs: CALL_TIMEOUT_MS,
      platform,
    });
  }

  #start(name: string, work: () => Promise<void>): void {
    const { process } = this.#process(name, "10.0.1.1");
    process.wake(() => {
      work().catch((error: unknown) => this.#problems.push(`another client failed: ${error}`));
    });
  }

  #startSpeaker(number: number, goesOn: () => boolean): void {
    const { hostileMember, guises } = this.#scenario;
    const host = hostileMember === null ? `10.0.3.${number}` : hostOf(hostileMember);
    const { process, platform } = this.simulation.clientProcess(`hostile ${number}`, host);
    const random = new SeededRandom(this.#random.below(2 ** 31));
    const speaker = new Speaker({
      network: platform.network,
      clock: platform.clock,
      random,
      knowledge: (to) => this.#knowledge(to, random),
      addressOf: (node) => parseAddress(addressOf(node)),
      targets: this.#correctMembers,
      guises,
      onFrame: (kind, to) => this.#sent(kind, to),
    });
    process.wake(() => void speaker.run(() => goesOn() && this.#isHostile));
  }

  #startMember(id: number): void {
    const { process, platform } = this.simulation.clientProcess(`hostile member ${id}`, hostOf(id));
    const random = new SeededRandom(this.#random.below(2 ** 31));
    process.wake(() => {
      listenAsMember({
        network: platform.network,
        clock: platform.clock,
        random,
        address: parseAddress(addressOf(id)),
        knowledge: () => this.#knowledge(random.pick(this.#correctMembers), random),
        onFrame: (kind) => this.#sent(kind, null),
      });
    });
  }

  #sent(kind: FrameKindName, to: number | null): void {
    this.simulation.trace(() => `hostile: ${kind} to ${to === null ? "who called" : `n${to}`}`);
    this.#frames.set(kind, (this.#frames.get(kind) ?? 0) + 1);
  }

  #knowledge(to: number, random: SeededRandom): Knowledge {
    const { claims, hostileMember } = this.#scenario;
    const self = hostileMember ?? 99;
    const founders = parseMembers(this.#members.map((id) => `${id}=${addressOf(id)}`).join(","));
    return {
      random,
      claims,
      clusterId: clusterIdOf("sim", founders),
      peerKeyIds: [],
      members: this.#members,
      self,
      address: addressOf(self),
      to,
      term: Math.max(...this.#terms.values()),
      lastIndex: this.#lastIndex,
    };
  }
}

/** A fast network and disk, the bounds of every server, and no faults besides the hostile frames. */
function planFor(seed: number, { nodes }: Scenario): Plan {
  return {
    ...planOf(1),
    seed,
    nodes,
    spares: 0,
    clients: 0,
    segmentBytes: 4_194_304,
    electionTimeoutMs: 1_000,
    heartbeatMs: 100,
    readMode: "read-index",
    clockSpeeds: [1, 1, 1],
    latencyMs: 0.2,
    bytesPerMs: 1_000_000,
    capacityBytes: 1_000_000,
    pieceBytes: 65_536,
    syncMs: 1,
    limits: SERVER_LIMITS,
    faults: [],
    firstTerm: 0,
    breakages: [],
  };
}

/** Makes the nodes' computations take virtual time, as in a real process. */
function chargeForWork({ scheduler }: Simulation): () => void {
  const { list, apply } = StateMachine.prototype;
  StateMachine.prototype.list = function (query): ReturnType<typeof list> {
    const page = list.call(this, query);
    scheduler.current?.spend(page.entries.length * MS_PER_LISTED_ENTRY);
    return page;
  };
  StateMachine.prototype.apply = function (index, command): ReturnType<typeof apply> {
    scheduler.current?.spend(MS_PER_APPLIED_COMMAND);
    return apply.call(this, index, command);
  };
  return () => void Object.assign(StateMachine.prototype, { list, apply });
}
