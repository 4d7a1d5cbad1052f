/** Wakes those who wait for their times, in order, with one timer for all of them. */
import { assert } from "../platform/assert.ts";
import type { Clock, Timer } from "../platform/clock.ts";

/** Somebody who waits. */
interface Sleeper {
  readonly dueAt: number;
  readonly wake: () => void;
}

/** Timers are set for the first who waits. Invariant: times are asked for in ascending order. */
export class Pacer {
  readonly #clock: Pick<Clock, "now" | "after">;
  #sleepers: Sleeper[] = [];
  #timer: Timer | null = null;

  /** Nobody waits yet. */
  constructor(clock: Pick<Clock, "now" | "after">) {
    this.#clock = clock;
  }

  /** Resolves at `dueAt` or as soon after it as the timers of this process allow; or when {@link wakeAll} is called. */
  until(dueAt: number): Promise<void> {
    const last = this.#sleepers.at(-1);
    assert(last === undefined || last.dueAt <= dueAt, "times are asked for in ascending order");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sleepers.push({ dueAt, wake: resolve });
    if (this.#timer === null) this.#setTimer();
    return promise;
  }

  /** Wakes everybody, due or not. */
  wakeAll(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    for (const { wake } of sleepers) wake();
  }

  #setTimer(): void {
    const [first] = this.#sleepers;
    if (first === undefined) return;
    this.#timer = this.#clock.after(Math.max(0, first.dueAt - this.#clock.now()), () => {
      this.#timer = null;
      const now = this.#clock.now();
      const waiting = this.#sleepers.findIndex(({ dueAt }) => dueAt > now);
      const due = this.#sleepers.splice(0, waiting === -1 ? this.#sleepers.length : waiting);
      for (const { wake } of due) wake();
      if (this.#timer === null) this.#setTimer();
    });
  }
}
