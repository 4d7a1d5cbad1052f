/** The calls on leases by their ids: {@link LeaseClient}. */
import { MAX_KEEP_ALIVES, MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "../../kv/leases/lease_command.ts";
import { assertNever } from "../../platform/assert.ts";
import type { ResultOf } from "../../protocol/client_frames.ts";
import type { Consistency } from "../../protocol/messages.ts";
import { checkBoolean, checkInteger, checkList, checkObject, describeValue } from "../argument_checks.ts";
import type { CallContext } from "../call_context.ts";
import type { Answered } from "../calls.ts";
import type { ClientCore } from "../core.ts";
import {
  InvalidRequestError,
  type KvraftError,
  LeaseExistsError,
  LeaseNotFoundError,
  TooManyLeasesError,
} from "../errors.ts";
import { toConsistency } from "../input.ts";
import type { CallOptions } from "../types.ts";
import { randomId, type WriteResult, wrongAnswer } from "../writer.ts";
import type {
  GrantedLease,
  KeptLease,
  LeaseDetails,
  LeaseListOptions,
  LeaseListResult,
  LeaseRequest,
  RevokedLease,
  TimeToLiveOptions,
} from "./types.ts";

/** The default number of leases of a page. */
const DEFAULT_LIST_LIMIT = 1_000;

/** Calls the private constructor of {@link LeaseClient}, for this library's own modules. */
export let leasesOn: (core: ClientCore) => LeaseClient;

/**
 * The calls on leases by their ids. A {@link KvClient} has one as `leases`; {@link KvClient.lease} grants a lease and keeps
 * it alive.
 *
 * A lease is a time to live to which keys are attached by their puts. When it ends, because it was not kept alive in time
 * or was revoked, its keys are deleted, all in one revision. It never ends before its time to live has passed since the
 * last keep-alive was sent, and ends within a second after that, plus the time without a leader.
 */
export class LeaseClient {
  readonly #core: ClientCore;

  static {
    leasesOn = (core) => new LeaseClient(core);
  }

  private constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Grants a lease. It ends after its time to live unless it is kept alive.
   *
   * @throws {LeaseExistsError} when there is a lease of the chosen id
   * @throws {TooManyLeasesError} when the store has 250,000 leases
   * @throws {KvraftError} one of its classes; `outcome` says whether the lease may have been granted
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function announce(client: KvClient): Promise<void> {
   *   const { leaseId } = await client.leases.grant({ ttlMs: 60_000 });
   *   await client.put("services/web-1", "10.0.0.1:80", { leaseId });
   * }
   * ```
   */
  grant(request: LeaseRequest & CallOptions): Promise<GrantedLease> {
    return grantLease(this.#core, request);
  }

  /**
   * Ends a lease and deletes its keys in one revision.
   *
   * @throws {LeaseNotFoundError} when there is no such lease
   * @throws {KvraftError} one of its classes; `outcome` says whether the lease may have been revoked
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function withdraw(client: KvClient, leaseId: number): Promise<number> {
   *   return (await client.leases.revoke(leaseId)).deleted;
   * }
   * ```
   */
  revoke(leaseId: number, options: CallOptions = {}): Promise<RevokedLease> {
    return revokeLease(this.#core, leaseId, options);
  }

  /**
   * Restores the whole time to live of leases, 1 to 10,000 in one request.
   *
   * @throws {KvraftError} one of its classes. A lease that does not exist is no reason to reject
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function isKept(client: KvClient, leaseId: number): Promise<boolean> {
   *   const [lease] = await client.leases.keepAlive([leaseId]);
   *   return lease?.ttlMs !== null;
   * }
   * ```
   */
  async keepAlive(leaseIds: readonly number[], options: CallOptions = {}): Promise<readonly KeptLease[]> {
    const ids = checkList(leaseIds, "the leases to keep alive").map(checkLeaseId);
    if (ids.length < 1 || ids.length > MAX_KEEP_ALIVES) {
      throw new InvalidRequestError(
        `Cannot keep ${ids.length} leases alive in one request: pass 1 to ${MAX_KEEP_ALIVES} ids.`,
      );
    }
    const ttlsMs = await keepLeasesAlive(this.#core, ids, this.#core.context(options));
    return ids.map((leaseId, position) => ({ leaseId, ttlMs: ttlsMs[position] || null }));
  }

  /**
   * Returns how long a lease lasts, and the number of its keys or the keys; null when there is no such lease.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function keysOf(client: KvClient, leaseId: number): Promise<readonly Uint8Array[]> {
   *   const lease = await client.leases.timeToLive(leaseId, { keys: true });
   *   return lease?.keys ?? [];
   * }
   * ```
   */
  async timeToLive(leaseId: number, options: TimeToLiveOptions = {}): Promise<LeaseDetails | null> {
    const consistency = toConsistency(options);
    const keys = checkBoolean(options.keys ?? false, "keys");
    const query = { leaseId: checkLeaseId(leaseId), keys, consistency };
    return (await readLease(this.#core, query, this.#core.context(options))).lease;
  }

  /**
   * Returns one page of the leases, by id.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient, LeaseSummary } from "@kvraft/kvraft";
   *
   * export async function* all(client: KvClient): AsyncGenerator<LeaseSummary> {
   *   let after: number | null = null;
   *   do {
   *     const page = await client.leases.list({ after });
   *     yield* page.leases;
   *     after = page.after;
   *   } while (after !== null);
   * }
   * ```
   */
  async list(options: LeaseListOptions = {}): Promise<LeaseListResult> {
    const query = {
      after: checkInteger(options.after ?? 0, { what: "after", min: 0 }),
      limit: checkInteger(options.limit ?? DEFAULT_LIST_LIMIT, { what: "limit", min: 1 }),
      consistency: toConsistency(options),
    };
    return await listLeases(this.#core, query, this.#core.context(options));
  }
}

/** Reads a lease as of a revision; its keys if they are wanted. Rejects with a KvraftError. */
export async function readLease(
  core: ClientCore,
  query: { readonly leaseId: number; readonly keys: boolean; readonly consistency: Consistency },
  context: CallContext,
): Promise<{ readonly lease: LeaseDetails | null; readonly revision: number }> {
  const notes = { kind: "read", action: "read a lease", context } as const;
  const found: Uint8Array[] = [];
  let after: Uint8Array | null = null;
  for (;;) {
    const answered: Answered<"lease"> = await core.call({ kind: "lease", ...query, after }, notes);
    const { revision } = answered.message;
    const page: ResultOf<"lease">["lease"] = answered.message.lease;
    if (page === null) return { lease: null, revision };
    const { keys, more, ...details } = page;
    if (!query.keys) return { lease: details, revision };
    found.push(...keys);
    after = keys.at(-1) ?? null;
    if (!more || after === null) return { lease: { ...details, keys: found }, revision };
  }
}

/** Reads one page of the leases, by id. Rejects with a KvraftError. */
export async function listLeases(
  core: ClientCore,
  query: { readonly after: number; readonly limit: number; readonly consistency: Consistency },
  context: CallContext,
): Promise<LeaseListResult> {
  const notes = { kind: "read", action: "list leases", context } as const;
  const { message: { leases, more, revision } } = await core.call({ kind: "listLeases", ...query }, notes);
  return { leases, after: more ? leases.at(-1)?.leaseId ?? null : null, revision };
}

/**
 * Keeps leases alive; resolves to their times to live, 0 for one that does not exist. It goes ahead of the calls that
 * wait: behind thousands of puts it would come after the leases have ended. Rejects with a KvraftError.
 */
export async function keepLeasesAlive(
  core: ClientCore,
  leaseIds: readonly number[],
  context: CallContext,
): Promise<readonly number[]> {
  const call = {
    kind: "read",
    action: "keep leases alive",
    request: { kind: "keepAlive", leaseIds },
    context,
  } as const;
  const { message: { ttlsMs } } = await core.runner.askAhead(call);
  if (ttlsMs.length !== leaseIds.length) throw wrongAnswer(call.action);
  return ttlsMs;
}

/** Grants a lease. Rejects with a KvraftError. */
export async function grantLease(
  core: ClientCore,
  request: LeaseRequest & CallOptions,
): Promise<GrantedLease> {
  const { ttlMs, leaseId: chosen, ...options } = checkObject(request, "a lease");
  const leaseId = chosen === undefined ? randomId(core.random) : checkLeaseId(chosen);
  checkTtl(ttlMs);
  const action = "grant a lease";
  return await core.write(
    { command: { kind: "grantLease", leaseId, ttlMs } },
    { action, options },
    (result) => {
      if (result.kind !== "leaseGranted") throw leaseError(result, { action, leaseId });
      return { leaseId, ttlMs: result.ttlMs, revision: result.revision };
    },
  );
}

/** Revokes a lease. Rejects with a KvraftError. */
export async function revokeLease(
  core: ClientCore,
  leaseId: number,
  options: CallOptions,
): Promise<RevokedLease> {
  const action = `revoke lease ${checkLeaseId(leaseId)}`;
  return await core.write({ command: { kind: "revokeLease", leaseId } }, { action, options }, (result) => {
    if (result.kind !== "leaseRevoked") throw leaseError(result, { action, leaseId });
    return { deleted: result.deleted, revision: result.revision };
  });
}

/** Returns the id of a lease that can exist. Throws InvalidRequestError. */
export function checkLeaseId(leaseId: number): number {
  return checkInteger(leaseId, { what: "the id of a lease", min: 1 });
}

/** Returns a time to live that a lease can have. Throws InvalidRequestError. */
export function checkTtl(ttlMs: number): number {
  if (Number.isSafeInteger(ttlMs) && ttlMs >= MIN_LEASE_TTL_MS && ttlMs <= MAX_LEASE_TTL_MS) return ttlMs;
  throw new InvalidRequestError(
    `Cannot use ${
      describeValue(ttlMs)
    } as the time to live of a lease: pass a whole number of milliseconds from ` +
      `${MIN_LEASE_TTL_MS} to ${MAX_LEASE_TTL_MS}.`,
  );
}

/** Returns the error for the result of a command on a lease that was not done. */
function leaseError(
  result: WriteResult,
  { action, leaseId }: { readonly action: string; readonly leaseId: number },
): KvraftError {
  if (result.kind !== "leaseFailed") return wrongAnswer(action);
  const { reason } = result;
  switch (reason) {
    case "leaseExists":
      return new LeaseExistsError(
        `Cannot ${action}: there is a lease with the id ${leaseId}. Choose another id.`,
      );
    case "leaseNotFound":
      return new LeaseNotFoundError(`Cannot ${action}: it was never granted, or has ended.`);
    case "tooManyLeases":
      return new TooManyLeasesError(
        `Cannot ${action}: the store has as many as it may have. Revoke some first.`,
      );
    default:
      return assertNever(reason);
  }
}
