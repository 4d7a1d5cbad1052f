/** The state of a cluster, as a client sees it, in the words that several commands use. */
import type { ClusterStatus, NodeView } from "../client/types.ts";
import { assertNever } from "../platform/assert.ts";
import type { DiskState, NodeStatus, PeerStatus } from "../protocol/messages.ts";
import { enumeration, percentOf } from "./text.ts";

/** How a node is, as seen from where the client runs; "unknown" where it was not asked. */
export type NodeState = "up" | "unreachable" | "notAnswering" | "unknown";

/** How a node is that was asked for its status. */
export function stateOf(node: NodeView): NodeState {
  return node.reachable ? "up" : node.state;
}

/** A state in words. */
export function stateText(state: NodeState): string {
  switch (state) {
    case "up":
    case "unreachable":
      return state;
    case "notAnswering":
      return "not answering";
    case "unknown":
      return "?";
    default:
      return assertNever(state);
  }
}

/** What is to be said of a disk, behind something else; nothing where it has room or nobody could say. */
export function diskNote(disk: DiskState | null): string {
  switch (disk) {
    case "full":
      return ", disk full";
    case "nearlyFull":
      return ", disk nearly full";
    case "ok":
    case null:
      return "";
    default:
      return assertNever(disk);
  }
}

/** What the leader says of itself and the others. */
export type LeaderView = Omit<NodeStatus, "members">;

/** What the leader says; null when there is none, or it does not answer. */
export function leaderOf({ leader, nodes }: ClusterStatus): LeaderView | null {
  return nodes.find((node): node is Extract<typeof node, { reachable: true }> =>
    node.reachable && node.id === leader && node.role === "leader"
  ) ?? null;
}

/** What the leader knows of the node `id`; null when it knows nothing. */
export function peerOf(leader: LeaderView | null, id: number): PeerStatus | null {
  return leader?.peers.find((peer) => peer.id === id) ?? null;
}

/** How many entries of the leader's log a peer is not known to have. All of them before it has been heard from. */
export function lagOf(peer: PeerStatus, leader: LeaderView): number {
  return Math.max(0, leader.lastLogIndex - peer.matchIndex);
}

/** How much of the snapshot that it is being sent a peer has; null when it is sent none. */
export function snapshotPercentOf(
  { state, snapshotSentBytes, snapshotTotalBytes }: PeerStatus,
): number | null {
  return state === "snapshot" ? percentOf(snapshotSentBytes, snapshotTotalBytes) : null;
}

/** What a cluster in this state is waited for. */
export function describeWaiting({ leader, nodes }: ClusterStatus): string {
  const silent = nodes.filter((node) => !node.reachable);
  const up = nodes.filter((node) => node.reachable);
  const silentParts = (["unreachable", "notAnswering"] as const).flatMap((state) => {
    const found = silent.filter((node) => stateOf(node) === state);
    return found.length === 0 ? [] : [`${namesOf(found)} ${stateText(state)}`];
  });
  const told = silentParts.length === 0 ? [] : [silentParts.join(", ")];
  if (up.length === 0) return ["no node answers", ...told].join(": ");
  if (leader === null) return `no leader yet: ${[...told, `${namesOf(up)} electing`].join(", ")}`;
  const isLeaderSilent = silent.some(({ id }) => id === leader);
  const first = isLeaderSilent ? `leader n${leader} does not answer` : `waiting for leader n${leader}`;
  return [first, ...told].join(": ");
}

/** `n1`, `n1 and n2`, `n1, n2 and n3`. */
function namesOf(nodes: readonly NodeView[]): string {
  return enumeration(nodes.map(({ id, address }) => id === null ? address : `n${id}`));
}
