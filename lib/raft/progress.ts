/**
 * A leader's record of the replication to one peer (Raft §5.3, thesis §10.2.1), with flow control.
 *
 * Invariants: matchIndex < nextIndex; matchIndex never falls within a term; no entry or snapshot above sentIndex was
 * sent in this term; in "snapshot" no entries are sent before the peer has responded.
 */
import { assert } from "../platform/assert.ts";

/** AppendEntries in flight, oldest first. */
export class Inflight {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  #sent: { readonly lastIndex: number; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  /** Number of messages in flight. */
  get messages(): number {
    return this.#sent.length;
  }

  /** Whether a bound is reached, so that nothing more may be sent before a response. */
  get isFull(): boolean {
    return this.#sent.length >= this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  /** Records a sent message whose last entry is `lastIndex`. */
  add(lastIndex: number, bytes: number): void {
    assert(lastIndex > (this.#sent.at(-1)?.lastIndex ?? 0), "messages are sent in order");
    this.#sent.push({ lastIndex, bytes });
    this.#bytes += bytes;
  }

  /** Removes the messages whose entries the follower has, all up to `matchIndex`. */
  freeUpTo(matchIndex: number): void {
    let freed = 0;
    for (const { lastIndex, bytes } of this.#sent) {
      if (lastIndex > matchIndex) break;
      this.#bytes -= bytes;
      freed++;
    }
    this.#sent.splice(0, freed);
  }

  /** Returns the messages in flight, for RaftDump. */
  dump(): unknown {
    return this.#sent;
  }
}

/** State of the replication to one peer. */
export type Progress =
  /**
   * The index up to which the logs agree is unknown: one AppendEntries at a time. After a timeout the last message may
   * be lost, or still in flight over a slow link. Then the probe carries no entries, and only its own response, whose
   * matchIndex is `emptyProbeIndex`, ends it; otherwise the same megabytes would be sent again and again.
   */
  | {
    readonly kind: "probe";
    matchIndex: number;
    nextIndex: number;
    probeSent: boolean;
    emptyProbeIndex: number | null;
  }
  /** The logs agree up to matchIndex: AppendEntries are pipelined, and nextIndex is advanced when they are sent. */
  | { readonly kind: "replicate"; matchIndex: number; nextIndex: number; readonly inflight: Inflight }
  /** The entries that the peer lacks were compacted away: it needs a snapshot, of snapshotIndex or later (Raft §7). */
  | { readonly kind: "snapshot"; matchIndex: number; nextIndex: number; readonly snapshotIndex: number };

/** The leader's record of one peer. */
export interface TrackedPeer {
  progress: Progress;
  /** Highest index sent in this term: no correct response can be above it. */
  sentIndex: number;
  /** Whether entries for it are being read back from storage. */
  isReadingEntries: boolean;
  /** Whether it has responded since the last CheckQuorum. */
  recentlyActive: boolean;
  /** Ticks since its last response in this term, for the status; null before the first. */
  ticksSinceContact: number | null;
  /** Highest heartbeat round it has responded to. */
  confirmedRound: number;
  /** Whether its disk has free space, by its last response; null before the first. */
  hasDiskSpace: boolean | null;
  /** Ticks with messages in flight since matchIndex last rose. */
  stalledTicks: number;
}

/** Returns the record of a newly elected leader, which assumes that the logs agree (Raft §5.3). */
export function newTrackedPeer(lastIndex: number): TrackedPeer {
  return {
    progress: {
      kind: "probe",
      matchIndex: 0,
      nextIndex: lastIndex + 1,
      probeSent: false,
      emptyProbeIndex: null,
    },
    sentIndex: 0,
    isReadingEntries: false,
    recentlyActive: true,
    ticksSinceContact: null,
    confirmedRound: 0,
    hasDiskSpace: null,
    stalledTicks: 0,
  };
}

/** Records that the peer has responded. */
export function markActive(peer: TrackedPeer): void {
  peer.recentlyActive = true;
  peer.ticksSinceContact = 0;
}

/** Probes for the index up to which the logs agree, beginning at `nextIndex`, but above matchIndex. */
export function becomeProbe(peer: TrackedPeer, nextIndex: number): void {
  const { matchIndex } = peer.progress;
  peer.progress = {
    kind: "probe",
    matchIndex,
    nextIndex: Math.max(matchIndex + 1, nextIndex),
    probeSent: false,
    emptyProbeIndex: null,
  };
  peer.stalledTicks = 0;
}

/**
 * Restarts with an empty probe, as the messages in flight may be lost: after pipelining at matchIndex + 1, during a
 * probe at the same index (matchIndex may still be 0 during a probe although long logs agree). It never probes below
 * `compactedIndex`: a peer that lacks that entry needs a snapshot.
 */
export function restartProbe(peer: TrackedPeer, compactedIndex: number): void {
  const { kind, matchIndex } = peer.progress;
  const unknownIndex = kind === "probe" ? peer.progress.nextIndex : matchIndex + 1;
  const nextIndex = Math.max(unknownIndex, compactedIndex + 1);
  peer.progress = { kind: "probe", matchIndex, nextIndex, probeSent: false, emptyProbeIndex: nextIndex - 1 };
  peer.stalledTicks = 0;
}

/** Begins to pipeline entries: the logs agree up to matchIndex. */
export function becomeReplicate(peer: TrackedPeer, inflight: Inflight): void {
  const { matchIndex } = peer.progress;
  peer.progress = { kind: "replicate", matchIndex, nextIndex: matchIndex + 1, inflight };
  peer.stalledTicks = 0;
}

/** Stops sending entries until the peer has a snapshot. */
export function becomeSnapshot(peer: TrackedPeer, snapshotIndex: number): void {
  const { matchIndex } = peer.progress;
  const nextIndex = Math.max(matchIndex, snapshotIndex) + 1;
  peer.progress = { kind: "snapshot", matchIndex, nextIndex, snapshotIndex };
  peer.stalledTicks = 0;
}

/** Asserts the invariants of a peer's record. */
export function assertPeer(peer: TrackedPeer): void {
  const { matchIndex, nextIndex } = peer.progress;
  assert(matchIndex < nextIndex, "matchIndex < nextIndex");
  assert(matchIndex <= peer.sentIndex, "matchIndex never exceeds what was sent in this term");
}
