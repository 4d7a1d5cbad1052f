/**
 * The limits of a call: its deadline, its caller's signal, the closing of the client. A call waits only through its
 * context, so no timer and no listener outlives it.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { withResolvers } from "../platform/promise.ts";

/** Timers may fire early by less than this: a call with less time left has reached its deadline. */
export const TIMER_TICK_MS = 1;

/** Why a call stopped waiting. */
export type StopReason = "deadline" | "aborted" | "closed";

/** The end of a wait. */
export type Waited<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "stopped"; readonly reason: StopReason };

/** The parts of a context. */
export interface CallContextOptions {
  readonly clock: Clock;
  /** From now, retries included. */
  readonly timeoutMs: number;
  /** The caller's. */
  readonly signal: AbortSignal | null;
  /** The client's. */
  readonly closing: CloseSignal;
  /** From now: the time after which a call that has certainly changed nothing is not tried again. Default: `timeoutMs`. */
  readonly patienceMs?: number;
}

/** The limits of one call. */
export class CallContext {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | null;
  readonly #closing: CloseSignal;
  readonly #deadline: number;
  readonly #patientUntil: number;

  /** The call begins now. */
  constructor({ clock, timeoutMs, signal, closing, patienceMs = timeoutMs }: CallContextOptions) {
    this.clock = clock;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.#closing = closing;
    const now = clock.now();
    this.#deadline = now + timeoutMs;
    this.#patientUntil = now + patienceMs;
  }

  /** Milliseconds until the deadline; 0 or less when it has passed. */
  get remainingMs(): number {
    return this.remainingMsAt(this.clock.now());
  }

  /** Whether the call is not tried again after a failure that has certainly changed nothing. */
  get isOutOfPatience(): boolean {
    return this.clock.now() >= this.#patientUntil;
  }

  /** Why the call must end now, or null while it may go on. */
  get stopped(): StopReason | null {
    return this.stoppedAt(this.clock.now());
  }

  /** {@link remainingMs} at a time that the caller has just read: reading the clock takes 0.1 µs or more. */
  remainingMsAt(now: number): number {
    return this.#deadline - now;
  }

  /** {@link stopped} at a time that the caller has just read. */
  stoppedAt(now: number): StopReason | null {
    if (this.#closing.isClosed) return "closed";
    if (this.signal !== null && this.signal.aborted) return "aborted";
    return this.remainingMsAt(now) < TIMER_TICK_MS ? "deadline" : null;
  }

  /** Waits for `promise` until the call must end. Rejects when the promise does. */
  async waitFor<T>(promise: Promise<T>): Promise<Waited<T>> {
    const stop = withResolvers<Waited<T>>();
    const release = this.#onStop((reason) => stop.resolve({ kind: "stopped", reason }));
    try {
      return await Promise.race([
        promise.then((value): Waited<T> => ({ kind: "done", value })),
        stop.promise,
      ]);
    } finally {
      release();
    }
  }

  /** Waits for `delayMs`, or until the call must end. */
  async pause(delayMs: number): Promise<void> {
    await this.within(delayMs).untilStopped();
  }

  /** Returns the limits of a part of the call that begins now and takes at most `timeoutMs`. */
  within(timeoutMs: number): CallContext {
    return new CallContext({
      clock: this.clock,
      timeoutMs: Math.min(timeoutMs, this.remainingMs),
      signal: this.signal,
      closing: this.#closing,
    });
  }

  /** Waits until the call must end. */
  async untilStopped(): Promise<StopReason> {
    const { promise, resolve } = withResolvers<StopReason>();
    const release = this.#onStop(resolve);
    const reason = await promise;
    release();
    return reason;
  }

  /** Calls `stop` once when the call must end; the returned function releases timer and listeners. */
  #onStop(stop: (reason: StopReason) => void): () => void {
    const reason = this.stopped;
    if (reason !== null) {
      stop(reason);
      return () => {};
    }
    const onSignal = (): void => stop("aborted");
    const onClosing = (): void => stop("closed");
    const timer: Timer = this.clock.after(Math.max(0, this.remainingMs), () => stop("deadline"));
    this.signal?.addEventListener("abort", onSignal);
    this.#closing.add(onClosing);
    return () => {
      timer.cancel();
      this.signal?.removeEventListener("abort", onSignal);
      this.#closing.remove(onClosing);
    };
  }
}

/**
 * Tells everything that waits that the client was closed. An AbortSignal looks through all its listeners whenever one
 * is added or removed, which thousands of waiting calls would make slow; here that cost is constant.
 */
export class CloseSignal {
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  /** Whether the client was closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Calls `callback` when the client is closed, unless it is removed before. */
  add(callback: () => void): void {
    this.#waiting.add(callback);
  }

  /** Removes a callback. */
  remove(callback: () => void): void {
    this.#waiting.delete(callback);
  }

  /** Calls every callback, once; later calls have no effect. */
  close(): void {
    if (this.isClosed) return;
    this.#isClosed = true;
    for (const callback of this.#waiting) callback();
    this.#waiting.clear();
  }
}
