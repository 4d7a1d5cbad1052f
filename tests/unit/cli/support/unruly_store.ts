/**
 * A store in memory that takes time to answer, answers late or never, and, if a test wants that,
 * violates linearizability now and then. Each call advances the clock.
 */
import { setImmediate } from "node:timers";
import { NoLeaderError, TimeoutError } from "../../../../lib/client/errors.ts";
import type { Bytes, CallOptions, PutResult, ReadOptions } from "../../../../lib/client/types.ts";
import type { KeyValue } from "../../../../lib/kv/command.ts";
import type { Random } from "../../../../lib/platform/clock.ts";
import type { ManualClock } from "../../../support/fakes/manual_clock.ts";
import { FakeStore } from "./fake_store.ts";

/** The violations that the store can cause. */
export const BREACHES = ["lostWrite", "staleRead", "doubledWrite"] as const;
/** One of {@link BREACHES}. */
export type Breach = typeof BREACHES[number];

/** How the store behaves. */
export interface UnrulyOptions {
  readonly clock: ManualClock;
  readonly random: Random;
  /** Default null: none. */
  readonly breach?: Breach | null;
  /** Share of calls that fail: a third of the puts among them happen later, or have happened. Default 0. */
  readonly failing?: number;
}

/** One call in this many is a violation. */
const BREACH_EVERY = 20;
const CALL_MS = 2;

/** The store. */
export class UnrulyStore extends FakeStore {
  readonly #options: UnrulyOptions;
  readonly #old = new Map<string, KeyValue | null>();
  #calls = 0;

  constructor(options: UnrulyOptions) {
    super();
    this.branchingResult = null;
    this.#options = options;
    this.before = async ({ signal }): Promise<void> => {
      await this.#pass();
      if (signal?.aborted === true) throw new TimeoutError("aborted", { outcome: "not-applied" });
    };
  }

  override async put(key: Bytes, value: Bytes, options: CallOptions = {}): Promise<PutResult> {
    this.#old.set(String(key), await super.get(key));
    if (this.#fails()) return await this.#failingPut(key, value);
    if (this.#breaks("lostWrite")) {
      await this.#pass();
      return { revision: this.revision += 1 };
    }
    const result = await super.put(key, value, options);
    if (this.#breaks("doubledWrite")) await super.put(key, value);
    return result;
  }

  override async get(key: Bytes, options: ReadOptions = {}): Promise<KeyValue | null> {
    if (this.#fails()) throw new NoLeaderError("no leader");
    const old = this.#old.get(String(key));
    if (old !== undefined && this.#breaks("staleRead")) {
      await this.#pass();
      return old;
    }
    return await super.get(key, options);
  }

  async #failingPut(key: Bytes, value: Bytes): Promise<never> {
    const chance = this.#options.random();
    if (chance < 0.3) throw new NoLeaderError("no leader");
    if (chance < 0.6) void super.put(key, value);
    await this.#pass();
    throw new TimeoutError("no answer", { outcome: "unknown" });
  }

  #fails(): boolean {
    const { random, failing = 0 } = this.#options;
    return random() < failing;
  }

  #breaks(breach: Breach): boolean {
    return this.#options.breach === breach && (this.#calls += 1) % BREACH_EVERY === 0;
  }

  /** Some calls of other clients come first, and time passes. */
  async #pass(): Promise<void> {
    const turns = 1 + Math.floor(this.#options.random() * 3);
    for (let turn = 0; turn < turns; turn++) {
      await new Promise<void>((resolve) => void setImmediate(() => resolve()));
    }
    this.#options.clock.advance(this.#options.random() * CALL_MS);
  }
}
