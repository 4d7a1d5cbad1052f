/**
 * One simulation: machines with servers, clients, and the network between them, made from a plan.
 */
import type { ConnectOptions } from "../../lib/mod.ts";
import { formatAddress, parseAddress } from "../../lib/platform/address.ts";
import { type ServerConfig } from "../../lib/server/config/config.ts";
import { serverConfigOf } from "../../lib/server/config/reading.ts";
import { foundingConfiguration } from "../../lib/server/membership/members.ts";
import { stateMachineOptionsOf } from "../../lib/server/config/server_limits.ts";
import type { Configuration, NodeId } from "../../lib/raft/mod.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import type { Ambush } from "./ambush.ts";
import { Coverage, type RareState } from "./coverage.ts";
import { hasMajorities } from "../support/raft/promises.ts";
import { Invariants } from "./invariants/invariants.ts";
import { LeaseTimes, type SeenLeader } from "./invariants/lease_times.ts";
import { Machine, wallMsOf } from "./environment/machine.ts";
import { assert } from "../../lib/platform/assert.ts";
import { MAX_WALL_OFFSET_MS, peerSecretAt, type Plan, type UsersPlan } from "./plan.ts";
import { Process } from "./environment/process.ts";
import { Replay } from "./invariants/replay.ts";
import { Scheduler } from "./environment/scheduler.ts";
import type { DriveFault } from "./environment/sim_disk.ts";
import { SimClock } from "./environment/sim_clock.ts";
import type { ServerTls } from "../../lib/server/startup/server_tls.ts";
import { certificateOf, simulatedTls } from "./environment/certificates.ts";
import { Fabric, SimNetwork } from "./environment/sim_network.ts";
import { LibraryWatcher } from "./library_watcher.ts";
import { DatabaseUser } from "./database_user.ts";
import { LeaseHolder, type LeaseHolderOptions } from "./lease_holder.ts";
import { LockUser } from "./lock_user.ts";
import { Administrator } from "./users/administrator.ts";
import { RestrictedClient } from "./users/restricted_client.ts";
import type { NodeChoice } from "./raw_connection.ts";
import { SimWatcher } from "./watcher.ts";
import { SimClient } from "./workload.ts";

const PORT = 7_000;
/** Rare states that a line of a log reports. */
const LOGGED_STATES: Readonly<Record<string, RareState>> = {
  "Connected to a node": "peersProved",
  "Cannot authenticate a node": "peersNotAuthenticated",
  "Read the peer secret again; new connections use it": "secretsReplaced",
};
const DISK_FAULTS = {
  died: "deathsInDiskOperations",
  failed: "diskFailures",
  exhausted: "descriptorsExhausted",
} as const satisfies Record<DriveFault, RareState>;

/** Takes lines of a trace. */
export type Trace = (line: string) => void;

/** A client that begins with the others and has a number of its own. */
type Holder = LeaseHolder | LockUser | DatabaseUser;

/** The parts of a run. */
export class Simulation {
  readonly plan: Plan;
  readonly scheduler = new Scheduler();
  readonly coverage = new Coverage();
  readonly random: SeededRandom;
  readonly fabric: Fabric;
  /** The certificates that nodes demand; null where they look at none: nodes with a peer secret take each other without. */
  readonly tls: ServerTls | null;
  /** By id, from 1: the founding nodes, then those that operators started. */
  readonly #machines: Machine[];
  readonly clients: readonly SimClient[];
  readonly watchers: readonly (SimWatcher | LibraryWatcher)[];
  readonly holders: readonly Holder[];
  /** Null in a run without users. */
  readonly administrator: Administrator | null;
  /** The clients of users whose rights change. */
  readonly restricted: readonly RestrictedClient[];
  readonly invariants: Invariants;
  readonly leaseTimes: LeaseTimes;
  /** Violations; the first one counts. */
  readonly violations: string[] = [];
  /** Nodes that stay broken. */
  readonly broken = new Set<NodeId>();
  /** Nodes besides the founders that operators have asked to add. */
  readonly wereMembers = new Set<NodeId>();
  /** The ambushes that wait for their rare states. */
  readonly ambushes = new Map<Ambush, RareState>();
  /** Changes of membership that may be in flight. */
  changes = 0;
  /** Whether the clients begin no further calls. */
  isOver = false;
  /** Nodes that have received a snapshot which is not yet installed on their disk. */
  readonly #received = new Set<NodeId>();
  #operators = 0;
  readonly #trace: Trace | null;

  /** `msPerByte`: time of processes per byte of their connections; work takes no time by default. */
  constructor(plan: Plan, trace: Trace | null, { msPerByte = 0 }: { readonly msPerByte?: number } = {}) {
    this.plan = plan;
    this.#trace = trace;
    this.random = new SeededRandom(plan.seed * 40_503 + 7);
    const { latencyMs, bytesPerMs, capacityBytes, pieceBytes } = plan;
    const { scheduler } = this;
    this.tls = plan.users === null || plan.peerSecret !== null ? null : simulatedTls();
    this.fabric = new Fabric(
      { scheduler, random: this.#fork(), capacityBytes, pieceBytes, msPerByte },
      { latencyMs, bytesPerMs },
    );
    const ids = Array.from({ length: plan.nodes }, (_, position) => position + 1);
    this.leaseTimes = new LeaseTimes({
      now: () => scheduler.nowMs,
      // The clocks of spare machines run at the right speed.
      slowest: Math.min(1, ...plan.clockSpeeds),
      fastest: Math.max(1, ...plan.clockSpeeds),
      coverage: this.coverage,
      violated: (message) => this.violated(message),
    });
    this.invariants = new Invariants({
      leaseTimes: this.leaseTimes,
      latestWallMs: () => Math.max(...this.#machines.map(({ wallMs }) => wallMs)),
      founding: foundingConfiguration(ids.map((id) => ({ id, address: addressOf(id) }))),
      replay: new Replay(stateMachineOptionsOf(plan.limits)),
      coverage: this.coverage,
      current: () => scheduler.current,
      isLive: () => scheduler.current?.isDead === false,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
    this.coverage.onCount = (state): void => this.#happened(state);
    scheduler.onFailed = (error): void =>
      this.violated(`${scheduler.current?.name ?? "the simulation"} threw: ${stackOf(error)}`);
    this.#machines = ids.map((id) => this.#machine(id));
    this.administrator = plan.users === null ? null : this.#administrator(plan.users);
    this.restricted = this.#restrictedClients();
    this.clients = Array.from({ length: plan.clients }, (_, position) => this.#client(position + 1));
    const { watchers, libraryWatchers } = plan.coordination;
    this.watchers = Array.from(
      { length: watchers + libraryWatchers },
      (_, position) => this.#watcher(position + 1, position < watchers ? SimWatcher : LibraryWatcher),
    );
    const { holders, lockUsers, databaseUsers } = plan.coordination;
    const kinds = [
      ...Array<typeof LeaseHolder>(holders).fill(LeaseHolder),
      ...Array<typeof LockUser>(lockUsers).fill(LockUser),
      ...Array<typeof DatabaseUser>(databaseUsers).fill(DatabaseUser),
    ];
    this.holders = kinds.map((Holder, position) => this.#holder(position + 1, Holder));
  }

  /** Returns all machines. */
  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** Returns the addresses of all past and current nodes, as for a client. */
  get cluster(): readonly string[] {
    return this.machines.map(({ id }) => addressOf(id));
  }

  /**
   * Addresses of the nodes that must catch up with the leader: members that do not stay broken. A leader may itself be
   * cut off from one of them, and go on with a majority.
   */
  get following(): readonly string[] {
    const { leader, committedConfiguration: { members } } = this.invariants;
    const isApart = (node: number): boolean =>
      leader !== null && leader !== node &&
      (this.fabric.link(hostOf(leader), hostOf(node)).isCut ||
        this.fabric.link(hostOf(node), hostOf(leader)).isCut);
    return members.map(({ id }) => id)
      .filter((id) => !this.broken.has(id) && !this.machine(id).isLost && !isApart(id)).map(addressOf);
  }

  /** The leader of the highest term; null while there is none, or its process cannot run. */
  get workingLeader(): SeenLeader | null {
    const { leader: node } = this.invariants;
    const status = node === null ? null : this.invariants.statusOf(node);
    if (node === null || status === null || this.machine(node).process?.isPaused !== false) return null;
    const { term, lastIndex, commitIndex } = status;
    return { node, term, lastIndex, commitIndex };
  }

  /** Returns whether a majority of every configuration in force could be restored if these nodes were lost too. */
  isHealableWithout(lost: readonly NodeId[]): boolean {
    return this.invariants.configurationsInForce.every((configuration) =>
      this.isHealable(configuration, lost)
    );
  }

  /** Returns the same for one configuration. */
  isHealable(configuration: Configuration, lost: readonly NodeId[] = []): boolean {
    return hasMajorities(
      configuration,
      (id) => !lost.includes(id) && !this.machine(id).isLost && !this.broken.has(id),
    );
  }

  /** The options with which a client signs in that keeps its rights; empty in a run without users. */
  get credentials(): Pick<ConnectOptions, "token"> {
    return this.administrator?.credentials ?? {};
  }

  /** Addresses of the members, for a node that is to join. */
  get contacts(): ServerConfig["join"] {
    return this.invariants.committedConfiguration.members.map(({ address }) => parseAddress(address));
  }

  /** Returns a running machine for a new node, not added yet; null when there is none left. */
  newMachine(): Machine | null {
    const waiting = this.machines.find(({ id, isLost }) =>
      id > this.plan.nodes && !isLost && !this.wereMembers.has(id)
    );
    if (waiting !== undefined) return waiting;
    if (this.machines.length >= this.plan.nodes + this.plan.spares) return null;
    const machine = this.#machine(this.machines.length + 1);
    this.#machines.push(machine);
    machine.start();
    return machine;
  }

  /** A machine by its node's id. */
  machine(id: number): Machine {
    const machine = this.machines[id - 1];
    if (machine === undefined) throw new RangeError(`there is no node ${id}`);
    return machine;
  }

  /** Records a violation. */
  violated(message: string): void {
    if (this.scheduler.current?.isDead === true) return;
    this.trace(() => `VIOLATION: ${message}`);
    this.violations.push(message);
  }

  /** Writes a line of the trace, if there is one. */
  trace(line: () => string): void {
    if (this.#trace === null) return;
    this.#trace(`${this.scheduler.nowMs.toFixed(3).padStart(11)} ${line()}`);
  }

  /** Returns the platform of a client process, in place of the real machine. */
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

  /** Starts an operator on another machine. */
  operator(work: (platform: SimClientPlatform) => Promise<void>): void {
    this.#operators += 1;
    const { process, platform } = this.clientProcess(`o${this.#operators}`, "10.0.2.2");
    process.wake(() => void work(platform));
  }

  #administrator(users: UsersPlan): Administrator {
    return new Administrator({
      ...this.clientProcess("administrator", "10.0.3.1"),
      cluster: () => this.cluster,
      plan: users,
      wallClock: () => wallMsOf(this.scheduler),
      random: this.#fork(),
      coverage: this.coverage,
      isOver: () => this.isOver,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
  }

  #restrictedClients(): readonly RestrictedClient[] {
    const { administrator, coverage, invariants } = this;
    if (administrator === null) return [];
    const nodes = (): readonly NodeChoice[] =>
      this.machines.map((machine) => ({
        address: addressOf(machine.id),
        process: () => machine.process,
        wallOffsetMs: machine.wallOffsetMs,
      }));
    const clients = administrator.restricted.map((user, position) => {
      const client = this.clientProcess(user, `10.0.3.${position + 2}`);
      const { tls, fabric } = this;
      return new RestrictedClient({
        user,
        ...client,
        certifiedNetwork: tls === null ? null : new SimNetwork(fabric, client.process, certificateOf(user)),
        nodes,
        administrator,
        users: invariants.users,
        history: invariants.history,
        commitIndex: () => invariants.commitIndex,
        random: this.#fork(),
        coverage,
        isOver: () => this.isOver,
        violated: (message) => this.violated(message),
        trace: (line) => this.trace(line),
      });
    });
    administrator.onChange = (): void => clients.forEach((client) => client.burst());
    return clients;
  }

  #machine(id: number): Machine {
    const { plan, scheduler, fabric } = this;
    const founders = Array.from({ length: plan.nodes }, (_, position) => ({
      id: position + 1,
      address: { host: hostOf(position + 1), port: PORT },
    }));
    const isFounder = id <= plan.nodes;
    const { peerSecret } = plan;
    const { tls } = this;
    const hasSecret = peerSecret !== null && !(peerSecret.isPartial && id % 2 === 0);
    const config = serverConfigOf({
      nodeId: id,
      bind: { host: hostOf(id), port: PORT },
      members: isFounder ? founders : null,
      clusterName: "sim",
      dataDir: "/data",
      electionTimeoutMs: plan.electionTimeoutMs,
      heartbeatMs: plan.heartbeatMs,
      readMode: plan.readMode,
      segmentBytes: plan.segmentBytes,
      maxConnections: 64,
      join: isFounder ? [] : this.contacts,
      historyBytes: plan.limits.historyBytes,
      snapshotLogBytes: plan.limits.snapshots.logBytes,
      peerSecretFile: hasSecret ? "peer.secret" : null,
      peerAuth: peerSecret?.peerAuth ?? "require",
    });
    return new Machine({
      config,
      limits: plan.limits,
      readPrivateFile: () => {
        assert(peerSecret !== null, "only a server with a secret reads its file");
        return peerSecretAt(peerSecret, id, scheduler.nowMs);
      },
      tls,
      host: hostOf(id),
      scheduler,
      fabric,
      random: this.#fork(),
      clockSpeed: plan.clockSpeeds[id - 1] ?? 1,
      wallOffsetMs: (plan.seed * 7_919 + id * 104_729) % (2 * MAX_WALL_OFFSET_MS) - MAX_WALL_OFFSET_MS,
      syncMs: plan.syncMs,
      violated: (message) => this.violated(message),
      onDeath: () => {
        if (this.#received.delete(id)) this.coverage.count("diedBeforeInstall");
        this.invariants.died(id);
      },
      onRefusal: () => this.coverage.count("refusedFolders"),
      onWipe: () => this.invariants.wiped(id),
      onExpulsion: () => this.#expelled(id),
      onFallback: () => this.coverage.count("snapshotsFellBack"),
      onDiskFault: (fault) => this.coverage.count(DISK_FAULTS[fault]),
      onLogLine: (message, fields) => {
        const state = LOGGED_STATES[message];
        if (state === undefined || (state === "peersProved" && fields["authenticatedBy"] !== "secret")) {
          return;
        }
        this.coverage.count(state);
      },
      trace: (line) => this.trace(line),
    });
  }

  /** Records a rare state of the running process, which triggers the ambushes that wait for it. */
  #happened(state: RareState): void {
    const isOfReceiving = state === "snapshotsReceived" || state === "snapshotsInstalled";
    if (this.ambushes.size === 0 && !isOfReceiving) return;
    const { current } = this.scheduler;
    const machine = this.machines.find(({ process }) => process === current && process !== null);
    if (machine === undefined) return;
    if (state === "snapshotsReceived") this.#received.add(machine.id);
    else if (state === "snapshotsInstalled") this.#received.delete(machine.id);
    for (const [ambush, occasion] of [...this.ambushes]) {
      if (occasion !== state) continue;
      this.ambushes.delete(ambush);
      ambush(machine.id);
    }
  }

  /** Returns whether a node that ended because the cluster refused it was refused correctly. */
  #expelled(id: NodeId): boolean {
    const { coverage, invariants } = this;
    if (this.machine(id).isWiped) {
      coverage.count("amnesiacsRefused");
      return true;
    }
    coverage.count(invariants.knowsOfRemoval(id) ? "removedNodesEnded" : "removalsMissed");
    return invariants.committedConfiguration.removedIds.includes(id);
  }

  #client(number: number): SimClient {
    const { plan, coverage } = this;
    const { process, platform } = this.clientProcess(`c${number}`, clientHostOf(number));
    return new SimClient({
      number,
      process,
      platform,
      cluster: () => this.cluster,
      credentials: () => this.credentials,
      plan,
      random: this.#fork(),
      coverage,
      isOver: () => this.isOver,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
  }

  #holder(number: number, Holder: new (options: LeaseHolderOptions) => Holder): Holder {
    const { plan, coverage, scheduler, leaseTimes } = this;
    const { watchers, libraryWatchers } = plan.coordination;
    const host = clientHostOf(plan.clients + watchers + libraryWatchers + number);
    const { process, platform } = this.clientProcess(`h${number}`, host);
    return new Holder({
      number,
      process,
      platform,
      cluster: () => this.cluster,
      credentials: () => this.credentials,
      plan,
      random: this.#fork(),
      coverage,
      leaseTimes,
      wallClock: () => wallMsOf(scheduler),
      isOver: () => this.isOver,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
  }

  #watcher(
    number: number,
    Watcher: typeof SimWatcher | typeof LibraryWatcher,
  ): SimWatcher | LibraryWatcher {
    const { plan, coverage, invariants } = this;
    const name = `w${number}`;
    const { process, platform } = this.clientProcess(name, clientHostOf(plan.clients + number));
    return new Watcher({
      name,
      process,
      platform,
      cluster: () => this.isOver ? this.following : this.cluster,
      credentials: () => this.credentials,
      workerToken: () => this.administrator?.workerToken ?? null,
      plan,
      random: this.#fork(),
      coverage,
      truth: invariants.watchTruth,
      isOver: () => this.isOver,
      violated: (message) => this.violated(message),
      trace: (line) => this.trace(line),
    });
  }

  /** Returns a separate stream of random numbers, so that the draws of one part do not affect another. */
  #fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.random.next() * 2 ** 32));
  }
}

/** The platform of a client process. */
export type SimClientPlatform = {
  readonly network: SimNetwork;
  readonly clock: SimClock;
  readonly random: () => number;
};

/** The machine of a node in the network. */
export function hostOf(node: number): string {
  return `10.0.0.${node}`;
}

/** Where a node listens. */
export function addressOf(node: number): string {
  return formatAddress({ host: hostOf(node), port: PORT });
}

/** The machine of a client. */
export function clientHostOf(client: number): string {
  return `10.0.1.${client}`;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
