/**
 * Long work in short slices: whoever walks the whole state lets others have their turn on the way.
 */

/** Bytes and records after which others get their turn (well under a millisecond of either). */
const SLICE_BYTES = 262_144;
const SLICE_RECORDS = 256;

/** Resolves after everything else that waits had its turn. */
export type Pause = () => Promise<void>;

/** Counts what was done since the last pause. */
export class Slices {
  readonly #pause: Pause;
  #bytes = 0;
  #records = 0;

  constructor(pause: Pause) {
    this.#pause = pause;
  }

  /** A record of so many bytes was dealt with; whether a pause is due, which the caller then awaits. */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    this.#records++;
    return this.#bytes >= SLICE_BYTES || this.#records >= SLICE_RECORDS;
  }

  /** Lets others have their turn. */
  async pause(): Promise<void> {
    await this.#pause();
    this.#bytes = 0;
    this.#records = 0;
  }
}
