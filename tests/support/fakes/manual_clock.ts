/**
 * A clock that stands still until a test moves it. Timers fire in the order of their times, at those times; the end
 * of the turn is the real one, so that promises settle as they do in production.
 */
import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../../../lib/platform/clock.ts";

interface Alarm {
  readonly atMs: number;
  readonly callback: () => void;
}

/** A {@link Clock} moved by hand. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #turnEnds = 0;
  /** In the order in which they were set. */
  readonly #alarms = new Set<Alarm>();

  /** Timers that wait. A test that ends with any has left something behind. */
  get timerCount(): number {
    return this.#alarms.size;
  }

  /** How often the end of the turn was asked for. It stands still once all has come to rest. */
  get turnEnds(): number {
    return this.#turnEnds;
  }

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const alarm = { atMs: this.#nowMs + delayMs, callback };
    this.#alarms.add(alarm);
    return { cancel: () => void this.#alarms.delete(alarm) };
  }

  endOfTurn(callback: () => void): void {
    this.#turnEnds += 1;
    setImmediate(callback);
  }

  /** Moves time on; every timer due fires at its own time. What they start settles in later turns: see {@link settle}. */
  advance(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    let next = this.#earliest();
    while (next !== null && next.atMs <= untilMs) {
      this.#nowMs = next.atMs;
      this.#alarms.delete(next);
      next.callback();
      next = this.#earliest();
    }
    this.#nowMs = untilMs;
  }

  /**
   * Time moves on while nothing runs, as for a process that was stopped: afterwards every timer due fires once, late.
   */
  sleep(durationMs: number): void {
    this.#nowMs += durationMs;
    for (const alarm of [...this.#alarms]) {
      if (alarm.atMs > this.#nowMs || !this.#alarms.delete(alarm)) continue;
      alarm.callback();
    }
  }

  #earliest(): Alarm | null {
    let earliest: Alarm | null = null;
    for (const alarm of this.#alarms) {
      if (earliest === null || alarm.atMs < earliest.atMs) earliest = alarm;
    }
    return earliest;
  }
}

/** Lets some turns of the event loop pass: enough for a conversation of a few messages in memory to come to rest. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise<void>((resolve) => void setImmediate(() => resolve()));
  }
}
