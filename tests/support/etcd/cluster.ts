/** A cluster of real processes that serves etcd's clients. */
import { assert } from "@std/assert";
import { type ClusterOptions, TestCluster } from "../processes/cluster.ts";
import { parseMetrics, sumOf } from "../prometheus.ts";
import { freePorts } from "../temporary.ts";

const HOST = "127.0.0.1";

/** A cluster, and the addresses for etcd's clients. Use with `await using`. */
export class EtcdCluster implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly #firstPort: number;

  private constructor(cluster: TestCluster, firstPort: number) {
    this.cluster = cluster;
    this.#firstPort = firstPort;
  }

  /** Starts the nodes (default 3), with more flags, and waits until they have all features. */
  static async start(options: Pick<ClusterOptions, "nodes" | "flags"> = {}): Promise<EtcdCluster> {
    const { nodes = 3 } = options;
    const firstPort = freePorts(2 * nodes);
    const flagsOf = (id: number): readonly string[] => [
      "--etcd",
      `${HOST}:${firstPort + id - 1}`,
      "--http",
      `${HOST}:${firstPort + nodes + id - 1}`,
    ];
    const cluster = await TestCluster.start({ ...options, flagsOf });
    const served = new EtcdCluster(cluster, firstPort);
    try {
      await served.#waitForFeatures();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return served;
  }

  /** Returns the address of a node for etcd's clients. */
  address(id: number): string {
    return `${HOST}:${this.#firstPort + id - 1}`;
  }

  /** Resolves to the address of the leader. */
  async leaderAddress(): Promise<string> {
    return this.address(await this.cluster.waitForLeader());
  }

  /** Resolves to the address of a node that does not lead, if there are several. */
  async followerAddress(): Promise<string> {
    const leader = await this.cluster.waitForLeader();
    return this.address(this.cluster.ids.find((id) => id !== leader) ?? leader);
  }

  /** The addresses of all nodes. */
  get addresses(): readonly string[] {
    return this.cluster.ids.map((id) => this.address(id));
  }

  /** Waits for a leader, and until the nodes know each other's features: writes before that have no history. */
  async #waitForFeatures(): Promise<void> {
    const leader = await this.cluster.waitForLeader();
    const post = async (method: string, body: unknown): Promise<void> => {
      const url = `http://${this.address(leader)}/v3/lease/${method}`;
      const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
      assert(response.ok, await response.text());
    };
    // A lease is granted only after that.
    await post("grant", { TTL: "60", ID: "1" });
    await post("revoke", { ID: "1" });
  }

  /** Returns the sum of a metric of a node, over its labels. */
  async metric(id: number, name: string): Promise<number> {
    const port = this.#firstPort + this.cluster.ids.length + id - 1;
    const response = await fetch(`http://${HOST}:${port}/metrics`);
    return sumOf(parseMetrics(await response.text()), name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}
