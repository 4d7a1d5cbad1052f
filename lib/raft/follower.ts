/** What a follower does: take entries from the leader, notice its silence, pass reads on. */
import type {
  AppendEntries,
  Heartbeat,
  IgnoredReason,
  InstallSnapshot,
  Message,
  ReadIndexResponse,
  TimeoutNow,
} from "./message.ts";
import { answerPreVote, answerRequestVote, startElection, startPreVote } from "./election.ts";
import type { Follower } from "./role.ts";
import { refuseRead } from "./read_index.ts";
import type { RaftState } from "./state.ts";

/** Time passes: forwarded reads grow old, and a silent leader is replaced. */
export function tickFollower(state: RaftState, role: Follower): void {
  for (const [readId, waitedTicks] of role.forwardedReads) {
    if (waitedTicks < state.electionTicks) role.forwardedReads.set(readId, waitedTicks + 1);
    else {
      role.forwardedReads.delete(readId);
      state.reads.push({ readId, index: null });
    }
  }
  const { isLeased } = state;
  role.elapsedTicks++;
  // All that wait for the same promise to end campaign each at its own time behind it, or nobody would have a majority.
  if (isLeased) role.elapsedTicks = Math.min(role.elapsedTicks, state.electionTicks);
  if (role.elapsedTicks >= role.timeoutTicks && state.isPromotable && !isLeased) startPreVote(state);
}

/**
 * The leader's process is gone. Waiting for it brings nothing: the election timeout counts as passed, so that this node
 * votes, and it campaigns itself within the time of a heartbeat or two (whoever notices last has all votes by then).
 * To the core this is time that passes, and no more: a leader that is heard from after all is followed as before.
 */
export function campaignSoon(state: RaftState, role: Follower): void {
  const { electionTicks, heartbeatTicks } = state;
  if (role.elapsedTicks >= electionTicks) return;
  role.elapsedTicks = electionTicks;
  const soon = electionTicks + 1 + Math.floor(state.random() * 2 * heartbeatTicks);
  role.timeoutTicks = Math.min(role.timeoutTicks, soon);
}

/** A message of the current term. */
export function stepFollower(state: RaftState, role: Follower, message: Message): IgnoredReason | null {
  switch (message.kind) {
    case "appendEntries":
      if (!acceptLeader(role, message)) return "secondLeader";
      return appendFromLeader(state, message);
    case "heartbeat":
      if (!acceptLeader(role, message)) return "secondLeader";
      return heartbeatFromLeader(state, message);
    case "installSnapshot":
      if (!acceptLeader(role, message)) return "secondLeader";
      return installSnapshot(state, message);
    case "preVote":
      answerPreVote(state, message);
      return null;
    case "requestVote":
      answerRequestVote(state, message);
      return null;
    case "timeoutNow":
      return campaignAtOnce(state, role, message);
    case "readIndexResponse":
      return readAnswered(state, role, message);
    case "readIndex":
      refuseRead(state, message);
      return null;
    case "preVoteResponse":
    case "requestVoteResponse":
    case "appendEntriesResponse":
    case "heartbeatResponse":
      return "staleRole";
  }
}

/** Sends a read of this node on to the leader; null when no leader is known or too many reads wait. */
export function forwardRead(state: RaftState, role: Follower): number | null {
  if (role.leader === null || role.forwardedReads.size >= state.limits.pendingReads) return null;
  const readId = state.nextReadId();
  role.forwardedReads.set(readId, 0);
  state.send({ kind: "readIndex", from: state.id, to: role.leader, term: state.term, readId });
  return readId;
}

/** Learns who leads the term; false when the term has another leader already, which must never be. */
function acceptLeader(role: Follower, message: AppendEntries | Heartbeat | InstallSnapshot): boolean {
  if (role.leader !== null && role.leader !== message.from) return false;
  role.leader = message.from;
  role.elapsedTicks = 0;
  return true;
}

/** AppendEntries, receiver's side (Raft Figure 2, with hints in a refusal). */
function appendFromLeader(state: RaftState, message: AppendEntries): IgnoredReason | null {
  const { log, id: from, term } = state;
  const { prevLogIndex, prevLogTerm, entries } = message;
  const answer = { kind: "appendEntriesResponse", from, to: message.from, term } as const;
  // What lies before the log was committed, so that every leader has it too (Raft §5.4): there is nothing to compare.
  const { index: compactedIndex, term: compactedTerm } = log.compacted;
  const beyondCompacted = entries.slice(Math.max(0, compactedIndex - prevLogIndex));
  const atCompacted = entries[compactedIndex - prevLogIndex - 1];
  if (atCompacted !== undefined && atCompacted.term !== compactedTerm) return "conflictsWithCommitted";
  if (prevLogIndex >= compactedIndex && log.termAt(prevLogIndex) !== prevLogTerm) {
    const { index: conflictIndex, term: conflictTerm } = log.findConflictByTerm(prevLogIndex, prevLogTerm);
    state.sendAnswer({ ...answer, result: { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm } });
    return null;
  }
  // Entries that match stay: a shorter message that was overtaken must not cut off what a later one brought.
  const fresh = beyondCompacted.findIndex((entry) => log.termAt(entry.index) !== entry.term);
  const news = fresh === -1 ? [] : beyondCompacted.slice(fresh);
  const first = news[0];
  if (first !== undefined) {
    if (first.index <= log.commitIndex) return "conflictsWithCommitted";
    // An honest leader has inflightBytes under way at most, and sends again what gets no answer.
    if (log.unpersistedBytes > state.limits.uncommittedBytes) return "diskBacklog";
    log.write(news);
  }
  const matchIndex = prevLogIndex + entries.length;
  // Not this log's own end: what lies beyond the last entry of this message is not known to match.
  log.commitTo(Math.max(log.commitIndex, Math.min(message.leaderCommit, matchIndex)));
  state.sendWhenDurable({ ...answer, result: { kind: "accepted", matchIndex } });
  return null;
}

/**
 * InstallSnapshot, receiver's side (Raft Figure 13): the data is here and was checked, what is to be done with it is
 * decided now. It never takes this node back, and it discards no entry that may be needed.
 */
function installSnapshot(state: RaftState, { from: to, snapshot }: InstallSnapshot): IgnoredReason | null {
  const { log, id: from, term } = state;
  if (snapshot.index > log.commitIndex) {
    if (log.termAt(snapshot.index) === snapshot.term) {
      // The log has all of it, and may have more that this node has acknowledged (Raft Figure 13, 6).
      log.commitTo(snapshot.index);
    } else {
      log.reset(snapshot);
      state.committedEntriesRead = [];
      state.restore = snapshot;
    }
  }
  // What is committed here the leader has, whoever it is (Raft §5.4): that may be more than the snapshot holds.
  const matchIndex = log.commitIndex;
  state.sendWhenDurable({
    kind: "appendEntriesResponse",
    from,
    to,
    term,
    result: { kind: "accepted", matchIndex },
  });
  return null;
}

/** The leader never says a leaderCommit above what it knows this node to have; anything else is not believed. */
function heartbeatFromLeader(state: RaftState, message: Heartbeat): IgnoredReason | null {
  const { log, id: from, term } = state;
  if (message.leaderCommit > log.lastIndex) return "commitBeyondLog";
  log.commitTo(message.leaderCommit);
  const promisedMs = state.promise?.renew() ?? 0;
  const { from: to, round } = message;
  const { hasRoom } = state;
  state.sendAnswer({ kind: "heartbeatResponse", from, to, term, round, promisedMs, hasRoom });
  return null;
}

/** The leader hands over to this node: no PreVote, and the others need not wait for its silence (thesis §3.10). */
function campaignAtOnce(state: RaftState, role: Follower, message: TimeoutNow): IgnoredReason | null {
  if (role.leader !== message.from) return "notFromLeader";
  if (!state.isPromotable) return "notPromotable";
  startElection(state, true);
  return null;
}

function readAnswered(state: RaftState, role: Follower, message: ReadIndexResponse): IgnoredReason | null {
  if (role.leader !== message.from) return "notFromLeader";
  if (!role.forwardedReads.delete(message.readId)) return "unknownRead";
  state.reads.push({ readId: message.readId, index: message.index });
  return null;
}
