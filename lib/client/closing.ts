/**
 * That a client was closed, for everything that waits. An AbortSignal looks through all its listeners whenever one
 * comes or goes, which thousands of waiting calls would feel; here that costs the same however many there are.
 */

/** Open until it is closed, once and for all. */
export class Closing {
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  /** Whether the client was closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Calls `callback` at the closing, which is yet to come, unless it is removed before. */
  add(callback: () => void): void {
    this.#waiting.add(callback);
  }

  /** Takes a callback back. */
  remove(callback: () => void): void {
    this.#waiting.delete(callback);
  }

  /** Closes; without effect when closed. */
  close(): void {
    if (this.isClosed) return;
    this.#isClosed = true;
    for (const callback of this.#waiting) callback();
    this.#waiting.clear();
  }
}
