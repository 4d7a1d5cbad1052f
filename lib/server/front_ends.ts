/**
 * The front ends of a node, by which clients with other protocols than kvraft's use the cluster: `--denokv` and `--etcd`. Each is
 * a client of the node within its process.
 */
import type { EmbeddedFrontEnd } from "../denokv/embedded.ts";
import type { FrontEndCounts } from "../denokv/front_end.ts";
import type { EtcdCounts } from "../etcd/counts.ts";
import type { EmbeddedEtcd } from "../etcd/embedded.ts";
import { assert } from "../platform/assert.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Connection, Dialer, Listener, Network } from "../platform/network.ts";
import type { NodeId } from "../raft/mod.ts";
import type { InProcessUse } from "../transport/in_process.ts";
import type { ServerConfig } from "./config/config.ts";
import { Readability } from "./metrics/readiness.ts";
import type { Node } from "./node.ts";

/** Listen for the clients of front ends. */
export type WebNetworks = Readonly<Record<"denokv" | "etcd", Pick<Network, "listen">>>;

/** The node that front ends use, and the platform. */
export interface FrontEndsOptions {
  readonly self: NodeId;
  readonly clusterId: string;
  /** Opens a connection to the node; `remote`: the address of the client for which it signs in. */
  readonly connect: (use: InProcessUse, remote?: string | null) => Connection;
  /** Dials the other nodes. */
  readonly dialer: Dialer;
  /** Null where the nodes have no TLS. Clients of Deno KV, which cannot show a certificate, need access tokens where it is required. */
  readonly tls: { readonly requiresCertificates: boolean } | null;
  readonly node: Pick<Node, "status" | "whenReadable" | "description">;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** The front ends of one node, which listen from the first and answer from {@link open} on. */
export class FrontEnds {
  readonly #denokvListener: Listener | null;
  readonly #etcdListener: Listener | null;
  #denokv: EmbeddedFrontEnd | null = null;
  #etcd: EmbeddedEtcd | null = null;
  #isClosed = false;

  private constructor(denokv: Listener | null, etcd: Listener | null) {
    this.#denokvListener = denokv;
    this.#etcdListener = etcd;
  }

  /** Listens, so that a port that is taken is found before the node begins. Throws NetworkError. */
  static listen(
    { denokv, etcd }: ServerConfig,
    { webNetworks }: { readonly webNetworks?: WebNetworks },
  ): FrontEnds {
    const listen = (address: Address | null, frontEnd: keyof WebNetworks): Listener | null => {
      if (address === null) return null;
      assert(webNetworks !== undefined, "a platform that is configured to serve front ends can do so");
      return webNetworks[frontEnd].listen(address);
    };
    const denokvListener = listen(denokv, "denokv");
    try {
      return new FrontEnds(denokvListener, listen(etcd, "etcd"));
    } catch (error) {
      denokvListener?.close();
      throw error;
    }
  }

  /** Begins to serve. Called once, after the start of the node. */
  async open(options: FrontEndsOptions): Promise<void> {
    const { self, clusterId, connect, node, clock, tls } = options;
    if (this.#denokvListener !== null) {
      const listener = this.#denokvListener;
      const { openEmbedded } = await import("../denokv/embedded.ts");
      this.#denokv = await openEmbedded({
        ...options,
        listener,
        connect: () => connect("databases"),
        needsTokens: tls?.requiresCertificates ?? false,
      });
    }
    if (this.#etcdListener !== null) {
      const { openEmbeddedEtcd } = await import("../etcd/embedded.ts");
      const readability = new Readability({ clock, whenReadable: () => node.whenReadable() });
      const view = { clusterId: BigInt(`0x${clusterId}`), memberId: BigInt(self) };
      this.#etcd = await openEmbeddedEtcd({
        ...options,
        isTls: tls !== null,
        listener: this.#etcdListener,
        connect: (remote) => connect("user", remote),
        view: () => {
          const { leader, term, revision } = node.description.summary();
          return { ...view, leader: BigInt(leader ?? 0), raftTerm: term, revision };
        },
        status: () => Promise.resolve(node.status()),
        isReadable: () => readability.check(),
      });
    }
    // The node may have failed meanwhile.
    if (this.#isClosed) await this.close();
  }

  /** Returns the numbers so far; null for a front end that the node does not have. */
  counts(): { readonly denokv: FrontEndCounts | null; readonly etcd: EtcdCounts | null } {
    return { denokv: this.#denokv?.counts() ?? null, etcd: this.#etcd?.counts() ?? null };
  }

  /** Stops them; the node must still answer. May be called again without effect. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([this.#denokv?.close(), this.#etcd?.close()]);
    this.#denokvListener?.close();
    this.#etcdListener?.close();
  }
}
