/**
 * Requests are handled in turns of the event loop, so that clients that send many hold up neither the other clients nor
 * the messages between nodes. A read that finds bytes waiting may return without a turn of the loop; so without this,
 * connections that are never empty would be served for as long as their clients send.
 *
 * A turn has MAX_REQUESTS_A_TURN requests. What comes beyond them waits, the connections in the order in which they
 * came, each for REQUESTS_A_GO, and goes on after a timer, behind which everything else that arrived was handled.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { MAX_REQUESTS_A_TURN, REQUESTS_A_GO } from "../protocol/limits.ts";

/** The turns of one listener. */
export class RequestTurns {
  readonly #clock: Clock;
  readonly #waiting = new Set<(requests: number) => void>();
  #left = MAX_REQUESTS_A_TURN;
  #isTurnOpen = false;
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more request may be handled in this turn, ahead of those that wait. */
  take(): boolean {
    if (this.#left <= 0 || this.#waiting.size > 0) return false;
    this.#spend(1);
    return true;
  }

  /** Calls `go` once, in a later turn, with how many requests may be handled then. */
  wait(go: (requests: number) => void): void {
    this.#waiting.add(go);
    this.#timer ??= this.#clock.after(0, this.#goOn);
  }

  /** `go` waits no more: its connection is closed. */
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
