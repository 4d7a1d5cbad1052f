/** The members of a configuration as the outside sees them. */
import { parseAddress } from "../../platform/address.ts";
import { type NodeAddress } from "../../protocol/node_list.ts";
import type { Member, MemberRole } from "../../protocol/messages.ts";
import type { Configuration, NodeId } from "../../raft/mod.ts";

/** All members with their roles, sorted by id. */
export function membersOf({ confState, members }: Configuration): readonly Member[] {
  const roleOf = (id: NodeId): MemberRole => {
    if (confState.voters.includes(id)) return "voter";
    return confState.learners.includes(id) ? "learner" : "leaving";
  };
  return members.map(({ id, address }) => ({ id, address, role: roleOf(id) }));
}

/** Where the members are dialled. */
export function addressesOf({ members }: Configuration): readonly NodeAddress[] {
  return members.map(({ id, address }) => ({ id, address: parseAddress(address) }));
}

/** The configuration that a cluster begins with: everybody votes. */
export function foundingConfiguration(
  founders: readonly { readonly id: NodeId; readonly address: string }[],
): Configuration {
  const members = [...founders].sort((a, b) => a.id - b.id)
    .map(({ id, address }) => ({ id, address, dataId: null, autoPromote: false, replaces: null }));
  return {
    confState: { voters: members.map(({ id }) => id), learners: [], votersOutgoing: [] },
    members,
    removedIds: [],
  };
}
