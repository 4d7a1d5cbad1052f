/** The calls on the keys of a store, or on those below a prefix: {@link KeyspaceClient}. */
import type { KeyValue } from "../kv/command.ts";
import { assert } from "../platform/assert.ts";
import type { Answered } from "./calls.ts";
import { ClientCore } from "./core.ts";
import { LeaseNotFoundError, TooManyLeaseKeysError } from "./errors.ts";
import { readHistory } from "./reads/history.ts";
import { encodeCursor, type ShortRequest, toConsistency, toKey, toListRequest, toRevision } from "./input.ts";
import { Keyspace } from "./keyspace.ts";
import { countKeys, readPage } from "./reads/listing.ts";
import { elect } from "./locks/election.ts";
import { takeLock } from "./locks/lock.ts";
import { observeLeader } from "./locks/observer.ts";
import type { Leadership, Lock, LockOptions, ObserveOptions } from "./locks/types.ts";
import { FAILURES } from "./transaction/branching.ts";
import { compareAndSet } from "./transaction/compare_and_set.ts";
import { executeTransaction } from "./transaction/execute.ts";
import type {
  BranchingRequest,
  BranchingResult,
  TransactionOperation,
  UnconditionalRequest,
  UnconditionalResult,
} from "./transaction/types.ts";
import type {
  Bytes,
  CallOptions,
  CompareAndSetRequest,
  CompareAndSetResult,
  CountOptions,
  CountResult,
  DeleteResult,
  HistoryOptions,
  HistoryResult,
  ListOptions,
  ListResult,
  PutOptions,
  PutResult,
  ReadOptions,
  TransactionMutation,
  TransactionRequest,
  TransactionResult,
} from "./types.ts";
import type { WatchBatch, WatchRequest } from "./watch/types.ts";
import { watchKeys } from "./watch/watch.ts";
import { type WriteResult, wrongAnswer } from "./writer.ts";

/**
 * The calls on keys: of all keys of the store for a {@link KvClient}, of those with a prefix for the result of
 * {@link KeyspaceClient.prefix}.
 */
export class KeyspaceClient {
  readonly #core: ClientCore;
  readonly #keyspace: Keyspace;

  /**
   * Made by this library only, of a ClientCore and a Keyspace: types that the public interface does not have.
   *
   * @ignore
   */
  protected constructor(core: object, keyspace: object) {
    assert(core instanceof ClientCore && keyspace instanceof Keyspace, "this library alone makes clients");
    this.#core = core;
    this.#keyspace = keyspace;
  }

  /**
   * Sets a key, whether it exists or not. With a `leaseId` the key is deleted when that lease ends, with `expiresAtMs` at that
   * time; a put without them makes a key that lives until it is deleted.
   *
   * @throws {LeaseNotFoundError} when there is no such lease
   * @throws {TooManyLeaseKeysError} when the lease has 10,000 keys
   * @throws {KvraftError} one of its classes; `outcome` says whether the write may have been applied
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function greet(client: KvClient): Promise<number> {
   *   const { revision } = await client.put("greeting", "hello", { timeoutMs: 1000 });
   *   return revision;
   * }
   * ```
   */
  put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResult> {
    const mutation = putOf(this.#keyspace.toStore(key), value, options);
    return this.#core.write({ mutations: [mutation] }, { action: "put a key", options }, putResult);
  }

  /**
   * Reads a key; resolves to null when it does not exist. Linearizable by default. A stale read is answered by any node,
   * even one that is cut off from the others; the nodes are asked in turn.
   *
   * @throws {CompactedError} for a `revision` that the history does not have any more
   * @throws {FutureRevisionError} for a `revision` above the present one
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function greeting(client: KvClient): Promise<string | null> {
   *   const entry = await client.get("greeting");
   *   return entry === null ? null : new TextDecoder().decode(entry.value);
   * }
   * ```
   */
  async get(key: Bytes, options: ReadOptions = {}): Promise<KeyValue | null> {
    const { message } = await this.#ask(key, options);
    return this.#keyspace.toCaller(message.entry);
  }

  /**
   * Removes a key.
   *
   * @throws {KvraftError} one of its classes; `outcome` says whether the write may have been applied
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function forget(client: KvClient): Promise<boolean> {
   *   const { deleted } = await client.delete("greeting");
   *   return deleted;
   * }
   * ```
   */
  delete(key: Bytes, options: CallOptions = {}): Promise<DeleteResult> {
    const request: ShortRequest = { mutations: [{ kind: "delete", key: this.#keyspace.toStore(key) }] };
    return this.#core.write(request, { action: "delete a key", options }, (result) => {
      if (result.kind !== "applied") throw wrongAnswer("delete a key");
      const [outcome] = result.outcomes;
      if (outcome?.kind !== "delete") throw wrongAnswer("delete a key");
      return { deleted: outcome.deleted, revision: result.revision };
    });
  }

  /**
   * Reads one page of the keys in a range, in byte order. Each page is of one revision, and linearizable by default; a
   * key that changes between two pages is listed as it is when its page is read. With a `revision` all pages are of that
   * one.
   *
   * @throws {CompactedError} for a `revision` that the history does not have any more, also in the middle of a listing
   * @throws {FutureRevisionError} for a `revision` above the present one
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example Every key that begins with "user/"
   * ```ts
   * import type { KeyValue, KvClient } from "@kvraft/kvraft";
   *
   * export async function* users(client: KvClient): AsyncGenerator<KeyValue> {
   *   let cursor: string | null = null;
   *   do {
   *     const page = await client.list({ prefix: "user/", limit: 100, cursor });
   *     yield* page.entries;
   *     cursor = page.cursor;
   *   } while (cursor !== null);
   * }
   * ```
   */
  async list(options: ListOptions = {}): Promise<ListResult> {
    const request = toListRequest(this.#keyspace.listing(options));
    const { entries, more, revision, after } = await readPage(this.#core, request, options);
    const last = after ?? entries.at(-1)?.key;
    const cursorOf = { reverse: request.query.reverse, revision: request.revision };
    const cursor = more && last !== undefined ? encodeCursor(last, cursorOf) : null;
    return { entries: this.#keyspace.listToCaller(entries), cursor, revision };
  }

  /**
   * Counts the keys in a range, without reading them: all of one revision, and linearizable by default. A user needs the
   * right to read the whole range.
   *
   * @throws {CompactedError} for a `revision` that the history does not have any more
   * @throws {FutureRevisionError} for a `revision` above the present one
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function userCount(client: KvClient): Promise<number> {
   *   const { count } = await client.count({ prefix: "user/" });
   *   return count;
   * }
   * ```
   */
  count(options: CountOptions = {}): Promise<CountResult> {
    return countKeys(this.#core, toListRequest(this.#keyspace.listing(options)), options);
  }

  /**
   * Reads one page of the versions of a key that the history has, the newest first. Linearizable by default.
   *
   * @throws {CompactedError} for a page of which the history has nothing any more
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function values(client: KvClient): Promise<(string | null)[]> {
   *   const { versions } = await client.history("greeting", { limit: 10 });
   *   return versions.map(({ value }) => value === null ? null : new TextDecoder().decode(value));
   * }
   * ```
   */
  history(key: Bytes, options: HistoryOptions = {}): Promise<HistoryResult> {
    return readHistory(this.#core, this.#keyspace.toStore(key), options);
  }

  /**
   * Sets a key if it has the expected value (null: if it does not exist), and returns the key as it is after the call.
   *
   * A retry may be answered without the current entry; the client then reads the key. If it has the expected value by
   * then, the call starts again, because nothing was changed.
   *
   * @throws {KvraftError} one of its classes; `outcome` says whether the write may have been applied
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function takeLock(client: KvClient, owner: string): Promise<boolean> {
   *   const { succeeded } = await client.compareAndSet("lock", { expect: null, value: owner });
   *   return succeeded;
   * }
   * ```
   */
  compareAndSet(key: Bytes, change: CompareAndSetRequest & CallOptions): Promise<CompareAndSetResult> {
    return compareAndSet(this.#core, this.#keyspace, key, change);
  }

  /**
   * Executes `then` if all checks hold, and `else` if not, in one step. Each operation sees what those before it did; all
   * changes have one revision. The results have the types of the operations, by position.
   *
   * With `mutations` in place of the branches it is the short form: all mutations are applied if all checks hold, else
   * none. They may change a key once. Nodes before version 0.2.0 take only this form.
   *
   * @throws {TransactionFailedError} when an operation is not defined for the data that it meets; nothing was changed
   * @throws {AnswerOmittedError} when the transaction was executed, and its results are no longer remembered
   * @throws {KvraftError} one of its classes; `outcome` says whether the write may have been applied
   *
   * @example Count a sale, if the article exists
   * ```ts
   * import { counterValue, type KvClient } from "@kvraft/kvraft";
   *
   * export async function sell(client: KvClient): Promise<bigint | null> {
   *   const { succeeded, results } = await client.transaction({
   *     checks: [{ key: "article/1", exists: true }],
   *     then: [{ kind: "sum", key: "sold/1", operand: 1 }, { kind: "get", key: "sold/1" }],
   *     else: [{ kind: "get", prefix: "article/", limit: 10 }],
   *   });
   *   if (!succeeded) return null; // results[0].entries has ten others
   *   const { entry } = results[1];
   *   return entry === null ? null : counterValue(entry.value);
   * }
   * ```
   *
   * @example The short form
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function rename(client: KvClient): Promise<boolean> {
   *   const { succeeded } = await client.transaction({
   *     checks: [{ key: "new", exists: false }, { key: "old", modRevision: 7 }],
   *     mutations: [{ kind: "put", key: "new", value: "v" }, { kind: "delete", key: "old" }],
   *   });
   *   return succeeded;
   * }
   * ```
   */
  transaction(request: TransactionRequest & CallOptions): Promise<TransactionResult>;
  /** Executes operations without checks, in one step. */
  transaction<const Then extends readonly TransactionOperation[]>(
    request: UnconditionalRequest<Then> & CallOptions,
  ): Promise<UnconditionalResult<Then>>;
  /** Executes one of two lists of operations, in one step: `then` if all checks hold, and `else` if not. */
  transaction<
    const Then extends readonly TransactionOperation[] = readonly [],
    const Else extends readonly TransactionOperation[] = readonly [],
  >(request: BranchingRequest<Then, Else> & CallOptions): Promise<BranchingResult<Then, Else>>;
  transaction(
    request: (TransactionRequest | BranchingRequest) & CallOptions,
  ): Promise<TransactionResult | BranchingResult> {
    return executeTransaction(this.#core, this.#keyspace, request);
  }

  /**
   * Returns the changes of a key, of the keys with a prefix, or of a range, as they are made: a batch for each revision that
   * changed one, in order, none twice and none missing, whichever nodes and connections are lost meanwhile. The watch begins
   * when the iteration does, and ends with it. Without an end of its own it waits for the cluster however long that takes.
   *
   * A program that reads slowly holds nothing else up: what it has not read yet is fetched from the history later. Watches of
   * one client share its connections; it may have 1,000.
   *
   * @throws {InvalidRequestError} for arguments that are not valid, at once. The iteration rejects with the others:
   * @throws {CompactedError} when the history of a revision is compacted that was not delivered yet, without `resync`
   * @throws {FutureRevisionError} when `from` is above the revision after the present one
   * @throws {TooManyWatchesError} when the client has 1,000 watches
   * @throws {KvraftError} AbortError, ClosedError, or one that names a node's refusal
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function follow(client: KvClient): Promise<void> {
   *   for await (const batch of client.watch({ prefix: "jobs/" })) {
   *     if (batch.kind !== "events") continue;
   *     for (const event of batch.events) {
   *       const key = event.kind === "put" ? event.entry.key : event.key;
   *       console.log(batch.revision, event.kind, new TextDecoder().decode(key));
   *     }
   *   }
   * }
   * ```
   *
   * @example A value, and each later one
   * ```ts
   * import type { KeyValue, KvClient } from "@kvraft/kvraft";
   *
   * export async function* values(client: KvClient, key: string): AsyncGenerator<KeyValue | null> {
   *   const entry = await client.get(key);
   *   yield entry;
   *   const from = entry === null ? undefined : entry.modRevision + 1;
   *   for await (const batch of client.watch({ key, resync: true, ...(from === undefined ? {} : { from }) })) {
   *     if (batch.kind === "reset") yield batch.entries[0] ?? null;
   *     if (batch.kind === "events") for (const event of batch.events) yield event.kind === "put" ? event.entry : null;
   *   }
   * }
   * ```
   */
  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    return watchKeys(this.#core, this.#keyspace, request);
  }

  /**
   * Takes the lock of a name, and keeps it until it is released or disposed of. Waits for it as long as that takes: in the order
   * in which contenders came, through the loss of nodes and of the leader. If the cluster cannot be reached for longer than
   * `ttlMs` meanwhile, this contender has lost its place, and joins again at the end. A lock is not reentrant: a second call
   * of this client waits for the first lock.
   *
   * The lock ends when its holder does not reach the cluster for `ttlMs`. A holder that is suspended for longer learns of it
   * only afterwards, so what it changes must be fenced: by `check` in transactions of this store, elsewhere by `fencingToken`.
   *
   * @throws {AbortError} when `signal` ends the wait; the place in the queue is given up
   * @throws {TooManyWatchesError} when the client has 1,000 watches; a contender that waits has one
   * @throws {KvraftError} one of its classes, for a reason that does not pass
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function nightly(client: KvClient, report: (signal: AbortSignal) => Promise<string>): Promise<boolean> {
   *   await using lock = await client.lock("nightly", { ttlMs: 10_000 });
   *   const result = await report(lock.lost);
   *   const { succeeded } = await client.transaction({
   *     checks: [lock.check],
   *     then: [{ kind: "put", key: "report", value: result }],
   *   });
   *   return succeeded; // false: the lock was lost meanwhile, and nothing was written
   * }
   * ```
   */
  lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return takeLock(this.#core, this.#keyspace, name, options);
  }

  /**
   * Joins the election of a name, and resolves once elected: candidates lead in the order in which they came, each until it
   * resigns, or does not reach the cluster for `ttlMs`. `value` is what {@link observe} delivers of this leader. An election
   * is a lock with a value, so the rest is as described at {@link lock}.
   *
   * @throws {AbortError} when `signal` ends the wait; the candidate has left the election
   * @throws {KvraftError} one of its classes, for a reason that does not pass
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function lead(client: KvClient, address: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
   *   await using leadership = await client.elect("scheduler", address);
   *   await work(leadership.lost);
   * }
   * ```
   */
  elect(name: string, value: Bytes, options: LockOptions = {}): Promise<Leadership> {
    return elect(this.#core, this.#keyspace, { name, value, options });
  }

  /**
   * Returns the leader of an election, null while there is none, and each change of it: another leader, or another value that it
   * proclaims. The leader's entry has its value, and its `createRevision` is its fencing token.
   *
   * @throws {KvraftError} the iteration: AbortError, ClosedError, or one that names a node's refusal
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function follow(client: KvClient): Promise<void> {
   *   for await (const leader of client.observe("scheduler")) {
   *     console.log(leader === null ? "no leader" : new TextDecoder().decode(leader.value));
   *   }
   * }
   * ```
   */
  observe(name: string, options: ObserveOptions = {}): AsyncIterable<KeyValue | null> {
    return observeLeader(this.#core, this.#keyspace, { name, options });
  }

  /**
   * Returns a client of the keys with a prefix, over the same connections. Its calls take and return keys without the prefix,
   * in transactions, watches and locks too. It needs no close.
   *
   * @throws {InvalidRequestError} for a prefix that is neither text nor bytes
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function setTheme(client: KvClient): Promise<void> {
   *   const settings = client.prefix("app/").prefix("settings/");
   *   await settings.put("theme", "dark"); // the key app/settings/theme
   * }
   * ```
   */
  prefix(prefix: Bytes): KeyspaceClient {
    return new KeyspaceClient(this.#core, this.#keyspace.below(prefix));
  }

  /**
   * Asks for a key, in the present state or at a revision. Throws InvalidRequestError. No async function, and what lives until
   * the answer is a copy by spread, for the reason that {@link import("./calls.ts").CallRunner} has.
   */
  #ask(key: Bytes, options: ReadOptions): Promise<Answered<"get"> | Answered<"getAt">> {
    const read = { key: toKey(this.#keyspace.toStore(key)), consistency: toConsistency(options) } as const;
    const revision = toRevision(options.revision);
    const notes = { kind: "read", action: "get a key", context: this.#core.context(options) } as const;
    return revision === null
      ? this.#core.call({ ...read, kind: "get" }, notes)
      : this.#core.call({ ...read, kind: "getAt", revision }, notes);
  }
}

/** Returns the mutation of a put. Its options may be anything here: they are checked when the call begins. */
function putOf(key: Bytes, value: Bytes, options: PutOptions | null): TransactionMutation {
  const { leaseId, expiresAtMs } = options ?? {};
  if (leaseId === undefined && expiresAtMs === undefined) return { kind: "put", key, value };
  const lease = leaseId === undefined ? {} : { leaseId };
  return { kind: "put", key, value, ...lease, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) };
}

function putResult(result: WriteResult): PutResult {
  const action = "put a key";
  if (result.kind === "applied") return { revision: result.revision };
  if (result.kind !== "transactionFailed") throw wrongAnswer(action);
  switch (result.reason) {
    case "leaseNotFound":
      throw new LeaseNotFoundError(`Cannot ${action}: ${FAILURES.leaseNotFound} Nothing was changed.`);
    case "tooManyLeaseKeys":
      throw new TooManyLeaseKeysError(`Cannot ${action}: ${FAILURES.tooManyLeaseKeys} Nothing was changed.`);
    default:
      throw wrongAnswer(action);
  }
}
