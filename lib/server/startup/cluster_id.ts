/** The name of a cluster for machines: what keeps the nodes, clients and folders of two clusters apart. */
import { createHash } from "node:crypto";
import { formatAddress } from "../../platform/address.ts";
import { type NodeAddress } from "../../protocol/node_list.ts";

/** Characters of a cluster id. */
const CLUSTER_ID_LENGTH = 16;

/**
 * Made from what every node of a new cluster is told alike: the cluster's name and its first members, in the order
 * of their ids; and where it goes on from an older cluster's state, from that. It is kept in each data folder, and
 * later decides whose folder it is.
 */
export function clusterIdOf(
  clusterName: string,
  members: readonly NodeAddress[],
  origin: readonly string[] = [],
): string {
  const list = [...members].sort((a, b) => a.id - b.id).map(({ id, address }) =>
    `${id}=${formatAddress(address)}`
  );
  return createHash("sha256").update([clusterName, ...list, ...origin].join("\n")).digest("hex").slice(
    0,
    CLUSTER_ID_LENGTH,
  );
}
