/**
 * Virtual time: everything that happens in a simulation is an event in one queue, in one order.
 *
 * Between two events all promises that can settle do so: the next event runs in a new turn of the real event loop, which
 * begins only when no microtask is left. So the order of events depends on nothing but the seed.
 */
import { setImmediate } from "node:timers";
import { crc32 } from "node:zlib";
import type { Process } from "./process.ts";

/** A future event. */
interface Event {
  atMs: number;
  /** Events of one instant happen in the order in which they were scheduled. */
  readonly order: number;
  /** Owner of the event, which is dropped when that process has died, and waits while it is paused. Null: the simulation. */
  readonly owner: Process | null;
  action: (() => void) | null;
}

/** Handle of an event. */
export interface Scheduled {
  /** Cancels it; without effect once it has happened. */
  cancel(): void;
}

const FNV_PRIME = 0x01000193;

/** The queue of all future events. */
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

  /** Number of past events. */
  get steps(): number {
    return this.#steps;
  }

  /** The process whose code runs. */
  get current(): Process | null {
    return this.#current;
  }

  /** Hash of all values passed to {@link note}, equal for equal runs. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Called with the error of an event: an exception that a process did not catch. */
  set onFailed(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Adds a number to {@link hash}. */
  note(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), FNV_PRIME);
    this.#hash = Math.imul(this.#hash ^ ((value / 2 ** 32) | 0), FNV_PRIME);
  }

  /** Adds sent or written bytes to {@link hash}. */
  noteBytes(bytes: Uint8Array): void {
    this.note(crc32(bytes));
  }

  /** Schedules `action` after `delayMs`. */
  after(delayMs: number, owner: Process | null, action: () => void): Scheduled {
    this.#order += 1;
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, owner, action };
    this.#push(event);
    return { cancel: () => event.action = null };
  }

  /** Returns the future events of a process: its timers, and completions of its devices. */
  pendingOf(process: Process): number {
    return this.#heap.filter(({ owner, action }) => owner === process && action !== null).length;
  }

  /** Runs events until `isOver`, checked after each event, holds; returns false when `untilMs` came first. */
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
        // The same order number, so that events that wait for a busy process keep their order.
        event.atMs = freeAtMs;
        this.#push(event);
        continue;
      }
      // Without code of a process no promise can have settled: half of all events are bytes in flight.
      if (this.#happens(event) && this.#current !== null) {
        await new Promise<void>((resolve) => void setImmediate(resolve));
      }
      this.#current = null;
    }
    return true;
  }

  /** Runs code of `process` within the current event; after an await it continues in later events. */
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
      // An event that was cancelled meanwhile is dropped.
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
