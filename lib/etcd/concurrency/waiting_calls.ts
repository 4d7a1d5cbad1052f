/** The calls that wait for other clients, for hours if need be: how many there may be, and what ends them. */
import { linkedSignal } from "../../platform/promise.ts";
import type { CloseSignal } from "../../client/call_context.ts";
import type { Call } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";

/** Calls of one front end. */
export const MAX_WAITING_CALLS = 10_000;

/** The wait of one call. */
export interface Waiting {
  /** Aborted when the client has gone or the front end stops. */
  readonly signal: AbortSignal;
  /** Whether the front end stops. */
  readonly isStopping: () => boolean;
  /** As in {@link Call}. */
  readonly noteWaiting: () => void;
}

/** The waiting calls of one front end. */
export class WaitingCalls {
  readonly #closing: CloseSignal;
  #count = 0;

  /** `closing` ends them all. */
  constructor(closing: CloseSignal) {
    this.#closing = closing;
  }

  /** Runs a call that waits. It rejects with what ended its wait, if that was ended. */
  async run<T>(
    { signal: gone, noteWaiting }: Pick<Call, "signal" | "noteWaiting">,
    wait: (waiting: Waiting) => Promise<T>,
  ): Promise<T> {
    if (this.#count >= MAX_WAITING_CALLS) throw etcdError("tooManyRequests");
    const closing = this.#closing;
    const stop = new AbortController();
    const onClosing = (): void => stop.abort();
    const { signal, release } = linkedSignal([gone, stop.signal]);
    this.#count += 1;
    closing.add(onClosing);
    if (closing.isClosed) onClosing();
    try {
      return await wait({ signal, isStopping: () => closing.isClosed, noteWaiting });
    } catch (error) {
      if (!signal.aborted) throw error;
      throw closing.isClosed ? etcdError("stopped") : new EtcdError("cancelled", "the client has gone");
    } finally {
      this.#count -= 1;
      closing.remove(onClosing);
      release();
    }
  }
}
