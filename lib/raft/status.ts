/** Status of a node: its view of itself and its cluster. */
import type { Progress } from "./progress.ts";
import type { Leader, RaftState, Role } from "./state.ts";
import type { Configuration, NodeId } from "./types.ts";

/** A leader's view of a peer. */
export interface PeerView {
  readonly id: NodeId;
  readonly matchIndex: number;
  readonly kind: Progress["kind"];
  /** Whether it has responded since the last CheckQuorum. */
  readonly isActive: boolean;
  /** Ticks since its last response in this term; null before the first. */
  readonly ticksSinceContact: number | null;
  /** The newest round of heartbeats that it has responded to. */
  readonly confirmedRound: number;
  /** Whether its disk has free space, by its last response; null before the first. */
  readonly hasDiskSpace: boolean | null;
}

/** A node's view of itself and its cluster. */
export interface RaftStatus {
  readonly id: NodeId;
  readonly role: Role["kind"];
  readonly term: number;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** Index of the first entry in the log, or of the entry that would be the first in an empty log. */
  readonly firstIndex: number;
  /** Index of the newest snapshot; 0 for none. */
  readonly snapshotIndex: number;
  /** The newest configuration in the log, committed or not. */
  readonly configuration: Configuration;
  /** On a leader its view of every peer, by id; empty on other nodes. */
  readonly peers: readonly PeerView[];
}

/** Returns the leader that a node knows, or null. */
export function leaderKnownTo({ role, id }: RaftState): NodeId | null {
  if (role.kind === "leader") return id;
  return role.kind === "follower" ? role.leader : null;
}

/** Returns a node's view of itself. */
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
  return [...peers].map(
    ([id, { progress, recentlyActive, ticksSinceContact, confirmedRound, hasDiskSpace }]) => {
      return {
        id,
        matchIndex: progress.matchIndex,
        kind: progress.kind,
        isActive: recentlyActive,
        ticksSinceContact,
        confirmedRound,
        hasDiskSpace,
      };
    },
  ).sort((a, b) => a.id - b.id);
}
