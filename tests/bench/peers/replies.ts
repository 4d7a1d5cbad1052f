/** Requests of one connection whose answers arrive in order. */

/** A pending request. */
interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A queue of pending requests. */
export class Replies {
  #waiting: Waiting[] = [];
  #next = 0;
  #endedBecause: string | null = null;

  /** Waits for the answer to the request that was sent last. */
  wait(): Promise<void> {
    if (this.#endedBecause !== null) return Promise.reject(new Error(this.#endedBecause));
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }

  /** Completes the oldest request; with a problem, it fails. */
  answer(problem: string | null): void {
    const waiting = this.#waiting[this.#next];
    if (waiting === undefined) throw new Error("An answer arrived without a pending request.");
    this.#next += 1;
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    }
    if (problem === null) waiting.resolve();
    else waiting.reject(new Error(problem));
  }

  /** Fails all pending and later requests. */
  end(reason: string): void {
    this.#endedBecause = reason;
    for (const { reject } of this.#waiting.slice(this.#next)) reject(new Error(reason));
    this.#waiting = [];
    this.#next = 0;
  }
}
