/**
 * All that a node remembers, laid open, so that tests can tell whether two nodes are in the same state.
 *
 * Two nodes of one configuration whose dumps are equal act alike from then on, given the same inputs and the same
 * random numbers. A dump shares the node's objects: it is to be read at once, and never changed.
 */
import type { Message } from "./message.ts";
import type { EntryId } from "./config.ts";
import type { EntryRead, ReadState, SnapshotRequest } from "./ready.ts";
import type { Role } from "./role.ts";
import type { Configuration, Entry, HardState, NodeId, SnapshotMetadata, TermRange } from "./types.ts";

/** The memory of a log. */
export interface LogDump {
  readonly compacted: EntryId;
  readonly snapshotIndex: number;
  /** The configuration as of the snapshot, and every later one. */
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[];
  /** The received snapshot that was not yet handed out to be made durable. */
  readonly unpersistedSnapshot: SnapshotMetadata | null;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly durableIndex: number;
  readonly persistingIndex: number;
  /** The write under way. */
  readonly persisting: { readonly index: number; readonly term: number; readonly validIndex: number } | null;
  readonly termRanges: readonly TermRange[];
  /** The entries whose payload is in memory; they end at `lastIndex`. */
  readonly cachedEntries: readonly Entry[];
}

/** The memory of a node. */
export interface RaftDump {
  readonly term: number;
  readonly vote: NodeId | null;
  /** The hard state last handed out to be written, and the one that is durable. */
  readonly handed: HardState;
  readonly durable: HardState;
  readonly role: Role;
  readonly log: LogDump;
  /** What waits to be handed out: messages, and those that leave after the next sync. */
  readonly messages: readonly Message[];
  readonly promises: readonly Message[];
  readonly reads: readonly ReadState[];
  readonly entryReads: readonly EntryRead[];
  readonly isReadingCommitted: boolean;
  /** Entries read back from storage to be applied. */
  readonly committedEntriesRead: readonly Entry[];
  /** The snapshot that the state machine is to become. */
  readonly restore: SnapshotMetadata | null;
  readonly snapshots: readonly SnapshotRequest[];
  readonly persistingTicks: number | null;
  readonly nextReadId: number;
}
