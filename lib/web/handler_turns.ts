/**
 * Decides when the handlers of requests are called, so that a client with very many requests delays others by the work for a
 * few of them, and not for all.
 *
 * A request is in work from the call of its handler until its answer begins, the handler says that it waits, or has ended:
 * watches and other streams are not. At most {@link WebLimits.maxInWork} are in work. While others wait, source addresses take turns, and so
 * do the connections of each. A connection that has fewer requests in work than its equal share begins one at once, so that
 * requests that do not end, such as ones whose body does not come, keep no other out. The shares of all connections together
 * are as many requests again, or one for each connection.
 */
import type { Clock, Timer } from "../platform/clock.ts";

/** A source address with open connections. */
interface Source {
  readonly name: string;
  /** Number of its open connections. */
  connections: number;
  /** Its connections that have requests that wait, in the order of their turns. */
  readonly waiting: Set<ConnectionTurns>;
}

/** The turns of all connections of a server. */
export class HandlerTurns {
  readonly #most: number;
  readonly #clock: Clock;
  readonly #sources = new Map<string, Source>();
  /** Sources with requests that wait, in the order of their turns. */
  readonly #waiting = new Set<Source>();
  #inWork = 0;
  /** Whether requests that wait begin in this turn, and the timer with which they begin later. */
  #isScheduled = false;
  #timer: Timer | null = null;

  /** No request is in work. */
  constructor(most: number, clock: Clock) {
    this.#most = most;
    this.#clock = clock;
  }

  /** Requests in work. */
  get inWork(): number {
    return this.#inWork;
  }

  /**
   * Returns the turns of a new connection from a source address. `onTurn` is called after {@link ConnectionTurns.begin} has
   * returned false: the connection may begin one request, which is counted already.
   */
  open(name: string, onTurn: () => void): ConnectionTurns {
    const source = this.#sources.get(name) ?? { name, connections: 0, waiting: new Set() };
    this.#sources.set(name, source);
    source.connections += 1;
    return new ConnectionTurns(this, { source, onTurn });
  }

  /** Forgets a connection of a source. */
  close(source: Source): void {
    source.connections -= 1;
    if (source.connections === 0) this.#sources.delete(source.name);
  }

  /** Whether a connection with so many requests in work may begin one more at once. */
  isFree({ connections }: Source, inWork: number): boolean {
    if (this.#inWork < this.#most && this.#waiting.size === 0) return true;
    return inWork < Math.max(1, Math.floor(this.#most / this.#sources.size / connections));
  }

  /** Notes that a request has begun. */
  began(): void {
    this.#inWork += 1;
  }

  /** Notes that a request is not in work any more. */
  ended(): void {
    this.#inWork -= 1;
    if (this.#waiting.size === 0 || this.#isScheduled || this.#timer !== null) return;
    this.#isScheduled = true;
    this.#clock.endOfTurn(this.#goOn);
  }

  /** Notes that a connection of a source waits. */
  wait(source: Source): void {
    this.#waiting.add(source);
  }

  /** Notes that no connection of a source waits any more. */
  leave(source: Source): void {
    this.#waiting.delete(source);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Begins requests that wait. One pass begins at most as many as may be in work: some are answered at once. */
  readonly #goOn = (): void => {
    this.#isScheduled = true;
    this.#timer = null;
    for (let begun = 0; begun < this.#most && this.#inWork < this.#most; begun++) this.#beginNext();
    this.#isScheduled = false;
    // Not at the end of the turn: input is handled before the timer.
    if (this.#waiting.size > 0 && this.#inWork < this.#most) this.#timer = this.#clock.after(0, this.#goOn);
  };

  /** Begins the next request that waits, if there is one. */
  #beginNext(): void {
    const [source] = this.#waiting;
    if (source === undefined) return;
    const [connection] = source.waiting;
    this.#waiting.delete(source);
    if (source.waiting.size > 1) this.#waiting.add(source);
    connection?.take();
  }
}

/** The turns of one connection. */
export class ConnectionTurns {
  readonly #turns: HandlerTurns;
  readonly #source: Source;
  readonly #onTurn: () => void;
  #inWork = 0;

  /** No request is in work. */
  constructor(
    turns: HandlerTurns,
    { source, onTurn }: { readonly source: Source; readonly onTurn: () => void },
  ) {
    this.#turns = turns;
    this.#source = source;
    this.#onTurn = onTurn;
  }

  /** Returns whether a request may begin, which is counted then; else the connection waits for its turn. */
  begin(): boolean {
    if (this.#turns.isFree(this.#source, this.#inWork)) {
      this.#count();
      return true;
    }
    this.wait();
    return false;
  }

  /** Waits for the next turn. */
  wait(): void {
    this.#source.waiting.add(this);
    this.#turns.wait(this.#source);
  }

  /** Notes that a request is not in work any more. */
  end(): void {
    this.#inWork -= 1;
    this.#turns.ended();
  }

  /** Has its turn. */
  take(): void {
    this.#source.waiting.delete(this);
    this.#count();
    this.#onTurn();
  }

  /** Notes that no request waits any more. */
  leave(): void {
    this.#source.waiting.delete(this);
    if (this.#source.waiting.size === 0) this.#turns.leave(this.#source);
  }

  /** Forgets the connection. Handlers of its requests may still end. */
  close(): void {
    this.leave();
    this.#turns.close(this.#source);
  }

  #count(): void {
    this.#inWork += 1;
    this.#turns.began();
  }
}
