/** A process's clock in virtual time, with its own speed and offset, and timers that fire a little late. */
import type { Clock, Timer } from "../../../lib/platform/clock.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import type { Process } from "./process.ts";

/** Longest delay of a timer or of the end of a turn. */
const LATE_MS = 1;
const TURN_MS = 0.2;
/** More callbacks than this at the end of one turn are an endless loop. */
const MAX_TURN_CALLBACKS = 100_000;
/** Characters of a callback's source that an error shows. */
const SHOWN_SOURCE_CHARACTERS = 120;

/** Options of a clock. */
export interface SimClockOptions {
  readonly process: Process;
  readonly random: SeededRandom;
  /** Milliseconds of the clock per millisecond of the simulation. */
  readonly speed: number;
}

/** A {@link Clock}. */
export class SimClock implements Clock {
  readonly #process: Process;
  readonly #random: SeededRandom;
  readonly #speed: number;
  #offsetMs: number;
  #atEndOfTurn: (() => void)[] = [];

  constructor({ process, random, speed }: SimClockOptions) {
    this.#process = process;
    this.#random = random;
    this.#speed = speed;
    this.#offsetMs = random.next() * 1e6;
  }

  now(): number {
    return this.#offsetMs + this.#process.scheduler.nowMs * this.#speed;
  }

  /** Sets the clock forward by this much; timers keep their times. */
  jump(byMs: number): void {
    this.#offsetMs += byMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const realMs = Math.max(0, delayMs) / this.#speed + this.#random.next() * LATE_MS;
    return this.#process.scheduler.after(realMs, this.#process, callback);
  }

  endOfTurn(callback: () => void): void {
    if (this.#atEndOfTurn.push(callback) > 1) return;
    this.#process.scheduler.after(this.#random.next() * TURN_MS, this.#process, () => this.#endTurn());
  }

  /** Runs the callbacks; those that they add run in the same pass, as with the real clock. */
  #endTurn(): void {
    const callbacks = this.#atEndOfTurn;
    try {
      for (let next = 0; next < callbacks.length; next++) {
        const callback = callbacks[next];
        if (next === MAX_TURN_CALLBACKS) throw new Error(endlessTurn(this.#process, callback));
        callback?.();
      }
    } finally {
      this.#atEndOfTurn = [];
    }
  }
}

function endlessTurn({ name }: Process, callback: (() => void) | undefined): string {
  const source = String(callback).replaceAll(/\s+/g, " ").slice(0, SHOWN_SOURCE_CHARACTERS);
  return `Cannot end a turn of ${name}: after ${MAX_TURN_CALLBACKS} callbacks there is another, ${source}`;
}
