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
import { CONNECTION_FAULT } from "../../../lib/platform/fault.ts";
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
import { hashOf } from "../users/administrator.ts";
import type { ServerTls } from "../../../lib/server/startup/server_tls.ts";
import { nodeCertificate } from "./certificates.ts";
import { prepareDisk } from "./prepared_disk.ts";
import { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimClock } from "./sim_clock.ts";
import { type DriveFault, SimDisk, SimDrive } from "./sim_disk.ts";
import { type Fabric, SimNetwork } from "./sim_network.ts";

/** Delay of the restart after a server has ended by itself. */
const RESTART_MS = 300;

/** Bound of a clean stop, in election timeouts during which the server can run. */
const STOP_TIMEOUTS = 5;

/** Checks per election timeout of whether a stopping server can run: every fault lasts longer than one interval. */
const LOOKS_PER_TIMEOUT = 40;

/** Longest turn of the event loop. */
const LAST_TURN_MS = 2;

/** The time at which simulations begin, in milliseconds since 1970. */
const WALL_START_MS = 1_800_000_000_000;

/** Returns milliseconds since 1970, by a clock that is right. */
export function wallMsOf({ nowMs }: Scheduler): number {
  return WALL_START_MS + nowMs;
}

/** Options of a machine. */
export interface MachineOptions {
  readonly config: ServerConfig;
  readonly limits: ServerLimits;
  /** Returns the content of its file with the peer secret. */
  readonly readPrivateFile: () => string;
  /** The certificates that it demands; null where connections show none. */
  readonly tls: ServerTls | null;
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly random: SeededRandom;
  readonly clockSpeed: number;
  /** The difference of its wall clock from the right one. */
  readonly wallOffsetMs: number;
  readonly syncMs: number;
  readonly violated: (message: string) => void;
  /** Called when its process has ended. */
  readonly onDeath: () => void;
  readonly onDiskFault: (fault: DriveFault) => void;
  /** Called when a server refused to start on a damaged folder. */
  readonly onRefusal: () => void;
  /** Called when its disk was replaced by an empty one. */
  readonly onWipe: () => void;
  /** Called when the cluster refuses it; returns whether that is correct. */
  readonly onExpulsion: () => boolean;
  /** Called when it started although its newest snapshot is damaged. */
  readonly onFallback: () => void;
  /** Called with each line of its log. */
  readonly onLogLine: (message: string, fields: LogFields) => void;
  readonly trace: (line: () => string) => void;
}

/** One node's machine. */
export class Machine {
  readonly drive: SimDrive;
  readonly #options: MachineOptions;
  #process: Process | null = null;
  #clock: SimClock | null = null;
  #server: RunningServer | null = null;
  /** Whether its disk has failed since the start, so that the server may end by itself. */
  #mayEnd = false;
  /** Number of faults that keep it down. */
  #downs = 0;
  #starts = 0;
  /** Whether the process of a running machine died, whose open resources are still to be released. */
  #leftBehind = false;
  /** Whether a bit of its folder was flipped. */
  #isDamaged = false;
  /** Whether it will be damaged as soon as it runs. */
  #isDoomed = false;
  /** The permitted result of the next start after a bit of its newest snapshot was flipped. */
  #rot: "must start" | "may refuse" | null = null;
  /** Snapshots with a flipped bit. */
  readonly #rotten = new Set<string>();
  /** Whether it has an empty disk under the id of a member. */
  #isWiped = false;
  /** Whether it refused its folder, or was refused by the cluster, and is not started again. */
  #isRetired = false;
  #config: ServerConfig;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#config = options.config;
    this.drive = new SimDrive({ random: options.random, syncMs: options.syncMs });
    this.drive.onFault = (fault): void => {
      // A running server continues without descriptors; a starting one may need them.
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

  /** Milliseconds since 1970, by its wall clock. */
  get wallMs(): number {
    return wallMsOf(this.#options.scheduler) + this.wallOffsetMs;
  }

  /** Milliseconds by which its wall clock is ahead. */
  get wallOffsetMs(): number {
    return this.#options.wallOffsetMs;
  }

  /** Starts the server, unless it runs or something keeps it down. */
  start(): void {
    if (this.#process !== null || this.#downs > 0 || this.#isRetired) return;
    const { limits, readPrivateFile, host, scheduler, fabric, random, clockSpeed, tls } = this.#options;
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
      network: new SimNetwork(fabric, process, tls === null ? null : nodeCertificate(host)),
      tls,
      clock,
      wallClock: (): number => this.wallMs,
      random: (): number => random.next(),
      randomBytes: (count) => Uint8Array.from({ length: count }, () => random.below(256)),
      readPrivateFile,
      scrypt: (password) => Promise.resolve(hashOf(password)),
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

  /** Kills the server; {@link recover}, called as often, starts it again. */
  kill(): void {
    this.#downs += 1;
    this.#died("killed");
  }

  /** Cuts the power: unsynced data may be lost. */
  losePower(): void {
    this.#downs += 1;
    // The other ends receive nothing: the sockets disappear before the process can close them.
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

  /** Ends all faults that keep it down, and all faults of its disk. */
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
   * Kills its server, flips a bit of its folder, and starts it again, as soon as it runs on a disk with free space. (A
   * full disk has no space for a sync mark, without which the last write can't be distinguished from a torn one, so that
   * damage to it need not be detected.)
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
   * Kills its server, flips a bit of its newest snapshot, and starts it again: it must start if an older snapshot and the
   * log (which begins with `firstIndex`) are enough, and may refuse otherwise. With `isRunning` the server is not killed:
   * it does not read the file again.
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
   * Replaces its disk by an empty one, and starts it again, with its first configuration or with `join`: its votes and
   * acknowledgements are lost.
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

  /** Prepares a disk with which it first starts in `term`. */
  prepare(term: number): Promise<void> {
    return prepareDisk(this.drive.memory, { config: this.#options.config, term });
  }

  /** Advances its clock by this much. */
  jumpClock(byMs: number): void {
    this.#clock?.jump(byMs);
  }

  /** Fills its disk up to a few bytes. */
  fillDisk(bytes: number): void {
    this.#mayEnd = true;
    this.drive.setFreeBytes(bytes);
  }

  /** Uses up its file descriptors: open files stay open, and no other can be opened. */
  takeDescriptors(): void {
    this.drive.trouble.lacksDescriptors = true;
    this.#options.fabric.lackingDescriptors.add(this.host);
  }

  /** Frees file descriptors again. */
  giveDescriptors(): void {
    this.drive.trouble.lacksDescriptors = false;
    this.#options.fabric.lackingDescriptors.delete(this.host);
  }

  /** Stops the server cleanly, and starts it again. */
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
   * Checks that a stopping server ends in time. Only time in which it can run counts: while it is paused, or its disk is
   * troubled, it makes no progress. (A single check at the end would not do, as it may have been paused until then.)
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

  /** Checks that a server which reports that it has stopped has left no timer, socket or file. */
  #stopped(process: Process): void {
    if (process.isDead) return;
    const { fabric, scheduler, violated } = this.#options;
    // The last turn of the event loop may not have ended.
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

  /** Handles the end of the program, cleanly or by an error. */
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
      this.#options.onLogLine(message, fields ?? {});
      this.#options.trace(() => `n${this.id} ${level}: ${message} ${JSON.stringify(fields ?? {})}`);
    };
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }
}

/** Returns whether an error reports damage. A flipped bit in the identity may look like the folder of another node. */
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
