/**
 * One budget for all bytes that wait because the other end of a connection is slow: frames that have not left, frames of
 * which only a part has come, and requests whose answers the client does not take.
 *
 * Each connection has its own bounds (limits.ts); thousands of them together have this one. Beyond it the connection that
 * holds most is closed, and the next, until the rest fits: slow clients lose their connection, the node its memory never.
 *
 * Those whose bytes have not moved for WAITING_GRACE_MS are closed first. Otherwise many connections that hold little
 * each, and never end their frames, would have every client closed that is about to send a larger one.
 */
import { assert } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { WAITING_GRACE_MS } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";

/** What the budget is made from. */
export interface WaitingMemoryOptions {
  /** Bytes that may wait in all. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A connection that holds bytes. */
export interface MemoryHolder {
  /** The other end, for logs. */
  readonly remote: string;
  /** Closes it, which ends its share. */
  close(reason: string): void;
}

/** The budget of a process. */
export class WaitingMemory {
  readonly #options: WaitingMemoryOptions;
  readonly #shares = new Map<MemoryShare, MemoryHolder>();
  #usedBytes = 0;
  #closed = 0;

  constructor(options: WaitingMemoryOptions) {
    this.#options = options;
  }

  /** Bytes that wait now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Connections that were closed for what they held. */
  get closedConnections(): number {
    return this.#closed;
  }

  /** A connection's share, of nothing yet. The connection ends it. */
  share(holder: MemoryHolder): MemoryShare {
    const share = new MemoryShare({
      changed: (change) => this.#changed(change),
      ended: () => this.#shares.delete(share),
      now: () => this.#now(),
    });
    this.#shares.set(share, holder);
    return share;
  }

  #changed(change: number): void {
    this.#usedBytes += change;
    assert(this.#usedBytes >= 0, "no share gives back more than it took");
    while (change > 0 && this.#usedBytes > this.#options.maxBytes) this.#closeLargest();
  }

  /** The time, where it matters: while half of the budget is free the clock is not asked, since all messages would. */
  #now(): number {
    return this.#usedBytes * 2 > this.#options.maxBytes ? this.#options.clock.now() : -Infinity;
  }

  #closeLargest(): void {
    const movedBefore = this.#options.clock.now() - WAITING_GRACE_MS;
    const largest = this.#largest((share) => share.movedAt <= movedBefore) ?? this.#largest(() => true);
    const holder = largest === null ? undefined : this.#shares.get(largest);
    assert(largest !== null && holder !== undefined, "bytes that wait are some connection's");
    const { bytes } = largest;
    this.#closed += 1;
    largest.end();
    this.#options.logger.warn(
      "Closed the connection with the most bytes waiting: slow clients hold too much",
      {
        remote: holder.remote,
        bytes,
      },
    );
    holder.close("too many bytes wait for it");
  }

  /** The share with the most bytes among those that may be chosen; null when none of these holds any. */
  #largest(mayChoose: (share: MemoryShare) => boolean): MemoryShare | null {
    let largest: MemoryShare | null = null;
    for (const share of this.#shares.keys()) {
      if (share.bytes > (largest?.bytes ?? 0) && mayChoose(share)) largest = share;
    }
    return largest;
  }
}

/** What a share tells the budget, and asks it. */
interface MemoryShareOptions {
  readonly changed: (change: number) => void;
  readonly ended: () => void;
  readonly now: () => number;
}

/** What one connection holds of the budget. */
export class MemoryShare {
  readonly #options: MemoryShareOptions;
  #bytes = 0;
  #movedAt = -Infinity;
  #isEnded = false;

  /** Made by {@link WaitingMemory.share}. */
  constructor(options: MemoryShareOptions) {
    this.#options = options;
  }

  /** Bytes of it that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When some of them moved last, or the first of them came. */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** So many wait now; `hasMoved` when others have gone. The connection may be closed for it before this returns. */
  set(bytes: number, hasMoved = false): void {
    const change = bytes - this.#bytes;
    if ((change === 0 && !hasMoved) || this.#isEnded) return;
    if (this.#bytes === 0 || hasMoved) this.#movedAt = this.#options.now();
    this.#bytes = bytes;
    if (change !== 0) this.#options.changed(change);
  }

  /** Nothing waits any more, ever. */
  end(): void {
    this.set(0);
    this.#isEnded = true;
    this.#options.ended();
  }
}
