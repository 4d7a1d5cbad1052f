/**
 * What a leader knows of one other node (Raft §5.3, thesis §10.2.1), and how much it may have under way to it.
 *
 * Invariants: matchIndex < nextIndex; matchIndex never falls within a term; nothing above sentIndex was ever sent in
 * this term, a snapshot included; in "snapshot" nothing is appended at the node before it has answered.
 */
import { assert } from "../platform/assert.ts";

/** AppendEntries that were sent and not yet answered, oldest first. */
export class Inflight {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  #sent: { readonly lastIndex: number; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  /** Messages under way. */
  get messages(): number {
    return this.#sent.length;
  }

  /** Whether nothing more may be sent before an answer. */
  get isFull(): boolean {
    return this.#sent.length >= this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  /** A message whose last entry is `lastIndex` was sent. */
  add(lastIndex: number, bytes: number): void {
    assert(lastIndex > (this.#sent.at(-1)?.lastIndex ?? 0), "messages go out in order");
    this.#sent.push({ lastIndex, bytes });
    this.#bytes += bytes;
  }

  /** The follower has everything up to `matchIndex`. */
  freeUpTo(matchIndex: number): void {
    let freed = 0;
    for (const { lastIndex, bytes } of this.#sent) {
      if (lastIndex > matchIndex) break;
      this.#bytes -= bytes;
      freed++;
    }
    this.#sent.splice(0, freed);
  }

  /** What is under way (see dump.ts). */
  dump(): unknown {
    return this.#sent;
  }
}

/** How the leader sends to one node. */
export type Progress =
  /**
   * Where the logs agree is not known: one AppendEntries at a time. After a silence what was sent may be lost, or may
   * still be on its way over a slow link: then the probe carries no entries, and only its own answer, which repeats
   * `askedIndex`, ends it; else the same megabytes would be sent again and again.
   */
  | {
    readonly kind: "probe";
    matchIndex: number;
    nextIndex: number;
    probeSent: boolean;
    askedIndex: number | null;
  }
  /** The logs agree up to matchIndex: AppendEntries are pipelined, nextIndex runs ahead. */
  | { readonly kind: "replicate"; matchIndex: number; nextIndex: number; readonly inflight: Inflight }
  /** The log does not reach back to what the node lacks: it needs a snapshot, of snapshotIndex or a newer one (Raft §7). */
  | { readonly kind: "snapshot"; matchIndex: number; nextIndex: number; readonly snapshotIndex: number };

/** The leader's record of another node. */
export interface Peer {
  progress: Progress;
  /** Highest index sent in this term: no honest answer can be above it. */
  sentIndex: number;
  /** Whether older entries for it are being read back from storage. */
  isReadingEntries: boolean;
  /** Whether it was heard from since the last CheckQuorum. */
  recentlyActive: boolean;
  /** Ticks since it was last heard from in this term, for people to see; null before the first word. */
  ticksSinceContact: number | null;
  /** Highest heartbeat round it has answered. */
  confirmedRound: number;
  /** Whether its disk has room, by its last answer; null before that. */
  hasRoom: boolean | null;
  /** Ticks since something unanswered was sent and matchIndex last rose. */
  stalledTicks: number;
}

/** A peer of a leader that has just been elected: nothing is known but the guess that logs agree (Raft §5.3). */
export function newPeer(lastIndex: number): Peer {
  return {
    progress: { kind: "probe", matchIndex: 0, nextIndex: lastIndex + 1, probeSent: false, askedIndex: null },
    sentIndex: 0,
    isReadingEntries: false,
    recentlyActive: true,
    ticksSinceContact: null,
    confirmedRound: 0,
    hasRoom: null,
    stalledTicks: 0,
  };
}

/** The node has said something. */
export function heardFrom(peer: Peer): void {
  peer.recentlyActive = true;
  peer.ticksSinceContact = 0;
}

/** Goes back to asking where the logs agree, beginning at `nextIndex` (never at or below what is known to match). */
export function becomeProbe(peer: Peer, nextIndex: number): void {
  const { matchIndex } = peer.progress;
  peer.progress = {
    kind: "probe",
    matchIndex,
    nextIndex: Math.max(matchIndex + 1, nextIndex),
    probeSent: false,
    askedIndex: null,
  };
  peer.stalledTicks = 0;
}

/**
 * What was sent may be lost: asks again. Where entries were pipelined, that is behind matchIndex; where the place of
 * agreement was still being looked for, it is the same place (matchIndex may be 0 there, with a long log that agrees).
 * It is asked about nothing before `compactedIndex`, where the log begins: whether it has that is what decides whether it
 * needs a snapshot.
 */
export function probeAgain(peer: Peer, compactedIndex: number): void {
  const { kind, matchIndex } = peer.progress;
  const place = kind === "probe" ? peer.progress.nextIndex : matchIndex + 1;
  const nextIndex = Math.max(place, compactedIndex + 1);
  peer.progress = { kind: "probe", matchIndex, nextIndex, probeSent: false, askedIndex: nextIndex - 1 };
  peer.stalledTicks = 0;
}

/** The logs agree up to matchIndex: from here on entries are pipelined. */
export function becomeReplicate(peer: Peer, inflight: Inflight): void {
  const { matchIndex } = peer.progress;
  peer.progress = { kind: "replicate", matchIndex, nextIndex: matchIndex + 1, inflight };
  peer.stalledTicks = 0;
}

/** The log does not reach back to what the node lacks: nothing is appended there until it has a snapshot. */
export function becomeSnapshot(peer: Peer, snapshotIndex: number): void {
  const { matchIndex } = peer.progress;
  const nextIndex = Math.max(matchIndex, snapshotIndex) + 1;
  peer.progress = { kind: "snapshot", matchIndex, nextIndex, snapshotIndex };
  peer.stalledTicks = 0;
}

/** What must hold of every peer whenever the core is entered or left. */
export function assertPeer(peer: Peer): void {
  const { matchIndex, nextIndex } = peer.progress;
  assert(matchIndex < nextIndex, "matchIndex < nextIndex");
  assert(matchIndex <= peer.sentIndex, "matchIndex never exceeds what was sent in this term");
}
