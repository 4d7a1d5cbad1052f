/**
 * A budget for bytes that TLS connections of Deno have received and that were not read yet.
 *
 * A TLS socket of Deno 2.9.6 cannot be paused: it decrypts all that the other end sends, and keeps it in memory. So a
 * connection is closed that holds more than any correct client has in flight, and the one that holds most when all
 * together hold too much.
 */

/** Unread bytes of one connection: more than the client library has in flight (64 MiB), with the heads of its frames. */
export const MAX_UNREAD_BYTES = 100_663_296;
/** Unread bytes of all connections of the process. */
export const MAX_ALL_UNREAD_BYTES = 268_435_456;
/** A connection below this is not closed for what others hold: 4,096 of them hold as much as all may. */
const TRACKED_BYTES = 65_536;

/** A connection that holds unread bytes. */
export interface UnreadHolder {
  readonly unreadBytes: number;
  /** Closes it. */
  exclude(reason: string): void;
}

/** The budget of a process. */
export class UnreadBudget {
  readonly #maxBytes: number;
  readonly #maxAllBytes: number;
  /** The connections that hold more than TRACKED_BYTES. */
  readonly #large = new Set<UnreadHolder>();
  #allBytes = 0;

  /** `maxBytes`: of one connection; `maxAllBytes`: of all. */
  constructor({ maxBytes = MAX_UNREAD_BYTES, maxAllBytes = MAX_ALL_UNREAD_BYTES } = {}) {
    this.#maxBytes = maxBytes;
    this.#maxAllBytes = maxAllBytes;
  }

  /** Records that the unread bytes of a connection have changed by `bytes`. */
  changed(holder: UnreadHolder, bytes: number): void {
    this.#allBytes += bytes;
    if (holder.unreadBytes >= TRACKED_BYTES) this.#large.add(holder);
    else if (this.#large.size > 0) this.#large.delete(holder);
    if (holder.unreadBytes > this.#maxBytes) {
      this.#exclude(holder, `more than ${this.#maxBytes} bytes arrived that were not read yet`);
    }
    while (this.#allBytes > this.#maxAllBytes) {
      const [first = null, ...others] = this.#large;
      if (first === null) return;
      const largest = others.reduce((a, b) => a.unreadBytes >= b.unreadBytes ? a : b, first);
      this.#exclude(largest, "it held the most of too many bytes that were not read yet");
    }
  }

  #exclude(holder: UnreadHolder, reason: string): void {
    this.#large.delete(holder);
    holder.exclude(reason);
  }
}

/** The budget of this process. */
export const unreadBudget = new UnreadBudget();
