/**
 * Leases with short times to live, to which a workload attaches keys. Some are kept alive for a while, some are not, and
 * some are revoked; the workload goes on to name them for a while after their end.
 */
import { KvraftError } from "../../client/errors.ts";
import type { CallOptions } from "../../client/types.ts";
import type { LeaseCall, Outcome } from "../../lincheck/mod.ts";
import type { Clock, Random } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import { seededRandom } from "../keys.ts";

/** Leases that are used at a time, and those before them that are still named. */
const LEASES = 3;
const NAMED_LEASES = 6;
const TTL_MS = { least: 1_000, most: 2_500 };
/** Times for which a lease that is kept alive is renewed, at most. */
const MAX_RENEWALS = 6;
const FAILURE_PAUSE_MS = 200;
/** Share of puts that attach a lease. */
const LEASED_SHARE = 0.2;
const MAX_LEASE_ID = Number.MAX_SAFE_INTEGER;

/** The part of the client library that a user of leases calls. */
export interface LeaseClient {
  /** Resolves to the time to live. */
  grant(request: { readonly leaseId: number; readonly ttlMs: number } & CallOptions): Promise<number>;
  /** Resolves to the time to live; 0 when there is no such lease. */
  keepAlive(leaseId: number, options: CallOptions): Promise<number>;
  revoke(leaseId: number, options: CallOptions): Promise<void>;
}

/** Options of {@link Leases}. */
export interface LeasesOptions {
  readonly client: LeaseClient;
  readonly seed: number;
  readonly clock: Pick<Clock, "now" | "after">;
  /** Deadline of each call. */
  readonly timeoutMs: number;
}

/** Leases that are granted, kept alive and left to end, until they are stopped. */
export class Leases {
  /** Resolves when the last call has ended. Rejects with any error that is not one of the client library. */
  readonly finished: Promise<void>;
  readonly #options: LeasesOptions;
  readonly #calls: LeaseCall[] = [];
  readonly #stopped = new AbortController();
  readonly #random: Random;
  /** Leases that puts name, the newest last. */
  #named: readonly number[] = [];

  private constructor(options: LeasesOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed ^ 0x2545f491);
    const runs = Array.from({ length: LEASES }, () => this.#run());
    this.finished = Promise.all(runs).then(() => {});
    // A failure is reported to those who wait for the end.
    this.finished.catch(() => this.stop());
  }

  /** Starts with the first leases. */
  static start(options: LeasesOptions): Leases {
    return new Leases(options);
  }

  /** Every call, in the order in which they ended. */
  get calls(): readonly LeaseCall[] {
    return this.#calls;
  }

  /** Returns the lease that a put attaches, decided by chance; null for none. */
  forPut(random: Random): number | null {
    if (random() >= LEASED_SHARE) return null;
    return this.#named[Math.floor(random() * this.#named.length)] ?? null;
  }

  /** Grants and renews no more leases. */
  stop(): void {
    this.#stopped.abort(new Error("the leases were stopped"));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    const { clock } = this.#options;
    while (!signal.aborted) {
      const leaseId = 1 + Math.floor(this.#random() * MAX_LEASE_ID);
      const ttlMs = Math.floor(TTL_MS.least + this.#random() * (TTL_MS.most - TTL_MS.least));
      const granted = await this.#call("grant", { leaseId, ttlMs });
      if (granted.kind === "notApplied") {
        await pause(FAILURE_PAUSE_MS, { clock, signal });
        continue;
      }
      this.#named = [...this.#named, leaseId].slice(-NAMED_LEASES);
      await this.#use(leaseId, ttlMs);
    }
  }

  /** Renews a lease some times, and then revokes it, or waits for its end. */
  async #use(leaseId: number, ttlMs: number): Promise<void> {
    const { signal } = this.#stopped;
    const { clock } = this.#options;
    const renewals = Math.floor(this.#random() * (MAX_RENEWALS + 1));
    for (let renewal = 0; renewal < renewals && !signal.aborted; renewal++) {
      await pause(ttlMs / 3, { clock, signal });
      if (!signal.aborted) await this.#call("keepAlive", { leaseId, ttlMs });
    }
    if (this.#random() < 0.2) await this.#call("revoke", { leaseId, ttlMs });
    else await pause(ttlMs, { clock, signal });
  }

  async #call(
    kind: LeaseCall["kind"],
    { leaseId, ttlMs }: { readonly leaseId: number; readonly ttlMs: number },
  ): Promise<LeaseCall["outcome"]> {
    const { clock } = this.#options;
    const calledAt = clock.now();
    const outcome = await this.#outcomeOf(kind, { leaseId, ttlMs });
    this.#calls.push({ kind, leaseId, ttlMs, calledAt, returnedAt: clock.now(), outcome });
    return outcome;
  }

  async #outcomeOf(
    kind: LeaseCall["kind"],
    { leaseId, ttlMs }: { readonly leaseId: number; readonly ttlMs: number },
  ): Promise<Outcome<{ readonly ttlMs: number }>> {
    const { client, timeoutMs } = this.#options;
    try {
      switch (kind) {
        case "grant":
          return { kind: "answered", result: { ttlMs: await client.grant({ leaseId, ttlMs, timeoutMs }) } };
        case "keepAlive":
          return { kind: "answered", result: { ttlMs: await client.keepAlive(leaseId, { timeoutMs }) } };
        case "revoke":
          await client.revoke(leaseId, { timeoutMs });
          return { kind: "answered", result: { ttlMs: 0 } };
      }
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      return { kind: error.outcome === "not-applied" ? "notApplied" : "unknown" };
    }
  }
}
