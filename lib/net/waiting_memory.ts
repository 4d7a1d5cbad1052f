/**
 * One budget for all bytes that wait because the other end of a connection is slow: frames that have not left, frames of
 * which only a part has come, and requests whose answers the client does not take.
 *
 * Each connection has its own bounds (limits.ts); thousands of them together have this one. Beyond it the connection that
 * holds most is closed, and the next, until the rest fits: slow clients lose their connection, the node its memory never.
 */
import { assert } from "../assert.ts";
import type { Logger } from "./logger.ts";

/** What the budget is made from. */
export interface WaitingMemoryOptions {
  /** Bytes that may wait in all. */
  readonly maxBytes: number;
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
    const share = new MemoryShare((change) => this.#changed(change), () => this.#shares.delete(share));
    this.#shares.set(share, holder);
    return share;
  }

  #changed(change: number): void {
    this.#usedBytes += change;
    assert(this.#usedBytes >= 0, "no share gives back more than it took");
    while (change > 0 && this.#usedBytes > this.#options.maxBytes) this.#closeLargest();
  }

  #closeLargest(): void {
    let largest: MemoryShare | null = null;
    for (const share of this.#shares.keys()) {
      if (largest === null || share.bytes > largest.bytes) largest = share;
    }
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
}

/** What one connection holds of the budget. */
export class MemoryShare {
  readonly #changed: (change: number) => void;
  readonly #ended: () => void;
  #bytes = 0;
  #isEnded = false;

  /** Made by {@link WaitingMemory.share}. */
  constructor(changed: (change: number) => void, ended: () => void) {
    this.#changed = changed;
    this.#ended = ended;
  }

  /** Bytes of it that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** So many wait now. The connection may be closed for it before this returns. */
  set(bytes: number): void {
    const change = bytes - this.#bytes;
    if (change === 0 || this.#isEnded) return;
    this.#bytes = bytes;
    this.#changed(change);
  }

  /** Nothing waits any more, ever. */
  end(): void {
    this.set(0);
    this.#isEnded = true;
    this.#ended();
  }
}
