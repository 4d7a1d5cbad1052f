/**
 * Virtual time: everything that happens in a simulation is an event in one queue, in one order.
 *
 * Between two events all promises that can settle do settle: the queue goes on in a fresh turn of the real event
 * loop, which begins only when no microtask is left. So the order of events is the order of the simulation, and it depends
 * on nothing but the seed.
 */
import { setImmediate } from "node:timers";
import { crc32 } from "node:zlib";
import type { Process } from "./process.ts";

/** Something that will happen. */
interface Event {
  atMs: number;
  /** Events of one instant happen in the order in which they were scheduled. */
  readonly order: number;
  /** Whose event it is: it is dropped when that process has died, and waits while it is paused. Null: the simulation's. */
  readonly owner: Process | null;
  action: (() => void) | null;
}

/** Takes an event back. */
export interface Scheduled {
  /** Without effect once it happened. */
  cancel(): void;
}

const FNV_PRIME = 0x01000193;

/** The queue of everything that will happen. */
export class Scheduler {
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  #hash = 0x811c9dc5;
  #current: Process | null = null;
  #failed: (error: unknown) => void = (error) => {
    throw error;
  };

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that happened. */
  get steps(): number {
    return this.#steps;
  }

  /** The process whose code runs. */
  get current(): Process | null {
    return this.#current;
  }

  /** A number that two runs share exactly when the same things happened in both, as far as they were passed to {@link note}. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Called with what an event throws: an exception that a process did not catch. */
  set onFailed(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Puts a number into {@link hash}. */
  note(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), FNV_PRIME);
    this.#hash = Math.imul(this.#hash ^ ((value / 2 ** 32) | 0), FNV_PRIME);
  }

  /** Puts bytes into {@link hash}: what is sent, what is written. */
  noteBytes(bytes: Uint8Array): void {
    this.note(crc32(bytes));
  }

  /** `action` happens after `delayMs`. */
  after(delayMs: number, owner: Process | null, action: () => void): Scheduled {
    this.#order += 1;
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, owner, action };
    this.#push(event);
    return { cancel: () => event.action = null };
  }

  /** Events of a process that have yet to happen: its timers, and what its devices owe it. */
  pendingOf(process: Process): number {
    return this.#heap.filter(({ owner, action }) => owner === process && action !== null).length;
  }

  /** Lets things happen until `isOver`, asked after each event; false when `untilMs` came first. */
  async run(untilMs: number, isOver: () => boolean): Promise<boolean> {
    while (!isOver()) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return isOver();
      }
      this.#pop();
      this.#nowMs = event.atMs;
      const freeAtMs = event.owner?.busyUntilMs ?? 0;
      if (freeAtMs > event.atMs) {
        // The same order, so that what waits for a busy process happens in the order in which it would have.
        event.atMs = freeAtMs;
        this.#push(event);
        continue;
      }
      // Where no process ran, no promise can have settled: half of all events are bytes in flight.
      if (this.#happens(event) && this.#current !== null) {
        await new Promise<void>((resolve) => void setImmediate(resolve));
      }
      this.#current = null;
    }
    return true;
  }

  /** Runs code of `process` within the present event; what it awaits goes on in events of its own. */
  enter(process: Process, action: () => void): void {
    if (this.#current !== null && this.#current !== process) {
      this.after(0, process, action);
      return;
    }
    this.#current = process;
    action();
  }

  #happens(event: Event): boolean {
    const { owner, action, atMs, order } = event;
    if (action === null || owner?.isDead === true) return false;
    if (owner?.isPaused === true) {
      // Taken back meanwhile, it does not happen later either.
      owner.hold(() => event.action?.());
      return false;
    }
    this.#steps += 1;
    this.note(atMs * 1024);
    this.note(order);
    this.#current = owner;
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let position = heap.push(event) - 1;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, event)) break;
      heap[position] = above;
      position = parent;
    }
    heap[position] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let position = 0;
    while (true) {
      let child = 2 * position + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child += 1;
      }
      if (isBefore(last, least)) break;
      heap[position] = least;
      position = child;
    }
    heap[position] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
