/** Arguments and results of {@link KeyspaceClient.watch}. */
import type { KeyValue } from "../../kv/command.ts";
import type { Bytes } from "../types.ts";

/** The keys of a watch: one key, all keys with a prefix, a range, or (without any field) all keys. */
export type WatchedKeys =
  | { readonly key: Bytes; readonly prefix?: never; readonly start?: never; readonly end?: never }
  | { readonly prefix: Bytes; readonly key?: never; readonly start?: never; readonly end?: never }
  | {
    /**
     * First key of the range (included).
     *
     * @default the first key
     */
    readonly start?: Bytes;
    /**
     * End of the range (excluded).
     *
     * @default behind the last key
     */
    readonly end?: Bytes;
    /** A range has no key. */
    readonly key?: never;
    /** A range has no prefix. */
    readonly prefix?: never;
  };

/** Options of {@link KeyspaceClient.watch} beside its keys. */
export interface WatchOptions {
  /**
   * The first revision whose events are wanted, in the past as far as the history goes, or the next one.
   *
   * @default that after the present one
   */
  readonly from?: number;
  /**
   * Only events of this kind.
   *
   * @default both kinds
   */
  readonly only?: "puts" | "deletes";
  /**
   * Whether each event has the entry that was there before it.
   *
   * @default false
   */
  readonly previous?: boolean;
  /**
   * Whether the watch goes on when the history of a revision that it needs is compacted: a batch of kind "reset" has all
   * keys as they are then. Without it the watch ends with CompactedError.
   *
   * @default false
   */
  readonly resync?: boolean;
  /**
   * Whether there are batches of kind "progress": one each time the watch has begun at a node, then about every ten
   * seconds without an event.
   *
   * @default false
   */
  readonly progress?: boolean;
  /**
   * Whether changes of keys that the user may not read are left out. Without it the watch is refused unless the user may
   * read all of its keys.
   *
   * @default false
   */
  readonly visibleOnly?: boolean;
  /**
   * Is called with the reason when the watch is lost at its node, and when it cannot begin at another one. It goes on by
   * itself: this is for logs.
   *
   * @default none
   */
  readonly onInterruption?: (reason: string) => void;
  /**
   * Ends the watch: the iteration rejects with AbortError.
   *
   * @default none
   */
  readonly signal?: AbortSignal;
}

/** The arguments of {@link KeyspaceClient.watch}. */
export type WatchRequest = WatchedKeys & WatchOptions;

/** A change of one key. */
export type WatchEvent =
  /** The key was written. `entry` is the key as the change left it. */
  | {
    readonly kind: "put";
    readonly entry: KeyValue;
    /** The entry before it, null if the key did not exist; there if the watch asked for it. */
    readonly previous?: KeyValue | null;
  }
  /** The key was removed: by a delete, with its lease, or when it expired. */
  | {
    readonly kind: "delete";
    readonly key: Uint8Array;
    /** The revision of the removal. */
    readonly modRevision: number;
    /** The entry before it, null if the key did not exist; there if the watch asked for it. */
    readonly previous?: KeyValue | null;
  };

/** The unit that a watch delivers. */
export type WatchBatch =
  /** All events of one revision, in the order in which the changes were made. */
  | { readonly kind: "events"; readonly revision: number; readonly events: readonly WatchEvent[] }
  /**
   * All keys of the watch as of `revision`, in byte order, in place of all events up to it that were not delivered. Only
   * with `resync`.
   */
  | { readonly kind: "reset"; readonly revision: number; readonly entries: readonly KeyValue[] }
  /** Everything up to `revision` was delivered. Only with `progress`. */
  | { readonly kind: "progress"; readonly revision: number };
