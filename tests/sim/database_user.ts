/**
 * The clients of a run that write to a database: each write adds to a counter that all of them share, and puts a receipt of
 * its own in the same write. So the counter is the sum of its receipts at every revision, unless a sum was made twice or a
 * write in part; each read takes both at one revision and compares them. Some writes are guarded by a check of a counter
 * that only guarded writes change, so that no two have the same number.
 */
import { databasesOf } from "../../lib/client/client.ts";
import type { DatabaseClient } from "../../lib/client/databases/database_client.ts";
import { type KeyValue, KvraftError } from "../../lib/mod.ts";
import { connectOn } from "../../lib/testing.ts";
import type { DatabaseMutation } from "../../lib/kv/mod.ts";
import { storedU64, u64Of } from "./invariants/database_effects.ts";
import type { LeaseHolderOptions } from "./lease_holder.ts";

const TIMEOUT_MS = 3_000;
/** Longest time between two calls. */
const MAX_IDLE_MS = 400;
const COUNTERS = ["x", "y"];
const GUARDED = "guarded";
const DATABASE = 0;
/** Writes of one user: all receipts are read at once. */
const MAX_WRITES = 150;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (key: Uint8Array): string => new TextDecoder().decode(key);

/** One user. */
export class DatabaseUser {
  readonly #options: LeaseHolderOptions;
  #writes = 0;
  /** The receipts of acknowledged writes, and the revision of the last one. */
  readonly #acknowledged = new Set<string>();
  #lastRevision = 0;

  /** Makes a user that is not connected. */
  constructor(options: LeaseHolderOptions) {
    this.#options = options;
  }

  /** Begins to use the database. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { platform, cluster, credentials, isOver, trace, number } = this.#options;
    while (!isOver()) {
      try {
        await using client = await connectOn(platform, {
          cluster: cluster(),
          timeoutMs: TIMEOUT_MS,
          ...credentials(),
        });
        const databases = databasesOf(client);
        while (!isOver()) await this.#useOnce(databases);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        trace(() => `d${number} failed (${error.code}, ${error.outcome}): ${error.message}`);
        await this.#pause(200);
      }
    }
  }

  async #useOnce(databases: DatabaseClient): Promise<void> {
    const { random } = this.#options;
    await this.#pause(MAX_IDLE_MS * random.next());
    if (this.#writes >= MAX_WRITES || random.chance(0.3)) return await this.#read(databases);
    if (random.chance(0.3)) return await this.#writeGuarded(databases);
    const counter = random.pick(COUNTERS);
    const amount = BigInt(1 + random.below(9));
    const receipt = this.#nextReceipt(counter);
    const sum: DatabaseMutation = {
      kind: "sum",
      key: bytes(counter),
      value: storedU64(amount),
      minimum: null,
      maximum: null,
      clamp: false,
    };
    await this.#write(databases, receipt, [sum, set(receipt, storedU64(amount))]);
  }

  /** Increments the guarded counter, if no other user has since it was read. */
  async #writeGuarded(databases: DatabaseClient): Promise<void> {
    const { ranges: [found = []] } = await databases.read(DATABASE, [pointOf(GUARDED)]);
    const [present] = found;
    const next = (present === undefined ? 0n : u64Of(present.value)) + 1n;
    const receipt = this.#nextReceipt(GUARDED);
    const checks = [{ key: bytes(GUARDED), revision: present?.modRevision ?? null }];
    await this.#write(
      databases,
      receipt,
      [set(GUARDED, storedU64(next)), set(receipt, storedU64(1n))],
      checks,
    );
  }

  async #write(
    databases: DatabaseClient,
    receipt: string,
    mutations: readonly DatabaseMutation[],
    checks: Parameters<DatabaseClient["write"]>[2]["checks"] = [],
  ): Promise<void> {
    const { coverage, violated, number } = this.#options;
    const result = await databases.write(DATABASE, 0, { checks, mutations }, { timeoutMs: TIMEOUT_MS });
    if (result.kind === "databaseWriteFailed") violated(`a sum of d${number} failed: ${result.reason}`);
    if (result.kind === "databaseChecksFailed") coverage.count("databaseChecksFailed");
    if (result.kind !== "databaseWritten") return;
    coverage.count("databaseWrites");
    this.#acknowledged.add(receipt);
    if (result.revision <= this.#lastRevision) {
      violated(`revision ${result.revision} of a write of d${number} follows ${this.#lastRevision}`);
    }
    this.#lastRevision = result.revision;
  }

  /** Compares the counters with the receipts, all at one revision. */
  async #read(databases: DatabaseClient): Promise<void> {
    const { random, coverage, violated, number } = this.#options;
    const consistency = random.chance(0.3) ? "stale" : "linearizable";
    const expected = new Set(this.#acknowledged);
    const counters = [...COUNTERS, GUARDED];
    const ranges = [
      ...counters.map(pointOf),
      ...counters.map((counter) => ({
        start: bytes(`receipts/${counter}/`),
        end: bytes(`receipts/${counter}0`),
        limit: 1_000,
        reverse: random.chance(0.5),
      })),
    ];
    const { ranges: found, revision } = await databases.read(DATABASE, ranges, { consistency });
    coverage.count("databaseReads");
    for (const [position, counter] of counters.entries()) {
      const receipts = found[counters.length + position] ?? [];
      const total = receipts.reduce((sum: bigint, { value }: KeyValue) => sum + u64Of(value), 0n);
      const [entry] = found[position] ?? [];
      const value = entry === undefined ? 0n : u64Of(entry.value);
      if (value !== total) {
        violated(
          `d${number} reads ${counter} as ${value} at revision ${revision}; its receipts make ${total}`,
        );
      }
      for (const { key } of receipts) expected.delete(textOf(key));
    }
    if (consistency === "linearizable" && expected.size > 0) {
      violated(`d${number} does not read the acknowledged write ${[...expected][0]} at revision ${revision}`);
    }
  }

  #nextReceipt(counter: string): string {
    this.#writes += 1;
    return `receipts/${counter}/${this.#options.number}-${this.#writes}`;
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}

function pointOf(key: string): Parameters<DatabaseClient["read"]>[1][number] {
  return { start: bytes(key), end: bytes(`${key}\0`), limit: 1, reverse: false };
}

function set(key: string, value: Uint8Array): DatabaseMutation {
  return { kind: "set", key: bytes(key), value, expiresAtMs: null, versionstampedKey: false };
}
