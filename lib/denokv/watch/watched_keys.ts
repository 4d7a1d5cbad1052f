/**
 * The state of the keys of some watches: the watches of the same keys share one of these, and so one read for each change.
 *
 * Order: the events begin first, then the first state is read, linearizable, so that it contains everything that was
 * acknowledged before the request, and no change after it is missed. For an event, a state is read that is not older than
 * the event; the node that delivered it has applied it already, so that the read needs no leader. Events that arrive
 * meanwhile cost no further read. No state is kept: a receiver that could not take one gets a newer one later.
 */
import { successor } from "../../kv/keys.ts";
import { isTransient } from "../../client/retry.ts";
import type { Clock } from "../../platform/clock.ts";
import { pause, withResolvers } from "../../platform/promise.ts";
import type { DatabaseStore, StoreRange } from "../store.ts";
import { FramePace } from "./frame_pace.ts";
import { WatchedState } from "./frames.ts";

/** Time for one read. */
export const READ_TIMEOUT_MS = 2_000;
/** Pause after a read that failed. */
export const READ_PAUSE_MS = 200;
/** Receivers that are given a state in one turn of the event loop, a few milliseconds of work. */
const RECEIVERS_PER_TURN = 500;

/** The store, as watches use it. */
export type WatchedStore = Pick<DatabaseStore, "read" | "watch">;

/** A receiver of states. */
export interface StateReceiver {
  /** The revision of the last state that it was given. */
  readonly revision: number;
  /** Whether it takes a state now. */
  readonly isReady: boolean;
  /** Takes a state that is newer than its revision. */
  take(state: WatchedState): void;
  /** There are no more states. */
  end(): void;
}

/** The options of {@link WatchedKeys}. */
export interface WatchedKeysOptions {
  readonly databases: WatchedStore;
  readonly clock: Clock;
  readonly databaseId: number;
  /** The keys in the order of the request; a key may be there twice. */
  readonly keys: readonly Uint8Array[];
}

/** The keys of some watches of one database. */
export class WatchedKeys {
  readonly #options: WatchedKeysOptions;
  readonly #ranges: readonly StoreRange[];
  readonly #receivers = new Set<StateReceiver>();
  readonly #stop = new AbortController();
  readonly #started = withResolvers<void>();
  readonly #pace = new FramePace();
  /** The newest revision of an event. */
  #wanted = 0;
  #isDelivering = false;
  /** A linearizable read that has not begun, for all who have asked for one. */
  #nextRead: Promise<WatchedState> | null = null;
  /** The last one that has begun. */
  #lastRead: Promise<unknown> = Promise.resolve();

  /** Begins to watch. */
  constructor(options: WatchedKeysOptions) {
    this.#options = options;
    this.#ranges = options.keys.map((key) => ({ start: key, end: successor(key), limit: 1, reverse: false }));
    this.#started.promise.catch(() => {}); // those who wait for it get its error
    this.#watch();
  }

  /** Whether it is of no use any more: it was stopped, or has failed. */
  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Resolves once no further change is missed. Rejects with the error that ends the watch. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Reads the state of now, as a linearizable read. One read serves all who ask before it begins. */
  read(): Promise<WatchedState> {
    if (this.#nextRead !== null) return this.#nextRead;
    const next = this.#lastRead.then(() => {
      this.#nextRead = null;
      const state = this.#readState("linearizable");
      this.#lastRead = state.catch(() => {});
      return state;
    });
    this.#nextRead = next;
    return next;
  }

  /** Adds a receiver of all states after its revision. */
  add(receiver: StateReceiver): void {
    this.#receivers.add(receiver);
    this.readyAgain(receiver);
  }

  /** Removes a receiver. */
  remove(receiver: StateReceiver): void {
    this.#receivers.delete(receiver);
  }

  /** A receiver has become ready. */
  readyAgain(receiver: StateReceiver): void {
    if (this.#lacksState(receiver)) this.#deliver();
  }

  /** Ends the watch. Its receivers get no notice. */
  stop(): void {
    this.#stop.abort();
    this.#started.reject(new Error("The watch was stopped."));
  }

  async #watch(): Promise<void> {
    const { databases, databaseId, keys } = this.#options;
    const { signal } = this.#stop;
    try {
      for await (const { revision } of databases.watch(databaseId, keys, { signal })) {
        this.#wanted = Math.max(this.#wanted, revision);
        this.#started.resolve();
        this.#deliver();
      }
      this.#fail(new Error("The watch of the database ended."));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Delivers states to the receivers that lack one and are ready, at the pace of frames. Never rejects. */
  async #deliver(): Promise<void> {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && this.#receivers.values().some((receiver) => this.#lacksState(receiver))) {
      const waitMs = this.#pace.waitMs(clock.now());
      if (waitMs > 0) await pause(waitMs, { clock, signal });
      else await this.#deliverOnce();
    }
    this.#isDelivering = false;
  }

  async #deliverOnce(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    try {
      const state = await this.#readChange();
      if (signal.aborted) return;
      this.#pace.sent(clock.now(), this.#receivers.size);
      await this.#give(state);
    } catch (error) {
      if (signal.aborted) return;
      if (!isTransient(error)) return this.#fail(error);
      await pause(READ_PAUSE_MS, { clock, signal });
    }
  }

  /** Delivers a state to the receivers that are ready for it, in turns of the event loop. */
  async #give(state: WatchedState): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    let given = 0;
    for (const receiver of this.#receivers) {
      if (!receiver.isReady || receiver.revision >= state.revision) continue;
      receiver.take(state);
      if (++given % RECEIVERS_PER_TURN > 0) continue;
      await pause(0, { clock, signal });
      if (signal.aborted) return;
    }
  }

  /** Reads a state that is not older than the last event: of the node that delivered it, as a rule, else of the leader. */
  async #readChange(): Promise<WatchedState> {
    const wanted = this.#wanted;
    const state = await this.#readState("stale");
    return state.revision >= wanted ? state : await this.#readState("linearizable");
  }

  async #readState(consistency: "linearizable" | "stale"): Promise<WatchedState> {
    const { databases, databaseId } = this.#options;
    const options = { consistency, timeoutMs: READ_TIMEOUT_MS, signal: this.#stop.signal };
    const { revision, ranges } = await databases.read(databaseId, this.#ranges, options);
    return new WatchedState(revision, ranges.map(([entry]) => entry ?? null));
  }

  #lacksState({ isReady, revision }: StateReceiver): boolean {
    return isReady && revision < this.#wanted;
  }

  #fail(error: unknown): void {
    this.#started.reject(error);
    this.#stop.abort();
    for (const receiver of this.#receivers) receiver.end();
    this.#receivers.clear();
  }
}
