/**
 * Elections: changes of role, campaigns, votes, and the counting of votes (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6).
 *
 * Each change of role sets up the new role's data and refuses the reads that waited in the old role.
 */
import { assert, assertNever } from "../platform/assert.ts";
import { Lease } from "./lease.ts";
import { entryBytes } from "./log.ts";
import type {
  IgnoredReason,
  Message,
  PreVote,
  PreVoteResponse,
  RequestVote,
  RequestVoteResponse,
} from "./message.ts";
import { newTrackedPeer } from "./progress.ts";
import { countVotes, isVoter } from "./quorum.ts";
import { PendingReads } from "./read_index.ts";
import type { Candidate, PreCandidate, RaftState } from "./state.ts";
import type { Entry, NodeId } from "./types.ts";

/**
 * Follows in `term` (the present one, or a later one). `leader` is the leader of the term, or null while it is unknown.
 *
 * Without a leader the election timer is not reset: a later term alone, from a candidate that may be unable to win, must
 * not keep this node from campaigning.
 */
export function becomeFollower(state: RaftState, term: number, leader: NodeId | null): void {
  if (term > state.term) state.enterTerm(term);
  assert(term === state.term, "a node follows only in its present term");
  refuseWaitingReads(state);
  const elapsedTicks = leader === null && state.role.kind !== "leader" ? state.role.elapsedTicks : 0;
  state.role = {
    kind: "follower",
    leader,
    elapsedTicks,
    timeoutTicks: state.drawTimeoutTicks(),
    forwardedReads: new Map(),
  };
}

/** Sends PreVotes for the next term. The term itself does not change. */
export function startPreVote(state: RaftState): void {
  assert(state.role.kind !== "leader", "a leader does not campaign");
  refuseWaitingReads(state);
  state.role = {
    kind: "preCandidate",
    votes: new Map([[state.id, true]]),
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
  };
  const { lastIndex: lastLogIndex, lastTerm: lastLogTerm } = state.log;
  for (const to of otherVoters(state)) {
    state.send({ kind: "preVote", from: state.id, to, term: state.term + 1, lastLogIndex, lastLogTerm });
  }
}

/**
 * Enters the next term, votes for itself and requests votes. The requests leave once the term and the own vote are
 * durable; the own vote counts from then on as well.
 */
export function startElection(state: RaftState, leadershipTransfer: boolean): void {
  assert(state.role.kind !== "leader", "a leader does not campaign");
  refuseWaitingReads(state);
  state.enterTerm(state.term + 1);
  state.voteFor(state.id);
  state.role = {
    kind: "candidate",
    votes: new Map(),
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
  };
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
 * Begins to lead the term with a no-op: entries of earlier terms are committed only under an entry of this one
 * (Raft §5.4.2), and reads wait for it (thesis §6.4).
 */
function becomeLeader(state: RaftState): void {
  assert(state.role.kind === "candidate", "only a candidate becomes leader");
  const { log, term } = state;
  const noop: Entry = { index: log.lastIndex + 1, term, kind: "noop", data: new Uint8Array(0) };
  // Nodes that an uncommitted change removes receive the log until that change is committed (membership.ts).
  const nodes = log.configurations.nodesFrom(log.commitIndex);
  const others = [...nodes].filter((node) => node !== state.id);
  state.role = {
    kind: "leader",
    peers: new Map(others.map((node) => [node, newTrackedPeer(log.lastIndex)])),
    termStartIndex: noop.index,
    heartbeatElapsedTicks: 0,
    quorumElapsedTicks: 0,
    removalWaitTicks: null,
    transfer: null,
    reads: new PendingReads(),
    lease: state.lease === null ? null : new Lease(state.lease),
    unappliedBytes: entryBytes(noop),
  };
  log.write([noop]);
}

/** Advances a candidate's election timer; after a timeout it begins again with PreVote. */
export function tickCandidate(state: RaftState, role: PreCandidate | Candidate): void {
  role.elapsedTicks++;
  if (role.elapsedTicks >= role.timeoutTicks && state.isPromotable) startPreVote(state);
}

/** Handles a message of the current term, or a PreVote that was granted for the next term. */
export function stepCandidate(
  state: RaftState,
  role: PreCandidate | Candidate,
  message: Message,
): IgnoredReason | null {
  switch (message.kind) {
    case "preVoteResponse":
      if (role.kind !== "preCandidate") return "staleRole";
      if (!isVoter(state.confState, message.from)) return "unknownSender";
      recordVote(role, message);
      concludePreVote(state, role);
      return null;
    case "requestVoteResponse":
      if (role.kind !== "candidate") return "staleRole";
      if (!isVoter(state.confState, message.from)) return "unknownSender";
      recordVote(role, message);
      concludeElection(state, role);
      return null;
    case "preVote":
      handlePreVote(state, message);
      return null;
    case "requestVote":
      handleRequestVote(state, message);
      return null;
    case "readIndex":
      state.refuseRead(message);
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
      // A leader's request has made this node a follower before it is dispatched to a role (raft.ts).
      return "staleRole";
    default:
      return assertNever(message);
  }
}

/** Starts the election once a majority has granted its PreVote. */
export function concludePreVote(state: RaftState, role: PreCandidate): void {
  const result = countVotes(state.confState, role.votes);
  if (result === "won") startElection(state, false);
  else if (result === "lost") becomeFollower(state, state.term, null);
}

/** Becomes leader once a majority has voted for this node. */
export function concludeElection(state: RaftState, role: Candidate): void {
  const result = countVotes(state.confState, role.votes);
  if (result === "won") becomeLeader(state);
  else if (result === "lost") becomeFollower(state, state.term, null);
}

/** Records a vote. A granted vote stays granted: a refusal after it is the late response to an earlier request. */
function recordVote(role: PreCandidate | Candidate, message: PreVoteResponse | RequestVoteResponse): void {
  if (role.votes.get(message.from) !== true) role.votes.set(message.from, message.granted);
}

/**
 * Whether this node leads, or is in contact with a leader, or has granted one a lease that has not expired: then it
 * does not help to depose that leader (thesis §4.2.3, §6.4.1).
 */
export function inLeaderLease(state: RaftState): boolean {
  const { role } = state;
  if (role.kind === "leader" || state.isLeased) return true;
  return role.kind === "follower" && role.leader !== null && role.elapsedTicks < state.electionTicks;
}

/** Responds to a PreVote; no state changes. A refusal carries this node's own term, so that the requester can catch up. */
export function handlePreVote(state: RaftState, message: PreVote): void {
  const granted = message.term > state.term && !inLeaderLease(state) &&
    state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  const term = granted ? message.term : state.term;
  state.sendAnswer({ kind: "preVoteResponse", from: state.id, to: message.from, term, granted });
}

/**
 * Responds to a RequestVote of the current term. Only a granted vote resets the election timer: otherwise a node that
 * cannot win would keep one that can from campaigning.
 */
export function handleRequestVote(state: RaftState, message: RequestVote): void {
  const leaderKnown = state.role.kind === "follower" && state.role.leader !== null;
  const free = state.vote === message.from || (state.vote === null && !leaderKnown);
  // A lease granted to a leader of an earlier term holds until it expires, in any term.
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

/** Returns the other voters in ascending order. A node responds to any candidate, member or not (thesis §4.1). */
function otherVoters(state: RaftState): NodeId[] {
  const { voters, votersOutgoing } = state.confState;
  const all = new Set([...voters, ...votersOutgoing]);
  return [...all].filter((node) => node !== state.id).sort((a, b) => a - b);
}

/** Refuses the reads that wait in the role that ends: no node confirms them any more. */
function refuseWaitingReads(state: RaftState): void {
  const { role } = state;
  if (role.kind === "follower") {
    for (const readId of role.forwardedReads.keys()) state.refuseRead({ readId, from: state.id });
  } else if (role.kind === "leader") {
    for (const read of role.reads.drain()) state.refuseRead(read);
  }
}
