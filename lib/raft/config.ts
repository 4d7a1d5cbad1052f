/** What a node of the core is told when it is made: who it is, how long things take, and how much it may hold. */
import { assert } from "../platform/assert.ts";
import type { LeaseConfig } from "./lease.ts";
import type {
  Configuration,
  ConfigurationCodec,
  Entry,
  HardState,
  NodeId,
  SnapshotMetadata,
  TermRange,
} from "./types.ts";

/** Bounds of the core's memory and of what it sends. Every one of them is a limit, not a target. */
export interface RaftLimits {
  /** Payload bytes of one AppendEntries; a single larger entry still goes alone. */
  readonly appendBytes: number;
  /** AppendEntries under way to one follower without an answer. */
  readonly inflightMessages: number;
  /** Payload bytes under way to one follower without an answer. */
  readonly inflightBytes: number;
  /**
   * Payload bytes of entries that a leader holds uncommitted before it refuses proposals, and that wait for a follower's
   * disk before it takes no more of them.
   */
  readonly uncommittedBytes: number;
  /** Payload bytes of durable, applied entries cached in memory for followers that lag slightly. */
  readonly entryCacheBytes: number;
  /** Payload bytes of committed entries handed out in one Ready. */
  readonly applyBytes: number;
  /** Reads that wait for a round of heartbeats, or for the leader's answer. */
  readonly pendingReads: number;
}

/** Limits that suit a server with some hundred MiB of memory. */
export const DEFAULT_LIMITS: RaftLimits = {
  appendBytes: 1_048_576,
  inflightMessages: 128,
  inflightBytes: 8_388_608,
  uncommittedBytes: 67_108_864,
  entryCacheBytes: 33_554_432,
  applyBytes: 524_288,
  pendingReads: 65_536,
};

/** Identifies an entry: two entries with equal index and term are the same entry (Raft §5.3). */
export interface EntryId {
  readonly index: number;
  readonly term: number;
}

/**
 * What storage gave back at the start.
 *
 * Invariants: compacted.index ≤ snapshot.index ≤ lastIndex; the log has every entry above compacted.index.
 */
export interface RecoveredState {
  readonly hardState: HardState;
  /** Terms of all entries of the log, oldest first; empty for an empty log. */
  readonly termRanges: readonly TermRange[];
  /** Index of the last entry; `compacted.index` for an empty log. */
  readonly lastIndex: number;
  /** The last entries, as many as storage read back; they end at `lastIndex`. */
  readonly cachedEntries: readonly Entry[];
  /** The last entry that was compacted away, the one before the first of the log; (0, 0) for a log from its beginning. */
  readonly compacted: EntryId;
  /** The newest snapshot; index 0 and term 0 with the founding configuration when there is none. */
  readonly snapshot: SnapshotMetadata;
  /** The configuration entries of the log above `snapshot.index`, ascending. */
  readonly configurations: readonly { readonly index: number; readonly data: Uint8Array }[];
}

/** The configuration of a node that belongs to no cluster yet: it waits for a leader that adds it. */
export const EMPTY_CONFIGURATION: Configuration = {
  confState: { voters: [], learners: [], votersOutgoing: [] },
  members: [],
  removedIds: [],
};

/** The state of a node that has never run, in a cluster that is founded with `configuration`. */
export function foundingState(configuration: Configuration): RecoveredState {
  return {
    hardState: { term: 0, vote: null, commitIndex: 0 },
    termRanges: [],
    lastIndex: 0,
    cachedEntries: [],
    compacted: { index: 0, term: 0 },
    snapshot: { index: 0, term: 0, configuration },
    configurations: [],
  };
}

/** The state of a node that has never run, and waits to be added. */
export const EMPTY_STATE: RecoveredState = foundingState(EMPTY_CONFIGURATION);

/** Everything that a node of the core is made from. */
export interface RaftConfig {
  readonly id: NodeId;
  readonly configurationCodec: ConfigurationCodec;
  /** Ticks without a word from a leader before a node campaigns; the real timeout is drawn from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between the leader's heartbeats. */
  readonly heartbeatTicks: number;
  /** Random numbers in [0, 1), for election timeouts and for the first read id. */
  readonly random: () => number;
  readonly limits: RaftLimits;
  readonly recovered: RecoveredState;
  /** Takes part in leases for reads; by default not. */
  readonly lease?: LeaseConfig | null;
}

/** Refuses a configuration that no correct caller can ask for. */
export function assertConfig(config: RaftConfig): void {
  const { id, electionTicks, heartbeatTicks, recovered, lease = null } = config;
  const { compacted, snapshot } = recovered;
  assert(Number.isSafeInteger(id) && id >= 1, "a node id is an integer from 1 up");
  assert(heartbeatTicks >= 1 && electionTicks > heartbeatTicks, "elections take longer than heartbeats");
  assert(lease === null || Number.isSafeInteger(lease.durationMs), "promises are for whole milliseconds");
  assert(recovered.hardState.commitIndex <= recovered.lastIndex, "what was committed is in the log");
  assert(compacted.index <= snapshot.index, "the log has every entry that no snapshot has");
  assert(snapshot.index <= recovered.lastIndex, "the log does not end before the snapshot");
  assert(
    recovered.cachedEntries.length === 0 || recovered.cachedEntries.at(-1)?.index === recovered.lastIndex,
    "the cached entries end the log",
  );
}
