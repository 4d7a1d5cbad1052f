/** The entry point of the client library: {@link KvClient}. */
import { checkFunction } from "./argument_checks.ts";
import { type AuthClient, authOn } from "./auth/auth_client.ts";
import { type ClusterClient, clusterOn } from "./cluster.ts";
import { ClientCore } from "./core.ts";
import { DatabaseClient } from "./databases/database_client.ts";
import { compact } from "./reads/history.ts";
import { Keyspace } from "./keyspace.ts";
import { KeyspaceClient } from "./keyspace_client.ts";
import { HeldLease } from "./leases/held_lease.ts";
import { type LeaseClient, leasesOn } from "./leases/lease_client.ts";
import type { Lease, LeaseRequest } from "./leases/types.ts";
import type { CallOptions, CompactResult, ConnectionState, ConnectOptions } from "./types.ts";

/** Calls the private constructor of {@link KvClient}, for this library's own modules. */
export let clientOn: (core: ClientCore) => KvClient;
/** Returns the calls on databases over the connections of a client, for this package's own modules. */
export let databasesOf: (client: KvClient) => DatabaseClient;

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
export class KvClient extends KeyspaceClient implements AsyncDisposable {
  /** Users, roles and tokens, and whether clients have to sign in. */
  readonly auth: AuthClient;
  /** Status, members, snapshots and leadership of the cluster. */
  readonly cluster: ClusterClient;
  /** The calls on leases by their ids; {@link lease} grants one and keeps it alive. */
  readonly leases: LeaseClient;
  readonly #core: ClientCore;

  static {
    clientOn = (core) => new KvClient(core);
    databasesOf = (client) => new DatabaseClient(client.#core);
  }

  private constructor(core: ClientCore) {
    super(core, Keyspace.ALL);
    this.#core = core;
    this.auth = authOn(core);
    this.cluster = clusterOn(core);
    this.leases = leasesOn(core);
  }

  /**
   * Connects to the cluster. One node is enough, even without a leader; addresses are tried in random order.
   *
   * @throws {ConnectionError} when no node answers; the message names each address and the reason
   * @throws {AuthenticationError} when a node refuses the password, the token or the certificate
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
   *
   * @example Signing in by a token that something else renews
   * ```ts
   * import { KvClient } from "@kvraft/kvraft";
   *
   * export async function signedIn(readToken: () => Promise<string>): Promise<KvClient> {
   *   return await KvClient.connect({ cluster: ["127.0.0.1:7001"], token: readToken });
   * }
   * ```
   */
  static async connect(options: ConnectOptions): Promise<KvClient> {
    return clientOn(await ClientCore.connect(options));
  }

  /**
   * Grants a lease and keeps it alive until it is revoked or disposed of, or the client is closed. All leases of a client
   * are kept alive together, each after a third of its time to live.
   *
   * @throws {LeaseExistsError} when there is a lease of the chosen id
   * @throws {TooManyLeasesError} when the store has 250,000 leases
   * @throws {KvraftError} one of its classes; a lease that may have been granted ends after its time to live
   *
   * @example A service that is listed as long as it runs
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function serve(client: KvClient, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
   *   await using lease = await client.lease({ ttlMs: 10_000 });
   *   await client.put("services/web-1", "10.0.0.1:80", { leaseId: lease.leaseId });
   *   await run(lease.lost);
   * }
   * ```
   */
  lease(request: LeaseRequest & CallOptions): Promise<Lease> {
    return HeldLease.grant(this.#core, request);
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
