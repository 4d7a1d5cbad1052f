/**
 * A clock that advances only when a test moves it. Timers fire in the order of their times, at those times; the end of
 * the turn is the real one, so that promises settle as they do in production.
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

  /** Pending timers. A test that ends with any has leaked one. */
  get timerCount(): number {
    return this.#alarms.size;
  }

  /** Number of requests for the end of the turn. It stops growing once all tasks have settled. */
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

  /** Advances time; every due timer fires at its own time. Work that they start settles in later turns: see {@link settle}. */
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
   * Advances time without running timers, as for a suspended process: afterwards every due timer fires once, late.
   */
  sleep(durationMs: number): void {
    this.#nowMs += durationMs;
    for (const alarm of [...this.#alarms]) {
      if (alarm.atMs > this.#nowMs || !this.#alarms.delete(alarm)) continue;
      alarm.callback();
    }
  }

  /** Advances time within a callback, which takes `durationMs`: timers that become due fire at the next {@link sleep}. */
  work(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  #earliest(): Alarm | null {
    let earliest: Alarm | null = null;
    for (const alarm of this.#alarms) {
      if (earliest === null || alarm.atMs < earliest.atMs) earliest = alarm;
    }
    return earliest;
  }
}

/** Waits for some turns of the event loop: enough for an exchange of a few messages in memory. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise<void>((resolve) => void setImmediate(() => resolve()));
  }
}
