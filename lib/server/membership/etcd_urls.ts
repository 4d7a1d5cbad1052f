/** Where the nodes of a cluster serve etcd's clients: each tells it to those that it calls, and all tell it to clients. */
import { formatAddress, hostOf, isDialable, parseAddress } from "../../platform/address.ts";
import type { PeerCaller } from "../../protocol/hello.ts";
import type { Member, MemberUrl } from "../../protocol/messages.ts";
import type { NodeId } from "../../raft/mod.ts";
import type { ServerConfig } from "../config/config.ts";

/** Maximum number of nodes whose URLs are kept: more than a cluster has members. The oldest is removed. */
const MAX_SEEN = 64;

/**
 * Returns the URL at which other programs reach the listener of `--etcd`; null without it. One that listens on all addresses is
 * reached at the host of the node's own address, unless the configuration names another.
 */
export function ownEtcdUrl(
  { etcd, etcdAdvertise }: Pick<ServerConfig, "etcd" | "etcdAdvertise">,
  { address, isTls }: {
    /** Where other nodes reach this one. */
    readonly address: string;
    readonly isTls: boolean;
  },
): string | null {
  if (etcd === null) return null;
  const { host } = isDialable(etcd) ? etcd : parseAddress(`${hostOf(address)}:${etcd.port}`);
  return `${isTls ? "https" : "http"}://${formatAddress(etcdAdvertise ?? { host, port: etcd.port })}`;
}

/** The URLs that one node knows. */
export class EtcdUrls {
  readonly #urls = new Map<NodeId, string>();

  /** Notes this node's own URL. */
  setOwn(self: NodeId, url: string | null): void {
    if (url !== null) this.#urls.set(self, url);
  }

  /** Notes what a node has said in its hello. */
  seen({ nodeId, lane, etcdUrl }: Pick<PeerCaller, "nodeId" | "lane" | "etcdUrl">): void {
    // One that only asks for a welcome says nothing of itself.
    if (lane === "probe") return;
    this.#urls.delete(nodeId);
    if (etcdUrl !== null) this.#urls.set(nodeId, etcdUrl);
    const [oldest] = this.#urls.keys();
    if (this.#urls.size > MAX_SEEN && oldest !== undefined) this.#urls.delete(oldest);
  }

  /** Returns the URLs of the members that have one, in the order of the members. */
  of(members: readonly Member[]): readonly MemberUrl[] {
    return members.flatMap(({ id }) => {
      const url = this.#urls.get(id);
      return url === undefined ? [] : [{ id, url }];
    });
  }
}
