/**
 * A process of the simulation: code that can be killed or stopped between any two events.
 *
 * All that it waits for (timers, sockets, syncs) resumes it through {@link Process.wake} or its own events. After its
 * death none of that happens: its promises stay pending, and nothing observes them.
 */
import type { Scheduler } from "./scheduler.ts";

/** One run of a program. A restart is another process. */
export class Process {
  /** For traces: `n1`, `c2`. */
  readonly name: string;
  /** The machine's address. */
  readonly host: string;
  readonly scheduler: Scheduler;
  #isDead = false;
  #isPaused = false;
  #held: (() => void)[] = [];
  #busyUntilMs = 0;
  /** Called once at the death of the process, for what the kernel does then. */
  readonly atDeath: (() => void)[] = [];

  constructor(name: string, { host, scheduler }: { readonly host: string; readonly scheduler: Scheduler }) {
    this.name = name;
    this.host = host;
    this.scheduler = scheduler;
  }

  /** Whether it was killed, or has ended. */
  get isDead(): boolean {
    return this.#isDead;
  }

  /** Whether it is paused. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Ends it at once, in the middle of its work. */
  kill(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#held = [];
    for (const action of this.atDeath.splice(0)) action();
  }

  /** Pauses it, as by SIGSTOP: events of the meantime happen when it resumes. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Resumes it; all delayed events happen at once. */
  resume(): void {
    this.#isPaused = false;
    for (const action of this.#held.splice(0)) this.scheduler.after(0, this, action);
  }

  /** Delays an action until it resumes. */
  hold(action: () => void): void {
    this.#held.push(action);
  }

  /** Time until which it computes and no other event reaches it. */
  get busyUntilMs(): number {
    return this.#busyUntilMs;
  }

  /** Keeps it busy for a while: its other events wait as long, as for a long turn of an event loop. */
  spend(durationMs: number): void {
    this.#busyUntilMs = Math.max(this.#busyUntilMs, this.scheduler.nowMs) + durationMs;
  }

  /** Runs code of the process, now or once it can run; never when it is dead. */
  wake(action: () => void): void {
    if (this.#isDead) return;
    const { scheduler } = this;
    if (this.#isPaused) this.hold(action);
    else if (this.#busyUntilMs > scheduler.nowMs) {
      scheduler.after(this.#busyUntilMs - scheduler.nowMs, this, action);
    } else scheduler.enter(this, action);
  }
}
