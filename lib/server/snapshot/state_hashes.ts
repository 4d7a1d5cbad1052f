/**
 * Hashes of this node's state. Each walks the whole state, so one is computed at a time, and all requests that come
 * meanwhile share the next, which is of a state no older than any of them. A connection that is gone gets none, and a
 * hash is given up once all connections that wait for it are gone.
 */
import type { StateRecord, StateView } from "../../kv/mod.ts";
import { SliceBudget, type YieldToEventLoop } from "../yield_to_event_loop.ts";
import { stateRecordEncoder } from "./state_codec.ts";
import { createHash } from "node:crypto";

/** A hash and the state that it is of. */
export interface StateHash {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly hash: string;
}

/** A connection that asks for a hash. */
export interface Asker {
  /** Whether it has ended. */
  readonly isGone: boolean;
  /** The hash can't be computed, for a reason that nothing foresaw: the connection is to end. */
  readonly fail: (error: unknown) => void;
}

/** What computing hashes needs. */
export interface StateHashesOptions {
  /** The state as it is now. */
  readonly view: () => StateView;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** No connection waits for the hash any more. */
class UnwantedHashError extends Error {
  override readonly name = "UnwantedHashError";
}

/** A request for a hash. */
interface Question {
  readonly asker: Asker;
  readonly answer: (answer: StateHash | null) => void;
}

/** Computes hashes. */
export class StateHashes {
  readonly #options: StateHashesOptions;
  #waiting: Question[] = [];
  #isRunning = false;
  #isStopped = false;

  constructor(options: StateHashesOptions) {
    this.#options = options;
  }

  /** Calls `answer` once, with the hash, or with null when the asker is gone or the node stops. */
  ask(asker: Asker, answer: (answer: StateHash | null) => void): void {
    this.#waiting.push({ asker, answer });
    if (!this.#isRunning) void this.#run();
  }

  /** Gives up the hash that is being computed and all that wait. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const questions = this.#waiting;
      this.#waiting = [];
      const failed = (error: unknown): null => {
        for (const { asker } of questions) asker.fail(error);
        return null;
      };
      const isWanted = (): boolean => !this.#isStopped && questions.some(({ asker }) => !asker.isGone);
      const hash = isWanted() ? await this.#compute(isWanted).catch(failed) : null;
      for (const { asker, answer } of questions) answer(asker.isGone ? null : hash);
    }
    this.#isRunning = false;
  }

  async #compute(isWanted: () => boolean): Promise<StateHash | null> {
    using view = this.#options.view();
    const { appliedIndex, revision } = view;
    const yieldToEventLoop = async (): Promise<void> => {
      await this.#options.yieldToEventLoop();
      if (!isWanted()) throw new UnwantedHashError();
    };
    try {
      return {
        appliedIndex,
        revision,
        hash: await hashState(view, { encode: stateRecordEncoder(), yieldToEventLoop }),
      };
    } catch (error) {
      if (error instanceof UnwantedHashError) return null;
      throw error;
    }
  }
}

/** What hashing takes from its surroundings. */
export interface HashStateOptions {
  /** A record's canonical bytes, from which their own end can be told (as with MessagePack). */
  readonly encode: (record: StateRecord) => Uint8Array;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** SHA-256, in hexadecimal, of the bytes of all records in their order. The event loop goes on meanwhile. */
export async function hashState(view: StateView, options: HashStateOptions): Promise<string> {
  const hash = createHash("sha256");
  const budget = new SliceBudget(options.yieldToEventLoop);
  for (const record of view.records()) {
    const bytes = options.encode(record);
    hash.update(bytes);
    if (budget.spend(bytes.length)) await budget.yield();
  }
  return hash.digest("hex");
}
