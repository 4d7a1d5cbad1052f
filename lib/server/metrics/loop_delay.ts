/** Finds out how late timers are: whatever keeps the event loop busy keeps everybody else waiting. */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { DoublingHistogram } from "./histogram.ts";

/** How often it looks. */
const INTERVAL_MS = 100;

/** Counts by how many microseconds a timer came late, again and again. */
export class LoopDelay {
  readonly #clock: Clock;
  readonly #micros: DoublingHistogram;
  #timer: Timer;

  /** Begins to look. */
  constructor(clock: Clock, micros: DoublingHistogram) {
    this.#clock = clock;
    this.#micros = micros;
    this.#timer = this.#watch();
  }

  /** Ends it. */
  stop(): void {
    this.#timer.cancel();
  }

  #watch(): Timer {
    const dueMs = this.#clock.now() + INTERVAL_MS;
    return this.#clock.after(INTERVAL_MS, () => {
      const lateMs = Math.max(0, this.#clock.now() - dueMs);
      this.#micros.record(Math.round(lateMs * 1_000));
      this.#timer = this.#watch();
    });
  }
}
