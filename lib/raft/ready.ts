/** What the core wants done: the only way out of it. */
import type { Message } from "./message.ts";
import type { Entry, HardState, NodeId, SnapshotMetadata } from "./types.ts";

/** What to make durable now: one append to the log and one sync. The next one comes after `persisted()`. */
export interface Persist {
  /** New hard state, to be written before the entries; null when it did not change. */
  readonly hardState: HardState | null;
  /**
   * A received snapshot that becomes the log's compacted: every entry of the log is discarded, and `entries` follow from its
   * index + 1 on. It is written before them and durable with the same sync. Null when there is none.
   */
  readonly snapshot: SnapshotMetadata | null;
  /** Entries to write; the first one discards every stored entry at or above its index. */
  readonly entries: readonly Entry[];
  /** These promise what is being made durable, and leave only after it is (Raft §5.2, §5.3). */
  readonly messagesAfterSync: readonly Message[];
  /** Index and term of the log's last entry with this write: pass them to `persisted()`. */
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** A read that `readIndex()` accepted. */
export interface ReadState {
  readonly readId: number;
  /** Answer once the state machine has applied this index; null: the read was not confirmed, nothing may be answered. */
  readonly index: number | null;
}

/** Entries that the core needs and no longer holds: read them back and pass them to `entriesRead()`. */
export interface EntryRead {
  /** The follower they are for; null when they are to be applied here. */
  readonly to: NodeId | null;
  readonly firstIndex: number;
  /** Bound on their payload; at least one entry is wanted. */
  readonly maxBytes: number;
}

/** A follower that can't be brought up to date from the log: send it the newest snapshot. */
export interface SnapshotRequest {
  readonly to: NodeId;
  /** Index of the newest snapshot that the core knows of. */
  readonly index: number;
}

/**
 * One batch of work. The order is the contract: begin `persist`; send `messages` (they promise nothing that is not
 * durable yet); replace the state by `restore`; apply `committed` and answer; answer `reads`; when the sync ends, send `messagesAfterSync` and
 * call `persisted()`.
 */
export interface Ready {
  readonly persist: Persist | null;
  readonly messages: readonly Message[];
  /**
   * The state machine is to become what this snapshot holds, before `committed` is applied; null: it stays. It may come
   * before the `persist` that has the same snapshot, while another write is under way.
   */
  readonly restore: SnapshotMetadata | null;
  /** To be applied, in this order. */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
  readonly entryReads: readonly EntryRead[];
  readonly snapshots: readonly SnapshotRequest[];
}
