/** Whole servers in one process: disks and network in memory, and time that passes only while a test waits. */
import type { KvClient } from "../../../lib/mod.ts";
import { connectOn } from "../../../lib/testing.ts";
import type { NodeAddress } from "../../../lib/protocol/node_list.ts";
import { type ServerConfig } from "../../../lib/server/config/config.ts";
import { serverConfigOf } from "../../../lib/server/config/reading.ts";
import type { Resources } from "../../../lib/server/metrics/metric.ts";
import { type RunningServer, startServer } from "../../../lib/server/mod.ts";
import { SERVER_LIMITS, type ServerLimits } from "../../../lib/server/config/server_limits.ts";
import { quickScrypt } from "./auth.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { MemoryDisk } from "./memory_disk.ts";
import { MemoryHttp } from "./memory_http.ts";
import { MemoryNetwork } from "./memory_network.ts";
import { RecordingLogger } from "./recording_logger.ts";
import { SeededRandom } from "../seeded_random.ts";

const STEP_MS = 10;
const ELECTION_TIMEOUT_MS = 200;
/** Time limit of a wait. */
const PATIENCE_MS = 120_000;
/** The wall clock of all nodes when the test's clock is 0. */
export const START_OF_2026_MS = 1_767_225_600_000;

/** Facts about the process, as servers in memory report them. */
const NO_RESOURCES: Resources = {
  residentBytes: 0,
  heapUsedBytes: 0,
  heapTotalBytes: 0,
  externalBytes: 0,
  cpuMs: 0,
};

/** Options of a server. */
export interface StartOptions {
  /** Nodes of the cluster that it founds; null for a server that joins or restarts. */
  readonly founders?: readonly number[] | null;
  /** Nodes that it asks to join. */
  readonly join?: readonly number[];
  readonly signal?: AbortSignal;
  readonly changes?: Partial<ServerConfig>;
}

/** Servers, their folders, and the time that they share. */
export class MemoryCluster implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly http = new MemoryHttp();
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  /** The files with secrets, by path; a test may change them. */
  readonly secretFiles = new Map<string, string>();
  readonly #disks = new Map<number, MemoryDisk>();
  readonly #servers = new Map<number, RunningServer>();
  readonly #clients: KvClient[] = [];
  readonly #random = new SeededRandom(1);
  readonly #limits: ServerLimits;

  constructor(limits: Partial<ServerLimits> = {}) {
    this.#limits = { ...SERVER_LIMITS, ...limits };
  }

  /** Where a node is. */
  static addressOf(id: number): NodeAddress {
    return { id, address: { host: `n${id}`, port: 7001 } };
  }

  /** Returns a node's disk, created on first use. Replacing it loses the old one. */
  disk(id: number): MemoryDisk {
    const disk = this.#disks.get(id) ?? new MemoryDisk();
    this.#disks.set(id, disk);
    return disk;
  }

  /** Replaces the node's disk by an empty one. */
  loseDisk(id: number): void {
    this.#disks.set(id, new MemoryDisk());
  }

  /** Starts a server; resolves once it serves. Time passes. */
  start(id: number, options: StartOptions = {}): Promise<RunningServer> {
    return this.run(this.begin(id, options));
  }

  /** Starts a server; the test must let time pass. */
  async begin(
    id: number,
    { founders = null, join = [], signal, changes = {} }: StartOptions = {},
  ): Promise<RunningServer> {
    const { network, clock, logger } = this;
    const config = serverConfigOf({
      nodeId: id,
      bind: MemoryCluster.addressOf(id).address,
      members: founders?.map(MemoryCluster.addressOf) ?? null,
      join: join.map((node) => MemoryCluster.addressOf(node).address),
      dataDir: "/data",
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      heartbeatMs: 50,
      maxValueBytes: 100_000,
      segmentBytes: 65_536,
      maxConnections: 64,
      snapshotLogBytes: 1_000_000_000,
      ...changes,
    });
    const server = await startServer(config, {
      disk: this.disk(id),
      network,
      clock,
      wallClock: () => START_OF_2026_MS + clock.now(),
      random: () => this.#random.next(),
      randomBytes: (count) => Uint8Array.from({ length: count }, () => this.#random.below(256)),
      readPrivateFile: (path) => {
        const text = this.secretFiles.get(path);
        if (text === undefined) throw new Error("there is no such file");
        return text;
      },
      logger,
      scrypt: quickScrypt,
      limits: this.#limits,
      monitoring: { http: this.http, resources: () => NO_RESOURCES },
      ...signal === undefined ? {} : { signal },
    });
    this.#servers.set(id, server);
    return server;
  }

  /** Returns a node's server while it runs, else null. */
  server(id: number): RunningServer | null {
    return this.#servers.get(id) ?? null;
  }

  /** Starts all founders. */
  async found(...ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.start(id, { founders: ids });
  }

  /** Returns a client with the addresses of these nodes. */
  async client(...ids: readonly number[]): Promise<KvClient> {
    const platform = { network: this.network, clock: this.clock, random: () => this.#random.next() };
    const cluster = ids.map((id) => `${id}=n${id}:7001`);
    const client = await this.run(connectOn(platform, { cluster, timeoutMs: 20_000 }));
    this.#clients.push(client);
    return client;
  }

  /** Stops a server cleanly. */
  async stop(id: number): Promise<void> {
    const server = this.#servers.get(id);
    this.#servers.delete(id);
    if (server !== undefined) await this.run(server.stop());
  }

  /** Lets time pass until the promise settles. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = (): void => void (isSettled = true);
    promise.then(settled, settled);
    const deadline = this.clock.now() + PATIENCE_MS;
    while (!isSettled) {
      await settle();
      if (isSettled) break;
      if (this.clock.now() > deadline) {
        throw new Error("Waited in vain: two minutes of the test's time are over");
      }
      this.clock.advance(STEP_MS);
    }
    return await promise;
  }

  /** Lets time pass until the condition holds. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    await this.run((async () => {
      while (!await condition()) await new Promise<void>((resolve) => this.clock.after(STEP_MS, resolve));
    })());
  }

  /** Waits until the state has a history: the feature level rises once the members are connected. */
  async untilHistory(client: KvClient): Promise<void> {
    await this.run(client.history("any"));
  }

  /** Lets this much time pass. */
  async pass(durationMs: number): Promise<void> {
    await this.run(new Promise<void>((resolve) => this.clock.after(durationMs, resolve)));
  }

  /** Ends every client and server. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await this.run(client.close());
    for (const id of [...this.#servers.keys()]) await this.stop(id);
  }
}
