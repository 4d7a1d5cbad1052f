/** Servers in memory with gateways before them, and clients that reach the gateways alone. */
import { type ClientGateway, openClientGateway } from "../../../lib/gateway/gateway.ts";
import type { KvClient } from "../../../lib/mod.ts";
import { formatAddress } from "../../../lib/platform/address.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type { Dialer } from "../../../lib/platform/network.ts";
import { connectOn } from "../../../lib/testing.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { WatchClient } from "../../support/frames/watch_client.ts";
import { UserClient } from "../../support/frames/user_client.ts";
import { SeededRandom } from "../../support/seeded_random.ts";

/** The port of every gateway. */
export const GATEWAY_PORT = 7100;

/** A cluster with gateways. Use with `await using`. */
export class Scene implements AsyncDisposable {
  readonly cluster: MemoryCluster;
  readonly #random = new SeededRandom(7);
  readonly #closes: (() => Promise<void>)[] = [];

  /** `cluster`: closed by the scene. */
  constructor(cluster: MemoryCluster) {
    this.cluster = cluster;
  }

  /** Starts the nodes. */
  static async start(...ids: readonly number[]): Promise<Scene> {
    const scene = new Scene(new MemoryCluster());
    await scene.cluster.found(...ids);
    return scene;
  }

  /** Opens a gateway at `host:${GATEWAY_PORT}`. */
  async gateway(host: string, ...ids: readonly number[]): Promise<ClientGateway> {
    const { network, clock } = this.cluster;
    const gateway = await this.cluster.run(openClientGateway({
      address: { host, port: GATEWAY_PORT },
      network,
      dialer: network,
      tls: null,
      connect: { cluster: ids.map((id) => `n${id}:7001`) },
      maxConnections: 2_000,
      maxConnectionsPerAddress: null,
      clock,
      random: () => this.#random.next(),
      logger: new RecordingLogger(),
    }));
    this.#closes.push(() => gateway.close());
    return gateway;
  }

  /** Connects a client that reaches the gateways alone. */
  async client(...hosts: readonly string[]): Promise<KvClient> {
    const { network, clock } = this.cluster;
    const dialled: Dialer = {
      connect: (address, signal) =>
        address.port === GATEWAY_PORT ? network.connect(address, signal) : Promise.reject(
          new NetworkError("refused", { message: `Cannot connect to ${formatAddress(address)}.` }),
        ),
    };
    const platform = { network: dialled, clock, random: () => this.#random.next() };
    const cluster = hosts.map((host) => `${host}:${GATEWAY_PORT}`);
    const client = await this.cluster.run(connectOn(platform, { cluster, timeoutMs: 20_000 }));
    this.#closes.unshift(() => client.close());
    return client;
  }

  /** Opens a connection whose requests are those of a user. */
  user(host: string, port = GATEWAY_PORT): Promise<UserClient> {
    const { network, clock } = this.cluster;
    return this.cluster.run(UserClient.open({ network, clock, address: { host, port } }));
  }

  /** Opens a connection whose frames the test makes. */
  watcher(host: string, port = GATEWAY_PORT): Promise<WatchClient> {
    const { network, clock } = this.cluster;
    return this.cluster.run(WatchClient.open({ network, clock, address: { host, port } }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closes) await this.cluster.run(close());
    await this.cluster[Symbol.asyncDispose]();
  }
}
