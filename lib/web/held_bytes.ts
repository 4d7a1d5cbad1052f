/**
 * Counts the bytes of bodies and answers that a server holds. A connection that holds more than its share is refused
 * further bytes of bodies; when all together hold too much, the connection with the most is closed.
 */

/** A connection holds at most this part of what all may hold. */
const CONNECTION_SHARE = 1 / 8;

/** The bytes that all connections of a server hold. */
export class HeldBytes {
  /** Bytes that all may hold. */
  readonly maxBytes: number;
  readonly #accounts = new Set<HeldBytesAccount>();
  #bytes = 0;

  /** Nothing is held yet. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes of all connections. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the account of a new connection, which `exclude` closes. */
  open(exclude: () => void): HeldBytesAccount {
    const account = new HeldBytesAccount(this, exclude);
    this.#accounts.add(account);
    return account;
  }

  /** Removes an account with all its bytes. */
  close(account: HeldBytesAccount): void {
    this.#accounts.delete(account);
  }

  /** Counts bytes of an account, which may be negative. */
  changed(bytes: number): void {
    this.#bytes += bytes;
    if (bytes <= 0 || this.#bytes <= this.maxBytes) return;
    let largest: HeldBytesAccount | null = null;
    for (const account of this.#accounts) if (account.bytes > (largest?.bytes ?? 0)) largest = account;
    largest?.exclude();
  }
}

/** The bytes that one connection holds. */
export class HeldBytesAccount {
  /** Closes the connection. */
  readonly exclude: () => void;
  readonly #pool: HeldBytes;
  #bytes = 0;

  /** Nothing is held yet. */
  constructor(pool: HeldBytes, exclude: () => void) {
    this.#pool = pool;
    this.exclude = exclude;
  }

  /** Bytes of the connection. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts bytes; returns false if the connection now holds more than its share. */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    this.#pool.changed(bytes);
    return this.#bytes <= this.#pool.maxBytes * CONNECTION_SHARE;
  }

  /** Counts bytes that are not held any more. */
  remove(bytes: number): void {
    this.#bytes -= bytes;
    this.#pool.changed(-bytes);
  }

  /** Ends the account. */
  close(): void {
    this.remove(this.#bytes);
    this.#pool.close(this);
  }
}
