/** Long work in short slices, so that walking the whole state does not hold up the requests of clients. */

/** Bytes and records after which the event loop gets a turn; either takes well under a millisecond. */
const SLICE_BYTES = 262_144;
const SLICE_RECORDS = 256;

/** Resolves after the event loop has processed what was waiting. */
export type YieldToEventLoop = () => Promise<void>;

/** The work that may still be done before the next yield. */
export class SliceBudget {
  readonly #yieldToEventLoop: YieldToEventLoop;
  #bytes = 0;
  #records = 0;

  constructor(yieldToEventLoop: YieldToEventLoop) {
    this.#yieldToEventLoop = yieldToEventLoop;
  }

  /** Counts one record of `bytes` bytes; returns whether the caller has to await {@link yield} now. */
  spend(bytes: number): boolean {
    this.#bytes += bytes;
    this.#records++;
    return this.#bytes >= SLICE_BYTES || this.#records >= SLICE_RECORDS;
  }

  /** Begins a new slice after a turn of the event loop. */
  async yield(): Promise<void> {
    await this.#yieldToEventLoop();
    this.#bytes = 0;
    this.#records = 0;
  }
}
