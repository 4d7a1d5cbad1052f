/** Puts of many keys: several in one transaction, several transactions at a time. */
import { MAX_TRANSACTION_OPERATIONS } from "../../../kv/mod.ts";
import { KvraftError } from "../../../client/errors.ts";
import type { CallOptions, TransactionMutation } from "../../../client/types.ts";
import type { StoreClient } from "../../command.ts";
import { type Failure, failureOf } from "../../errors.ts";
import type { Pair } from "../../json.ts";

/** Transactions in flight. */
const MAX_BATCHES = 8;
/** Bytes of keys and values after which a transaction has no further key. */
const MAX_BYTES = 524_288;
/** Errors of a transaction that one of its keys has caused; each is tried by itself, to name that one. */
const CAUSED_BY_A_KEY: readonly string[] = [
  "keyTooLarge",
  "valueTooLarge",
  "invalidRequest",
  "permissionDenied",
];

/** A key that is to be put. */
interface Entry {
  readonly pair: Pair;
  /** Its position in the input. */
  readonly number: number;
}

type Batch = ReadonlyMap<string, Entry>;

/** The failure of a put. */
export interface PutFailure {
  /** The position of the first key that may not have been put. */
  readonly number: number;
  readonly key: Uint8Array;
  readonly failure: Failure;
  readonly cause: unknown;
}

/**
 * Puts keys in the order of the input where they are the same: no key is in flight twice. A key is sent at once while
 * nothing is in flight; otherwise keys are collected for the next transaction. After the first failure nothing is sent.
 */
export class PutBatches {
  /** Keys that were acknowledged, and the bytes of them and their values. */
  keys = 0;
  bytes = 0;
  /** The greatest revision of these puts; null before the first one. */
  lastRevision: number | null = null;
  /** Position of the last key that was taken. */
  lastNumber = 0;
  readonly #client: StoreClient;
  readonly #options: CallOptions;
  readonly #keysInFlight = new Set<string>();
  #batches = 0;
  #collected = new Map<string, Entry>();
  #collectedBytes = 0;
  #isSending = false;
  #failure: PutFailure | null = null;
  #oneLess = Promise.withResolvers<void>();

  constructor(client: StoreClient, options: CallOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Takes a key, and waits while too many are in flight; false after a failure. */
  async add(pair: Pair, number: number): Promise<boolean> {
    const id = pair.key.toBase64();
    const bytes = pair.key.length + pair.value.length;
    const isFull = this.#collected.size === MAX_TRANSACTION_OPERATIONS ||
      this.#collectedBytes + bytes > MAX_BYTES;
    if (this.#collected.has(id) || (isFull && this.#collected.size > 0)) await this.#send();
    if (this.#failure !== null) return false;
    this.#collected.set(id, { pair, number });
    this.#collectedBytes += bytes;
    this.lastNumber = number;
    if (this.#batches === 0) await this.#send();
    return true;
  }

  /** Sends what is collected, and waits for all puts. Returns the failure with the least position, or null. */
  async end(): Promise<PutFailure | null> {
    await this.#send();
    while (this.#batches > 0) await this.#oneLess.promise;
    return this.#failure;
  }

  /** Sends the collected keys as soon as the limits allow it. */
  async #send(): Promise<void> {
    this.#isSending = true;
    while (this.#failure === null && !this.#maySend()) await this.#oneLess.promise;
    this.#isSending = false;
    const batch = this.#collected;
    if (batch.size === 0) return;
    this.#collected = new Map();
    this.#collectedBytes = 0;
    if (this.#failure === null) this.#start(batch);
  }

  #maySend(): boolean {
    return this.#batches < MAX_BATCHES && this.#collected.keys().every((id) => !this.#keysInFlight.has(id));
  }

  #start(batch: Batch): void {
    this.#batches += 1;
    for (const id of batch.keys()) this.#keysInFlight.add(id);
    void this.#put([...batch.values()]).finally(() => {
      this.#batches -= 1;
      for (const id of batch.keys()) this.#keysInFlight.delete(id);
      this.#oneLess.resolve();
      this.#oneLess = Promise.withResolvers();
      // Keys that were collected meanwhile need no further one to be sent: the input may pause here.
      if (this.#collected.size > 0 && !this.#isSending) void this.#send();
    });
  }

  /** Never rejects. */
  async #put(entries: readonly Entry[]): Promise<void> {
    try {
      const revision = await this.#write(entries);
      this.lastRevision = Math.max(this.lastRevision ?? 0, revision);
      this.keys += entries.length;
      for (const { pair: { key, value } } of entries) this.bytes += key.length + value.length;
    } catch (error) {
      const isCausedByAKey = error instanceof KvraftError && CAUSED_BY_A_KEY.includes(error.code);
      if (entries.length > 1 && isCausedByAKey) return await this.#putEach(entries);
      const [first] = entries;
      if (first === undefined || (this.#failure !== null && this.#failure.number < first.number)) return;
      this.#failure = { number: first.number, key: first.pair.key, failure: failureOf(error), cause: error };
    }
  }

  /** Puts keys one after the other, up to the first that fails. */
  async #putEach(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      await this.#put([entry]);
      if (this.#failure !== null && this.#failure.number <= entry.number) return;
    }
  }

  async #write(entries: readonly Entry[]): Promise<number> {
    const [only] = entries;
    if (only !== undefined && entries.length === 1) {
      const { key, value, expiresAtMs } = only.pair;
      const expiry = expiresAtMs === undefined ? {} : { expiresAtMs };
      return (await this.#client.put(key, value, { ...this.#options, ...expiry })).revision;
    }
    const mutations = entries.map(({ pair: { key, value, expiresAtMs } }): TransactionMutation => ({
      kind: "put",
      key,
      value,
      ...(expiresAtMs !== undefined && { expiresAtMs }),
    }));
    return (await this.#client.transaction({ ...this.#options, mutations })).revision;
  }
}
