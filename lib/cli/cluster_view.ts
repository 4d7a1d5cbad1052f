/** The state of a cluster as a client sees it, and the words for it that several commands share. */
import type { ClusterStatus, NodeView } from "../client/types.ts";
import { assertNever } from "../platform/assert.ts";
import type { DiskState, NodeStatus, PeerStatus } from "../protocol/messages.ts";
import { enumeration, percentOf } from "./text.ts";

/** State of a node as seen by this client; "unknown" if it was not asked. */
export type NodeState = "up" | "unreachable" | "notAnswering" | "unknown";

/** Returns the state of a node that was asked for its status. */
export function stateOf(node: NodeView): NodeState {
  return node.reachable ? "up" : node.state;
}

/** Returns the words for a state. */
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

/** Returns the addition to a state for a disk that is full; "" for one that is not, or is unknown. */
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

/** The status of a leader. */
type LeaderView = Omit<NodeStatus, "members">;

/** Returns the status of the leader; null if there is none, or it does not answer. */
export function leaderOf({ leader, nodes }: ClusterStatus): LeaderView | null {
  return nodes.find((node): node is Extract<typeof node, { reachable: true }> =>
    node.reachable && node.id === leader && node.role === "leader"
  ) ?? null;
}

/** Returns the leader's state of the peer `id`; null if it has none. */
export function peerOf(leader: LeaderView | null, id: number): PeerStatus | null {
  return leader?.peers.find((peer) => peer.id === id) ?? null;
}

/** Returns how many entries of the leader's log a peer is not known to have: all of them before the first contact. */
export function lagOf(peer: PeerStatus, leader: LeaderView): number {
  return Math.max(0, leader.lastLogIndex - peer.matchIndex);
}

/** Returns the percentage that a peer has of the snapshot that it is being sent; null if it is sent none. */
export function snapshotPercentOf(
  { state, snapshotSentBytes, snapshotTotalBytes }: PeerStatus,
): number | null {
  return state === "snapshot" ? percentOf(snapshotSentBytes, snapshotTotalBytes) : null;
}

/** Returns what a command waits for while a cluster is in this state. */
export function describeWaiting({ leader, nodes }: ClusterStatus): string {
  const silent = nodes.filter((node) => !node.reachable);
  const up = nodes.filter((node) => node.reachable);
  const silentParts = (["unreachable", "notAnswering"] as const).flatMap((state) => {
    const found = silent.filter((node) => stateOf(node) === state);
    return found.length === 0 ? [] : [`${namesOf(found)} ${stateText(state)}`];
  });
  const missing = silentParts.length === 0 ? [] : [silentParts.join(", ")];
  if (up.length === 0) return ["no node answers", ...missing].join(": ");
  if (leader === null) return `no leader yet: ${[...missing, `${namesOf(up)} electing`].join(", ")}`;
  const isLeaderSilent = silent.some(({ id }) => id === leader);
  const first = isLeaderSilent ? `leader n${leader} does not answer` : `waiting for leader n${leader}`;
  return [first, ...missing].join(": ");
}

/** Returns `n1`, `n1 and n2`, or `n1, n2 and n3`. */
function namesOf(nodes: readonly NodeView[]): string {
  return enumeration(nodes.map(({ id, address }) => id === null ? address : `n${id}`));
}
