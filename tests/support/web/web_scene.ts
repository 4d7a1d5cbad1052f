/** A web server on a network in memory, with a clock that a test moves. */
import type { Connection } from "../../../lib/platform/network.ts";
import { serveWeb, type WebHandler, type WebLimits, type WebServer } from "../../../lib/web/mod.ts";
import { ManualClock, settle } from "../fakes/manual_clock.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../fakes/memory_network.ts";
import { RecordingLogger } from "../fakes/recording_logger.ts";
import { Http2TestClient } from "./http2_client.ts";

const ADDRESS = { host: "n1", port: 80 };

/** Options of a {@link WebScene}. */
export interface WebSceneOptions {
  readonly handler: WebHandler;
  readonly limits?: Partial<WebLimits>;
  readonly network?: MemoryNetworkOptions;
}

/** The server and what it depends on. */
export class WebScene implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly network: MemoryNetwork;
  readonly server: WebServer;
  readonly #clients: Http2TestClient[] = [];

  /** Begins to listen. */
  constructor({ handler, limits = {}, network = {} }: WebSceneOptions) {
    this.network = new MemoryNetwork(network);
    const { clock, logger } = this;
    this.server = serveWeb({
      network: this.network,
      address: ADDRESS,
      service: "HTTP",
      clock,
      logger,
      handler,
      limits,
    });
  }

  /** Opens a connection. */
  connect(): Promise<Connection> {
    return this.network.connect(ADDRESS, new AbortController().signal);
  }

  /** Opens a connection of HTTP/2, with the preface and settings. */
  async http2(settings: readonly (readonly [number, number])[] = []): Promise<Http2TestClient> {
    const client = new Http2TestClient(await this.connect());
    this.#clients.push(client);
    await client.open(settings);
    return client;
  }

  /** Advances time in steps of a second, in which the server works. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 1_000) {
      this.clock.advance(1_000);
      await settle();
    }
  }

  /** Closes the connections of its clients, and the server. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    for (const connection of this.network.connections) connection.close();
    await this.server.close();
  }
}
