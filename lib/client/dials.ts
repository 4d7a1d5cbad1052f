/**
 * The dials in progress, at most one to each address, and races among them.
 *
 * A race begins with the best address and gives it a head start; the first node that answers wins (RFC 8305 §5). An
 * address that does not answer costs a call a quarter of a second and not the whole time of a dial. A dial that lost its
 * race is aborted unless something else waits for it: a client keeps no connections that it does not use.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import { withResolvers } from "../platform/promise.ts";
import type { CloseSignal } from "./call_context.ts";
import type { NodeConnection } from "./connection.ts";

/** The time that a race waits for an address before it dials the next one too (RFC 8305 §8 recommends it). */
export const HEAD_START_MS = 250;

/** A dial that failed. */
export interface FailedDial {
  readonly kind: "failed";
  readonly address: string;
  readonly error: Error;
}

/** The result of a dial. Dials never reject. */
export type Dialled = { readonly kind: "open"; readonly connection: NodeConnection } | FailedDial;

/** The result of a race. */
export interface RaceEnd {
  /** The first connection that was wanted; null when every dial failed. */
  readonly connection: NodeConnection | null;
  /** The dials that failed, in the order of their addresses. */
  readonly failures: readonly FailedDial[];
}

/** Options of {@link Dials}. */
export interface DialsOptions {
  /** Dials an address until `signal` ends it. Never rejects. */
  readonly dialNow: (address: string, signal: AbortSignal) => Promise<Dialled>;
  /** Whether a dial failed for a reason that all addresses share, so that a race need not dial the others. */
  readonly isFinal: (error: Error) => boolean;
  readonly clock: Clock;
  /** Ends every dial. */
  readonly closing: CloseSignal;
}

/** A dial in progress. */
interface PendingDial {
  readonly promise: Promise<Dialled>;
  readonly stop: AbortController;
  /** The number of races and other callers that wait for it. */
  users: number;
}

/** The dials of one client. */
export class Dials {
  readonly #options: DialsOptions;
  readonly #pending = new Map<string, PendingDial>();
  /** Every dial that has not ended, including aborted ones. */
  readonly #running = new Set<Promise<Dialled>>();

  /** Dials nothing yet. */
  constructor(options: DialsOptions) {
    this.#options = options;
    options.closing.add(() => {
      for (const { stop } of this.#pending.values()) stop.abort();
    });
  }

  /** Dials `address`, or joins the dial in progress; no race aborts it from now on. */
  dial(address: string): Promise<Dialled> {
    return this.#join(address).promise;
  }

  /** Dials the addresses in order, each with a head start before the next, until one brings a connection that `isWanted`. */
  async race(
    addresses: readonly string[],
    isWanted: (connection: NodeConnection) => boolean,
  ): Promise<RaceEnd> {
    const { isFinal, clock, closing } = this.#options;
    const joined: [string, PendingDial][] = [];
    const join = (address: string): Promise<Dialled> => {
      const dial = this.#join(address);
      joined.push([address, dial]);
      return dial.promise;
    };
    const end = await new Race({ addresses, isWanted, isFinal, join, clock, closing }).run();
    for (const [address, dial] of joined) this.#leave(address, dial);
    return end;
  }

  /** Resolves when every dial has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  #join(address: string): PendingDial {
    const dial = this.#pending.get(address) ?? this.#begin(address);
    dial.users += 1;
    return dial;
  }

  #begin(address: string): PendingDial {
    const stop = new AbortController();
    const promise = this.#options.dialNow(address, stop.signal);
    const dial: PendingDial = { promise, stop, users: 0 };
    this.#pending.set(address, dial);
    this.#running.add(promise);
    void promise.then(() => { // dials never reject
      this.#running.delete(promise);
      this.#forget(address, dial);
    });
    return dial;
  }

  /** Aborts a dial that nothing waits for any more; the next one to this address is a new one. */
  #leave(address: string, dial: PendingDial): void {
    dial.users -= 1;
    if (dial.users > 0) return;
    this.#forget(address, dial);
    dial.stop.abort();
  }

  #forget(address: string, dial: PendingDial): void {
    if (this.#pending.get(address) === dial) this.#pending.delete(address);
  }
}

/** Options of {@link Race}. */
interface RaceOptions extends Pick<DialsOptions, "isFinal" | "clock" | "closing"> {
  readonly addresses: readonly string[];
  readonly isWanted: (connection: NodeConnection) => boolean;
  readonly join: (address: string) => Promise<Dialled>;
}

/** One race. */
class Race {
  readonly #options: RaceOptions;
  readonly #failures = new Map<string, FailedDial>();
  readonly #end = withResolvers<NodeConnection | null>();
  #begun = 0;
  #underWay = 0;
  #isOver = false;
  #timer: Timer | null = null;

  constructor(options: RaceOptions) {
    this.#options = options;
  }

  async run(): Promise<RaceEnd> {
    this.#dialNext();
    const connection = await this.#end.promise;
    this.#isOver = true;
    this.#timer?.cancel();
    const failures = this.#options.addresses.flatMap((address) => this.#failures.get(address) ?? []);
    return { connection, failures };
  }

  /** Dials the next address; without one, the race is over once every dial has failed. */
  #dialNext(): void {
    if (this.#isOver) return;
    this.#timer?.cancel();
    const { addresses, join, clock, closing } = this.#options;
    const address = closing.isClosed ? undefined : addresses[this.#begun];
    if (address === undefined) {
      if (this.#underWay === 0) this.#end.resolve(null);
      return;
    }
    this.#begun += 1;
    this.#underWay += 1;
    void join(address).then((dialled) => this.#dialEnded(dialled)); // dials never reject
    if (this.#begun < addresses.length) this.#timer = clock.after(HEAD_START_MS, () => this.#dialNext());
  }

  #dialEnded(dialled: Dialled): void {
    this.#underWay -= 1;
    if (dialled.kind === "failed") {
      this.#failures.set(dialled.address, dialled);
      if (this.#options.isFinal(dialled.error)) return this.#end.resolve(null);
    } else if (this.#options.isWanted(dialled.connection)) return this.#end.resolve(dialled.connection);
    this.#dialNext();
  }
}
