/**
 * The queue of a lock or an election: one key for each contender below the name, attached to its lease. The key that was
 * created first holds the lock; each other contender waits for the end of the one before it, so that one change wakes one
 * contender.
 *
 * The key of a contender has the id of its lease in it, and is created only if it does not exist. So an attempt whose
 * outcome is unknown is simply repeated: whichever attempt was applied, there is one key, and the transaction returns it.
 */
import type { KeyValue } from "../../kv/command.ts";
import { linkedSignal } from "../../platform/promise.ts";
import { checkObject, checkSignal, checkText, toBytes } from "../argument_checks.ts";
import type { ClientCore } from "../core.ts";
import {
  AbortError,
  ClosedError,
  CompactedError,
  InternalError,
  InvalidRequestError,
  TransactionFailedError,
} from "../errors.ts";
import { toKey } from "../input.ts";
import type { Keyspace } from "../keyspace.ts";
import { HeldLease } from "../leases/held_lease.ts";
import { checkTtl } from "../leases/lease_client.ts";
import { executeTransaction } from "../transaction/execute.ts";
import type { BranchingResult } from "../transaction/types.ts";
import type { Bytes } from "../types.ts";
import { readKeys } from "../watch/state_reader.ts";
import { watchKeys } from "../watch/watch.ts";
import type { LockOptions } from "./types.ts";

/** The default time to live. */
const DEFAULT_TTL_MS = 10_000;
/** Digits of a lease id in a key: 2^53 - 1 has so many. */
const ID_DIGITS = 14;
const ID_PATTERN = /^[0-9a-f]{14}$/;
/** Keeps the byte-order mark that a name may begin with. */
const KEY_TEXT = new TextDecoder("utf-8", { ignoreBOM: true });

/** A contender that holds the lock. */
export interface Place {
  readonly lease: HeldLease;
  readonly key: string;
  /** The revision in which its key was created. */
  readonly createRevision: number;
}

/** The arguments of a contender. */
export interface Contest {
  /** The value of its key. */
  readonly value: Bytes;
  readonly options: LockOptions;
  /** The action, for messages: "take a lock". */
  readonly action: string;
}

/** The queue of one name. */
export class ContenderQueue {
  readonly #core: ClientCore;
  readonly #keyspace: Keyspace;
  readonly #prefix: string;

  /** The queue of a name in a keyspace. Throws InvalidRequestError for one that is not text, or is empty. */
  constructor(core: ClientCore, keyspace: Keyspace, name: string) {
    if (checkText(name, "the name of a lock or an election") === "") {
      throw new InvalidRequestError("Cannot use an empty name for a lock or an election.");
    }
    this.#core = core;
    this.#keyspace = keyspace;
    this.#prefix = `${name}/`;
  }

  /** The prefix of its keys, as the caller knows them. */
  get prefix(): string {
    return this.#prefix;
  }

  /**
   * Joins the queue, and resolves once this contender is the first. A contender whose lease ends while it waits, because
   * the cluster could not be reached meanwhile, joins again at the end. Rejects with a KvraftError; the contender has
   * left the queue then, or leaves it when its lease ends.
   */
  async enter({ value, options, action }: Contest): Promise<Place> {
    const { ttlMs = DEFAULT_TTL_MS, signal: given = null } = checkObject(options, "the options of a lock");
    const signal = checkSignal(given);
    const bytes = toBytes(value, "value");
    checkTtl(ttlMs);
    for (;;) {
      const lease = await this.#grant(ttlMs, signal);
      const stop = linkedSignal([lease.lost, ...(signal === null ? [] : [signal])]);
      try {
        const place = await this.#placeOf(lease, bytes, stop.signal);
        const isFirst = place !== null && await this.#untilFirst(place, stop.signal);
        if (isFirst && !lease.lost.aborted) return place;
        await lease[Symbol.asyncDispose]();
      } catch (error) {
        const isLost = lease.lost.aborted;
        await lease[Symbol.asyncDispose]();
        if (this.#core.pool.closing.isClosed) throw closedError(action);
        if (signal?.aborted) throw abortError(action, signal);
        if (!isLost) throw error;
      } finally {
        stop.release();
      }
    }
  }

  /** Returns the entries of all contenders, in the order in which they joined, as the caller knows them. */
  async contenders(
    signal: AbortSignal,
  ): Promise<{ readonly revision: number; readonly entries: KeyValue[] }> {
    const start = toKey(this.#keyspace.toStore(`${this.#prefix}0`));
    const end = toKey(this.#keyspace.toStore(`${this.#prefix}g`));
    const chosen = { keys: { kind: "range", start, end }, visibleOnly: false } as const;
    const { revision, entries } = await this.#core.repeat(() => readKeys(this.#core, chosen, signal), signal);
    const own = this.#keyspace.listToCaller(entries).filter(({ key }) => this.isContender(key));
    return { revision, entries: own.toSorted(byCreation) };
  }

  /** Whether a key is one of this queue, and not one of a queue whose name begins with this one's. */
  isContender(key: Uint8Array): boolean {
    const name = KEY_TEXT.decode(key);
    return name.startsWith(this.#prefix) && ID_PATTERN.test(name.slice(this.#prefix.length));
  }

  async #grant(ttlMs: number, signal: AbortSignal | null): Promise<HeldLease> {
    const ending = signal ?? new AbortController().signal;
    return await this.#core.repeat(() => HeldLease.grant(this.#core, { ttlMs, signal: ending }), ending);
  }

  /** Creates the key of a contender; null when its lease has ended. */
  async #placeOf(lease: HeldLease, value: Uint8Array, signal: AbortSignal): Promise<Place | null> {
    const { leaseId } = lease;
    const key = this.#prefix + leaseId.toString(16).padStart(ID_DIGITS, "0");
    const create = {
      checks: [{ key, exists: false }],
      then: [{ kind: "put", key, value, leaseId }],
      else: [{ kind: "get", key }],
      signal,
    } as const;
    try {
      const result = await this.#core.repeat(
        () => executeTransaction(this.#core, this.#keyspace, create),
        signal,
      );
      const createRevision = createRevisionOf(
        result as BranchingResult<typeof create.then, typeof create.else>,
      );
      return createRevision === null ? null : { lease, key, createRevision };
    } catch (error) {
      if (error instanceof TransactionFailedError && error.reason === "leaseNotFound") return null;
      throw error;
    }
  }

  /** Waits until a contender is the first; false when its key was deleted. */
  async #untilFirst({ key, createRevision }: Place, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const { revision, entries } = await this.contenders(signal);
      const position = entries.findIndex((entry) => KEY_TEXT.decode(entry.key) === key);
      if (entries[position]?.createRevision !== createRevision) return false;
      const before = entries[position - 1];
      if (before === undefined) return true;
      await this.#untilDeleted(before.key, revision + 1, signal);
    }
  }

  /** Waits until a key is deleted in a revision from `from` on, or that cannot be known any more. */
  async #untilDeleted(key: Uint8Array, from: number, signal: AbortSignal): Promise<void> {
    try {
      const watch = watchKeys(this.#core, this.#keyspace, { key, from, only: "deletes", signal });
      for await (const _ of watch) return;
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
  }
}

function createRevisionOf(
  { succeeded, results: [result] }: {
    readonly succeeded: boolean;
    readonly results: readonly (
      | { readonly kind: "put"; readonly createRevision: number }
      | { readonly kind: "get"; readonly entry: KeyValue | null }
    )[];
  },
): number | null {
  if (result === undefined || succeeded !== (result.kind === "put")) {
    throw new InternalError("Cannot join a queue: the answer is not one to it.", { outcome: "unknown" });
  }
  return result.kind === "put" ? result.createRevision : result.entry?.createRevision ?? null;
}

function byCreation(a: KeyValue, b: KeyValue): number {
  return a.createRevision - b.createRevision;
}

function closedError(action: string): ClosedError {
  return new ClosedError(`Cannot ${action}: the client was closed.`);
}

function abortError(action: string, signal: AbortSignal): AbortError {
  return new AbortError(`Cannot ${action}: the caller's signal ended the wait.`, { cause: signal.reason });
}
