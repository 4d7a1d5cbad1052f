/**
 * A memory budget for all bytes that wait because the other end of a connection is slow: unsent frames, partial frames,
 * and requests whose answers the client does not read.
 *
 * Each connection has its own limits (limits.ts); all together have this budget. Beyond it the connections that hold most
 * are closed until the rest fits, so that slow clients cannot exhaust the node's memory.
 *
 * Connections without progress for WAITING_GRACE_MS are closed first. Otherwise many connections that each hold little,
 * and never complete their frames, would cause every client to be closed that sends a larger frame.
 */
import { assert } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { WAITING_GRACE_MS } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";

/** Options of {@link WaitingMemory}. */
export interface WaitingMemoryOptions {
  /** Maximum of waiting bytes. */
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

  /** Waiting bytes. */
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

  /** The time if it is needed: while half of the budget is free, the clock is not read for each message. */
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

  /** Returns the eligible share with the most bytes; null when none of them holds any. */
  #largest(mayChoose: (share: MemoryShare) => boolean): MemoryShare | null {
    let largest: MemoryShare | null = null;
    for (const share of this.#shares.keys()) {
      if (share.bytes > (largest?.bytes ?? 0) && mayChoose(share)) largest = share;
    }
    return largest;
  }
}

/** The budget, as a share uses it. */
interface MemoryShareOptions {
  readonly changed: (change: number) => void;
  readonly ended: () => void;
  readonly now: () => number;
}

/** The part of the budget that one connection holds. */
export class MemoryShare {
  readonly #options: MemoryShareOptions;
  #bytes = 0;
  #movedAt = -Infinity;
  #isEnded = false;

  /** Made by {@link WaitingMemory.share}. */
  constructor(options: MemoryShareOptions) {
    this.#options = options;
  }

  /** Its waiting bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Time of its last progress, or of its first byte. */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** Sets its waiting bytes; `hasMoved` reports progress. The connection may be closed before this returns. */
  set(bytes: number, hasMoved = false): void {
    const change = bytes - this.#bytes;
    if ((change === 0 && !hasMoved) || this.#isEnded) return;
    if (this.#bytes === 0 || hasMoved) this.#movedAt = this.#options.now();
    this.#bytes = bytes;
    if (change !== 0) this.#options.changed(change);
  }

  /** Ends the share. */
  end(): void {
    this.set(0);
    this.#isEnded = true;
    this.#options.ended();
  }
}
