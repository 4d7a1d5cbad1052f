/** kvraft nodes from source, with the permissions of the executable and with data on the disk of the checkout. */
import { join } from "@std/path";
import { KvClient } from "../../../lib/mod.ts";
import type { NodeStatus } from "../../../lib/protocol/messages.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { ask } from "../../support/processes/probe.ts";
import { kvraftCommand, Process, READY_LINE } from "../../support/processes/process.ts";
import { freePorts } from "../../support/temporary.ts";
import { Inspector, type ScriptMemory } from "../inspector.ts";
import type { ClientCredentials } from "../generator_main.ts";
import { cpuMsOf, residentBytesOf } from "../processes.ts";

const HOST = "127.0.0.1";
/** Time after which an operation counts as stuck. */
export const PATIENCE_MS = 1_800_000;
const LOG_LINES = 6;
const STATUS_DEADLINE_MS = 2_000;
/** Clients and peers, HTTP, Deno KV, the inspector, and etcd's clients. */
const PORTS_OF_A_NODE = 5;

/** The options of a cluster. */
export interface NodesOptions {
  /** Default 3. */
  readonly count?: number;
  /** Additional flags of each node. */
  readonly flags?: readonly string[];
  /** Whether each serves metrics over HTTP. Default false. */
  readonly http?: boolean;
  /** Whether each serves Deno KV. Default false. */
  readonly denokv?: boolean;
  /** Whether each serves etcd's clients. Default false. */
  readonly etcd?: boolean;
  /** Whether each has an inspector, for {@link Nodes.memory}. Default false. */
  readonly inspects?: boolean;
  /** Files for the nodes by name, which only their owner may read. */
  readonly files?: Readonly<Record<string, string>>;
  /** The certificates and the token of clients. Default none. */
  readonly credentials?: ClientCredentials;
  /** Absolute path of the checkout whose kvraft runs. Default this one. */
  readonly checkout?: string;
}

/** A cluster; disposing of it ends its processes and removes its folder. */
export class Nodes implements AsyncDisposable {
  /** The ids of all, ascending. */
  readonly ids: readonly number[];
  readonly #folder: string;
  readonly #firstPort: number;
  readonly #flags: readonly string[];
  readonly #http: boolean;
  readonly #denokv: boolean;
  readonly #etcd: boolean;
  readonly #inspects: boolean;
  readonly #checkout: string | undefined;
  #credentials: ClientCredentials;
  readonly #processes = new Map<number, Process>();
  #isDisposed = false;

  private constructor(options: NodesOptions) {
    const { count = 3, flags = [], http = false, denokv = false, inspects = false, checkout } = options;
    const parent = join(CHECKOUT, ".cache", "bench");
    Deno.mkdirSync(parent, { recursive: true });
    this.ids = Array.from({ length: count }, (_, position) => position + 1);
    this.#folder = Deno.makeTempDirSync({ dir: parent, prefix: "situation-" });
    this.#firstPort = freePorts(PORTS_OF_A_NODE * count);
    this.#flags = flags;
    this.#http = http;
    this.#denokv = denokv;
    this.#etcd = options.etcd ?? false;
    this.#inspects = inspects;
    this.#checkout = checkout;
    this.#credentials = options.credentials ?? {};
    for (const [name, text] of Object.entries(options.files ?? {})) {
      Deno.writeTextFileSync(join(this.#folder, name), text, { mode: 0o600 });
    }
  }

  /** Starts all and waits until they have a leader. */
  static async start(options: NodesOptions = {}): Promise<Nodes> {
    const nodes = new Nodes(options);
    await using unlessReady = new AsyncDisposableStack();
    unlessReady.use(nodes);
    await Promise.all(nodes.ids.map((id) => nodes.startNode(id)));
    await nodes.waitForLeader();
    unlessReady.move();
    return nodes;
  }

  /** Starts one; returns the time until it served, in steps of some 20 ms. */
  async startNode(id: number): Promise<number> {
    const cluster = this.ids.map((one) => `${one}=${this.address(one)}`).join(",");
    const http = this.#http ? ["--http", this.httpAddress(id)] : [];
    const denokv = this.#denokv ? ["--denokv", `${HOST}:${this.denokvPort(id)}`] : [];
    const etcd = this.#etcd ? ["--etcd", this.etcdAddress(id)] : [];
    const flags = [
      "--node-id",
      `${id}`,
      "--bind",
      this.address(id),
      "--cluster",
      cluster,
      ...http,
      ...denokv,
      ...etcd,
    ];
    const startedAt = performance.now();
    const [program, ...args] = kvraftCommand(["server", ...flags, ...this.#flags], this.#checkout);
    const inspect = this.#inspects ? [`--inspect=${this.#inspectorAddress(id)}`] : [];
    // The first argument is Deno's command, "run".
    const process = Process.start(program, [...args.slice(0, 1), ...inspect, ...args.slice(1)], {
      cwd: this.#folder,
      name: `node ${id}`,
    });
    this.#processes.set(id, process);
    await process.waitForOutput(READY_LINE, { deadlineMs: PATIENCE_MS });
    return performance.now() - startedAt;
  }

  /** Returns the address of a node. */
  address(id: number): string {
    return `${HOST}:${this.#firstPort + id - 1}`;
  }

  /** Returns the HTTP address of a node's metrics. */
  httpAddress(id: number): string {
    return `${HOST}:${this.#firstPort + this.ids.length + id - 1}`;
  }

  /** Returns the port of a node's Deno KV. */
  denokvPort(id: number): number {
    return this.#firstPort + 3 * this.ids.length + id - 1;
  }

  /** Returns the address of a node for etcd's clients. */
  etcdAddress(id: number): string {
    return `${HOST}:${this.#firstPort + 4 * this.ids.length + id - 1}`;
  }

  /** Returns the addresses of all nodes, the leader's first. */
  async addresses(): Promise<readonly string[]> {
    const leader = await this.waitForLeader();
    return [leader, ...this.ids.filter((id) => id !== leader)].map((id) => this.address(id));
  }

  /** The certificates and the token of clients. */
  get credentials(): ClientCredentials {
    return this.#credentials;
  }

  /** Makes clients sign in from now on. */
  signInWith(token: string): void {
    this.#credentials = { ...this.#credentials, token };
  }

  /** Connects a client to all of them. Use with `await using`. */
  async connect(): Promise<KvClient> {
    const cluster = this.ids.map((id) => this.address(id));
    return await KvClient.connect({ cluster, timeoutMs: 60_000, ...this.#credentials });
  }

  /** Returns the resident memory of one. */
  residentBytes(id: number): number {
    return residentBytesOf(this.#process(id).pid);
  }

  /** Returns the memory that JavaScript uses in one, after a garbage collection. */
  async memory(id: number): Promise<ScriptMemory> {
    using inspector = await Inspector.open(this.#inspectorAddress(id));
    return await inspector.memory();
  }

  /** Returns the CPU time of one since it was started. */
  cpuMs(id: number): number {
    return cpuMsOf(this.#process(id).pid);
  }

  /** Sends SIGSTOP or SIGCONT. */
  signal(id: number, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process(id).signal(signal);
  }

  /** Returns the last lines that each node has printed, to diagnose a failure. */
  logs(): string {
    return this.ids.map((id) => {
      const lines = this.#process(id).printed.trimEnd().split("\n").slice(-LOG_LINES);
      return [`--- node ${id}`, ...lines].join("\n");
    }).join("\n");
  }

  /** kill -9. */
  async kill(id: number): Promise<void> {
    await this.#process(id).kill();
  }

  /** Sends SIGTERM; resolves when the process has ended. */
  async stop(id: number): Promise<void> {
    await this.#process(id).stop();
  }

  /** Removes the data of a stopped node. */
  async forget(id: number): Promise<void> {
    await Deno.remove(join(this.#folder, "data", `node-${id}`), { recursive: true });
  }

  /** Returns the status of a node without credentials; null when it does not answer. */
  async status(id: number): Promise<NodeStatus | null> {
    const port = this.#firstPort + id - 1;
    const answer = await ask({ port, kind: "status", deadlineMs: STATUS_DEADLINE_MS });
    return answer?.kind === "statusResult" ? answer.status : null;
  }

  /** Waits for a leader that a majority follows. */
  async waitForLeader(): Promise<number> {
    if (Object.keys(this.#credentials).length > 0) {
      // A node does not answer the status without them.
      await using client = await this.connect();
      return await this.#eventually(
        "a majority follows one leader",
        async () => (await client.cluster.status()).leader,
        DEADLINE_MS,
      );
    }
    return await this.#eventually("a majority follows one leader", async () => {
      const answers = await Promise.all(this.ids.map((id) => this.status(id)));
      const leader = answers.find((one) => one?.role === "leader");
      const followers = answers.filter((one) => one?.leader === leader?.id && one?.term === leader?.term);
      return leader !== undefined && leader !== null && followers.length * 2 > this.ids.length
        ? leader.id
        : null;
    }, DEADLINE_MS);
  }

  /** Waits until every node has applied all that its leader has in its log. */
  async waitUntilLevel(): Promise<void> {
    await this.#eventually("all nodes are level", async () => {
      const answers = await Promise.all(this.ids.map((id) => this.status(id)));
      const leader = answers.find((one) => one?.role === "leader");
      const isLevel = answers.every((one) =>
        one !== null && one.leader === leader?.id && one.appliedIndex === leader.lastLogIndex
      );
      return isLevel ? true : null;
    }, PATIENCE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const process of this.#processes.values()) await process[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }

  #inspectorAddress(id: number): string {
    return `${HOST}:${this.#firstPort + 2 * this.ids.length + id - 1}`;
  }

  /** Waits as `eventually` does, but ends at once when the cluster is disposed of. */
  async #eventually<T>(what: string, attempt: () => Promise<T | null>, deadlineMs: number): Promise<T> {
    const disposed = new Error(`The cluster was disposed of before ${what}.`);
    const result = await eventually<T | Error>(
      what,
      async () => this.#isDisposed ? disposed : await attempt(),
      {
        deadlineMs,
      },
    );
    if (result instanceof Error) throw result;
    return result;
  }

  #process(id: number): Process {
    const process = this.#processes.get(id);
    if (process === undefined) throw new Error(`Node ${id} was never started`);
    return process;
  }
}
