/**
 * Leadership transfer (thesis §3.10), all of it: the leader stops proposing, brings the target's log up to date, and tells
 * it to campaign at once; the target campaigns without PreVote, and voters ignore leader stickiness and leases.
 */
import { startElection } from "./election.ts";
import type { IgnoredReason, TimeoutNow } from "./message.ts";
import type { TrackedPeer } from "./progress.ts";
import type { Follower, Leader, RaftState } from "./state.ts";
import type { NodeId } from "./types.ts";

/**
 * Begins a transfer to `target`, or to the best successor when null. Returns the target, or null when no transfer can
 * begin: another is in progress, or the target is not a voter.
 */
export function startTransfer(state: RaftState, role: Leader, target: NodeId | null): NodeId | null {
  if (role.transfer !== null) return null;
  const chosen = target ?? bestSuccessor(state, role);
  const peer = chosen === null ? undefined : role.peers.get(chosen);
  if (chosen === null || peer === undefined || !state.confState.voters.includes(chosen)) return null;
  role.transfer = { target: chosen, elapsedTicks: 0, timeoutNowSent: false };
  maybeSendTimeoutNow(state, role, chosen, peer);
  return chosen;
}

/** Tells the target of a transfer to campaign once it has the whole log; before that it could not win. */
export function maybeSendTimeoutNow(
  state: RaftState,
  role: Leader,
  target: NodeId,
  peer: TrackedPeer,
): void {
  const { transfer } = role;
  if (transfer === null || transfer.target !== target || transfer.timeoutNowSent) return;
  if (peer.progress.matchIndex !== state.log.lastIndex) return;
  transfer.timeoutNowSent = true;
  role.lease?.revoke();
  sendTimeoutNow(state, target);
}

/**
 * Repeats TimeoutNow, whose connection may have been down for a moment, and abandons a transfer after an election timeout.
 * It counts the transfer's own ticks: every round of heartbeats that reads request resets the heartbeat timer.
 */
export function tickTransfer(state: RaftState, role: Leader): void {
  const { transfer } = role;
  if (transfer === null) return;
  transfer.elapsedTicks++;
  if (transfer.elapsedTicks >= state.electionTicks) role.transfer = null;
  else if (transfer.timeoutNowSent && transfer.elapsedTicks % state.heartbeatTicks === 0) {
    sendTimeoutNow(state, transfer.target);
  }
}

/** Tells the best successor to campaign at once, for a leader that steps down: the voters need not wait for a timeout. */
export function sendTimeoutNowToSuccessor(state: RaftState, role: Leader): void {
  const successor = bestSuccessor(state, role);
  if (successor !== null) sendTimeoutNow(state, successor);
}

/** Handles TimeoutNow at the target. */
export function handleTimeoutNow(
  state: RaftState,
  role: Follower,
  message: TimeoutNow,
): IgnoredReason | null {
  if (role.leader !== message.from) return "notFromLeader";
  if (!state.isPromotable) return "notPromotable";
  startElection(state, true);
  return null;
}

/**
 * Returns the active voter that is best suited to lead: one with free disk space before one without, then the longest
 * log, then the lowest id. Null when no other voter is active.
 */
export function bestSuccessor(state: RaftState, role: Leader): NodeId | null {
  const voters = [...role.peers].filter(([node, peer]) =>
    peer.recentlyActive && state.confState.voters.includes(node)
  );
  const [best] = voters.sort(([node, peer], [otherNode, otherPeer]) =>
    Number(peer.hasDiskSpace === false) - Number(otherPeer.hasDiskSpace === false) ||
    otherPeer.progress.matchIndex - peer.progress.matchIndex || node - otherNode
  );
  return best?.[0] ?? null;
}

function sendTimeoutNow(state: RaftState, to: NodeId): void {
  state.send({ kind: "timeoutNow", from: state.id, to, term: state.term });
}
