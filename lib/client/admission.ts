/**
 * How much a client has under way at once. What comes beyond it waits in order; what comes beyond that is refused
 * with {@link BusyError} before it takes memory.
 */
import { assert } from "../platform/assert.ts";
import { withResolvers } from "../platform/promise.ts";
import { BusyError } from "./errors.ts";

/** Calls under way. */
export const MAX_IN_FLIGHT = 1_024;
/** Bytes of keys and values of the calls under way; a single call may always go. */
export const MAX_IN_FLIGHT_BYTES = 67_108_864;
/** Calls that wait for a place. */
export const MAX_WAITING_CALLS = 16_384;
/** Bytes of keys and values of the calls that wait. */
export const MAX_WAITING_BYTES = 268_435_456;

/** What a call asks for. */
export interface AdmissionRequest<T> {
  /** Keys and values that it holds. */
  readonly bytes: number;
  /** Asked when there is a place; takes what else the call needs, or gives null to go on waiting. */
  readonly take: () => T | null;
}

/** A call that waits. */
interface Waiter {
  readonly bytes: number;
  /** Takes the place if it can. */
  readonly tryEnter: () => boolean;
}

/** A place in the queue. */
export interface QueuedCall<T> {
  /** Resolves when the call may go. Never rejects. */
  readonly entered: Promise<T>;
  /** Leaves the queue. Gives what the call took if it had entered just before (it must then leave), else null. */
  readonly cancel: () => T | null;
}

/** The door that every call goes through. */
export class CallAdmission {
  readonly #waiters = new Set<Waiter>();
  #waitingBytes = 0;
  #inFlight = 0;
  #inFlightBytes = 0;

  /** Enters at once, or null when the call must wait (others wait, or there is no place). */
  tryEnter<T>(request: AdmissionRequest<T>): T | null {
    return this.#waiters.size > 0 ? null : this.#enter(request);
  }

  /** Waits behind those who came before. Throws {@link BusyError} when too many do. */
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

  /** The call with so many bytes has ended: gives its place to those who wait. */
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
