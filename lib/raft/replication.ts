/** How a leader replicates its log to its peers and finds out what is committed (Raft §5.3, §5.4.2). */
import { assert, assertNever } from "../platform/assert.ts";
import { entryBytes } from "./log.ts";
import type { AppendEntriesResponse, IgnoredReason } from "./message.ts";
import {
  becomeProbe,
  becomeReplicate,
  becomeSnapshot,
  Inflight,
  markActive,
  type Progress,
  type TrackedPeer,
} from "./progress.ts";
import { quorumReached } from "./quorum.ts";
import type { Leader, RaftState } from "./state.ts";
import { maybeSendTimeoutNow } from "./transfer.ts";
import type { Entry, NodeId } from "./types.ts";

/**
 * Bytes of entries after which no more messages to a peer are put into the same Ready: with the last message 1.5 MiB,
 * about 5 ms of work. A peer that was behind may be sent `inflightBytes` at once, and clients would wait for it.
 */
const MAX_SENT_BYTES_PER_READY = 524_288;
/** Maximum bytes of entries that are read from storage at a time: reading and sending them takes 2 ms. */
const MAX_READ_BYTES = 262_144;

/**
 * Sends every peer the entries that it lacks, up to those that this node has begun to write to its own disk. Proposals
 * that arrive during a write are sent after it, so that they form one batch for the disk and for the followers alike.
 * Returns whether a peer may be sent more by the next call.
 */
export function replicate(state: RaftState, role: Leader): boolean {
  let mayContinue = false;
  for (const [to, peer] of role.peers) {
    let bytes = 0;
    while (maySend(state, peer)) {
      if (bytes >= MAX_SENT_BYTES_PER_READY) {
        mayContinue = true;
        break;
      }
      const sentBytes = sendNext(state, to, peer);
      if (sentBytes === null) break;
      bytes += sentBytes;
    }
  }
  return mayContinue;
}

/** Sends a peer the entries that were read back from storage for it. */
export function sendEntriesRead(
  state: RaftState,
  role: Leader,
  to: NodeId,
  entries: readonly Entry[],
): void {
  const peer = role.peers.get(to);
  if (peer === undefined || !peer.isReadingEntries) return;
  peer.isReadingEntries = false;
  const { log } = state;
  const { nextIndex } = peer.progress;
  // The connection broke during the read: an empty probe is sent next. If entries were sent in its place, their
  // response would not end the probe, and nothing more would be sent for an election timeout.
  if (isEmptyProbe(peer.progress)) return;
  const sameLog = entries.every((entry) => log.termAt(entry.index) === entry.term);
  // The log may have been compacted during the read: without the entry before them the entries cannot be sent.
  if (sameLog && nextIndex > log.compacted.index && entries[0]?.index === nextIndex && maySend(state, peer)) {
    sendAppend(state, to, peer, entries);
  }
}

/**
 * Handles a response to AppendEntries of the current term; raft.ts has ignored one of an earlier term. A response to no
 * outstanding request is ignored: it is late, repeated, or was overtaken by a later one.
 */
export function handleAppendEntriesResponse(
  state: RaftState,
  role: Leader,
  message: AppendEntriesResponse,
): IgnoredReason | null {
  const peer = role.peers.get(message.from);
  if (peer === undefined) return "unknownSender";
  markActive(peer);
  switch (message.result.kind) {
    case "accepted":
      return handleAccepted(state, role, message.from, peer, message.result.matchIndex);
    case "rejected":
      return handleRejected(state, peer, message.result);
    default:
      return assertNever(message.result);
  }
}

/**
 * Handles the response that the follower has all entries up to matchIndex on disk. A late or repeated one changes
 * nothing.
 */
function handleAccepted(
  state: RaftState,
  role: Leader,
  from: NodeId,
  peer: TrackedPeer,
  matchIndex: number,
): IgnoredReason | null {
  const { progress } = peer;
  // A snapshot may bring a follower beyond what this leader has sent: to the snapshot's index, or to the follower's own
  // commitIndex. The leader's log has both.
  const sentIndex = progress.kind === "snapshot" ? state.log.lastIndex : peer.sentIndex;
  if (matchIndex > sentIndex) return "acknowledgesUnsent";
  peer.sentIndex = Math.max(peer.sentIndex, matchIndex);
  const isNew = matchIndex > progress.matchIndex;
  if (isNew) {
    progress.matchIndex = matchIndex;
    progress.nextIndex = Math.max(progress.nextIndex, matchIndex + 1);
    peer.stalledTicks = 0;
  }
  switch (progress.kind) {
    case "probe": {
      // Only its own response ends an empty probe; another probe ends with any response at or above the known matchIndex.
      const endsProbe = matchIndex === (progress.emptyProbeIndex ?? progress.matchIndex);
      if (endsProbe) startReplicating(state, peer);
      else if (!isNew) return "notOutstanding";
      break;
    }
    case "replicate":
      if (!isNew) return "notOutstanding";
      progress.inflight.freeUpTo(matchIndex);
      break;
    case "snapshot":
      if (!isNew) return "notOutstanding";
      if (matchIndex >= state.log.compacted.index) {
        startReplicating(state, peer);
      } else if (matchIndex >= progress.snapshotIndex) {
        // The log was compacted beyond the snapshot while it was sent.
        requestSnapshot(state, from, peer);
      }
      break;
    default:
      assertNever(progress);
  }
  advanceCommit(state, role);
  maybeSendTimeoutNow(state, role, from, peer);
  return null;
}

/**
 * Handles the response that the follower lacks the entry before those sent: probes the last index at which the logs may
 * agree.
 */
function handleRejected(
  state: RaftState,
  peer: TrackedPeer,
  rejection: { prevLogIndex: number; conflictIndex: number; conflictTerm: number },
): IgnoredReason | null {
  const { progress } = peer;
  const { prevLogIndex, conflictIndex, conflictTerm } = rejection;
  if (progress.kind === "snapshot") return "notOutstanding";
  const isOutstanding = progress.kind === "probe"
    ? progress.probeSent && prevLogIndex === progress.nextIndex - 1
    : prevLogIndex < progress.nextIndex;
  if (!isOutstanding || prevLogIndex <= progress.matchIndex) return "notOutstanding";
  // Neither the follower's entries above conflictIndex nor this log's entries of a term above conflictTerm can match.
  const agreement = state.log.findConflictByTerm(Math.min(conflictIndex, prevLogIndex - 1), conflictTerm);
  becomeProbe(peer, agreement.index + 1);
  return null;
}

/**
 * Commits the entries that a majority has on disk; this node counts as far as its own disk has them. Only entries of
 * the current term are committed by counting; older ones are committed with them (Raft §5.4.2, Figure 8).
 */
export function advanceCommit(state: RaftState, role: Leader): void {
  const { log } = state;
  const index = quorumReached(
    state.confState,
    (node) => node === state.id ? log.durableIndex : role.peers.get(node)?.progress.matchIndex ?? 0,
  );
  if (index > log.commitIndex && log.termAt(index) === state.term) log.commitTo(index);
}

/** Whether flow control allows another AppendEntries to this peer. */
function maySend(state: RaftState, peer: TrackedPeer): boolean {
  if (peer.isReadingEntries) return false;
  const { progress } = peer;
  switch (progress.kind) {
    case "probe":
      return !progress.probeSent;
    case "replicate":
      return progress.nextIndex <= state.log.persistingIndex && !progress.inflight.isFull;
    case "snapshot":
      return false;
    default:
      return assertNever(progress);
  }
}

/** Whether the next message is a probe without entries (see {@link Progress}). */
function isEmptyProbe(progress: Progress): boolean {
  return progress.kind === "probe" && progress.emptyProbeIndex !== null;
}

/** Sends the next entries from the cache and returns their bytes, or requests them from storage and returns null. */
function sendNext(state: RaftState, to: NodeId, peer: TrackedPeer): number | null {
  const { progress } = peer;
  const { nextIndex } = progress;
  const { log, limits } = state;
  if (nextIndex <= log.compacted.index) {
    requestSnapshot(state, to, peer);
    return null;
  }
  const entries = isEmptyProbe(progress) || nextIndex > log.persistingIndex
    ? []
    : log.slice(nextIndex, log.persistingIndex, limits.appendBytes);
  if (entries === null) {
    peer.isReadingEntries = true;
    const maxBytes = Math.min(limits.appendBytes, MAX_READ_BYTES);
    state.entryReads.push({ to, firstIndex: nextIndex, maxBytes });
    return null;
  }
  return sendAppend(state, to, peer, entries);
}

/** Requests a snapshot for a follower: the entry before the next one was compacted away (Raft §7). */
function requestSnapshot(state: RaftState, to: NodeId, peer: TrackedPeer): void {
  const index = state.log.snapshotIndex;
  becomeSnapshot(peer, index);
  state.snapshots.push({ to, index });
}

function startReplicating(state: RaftState, peer: TrackedPeer): void {
  becomeReplicate(peer, new Inflight(state.limits.inflightMessages, state.limits.inflightBytes));
}

/** Sends AppendEntries with these entries, which begin at nextIndex, and records them as sent; returns their bytes. */
function sendAppend(state: RaftState, to: NodeId, peer: TrackedPeer, entries: readonly Entry[]): number {
  const { log, id: from, term } = state;
  const { progress } = peer;
  const prevLogIndex = progress.nextIndex - 1;
  const prevLogTerm = log.termAt(prevLogIndex);
  assert(prevLogTerm !== null, "the leader has the entry before the ones it sends");
  const leaderCommit = log.commitIndex;
  state.send({ kind: "appendEntries", from, to, term, prevLogIndex, prevLogTerm, leaderCommit, entries });
  const lastSent = prevLogIndex + entries.length;
  peer.sentIndex = Math.max(peer.sentIndex, lastSent);
  const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
  switch (progress.kind) {
    case "probe":
      progress.probeSent = true;
      break;
    case "replicate":
      progress.nextIndex = lastSent + 1;
      progress.inflight.add(lastSent, bytes);
      break;
    case "snapshot":
      assert(false, "no entries are sent to a peer that waits for a snapshot");
      break;
    default:
      assertNever(progress);
  }
  return bytes;
}
