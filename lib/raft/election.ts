/** Campaigns, and the votes that nodes give in them (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6). */
import type { PreVote, RequestVote } from "./message.ts";
import type { RaftState } from "./state.ts";
import { becomeCandidate, becomeFollower, becomePreCandidate } from "./transitions.ts";
import type { NodeId } from "./types.ts";

/** The other nodes whose vote counts, in ascending order. Whoever is asked answers, member or not (thesis §4.1). */
function otherVoters(state: RaftState): NodeId[] {
  const { voters, votersOutgoing } = state.confState;
  const all = new Set([...voters, ...votersOutgoing]);
  return [...all].filter((node) => node !== state.id).sort((a, b) => a - b);
}

/** Asks whether an election could be won. */
export function startPreVote(state: RaftState): void {
  becomePreCandidate(state);
  const { lastIndex: lastLogIndex, lastTerm: lastLogTerm } = state.log;
  for (const to of otherVoters(state)) {
    state.send({ kind: "preVote", from: state.id, to, term: state.term + 1, lastLogIndex, lastLogTerm });
  }
}

/** Campaigns in the next term. The requests leave once the term and the own vote are durable. */
export function startElection(state: RaftState, leadershipTransfer: boolean): void {
  becomeCandidate(state);
  const { lastIndex: lastLogIndex, lastTerm: lastLogTerm } = state.log;
  const { id: from, term } = state;
  for (const to of otherVoters(state)) {
    state.sendWhenDurable({
      kind: "requestVote",
      from,
      to,
      term,
      lastLogIndex,
      lastLogTerm,
      leadershipTransfer,
    });
  }
}

/**
 * Whether this node leads, or has heard from a leader lately, or has promised one to wait: then it helps nobody to
 * depose it (thesis §4.2.3, §6.4.1).
 */
export function inLeaderLease(state: RaftState): boolean {
  const { role } = state;
  if (role.kind === "leader" || state.isLeased) return true;
  return role.kind === "follower" && role.leader !== null && role.elapsedTicks < state.electionTicks;
}

/** Answers a PreVote; nothing changes here. A refusal says this node's real term, so that the asker can catch up. */
export function answerPreVote(state: RaftState, message: PreVote): void {
  const granted = message.term > state.term && !inLeaderLease(state) &&
    state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  const term = granted ? message.term : state.term;
  state.sendAnswer({ kind: "preVoteResponse", from: state.id, to: message.from, term, granted });
}

/**
 * Answers a RequestVote of the current term. Only a granted vote resets the election timer: otherwise a node that
 * can't win would keep one that can from trying.
 */
export function answerRequestVote(state: RaftState, message: RequestVote): void {
  const leaderKnown = state.role.kind === "follower" && state.role.leader !== null;
  const free = state.vote === message.from || (state.vote === null && !leaderKnown);
  // Whoever brought this term: what was promised to a leader of an earlier one holds until its time is up.
  const isBound = state.isLeased && !message.leadershipTransfer;
  const granted = free && !isBound && state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  if (granted) {
    state.voteFor(message.from);
    if (state.role.kind !== "follower") becomeFollower(state, state.term, null);
    if (state.role.kind === "follower") state.role.elapsedTicks = 0;
  }
  const { id: from, term } = state;
  state.sendWhenDurable({ kind: "requestVoteResponse", from, to: message.from, term, granted });
}
