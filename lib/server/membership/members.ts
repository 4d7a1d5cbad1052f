/** The members of a configuration: their roles and addresses, and which of them may connect. */
import { parseAddress } from "../../platform/address.ts";
import type { NodeAddress } from "../../protocol/node_list.ts";
import type { Member, MemberRole } from "../../protocol/messages.ts";
import type { Configuration, NodeId } from "../../raft/mod.ts";
import { olderVersion, type PeerCaller, type Refusal } from "../../protocol/hello.ts";

/** Returns all members with their roles, sorted by id. */
export function membersOf({ confState, members }: Configuration): readonly Member[] {
  const roleOf = (id: NodeId): MemberRole => {
    if (confState.voters.includes(id)) return "voter";
    return confState.learners.includes(id) ? "learner" : "leaving";
  };
  return members.map(({ id, address }) => ({ id, address, role: roleOf(id) }));
}

/** Returns the addresses of the members. */
export function addressesOf({ members }: Configuration): readonly NodeAddress[] {
  return members.map(({ id, address }) => ({ id, address: parseAddress(address) }));
}

/** Whether a node is a member in one of the configurations. */
export function isMember(node: NodeId, configurations: readonly Configuration[]): boolean {
  return configurations.some(({ members }) => members.some(({ id }) => id === node));
}

/** Returns the first configuration of a cluster: all founders vote. */
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

/** The configurations by which a node authorizes its callers. */
export interface MembershipView {
  /** The configuration that it has applied; it is committed. */
  readonly applied: Configuration;
  /** The newest configuration in its log, committed or not. */
  readonly newest: Configuration;
  /** The feature level of the state that it has applied. */
  readonly featureLevel: number;
}

/**
 * Returns why a node of this cluster may not connect, or null.
 *
 * A refusal by the applied configuration is final, and stops the caller. A node that returned with an empty disk must not
 * count as a member even where the entry with the data id is in the log and not known to be committed, as after a
 * restart: it is refused for now, with `busy`.
 */
export function authorizePeer(
  { nodeId, dataId, featureLevel: known }: PeerCaller,
  { applied, newest, featureLevel }: MembershipView,
): Refusal | null {
  if (applied.removedIds.includes(nodeId)) {
    return {
      kind: "refusal",
      code: "removedNode",
      message:
        `node ${nodeId} was removed from the cluster, and its id cannot be used again. Stop it; to bring the machine back, ` +
        "start a new node with a new id and an empty data directory, and add it: member add <new id> <host:port>.",
    };
  }
  const isOther = ({ members }: Configuration): boolean => {
    const known = members.find(({ id }) => id === nodeId)?.dataId ?? null;
    return known !== null && known !== dataId;
  };
  if (isOther(applied)) {
    return {
      kind: "refusal",
      code: "otherData",
      message:
        `node ${nodeId} comes with another data directory than the cluster knows: it does not hold the votes and ` +
        "entries that the node acknowledged before. Bring its own directory back; or, where that is lost, start a new node with an id that " +
        `was never used and --join, and have it take its place: member replace ${nodeId} <new id> <host:port>.`,
    };
  }
  if (known < featureLevel) {
    return { kind: "refusal", code: "versionMismatch", message: olderVersion(nodeId, known, featureLevel) };
  }
  if (!isOther(newest)) return null;
  return {
    kind: "refusal",
    code: "busy",
    message:
      `node ${nodeId} may come with another data directory than its own; this node does not know yet. Try again.`,
  };
}
