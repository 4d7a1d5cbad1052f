/**
 * The nemesis of a cluster: it draws one fault after the other and injects it, and repairs some of them later.
 *
 * Every kind of fault occurs once before any is repeated. The faults stay within the failure model: no synced byte of a node
 * is lost permanently.
 */
import { assert, assertEquals } from "@std/assert";
import type { TestCluster } from "../support/processes/cluster.ts";
import type { SeededRandom } from "../support/seeded_random.ts";
import { freePorts } from "../support/temporary.ts";
import { Changes } from "./changes.ts";
import { damageLog } from "./damage.ts";
import type { SmallDisk } from "./small_disk.ts";

/** Every kind of fault. */
export const FAULTS = [
  "kill",
  "killAll",
  "pause",
  "stop",
  "rollingRestart",
  "cutOneWay",
  "partition",
  "slowLink",
  "brokenFrame",
  "secondProcess",
  "damagedByte",
  "fullDisk",
  "grow",
  "shrink",
  "replace",
] as const;
/** One of {@link FAULTS}. */
export type Fault = typeof FAULTS[number];

/** Share of steps that repair something, with and without a healthy majority. */
const REPAIR_SHARE = { majority: 0.35, minority: 0.7 };
const MAX_DELAY_MS = 300;

/** The targets of the nemesis. */
export interface NemesisOptions {
  readonly cluster: TestCluster;
  readonly random: SeededRandom;
  /** The disk of node 1; null where none could be mounted. */
  readonly disk: SmallDisk | null;
  /** Called with a sentence for each action. */
  readonly tell: (line: string) => void;
}

/** The state of a node. */
type NodeState = "running" | "paused" | "down";

/** An action. */
interface Act {
  readonly isPossible: () => boolean;
  readonly run: () => Promise<void> | void;
}

/** The node with the small disk, which stays a member. */
export const DISK_NODE = 1;
/** Most additional nodes. */
const MAX_MORE_NODES = 2;

/** Injects faults, and records them to undo them. */
export class Nemesis {
  /** How often each fault struck. */
  readonly struck = new Map<Fault, number>();
  readonly #options: NemesisOptions;
  readonly #states = new Map<number, NodeState>();
  readonly #changes: Changes;
  readonly #nodesAtFirst: number;
  readonly #cutOff = new Set<number>();
  #areLinksWell = true;
  /** The faults that occur before any of them is repeated. */
  #bag: Fault[] = [];

  constructor(options: NemesisOptions) {
    this.#options = options;
    this.#changes = new Changes(options);
    this.#nodesAtFirst = options.cluster.ids.length;
    for (const id of options.cluster.ids) this.#states.set(id, "running");
  }

  /** Whether every fault that this machine allows has struck. */
  get hasStruckAll(): boolean {
    return this.struck.size === FAULTS.length - (this.#options.disk === null ? 1 : 0);
  }

  /** Does the next action: a fault, or a repair. Throws when the cluster reacts wrongly. */
  async step(): Promise<void> {
    const { random } = this.#options;
    const repairs = [...Object.values(this.#repairs), this.#askAgain].filter(({ isPossible }) =>
      isPossible()
    );
    const share = this.#isMajorityWell ? REPAIR_SHARE.majority : REPAIR_SHARE.minority;
    if (repairs.length > 0 && random.chance(share)) await random.pick(repairs).run();
    else await this.#strike();
    this.#requireAlive();
  }

  /** Undoes everything. */
  async heal(): Promise<void> {
    for (const { isPossible, run } of Object.values(this.#repairs)) {
      while (isPossible()) await run();
    }
    await this.#changes.finish();
    this.#requireAlive();
  }

  async #strike(): Promise<void> {
    const { random, disk } = this.#options;
    if (this.#bag.length === 0) {
      this.#bag = FAULTS.filter((fault) => fault !== "fullDisk" || disk !== null);
    }
    const possible = this.#bag.filter((fault) => this.#faults[fault].isPossible());
    if (possible.length === 0) return await this.heal();
    const fault = random.pick(possible);
    this.#bag = this.#bag.filter((other) => other !== fault);
    this.struck.set(fault, (this.struck.get(fault) ?? 0) + 1);
    await this.#faults[fault].run();
  }

  readonly #faults: Readonly<Record<Fault, Act>> = {
    kill: { isPossible: () => this.#in("running", "paused").length > 0, run: () => this.#kill() },
    killAll: { isPossible: () => this.#in("running").length > 1, run: () => this.#killAll() },
    pause: { isPossible: () => this.#in("running").length > 0, run: () => this.#pause() },
    stop: { isPossible: () => this.#in("running").length > 0, run: () => this.#stop() },
    rollingRestart: { isPossible: () => this.#in("running").length > 1, run: () => this.#rollingRestart() },
    cutOneWay: { isPossible: () => true, run: () => this.#cutOneWay() },
    partition: { isPossible: () => true, run: () => this.#partition() },
    slowLink: { isPossible: () => true, run: () => this.#slowLink() },
    brokenFrame: { isPossible: () => this.#in("running").length > 1, run: () => this.#breakFrame() },
    secondProcess: {
      isPossible: () => this.#in("running", "paused").length > 0,
      run: () => this.#startSecondProcess(),
    },
    damagedByte: {
      isPossible: () => this.#in("running", "paused", "down").length > 0,
      run: () => this.#damage(),
    },
    fullDisk: {
      isPossible: () => this.#options.disk?.isFull === false && this.#states.get(DISK_NODE) === "running",
      run: () => this.#fillDisk(),
    },
    grow: {
      isPossible: () => this.#mayChange && this.#members.length < this.#nodesAtFirst + MAX_MORE_NODES,
      run: async () => void this.#states.set(await this.#changes.grow(), "running"),
    },
    shrink: {
      isPossible: () => this.#mayChange && this.#members.length > this.#nodesAtFirst,
      run: () => this.#changes.shrink(this.#pickToLeave()),
    },
    replace: {
      isPossible: () => this.#mayChange,
      run: async () => void this.#states.set(await this.#changes.replace(this.#pickToLeave()), "running"),
    },
  };

  /** In the order in which {@link heal} does them: a node can't start while its disk is full. */
  readonly #repairs: Readonly<Record<string, Act>> = {
    freeDisk: { isPossible: () => this.#options.disk?.isFull === true, run: () => this.#freeDisk() },
    links: { isPossible: () => !this.#areLinksWell, run: () => this.#healLinks() },
    resume: { isPossible: () => this.#in("paused").length > 0, run: () => this.#resume() },
    start: { isPossible: () => this.#in("down").length > 0, run: () => this.#start() },
  };

  /** Repeats a membership change in flight. It must be committed in the end, which {@link heal} ensures. */
  readonly #askAgain: Act = {
    isPossible: () => this.#changes.isUnderWay && this.#isMajorityWell,
    run: () => this.#changes.tryAgain(),
  };

  /** Whether a membership change may begin: a new node needs a node that answers. */
  get #mayChange(): boolean {
    return !this.#changes.isUnderWay && this.#isMajorityWell;
  }

  /** The nodes that are neither removed nor about to be. */
  get #members(): readonly number[] {
    return this.#options.cluster.ids.filter((id) => !this.#changes.isLeaving(id));
  }

  #pickToLeave(): number {
    return this.#options.random.pick(this.#members.filter((id) => id !== DISK_NODE));
  }

  async #kill(): Promise<void> {
    const id = this.#pick("running", "paused");
    this.#tell(`kill -9 of node ${id}`);
    await this.#options.cluster.kill(id);
    this.#states.set(id, "down");
  }

  async #killAll(): Promise<void> {
    const ids = this.#in("running", "paused");
    this.#tell(`kill -9 of all at once: ${ids.join(", ")}`);
    await Promise.all(ids.map((id) => this.#options.cluster.kill(id)));
    for (const id of ids) this.#states.set(id, "down");
  }

  #pause(): void {
    const id = this.#pick("running");
    this.#tell(`node ${id} is frozen`);
    this.#options.cluster.pause(id);
    this.#states.set(id, "paused");
  }

  #resume(): void {
    const id = this.#pick("paused");
    this.#tell(`node ${id} goes on`);
    this.#options.cluster.resume(id);
    this.#states.set(id, "running");
  }

  async #stop(id = this.#pick("running")): Promise<void> {
    this.#tell(`node ${id} is stopped cleanly`);
    const { code, stderr } = await this.#options.cluster.stop(id);
    assertEquals(code, 0, `node ${id} stops cleanly:\n${stderr}`);
    this.#states.set(id, "down");
  }

  async #start(id = this.#pick("down")): Promise<void> {
    if (id === DISK_NODE && this.#options.disk?.isFull === true) this.#freeDisk();
    this.#tell(`node ${id} starts`);
    await this.#options.cluster.startNode(id);
    this.#states.set(id, "running");
  }

  async #rollingRestart(): Promise<void> {
    this.#tell("rolling restart");
    for (const id of this.#in("running")) {
      await this.#stop(id);
      await this.#start(id);
    }
  }

  #cutOneWay(): void {
    const { cluster, random } = this.#options;
    const deaf = random.pick(cluster.ids);
    const others = cluster.ids.filter((id) => id !== deaf);
    const mute = random.chance(0.5) ? others : [random.pick(others)];
    this.#tell(`nothing from ${mute.join(", ")} reaches node ${deaf}`);
    for (const from of mute) cluster.cut({ from, to: deaf });
    this.#areLinksWell = false;
    if (mute.length === others.length) this.#cutOff.add(deaf);
  }

  #partition(): void {
    const { cluster, random } = this.#options;
    const size = 1 + random.below(Math.floor(cluster.ids.length / 2));
    const group = new Set<number>();
    while (group.size < size) group.add(random.pick(cluster.ids));
    this.#tell(`${[...group].join(", ")} cut off from the others`);
    cluster.partition([...group]);
    this.#areLinksWell = false;
    for (const id of group) this.#cutOff.add(id);
  }

  #slowLink(): void {
    const { from, to } = this.#link();
    const delayMs = 1 + this.#options.random.below(MAX_DELAY_MS);
    this.#tell(`what node ${from} sends reaches node ${to} ${delayMs} ms later`);
    this.#options.cluster.delay({ from, to, delayMs });
    this.#areLinksWell = false;
  }

  #breakFrame(): void {
    const { from, to } = this.#link();
    this.#tell(`the connection from node ${from} to node ${to} breaks in the middle of a frame`);
    this.#options.cluster.breakInMidFrame({ from, to });
  }

  #healLinks(): void {
    this.#tell("all links are well again");
    this.#options.cluster.heal();
    this.#areLinksWell = true;
    this.#cutOff.clear();
  }

  async #startSecondProcess(): Promise<void> {
    const { cluster } = this.#options;
    const id = this.#pick("running", "paused");
    this.#tell(`a second process on the folder of node ${id}`);
    const bind = `127.0.0.1:${freePorts(1)}`;
    const { code, stderr } = await cluster.run(["server", ...cluster.serverArguments(id, bind)]);
    assert(code === 70 && /Cannot open the data directory .*another process/.test(stderr), stderr);
  }

  /** Checks that a node with a damaged log refuses to start, and starts after the damage is undone. */
  async #damage(): Promise<void> {
    const { cluster, random } = this.#options;
    if (this.#in("down").length === 0) await this.#kill();
    const id = this.#pick("down");
    const damage = damageLog(cluster.dataFolder(id), random);
    if (damage === null) return this.#tell(`the log of node ${id} has nothing to damage`);
    this.#tell(`a bit of the log of node ${id} is flipped (${damage.place})`);
    const { code, stderr } = await cluster.run(["server", ...cluster.serverArguments(id)]);
    assert(code === 1 && /is damaged at byte/.test(stderr), `node ${id} refuses (code ${code}):\n${stderr}`);
    damage.undo();
  }

  #fillDisk(): void {
    this.#tell(`the disk of node ${DISK_NODE} is full`);
    this.#options.disk?.fill();
  }

  #freeDisk(): void {
    this.#tell(`the disk of node ${DISK_NODE} has free space again`);
    this.#options.disk?.free();
  }

  /** Throws for a node that ended by itself. */
  #requireAlive(): void {
    const { cluster } = this.#options;
    const dead = this.#in("running", "paused").filter((id) => cluster.hasEnded(id));
    assertEquals(dead, [], `these nodes ended by themselves:\n${dead.length > 0 ? cluster.logs() : ""}`);
  }

  get #isMajorityWell(): boolean {
    const { disk } = this.#options;
    const well = this.#in("running").filter((id) =>
      !this.#cutOff.has(id) && !(id === DISK_NODE && disk?.isFull === true)
    );
    return well.length > this.#members.length / 2;
  }

  #in(...states: readonly NodeState[]): readonly number[] {
    return this.#members.filter((id) => states.includes(this.#states.get(id) ?? "down"));
  }

  #pick(...states: readonly NodeState[]): number {
    return this.#options.random.pick(this.#in(...states));
  }

  #link(): { from: number; to: number } {
    const { cluster, random } = this.#options;
    const from = random.pick(cluster.ids);
    return { from, to: random.pick(cluster.ids.filter((id) => id !== from)) };
  }

  #tell(line: string): void {
    this.#options.tell(line);
  }
}
