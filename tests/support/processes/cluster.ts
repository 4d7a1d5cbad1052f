/**
 * A cluster of real processes on loopback, with real files and real sockets. A test can crash, suspend and partition
 * its nodes, and have nodes join and leave (members.ts has the commands for that).
 *
 * With `proxied`, the nodes reach each other through proxies (each node's advertised address is its proxy, its
 * `--bind` is not), and every direction between two nodes can be cut. Tests and clients dial the nodes themselves.
 */
import { assertEquals } from "@std/assert";
import { KvClient } from "../../../lib/mod.ts";
import type { ServerFrame } from "../../../lib/protocol/client_frames.ts";
import type { NodeStatus } from "../../../lib/protocol/messages.ts";
import { CHECKOUT } from "../checkout.ts";
import { DEADLINE_MS, eventually } from "../eventually.ts";
import { ask } from "./probe.ts";
import { type Finished, type Process, READY_LINE, runKvraft, startKvraft } from "./process.ts";
import { Proxy } from "./proxy.ts";
import { freePorts, TemporaryFolder } from "../temporary.ts";

/** Options of a cluster. */
export interface ClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** Whether links can be cut. Default false. */
  readonly proxied?: boolean;
  /** Added to every node's flags. */
  readonly flags?: readonly string[];
  /** Added to the flags of one node. */
  readonly flagsOf?: (id: number) => readonly string[];
  /** Added to the environment of every node. */
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute path of the checkout whose kvraft the nodes run, until `startNode` names another. Default this one. */
  readonly checkout?: string;
  /** Which nodes to start. Default all. */
  readonly started?: readonly number[];
  /**
   * Called before the nodes start, to prepare their data directories. Its result is disposed of once their processes have
   * ended.
   */
  readonly prepare?: (cluster: TestCluster) => Promise<AsyncDisposable | null>;
}

/** One node, running or not. */
interface Member {
  readonly id: number;
  readonly port: number;
  readonly proxy: Proxy | null;
  /** The address at which the others dial it. */
  readonly memberAddress: string;
  /** The flags of its first start that describe the cluster. */
  readonly origin: readonly string[];
  /** Every process it had, the last one first; empty before the first start. */
  processes: Process[];
}

const HOST = "127.0.0.1";
/** A node that does not answer within this time counts as unreachable, as a suspended one does. */
const PROBE_DEADLINE_MS = 1_000;

/** Starts, disturbs and queries a cluster; its `await using` block ends all processes and removes all files. */
export class TestCluster implements AsyncDisposable {
  readonly folder: TemporaryFolder;
  /** The `--cluster` flag of the founding nodes. */
  readonly membersFlag: string;
  /** By which its clients sign in; null, the default: they do not. */
  token: string | null = null;
  readonly #flagsOf: (id: number) => readonly string[];
  readonly #checkout: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #proxied: boolean;
  #members: readonly Member[];
  /** Nodes that left. */
  #former: readonly Member[] = [];
  #highestId: number;
  #prepared: AsyncDisposable | null = null;

  private constructor(folder: TemporaryFolder, options: ClusterOptions) {
    const { nodes = 3, proxied = false, flags = [], flagsOf = (): [] => [] } = options;
    const firstPort = freePorts(2 * nodes);
    const address = (port: number): string => `${HOST}:${proxied ? port + nodes : port}`;
    const founders = Array.from({ length: nodes }, (_, position) => (
      { id: position + 1, port: firstPort + position, memberAddress: address(firstPort + position) }
    ));
    this.folder = folder;
    this.membersFlag = founders.map(({ id, memberAddress }) => `${id}=${memberAddress}`).join(",");
    this.#flagsOf = (id): readonly string[] => [...flags, ...flagsOf(id)];
    this.#checkout = options.checkout ?? CHECKOUT;
    this.#env = options.env ?? {};
    this.#proxied = proxied;
    this.#highestId = nodes;
    this.#members = founders.map((founder) => ({
      ...founder,
      proxy: proxied ? new Proxy({ port: founder.port + nodes, targetPort: founder.port }) : null,
      origin: ["--cluster", this.membersFlag],
      processes: [],
    }));
  }

  /** Starts all nodes and waits until each serves. The election of a leader may still be in progress. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(await TemporaryFolder.make(), options);
    await using unlessReady = new AsyncDisposableStack();
    unlessReady.use(cluster);
    cluster.#prepared = await options.prepare?.(cluster) ?? null;
    await cluster.startNodes(options.started ?? cluster.ids);
    unlessReady.move();
    return cluster;
  }

  /** The ids of all nodes, ascending. */
  get ids(): readonly number[] {
    return this.#members.map(({ id }) => id);
  }

  /** Returns the address on which a node listens. */
  address(id: number): string {
    return `${HOST}:${this.port(id)}`;
  }

  /** Returns the advertised address of a node, as in `member add`. */
  memberAddress(id: number): string {
    return this.#member(id).memberAddress;
  }

  /** Returns the port on which a node listens. */
  port(id: number): number {
    return this.#member(id).port;
  }

  /** Returns a node's data directory. */
  dataFolder(id: number): string {
    return `${this.folder.path}/data/node-${id}`;
  }

  /** Returns the flags of a node. `bind` replaces its listen address. */
  serverArguments(id: number, bind = this.address(id)): readonly string[] {
    return ["--node-id", `${id}`, "--bind", bind, ...this.#member(id).origin, ...this.#flagsOf(id)];
  }

  /** Starts a node, with the kvraft of `checkout`, and waits until it serves. */
  async startNode(id: number, checkout = this.#checkout): Promise<void> {
    const process = startKvraft(["server", ...this.serverArguments(id)], {
      cwd: this.folder.path,
      checkout,
      env: this.#env,
      name: `node ${id}`,
    });
    this.#member(id).processes.unshift(process);
    await process.waitForOutput(READY_LINE, { explain: this.logs });
  }

  /** Starts several nodes at the same time and waits until all serve. */
  async startNodes(ids: readonly number[]): Promise<void> {
    await Promise.all(ids.map((id) => this.startNode(id)));
  }

  /** Starts a new node with `--join` under an id never used before; it still has to be added. Returns its id. */
  async join(): Promise<number> {
    const origin = ["--join", this.ids.map((id) => this.address(id)).join(",")];
    const id = ++this.#highestId;
    const port = freePorts(2);
    const proxy = this.#proxied ? new Proxy({ port: port + 1, targetPort: port }) : null;
    const memberAddress = `${HOST}:${proxy === null ? port : port + 1}`;
    this.#members = [...this.#members, { id, port, proxy, memberAddress, origin, processes: [] }];
    await this.startNode(id);
    return id;
  }

  /** Removes a node from this cluster: kills its process and keeps its data. */
  async discard(id: number): Promise<void> {
    const member = this.#member(id);
    for (const process of member.processes) await process.kill();
    this.#members = this.#members.filter((other) => other !== member);
    this.#former = [...this.#former, member];
  }

  /** Waits until a node's process has ended by itself. */
  async end(id: number): Promise<Finished> {
    return await this.#process(id).end({ explain: this.logs });
  }

  /** Runs a command of the client, to its end, with these nodes' addresses (default: of all). It must exit with `code`. */
  async client(
    args: readonly string[],
    { code = 0, nodes = this.ids }: { readonly code?: number; readonly nodes?: readonly number[] } = {},
  ): Promise<Finished> {
    const addresses = nodes.map((id) => this.address(id)).join(",");
    const finished = await this.run(["client", "--cluster", addresses, ...args]);
    assertEquals(finished.code, code, `client ${args.join(" ")}: ${finished.stderr}\n${this.logs()}`);
    return finished;
  }

  /** Runs kvraft in this cluster's folder, to its end. */
  async run(args: readonly string[]): Promise<Finished> {
    return await runKvraft(args, { cwd: this.folder.path });
  }

  /** Kills a node's process with SIGKILL. */
  async kill(id: number): Promise<void> {
    await this.#process(id).kill();
  }

  /** Returns whether a node's process has ended, by itself or not. */
  hasEnded(id: number): boolean {
    return this.#process(id).hasEnded;
  }

  /** Returns the id of a node's process. */
  pid(id: number): number {
    return this.#process(id).pid;
  }

  /** Suspends a node (SIGSTOP): its sockets stay open and it does not answer. */
  pause(id: number): void {
    this.#process(id).signal("SIGSTOP");
  }

  /** Resumes a suspended node. */
  resume(id: number): void {
    this.#process(id).signal("SIGCONT");
  }

  /** Sends SIGTERM; resolves when the process has ended. */
  async stop(id: number): Promise<Finished> {
    return await this.#process(id).stop();
  }

  /** Cuts the link from `from` to `to`, in this direction only. */
  cut({ from, to }: { from: number; to: number }): void {
    this.#proxy(to).cut(from);
  }

  /** Cuts every link between one group of nodes and the others, in both directions. */
  partition(group: readonly number[]): void {
    for (const inside of group) {
      for (const outside of this.ids.filter((id) => !group.includes(id))) {
        this.cut({ from: inside, to: outside });
        this.cut({ from: outside, to: inside });
      }
    }
  }

  /** Delivers half of the next bytes from `from` to `to`, and then breaks their connection. */
  breakInMidFrame({ from, to }: { from: number; to: number }): void {
    this.#proxy(to).breakInMidFrame(from);
  }

  /** Delays all bytes from `from` to `to`. */
  delay({ from, to, delayMs }: { from: number; to: number; delayMs: number }): void {
    this.#proxy(to).delay(from, delayMs);
  }

  /** Undoes every cut and delay. */
  heal(): void {
    for (const { id } of this.#members) this.#proxy(id).heal();
  }

  /** Connects a client to these nodes (default: to all). Use with `await using`. */
  async connect(ids: readonly number[] = this.ids): Promise<KvClient> {
    const cluster = ids.map((id) => this.address(id));
    const { token } = this;
    return await KvClient.connect({ cluster, timeoutMs: DEADLINE_MS, ...token === null ? {} : { token } });
  }

  /** Returns the status of a node; null when it does not answer. */
  async status(id: number): Promise<NodeStatus | null> {
    const answer = await this.#ask(id, "status");
    return answer?.kind === "statusResult" ? answer.status : null;
  }

  /** Waits until a majority of the cluster, all of it among `ids`, follows one leader; returns its id. */
  async waitForLeader(ids: readonly number[] = this.ids): Promise<number> {
    const majority = Math.floor(this.#members.length / 2) + 1;
    return await eventually(`a majority among ${ids} follows one leader`, async () => {
      const answers = await Promise.all(ids.map((id) => this.status(id)));
      const leaders = answers.filter((status) => status?.role === "leader" && status.leader === status.id);
      for (const leader of leaders) {
        const followers = answers.filter((one) => one?.leader === leader?.id && one?.term === leader?.term);
        if (leader !== null && followers.length >= majority) return leader.id;
      }
      return null;
    }, { explain: this.logs });
  }

  /** Waits until all nodes have applied the same entries and have equal states; returns the hash of the state. */
  async waitForEqualStates(): Promise<string> {
    return await eventually(
      "all replicas have applied the same entries and their states are equal",
      async () => {
        const states: ServerFrame<"stateHashResult">[] = [];
        for (const id of this.ids) {
          const answer = await this.#ask(id, "stateHash");
          if (answer?.kind !== "stateHashResult") return null;
          states.push(answer);
        }
        const [first, ...others] = states;
        if (
          first === undefined || others.some(({ appliedIndex }) => appliedIndex !== first.appliedIndex)
        ) return null;
        if (others.some(({ hash }) => hash !== first.hash)) {
          throw new Error(`Replicas differ at one applied index: ${JSON.stringify(states)}`);
        }
        return first.hash;
      },
      { explain: this.logs },
    );
  }

  /** Returns the output of every process of every node, for errors. */
  readonly logs = (): string =>
    [...this.#former, ...this.#members].map(({ id, processes }) =>
      [...processes].reverse()
        .map((process, run) => `--- node ${id}, process ${run + 1} ---\n${process.printed}`).join("")
    ).join("\n");

  async [Symbol.asyncDispose](): Promise<void> {
    const members = [...this.#former, ...this.#members];
    for (const { processes } of members) {
      for (const process of processes) await process[Symbol.asyncDispose]();
    }
    await this.#prepared?.[Symbol.asyncDispose]();
    for (const { proxy } of members) await proxy?.[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }

  async #ask(id: number, kind: "status" | "stateHash"): ReturnType<typeof ask> {
    const deadlineMs = kind === "status" ? PROBE_DEADLINE_MS : DEADLINE_MS;
    return await ask({ port: this.port(id), kind, deadlineMs, token: this.token });
  }

  #member(id: number): Member {
    const member = this.#members.find((candidate) => candidate.id === id);
    if (member === undefined) throw new Error(`There is no node ${id}`);
    return member;
  }

  #process(id: number): Process {
    const [process] = this.#member(id).processes;
    if (process === undefined) throw new Error(`Node ${id} was never started`);
    return process;
  }

  #proxy(id: number): Proxy {
    const { proxy } = this.#member(id);
    if (proxy === null) throw new Error("Links can be cut only in a cluster started with { proxied: true }");
    return proxy;
  }
}
