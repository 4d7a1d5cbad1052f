/** Majorities: of one configuration, or of both halves of a joint one (Raft §6). */
import type { ConfState, NodeId } from "./types.ts";

/** Result of an election so far. */
export type VoteResult = "won" | "lost" | "pending";

/** Returns the largest number that a majority of `nodes` has reached. */
function majorityReached(nodes: readonly NodeId[], reached: (node: NodeId) => number): number {
  const numbers = nodes.map(reached).sort((a, b) => b - a);
  return numbers[Math.floor(numbers.length / 2)] ?? Number.MAX_SAFE_INTEGER;
}

/**
 * Returns the largest number (an index, a round) that a quorum has reached: a majority of the voters, and in a joint
 * configuration also a majority of the outgoing voters.
 */
export function quorumReached(confState: ConfState, reached: (node: NodeId) => number): number {
  return Math.min(
    majorityReached(confState.voters, reached),
    majorityReached(confState.votersOutgoing, reached),
  );
}

/** Whether `holds` is true of a quorum. */
export function hasQuorum(confState: ConfState, holds: (node: NodeId) => boolean): boolean {
  return quorumReached(confState, (node) => holds(node) ? 1 : 0) >= 1;
}

/** Counts the votes received so far. */
export function countVotes(confState: ConfState, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (hasQuorum(confState, (node) => votes.get(node) === true)) return "won";
  return hasQuorum(confState, (node) => votes.get(node) !== false) ? "pending" : "lost";
}

/** Whether a configuration is joint. */
export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0;
}

/** Whether a node counts in a majority. */
export function isVoter({ voters, votersOutgoing }: ConfState, node: NodeId): boolean {
  return voters.includes(node) || votersOutgoing.includes(node);
}

/** Returns every node that receives the log, in ascending order. */
export function members(confState: ConfState): NodeId[] {
  const all = new Set([...confState.voters, ...confState.votersOutgoing, ...confState.learners]);
  return [...all].sort((a, b) => a - b);
}
