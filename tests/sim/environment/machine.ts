/**
 * A machine that runs a server: it starts it, kills it, loses its power, and starts it again as an init system does.
 */
import type { ServerConfig } from "../../../lib/server/config/config.ts";
import { JoinError } from "../../../lib/server/startup/identity.ts";
import {
  NodeRefusedError,
  type RunningServer,
  type ServerPlatform,
  startServer,
} from "../../../lib/server/server.ts";
import type { ServerLimits } from "../../../lib/server/config/server_limits.ts";
import { CONNECTION_FAULT } from "../../../lib/transport/fault.ts";
import type { LogFields, Logger } from "../../../lib/platform/logger.ts";
import {
  DataDirectoryDamagedError,
  LogDamagedError,
  NewerFormatError,
  NewerSnapshotError,
  OtherClusterError,
  OtherNodeError,
  SnapshotMissingError,
} from "../../../lib/storage/mod.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { prepareDisk } from "./prepared_disk.ts";
import { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimClock } from "./sim_clock.ts";
import { type DriveFault, SimDisk, SimDrive } from "./sim_disk.ts";
import { type Fabric, SimNetwork } from "./sim_network.ts";

/** After a server ended by itself, it is started again so much later. */
const RESTART_MS = 300;

/** A server that was asked to stop ends within this many election timeouts of running. */
const STOP_TIMEOUTS = 5;

/** Looks in an election timeout at whether a server that was asked to stop can run: no fault lasts for less. */
const LOOKS_PER_TIMEOUT = 40;

/** A turn of the event loop takes no longer. */
const LAST_TURN_MS = 2;

/** Options of a machine. */
export interface MachineOptions {
  readonly config: ServerConfig;
  readonly limits: ServerLimits;
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly random: SeededRandom;
  readonly clockSpeed: number;
  readonly syncMs: number;
  readonly violated: (message: string) => void;
  /** Its process is no more. */
  readonly onDeath: () => void;
  readonly onDiskFault: (fault: DriveFault) => void;
  /** It was started on a damaged folder, and refused. */
  readonly onRefusal: () => void;
  /** Its disk is empty now. */
  readonly onWipe: () => void;
  /** The cluster does not take it; whether that is right. */
  readonly onExpulsion: () => boolean;
  /** It started, though its newest snapshot is damaged. */
  readonly onFallback: () => void;
  readonly trace: (line: () => string) => void;
}

/** One node's machine. */
export class Machine {
  readonly drive: SimDrive;
  readonly #options: MachineOptions;
  #process: Process | null = null;
  #clock: SimClock | null = null;
  #server: RunningServer | null = null;
  /** Whether its disk failed it since it was started, so that it may end by itself. */
  #mayEnd = false;
  /** Faults that want it down. */
  #downs = 0;
  #starts = 0;
  /** A process died and its machine did not: what it had open is still to be cleared away. */
  #leftBehind = false;
  /** A bit of its folder flipped. */
  #isDamaged = false;
  /** It is to be damaged as soon as it runs. */
  #isDoomed = false;
  /** A bit of its newest snapshot flipped, and it has not been started since; what it may do then. */
  #rot: "must start" | "may refuse" | null = null;
  /** Snapshots in which a bit flipped. */
  readonly #rotten = new Set<string>();
  /** It has an empty disk under an id that the cluster knows. */
  #isWiped = false;
  /** It refused to work on its folder, or was refused, and waits for an operator who never comes. */
  #isRetired = false;
  #config: ServerConfig;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#config = options.config;
    this.drive = new SimDrive({ random: options.random, syncMs: options.syncMs });
    this.drive.onFault = (fault): void => {
      // A server that runs goes on without descriptors; one that starts may need them.
      if (fault !== "exhausted" || this.#server === null) this.#mayEnd = true;
      options.onDiskFault(fault);
      if (fault !== "died") return;
      this.#died("died in a disk operation");
      options.scheduler.after(RESTART_MS, null, () => this.start());
    };
  }

  /** The node's id. */
  get id(): number {
    return this.#options.config.nodeId;
  }

  /** Its address in the network. */
  get host(): string {
    return this.#options.host;
  }

  /** Whether it stays lost after everything is healed. */
  get isLost(): boolean {
    return this.#isRetired || this.#isDoomed || this.#isDamaged || this.#isWiped ||
      this.#rot === "may refuse";
  }

  /** Whether its disk was lost. */
  get isWiped(): boolean {
    return this.#isWiped;
  }

  /** Whether it will not be started again. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** The server's process; null while there is none. */
  get process(): Process | null {
    return this.#process;
  }

  /** The server, once it serves. */
  get server(): RunningServer | null {
    return this.#server;
  }

  /** Starts the server, unless it runs or something keeps it down. */
  start(): void {
    if (this.#process !== null || this.#downs > 0 || this.#isRetired) return;
    const { limits, host, scheduler, fabric, random, clockSpeed } = this.#options;
    const config = this.#config;
    this.#starts += 1;
    if (this.#leftBehind) this.drive.processDied();
    this.#leftBehind = false;
    this.#mayEnd = this.drive.isFull;
    const process = new Process(`n${this.id}`, { host, scheduler });
    this.#process = process;
    const clock = new SimClock({ process, random, speed: clockSpeed });
    this.#clock = clock;
    const platform: ServerPlatform = {
      disk: new SimDisk(this.drive, process),
      network: new SimNetwork(fabric, process),
      clock,
      random: (): number => random.next(),
      logger: this.#logger(process),
      limits,
    };
    this.#options.trace(() => `n${this.id} starts (${this.#starts})`);
    process.wake(() => {
      startServer(config, platform).then(
        (server) => this.#started(process, server),
        (error: unknown) => this.#ended(process, error),
      );
    });
  }

  /** kill -9. It is started again when {@link recover} was called as often. */
  kill(): void {
    this.#downs += 1;
    this.#died("killed");
  }

  /** The power goes: what was not synced may be gone. */
  losePower(): void {
    this.#downs += 1;
    // The others receive nothing: sockets vanish before the process can end them.
    this.#options.fabric.powerOff(this.host);
    this.#died("lost its power");
    this.drive.powerLost();
    this.#leftBehind = false;
  }

  /** Ends one {@link kill} or {@link losePower}. */
  recover(): void {
    this.#downs = Math.max(0, this.#downs - 1);
    if (this.#downs > 0) return;
    this.#options.fabric.powerOn(this.host);
    this.start();
  }

  /** Ends everything that keeps it down, and every fault of its disk. */
  healAll(): void {
    Object.assign(this.drive.trouble, { failNext: null, operationsToDeath: null });
    this.drive.speedUp();
    this.drive.setFreeBytes(null);
    this.giveDescriptors();
    this.#process?.resume();
    this.#downs = 1;
    this.recover();
  }

  /**
   * Its server is killed, a bit of its folder flips, and it is started again: all as soon as it runs on a disk with
   * room. (A full disk takes no sync mark, and without one the last write can't be told from a torn one; so a run
   * would ask for more than is promised.)
   */
  damage(): void {
    const { scheduler, trace } = this.#options;
    this.#isDoomed = true;
    if (this.#server === null || this.drive.isFull) {
      scheduler.after(RESTART_MS, null, () => this.damage());
      return;
    }
    this.#isDamaged = true;
    this.#died("killed");
    const place = this.drive.flipBit(this.drive.files);
    trace(() => `n${this.id}: a bit of ${place} flips`);
    this.start();
  }

  /**
   * Its server is killed, a bit of one of its snapshots flips, and it is started again: it must start, where an older
   * snapshot and the log (which begins with `firstIndex`) are enough, and may refuse where they are not. Or it runs on:
   * nobody has looked at the file since it was written.
   */
  rot(
    firstIndex: number,
    { mayBeLost, isRunning }: { readonly mayBeLost: boolean; readonly isRunning: boolean },
  ): void {
    if (this.#server === null || this.drive.isFull || this.isLost) return;
    const snapshots = this.drive.files.filter((path) => path.endsWith(".snap") && !this.#rotten.has(path))
      .map((path) => ({ path, index: Number(/(\d+)-\d+\.snap$/.exec(path)?.[1]) }))
      .sort((a, b) => b.index - a.index);
    const [newest, older] = snapshots;
    if (newest === undefined) return;
    const isEnough = firstIndex <= (older?.index ?? 0) + 1;
    if ((!isEnough || isRunning) && !mayBeLost) return;
    if (!isRunning) this.#died("killed");
    const place = this.drive.flipBit([newest.path]);
    this.#rotten.add(newest.path);
    this.#rot = isEnough && !isRunning ? "must start" : "may refuse";
    this.#options.trace(() => `n${this.id}: a bit of ${place} flips; it ${this.#rot}`);
    this.start();
  }

  /**
   * Its disk is lost, and somebody starts it again on an empty one, as it was started first or to join by `join`: what
   * it had promised it has forgotten.
   */
  wipe(join: ServerConfig["join"] | null): void {
    this.#died("killed");
    this.#leftBehind = false;
    this.drive.replace();
    this.#isWiped = true;
    if (join !== null) this.#config = { ...this.#config, members: null, join };
    this.#options.trace(() => `n${this.id}: its disk is lost`);
    this.#options.onWipe();
    this.start();
  }

  /** Prepares a disk with which its first start is in `term`. */
  prepare(term: number): Promise<void> {
    return prepareDisk(this.drive.memory, { config: this.#options.config, term });
  }

  /** Its clock is ahead by so much. */
  jumpClock(byMs: number): void {
    this.#clock?.jump(byMs);
  }

  /** Takes the room on its disk away, but for some bytes. */
  fillDisk(bytes: number): void {
    this.#mayEnd = true;
    this.drive.setFreeBytes(bytes);
  }

  /** No file descriptor is left on it: what is open stays open, nothing else can be opened. */
  takeDescriptors(): void {
    this.drive.trouble.lacksDescriptors = true;
    this.#options.fabric.lackingDescriptors.add(this.host);
  }

  /** There are descriptors again. */
  giveDescriptors(): void {
    this.drive.trouble.lacksDescriptors = false;
    this.#options.fabric.lackingDescriptors.delete(this.host);
  }

  /** Stops the server in good order, and starts it again. */
  restartInOrder(): void {
    const process = this.#process;
    const server = this.#server;
    if (process === null || server === null) return;
    process.wake(() => {
      server.stop().then(() => this.#stopped(process), (error: unknown) => this.#ended(process, error));
    });
    this.#mustEnd(process);
  }

  /**
   * It was asked to stop, and does so in time. Only time counts in which it could run: while it stands still, or its
   * disk does, it can do nothing, and when it goes on it has as much left to do as before. (So whether it stands still
   * at the end of its time says nothing: it may have done so all the while until just before.)
   */
  #mustEnd(process: Process): void {
    const { scheduler, config, violated } = this.#options;
    const canRun = (): boolean => !process.isPaused && !this.drive.isTroubled;
    const look = (couldRun: boolean, looksLeft: number): void => {
      scheduler.after(config.electionTimeoutMs / LOOKS_PER_TIMEOUT, null, () => {
        if (process.isDead) return;
        const left = couldRun && canRun() ? looksLeft - 1 : looksLeft;
        if (left > 0) return look(canRun(), left);
        violated(`node ${this.id} was asked to stop, and has not after ${STOP_TIMEOUTS} election timeouts`);
      });
    };
    look(canRun(), STOP_TIMEOUTS * LOOKS_PER_TIMEOUT);
  }

  /** It says that it has stopped: then nothing of it may be left. */
  #stopped(process: Process): void {
    if (process.isDead) return;
    const { fabric, scheduler, violated } = this.#options;
    // The last turn of the event loop may still be under way.
    scheduler.after(LAST_TURN_MS, null, () => {
      if (process.isDead || process.isPaused) return this.#ended(process, null);
      const left = [
        [fabric.socketsOf(process), "sockets"],
        [this.drive.memory.openFiles, "files"],
        [scheduler.pendingOf(process), "timers"],
      ] as const;
      for (const [count, what] of left) {
        if (count > 0) violated(`node ${this.id} has stopped, and ${count} ${what} of it are open`);
      }
      this.#ended(process, null);
    });
  }

  #started(process: Process, server: RunningServer): void {
    if (process.isDead) return;
    this.#server = server;
    if (this.#rot !== null) this.#options.onFallback();
    this.#rot = null;
    server.finished.then((error) => {
      if (error !== null) this.#ended(process, error);
    });
  }

  /** The program ended by itself: in good order, or because of an error. */
  #ended(process: Process, error: unknown): void {
    if (process.isDead || process !== this.#process) return;
    const reason = error === null ? "stopped" : error instanceof Error ? error.message : String(error);
    if ((this.#isDamaged || this.#rot === "may refuse") && isRefusal(error)) {
      this.#isRetired = true;
      this.#options.onRefusal();
      return this.#died(`refuses: ${reason}`);
    }
    if (error instanceof NodeRefusedError || (error instanceof JoinError && this.#isWiped)) {
      this.#isRetired = true;
      if (!this.#options.onExpulsion()) {
        this.#options.violated(`node ${this.id} is refused, and belongs to the cluster: ${reason}`);
      }
      return this.#died(`is out: ${reason}`);
    }
    if (error instanceof JoinError) this.#mayEnd = true;
    if (error !== null && !this.#mayEnd) {
      this.#options.violated(`node ${this.id} ended by itself: ${reason}`);
    }
    this.#died(`ended: ${reason}`);
    this.#options.scheduler.after(RESTART_MS, null, () => this.start());
  }

  #died(how: string): void {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    this.#server = null;
    this.#options.trace(() => `n${this.id} ${how}`);
    process.kill();
    this.#options.onDeath();
    this.#leftBehind = true;
  }

  #logger(process: Process): Logger {
    const write = (level: string) => (message: string, fields?: LogFields): void => {
      if (process.isDead) return;
      if (message === CONNECTION_FAULT) {
        this.#options.violated(`node ${this.id}: a connection ended by a fault: ${fields?.["stack"]}`);
      }
      this.#options.trace(() => `n${this.id} ${level}: ${message} ${JSON.stringify(fields ?? {})}`);
    };
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }
}

/** Returns whether an error is one of a server that finds damage. In its identity a flipped bit may look like another's folder. */
const REFUSALS = [
  LogDamagedError,
  DataDirectoryDamagedError,
  NewerFormatError,
  OtherNodeError,
  OtherClusterError,
  SnapshotMissingError,
  NewerSnapshotError,
];

function isRefusal(error: unknown): boolean {
  return REFUSALS.some((kind) => error instanceof kind);
}
