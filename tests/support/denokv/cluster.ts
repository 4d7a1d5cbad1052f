/** A cluster of real processes that serves Deno KV. */
import { TestCluster } from "../processes/cluster.ts";
import { parseMetrics, sumOf } from "../prometheus.ts";
import { freePorts } from "../temporary.ts";

const NODES = 3;

/** A cluster, and the URL of the default database at each node. Use with `await using`. */
export class DenokvCluster implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly #firstPort: number;

  private constructor(cluster: TestCluster, firstPort: number) {
    this.cluster = cluster;
    this.#firstPort = firstPort;
  }

  /** Starts three nodes. */
  static async start(): Promise<DenokvCluster> {
    const firstPort = freePorts(2 * NODES);
    const flagsOf = (id: number): readonly string[] => [
      "--denokv",
      `127.0.0.1:${firstPort + id - 1}`,
      "--http",
      `127.0.0.1:${firstPort + NODES + id - 1}`,
    ];
    return new DenokvCluster(await TestCluster.start({ flagsOf }), firstPort);
  }

  /** Returns the URL of a node. */
  url(id: number): string {
    return `http://127.0.0.1:${this.#firstPort + id - 1}`;
  }

  /** Returns the sum of a metric of a node, over its labels. */
  async metric(id: number, name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#firstPort + NODES + id - 1}/metrics`);
    return sumOf(parseMetrics(await response.text()), name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}
