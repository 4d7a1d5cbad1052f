/**
 * Bounds the calls that a client has in flight. Calls beyond the bound wait in order; calls beyond a second bound are
 * refused with {@link BusyError} before they take memory.
 */
import { assert } from "../platform/assert.ts";
import { withResolvers } from "../platform/promise.ts";
import { BusyError } from "./errors.ts";

/** Calls in flight. */
export const MAX_IN_FLIGHT = 1_024;
/** Bytes of keys and values of the calls in flight; a single call is always admitted. */
export const MAX_IN_FLIGHT_BYTES = 67_108_864;
/** Calls that wait for admission. */
export const MAX_WAITING_CALLS = 16_384;
/** Bytes of keys and values of the calls that wait. */
export const MAX_WAITING_BYTES = 268_435_456;

/** A request of a call for admission. */
export interface AdmissionRequest<T> {
  /** Bytes of its keys and values. */
  readonly bytes: number;
  /** Called when there is capacity; takes what else the call needs, or returns null to go on waiting. */
  readonly take: () => T | null;
}

/** A call that waits. */
interface Waiter {
  readonly bytes: number;
  /** Admits the call if it can be. */
  readonly tryEnter: () => boolean;
}

/** A call in the queue. */
export interface QueuedCall<T> {
  /** Resolves when the call is admitted. Never rejects. */
  readonly entered: Promise<T>;
  /** Leaves the queue. Returns what the call took if it was admitted just before (it must leave then), else null. */
  readonly cancel: () => T | null;
}

/** The admission of the calls of one client. */
export class CallAdmission {
  readonly #waiters = new Set<Waiter>();
  #waitingBytes = 0;
  #inFlight = 0;
  #inFlightBytes = 0;

  /** Admits the call at once; null when it must wait (others wait, or there is no capacity). */
  tryEnter<T>(request: AdmissionRequest<T>): T | null {
    return this.#waiters.size > 0 ? null : this.#enter(request);
  }

  /** Queues the call behind those that came before. Throws {@link BusyError} when too many wait. */
  wait<T>(request: AdmissionRequest<T>): QueuedCall<T> {
    const { bytes } = request;
    if (this.#waiters.size >= MAX_WAITING_CALLS || this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      throw new BusyError(
        `Cannot take another call: ${this.#waiters.size} calls with ${this.#waitingBytes} bytes already wait. ` +
          "Await some before starting more.",
      );
    }
    const { promise, resolve } = withResolvers<T>();
    let taken: T | null = null;
    const waiter: Waiter = {
      bytes,
      tryEnter: () => {
        taken = this.#enter(request);
        if (taken !== null) resolve(taken);
        return taken !== null;
      },
    };
    const cancel = (): T | null => {
      this.#remove(waiter);
      return taken;
    };
    this.#waiters.add(waiter);
    this.#waitingBytes += bytes;
    return { entered: promise, cancel };
  }

  /** Ends a call with so many bytes, and admits calls that wait. */
  leave(bytes: number): void {
    assert(this.#inFlight > 0 && this.#inFlightBytes >= bytes, "only a call that entered can leave");
    this.#inFlight--;
    this.#inFlightBytes -= bytes;
    for (const waiter of this.#waiters) {
      if (!waiter.tryEnter()) break;
      this.#remove(waiter);
    }
  }

  #enter<T>({ bytes, take }: AdmissionRequest<T>): T | null {
    if (this.#inFlight >= MAX_IN_FLIGHT) return null;
    if (this.#inFlight > 0 && this.#inFlightBytes + bytes > MAX_IN_FLIGHT_BYTES) return null;
    const taken = take();
    if (taken === null) return null;
    this.#inFlight++;
    this.#inFlightBytes += bytes;
    return taken;
  }

  #remove(waiter: Waiter): void {
    if (this.#waiters.delete(waiter)) this.#waitingBytes -= waiter.bytes;
  }
}
