/** The outputs of the core. */
import type { Message } from "./message.ts";
import type { Entry, HardState, NodeId, SnapshotMetadata } from "./types.ts";

/** A write to make durable now: one append to the log and one sync. The next one follows after `persisted()`. */
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
  /** Messages that depend on this write, to be sent only after its sync (Raft §5.2, §5.3). */
  readonly messagesAfterSync: readonly Message[];
  /** Index and term of the log's last entry after this write, the arguments of `persisted()`. */
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** The result of a request for a read index; an accepted one is followed by a {@link ReadState} with its id. */
export type ReadRequested =
  | { readonly kind: "accepted"; readonly readId: number }
  | { readonly kind: "refused" };

/** The result of a read that `readIndex()` accepted. */
export interface ReadState {
  readonly readId: number;
  /** The read may be answered once this index is applied; null: it was not confirmed and must not be answered. */
  readonly index: number | null;
}

/** A request for entries that have left the cache: read them back and pass them to `entriesRead()`. */
export interface EntryRead {
  /** The peer that they will be sent to; null when they will be applied here. */
  readonly to: NodeId | null;
  readonly firstIndex: number;
  /** Bound on their payload; at least one entry is returned. */
  readonly maxBytes: number;
}

/** A peer that lacks compacted entries: send it the newest snapshot. */
export interface SnapshotTransfer {
  readonly to: NodeId;
  /** Index of the newest snapshot that the core knows of. */
  readonly index: number;
}

/**
 * One batch of work, the only output of the core. The order is the contract: begin `persist`; send `messages`, which do not
 * depend on it; replace the state by `restore`; apply `committed` and answer clients; answer `reads`; when the sync ends,
 * send `messagesAfterSync` and call `persisted()`.
 */
export interface Ready {
  readonly persist: Persist | null;
  readonly messages: readonly Message[];
  /** Whether the next Ready has further entries for a peer that is behind; the caller may do other work before. */
  readonly hasMoreToSend: boolean;
  /**
   * A snapshot that replaces the state machine's state before `committed` is applied, or null. It may precede the `persist`
   * with the same snapshot, while another write is in progress.
   */
  readonly restore: SnapshotMetadata | null;
  /** Entries to apply, in this order. */
  readonly committed: readonly Entry[];
  /** Index up to which entries are committed; those above `committed` come in later batches. */
  readonly commitIndex: number;
  readonly reads: readonly ReadState[];
  readonly entryReads: readonly EntryRead[];
  readonly snapshots: readonly SnapshotTransfer[];
}
