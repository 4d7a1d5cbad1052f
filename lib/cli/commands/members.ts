/** The members as a person wants to see them: what each is, how far behind, and when it was last heard from. */
import type { ClusterStatus, NodeView } from "../../client/types.ts";
import { assertNever } from "../../platform/assert.ts";
import type { DiskState, Member, MemberRole, NodeStatus, PeerStatus } from "../../protocol/messages.ts";
import { duration, escapeText, percentOf, table, withThousands } from "../text.ts";

/** A leader that was heard from so lately counts as being heard from now. */
const LATELY_MS = 1_000;

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

/** One member. What only the leader or the node itself could say is null where neither did. */
export interface MemberRow {
  readonly id: number;
  readonly address: string;
  readonly role: MemberRole;
  readonly leads: boolean;
  readonly state: NodeState;
  /** Whether its disk has room: as it says itself, else as its leader was told; null where neither could say. */
  readonly disk: DiskState | null;
  /** Whether there is a leader that says how it is. */
  readonly isWatched: boolean;
  /** Entries of the leader's log that it is not known to have; null while the leader has never heard from it. */
  readonly lag: number | null;
  /** Since the leader last heard from it; null when it did not since it was elected. */
  readonly lastContactMs: number | null;
  /** Version of its program. */
  readonly version: string | null;
  /** How much of a snapshot it has that it is being sent; null when it is sent none. */
  readonly snapshotPercent: number | null;
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

/** Puts together what the members' list and the nodes say. */
export function memberRows(members: readonly Member[], status: ClusterStatus): readonly MemberRow[] {
  const leader = leaderOf(status);
  return members.map(({ id, address, role }) => {
    const node = status.nodes.find((candidate) => candidate.id === id);
    const version = node?.reachable === true ? node.version : null;
    const state = node === undefined ? "unknown" : stateOf(node);
    const peer = peerOf(leader, id);
    const disk = diskOf(node, peer);
    const common = { id, address, role, state, disk, version, leads: leader?.id === id };
    if (leader?.id === id) {
      return { ...common, isWatched: true, lag: 0, lastContactMs: 0, snapshotPercent: null };
    }
    if (leader === null || peer === null) {
      return { ...common, isWatched: false, lag: null, lastContactMs: null, snapshotPercent: null };
    }
    return {
      ...common,
      isWatched: true,
      lag: peer.lastContactMs === null ? null : lagOf(peer, leader),
      lastContactMs: peer.lastContactMs,
      snapshotPercent: snapshotPercentOf(peer),
    };
  });
}

function diskOf(node: NodeView | undefined, peer: PeerStatus | null): DiskState | null {
  if (node?.reachable === true) return node.disk;
  if (peer === null || peer.hasRoom === null) return null;
  return peer.hasRoom ? "ok" : "nearlyFull";
}

/** The members as a table of text. */
export function membersTable(rows: readonly MemberRow[]): string {
  const header = ["node", "address", "role", "state", "lag", "last contact", "version"];
  const lines = table([
    header,
    ...rows.map((row) => [
      `n${row.id}`,
      escapeText(row.address),
      row.leads ? `${row.role}, leads` : row.role,
      `${stateText(row.state)}${diskNote(row.disk)}`,
      lagText(row),
      contactText(row),
      row.version === null ? "?" : escapeText(row.version),
    ]),
  ]);
  return lines.map((line) => `${line}\n`).join("");
}

function lagText({ lag, snapshotPercent }: MemberRow): string {
  if (snapshotPercent !== null) return `snapshot ${snapshotPercent}%`;
  return lag === null ? "?" : withThousands(lag);
}

function contactText({ isWatched, lastContactMs }: MemberRow): string {
  if (lastContactMs === null) return isWatched ? "none yet" : "?";
  return lastContactMs < LATELY_MS ? "now" : `${duration(lastContactMs)} ago`;
}
