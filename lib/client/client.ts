/** The client library's one door: {@link KvClient}. */
import type { KeyValue } from "../kv/command.ts";
import { AddressError, formatAddress, parseContacts } from "../net/address.ts";
import type { Member } from "../net/client_messages.ts";
import { DenoClock } from "../net/deno_clock.ts";
import { DenoNetwork } from "../net/deno_network.ts";
import { CallScope } from "./call_scope.ts";
import { Caller, stopError } from "./caller.ts";
import { gatherStatus, STATUS_TIMEOUT_MS } from "./cluster_status.ts";
import type { RequestKind, RequestOf, ResultOf } from "./connection.ts";
import { encodeCursor } from "./cursor.ts";
import { InternalError, InvalidRequestError } from "./errors.ts";
import { toBytes, toKey, toListQuery, toTimeoutMs, toTransaction } from "./input.ts";
import { ConnectionPool } from "./pool.ts";
import { type CallKind, describeOutcome } from "./retry.ts";
import type {
  Bytes,
  CallOptions,
  ClientPlatform,
  ClusterStatus,
  CompareAndSetRequest,
  CompareAndSetResult,
  ConnectionState,
  ConnectOptions,
  DeleteResult,
  ListOptions,
  ListResult,
  PutResult,
  ReadOptions,
  StateHash,
  TransactionRequest,
  TransactionResult,
} from "./types.ts";
import { SessionWriter, type WriteResult } from "./writer.ts";

/** Deadline of a call that names none. */
const DEFAULT_TIMEOUT_MS = 5_000;

/**
 * A client of a kvraft cluster: it finds the leader, follows it, tries again until each call's deadline, and applies
 * every write once. Many calls may be under way at a time; they share one connection.
 *
 * Every call rejects with a {@link KvraftError}, whose `outcome` says whether anything may have changed. What is
 * wrong with the arguments is found before anything is sent. All calls take a `signal` and a `timeoutMs`.
 *
 * @example
 * ```ts
 * import { KvClient } from "../mod.ts";
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
 *   await client.delete("greeting"); // { deleted, revision }
 * }
 * ```
 */
export class KvClient implements AsyncDisposable {
  readonly #pool: ConnectionPool;
  readonly #caller: Caller;
  readonly #writer: SessionWriter;
  readonly #platform: ClientPlatform;
  readonly #timeoutMs: number;

  private constructor(
    pool: ConnectionPool,
    { platform, timeoutMs }: { readonly platform: ClientPlatform; readonly timeoutMs: number },
  ) {
    this.#pool = pool;
    this.#platform = platform;
    this.#timeoutMs = timeoutMs;
    this.#caller = new Caller(pool, platform.random);
    this.#writer = new SessionWriter({
      caller: this.#caller,
      random: platform.random,
      appliedIndex: () => pool.newestAppliedIndex,
    });
  }

  /**
   * Reaches the cluster. One node is enough, even without a leader; addresses are tried in random order.
   *
   * Rejects with ConnectionError, naming each address and why, when no node answers; with VersionMismatchError when
   * all of them speak other versions of the protocol.
   *
   * @example
   * ```ts
   * import { KvClient } from "../mod.ts";
   *
   * export async function greet(): Promise<void> {
   *   await using client = await KvClient.connect({ cluster: ["1=127.0.0.1:7001", "2=127.0.0.1:7002"] });
   *   await client.put("greeting", "hello");
   * }
   * ```
   */
  static async connect(options: ConnectOptions): Promise<KvClient> {
    const platform = options.platform ??
      { network: new DenoNetwork(), clock: new DenoClock(), random: Math.random };
    const timeoutMs = toTimeoutMs(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const pool = new ConnectionPool({ platform, addresses: toAddresses(options.cluster) });
    const signal = options.signal ?? null;
    const scope = new CallScope({ clock: platform.clock, timeoutMs, signal, closing: pool.closing });
    try {
      const waited = await scope.waitFor(pool.reach(null));
      if (waited.kind === "stopped") {
        throw stopError(waited.reason, {
          action: `reach the cluster at ${options.cluster.join(", ")}`,
          scope,
          outcome: "not-applied",
          failure: null,
        });
      }
      if (waited.value.kind === "unreachable") throw waited.value.error;
      await scope.waitFor(pool.reachLeader());
    } catch (error) {
      await pool.close();
      throw error;
    }
    return new KvClient(pool, { platform, timeoutMs });
  }

  /**
   * Sets a key, whatever it was before.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function greet(client: KvClient): Promise<number> {
   *   const { revision } = await client.put("greeting", "hello", { timeoutMs: 1000 });
   *   return revision;
   * }
   * ```
   */
  async put(key: Bytes, value: Bytes, options: CallOptions = {}): Promise<PutResult> {
    const request: TransactionRequest = { mutations: [{ kind: "put", key, value }] };
    const { revision } = await this.#write(request, { action: "put a key", options });
    return { revision };
  }

  /**
   * Reads a key; null when it does not exist. Linearizable unless the caller asks for a stale answer, which any node
   * gives, even one cut off from the others.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function greeting(client: KvClient): Promise<string | null> {
   *   const entry = await client.get("greeting");
   *   return entry === null ? null : new TextDecoder().decode(entry.value);
   * }
   * ```
   */
  async get(key: Bytes, options: ReadOptions = {}): Promise<KeyValue | null> {
    const request = {
      kind: "get",
      key: toKey(key),
      consistency: options.consistency ?? "linearizable",
    } as const;
    const { entry } = await this.#call(request, { kind: "read", action: "get a key", options });
    return entry;
  }

  /**
   * Removes a key.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function forget(client: KvClient): Promise<boolean> {
   *   const { deleted } = await client.delete("greeting");
   *   return deleted;
   * }
   * ```
   */
  async delete(key: Bytes, options: CallOptions = {}): Promise<DeleteResult> {
    const request: TransactionRequest = { mutations: [{ kind: "delete", key }] };
    const result = await this.#write(request, { action: "delete a key", options });
    const [outcome] = result.kind === "applied" ? result.outcomes : [];
    if (outcome?.kind !== "delete") throw wrongAnswer("delete a key");
    return { deleted: outcome.deleted, revision: result.revision };
  }

  /**
   * Reads one page of the keys in a range, in byte order. Each page is linearizable (unless asked for stale) and of
   * one revision; a key changed between two pages shows as it is when its page is read.
   *
   * @example Every key that begins with "user/"
   * ```ts
   * import type { KeyValue, KvClient } from "../mod.ts";
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
    const query = toListQuery(options);
    const request = { kind: "list", query, consistency: options.consistency ?? "linearizable" } as const;
    const { page: { entries, more, revision } } = await this.#call(request, {
      kind: "read",
      action: "list keys",
      options,
    });
    const last = entries.at(-1);
    return { entries, cursor: more && last !== undefined ? encodeCursor(last.key, query) : null, revision };
  }

  /**
   * Sets a key if it has the expected value (null: if it does not exist). Tells how the key stands after the call.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function takeLock(client: KvClient, owner: string): Promise<boolean> {
   *   const { succeeded } = await client.compareAndSet("lock", { expect: null, value: owner });
   *   return succeeded;
   * }
   * ```
   */
  async compareAndSet(
    key: Bytes,
    { expect, value, ...options }: CompareAndSetRequest & CallOptions,
  ): Promise<CompareAndSetResult> {
    const put = { key: toBytes(key, "key"), value: toBytes(value, "value") };
    const result = await this.#write({
      checks: [expect === null ? { key, exists: false } : { key, value: expect }],
      mutations: [{ kind: "put", ...put }],
    }, { action: "compare and set a key", options });
    const { revision } = result;
    if (result.kind === "checksFailed") return { succeeded: false, current: result.current, revision };
    const [outcome] = result.outcomes;
    if (outcome?.kind !== "put") throw wrongAnswer("compare and set a key");
    const { createRevision, version } = outcome;
    return { succeeded: true, current: { ...put, createRevision, modRevision: revision, version }, revision };
  }

  /**
   * Makes all changes if all checks hold, or none. No key may be changed twice.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
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
  async transaction(
    { checks, mutations, ...options }: TransactionRequest & CallOptions,
  ): Promise<TransactionResult> {
    const request: TransactionRequest = checks === undefined ? { mutations } : { checks, mutations };
    const result = await this.#write(request, { action: "apply a transaction", options });
    const { revision } = result;
    if (result.kind === "applied") return { succeeded: true, failedChecks: [], revision };
    return { succeeded: false, failedChecks: result.failedChecks, revision };
  }

  /**
   * Asks every member about itself, each directly. A node that does not answer within 2 s (or `timeoutMs`, if that is
   * less) is in the result as not reachable; this rejects only when its caller or {@link close} ends it.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function reachable(client: KvClient): Promise<number> {
   *   const { nodes } = await client.status();
   *   return nodes.filter((node) => node.reachable).length;
   * }
   * ```
   */
  async status(options: CallOptions = {}): Promise<ClusterStatus> {
    const timeoutMs = Math.min(toTimeoutMs(options.timeoutMs ?? this.#timeoutMs), STATUS_TIMEOUT_MS);
    const scope = this.#scope({ ...options, timeoutMs });
    const status = await gatherStatus({ pool: this.#pool, caller: this.#caller, scope });
    const stopped = scope.stopped;
    if (stopped === null || stopped === "deadline") return status;
    throw stopError(stopped, { action: "get the status", scope, outcome: "not-applied", failure: null });
  }

  /**
   * The members as some node knows them, sorted by id.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function addresses(client: KvClient): Promise<string[]> {
   *   return (await client.members()).map((member) => member.address);
   * }
   * ```
   */
  async members(options: CallOptions = {}): Promise<readonly Member[]> {
    const note = { kind: "read", action: "list the members", options } as const;
    const { status } = await this.#call({ kind: "status" }, note);
    return status.members.toSorted((a, b) => a.id - b.id);
  }

  /**
   * Has the leader hand over to the node `target`, or to the best follower when null; resolves to who leads then.
   * Not repeated once it may have begun: after an error with outcome "unknown", {@link status} tells who leads.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function drain(client: KvClient): Promise<number> {
   *   return await client.transferLeadership(null, { timeoutMs: 10_000 });
   * }
   * ```
   */
  async transferLeadership(target: number | null, options: CallOptions = {}): Promise<number> {
    if (target !== null && !(Number.isSafeInteger(target) && target >= 1)) {
      throw new InvalidRequestError(
        `Cannot transfer leadership to node ${target}: node ids are integers from 1 up.`,
      );
    }
    const request = { kind: "transferLeadership", target } as const;
    const { leader } = await this.#call(request, {
      kind: "transfer",
      action: "transfer leadership",
      options,
    });
    return leader;
  }

  /**
   * The hash of one node's state, for tests and tools that compare replicas.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export async function areEqual(client: KvClient): Promise<boolean> {
   *   const [a, b] = await Promise.all([client.stateHash("127.0.0.1:7001"), client.stateHash("127.0.0.1:7002")]);
   *   return a.appliedIndex === b.appliedIndex && a.hash === b.hash;
   * }
   * ```
   */
  async stateHash(address: string, options: CallOptions = {}): Promise<StateHash> {
    const [at = address] = toAddresses([address]);
    const action = `hash the state of the node at ${at}`;
    const call = {
      kind: "read",
      action,
      request: { kind: "stateHash" },
      scope: this.#scope(options),
    } as const;
    const { appliedIndex, revision, hash } = await this.#caller.runAt(at, call);
    return { appliedIndex, revision, hash };
  }

  /**
   * Which node the next call would go to, and who leads; or why there is none. Opens nothing.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export function prompt(client: KvClient): string {
   *   const state = client.connectionState();
   *   if (state.kind === "reconnecting") return "(reconnecting)> ";
   *   return state.leader === null ? "(no leader)> " : `n${state.leader}> `;
   * }
   * ```
   */
  connectionState(): ConnectionState {
    return this.#pool.state;
  }

  /**
   * Calls `listener` whenever {@link connectionState} changes, until the function given back is called. While there is
   * a listener, a lost cluster is dialled again and again; without one, the next call dials it. What a listener
   * throws is dropped.
   *
   * @example
   * ```ts
   * import type { KvClient } from "../mod.ts";
   *
   * export function watch(client: KvClient): () => void {
   *   return client.onStateChange((state) => console.error(state.kind));
   * }
   * ```
   */
  onStateChange(listener: (state: ConnectionState) => void): () => void {
    return this.#pool.onStateChange(listener);
  }

  /**
   * Ends every connection. Calls under way reject with ClosedError, whose outcome says whether they may have been
   * applied; so do later ones. May be called again without effect.
   *
   * @example
   * ```ts
   * import { KvClient } from "../mod.ts";
   *
   * export async function once(): Promise<void> {
   *   const client = await KvClient.connect({ cluster: ["127.0.0.1:7001"] });
   *   await client.put("greeting", "hello");
   *   await client.close();
   * }
   * ```
   */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  /**
   * {@link close}, for `await using`.
   *
   * @example
   * ```ts
   * import { KvClient } from "../mod.ts";
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

  async #write(request: TransactionRequest, { action, options }: CallNotes): Promise<WriteResult> {
    const transaction = toTransaction(request, this.#pool.maxValueBytes);
    return await this.#writer.write({ action, transaction, scope: this.#scope(options) });
  }

  async #call<K extends RequestKind>(
    request: RequestOf<K>,
    { kind, action, options }: CallNotes & { readonly kind: CallKind },
  ): Promise<ResultOf<K>> {
    const call = { kind, action, request, scope: this.#scope(options) };
    await this.#caller.enter({ bytes: 0, take: () => true }, call);
    try {
      return (await this.#caller.run(call)).message;
    } finally {
      this.#caller.leave(0);
    }
  }

  #scope({ timeoutMs = this.#timeoutMs, signal }: CallOptions): CallScope {
    return new CallScope({
      clock: this.#platform.clock,
      timeoutMs: toTimeoutMs(timeoutMs),
      signal: signal ?? null,
      closing: this.#pool.closing,
    });
  }
}

/** What a call is, for messages, and what its caller asked for. */
interface CallNotes {
  readonly action: string;
  readonly options: CallOptions;
}

/** The addresses in their one written form. */
function toAddresses(cluster: readonly string[]): string[] {
  try {
    return parseContacts(cluster).map(({ address }) => formatAddress(address));
  } catch (error) {
    if (error instanceof AddressError) throw new InvalidRequestError(error.message, { cause: error });
    throw error;
  }
}

/** A node said that it did something else than it was asked. */
function wrongAnswer(action: string): InternalError {
  return new InternalError(`Cannot ${action}: the answer is not one to it. ${describeOutcome("unknown")}`, {
    outcome: "unknown",
  });
}
