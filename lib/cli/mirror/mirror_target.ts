/** The keys of kvraft that a mirror writes: changes in transactions, repeated until the cluster takes them. */
import { concat, equals } from "@std/bytes";
import { KvraftError, type KvraftErrorCode } from "../../client/errors.ts";
import type { CallOptions, ListResult, TransactionMutation } from "../../client/types.ts";
import { compareKeys, isReserved, type KeyValue, MAX_TRANSACTION_OPERATIONS } from "../../kv/mod.ts";
import { errorMessage } from "../../platform/errors.ts";
import type { StoreClient } from "../command.ts";
import type { Stopwatch } from "../environment.ts";
import { limitReason } from "../formats/items.ts";
import { pause } from "../waiting.ts";
import type { EtcdEntry } from "./etcd_answers.ts";
import type { EtcdRange } from "./etcd_gateway.ts";
import { LeftOutKeys } from "./left_out_keys.ts";

/** Bytes after which a transaction has no further change. */
export const MAX_CHANGE_BYTES = 524_288;
/** Bytes of the changes of one revision that are made at once: an entry of the log has at most 8 MiB. */
const MAX_WHOLE_BYTES = 7_340_032;
/** Keys of a page of the cluster's keys. */
const PAGE_KEYS = 1_000;
/** Pause before a write that failed is repeated. */
const RETRY_MS = 500;
/** Errors that say nothing about the write itself. */
const TRANSIENT: readonly KvraftErrorCode[] = [
  "notLeader",
  "noLeader",
  "timeout",
  "busy",
  "unavailable",
  "sessionExpired",
  "storageFull",
];

/** A change of a key of kvraft; null deletes it. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** The dependencies of a {@link MirrorTarget}. */
export interface MirrorTargetOptions {
  readonly client: StoreClient;
  readonly clock: Stopwatch;
  /** Replaces the prefix of etcd's keys. */
  readonly prefix: Uint8Array;
  readonly toPrefix: Uint8Array;
  /** Whether keys of leases are put, as keys that stay. */
  readonly dropsLeases: boolean;
  /** Deadline of each attempt. */
  readonly timeoutMs: number | null;
  readonly signal: AbortSignal;
  readonly note: (remark: string) => void;
}

/** Counts of what was done. */
export interface MirrorCounts {
  puts: number;
  deletes: number;
  /** Keys that a copy found as they should be. */
  same: number;
}

/** The target. */
export class MirrorTarget {
  readonly counts: MirrorCounts = { puts: 0, deletes: 0, same: 0 };
  readonly leftOut: LeftOutKeys;
  readonly #options: MirrorTargetOptions;
  #isInterrupted = false;

  constructor(options: MirrorTargetOptions) {
    this.#options = options;
    this.leftOut = new LeftOutKeys(options.note);
  }

  /** Whether there is no key that the mirror would change. Rejects with {@link KvraftError}. */
  async isEmpty(): Promise<boolean> {
    const { client, toPrefix } = this.#options;
    return (await client.list({ ...this.#call, prefix: toPrefix, limit: 1, keysOnly: true })).entries
      .length === 0;
  }

  /**
   * Makes the keys of a part of the mirror those of etcd, by writing what differs. `entries`: all keys of the part, in order;
   * its end is null for the last part.
   */
  async reconcile(range: EtcdRange, entries: readonly EtcdEntry[]): Promise<void> {
    const wanted = entries.flatMap((entry) => {
      const change = this.#changeOf(entry.key, entry);
      return change === null || change.value === null ? [] : [{ key: change.key, value: change.value }];
    });
    const pending = new PendingChanges((changes) => this.apply(changes));
    let next = 0;
    for await (const existing of this.#existing(range)) {
      for (; next < wanted.length; next++) {
        const entry = wanted[next];
        if (entry === undefined || compareKeys(entry.key, existing.key) >= 0) break;
        await pending.add(entry);
      }
      const entry = wanted[next];
      if (entry === undefined || !equals(entry.key, existing.key)) {
        await pending.add({ key: existing.key, value: null });
        continue;
      }
      next += 1;
      const stays = existing.leaseId === undefined && existing.expiresAtMs === undefined;
      if (stays && equals(entry.value, existing.value)) this.counts.same += 1;
      else await pending.add(entry);
    }
    for (const entry of wanted.slice(next)) await pending.add(entry);
    await pending.flush();
  }

  /** Returns the changes of kvraft for those of etcd; a key that is left out is deleted, so that no old value stays. */
  changesOf(
    events: readonly { readonly key: Uint8Array; readonly entry: EtcdEntry | null }[],
  ): readonly Change[] {
    return events.flatMap(({ key, entry }) => this.#changeOf(key, entry) ?? []);
  }

  /**
   * Makes changes of different keys in one transaction, or in several if one cannot hold them. Repeats it until the cluster
   * takes it: a late first attempt has no effect, as one session makes them all. Rejects with {@link KvraftError}.
   */
  async apply(changes: readonly Change[]): Promise<void> {
    for (const part of partsOf(changes)) {
      await this.#repeat(() => this.#write(part));
      const deletes = part.filter(({ value }) => value === null).length;
      this.counts.deletes += deletes;
      this.counts.puts += part.length - deletes;
    }
  }

  get #call(): CallOptions {
    const { timeoutMs, signal } = this.#options;
    return { signal, ...(timeoutMs !== null && { timeoutMs }) };
  }

  /** Returns the change for a key; null for a key that kvraft cannot have. */
  #changeOf(key: Uint8Array, entry: EtcdEntry | null): Change | null {
    const { dropsLeases, prefix, toPrefix } = this.#options;
    const named = concat([toPrefix, key.subarray(prefix.length)]);
    const nameReason = isReserved(named) ? "with names that are reserved" : limitReason(named.length, 0);
    const value = entry?.value ?? null;
    const reason = nameReason ?? limitReason(named.length, value?.length ?? 0);
    const isOfLease = entry?.hasLease === true && !dropsLeases;
    const isLeftOut = entry !== null && (reason !== null || isOfLease);
    if (isLeftOut) this.leftOut.add(key, { reason: reason ?? "of leases", isLost: reason !== null });
    else this.leftOut.remove(key);
    if (nameReason !== null) return null;
    return { key: named, value: isLeftOut ? null : value };
  }

  /** Returns the cluster's keys of a part of the mirror. */
  async *#existing({ start, end }: EtcdRange): AsyncGenerator<KeyValue> {
    const { client, prefix, toPrefix } = this.#options;
    const named = (key: Uint8Array): Uint8Array => concat([toPrefix, key.subarray(prefix.length)]);
    const range = { prefix: toPrefix, start: named(start), ...(end !== null && { end: named(end) }) };
    let cursor: string | null = null;
    do {
      const from: string | null = cursor;
      const page: ListResult = await this.#repeat(() =>
        client.list({ ...this.#call, ...range, limit: PAGE_KEYS, cursor: from })
      );
      yield* page.entries;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  async #write(changes: readonly Change[]): Promise<void> {
    const { client } = this.#options;
    const [only] = changes;
    if (only !== undefined && changes.length === 1) {
      if (only.value === null) await client.delete(only.key, this.#call);
      else await client.put(only.key, only.value, this.#call);
      return;
    }
    const mutations = changes.map(({ key, value }): TransactionMutation =>
      value === null ? { kind: "delete", key } : { kind: "put", key, value }
    );
    await client.transaction({ ...this.#call, mutations });
  }

  /** Makes a call until the cluster carries it out. Rejects for errors that another attempt would meet again. */
  async #repeat<Result>(call: () => Promise<Result>): Promise<Result> {
    const { clock, signal, note } = this.#options;
    for (;;) {
      try {
        const result = await call();
        if (this.#isInterrupted) note("kvraft answers again");
        this.#isInterrupted = false;
        return result;
      } catch (error) {
        const isTransient = error instanceof KvraftError && TRANSIENT.includes(error.code);
        if (!isTransient || signal.aborted) throw error;
        if (!this.#isInterrupted) note(`trying again: ${errorMessage(error)}`);
        this.#isInterrupted = true;
        await pause(RETRY_MS, { clock, signal });
        signal.throwIfAborted();
      }
    }
  }
}

/** Changes of a copy, collected for the next transaction. */
class PendingChanges {
  readonly #apply: (changes: readonly Change[]) => Promise<void>;
  #changes: Change[] = [];
  #bytes = 0;

  constructor(apply: (changes: readonly Change[]) => Promise<void>) {
    this.#apply = apply;
  }

  async add(change: Change): Promise<void> {
    if (this.#changes.length === MAX_TRANSACTION_OPERATIONS || this.#bytes > MAX_CHANGE_BYTES) {
      await this.flush();
    }
    this.#changes.push(change);
    this.#bytes += bytesOf(change);
  }

  async flush(): Promise<void> {
    const changes = this.#changes;
    this.#changes = [];
    this.#bytes = 0;
    await this.#apply(changes);
  }
}

/** Returns the changes in parts that one transaction can hold. */
function partsOf(changes: readonly Change[]): readonly (readonly Change[])[] {
  const parts: Change[][] = [];
  let bytes = 0;
  for (const change of changes) {
    bytes += bytesOf(change);
    const last = parts.at(-1);
    if (last === undefined || last.length === MAX_TRANSACTION_OPERATIONS || bytes > MAX_WHOLE_BYTES) {
      parts.push([change]);
      bytes = bytesOf(change);
    } else last.push(change);
  }
  return parts;
}

/** Returns whether one transaction can hold these changes. */
export function fitOneTransaction(changes: readonly Change[]): boolean {
  return partsOf(changes).length <= 1;
}

function bytesOf({ key, value }: Change): number {
  return key.length + (value?.length ?? 0);
}
