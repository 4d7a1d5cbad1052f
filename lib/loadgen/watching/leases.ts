/**
 * Leases with short times to live, and keys that are attached to them. Some are kept alive for a while, some are not, and
 * some are revoked. The workload attaches its keys to them too, also for a while after their end; since it writes these
 * keys often, only a lease's own keys exist until its end.
 */
import type { KvClient } from "../../client/client.ts";
import { KvraftError } from "../../client/errors.ts";
import type { History, LeaseCall, Operation, Outcome } from "../../lincheck/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Clock, Random } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import { seededRandom } from "../keys.ts";
import { performRecorded, type WorkloadClient } from "../perform.ts";
import { keyName } from "../requests.ts";

/** Leases that are used at a time, and those before them that are still named. */
const LEASES = 3;
const NAMED_LEASES = 6;
const TTL_MS = { least: 1_000, most: 2_500 };
/** Times for which a lease that is kept alive is renewed, at most. */
const MAX_RENEWALS = 6;
const FAILURE_PAUSE_MS = 200;
/** Share of the workload's puts that attach a lease. */
const LEASED_SHARE = 0.1;
/** Keys that belong to leases, and most of one lease. */
const OWN_KEYS = 8;
const MAX_KEYS_OF_LEASE = 3;
const OWN_SUFFIX = "l";
const MAX_LEASE_ID = Number.MAX_SAFE_INTEGER;

/** The part of the client library's calls on leases that a workload uses. */
export type LeaseCalls = Pick<KvClient["leases"], "grant" | "keepAlive" | "revoke">;

/** Options of {@link Leases}. */
export interface LeasesOptions {
  readonly leases: LeaseCalls;
  /** The client that puts the leases' own keys. */
  readonly client: WorkloadClient;
  /** Number of the first client in the history: each of the leases that are used at a time has one. */
  readonly firstClient: number;
  /** The prefix of the keys. */
  readonly prefix: string;
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
  readonly #history: Operation[] = [];
  readonly #stopped = new AbortController();
  readonly #random: Random;
  /** Leases that puts name, the newest last. */
  #named: readonly number[] = [];

  private constructor(options: LeasesOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed ^ 0x2545f491);
    const runs = Array.from({ length: LEASES }, (_, number) => this.#run(options.firstClient + number));
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

  /** The puts of the leases' own keys, in the order in which they ended. */
  get history(): History {
    return this.#history;
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

  async #run(client: number): Promise<void> {
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
      await this.#putKeys(leaseId, client);
      await this.#use(leaseId, ttlMs);
    }
  }

  async #putKeys(leaseId: number, number: number): Promise<void> {
    const { client, prefix, clock, timeoutMs } = this.#options;
    const count = 1 + Math.floor(this.#random() * MAX_KEYS_OF_LEASE);
    for (let part = 0; part < count; part++) {
      const key = ownKey(prefix, Math.floor(this.#random() * OWN_KEYS));
      const request = { kind: "put", key, value: `lease ${leaseId}.${part}`, leaseId } as const;
      this.#history.push(await performRecorded(client, { request, number, clock, timeoutMs }));
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
    const { leases, timeoutMs } = this.#options;
    try {
      switch (kind) {
        case "grant":
          return answered((await leases.grant({ leaseId, ttlMs, timeoutMs })).ttlMs);
        case "keepAlive": {
          const [kept] = await leases.keepAlive([leaseId], { timeoutMs });
          return answered(kept?.ttlMs ?? 0);
        }
        case "revoke":
          await leases.revoke(leaseId, { timeoutMs });
          return answered(0);
        default:
          return assertNever(kind);
      }
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      return { kind: error.outcome === "not-applied" ? "notApplied" : "unknown" };
    }
  }
}

function answered(ttlMs: number): Outcome<{ readonly ttlMs: number }> {
  return { kind: "answered", result: { ttlMs } };
}

/** Returns all keys that belong to leases. */
export function leaseKeys(prefix: string): readonly string[] {
  return Array.from({ length: OWN_KEYS }, (_, number) => ownKey(prefix, number));
}

function ownKey(prefix: string, number: number): string {
  return `${keyName(prefix, number)}${OWN_SUFFIX}`;
}
