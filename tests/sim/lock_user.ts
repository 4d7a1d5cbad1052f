/**
 * The clients of a run that share a lock: each takes it, writes while it holds it, at times after a suspension in which the
 * lock has ended, and releases it. Every write has the check of the lock, and the lock's fencing token as its value.
 */
import { type KvClient, KvraftError, type Lock } from "../../lib/mod.ts";
import { connectOn } from "../../lib/testing.ts";
import { FENCED_KEY, LOCK_NAME } from "./invariants/fenced_writes.ts";
import { isDenial } from "./users/administrator.ts";
import type { LeaseHolderOptions } from "./lease_holder.ts";

const TIMEOUT_MS = 3_000;
/** Longest time between two uses. */
const MAX_IDLE_MS = 1_500;
const TTLS_MS = [1_000, 2_000, 4_000];
const MAX_WRITES = 4;
/** Longest wait for the lock. */
const MAX_WAIT_MS = 10_000;
/** The log counts whole milliseconds, and a timer may fire this late. */
const ROUNDING_MS = 3;

/** One user of the lock. */
export class LockUser {
  readonly #options: LeaseHolderOptions;
  #writes = 0;

  /** Makes a user that is not connected. */
  constructor(options: LeaseHolderOptions) {
    this.#options = options;
  }

  /** Begins to use the lock. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { platform, cluster, credentials, isOver, trace, number, violated } = this.#options;
    while (!isOver()) {
      try {
        await using client = await connectOn(platform, {
          cluster: cluster(),
          timeoutMs: TIMEOUT_MS,
          ...credentials(),
        });
        while (!isOver()) await this.#useOnce(client);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        if (isDenial(error)) violated(`u${number} keeps its rights and is refused: ${error.message}`);
        trace(() => `u${number} failed (${error.code}, ${error.outcome}): ${error.message}`);
        await this.#pause(200);
      }
    }
  }

  async #useOnce(client: KvClient): Promise<void> {
    const { platform, random, isOver, coverage } = this.#options;
    await this.#pause(MAX_IDLE_MS * random.next());
    const waiting = new AbortController();
    const timer = platform.clock.after(MAX_WAIT_MS * random.next(), () => waiting.abort());
    const ttlMs = random.pick(TTLS_MS);
    try {
      await using lock = await client.lock(LOCK_NAME, { ttlMs, signal: waiting.signal });
      coverage.count("locksTaken");
      for (let left = random.below(MAX_WRITES); left > 0 && !isOver(); left--) {
        await this.#pause(ttlMs * random.next());
        this.#checkHeld(lock);
        if (random.chance(0.2)) await this.#suspend(2 * ttlMs * random.next());
        await this.#write(client, lock);
      }
      if (random.chance(0.7)) await lock.release({ timeoutMs: TIMEOUT_MS });
    } finally {
      timer.cancel();
    }
  }

  /** Checks that a lock which is not lost has not ended, where no clock of a node is fast. */
  #checkHeld({ lost, leaseId }: Lock): void {
    const { leaseTimes, plan, violated, coverage, process } = this.#options;
    if (lost.aborted) return coverage.count("locksLost");
    const areClocksSlow = plan.clockSpeeds.every((speed) => speed <= 1) &&
      plan.faults.every(({ kind }) => kind !== "clockJump");
    const endedAt = leaseTimes.endOf(leaseId);
    if (!areClocksSlow || endedAt === null || process.scheduler.nowMs - endedAt <= ROUNDING_MS) return;
    violated(`a lock whose lease ${leaseId} has ended is not lost to its holder`);
  }

  async #write(client: KvClient, lock: Lock): Promise<void> {
    const { coverage, number } = this.#options;
    this.#writes += 1;
    const value = `${lock.fencingToken} of u${number}, write ${this.#writes}`;
    const { succeeded } = await client.transaction({
      checks: [lock.check],
      then: [{ kind: "put", key: FENCED_KEY, value }],
      timeoutMs: TIMEOUT_MS,
    });
    coverage.count(succeeded ? "fencedWrites" : "fencedWritesRefused");
  }

  /** Suspends its process for a while. */
  async #suspend(durationMs: number): Promise<void> {
    const { process } = this.#options;
    process.pause();
    process.scheduler.after(durationMs, null, () => process.resume());
    await this.#pause(1);
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}
