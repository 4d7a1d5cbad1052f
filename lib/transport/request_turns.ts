/**
 * Limits the requests of each turn of the event loop, so that clients with many requests delay neither other clients nor
 * the messages between nodes. A read may return without a turn of the loop if bytes wait; without this limit a connection
 * that is never empty would be served for as long as its client sends.
 *
 * A turn has MAX_REQUESTS_A_TURN requests. Beyond that connections wait in order, each for REQUESTS_A_GO requests, and
 * continue after a timer, before which all other input was handled.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { MAX_REQUESTS_A_TURN, REQUESTS_A_GO } from "../protocol/limits.ts";

/** The request turns of one listener. */
export class RequestTurns {
  readonly #clock: Clock;
  readonly #waiting = new Set<(requests: number) => void>();
  #left = MAX_REQUESTS_A_TURN;
  #isTurnOpen = false;
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more request may be handled in this turn, without waiting. */
  take(): boolean {
    if (this.#left <= 0 || this.#waiting.size > 0) return false;
    this.#spend(1);
    return true;
  }

  /** Calls `go` once, in a later turn, with the number of requests that may be handled. */
  wait(go: (requests: number) => void): void {
    this.#waiting.add(go);
    this.#timer ??= this.#clock.after(0, this.#goOn);
  }

  /** Removes `go` from the queue, since its connection is closed. */
  leave(go: (requests: number) => void): void {
    this.#waiting.delete(go);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #spend(requests: number): void {
    this.#left -= requests;
    if (this.#isTurnOpen) return;
    this.#isTurnOpen = true;
    this.#clock.endOfTurn(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#isTurnOpen = false;
    this.#left = MAX_REQUESTS_A_TURN;
  };

  readonly #goOn = (): void => {
    this.#timer = null;
    this.#left = MAX_REQUESTS_A_TURN;
    for (const go of this.#waiting) {
      if (this.#left <= 0) break;
      this.#spend(REQUESTS_A_GO);
      this.#waiting.delete(go);
      go(REQUESTS_A_GO);
    }
    if (this.#waiting.size > 0) this.#timer ??= this.#clock.after(0, this.#goOn);
  };
}
