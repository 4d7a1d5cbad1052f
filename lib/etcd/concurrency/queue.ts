/**
 * The queue of a lock or an election, in the keys that clientv3's `concurrency` package makes: `<name>/<lease in
 * hexadecimal>`, each attached to its lease. The key that was created first holds the lock; each other contender waits for the
 * end of the one before it. All keys below the name count, as they do for that package: both exclude each other.
 */
import type { ClientCore } from "../../client/core.ts";
import { CompactedError } from "../../client/errors.ts";
import { readPage } from "../../client/reads/listing.ts";
import { joined, Keyspace } from "../../client/keyspace.ts";
import type { WatchRequest } from "../../client/watch/types.ts";
import { watchKeys } from "../../client/watch/watch.ts";
import { type KeyValue, type ListQuery, MAX_KEY_BYTES } from "../../kv/command.ts";
import { isReserved } from "../../kv/databases/reserved_keys.ts";
import { compareKeys } from "../../kv/keys.ts";
import { assert } from "../../platform/assert.ts";
import { MAX_CALL_MS } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { transact, withdraw } from "./transactions.ts";

/** Entries are read with their values, and all of them. */
const WHOLE = { visibleOnly: false, keysOnly: false };

/** Entries of a page of a queue. */
const PAGE_ENTRIES = 1_000;
/** Time in which a contender that gives up tries to delete its key; afterwards the key ends with its lease. */
const LEAVE_MS = 30_000;

/** A contender: its key and the revision in which it was created. */
export interface Place {
  readonly key: Uint8Array;
  readonly createRevision: number;
}

/** The queue of one name. */
export class Queue {
  readonly #core: ClientCore;
  readonly #prefix: Uint8Array;

  /** Throws EtcdError for a name that is too long for keys, or whose keys belong to kvraft. */
  constructor(core: ClientCore, name: Uint8Array) {
    this.#core = core;
    if (name.length >= MAX_KEY_BYTES) throw etcdError("requestTooLarge");
    this.#prefix = joined(name, Uint8Array.of(0x2f));
    if (isReserved(this.#prefix)) throw etcdError("permissionDenied");
  }

  /** Returns the key of a lease. */
  keyOf(leaseId: number): Uint8Array {
    return joined(this.#prefix, new TextEncoder().encode(leaseId.toString(16)));
  }

  /**
   * Creates the key of a lease if it does not exist; repeats that until there is an outcome, or `signal` is aborted. `found` is
   * the entry that was there, null for a new one; `isAlone`: there was no other contender.
   */
  async join(
    { leaseId, value }: { readonly leaseId: number; readonly value: Uint8Array },
    signal: AbortSignal,
  ): Promise<
    {
      readonly place: Place;
      readonly found: KeyValue | null;
      readonly isAlone: boolean;
      readonly revision: number;
    }
  > {
    const key = this.keyOf(leaseId);
    const request = {
      checks: [{ key, exists: false }],
      then: [{ kind: "get", prefix: this.#prefix, limit: 1 }, { kind: "put", key, value, leaseId }],
      else: [{ kind: "get", key }],
    } as const;
    // An attempt goes on when the client leaves: otherwise it may leave a key behind that nothing deletes.
    const { revision, succeeded, results } = await this.#core.repeat(
      () => transact(this.#core, request, MAX_CALL_MS),
      signal,
    );
    const [read] = results;
    assert(read?.kind === "get", "each branch begins with a read");
    const [entry = null] = read.entries;
    if (succeeded) {
      return { place: { key, createRevision: revision }, found: null, isAlone: entry === null, revision };
    }
    assert(entry !== null, "a key that was created is there");
    return { place: { key, createRevision: entry.createRevision }, found: entry, isAlone: false, revision };
  }

  /**
   * Waits until a contender is the first; resolves to the revision as of which it is, null if its key has ended. Calls
   * `onWaiting` each time when it is found behind another one.
   */
  async untilFirst(place: Place, signal: AbortSignal, onWaiting: () => void): Promise<number | null> {
    for (;;) {
      const { state: { before, isThere }, revision } = await this.#fold<Position>(
        { before: null, isThere: false },
        (position, entry) => positionAfter(position, entry, place),
        signal,
      );
      if (!isThere) return null;
      if (before === null) return revision;
      onWaiting();
      await untilEvent(this.#core, { key: before.key, from: revision + 1, only: "deletes", signal });
    }
  }

  /** Returns the entry of the first contender, null without one, as of a revision. */
  async first(
    signal: AbortSignal,
  ): Promise<{ readonly leader: KeyValue | null; readonly revision: number }> {
    const { state: leader, revision } = await this.#fold<KeyValue | null>(
      null,
      (first, entry) => first === null || entry.createRevision < first.createRevision ? entry : first,
      signal,
    );
    return { leader, revision };
  }

  /** Waits until a key of the queue is written in a revision from `from` on, or that cannot be known any more. */
  async untilJoined(from: number, signal: AbortSignal): Promise<void> {
    await untilEvent(this.#core, { prefix: this.#prefix, from, only: "puts", signal });
  }

  /** Deletes the key of a contender that gives up. Never rejects: a key that stays ends with its lease. */
  async leave(place: Place): Promise<void> {
    await withdraw(this.#core, place, LEAVE_MS).catch(() => {});
  }

  /** Folds all entries as of one revision into a state, page by page. */
  async #fold<S>(
    initial: S,
    next: (state: S, entry: KeyValue) => S,
    signal: AbortSignal,
  ): Promise<{ readonly state: S; readonly revision: number }> {
    for (;;) {
      const folded = await this.#core.repeat(() => this.#foldOnce(initial, next, signal), signal);
      if (folded !== null) return folded;
    }
  }

  /** {@link #fold}; null if the history of the revision was compacted between two pages. */
  async #foldOnce<S>(
    initial: S,
    next: (state: S, entry: KeyValue) => S,
    signal: AbortSignal,
  ): Promise<{ readonly state: S; readonly revision: number } | null> {
    const query: ListQuery = {
      prefix: this.#prefix,
      start: null,
      end: null,
      after: null,
      reverse: false,
      limit: PAGE_ENTRIES,
    };
    let page = await readPage(this.#core, { query, revision: null, ...WHOLE }, { signal });
    const { revision } = page;
    for (let state = initial;;) {
      state = page.entries.reduce(next, state);
      if (!page.more) return { state, revision };
      const after = page.after ?? page.entries.at(-1)?.key ?? null;
      const request = { query: { ...query, after }, revision, ...WHOLE };
      try {
        page = await readPage(this.#core, request, { signal });
      } catch (error) {
        if (error instanceof CompactedError) return null;
        throw error;
      }
    }
  }
}

/** Where a contender is: the entry of the one before it, and whether its own key is there. */
interface Position {
  readonly before: KeyValue | null;
  readonly isThere: boolean;
}

function positionAfter(position: Position, entry: KeyValue, { key, createRevision }: Place): Position {
  if (entry.createRevision > createRevision) return position;
  if (compareKeys(entry.key, key) === 0) {
    return { ...position, isThere: entry.createRevision === createRevision };
  }
  // A transaction may have created several keys in one revision.
  const { before } = position;
  return before === null || entry.createRevision > before.createRevision
    ? { ...position, before: entry }
    : position;
}

/** Waits for an event of a watch, or until its history is compacted. Rejects with KvraftError. */
async function untilEvent(core: ClientCore, request: WatchRequest): Promise<void> {
  try {
    for await (const _ of watchKeys(core, Keyspace.ALL, request)) return;
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
  }
}
