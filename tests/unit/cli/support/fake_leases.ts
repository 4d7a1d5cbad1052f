/** Leases, locks and leaderships in memory; tests say when one is held, and when it is lost. */
import { AbortError, LeaseLostError, LeaseNotFoundError } from "../../../../lib/client/errors.ts";
import type {
  GrantedLease,
  KeptLease,
  LeaseDetails,
  LeaseListOptions,
  LeaseListResult,
  LeaseRequest,
  RevokedLease,
  TimeToLiveOptions,
} from "../../../../lib/client/leases/types.ts";
import type { Leadership, Lock, LockOptions } from "../../../../lib/client/locks/types.ts";
import type { Bytes, CallOptions } from "../../../../lib/client/types.ts";

/** The leases. */
export class FakeLeases {
  readonly all = new Map<number, LeaseDetails & { readonly keys: readonly Uint8Array[] }>();
  readonly #onCall: (name: string, options: CallOptions) => Promise<void>;

  /** `onCall` is awaited by each call. */
  constructor(onCall: (name: string, options: CallOptions) => Promise<void>) {
    this.#onCall = onCall;
  }

  async grant({ ttlMs, leaseId = 4_711, ...options }: LeaseRequest & CallOptions): Promise<GrantedLease> {
    await this.#onCall("grant", options);
    this.all.set(leaseId, { leaseId, ttlMs, remainingMs: ttlMs, keyCount: 0, keys: [] });
    return { leaseId, ttlMs, revision: 0 };
  }

  async revoke(leaseId: number, options: CallOptions = {}): Promise<RevokedLease> {
    await this.#onCall("revoke", options);
    const lease = this.all.get(leaseId);
    if (lease === undefined) {
      throw new LeaseNotFoundError(`Cannot revoke lease ${leaseId}: it was never granted, or has ended.`);
    }
    this.all.delete(leaseId);
    return { deleted: lease.keyCount, revision: 9 };
  }

  async keepAlive(leaseIds: readonly number[], options: CallOptions = {}): Promise<readonly KeptLease[]> {
    await this.#onCall("keepAlive", options);
    return leaseIds.map((leaseId) => ({ leaseId, ttlMs: this.all.get(leaseId)?.ttlMs ?? null }));
  }

  async timeToLive(leaseId: number, options: TimeToLiveOptions = {}): Promise<LeaseDetails | null> {
    await this.#onCall("timeToLive", options);
    return this.all.get(leaseId) ?? null;
  }

  async list(options: LeaseListOptions = {}): Promise<LeaseListResult> {
    await this.#onCall("listLeases", options);
    const { limit = 1_000, after } = options;
    const all = [...this.all.values()].filter(({ leaseId }) => leaseId > (after ?? 0));
    const leases = all.slice(0, limit).map(({ keys: _, ...summary }) => summary);
    return { leases, after: all.length > limit ? leases.at(-1)?.leaseId ?? null : null, revision: 0 };
  }
}

/** A client that waits for a lock or leadership, and may get it. */
export class FakeContender implements Lock, Leadership {
  readonly name: string;
  readonly key: string;
  readonly leaseId = 4_711;
  readonly fencingToken = 21;
  /** How often it was released, or resigned. */
  releases = 0;
  /** Awaited by its release; it can delay or fail that. */
  onRelease: () => Promise<void> = () => Promise.resolve();
  readonly #granted = Promise.withResolvers<FakeContender>();
  readonly #lost = new AbortController();

  constructor(
    readonly request: { readonly name: string; readonly options: LockOptions; readonly value?: Bytes },
  ) {
    this.name = request.name;
    this.key = `${request.name}/00000000001267`;
    request.options.signal?.addEventListener("abort", () => {
      this.#granted.reject(
        new AbortError(`Cannot take the lock ${this.name}: the caller's signal ended it.`),
      );
    });
  }

  /** Resolves when it is granted. */
  get holds(): Promise<FakeContender> {
    return this.#granted.promise;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get check(): Lock["check"] {
    return { key: this.key, createRevision: this.fencingToken };
  }

  /** Grants what it waits for. */
  grant(): void {
    this.#granted.resolve(this);
  }

  /** Takes it away. */
  lose(): void {
    this.#lost.abort(new LeaseLostError("Cannot keep lease 4711: no keep-alive was confirmed in time."));
  }

  async release(): Promise<void> {
    await this.onRelease();
    this.releases += 1;
  }

  resign(): Promise<void> {
    return this.release();
  }

  proclaim(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
