/**
 * Counts an amount that a server holds: bytes of bodies and answers, or requests. When all connections together hold too much,
 * the connection with the most is closed, of the source address that holds the most: many connections of one address, with
 * little each, do not close a large one of another.
 */
import { assert } from "../platform/assert.ts";

/** A connection holds at most this part of what all may hold. */
const CONNECTION_SHARE = 1 / 8;

/** The amount that all connections of a server hold. */
export class HeldTotal {
  /** The most that all may hold. */
  readonly most: number;
  readonly #accounts = new Set<HeldAccount>();
  #amount = 0;

  /** Nothing is held yet. */
  constructor(most: number) {
    this.most = most;
  }

  /** The amount of all connections. */
  get amount(): number {
    return this.#amount;
  }

  /** Returns the account of a new connection from a source address. `exclude` closes the connection. */
  open(source: string, exclude: () => void): HeldAccount {
    const account = new HeldAccount(this, { source, exclude });
    this.#accounts.add(account);
    return account;
  }

  /** Removes an account. */
  close(account: HeldAccount): void {
    this.#accounts.delete(account);
  }

  /** Counts a change of an account's amount, which may be negative. */
  changed(by: number): void {
    this.#amount += by;
    if (by > 0 && this.#amount > this.most) this.#largest().exclude();
  }

  #largest(): HeldAccount {
    const bySource = new Map<string, number>();
    for (const { source, amount } of this.#accounts) {
      bySource.set(source, (bySource.get(source) ?? 0) + amount);
    }
    const most = Math.max(...bySource.values());
    let largest: HeldAccount | null = null;
    for (const account of this.#accounts) {
      const isCandidate = bySource.get(account.source) === most;
      if (isCandidate && account.amount > (largest?.amount ?? 0)) largest = account;
    }
    assert(largest !== null, "the amount of all is that of their accounts");
    return largest;
  }
}

/** The part of one connection. */
export class HeldAccount {
  readonly source: string;
  readonly #total: HeldTotal;
  readonly #exclude: () => void;
  #amount = 0;
  #isClosed = false;

  /** Nothing is held yet. */
  constructor(
    total: HeldTotal,
    { source, exclude }: { readonly source: string; readonly exclude: () => void },
  ) {
    this.#total = total;
    this.source = source;
    this.#exclude = exclude;
  }

  /** The amount of the connection. */
  get amount(): number {
    return this.#amount;
  }

  /** Counts more, or less; returns false if the connection now holds more than its share. */
  add(amount: number): boolean {
    if (this.#isClosed) return false;
    this.#amount += amount;
    this.#total.changed(amount);
    return this.#amount <= this.#total.most * CONNECTION_SHARE;
  }

  /** Counts what is not held any more. */
  remove(amount: number): void {
    this.add(-amount);
  }

  /** Ends the account: nothing is counted any more. */
  close(): void {
    if (this.#isClosed) return;
    this.remove(this.#amount);
    this.#isClosed = true;
    this.#total.close(this);
  }

  /** Ends the account, and closes the connection. */
  exclude(): void {
    this.close();
    this.#exclude();
  }
}
