/**
 * The turns of large reads: those that the cluster answers by more than one page. An answer has up to 65 MB, so a few are read
 * and sent at once, and the others wait without any memory. If all of them were read at once, no client would get its answer
 * in time: each would begin again, and the node would hold a part of every answer.
 */
import type { Clock } from "../../platform/clock.ts";
import { withResolvers } from "../../platform/promise.ts";
import { WebError } from "../../web/mod.ts";
import { Deadlines } from "../deadlines.ts";

/** Large reads at once: their answers together are within what the web server holds. */
export const MAX_LARGE_READS = 3;
/** Time for which a read waits for its turn, and for which a client that receives slowly keeps one: half of the deadline. */
export const LARGE_READ_TURN_MS = 5_000;

/** The turns of one front end. */
export class LargeReads {
  readonly #deadlines: Deadlines;
  #running = 0;
  /** The one that waits longest is the first. */
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#deadlines = new Deadlines(clock, LARGE_READ_TURN_MS);
  }

  /** Resolves to a function that ends the turn, called once; rejects with the answer 503 if there is none in time. */
  async begin(): Promise<() => void> {
    if (this.#running < MAX_LARGE_READS) {
      this.#running += 1;
      return this.#end;
    }
    const { promise, resolve } = withResolvers<true>();
    const take = (): void => resolve(true);
    this.#waiting.add(take);
    if (await this.#deadlines.within(promise) !== null) return this.#end;
    // A turn that was given at the same moment is passed on.
    if (!this.#waiting.delete(take)) this.#end();
    throw new WebError(503, "This node answers as many large reads as it can. Smaller batches need no turn.");
  }

  /** Resolves with `sending`, which never rejects, but not later than a turn lasts. */
  async sent(sending: Promise<unknown>): Promise<void> {
    await this.#deadlines.within(sending);
  }

  /** Ends all waits. */
  stop(): void {
    this.#deadlines.stop();
  }

  readonly #end = (): void => {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  };
}
