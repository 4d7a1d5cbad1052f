/** What candidates and pre-candidates do: count votes, and try again when nobody wins. */
import type { IgnoredReason, Message, PreVoteResponse, RequestVoteResponse } from "./message.ts";
import { answerPreVote, answerRequestVote, startElection, startPreVote } from "./election.ts";
import { countVotes, isVoter } from "./quorum.ts";
import type { Candidate, PreCandidate } from "./role.ts";
import { refuseRead } from "./read_index.ts";
import type { RaftState } from "./state.ts";
import { becomeFollower, becomeLeader } from "./transitions.ts";

/** Time passes: an election without a winner begins anew, by asking first. */
export function tickCandidate(state: RaftState, role: PreCandidate | Candidate): void {
  role.elapsedTicks++;
  if (role.elapsedTicks >= role.timeoutTicks && state.isPromotable) startPreVote(state);
}

/** A message of the current term (or a PreVote granted for the next). */
export function stepCandidate(
  state: RaftState,
  role: PreCandidate | Candidate,
  message: Message,
): IgnoredReason | null {
  switch (message.kind) {
    case "preVoteResponse":
      if (role.kind !== "preCandidate") return "staleRole";
      if (!isVoter(state.confState, message.from)) return "unknownSender";
      noteVote(role, message);
      settlePreVote(state, role);
      return null;
    case "requestVoteResponse":
      if (role.kind !== "candidate") return "staleRole";
      if (!isVoter(state.confState, message.from)) return "unknownSender";
      noteVote(role, message);
      settleElection(state, role);
      return null;
    case "preVote":
      answerPreVote(state, message);
      return null;
    case "requestVote":
      answerRequestVote(state, message);
      return null;
    case "readIndex":
      refuseRead(state, message);
      return null;
    case "timeoutNow":
      return "notFromLeader";
    case "readIndexResponse":
      return "unknownRead";
    case "appendEntriesResponse":
    case "heartbeatResponse":
    case "appendEntries":
    case "heartbeat":
    case "installSnapshot":
      // The requests of a leader make a candidate a follower before they come here (raft.ts).
      return "staleRole";
  }
}

/** Goes on to the real election once a majority would vote for this node. */
export function settlePreVote(state: RaftState, role: PreCandidate): void {
  const result = countVotes(state.confState, role.votes);
  if (result === "won") startElection(state, false);
  else if (result === "lost") becomeFollower(state, state.term, null);
}

/** Leads once a majority has voted for this node. */
export function settleElection(state: RaftState, role: Candidate): void {
  const result = countVotes(state.confState, role.votes);
  if (result === "won") becomeLeader(state);
  else if (result === "lost") becomeFollower(state, state.term, null);
}

/** A vote once given stays given: a refusal beside it is the late answer to an earlier request. */
function noteVote(role: PreCandidate | Candidate, message: PreVoteResponse | RequestVoteResponse): void {
  if (role.votes.get(message.from) !== true) role.votes.set(message.from, message.granted);
}
