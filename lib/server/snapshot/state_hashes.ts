/**
 * Hashes of this node's state, by which replicas are compared. Each needs all of the state, so one is computed at a time,
 * and all requests that come meanwhile share the next, whose state is no older than any of them. A hash is abandoned once
 * all connections that wait for it are closed.
 */
import type { StateRecord, StateView } from "../../kv/mod.ts";
import { SliceBudget, type YieldToEventLoop } from "../yield_to_event_loop.ts";
import { stateRecordEncoder } from "./state_codec.ts";
import { createHash } from "node:crypto";

const NO_BYTES = new Uint8Array(0);

/** A hash, with the index and revision of its state. */
export interface StateHash {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly hash: string;
}

/** A connection that requests a hash. */
export interface HashRequester {
  /** Whether it is closed. */
  readonly isClosed: boolean;
  /** Ends the connection because of an unexpected error. */
  readonly fail: (error: unknown) => void;
}

/** The dependencies of hashes. */
export interface StateHashesOptions {
  /** Returns the current state. */
  readonly view: () => StateView;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** No connection waits for the hash any longer. */
class UnwantedHashError extends Error {
  override readonly name = "UnwantedHashError";
}

/** A request for a hash. */
interface Question {
  readonly requester: HashRequester;
  readonly answer: (answer: StateHash | null) => void;
}

/** The state hashes of one node. */
export class StateHashes {
  readonly #options: StateHashesOptions;
  #waiting: Question[] = [];
  #isRunning = false;
  #isStopped = false;

  constructor(options: StateHashesOptions) {
    this.#options = options;
  }

  /** Calls `answer` once, with the hash, or with null when the connection is closed or the node stops. */
  ask(requester: HashRequester, answer: (answer: StateHash | null) => void): void {
    this.#waiting.push({ requester, answer });
    if (!this.#isRunning) void this.#run();
  }

  /** Abandons the hash that is being computed and all that wait. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Computes hashes while requests wait. Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const questions = this.#waiting;
      this.#waiting = [];
      const failed = (error: unknown): null => {
        for (const { requester } of questions) requester.fail(error);
        return null;
      };
      const isWanted = (): boolean =>
        !this.#isStopped && questions.some(({ requester }) => !requester.isClosed);
      const hash = isWanted() ? await this.#compute(isWanted).catch(failed) : null;
      for (const { requester, answer } of questions) answer(requester.isClosed ? null : hash);
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

/** The dependencies of hashing. */
export interface HashStateOptions {
  /** Returns the canonical bytes of a record, which must mark their own end (as MessagePack does). */
  readonly encode: (record: StateRecord) => Uint8Array;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** Returns the SHA-256, in hexadecimal, of the bytes of all records in their order; yields to the event loop in between. */
export async function hashState(view: StateView, options: HashStateOptions): Promise<string> {
  const hash = createHash("sha256");
  const budget = new SliceBudget(options.yieldToEventLoop);
  for (const record of view.steps()) {
    const bytes = record === null ? NO_BYTES : options.encode(record);
    hash.update(bytes);
    if (budget.spend(bytes.length)) await budget.yield();
  }
  return hash.digest("hex");
}
