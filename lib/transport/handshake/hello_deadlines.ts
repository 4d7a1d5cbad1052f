/**
 * Closes the connections that send no hello in time. They share one timer, since a timer of its own costs a connection
 * several microseconds. It runs on when no connection waits any more, so that connections in succession do not set it again
 * and again.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import { HELLO_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { FrameChannel } from "../frame_channel.ts";

/** The connections that have sent no hello yet. */
export class HelloDeadlines {
  readonly #clock: Clock;
  /** The times at which they are closed, the earliest first. */
  readonly #due = new Map<FrameChannel, number>();
  #timer: Timer | null = null;
  #hasStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a connection. */
  add(channel: FrameChannel): void {
    this.#due.set(channel, this.#clock.now() + HELLO_TIMEOUT_MS);
    if (!this.#hasStopped) this.#timer ??= this.#clock.after(HELLO_TIMEOUT_MS, this.#closeOverdue);
  }

  /** Removes a connection. */
  remove(channel: FrameChannel): void {
    this.#due.delete(channel);
  }

  /** Stops the timer for good. */
  stop(): void {
    this.#hasStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #closeOverdue = (): void => {
    this.#timer = null;
    const nowMs = this.#clock.now();
    for (const [channel, dueMs] of this.#due) {
      if (dueMs > nowMs) {
        this.#timer = this.#clock.after(dueMs - nowMs, this.#closeOverdue);
        return;
      }
      this.#due.delete(channel);
      channel.close(`no hello within ${HELLO_TIMEOUT_MS} ms`);
    }
  };
}
