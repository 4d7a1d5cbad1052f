/** A leader's timers, proposals, heartbeats and reads. Replication is in replication.ts, transfers in transfer.ts. */
import { assertNever } from "../platform/assert.ts";
import { becomeFollower, handlePreVote, handleRequestVote } from "./election.ts";
import { entryBytes } from "./log.ts";
import type { HeartbeatResponse, IgnoredReason, Message, ReadIndex } from "./message.ts";
import { markActive, restartProbe, type TrackedPeer } from "./progress.ts";
import { hasQuorum, quorumReached } from "./quorum.ts";
import type { ConfirmedRead, Read } from "./read_index.ts";
import { handleAppendEntriesResponse } from "./replication.ts";
import type { Leader, RaftState } from "./state.ts";
import { tickTransfer } from "./transfer.ts";
import type { Entry } from "./types.ts";

/** Advances a leader's timers: CheckQuorum, retransmissions, heartbeats, and a transfer in progress. */
export function tickLeader(state: RaftState, role: Leader): void {
  // Its heartbeats would keep the others from electing a node whose disk works.
  if (state.isDiskStuck) return becomeFollower(state, state.term, null);
  role.quorumElapsedTicks++;
  if (role.quorumElapsedTicks >= state.electionTicks && !checkQuorum(state, role)) {
    return becomeFollower(state, state.term, null);
  }
  if (role.removalWaitTicks !== null) role.removalWaitTicks++;
  for (const peer of role.peers.values()) tickPeer(state, peer);
  role.heartbeatElapsedTicks++;
  if (role.heartbeatElapsedTicks >= state.heartbeatTicks) sendHeartbeats(state, role);
  tickTransfer(state, role);
}

/** Handles a message of the current term. */
export function stepLeader(state: RaftState, role: Leader, message: Message): IgnoredReason | null {
  switch (message.kind) {
    case "appendEntriesResponse":
      return handleAppendEntriesResponse(state, role, message);
    case "heartbeatResponse":
      return handleHeartbeatResponse(state, role, message);
    case "readIndex":
      handleReadIndex(state, role, message);
      return null;
    case "preVote":
      handlePreVote(state, message);
      return null;
    case "requestVote":
      handleRequestVote(state, message);
      return null;
    case "appendEntries":
    case "heartbeat":
    case "installSnapshot":
      return "secondLeader";
    case "timeoutNow":
      return "notFromLeader";
    case "readIndexResponse":
      return "unknownRead";
    case "preVoteResponse":
    case "requestVoteResponse":
      return "staleRole";
    default:
      return assertNever(message);
  }
}

/** Sends a heartbeat to every peer, in a new round that carries all waiting reads. */
export function sendHeartbeats(state: RaftState, role: Leader): void {
  const { id: from, term, log } = state;
  role.heartbeatElapsedTicks = 0;
  const round = role.reads.beginRound(log.commitIndex);
  role.lease?.beginRound(round);
  for (const [to, peer] of role.peers) {
    // Above its matchIndex the follower may have other entries, which must not be committed.
    const leaderCommit = Math.min(log.commitIndex, peer.progress.matchIndex);
    state.send({ kind: "heartbeat", from, to, term, leaderCommit, round });
  }
  confirmReads(state, role);
}

/** Appends an entry of this term, or returns why it is refused. */
export function appendProposal(
  state: RaftState,
  role: Leader,
  data: Uint8Array,
): Entry | "busy" | "transferring" {
  if (role.transfer !== null) return "transferring";
  const entry: Entry = { index: state.log.lastIndex + 1, term: state.term, kind: "command", data };
  const bytes = entryBytes(entry);
  if (role.unappliedBytes > 0 && role.unappliedBytes + bytes > state.limits.uncommittedBytes) return "busy";
  role.unappliedBytes += bytes;
  state.log.write([entry]);
  return entry;
}

/** CheckQuorum: whether a majority was active since the last check. Without one, another leader may have been elected. */
function checkQuorum(state: RaftState, role: Leader): boolean {
  role.quorumElapsedTicks = 0;
  const active = hasQuorum(
    state.confState,
    (node) => node === state.id || role.peers.get(node)?.recentlyActive === true,
  );
  for (const peer of role.peers.values()) peer.recentlyActive = false;
  return active;
}

/** Counts the ticks without progress; after an election timeout the messages in flight count as lost. */
function tickPeer(state: RaftState, peer: TrackedPeer): void {
  const { progress } = peer;
  if (peer.ticksSinceContact !== null) peer.ticksSinceContact++;
  // A snapshot has no deadline here: the server that sends it reports its failure.
  if (progress.kind === "snapshot") return;
  const waiting = progress.kind === "probe" ? progress.probeSent : peer.sentIndex > progress.matchIndex;
  if (!waiting) return;
  peer.stalledTicks++;
  if (peer.stalledTicks >= state.electionTicks) restartProbe(peer, state.log.compacted.index);
}

function handleHeartbeatResponse(
  state: RaftState,
  role: Leader,
  message: HeartbeatResponse,
): IgnoredReason | null {
  const peer = role.peers.get(message.from);
  if (peer === undefined) return "unknownSender";
  if (message.round > role.reads.lastRound) return "acknowledgesUnsent";
  markActive(peer);
  peer.confirmedRound = Math.max(peer.confirmedRound, message.round);
  peer.hasDiskSpace = message.hasDiskSpace;
  role.lease?.renew(message.from, message);
  confirmReads(state, role);
  return null;
}

/** Whether this leader has committed an entry of its term, and so knows every committed entry (thesis §6.4). */
export function canServeReads(state: RaftState, role: Leader): boolean {
  return state.log.commitIndex >= role.termStartIndex && role.reads.count < state.limits.pendingReads;
}

function handleReadIndex(state: RaftState, role: Leader, { from, readId }: ReadIndex): void {
  if (canServeReads(state, role)) takeRead(state, role, { readId, from });
  else state.refuseRead({ readId, from });
}

/** Answers a read at once under a lease, else with the next round of heartbeats. */
export function takeRead(state: RaftState, role: Leader, read: Read): void {
  if (holdsLease(state, role)) answerRead(state, { ...read, index: state.log.commitIndex });
  else role.reads.add(read);
}

/** Whether this leader holds a lease, under which it answers reads without a round of heartbeats. */
export function holdsLease(state: RaftState, role: Leader): boolean {
  return role.lease?.isHeld(state.confState, state.id) === true;
}

/** Answers every read whose round a majority has confirmed. */
function confirmReads(state: RaftState, role: Leader): void {
  const round = quorumReached(
    state.confState,
    (node) => node === state.id ? role.reads.lastRound : role.peers.get(node)?.confirmedRound ?? 0,
  );
  for (const read of role.reads.confirm(round)) answerRead(state, read);
}

function answerRead(state: RaftState, { readId, from, index }: ConfirmedRead): void {
  const { id, term } = state;
  if (from === id) state.reads.push({ readId, index });
  else state.send({ kind: "readIndexResponse", from: id, to: from, term, readId, index });
}
