/** Work that is done one at a time, such as hashes of passwords: each takes 32 MiB and a tenth of a second of a core. */
import { withResolvers } from "../../platform/promise.ts";
import { etcdError } from "../rpc/status.ts";

/** Actions that may wait. */
export const MAX_WAITING = 16;

/** Runs actions one after the other. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;

  /** Runs an action in its turn. Rejects with EtcdError if too many wait. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isTaken) {
      if (this.#waiting.length >= MAX_WAITING) throw etcdError("tooManyRequests");
      const { promise, resolve } = withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    this.#isTaken = true;
    try {
      return await action();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#isTaken = false;
      else next();
    }
  }
}
