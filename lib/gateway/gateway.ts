/**
 * A gateway for kvraft's own clients: a process of its own that takes their connections, and relays their requests to the
 * cluster over a few connections to each node. It has no data.
 *
 * Connections, hellos, frames and limits are those of a node (lib/transport/listener.ts). To a client the gateway is a node that
 * leads and is no member (lib/protocol/hello.ts).
 */
import { mayAskStatus } from "../client/cluster.ts";
import { ClientCore } from "../client/core.ts";
import { KvraftError } from "../client/errors.ts";
import type { ConnectOptions } from "../client/types.ts";
import { MAX_VALUE_BYTES } from "../kv/command.ts";
import { formatAddress } from "../platform/address.ts";
import { assert } from "../platform/assert.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Dialer, Network } from "../platform/network.ts";
import { randomGatewayId } from "../protocol/hello.ts";
import type { ClientConnection, ClientHandlers } from "../transport/client_connection.ts";
import type { CertificateRules } from "../transport/handshake/certificate_rules.ts";
import { ConnectionListener } from "../transport/listener.ts";
import { Relay } from "./relay.ts";
import { Upstreams } from "./upstreams.ts";

/** Interval at which the gateway looks at the cluster. */
export const LOOK_INTERVAL_MS = 500;
/** Time for a node to say how far it is. */
const LOOK_TIMEOUT_MS = 2_000;
/** Time for a sign-in: a node delays those after failures by up to ten seconds. */
const SIGN_IN_TIMEOUT_MS = 15_000;
/** Time for the answers to requests in progress when the gateway stops. */
const CLOSE_TIMEOUT_MS = 1_500;
const CLOSE_CHECK_MS = 20;
/** A gateway has no data, and so no data directory. */
const NO_DATA_ID = 0;

/** Options of {@link openGateway}. */
export interface ClientGatewayOptions {
  readonly address: Address;
  /** Listens for the clients. */
  readonly network: Network;
  /** The certificates that clients show; null without TLS. */
  readonly tls: { readonly rules: CertificateRules } | null;
  /** The cluster; the gateway itself signs in, if it can, to learn the state of the nodes. */
  readonly connect: ConnectOptions;
  /** Dials the nodes, where `connect` does not say how. */
  readonly dialer: Dialer;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A running gateway. */
export interface ClientGateway {
  readonly address: Address;
  /** Answers the requests in progress, and closes everything. May be called again without effect. */
  close(): Promise<void>;
}

/**
 * Connects to the cluster, and then serves clients.
 *
 * @throws {KvraftError} if no node answers
 * @throws {NetworkError} if the address is in use, or not local
 */
export async function openClientGateway(options: ClientGatewayOptions): Promise<ClientGateway> {
  const { connect: { cluster, tls }, clock, random, dialer: network } = options;
  const target = tls === undefined ? { cluster } : { cluster, tls };
  const core = await ClientCore.connect(options.connect, { network, clock, random });
  const upstreams = new Upstreams({
    clock,
    connect: (credentials) =>
      ClientCore.connect({ ...target, ...credentials, timeoutMs: SIGN_IN_TIMEOUT_MS }, {
        network,
        clock,
        random,
        // The user of the gateway's certificate is not that of its clients.
        isWithoutUser: credentials === null,
      }),
  });
  try {
    return new RunningGateway(core, upstreams, options);
  } catch (error) {
    await core.pool.close();
    throw error;
  }
}

class RunningGateway implements ClientGateway {
  readonly #core: ClientCore;
  readonly #upstreams: Upstreams;
  readonly #clock: Clock;
  readonly #self: number;
  readonly #listener: ConnectionListener;
  readonly #clients = new Set<ClientConnection>();
  #term = 0;
  #appliedIndex = 0;
  /** The members as they were sent to clients last. */
  #membersText: string;
  #timer: Timer | null = null;
  #closing: Promise<void> | null = null;

  constructor(core: ClientCore, upstreams: Upstreams, options: ClientGatewayOptions) {
    const { clock, random, logger, address } = options;
    const { clusterId } = core.pool;
    assert(clusterId !== null, "a client that is connected knows its cluster");
    this.#core = core;
    this.#upstreams = upstreams;
    this.#clock = clock;
    this.#self = randomGatewayId(random);
    this.#membersText = JSON.stringify(core.pool.members);
    this.#listener = new ConnectionListener({
      ...options,
      bind: address,
      self: this.#self,
      clusterId,
      dataId: NO_DATA_ID,
      maxValueBytes: MAX_VALUE_BYTES,
    });
    this.#listener.start({
      members: () => core.pool.members,
      situation: () => ({ leader: this.#self, term: this.#term, appliedIndex: this.#newestAppliedIndex }),
      authorizePeer: () => ({
        kind: "refusal",
        code: "unknownNode",
        message:
          "This is a gateway, and no node of the cluster. Check --cluster and --join: they name nodes.",
      }),
      onPeerHello: () => {},
      onPeerMessage: () => {},
      onClient: (client) => this.#serve(client),
    });
    logger.info("kvraft's own protocol", { address: formatAddress(this.address) });
    this.#lookLater();
  }

  get address(): Address {
    return this.#listener.address;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#timer?.cancel();
    const deadline = this.#clock.now() + CLOSE_TIMEOUT_MS;
    const isBusy = (): boolean => [...this.#clients].some(({ requestsInFlight }) => requestsInFlight > 0);
    while (isBusy() && this.#clock.now() < deadline) {
      await new Promise<void>((resolve) => this.#clock.after(CLOSE_CHECK_MS, resolve));
    }
    await this.#listener.close();
    await Promise.all([this.#upstreams.close(), this.#core.pool.close()]);
  }

  get #newestAppliedIndex(): number {
    return Math.max(this.#appliedIndex, this.#core.pool.newestAppliedIndex);
  }

  #serve(client: ClientConnection): ClientHandlers {
    this.#clients.add(client);
    const relay = new Relay(client, {
      self: this.#self,
      upstreams: this.#upstreams,
      clock: this.#clock,
      isStopping: () => this.#closing !== null,
    });
    return {
      onRequest: (request) => relay.handle(request),
      onWritable: () => relay.resume(),
      isWatching: () => relay.isWatching,
      mustSignIn: () => relay.mustSignIn,
      onClose: () => {
        this.#clients.delete(client);
        relay.close();
      },
    };
  }

  #lookLater(): void {
    this.#timer = this.#clock.after(LOOK_INTERVAL_MS, () => {
      void this.#look().finally(() => {
        if (this.#closing === null) this.#lookLater();
      });
    });
  }

  /** Learns how far the cluster is, has silent nodes found, and passes on changes of the members. */
  async #look(): Promise<void> {
    this.#upstreams.probe();
    const context = this.#core.context({ timeoutMs: LOOK_TIMEOUT_MS });
    try {
      if (await mayAskStatus(this.#core, context)) {
        const note = { kind: "read", action: "get the status", context } as const;
        const { status: { term, appliedIndex } } = (await this.#core.call({ kind: "status" }, note)).message;
        this.#term = Math.max(this.#term, term);
        this.#appliedIndex = appliedIndex;
      }
    } catch (error) {
      // Clients learn by their requests that no node answers.
      if (!(error instanceof KvraftError)) throw error;
    }
    const { members } = this.#core.pool;
    const text = JSON.stringify(members);
    if (text === this.#membersText) return;
    this.#membersText = text;
    const notice = { kind: "members", appliedIndex: this.#newestAppliedIndex, members } as const;
    for (const client of this.#clients) client.send(notice);
  }
}
