/** How a node sees itself and its cluster. */
import type { Progress } from "./progress.ts";
import type { Leader, Role } from "./role.ts";
import type { RaftState } from "./state.ts";
import type { Configuration, NodeId } from "./types.ts";

/** What a leader knows of another node. */
export interface PeerView {
  readonly id: NodeId;
  readonly matchIndex: number;
  readonly kind: Progress["kind"];
  /** Whether it was heard from since the last CheckQuorum. */
  readonly isActive: boolean;
  /** Ticks since it was last heard from in this term; null when it never was. */
  readonly ticksSinceContact: number | null;
  /** The newest round of heartbeats that it has answered. */
  readonly confirmedRound: number;
  /** Whether its disk has room, by its last answer; null before that. */
  readonly hasRoom: boolean | null;
}

/** A node's view of itself and its cluster, for status pages and tests. */
export interface RaftStatus {
  readonly id: NodeId;
  readonly role: Role["kind"];
  readonly term: number;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** Index of the first entry in the log, whether there is one or not. */
  readonly firstIndex: number;
  /** Index of the newest snapshot; 0 for none. */
  readonly snapshotIndex: number;
  /** The newest configuration in the log, committed or not. */
  readonly configuration: Configuration;
  /** Of a leader: what it knows of every other node, by id; else empty. */
  readonly peers: readonly PeerView[];
}

/** Who leads, as far as a node knows. */
export function leaderKnownTo({ role, id }: RaftState): NodeId | null {
  if (role.kind === "leader") return id;
  return role.kind === "follower" ? role.leader : null;
}

/** A node's view of itself. */
export function statusOf(state: RaftState): RaftStatus {
  const { id, role, term, vote, log } = state;
  const { commitIndex, appliedIndex, lastIndex, snapshotIndex } = log;
  return {
    id,
    role: role.kind,
    term,
    vote,
    leader: leaderKnownTo(state),
    commitIndex,
    appliedIndex,
    lastIndex,
    firstIndex: log.compacted.index + 1,
    snapshotIndex,
    configuration: log.configurations.newest,
    peers: role.kind === "leader" ? peersOf(role) : [],
  };
}

function peersOf({ peers }: Leader): PeerView[] {
  return [...peers].map(([id, { progress, recentlyActive, ticksSinceContact, confirmedRound, hasRoom }]) => {
    return {
      id,
      matchIndex: progress.matchIndex,
      kind: progress.kind,
      isActive: recentlyActive,
      ticksSinceContact,
      confirmedRound,
      hasRoom,
    };
  }).sort((a, b) => a.id - b.id);
}
