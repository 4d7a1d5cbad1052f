/**
 * Lets sessions grow old. The store's only clock is the log: the leader tells it now and then how much time has
 * passed on the leader's own monotonic clock. A wrong clock makes sessions expire early or late, never differently
 * on two nodes, and never makes a write apply twice.
 */
import { MAX_ELAPSED_MS } from "../kv/mod.ts";
import type { Clock, Timer } from "../net/clock.ts";
import { encodeCommand } from "../net/command_codec.ts";

/** What the clock asks and tells. */
export interface SessionClockOptions {
  readonly clock: Clock;
  /** Whether this node leads and there are sessions that could expire. */
  readonly isNeeded: () => boolean;
  /** Proposes an entry; whether it is accepted does not matter. */
  readonly propose: (command: Uint8Array) => void;
}

/** Proposes `expireSessions` while this node leads. */
export class SessionClock {
  readonly #options: SessionClockOptions;
  #timer: Timer | null = null;

  constructor(options: SessionClockOptions) {
    this.#options = options;
  }

  /** Begins to count. */
  start(): void {
    const { clock, isNeeded, propose } = this.#options;
    const before = clock.now();
    this.#timer = clock.after(MAX_ELAPSED_MS, () => {
      const elapsedMs = Math.min(MAX_ELAPSED_MS, Math.floor(clock.now() - before));
      if (isNeeded()) propose(encodeCommand({ kind: "expireSessions", elapsedMs }));
      this.start();
    });
  }

  /** Ends counting. */
  stop(): void {
    this.#timer?.cancel();
  }
}
