/** Configuration of a node of the core: its id, its timeouts, its limits, and the state that storage recovered. */
import { assert } from "../platform/assert.ts";
import type { LeaseConfig } from "./lease.ts";
import type {
  Configuration,
  ConfigurationCodec,
  Entry,
  EntryId,
  HardState,
  NodeId,
  SnapshotMetadata,
  TermRange,
} from "./types.ts";

/** Bounds of the core's memory and of its messages. Each is a limit, not a target. */
export interface RaftLimits {
  /** Payload bytes of one AppendEntries; a single larger entry still goes alone. */
  readonly appendBytes: number;
  /** AppendEntries in flight to one follower. */
  readonly inflightMessages: number;
  /** Payload bytes in flight to one follower. */
  readonly inflightBytes: number;
  /**
   * Payload bytes of uncommitted entries at which a leader refuses proposals, and of entries that wait for a follower's
   * disk at which the follower ignores AppendEntries.
   */
  readonly uncommittedBytes: number;
  /** Payload bytes of durable, applied entries cached in memory for followers that lag slightly. */
  readonly entryCacheBytes: number;
  /** Payload bytes of the committed entries in one Ready. */
  readonly applyBytes: number;
  /** Reads that wait for a round of heartbeats, or for the leader's response. */
  readonly pendingReads: number;
}

/** Limits for a server with some hundred MiB of memory. */
export const DEFAULT_LIMITS: RaftLimits = {
  appendBytes: 1_048_576,
  inflightMessages: 128,
  inflightBytes: 8_388_608,
  uncommittedBytes: 67_108_864,
  entryCacheBytes: 8_388_608,
  applyBytes: 524_288,
  pendingReads: 65_536,
};

/**
 * The state that storage recovered at the start.
 *
 * Invariants: compacted.index ≤ snapshot.index ≤ lastIndex; the log has every entry above compacted.index.
 */
export interface RecoveredState {
  readonly hardState: HardState;
  /** Terms of all entries of the log, oldest first; empty for an empty log. */
  readonly termRanges: readonly TermRange[];
  /** Index of the last entry; `compacted.index` for an empty log. */
  readonly lastIndex: number;
  /** The last entries, as many as storage has in memory; they end at `lastIndex`. */
  readonly cachedEntries: readonly Entry[];
  /** The last entry that was compacted away, the one before the first of the log; (0, 0) for a log from its beginning. */
  readonly compacted: EntryId;
  /** The newest snapshot; index 0 and term 0 with the founding configuration when there is none. */
  readonly snapshot: SnapshotMetadata;
  /** The configuration entries of the log above `snapshot.index`, ascending. */
  readonly configurations: readonly { readonly index: number; readonly data: Uint8Array }[];
}

/** The configuration of a node that belongs to no cluster yet and waits until a leader adds it. */
export const EMPTY_CONFIGURATION: Configuration = {
  confState: { voters: [], learners: [], votersOutgoing: [] },
  members: [],
  removedIds: [],
};

/** Returns the state of a node that has never run, in a cluster whose first configuration is `configuration`. */
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

/** The state of a node that has never run and waits until a leader adds it. */
export const EMPTY_STATE: RecoveredState = foundingState(EMPTY_CONFIGURATION);

/** The options of a {@link Raft} node. */
export interface RaftConfig {
  readonly id: NodeId;
  readonly configurationCodec: ConfigurationCodec;
  /** Ticks without a message from a leader before a node campaigns; each timeout is drawn from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between the leader's heartbeats. */
  readonly heartbeatTicks: number;
  /** Random numbers in [0, 1), for election timeouts and for the first read id. */
  readonly random: () => number;
  readonly limits: RaftLimits;
  readonly recovered: RecoveredState;
  /** Enables reads under a lease; off by default. */
  readonly lease?: LeaseConfig | null;
}

/** Asserts that the options are consistent. */
export function assertConfig(config: RaftConfig): void {
  const { id, electionTicks, heartbeatTicks, recovered, lease = null } = config;
  const { compacted, snapshot } = recovered;
  assert(Number.isSafeInteger(id) && id >= 1, "a node id is an integer from 1 up");
  assert(heartbeatTicks >= 1 && electionTicks > heartbeatTicks, "elections take longer than heartbeats");
  assert(lease === null || Number.isSafeInteger(lease.durationMs), "a lease lasts whole milliseconds");
  assert(recovered.hardState.commitIndex <= recovered.lastIndex, "committed entries are in the log");
  assert(compacted.index <= snapshot.index, "the log has every entry above the snapshot");
  assert(snapshot.index <= recovered.lastIndex, "the log does not end before the snapshot");
  assert(
    recovered.cachedEntries.length === 0 || recovered.cachedEntries.at(-1)?.index === recovered.lastIndex,
    "the cached entries end the log",
  );
}
