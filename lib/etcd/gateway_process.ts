/** The front end for etcd's clients in a process of its own: a client of a cluster, over its nodes' addresses. */
import { mayAskStatus } from "../client/cluster.ts";
import { ClientCore } from "../client/core.ts";
import { KvraftError } from "../client/errors.ts";
import type { ConnectOptions } from "../client/types.ts";
import { assert } from "../platform/assert.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Network } from "../platform/network.ts";
import { systemDialer } from "../platform/system.ts";
import type { NodeStatus } from "../protocol/messages.ts";
import type { NodeView, ServedNode } from "./context.ts";
import { EtcdFrontEnd } from "./front_end.ts";

/** Watches of one client: as many as a node has. */
const MAX_WATCHES = 100_000;
/** Interval at which the gateway asks its node for the leader and the term. */
const VIEW_INTERVAL_MS = 500;
/** Time after which a node that does not answer counts as one without a leader. */
const VIEW_TIMEOUT_MS = 2_000;

/** Options of a gateway. */
export interface EtcdGatewayOptions {
  readonly address: Address;
  /** Listens for the clients of etcd. */
  readonly network: Pick<Network, "listen">;
  /**
   * The cluster, and TLS. The gateway signs in to learn the state of the nodes, if it can; requests have the rights of the
   * users that its own clients sign in as.
   */
  readonly connect: ConnectOptions;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** A running gateway. */
export type EtcdGateway = Pick<EtcdFrontEnd, "close">;

/**
 * Connects to the cluster, and then serves etcd's clients.
 *
 * @throws {KvraftError} if no node answers
 * @throws {NetworkError} if the address is in use, or not local
 */
export async function openEtcdGateway(options: EtcdGatewayOptions): Promise<EtcdGateway> {
  const { connect: { cluster, tls }, clock, random } = options;
  const target = tls === undefined ? { cluster } : { cluster, tls };
  const connect = (
    credentials: Partial<ConnectOptions> | null,
    isWithoutUser: boolean,
  ): Promise<ClientCore> =>
    ClientCore.connect({ ...target, ...credentials }, {
      network: systemDialer(),
      clock,
      random,
      maxWatches: MAX_WATCHES,
      isWithoutUser,
    });
  const core = await connect(options.connect, false);
  const node = await ObservedNode.open(core, options).catch(async (error: unknown) => {
    await core.pool.close();
    throw error;
  });
  try {
    const frontEnd = await EtcdFrontEnd.open({
      ...options,
      ...node.served(),
      isTls: tls !== undefined,
      connectTo: null,
      // The user of the gateway's certificate is not that of its clients.
      connect: (credentials) => connect(credentials, credentials === null),
    });
    return {
      close: async () => {
        await frontEnd.close();
        await node.close();
      },
    };
  } catch (error) {
    await node.close();
    throw error;
  }
}

/** The node that a gateway uses, as its status says. */
class ObservedNode {
  readonly #core: ClientCore;
  readonly #clock: Clock;
  #view: NodeView;
  #timer: Timer | null = null;
  #isClosed = false;

  private constructor(core: ClientCore, { clock, view }: { readonly clock: Clock; readonly view: NodeView }) {
    this.#core = core;
    this.#clock = clock;
    this.#view = view;
    this.#watch();
  }

  /** Asks the node for the first time. */
  static open(core: ClientCore, { clock }: { readonly clock: Clock }): Promise<ObservedNode> {
    const clusterId = core.pool.clusterId;
    assert(clusterId !== null, "a client that is connected knows its cluster");
    const view = {
      clusterId: BigInt(`0x${clusterId}`),
      memberId: 1n,
      raftTerm: 1,
      leader: 0n,
      revision: 0,
    };
    const node = new ObservedNode(core, { clock, view });
    return node.#look().then(() => node);
  }

  /** Returns what a front end asks. */
  served(): ServedNode {
    return {
      view: () => this.#view,
      status: () => this.#status(),
      isReadable: () => this.#isReadable(),
    };
  }

  /** Stops, and closes the client. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#core.pool.close();
  }

  #watch(): void {
    this.#timer = this.#clock.after(VIEW_INTERVAL_MS, () => {
      void this.#look().finally(() => {
        if (!this.#isClosed) this.#watch();
      });
    });
  }

  async #look(): Promise<void> {
    try {
      const context = this.#core.context({ timeoutMs: VIEW_TIMEOUT_MS });
      if (await mayAskStatus(this.#core, context)) await this.#status();
      // While authentication is enabled, a client without a user gets no status: a node that is reached counts as the leader.
      else this.#view = { ...this.#view, leader: this.#view.memberId };
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#view = { ...this.#view, leader: this.#isReached ? this.#view.memberId : 0n };
    }
  }

  async #status(): Promise<NodeStatus> {
    const context = this.#core.context({ timeoutMs: VIEW_TIMEOUT_MS });
    const note = { kind: "read", action: "get the status", context } as const;
    const { status } = (await this.#core.call({ kind: "status" }, note)).message;
    this.#view = {
      ...this.#view,
      memberId: BigInt(status.id),
      raftTerm: status.term,
      leader: BigInt(status.leader ?? 0),
      revision: status.revision,
    };
    return status;
  }

  get #isReached(): boolean {
    return this.#core.pool.route(null) !== null;
  }

  async #isReadable(): Promise<boolean> {
    const context = this.#core.context({ timeoutMs: VIEW_TIMEOUT_MS });
    const read = {
      kind: "lease",
      leaseId: 1,
      keys: false,
      after: null,
      consistency: "linearizable",
    } as const;
    try {
      if (!await mayAskStatus(this.#core, context)) return this.#isReached;
      await this.#core.call(read, { kind: "read", action: "read", context });
      return true;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      return false;
    }
  }
}
