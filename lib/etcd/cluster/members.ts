/** The members of the cluster as etcd's clients see them. */
import type { NodeStatus } from "../../protocol/messages.ts";
import type { EtcdMember } from "../messages/cluster.ts";

/**
 * Returns the members that a node knows, each with the URL of its own front end if this node knows it: clients dial these in
 * place of the addresses that they were given. Clients leave out members without a name, so every member has one.
 */
export function etcdMembers(
  { members, etcdUrls }: Pick<NodeStatus, "members" | "etcdUrls">,
  { isTls }: { readonly isTls: boolean },
): readonly EtcdMember[] {
  return members.map(({ id, address, role }) => ({
    id: BigInt(id),
    name: `node-${id}`,
    peerUrls: [`${isTls ? "https" : "http"}://${address}`],
    clientUrls: etcdUrls.filter((one) => one.id === id).map(({ url }) => url),
    isLearner: role === "learner",
  }));
}
