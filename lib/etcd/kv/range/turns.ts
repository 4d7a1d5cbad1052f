/**
 * The turns of large answers, and of large sorts. An answer has up to 128 MiB, and 64 MiB are sorted for one, so a few are made
 * at once, and others wait with the little that was read before. If all of them were made at once, the node would hold a part
 * of every one, and no client would get its own in time.
 */
import type { CallContext } from "../../../client/call_context.ts";
import { withResolvers } from "../../../platform/promise.ts";
import { etcdError } from "../../rpc/status.ts";

/** Large answers at once. */
export const MAX_LARGE_ANSWERS = 3;
/** Sorts of more than a page at once. */
export const MAX_LARGE_SORTS = 2;
/** Those that wait for a turn, each with up to 5 MiB that were read before; further ones are refused at once. */
export const MAX_WAITING = 100;

/** The turns of one front end. */
export class Turns {
  readonly #max: number;
  #running = 0;
  /** The one that waits longest is the first. */
  readonly #waiting = new Set<() => void>();

  /** `max`: turns at once. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves to a function that ends the turn, called once. Rejects with EtcdError if the call ends before its turn. */
  async begin(context: CallContext): Promise<() => void> {
    if (this.#running < this.#max) {
      this.#running += 1;
      return this.#end;
    }
    if (this.#waiting.size >= MAX_WAITING) throw etcdError("tooManyRequests");
    const { promise, resolve } = withResolvers<void>();
    this.#waiting.add(resolve);
    if ((await context.waitFor(promise)).kind === "done") return this.#end;
    // A turn that was given at the same moment is passed on.
    if (!this.#waiting.delete(resolve)) this.#end();
    throw etcdError("tooManyRequests");
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
