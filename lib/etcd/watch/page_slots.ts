/** Bounds the pages of events that a front end reads at a time, and so the memory that they take. */
import { withResolvers } from "../../platform/promise.ts";

/** Pages at a time. */
export const MAX_PAGES = 16;

/** The places of the pages that are being read. Who waits is served in order; at most one page of each stream waits. */
export class PageSlots {
  #free = MAX_PAGES;
  readonly #waiting = new Set<() => void>();

  /** Resolves to true once a page may be read, after which {@link leave} is called; to false if `signal` ends the wait. */
  async enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    const { promise, resolve } = withResolvers<boolean>();
    const onFree = (): void => resolve(true);
    const onAbort = (): void => {
      if (this.#waiting.delete(onFree)) resolve(false);
    };
    this.#waiting.add(onFree);
    signal.addEventListener("abort", onAbort);
    const hasEntered = await promise;
    signal.removeEventListener("abort", onAbort);
    return hasEntered;
  }

  /** A page was read: the next one may be. */
  leave(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      return next();
    }
    this.#free++;
  }
}
