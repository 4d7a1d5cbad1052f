/**
 * Hostile programs on the port for etcd's clients of real `kvraft server` processes, while another client is served.
 *
 * A violation: a node ends, its term changes, it logs a fault, or its memory grows beyond a bound; or the other client waits
 * long, is answered by a status that makes clients repeat a write, or reads a value that it has not written last.
 */
import { CONNECTION_FAULT } from "../../../lib/platform/fault.ts";
import { errorMessage } from "../../../lib/platform/errors.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { EtcdCluster } from "../../support/etcd/cluster.ts";
import { GrpcTestClient } from "../../support/etcd/grpc_client.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { EtcdSpeaker } from "./speaker.ts";

/** Long enough that a busy machine causes no election. */
const FLAGS = ["--election-timeout-ms", "5000", "--log-level", "error"];
const TELL_MS = 30_000;
/** A call of the other client that takes longer is a violation; it runs on the same busy machine as everything else. */
const LONGEST_CALL_MS = 10_000;
const MAX_MEMORY_MIB = 1_500;
/** The other client's calls on one connection: its tests' client keeps all frames. */
const CALLS_OF_CONNECTION = 200;
const KEY = "witness";
/** Statuses after which clients send a write again. */
const REPEATED = [1, 4];

/** Options of a run. */
export interface EtcdAttackOptions {
  readonly nodes: 1 | 3;
  readonly seconds: number;
  readonly seed: number;
  /** Takes a line of progress. */
  readonly tell: (line: string) => void;
}

/** Attacks nodes for the given time; resolves to the violations, of which the first counts. */
export async function attackEtcd(options: EtcdAttackOptions): Promise<readonly string[]> {
  await using served = await EtcdCluster.start({ nodes: options.nodes, flags: FLAGS });
  return await new Attack(served, options).run();
}

class Attack {
  readonly #served: EtcdCluster;
  readonly #options: EtcdAttackOptions;
  readonly #clock = new SystemClock();
  readonly #problems: string[] = [];
  #calls = 0;
  #longestMs = 0;

  constructor(served: EtcdCluster, options: EtcdAttackOptions) {
    this.#served = served;
    this.#options = options;
  }

  async run(): Promise<readonly string[]> {
    const { seconds, seed, tell } = this.#options;
    const { cluster } = this.#served;
    const leader = await cluster.waitForLeader();
    const term = (await cluster.status(leader))?.term ?? 0;
    const random = new SeededRandom(seed);
    const speakers = this.#served.addresses.map((address) =>
      new EtcdSpeaker({
        clock: this.#clock,
        port: Number(address.split(":").at(-1)),
        random: new SeededRandom(random.below(2 ** 31)),
      })
    );
    const endAt = this.#clock.now() + seconds * 1_000;
    const goesOn = (): boolean => this.#clock.now() < endAt && this.#problems.length === 0;
    const progress = (): string =>
      `${
        JSON.stringify(speakers.map(({ attacks }) => Object.fromEntries(attacks)))
      }; ${this.#calls} calls of ` +
      `another client, longest ${Math.round(this.#longestMs)} ms; MiB ${JSON.stringify(this.#memory())}`;
    await Promise.all([
      ...speakers.map((speaker) => speaker.run(goesOn)),
      this.#witness(goesOn, { term, tell: () => tell(progress()) }),
    ]);
    tell(progress());
    if (this.#longestMs > LONGEST_CALL_MS) this.#problems.push(`a call took ${this.#longestMs} ms`);
    if (cluster.logs().includes(CONNECTION_FAULT)) this.#problems.push("a node has logged a fault");
    if (this.#problems.length > 0) tell(cluster.logs().slice(-20_000));
    return this.#problems;
  }

  /** Writes and reads, and checks the nodes, while `goesOn` returns true. */
  async #witness(
    goesOn: () => boolean,
    { term, tell }: { readonly term: number; readonly tell: () => void },
  ): Promise<void> {
    let tellAt = this.#clock.now() + TELL_MS;
    while (goesOn()) {
      await using client = await GrpcTestClient.connect(await this.#served.followerAddress());
      for (let number = 0; number < CALLS_OF_CONNECTION && goesOn(); number++) {
        if (!await this.#isServed(client)) break;
        if (this.#clock.now() < tellAt) continue;
        tellAt += TELL_MS;
        tell();
      }
      await this.#checkNodes(term);
    }
    await this.#checkNodes(term);
  }

  /** Writes and reads; resolves to whether the connection goes on. Its end is a violation. */
  async #isServed(client: GrpcTestClient): Promise<boolean> {
    try {
      await this.#writeAndRead(client);
      return true;
    } catch (error) {
      this.#problems.push(`the other client: ${errorMessage(error)}`);
      return false;
    }
  }

  async #writeAndRead(client: GrpcTestClient): Promise<void> {
    const value = `${this.#calls}`;
    const put = await this.#timed(() => client.call("etcdserverpb.KV/Put", { key: KEY, value }));
    if (REPEATED.includes(put.code)) this.#problems.push(`a put was answered by ${put.code} ${put.message}`);
    if (put.code !== 0) return;
    const range = await this.#timed(() => client.call("etcdserverpb.KV/Range", { key: KEY }));
    if (range.code !== 0) return;
    // A hostile program may have deleted it.
    const read = JSON.stringify(range.messages[0]?.["kvs"] ?? null);
    if (read !== "null" && !read.includes(`"value":"${value}"`)) {
      this.#problems.push(`a read of ${value} has returned ${read}`);
    }
  }

  async #timed<T>(call: () => Promise<T>): Promise<T> {
    const begin = this.#clock.now();
    const answer = await call();
    this.#calls += 1;
    this.#longestMs = Math.max(this.#longestMs, this.#clock.now() - begin);
    return answer;
  }

  async #checkNodes(term: number): Promise<void> {
    const { cluster } = this.#served;
    for (const id of cluster.ids) {
      if (cluster.hasEnded(id)) {
        this.#problems.push(`node ${id} has ended`);
        continue;
      }
      const status = await cluster.status(id);
      if (status !== null && status.term !== term) {
        this.#problems.push(`node ${id} came from term ${term} to ${status.term}`);
      }
    }
    const memory = this.#memory();
    if (memory.some((mib) => mib > MAX_MEMORY_MIB)) {
      this.#problems.push(`the nodes have MiB ${JSON.stringify(memory)}`);
    }
  }

  #memory(): readonly number[] {
    const { cluster } = this.#served;
    return cluster.ids.map((id) => {
      if (cluster.hasEnded(id)) return 0;
      const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${cluster.pid(id)}/status`)) ??
        [];
      return Math.round(Number(kib) / 1_024);
    });
  }
}
