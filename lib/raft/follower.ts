/** A follower: accepts entries and snapshots from the leader, detects its silence, and forwards reads to it. */
import { assertNever } from "../platform/assert.ts";
import { handlePreVote, handleRequestVote, startPreVote } from "./election.ts";
import type {
  AppendEntries,
  Heartbeat,
  IgnoredReason,
  InstallSnapshot,
  Message,
  ReadIndexResponse,
} from "./message.ts";
import type { Follower, RaftState } from "./state.ts";
import { handleTimeoutNow } from "./transfer.ts";

/** Advances a follower's timers: forwarded reads expire, and a silent leader causes a campaign. */
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
  // Without this limit all nodes whose lease ends at the same time would campaign at once, and none would win.
  if (isLeased) role.elapsedTicks = Math.min(role.elapsedTicks, state.electionTicks);
  if (role.elapsedTicks >= role.timeoutTicks && state.isPromotable && !isLeased) startPreVote(state);
}

/**
 * Counts the election timeout as passed, since the leader's address refuses connections: this node grants votes, and it
 * campaigns itself within about two heartbeats, by which time the other followers know as well. This affects only timers:
 * a leader that sends a message after all is followed as before.
 */
export function campaignSoon(state: RaftState, role: Follower): void {
  const { electionTicks, heartbeatTicks } = state;
  if (role.elapsedTicks >= electionTicks) return;
  role.elapsedTicks = electionTicks;
  const soon = electionTicks + 1 + Math.floor(state.random() * 2 * heartbeatTicks);
  role.timeoutTicks = Math.min(role.timeoutTicks, soon);
}

/** Handles a message of the current term. */
export function stepFollower(state: RaftState, role: Follower, message: Message): IgnoredReason | null {
  switch (message.kind) {
    case "appendEntries":
      if (!acceptLeader(role, message)) return "secondLeader";
      return handleAppendEntries(state, message);
    case "heartbeat":
      if (!acceptLeader(role, message)) return "secondLeader";
      return handleHeartbeat(state, message);
    case "installSnapshot":
      if (!acceptLeader(role, message)) return "secondLeader";
      return handleInstallSnapshot(state, message);
    case "preVote":
      handlePreVote(state, message);
      return null;
    case "requestVote":
      handleRequestVote(state, message);
      return null;
    case "timeoutNow":
      return handleTimeoutNow(state, role, message);
    case "readIndexResponse":
      return handleReadIndexResponse(state, role, message);
    case "readIndex":
      state.refuseRead(message);
      return null;
    case "preVoteResponse":
    case "requestVoteResponse":
    case "appendEntriesResponse":
    case "heartbeatResponse":
      return "staleRole";
    default:
      return assertNever(message);
  }
}

/** Forwards a read to the leader and returns its id, or null when no leader is known or too many reads wait. */
export function forwardRead(state: RaftState, role: Follower): number | null {
  if (role.leader === null || role.forwardedReads.size >= state.limits.pendingReads) return null;
  const readId = state.nextReadId();
  role.forwardedReads.set(readId, 0);
  state.send({ kind: "readIndex", from: state.id, to: role.leader, term: state.term, readId });
  return readId;
}

/** Records the leader of the term; false when the term has another leader, which must never happen. */
function acceptLeader(role: Follower, message: AppendEntries | Heartbeat | InstallSnapshot): boolean {
  if (role.leader !== null && role.leader !== message.from) return false;
  role.leader = message.from;
  role.elapsedTicks = 0;
  return true;
}

/** Handles AppendEntries (Raft Figure 2, with a conflict hint in a rejection). */
function handleAppendEntries(state: RaftState, message: AppendEntries): IgnoredReason | null {
  const { log, id: from, term } = state;
  const { prevLogIndex, prevLogTerm, entries } = message;
  const answer = { kind: "appendEntriesResponse", from, to: message.from, term } as const;
  // Compacted entries were committed, so every leader has them (Raft §5.4): there is nothing to compare.
  const { index: compactedIndex, term: compactedTerm } = log.compacted;
  const beyondCompacted = entries.slice(Math.max(0, compactedIndex - prevLogIndex));
  const atCompacted = entries[compactedIndex - prevLogIndex - 1];
  if (atCompacted !== undefined && atCompacted.term !== compactedTerm) return "conflictsWithCommitted";
  if (prevLogIndex >= compactedIndex && log.termAt(prevLogIndex) !== prevLogTerm) {
    const { index: conflictIndex, term: conflictTerm } = log.findConflictByTerm(prevLogIndex, prevLogTerm);
    state.sendAnswer({ ...answer, result: { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm } });
    return null;
  }
  // Matching entries stay: an overtaken, shorter message must not truncate what a later one appended.
  const firstNew = beyondCompacted.findIndex((entry) => log.termAt(entry.index) !== entry.term);
  const newEntries = firstNew === -1 ? [] : beyondCompacted.slice(firstNew);
  const first = newEntries[0];
  if (first !== undefined) {
    if (first.index <= log.commitIndex) return "conflictsWithCommitted";
    // A correct leader has at most inflightBytes in flight, and retransmits without a response.
    if (log.unpersistedBytes > state.limits.uncommittedBytes) return "diskBacklog";
    log.write(newEntries);
  }
  const matchIndex = prevLogIndex + entries.length;
  // Not up to this log's end: entries beyond the last one of this message are not known to match.
  log.commitTo(Math.max(log.commitIndex, Math.min(message.leaderCommit, matchIndex)));
  state.sendWhenDurable({ ...answer, result: { kind: "accepted", matchIndex } });
  return null;
}

/**
 * Handles InstallSnapshot (Raft Figure 13), whose data was received and checked. It never moves this node back, and
 * discards no entry that may be needed.
 */
function handleInstallSnapshot(
  state: RaftState,
  { from: to, snapshot }: InstallSnapshot,
): IgnoredReason | null {
  const { log, id: from, term } = state;
  if (snapshot.index > log.commitIndex) {
    if (log.termAt(snapshot.index) === snapshot.term) {
      // The log has all of its entries, and may have later ones that this node has acknowledged (Raft Figure 13, 6).
      log.commitTo(snapshot.index);
    } else {
      log.reset(snapshot);
      state.committedEntriesRead = [];
      state.restore = snapshot;
    }
  }
  // Any leader has every entry that is committed here (Raft §5.4); these may be more than the snapshot's.
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

/** Handles a heartbeat. Its leaderCommit must not exceed this log, as it never exceeds this node's matchIndex. */
function handleHeartbeat(state: RaftState, message: Heartbeat): IgnoredReason | null {
  const { log, id: from, term } = state;
  if (message.leaderCommit > log.lastIndex) return "commitBeyondLog";
  log.commitTo(message.leaderCommit);
  const promisedMs = state.voterLease?.renew() ?? 0;
  const { from: to, round } = message;
  const { hasDiskSpace } = state;
  state.sendAnswer({ kind: "heartbeatResponse", from, to, term, round, promisedMs, hasDiskSpace });
  return null;
}

function handleReadIndexResponse(
  state: RaftState,
  role: Follower,
  message: ReadIndexResponse,
): IgnoredReason | null {
  if (role.leader !== message.from) return "notFromLeader";
  if (!role.forwardedReads.delete(message.readId)) return "unknownRead";
  state.reads.push({ readId: message.readId, index: message.index });
  return null;
}
