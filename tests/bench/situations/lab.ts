/** The environment of a situation: it starts clusters and load, and stops all of them in the end. */
import type { Load } from "../../../lib/loadgen/mod.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import type { Consistency } from "../../../lib/protocol/messages.ts";
import { pause } from "../../../lib/platform/promise.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { denoCommand, Process } from "../../support/processes/process.ts";
import type { Assignment, ClientCredentials, GeneratorAnswer } from "../generator_main.ts";
import { type Measurement, measurementOf } from "../measurements.ts";
import { sharesOf } from "../shares.ts";
import type { PeerName } from "../workloads.ts";
import type { Figure } from "./figures.ts";
import { Nodes, type NodesOptions, PATIENCE_MS } from "./nodes.ts";

const PUTS = { put: 1, get: 0 } as const;
/** A mix of gets only, for {@link Work}. */
export const GETS = { put: 0, get: 1 } as const;
const SHORT_SHARE = 0.2;

/** Load; by default a closed loop of 64 clients, each with one put of 256 bytes in flight, 1000 keys. */
export interface Work extends Partial<Omit<Load, "durationMs">> {
  readonly seconds: number;
  readonly prefix?: string;
  /** Whether every key is written before. */
  readonly loadsKeys?: boolean;
  /** Processes that share the clients. Default 1. */
  readonly generators?: number;
  /** Bypasses the client library and spreads the connections over `nodes`. */
  readonly direct?: { readonly consistency: Consistency; readonly nodes: "leader" | "all" };
}

/** Nodes to put load on: {@link Nodes}, or those of another store. */
export interface LoadedNodes {
  /** Default kvraft. */
  readonly peer?: PeerName;
  /** Default none. */
  readonly credentials?: ClientCredentials;
  /** The addresses of all nodes, the leader's first. */
  addresses(): Promise<readonly string[]>;
}

/** The options of a run. */
export interface LabOptions {
  readonly isQuick: boolean;
  /** Seconds for which a follower is suspended. */
  readonly stoppedSeconds: number;
  /** How much faster than in reality the load of an hour is put. */
  readonly speedUp: number;
  readonly say: (text: string) => void;
}

/** A situation to measure. */
export interface Situation {
  readonly name: string;
  /** A sentence or two for the page: what is done, and what the figures are. */
  readonly about: string;
  /** Default number of measurements. */
  readonly rounds: number;
  measure(lab: Lab): Promise<readonly Figure[]>;
}

/** Owns every process. Disposing of it early fails the current measurement. */
export class Lab implements AsyncDisposable {
  readonly isQuick: boolean;
  readonly stoppedSeconds: number;
  readonly speedUp: number;
  readonly say: (text: string) => void;
  readonly #owned = new Set<AsyncDisposable>();
  readonly #end = new AbortController();

  constructor({ isQuick, stoppedSeconds, speedUp, say }: LabOptions) {
    this.isQuick = isQuick;
    this.stoppedSeconds = stoppedSeconds;
    this.speedUp = speedUp;
    this.say = say;
  }

  /** Returns so many seconds; a fifth of them, and at least one, in a short run. */
  seconds(count: number): number {
    return this.isQuick ? Math.max(1, count * SHORT_SHARE) : count;
  }

  /** Returns `count`, or `quick` in a short run. */
  count(count: number, quick: number): number {
    return this.isQuick ? quick : count;
  }

  /** Starts a cluster, for use with `await using`, and warms it up, so that hot functions are compiled. */
  async startNodes(options: NodesOptions & { readonly isWarm?: boolean } = {}): Promise<Nodes> {
    const nodes = await this.own(Nodes.start(options));
    if (options.isWarm !== false) {
      await this.load(nodes, { seconds: this.seconds(5), inFlight: 4, mix: { put: 1, get: 1 } });
    }
    return nodes;
  }

  /** Registers a resource to be disposed of with the lab. Throws when the lab is disposed of already. */
  async own<T extends AsyncDisposable>(made: T | Promise<T>): Promise<T> {
    const one = await made;
    if (this.#end.signal.aborted) {
      await one[Symbol.asyncDispose]();
      throw new Error("The run was ended.");
    }
    this.#owned.add(one);
    return one;
  }

  /** Loads a cluster from other processes, and returns the results. */
  async load(nodes: LoadedNodes, work: Work): Promise<Measurement> {
    const { seconds, prefix = "bench/", loadsKeys = false, direct, clients = 64, generators = 1, ...load } =
      work;
    const addresses = await nodes.addresses();
    const { peer = "kvraft", credentials = {} } = nodes;
    const assignment: Assignment = {
      peer,
      addresses: direct?.nodes === "leader" ? addresses.slice(0, 1) : addresses,
      connections: clients,
      load: {
        clients,
        inFlight: 1,
        mix: PUTS,
        valueBytes: 256,
        keyCount: 1_000,
        distribution: "uniform",
        ratePerSecond: null,
        warmupMs: seconds * 1_000 * SHORT_SHARE,
        ...load,
        durationMs: seconds * 1_000,
      },
      prefix,
      loadsKeys,
      credentials,
      ...(direct === undefined ? {} : { direct: direct.consistency }),
    };
    const answers = await Promise.all(
      sharesOf(assignment, generators).map((share): Promise<GeneratorAnswer> =>
        this.runScript("tests/bench/generator_main.ts", share)
      ),
    );
    return measurementOf(answers, { round: 1, workload: "", peer, residentBytes: [], cpuMs: [] });
  }

  /** Runs a script of this checkout with an assignment as JSON, and returns its output, parsed as JSON. */
  async runScript<T>(script: string, assignment: unknown): Promise<T> {
    const [program, ...args] = denoCommand(script, {
      permissions: ["--allow-all"],
      args: [JSON.stringify(assignment)],
    });
    await using process = await this.own(Process.start(program, args, { cwd: CHECKOUT, name: script }));
    const { code, stdout, stderr } = await process.end({ deadlineMs: PATIENCE_MS });
    if (code !== 0) throw new Error(`${script} failed: ${stderr.trim() || "it was ended"}`);
    return JSON.parse(stdout);
  }

  /** Waits without any request. */
  async rest(seconds: number): Promise<void> {
    await pause(seconds * 1_000, { clock: new SystemClock(), signal: this.#end.signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    const owned = [...this.#owned].reverse();
    this.#owned.clear();
    for (const one of owned) await one[Symbol.asyncDispose]();
  }
}
