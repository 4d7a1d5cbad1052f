/** How a leader brings its log to the others, and finds out what is committed (Raft §5.3, §5.4.2). */
import { assert } from "../platform/assert.ts";
import { entryBytes } from "./log.ts";
import type { AppendEntriesResponse, IgnoredReason } from "./message.ts";
import {
  becomeProbe,
  becomeReplicate,
  becomeSnapshot,
  heardFrom,
  Inflight,
  type Peer,
  type Progress,
} from "./progress.ts";
import { quorumReached } from "./quorum.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";
import type { Entry, NodeId } from "./types.ts";

/**
 * Sends every follower what it lacks. Only entries that were handed to this node's own disk leave, so that what
 * gathers while a write is under way goes out as one batch, to the disk and to the followers alike.
 */
export function replicate(state: RaftState, role: Leader): void {
  for (const [to, peer] of role.peers) {
    while (maySend(state, peer)) {
      if (!sendNext(state, to, peer)) break;
    }
  }
}

/** Entries for a follower have been read back from storage. */
export function sendEntriesRead(state: RaftState, role: Leader, to: NodeId, entries: readonly Entry[]): void {
  const peer = role.peers.get(to);
  if (peer === undefined || !peer.isReadingEntries) return;
  peer.isReadingEntries = false;
  const { log } = state;
  const { nextIndex } = peer.progress;
  // The connection broke while they were read. With entries, the answer would not be the one that ends the probe, and
  // nothing more would be sent for an election timeout.
  if (isQuestion(peer.progress)) return;
  const sameLog = entries.every((entry) => log.termAt(entry.index) === entry.term);
  // The log may have been cut while they were read: without the entry before them they are of no use.
  if (sameLog && nextIndex > log.compacted.index && entries[0]?.index === nextIndex && maySend(state, peer)) {
    sendAppend(state, to, peer, entries);
  }
}

/** An answer to AppendEntries, in the present term. */
export function appendAnswered(
  state: RaftState,
  role: Leader,
  message: AppendEntriesResponse,
): IgnoredReason | null {
  const peer = role.peers.get(message.from);
  if (peer === undefined) return "unknownSender";
  heardFrom(peer);
  switch (message.result.kind) {
    case "accepted":
      return accepted(state, message.from, peer, message.result.matchIndex);
    case "rejected":
      return rejected(state, peer, message.result);
  }
}

/**
 * Commits what a majority has on disk, this node included only as far as its own disk has it. Only an entry of the
 * present term is committed by counting; older ones are committed with it (Raft §5.4.2, Figure 8).
 */
export function advanceCommit(state: RaftState, role: Leader): void {
  const { log } = state;
  const index = quorumReached(
    state.confState,
    (node) => node === state.id ? log.durableIndex : role.peers.get(node)?.progress.matchIndex ?? 0,
  );
  if (index > log.commitIndex && log.termAt(index) === state.term) log.commitTo(index);
}

function maySend(state: RaftState, peer: Peer): boolean {
  if (peer.isReadingEntries) return false;
  const { progress } = peer;
  switch (progress.kind) {
    case "probe":
      return !progress.probeSent;
    case "replicate":
      return progress.nextIndex <= state.log.persistingIndex && !progress.inflight.isFull;
    case "snapshot":
      return false;
  }
}

/** Whether the next message asks what the follower has, and carries no entries (see {@link Progress}). */
function isQuestion(progress: Progress): boolean {
  return progress.kind === "probe" && progress.askedIndex !== null;
}

/** Sends the next entries from memory, or asks for them from storage; false when nothing was sent. */
function sendNext(state: RaftState, to: NodeId, peer: Peer): boolean {
  const { progress } = peer;
  const { nextIndex } = progress;
  const { log, limits } = state;
  if (nextIndex <= log.compacted.index) {
    requestSnapshot(state, to, peer);
    return false;
  }
  const entries = isQuestion(progress) || nextIndex > log.persistingIndex
    ? []
    : log.slice(nextIndex, log.persistingIndex, limits.appendBytes);
  if (entries === null) {
    peer.isReadingEntries = true;
    state.entryReads.push({ to, firstIndex: nextIndex, maxBytes: limits.appendBytes });
    return false;
  }
  sendAppend(state, to, peer, entries);
  return true;
}

/** The entry before the next one is gone, so the log can't help this follower any more (Raft §7). */
function requestSnapshot(state: RaftState, to: NodeId, peer: Peer): void {
  const index = state.log.snapshotIndex;
  becomeSnapshot(peer, index);
  state.snapshots.push({ to, index });
}

function sendAppend(state: RaftState, to: NodeId, peer: Peer, entries: readonly Entry[]): void {
  const { log, id: from, term } = state;
  const { progress } = peer;
  const prevLogIndex = progress.nextIndex - 1;
  const prevLogTerm = log.termAt(prevLogIndex);
  assert(prevLogTerm !== null, "the leader has the entry before the ones it sends");
  const leaderCommit = log.commitIndex;
  state.send({ kind: "appendEntries", from, to, term, prevLogIndex, prevLogTerm, leaderCommit, entries });
  const lastSent = prevLogIndex + entries.length;
  peer.sentIndex = Math.max(peer.sentIndex, lastSent);
  switch (progress.kind) {
    case "probe":
      progress.probeSent = true;
      return;
    case "replicate":
      progress.nextIndex = lastSent + 1;
      progress.inflight.add(lastSent, entries.reduce((bytes, entry) => bytes + entryBytes(entry), 0));
      return;
    case "snapshot":
      assert(false, "nothing is appended at a node that waits for a snapshot");
  }
}

/** The follower has everything up to matchIndex on disk. A repeated or late answer is still true, and changes nothing. */
function accepted(state: RaftState, from: NodeId, peer: Peer, matchIndex: number): IgnoredReason | null {
  const { progress } = peer;
  // With a snapshot came more than this leader may have sent: what it holds, or all that the follower knew to be
  // committed by itself. A leader has all of that.
  const sentIndex = progress.kind === "snapshot" ? state.log.lastIndex : peer.sentIndex;
  if (matchIndex > sentIndex) return "acknowledgesUnsent";
  peer.sentIndex = Math.max(peer.sentIndex, matchIndex);
  const isNews = matchIndex > progress.matchIndex;
  if (isNews) {
    progress.matchIndex = matchIndex;
    progress.nextIndex = Math.max(progress.nextIndex, matchIndex + 1);
    peer.stalledTicks = 0;
  }
  switch (progress.kind) {
    case "probe": {
      const { askedIndex } = progress;
      const isItsAnswer = askedIndex === null
        ? matchIndex === progress.matchIndex
        : matchIndex === askedIndex;
      if (isItsAnswer) {
        becomeReplicate(peer, new Inflight(state.limits.inflightMessages, state.limits.inflightBytes));
      } else if (!isNews) return "notOutstanding";
      break;
    }
    case "replicate":
      if (!isNews) return "notOutstanding";
      progress.inflight.freeUpTo(matchIndex);
      break;
    case "snapshot":
      if (!isNews) return "notOutstanding";
      if (matchIndex >= state.log.compacted.index) {
        becomeReplicate(peer, new Inflight(state.limits.inflightMessages, state.limits.inflightBytes));
      } else if (matchIndex >= progress.snapshotIndex) {
        // By the time it was there it was too old: the log begins after it now.
        requestSnapshot(state, from, peer);
      }
      break;
  }
  if (state.role.kind === "leader") {
    advanceCommit(state, state.role);
    maybeSendTimeoutNow(state, state.role, from, peer);
  }
  return null;
}

/** The follower lacks the entry before those sent: go back to the last place where the logs may agree. */
function rejected(
  state: RaftState,
  peer: Peer,
  answer: { prevLogIndex: number; conflictIndex: number; conflictTerm: number },
): IgnoredReason | null {
  const { progress } = peer;
  const { prevLogIndex, conflictIndex, conflictTerm } = answer;
  if (progress.kind === "snapshot") return "notOutstanding";
  const outstanding = progress.kind === "probe"
    ? progress.probeSent && prevLogIndex === progress.nextIndex - 1
    : prevLogIndex < progress.nextIndex;
  if (!outstanding || prevLogIndex <= progress.matchIndex) return "notOutstanding";
  // Entries of the follower above conflictTerm can't be in this log, nor can ours of a term above what it has there.
  const agreement = state.log.findConflictByTerm(Math.min(conflictIndex, prevLogIndex - 1), conflictTerm);
  becomeProbe(peer, agreement.index + 1);
  return null;
}

/** Tells the target of a transfer to campaign, once it has the whole log: before, it could not win (thesis §3.10). */
export function maybeSendTimeoutNow(state: RaftState, role: Leader, target: NodeId, peer: Peer): void {
  const { transfer } = role;
  if (transfer === null || transfer.target !== target || transfer.timeoutNowSent) return;
  if (peer.progress.matchIndex !== state.log.lastIndex) return;
  transfer.timeoutNowSent = true;
  role.lease?.giveUp();
  repeatTimeoutNow(state, role);
}

/** Until the target is heard to campaign, or the transfer is given up: a connection may have been down for a moment. */
export function repeatTimeoutNow(state: RaftState, { transfer }: Leader): void {
  if (transfer?.timeoutNowSent !== true) return;
  state.send({ kind: "timeoutNow", from: state.id, to: transfer.target, term: state.term });
}
