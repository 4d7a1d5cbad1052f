/**
 * Reads the history for the watches of one stream that are behind, one page at a time and only while the client takes what
 * it is sent: so a client that does not read costs one page, and no other client waits for it.
 */
import { pause } from "../../platform/promise.ts";
import type { Clock } from "../../platform/clock.ts";
import type { PageSlots } from "./page_slots.ts";
import type { StreamWatch } from "./stream_watch.ts";

/** Pause after the source of a watch has failed: another node, or an election, takes a moment. */
const FAILURE_PAUSE_MS = 100;

/** Options of {@link CatchUp}. */
export interface CatchUpOptions {
  readonly clock: Clock;
  readonly slots: PageSlots;
  /** Ends the reading. */
  readonly signal: AbortSignal;
  /** Resolves once the client takes more. */
  readonly whenWritable: () => Promise<void>;
  /** Repeats a call until it succeeds, or fails for a reason that does not pass. */
  readonly repeat: <T>(call: () => Promise<T>) => Promise<T>;
  /** A watch cannot go on. */
  readonly failed: (watch: StreamWatch, error: unknown) => void;
}

/** The watches of a stream that are behind. */
export class CatchUp {
  readonly #options: CatchUpOptions;
  readonly #behind = new Set<StreamWatch>();
  #isFailed = false;
  #isRunning = false;

  /** No watch is behind. */
  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /** Adds a watch, which is removed once it is level. */
  add(watch: StreamWatch, { isFailed }: { readonly isFailed: boolean }): void {
    this.#behind.add(watch);
    this.#isFailed ||= isFailed;
    if (!this.#isRunning) void this.#run();
  }

  /** Removes a watch that was ended. */
  remove(watch: StreamWatch): void {
    this.#behind.delete(watch);
  }

  /** Reads until all watches are level. Never rejects. */
  async #run(): Promise<void> {
    const { clock, signal, whenWritable } = this.#options;
    this.#isRunning = true;
    while (!signal.aborted && this.#behind.size > 0) {
      if (this.#isFailed) {
        this.#isFailed = false;
        await pause(FAILURE_PAUSE_MS, { clock, signal });
      }
      await whenWritable();
      for (const watch of this.#behind) {
        if (!signal.aborted) await this.#readPage(watch);
        break;
      }
    }
    this.#isRunning = false;
  }

  async #readPage(watch: StreamWatch): Promise<void> {
    const { slots, signal, repeat, failed } = this.#options;
    this.#behind.delete(watch);
    if (!await slots.enter(signal)) return;
    try {
      const state = await repeat(() => watch.catchUp());
      if (state === "behind") this.#behind.add(watch);
    } catch (error) {
      if (!watch.isEnded && !signal.aborted) failed(watch, error);
    } finally {
      slots.leave();
    }
  }
}
