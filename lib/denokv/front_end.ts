/** The front end for Deno KV: a web server over the service, in a node or in a process of its own (a gateway). */
import { formatAddress } from "../platform/address.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Network } from "../platform/network.ts";
import { serveWeb, type WebCounts, type WebServer } from "../web/mod.ts";
import { MAX_BODY_BYTES } from "./limits.ts";
import { DenoKvService, type ServiceNumbers } from "./service.ts";
import type { DatabaseStore } from "./store.ts";

/** Time that requests in progress have for their answers when the front end stops. */
const CLOSE_TIMEOUT_MS = 1_500;

/** Dependencies of a {@link FrontEnd}. */
export interface FrontEndOptions {
  readonly address: Address;
  /** Listens; with TLS it offers the protocols of web servers. */
  readonly network: Pick<Network, "listen">;
  readonly store: DatabaseStore;
  /** Whether clients need access tokens also while authentication is disabled. */
  readonly needsTokens: boolean;
  readonly clock: Clock;
  /** Returns milliseconds since 1970: data tokens and keys expire by it. */
  readonly wallClock: () => number;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** The numbers of a front end, for metrics and the status page. */
export interface FrontEndCounts extends ServiceNumbers {
  readonly web: WebCounts;
}

/** A front end that listens. */
export class FrontEnd {
  readonly #service: DenoKvService;
  readonly #web: WebServer;
  readonly #clock: Clock;
  #closing: Promise<void> | null = null;

  /** Begins to listen; throws NetworkError if the port is taken or the address is not local. */
  constructor(options: FrontEndOptions) {
    const { address, network, clock, logger } = options;
    this.#clock = clock;
    this.#service = new DenoKvService(options);
    this.#web = serveWeb({
      address,
      network,
      service: "Deno KV",
      clock,
      logger,
      handler: (request) => this.#service.handle(request),
      limits: { maxBodyBytes: MAX_BODY_BYTES, closeTimeoutMs: CLOSE_TIMEOUT_MS },
    });
    this.#service.start();
    logger.info("Deno KV over HTTP", { address: formatAddress(this.address) });
  }

  /** Where it listens. */
  get address(): Address {
    return this.#web.address;
  }

  /** Returns the numbers so far. */
  counts(): FrontEndCounts {
    return { web: this.#web.counts(), ...this.#service.counts() };
  }

  /** Takes no more requests, answers those in progress, and ends the watches last. May be called again without effect. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = this.#web.close();
    await this.#service.requests.idleWithin(CLOSE_TIMEOUT_MS, this.#clock);
    await this.#service.stop();
    await closed;
  }
}
