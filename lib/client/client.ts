/** The entry point of the client library: {@link KvClient}. */
import type { KeyValue } from "../kv/command.ts";
import { checkFunction, checkObject, toBytes } from "./argument_checks.ts";
import { toBranches, toBranchingResult } from "./transaction/branching.ts";
import { type ClusterClient, clusterOn } from "./cluster.ts";
import { ClientCore } from "./core.ts";
import { InternalError, InvalidRequestError } from "./errors.ts";
import { compact, readHistory, readPage } from "./history.ts";
import {
  encodeCursor,
  isExpected,
  type ShortRequest,
  toConsistency,
  toKey,
  toListRequest,
  toRevision,
} from "./input.ts";
import { MAY_HAVE_BEEN_APPLIED } from "./retry.ts";
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
  CompactResult,
  CompareAndSetRequest,
  CompareAndSetResult,
  ConnectionState,
  ConnectOptions,
  DeleteResult,
  HistoryOptions,
  HistoryResult,
  ListOptions,
  ListResult,
  PutResult,
  ReadOptions,
  TransactionRequest,
  TransactionResult,
} from "./types.ts";
import type { WriteResult } from "./writer.ts";

/** Calls the private constructor of {@link KvClient}, for this library's own modules. */
export let clientOn: (core: ClientCore) => KvClient;

/**
 * A client of a kvraft cluster. It finds the leader and follows it, retries a call until its deadline, and has every
 * write applied once. Many calls may be in flight at a time; they share one connection.
 *
 * Every call rejects with a {@link KvraftError}, whose `outcome` says whether anything may have changed. Arguments are
 * checked before anything is sent. All calls take a `signal` and a `timeoutMs`.
 *
 * @example
 * ```ts
 * import { KvClient } from "@kvraft/kvraft";
 *
 * export async function tour(): Promise<void> {
 *   await using client = await KvClient.connect({
 *     cluster: ["127.0.0.1:7001", "127.0.0.1:7002"],
 *     timeoutMs: 5000,
 *   });
 *   await client.put("greeting", "hello"); // { revision }
 *   await client.get("greeting"); // { key, value, createRevision, modRevision, version } | null
 *   await client.get("greeting", { consistency: "stale" });
 *   await client.compareAndSet("greeting", { expect: "hello", value: "good day" });
 *   await client.list({ prefix: "user/", limit: 100 }); // { entries, cursor, revision }
 *   await client.transaction({ then: [{ kind: "sum", key: "visits", operand: 1 }] }); // { succeeded, results, revision }
 *   await client.delete("greeting"); // { deleted, revision }
 * }
 * ```
 */
export class KvClient implements AsyncDisposable {
  /** Status, members, snapshots and leadership of the cluster. */
  readonly cluster: ClusterClient;
  readonly #core: ClientCore;

  static {
    clientOn = (core) => new KvClient(core);
  }

  private constructor(core: ClientCore) {
    this.#core = core;
    this.cluster = clusterOn(core);
  }

  /**
   * Connects to the cluster. One node is enough, even without a leader; addresses are tried in random order.
   *
   * @throws {ConnectionError} when no node answers; the message names each address and the reason
   * @throws {VersionMismatchError} when every node uses another version of the protocol
   * @throws {InvalidRequestError} when an address or an option is wrong
   *
   * @example
   * ```ts
   * import { KvClient } from "@kvraft/kvraft";
   *
   * export async function greet(): Promise<void> {
   *   await using client = await KvClient.connect({ cluster: ["1=127.0.0.1:7001", "2=127.0.0.1:7002"] });
   *   await client.put("greeting", "hello");
   * }
   * ```
   */
  static async connect(options: ConnectOptions): Promise<KvClient> {
    return clientOn(await ClientCore.connect(options));
  }

  /**
   * Sets a key, whether it exists or not.
   *
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
  put(key: Bytes, value: Bytes, options: CallOptions = {}): Promise<PutResult> {
    const request: ShortRequest = { mutations: [{ kind: "put", key, value }] };
    return this.#core.write(request, { action: "put a key", options }, putResult);
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
    const read = { key: toKey(key), consistency: toConsistency(options) } as const;
    const revision = toRevision(options.revision);
    const note = { kind: "read", action: "get a key", context: this.#core.context(options) } as const;
    const { message } = revision === null
      ? await this.#core.call({ kind: "get", ...read }, note)
      : await this.#core.call({ kind: "getAt", ...read, revision }, note);
    return message.entry;
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
    const request: ShortRequest = { mutations: [{ kind: "delete", key }] };
    return this.#core.write(request, { action: "delete a key", options }, (result) => {
      const [outcome] = result.kind === "applied" ? result.outcomes : [];
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
    const request = toListRequest(options);
    const { entries, more, revision, after } = await readPage(this.#core, request, options);
    const last = after ?? entries.at(-1)?.key;
    const cursorOf = { reverse: request.query.reverse, revision: request.revision };
    return { entries, cursor: more && last !== undefined ? encodeCursor(last, cursorOf) : null, revision };
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
    return readHistory(this.#core, key, options);
  }

  /**
   * Drops the history below a revision: reads as of earlier ones end with {@link CompactedError} from then on. Does nothing
   * if the history was compacted that far before.
   *
   * @throws {FutureRevisionError} for a revision above the present one
   * @throws {KvraftError} one of its classes; `outcome` says whether the history may have been compacted
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function forgetPast(client: KvClient): Promise<number> {
   *   const { revision } = await client.list({ limit: 1 });
   *   return (await client.compact(revision)).compactedRevision;
   * }
   * ```
   */
  compact(revision: number, options: CallOptions = {}): Promise<CompactResult> {
    return compact(this.#core, revision, options);
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
  async compareAndSet(
    key: Bytes,
    change: CompareAndSetRequest & CallOptions,
  ): Promise<CompareAndSetResult> {
    const action = "compare and set a key";
    const { expect, value, ...options } = checkObject(change, "a compare-and-set");
    const put = { key: toBytes(key, "key"), value: toBytes(value, "value") };
    const expected = expect === null ? null : toBytes(expect, "expected value");
    const request: ShortRequest = {
      checks: [expected === null ? { key: put.key, exists: false } : { key: put.key, value: expected }],
      mutations: [{ kind: "put", ...put }],
      returnCurrent: true,
    };
    const context = this.#core.context(options);
    for (;;) {
      const result = await this.#core.write(request, { action, options, context }, (result) => result);
      const { revision } = result;
      if (result.kind === "applied") {
        const [outcome] = result.outcomes;
        if (outcome?.kind !== "put") throw wrongAnswer(action);
        const { createRevision, version } = outcome;
        const current = { ...put, createRevision, modRevision: revision, version };
        return { succeeded: true, current, revision };
      }
      if (result.kind !== "checksFailed") throw wrongAnswer(action);
      if (result.current !== "omitted") return { succeeded: false, current: result.current, revision };
      const get = { kind: "get", key: put.key, consistency: "linearizable" } as const;
      const { message } = await this.#core.call(get, { kind: "read", action, context });
      const isMet = isExpected(expected, message.entry);
      if (!isMet) return { succeeded: false, current: message.entry, revision: message.revision };
    }
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
  async transaction(
    request: (TransactionRequest | BranchingRequest) & CallOptions,
  ): Promise<TransactionResult | BranchingResult> {
    const action = "apply a transaction";
    checkObject(request, "a transaction");
    const hasBranches = request.then !== undefined || request.else !== undefined;
    if (hasBranches === (request.mutations !== undefined)) {
      throw new InvalidRequestError(
        "Cannot apply a transaction: it needs either mutations, or then, else or both.",
      );
    }
    if (request.mutations !== undefined) {
      const { checks, mutations, ...options } = request;
      const short = checks === undefined ? { mutations } : { checks, mutations };
      return await this.#core.write(short, { action, options }, (result) => {
        const { revision } = result;
        if (result.kind === "applied") return { succeeded: true, failedChecks: [], revision };
        if (result.kind !== "checksFailed") throw wrongAnswer(action);
        return { succeeded: false, failedChecks: result.failedChecks, revision };
      });
    }
    const { checks = [], then = [], else: otherwise = [], ...options } = request;
    const branches = toBranches({ checks, then, else: otherwise });
    return await this.#core.write({ branches }, { action, options }, (result) => {
      const answered = toBranchingResult(branches, result);
      if (answered === null) throw wrongAnswer(action);
      return answered;
    });
  }

  /**
   * Returns the node that the next call would be sent to, and the leader; or why there is none. Opens no connection.
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export function prompt(client: KvClient): string {
   *   const state = client.connectionState();
   *   if (state.kind === "reconnecting") return "(not connected)> ";
   *   return `n${state.node}, leader ${state.leader ?? "unknown"}> `;
   * }
   * ```
   */
  connectionState(): ConnectionState {
    return this.#core.pool.state;
  }

  /**
   * Calls `listener` whenever {@link connectionState} changes, until the returned function is called. While there is a
   * listener, the client reconnects to a lost cluster by itself; without one, the next call does. Errors that a listener
   * throws are ignored.
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export function watch(client: KvClient): () => void {
   *   return client.onStateChange((state) => console.error(state.kind));
   * }
   * ```
   */
  onStateChange(listener: (state: ConnectionState) => void): () => void {
    return this.#core.pool.onStateChange(checkFunction(listener, "a listener"));
  }

  /**
   * Closes every connection. Calls in flight reject with ClosedError, whose outcome says whether they may have been
   * applied; so do later calls. Further calls of `close` have no effect.
   *
   * @example
   * ```ts
   * import { KvClient } from "@kvraft/kvraft";
   *
   * export async function once(): Promise<void> {
   *   const client = await KvClient.connect({ cluster: ["127.0.0.1:7001"] });
   *   await client.put("greeting", "hello");
   *   await client.close();
   * }
   * ```
   */
  async close(): Promise<void> {
    await this.#core.pool.close();
  }

  /**
   * Calls {@link close}, for `await using`.
   *
   * @example
   * ```ts
   * import { KvClient } from "@kvraft/kvraft";
   *
   * export async function once(): Promise<void> {
   *   await using client = await KvClient.connect({ cluster: ["127.0.0.1:7001"] });
   *   await client.put("greeting", "hello");
   * }
   * ```
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function putResult({ kind, revision }: WriteResult): PutResult {
  if (kind !== "applied") throw wrongAnswer("put a key");
  return { revision };
}

/** Returns the error for a node that answered a write with the result of another one. */
function wrongAnswer(action: string): InternalError {
  return new InternalError(`Cannot ${action}: the answer is not one to it. ${MAY_HAVE_BEEN_APPLIED}`, {
    outcome: "unknown",
  });
}
