/**
 * The clients of a run that hold leases: each grants one after the other, attaches keys, keeps it alive for a while, and
 * then revokes it or lets it end. They report which of their requests were confirmed, so that the simulation can check
 * that no lease ends before its holder expects it.
 */
import { type ConnectOptions, type KvClient, KvraftError } from "../../lib/mod.ts";
import { connectOn } from "../../lib/testing.ts";
import type { Clock, Random } from "../../lib/platform/clock.ts";
import type { Network } from "../../lib/platform/network.ts";
import type { SeededRandom } from "../support/seeded_random.ts";
import type { Coverage } from "./coverage.ts";
import type { Process } from "./environment/process.ts";
import type { LeaseTimes } from "./invariants/lease_times.ts";
import { isDenial } from "./users/administrator.ts";
import { type Plan, readsPastInTransactions } from "./plan.ts";

/** Options of a holder. */
export interface LeaseHolderOptions {
  readonly number: number;
  readonly process: Process;
  readonly platform: { readonly network: Network; readonly clock: Clock; readonly random: Random };
  readonly cluster: () => readonly string[];
  /** Returns how it signs in; empty in a run without users. */
  readonly credentials: () => Pick<ConnectOptions, "token">;
  readonly plan: Plan;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly leaseTimes: LeaseTimes;
  /** Returns milliseconds since 1970, by a clock that is right. */
  readonly wallClock: () => number;
  readonly isOver: () => boolean;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
}

const TIMEOUT_MS = 3_000;
/** Longest time without a lease. */
const MAX_IDLE_MS = 1_500;
const TTLS_MS = [1_000, 1_000, 2_000, 4_000, 8_000];
/** Keys that holders attach to leases, unless those of all clients are used. */
const KEYS = 6;
/** Most keys of a lease, and most times that it is kept alive. */
const MAX_PUTS = 4;
const MAX_ROUNDS = 6;
/** Longest time of a key that expires by the wall clock. */
const MAX_EXPIRY_MS = 6_000;
/** Leases of one holder have the ids of a range of their own. */
const IDS_PER_HOLDER = 1_000_000;

/** One holder. */
export class LeaseHolder {
  readonly #options: LeaseHolderOptions;
  #made = 0;
  /** The lease before the present one, which may still exist. */
  #previousId: number | null = null;

  /** Makes a holder that is not connected. */
  constructor(options: LeaseHolderOptions) {
    this.#options = options;
  }

  /** Begins to hold leases. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { platform, cluster, credentials, isOver } = this.#options;
    while (!isOver()) {
      try {
        await using client = await connectOn(platform, {
          cluster: cluster(),
          timeoutMs: TIMEOUT_MS,
          ...credentials(),
        });
        while (!isOver()) await this.#holdOne(client);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        await this.#pause(200);
      }
    }
  }

  async #holdOne(client: KvClient): Promise<void> {
    const { random, isOver, number } = this.#options;
    await this.#pause(MAX_IDLE_MS * random.next());
    this.#made += 1;
    const leaseId = number * IDS_PER_HOLDER + this.#made;
    const ttlMs = random.pick(TTLS_MS);
    if (!await this.#try(leaseId, () => client.leases.grant({ leaseId, ttlMs, timeoutMs: TIMEOUT_MS }))) {
      return;
    }
    for (let left = random.below(MAX_PUTS); left > 0; left--) await this.#attach(client, leaseId);
    for (let left = random.below(MAX_ROUNDS); left > 0 && !isOver(); left--) {
      if (random.chance(0.1)) this.#suspend(ttlMs * 2 * random.next());
      await this.#pause(ttlMs * random.next());
      if (!await this.#keepAlive(client, leaseId)) break;
      if (random.chance(0.3)) await this.#attach(client, leaseId);
    }
    if (random.chance(0.3)) {
      await this.#try(null, () => client.leases.revoke(leaseId, { timeoutMs: TIMEOUT_MS }));
    }
    this.#previousId = leaseId;
  }

  /** Puts a key that ends with the lease, at times with another one, by the wall clock, or both. */
  async #attach(client: KvClient, leaseId: number): Promise<void> {
    const { random, plan, number, wallClock } = this.#options;
    const key = readsPastInTransactions(plan) ? `k${random.below(plan.keys)}` : `l${random.below(KEYS)}`;
    const value = `h${number}.${this.#made}.${random.below(1_000_000)}`;
    const other = random.chance(0.2) ? this.#previousId : null;
    const expires = random.chance(0.2)
      ? { expiresAtMs: Math.floor(wallClock() + MAX_EXPIRY_MS * random.next()) }
      : {};
    if (random.chance(0.3)) {
      const put = { kind: "put", key, value, leaseId: random.chance(0.5) ? "keep" : leaseId } as const;
      const result = await this.#try(
        null,
        () => client.transaction({ then: [{ ...put, ...expires }], timeoutMs: TIMEOUT_MS }),
      );
      return void result;
    }
    const attachment = random.chance(0.1) ? expires : { leaseId: other ?? leaseId, ...expires };
    await this.#try(null, () => client.put(key, value, { ...attachment, timeoutMs: TIMEOUT_MS }));
  }

  /** Keeps a lease alive; returns whether it exists as far as the holder knows. */
  async #keepAlive(client: KvClient, leaseId: number): Promise<boolean> {
    const { leaseTimes, coverage, violated, process } = this.#options;
    const sentAt = process.scheduler.nowMs;
    const kept = await this.#try(null, () => client.leases.keepAlive([leaseId], { timeoutMs: TIMEOUT_MS }));
    const [lease] = kept ?? [];
    if (lease === undefined) return true;
    if (lease.ttlMs !== null) {
      leaseTimes.confirmed(leaseId, sentAt);
      return true;
    }
    coverage.count("leasesLost");
    if (!leaseTimes.hasEnded(leaseId)) {
      violated(`lease ${leaseId} has ended according to an answer, and it has not`);
    }
    return false;
  }

  /** Makes a call; returns null where it fails. If it succeeds, it confirms the lease as of when it was sent. */
  async #try<T>(confirmedId: number | null, call: () => Promise<T>): Promise<T | null> {
    const { leaseTimes, process, trace, number, violated } = this.#options;
    const sentAt = process.scheduler.nowMs;
    try {
      const result = await call();
      if (confirmedId !== null) leaseTimes.confirmed(confirmedId, sentAt);
      return result;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      if (isDenial(error)) violated(`h${number} keeps its rights and is refused: ${error.message}`);
      trace(() => `h${number} failed (${error.code}, ${error.outcome}): ${error.message}`);
      return null;
    }
  }

  /** Suspends its process for a while. */
  #suspend(durationMs: number): void {
    const { process } = this.#options;
    process.pause();
    process.scheduler.after(durationMs, null, () => process.resume());
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}
