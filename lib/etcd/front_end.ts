/**
 * The front end for clients of etcd v3: a web server over the services, in a node or in a process of its own (a gateway). gRPC
 * and plain HTTP share the port.
 */
import { CloseSignal } from "../client/call_context.ts";
import type { ClientCore } from "../client/core.ts";
import { formatAddress } from "../platform/address.ts";
import { auditLines, type BoundedLines, type LineWriter } from "../platform/bounded_lines.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Network } from "../platform/network.ts";
import { serveWeb, type WebServer } from "../web/mod.ts";
import { type ConnectUser, UserClients, type UserCredentials } from "./auth/user_clients.ts";
import type { EtcdContext, ServedCluster, ServedNode } from "./context.ts";
import { type EtcdCounts, RequestCounts } from "./counts.ts";
import { answerPage } from "./http/pages.ts";
import { allMethods } from "./methods.ts";
import { MAX_MESSAGE_BYTES } from "./rpc/grpc.ts";
import { EtcdService } from "./service.ts";

/** Time that requests in progress have for their answers when the front end stops. */
const CLOSE_TIMEOUT_MS = 1_500;
/** Bytes of requests and answers that are held for all clients: a few of the largest answers to reads, and the others. */
const MAX_HELD_BYTES = 536_870_912;

/** Dependencies of an {@link EtcdFrontEnd}. */
export interface EtcdFrontEndOptions extends ServedNode, ServedCluster {
  readonly address: Address;
  /** Listens; with TLS it offers the protocols of web servers. */
  readonly network: Pick<Network, "listen">;
  /** Connects a client of the cluster; without credentials: one that has no user. */
  readonly connect: ConnectUser<UserCredentials | null>;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** A front end that listens. */
export class EtcdFrontEnd {
  readonly #core: ClientCore;
  readonly #users: UserClients;
  readonly #service: EtcdService;
  readonly #web: WebServer;
  readonly #clock: Clock;
  readonly #counts = new RequestCounts();
  readonly #stopping = new CloseSignal();
  readonly #refusals: BoundedLines;
  #closing: Promise<void> | null = null;

  private constructor(core: ClientCore, options: EtcdFrontEndOptions) {
    const { address, network, clock, logger, audit } = options;
    this.#clock = clock;
    this.#core = core;
    this.#users = new UserClients({ ...options, anonymous: core });
    const refusals = this.#refusals = auditLines("refused clients of etcd", { writer: audit, clock });
    const closing = this.#stopping;
    const context: EtcdContext = { ...options, core, clients: this.#users, closing, refusals };
    this.#service = new EtcdService({
      context,
      methods: allMethods(context).map((method) => this.#counts.counted(method)),
      answerOther: (request) => answerPage(request, context),
    });
    this.#web = serveWeb({
      address,
      network,
      service: "etcd v3",
      clock,
      logger,
      handler: (request) => this.#service.handle(request),
      limits: {
        maxBodyBytes: MAX_MESSAGE_BYTES,
        maxHeldBytes: MAX_HELD_BYTES,
        closeTimeoutMs: CLOSE_TIMEOUT_MS,
      },
    });
    logger.info("etcd v3 over gRPC and HTTP", { address: formatAddress(this.address) });
  }

  /**
   * Connects to the cluster, and then begins to listen.
   *
   * @throws {KvraftError} if the front end's own client cannot connect
   * @throws {NetworkError} if the port is taken or the address is not local
   */
  static async open(options: EtcdFrontEndOptions): Promise<EtcdFrontEnd> {
    const core = await options.connect(null, null);
    try {
      return new EtcdFrontEnd(core, options);
    } catch (error) {
      await core.pool.close();
      throw error;
    }
  }

  /** Where it listens. */
  get address(): Address {
    return this.#web.address;
  }

  /** Returns the numbers so far. */
  counts(): EtcdCounts {
    return { web: this.#web.counts(), ...this.#counts.counts() };
  }

  /** Takes no more requests, answers those in progress, and ends the streams last. May be called again without effect. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = this.#web.close();
    this.#stopping.close();
    await this.#service.requests.idleWithin(CLOSE_TIMEOUT_MS, this.#clock);
    // The watches of its clients end with the connection to the cluster, and the streams with them.
    await Promise.all([this.#core.pool.close(), this.#users.close()]);
    await closed;
    this.#refusals.close();
  }
}
