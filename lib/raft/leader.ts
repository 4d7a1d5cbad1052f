/** What a leader does beside replication: keep its followers, answer reads, hand over, and step down when it must. */
import { answerPreVote, answerRequestVote } from "./election.ts";
import { entryBytes } from "./log.ts";
import type { HeartbeatResponse, IgnoredReason, Message, ReadIndex } from "./message.ts";
import { heardFrom, type Peer, probeAgain } from "./progress.ts";
import { hasQuorum, quorumReached } from "./quorum.ts";
import { type ConfirmedRead, type Read, refuseRead } from "./read_index.ts";
import { appendAnswered, maybeSendTimeoutNow, repeatTimeoutNow } from "./replication.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";
import { becomeFollower } from "./transitions.ts";
import type { Entry, NodeId } from "./types.ts";

/** Time passes: heartbeats are due, the quorum is checked, a transfer that does not end is given up. */
export function tickLeader(state: RaftState, role: Leader): void {
  // Its heartbeats would keep the others from electing a node whose disk works (reliability §3, 14 and h).
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

/**
 * A transfer that does not end is given up; until then TimeoutNow is repeated. By the transfer's own ticks: the timer of
 * heartbeats begins anew with every round that reads ask for.
 */
function tickTransfer(state: RaftState, role: Leader): void {
  const { transfer } = role;
  if (transfer === null) return;
  transfer.elapsedTicks++;
  if (transfer.elapsedTicks >= state.electionTicks) role.transfer = null;
  else if (transfer.elapsedTicks % state.heartbeatTicks === 0) repeatTimeoutNow(state, role);
}

/** A message of the current term. */
export function stepLeader(state: RaftState, role: Leader, message: Message): IgnoredReason | null {
  switch (message.kind) {
    case "appendEntriesResponse":
      return appendAnswered(state, role, message);
    case "heartbeatResponse":
      return heartbeatAnswered(state, role, message);
    case "readIndex":
      return readFromFollower(state, role, message);
    case "preVote":
      answerPreVote(state, message);
      return null;
    case "requestVote":
      answerRequestVote(state, message);
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
  }
}

/** A heartbeat to everybody, in a new round that carries all reads that wait. */
export function sendHeartbeats(state: RaftState, role: Leader): void {
  const { id: from, term, log } = state;
  role.heartbeatElapsedTicks = 0;
  const round = role.reads.beginRound(log.commitIndex);
  role.lease?.roundBegins(round);
  for (const [to, peer] of role.peers) {
    // What the follower is not known to have must not be committed there: it may hold something else in its place.
    const leaderCommit = Math.min(log.commitIndex, peer.progress.matchIndex);
    state.send({ kind: "heartbeat", from, to, term, leaderCommit, round });
  }
  confirmReads(state, role);
}

/** Appends an entry of this term; null when too much is under way or leadership is being handed over. */
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

/** Whether this leader has committed in its term, and so knows everything that was committed before (thesis §6.4). */
export function canServeReads(state: RaftState, role: Leader): boolean {
  return state.log.commitIndex >= role.termStartIndex && role.reads.count < state.limits.pendingReads;
}

/** Begins to hand leadership to `target`; null when it can't be done. */
export function startTransfer(state: RaftState, role: Leader, target: NodeId | null): NodeId | null {
  if (role.transfer !== null) return null;
  const chosen = target ?? bestSuccessor(state, role);
  const peer = chosen === null ? undefined : role.peers.get(chosen);
  if (chosen === null || peer === undefined || !state.confState.voters.includes(chosen)) return null;
  role.transfer = { target: chosen, elapsedTicks: 0, timeoutNowSent: false };
  maybeSendTimeoutNow(state, role, chosen, peer);
  return chosen;
}

/** The active voter whose disk has room and that has most of the log; the lowest id among equals. */
export function bestSuccessor(state: RaftState, role: Leader): NodeId | null {
  const voters = [...role.peers].filter(([node, peer]) =>
    peer.recentlyActive && state.confState.voters.includes(node)
  );
  const rank = ([node, { hasRoom, progress }]: [NodeId, Peer]): readonly number[] => {
    return [hasRoom === false ? 1 : 0, -progress.matchIndex, node];
  };
  const [best] = voters.sort((one, other) => compare(rank(one), rank(other)));
  return best?.[0] ?? null;
}

function compare(one: readonly number[], other: readonly number[]): number {
  const differences = one.map((value, position) => value - (other[position] ?? 0));
  return differences.find((difference) => difference !== 0) ?? 0;
}

/** Whether a majority was heard from since the last check; one that was not may have another leader by now. */
function checkQuorum(state: RaftState, role: Leader): boolean {
  role.quorumElapsedTicks = 0;
  const active = hasQuorum(
    state.confState,
    (node) => node === state.id || role.peers.get(node)?.recentlyActive === true,
  );
  for (const peer of role.peers.values()) peer.recentlyActive = false;
  return active;
}

/** What was sent and is not answered for so long is lost: ask again. */
function tickPeer(state: RaftState, peer: Peer): void {
  const { progress } = peer;
  if (peer.ticksSinceContact !== null) peer.ticksSinceContact++;
  // A snapshot takes as long as it takes; who sends it says when that is given up.
  if (progress.kind === "snapshot") return;
  const waiting = progress.kind === "probe" ? progress.probeSent : peer.sentIndex > progress.matchIndex;
  if (!waiting) return;
  peer.stalledTicks++;
  if (peer.stalledTicks >= state.electionTicks) probeAgain(peer, state.log.compacted.index);
}

function heartbeatAnswered(state: RaftState, role: Leader, message: HeartbeatResponse): IgnoredReason | null {
  const peer = role.peers.get(message.from);
  if (peer === undefined) return "unknownSender";
  if (message.round > role.reads.lastRound) return "acknowledgesUnsent";
  heardFrom(peer);
  peer.confirmedRound = Math.max(peer.confirmedRound, message.round);
  peer.hasRoom = message.hasRoom;
  role.lease?.promised(message.from, message);
  confirmReads(state, role);
  return null;
}

/** Answers every read whose round a majority has confirmed. */
function confirmReads(state: RaftState, role: Leader): void {
  const round = quorumReached(
    state.confState,
    (node) => node === state.id ? role.reads.lastRound : role.peers.get(node)?.confirmedRound ?? 0,
  );
  for (const read of role.reads.confirm(round)) answerRead(state, read);
}

function readFromFollower(state: RaftState, role: Leader, { from, readId }: ReadIndex): IgnoredReason | null {
  if (canServeReads(state, role)) takeRead(state, role, { readId, from });
  else refuseRead(state, { readId, from });
  return null;
}

/** Answers a read at once under a lease, else with the next round. */
export function takeRead(state: RaftState, role: Leader, read: Read): void {
  if (holdsLease(state, role)) answerRead(state, { ...read, index: state.log.commitIndex });
  else role.reads.add(read);
}

/** Whether this leader answers reads without asking anybody. */
export function holdsLease(state: RaftState, role: Leader): boolean {
  return role.lease?.isHeld(state.confState, state.id) === true;
}

function answerRead(state: RaftState, { readId, from, index }: ConfirmedRead): void {
  const { id, term } = state;
  if (from === id) state.reads.push({ readId, index });
  else state.send({ kind: "readIndexResponse", from: id, to: from, term, readId, index });
}
