/** The server's view of a connection, the same for both versions of HTTP. */
import type { Clock, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Connection } from "../platform/network.ts";
import type { SlabCopier } from "../platform/memory/slab.ts";
import type { HandlerTurns } from "./handler_turns.ts";
import type { HeldAccount } from "./held.ts";
import type { Input } from "./input.ts";
import type { Output } from "./output.ts";
import type { WebHandler, WebLimits } from "./types.ts";

/** Time for the client to close a connection after the last bytes; it is closed then. Bytes that arrive are dropped. */
const LINGER_MS = 1_000;

/** Dependencies of a connection. */
export interface ConnectionContext {
  readonly connection: Connection;
  /** Has the first bytes already. */
  readonly input: Input;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: WebLimits;
  /** Counts bytes of bodies and answers. */
  readonly held: HeldAccount;
  /** Counts requests. */
  readonly requests: HeldAccount;
  /** The address that the connection counts for. */
  readonly source: string;
  /** Decides when handlers are called. */
  readonly turns: HandlerTurns;
  readonly handler: WebHandler;
  /** Makes the parts of bodies that handlers own. */
  readonly copier: SlabCopier;
}

/** A connection whose version of HTTP is known. */
export interface ProtocolConnection {
  /** Requests whose answer is not complete. */
  readonly requests: number;
  /** Why this end has closed the connection, for a log; null where it has not. */
  readonly problem: string | null;
  /** Serves requests until the connection ends; never rejects but for a fault. */
  serve(): Promise<void>;
  /** Takes no more requests, and ends the connection after the present ones. */
  shutDown(): void;
  /** Ends what has taken too long. Called every second or so. */
  checkTimes(nowMs: number): void;
}

/**
 * The end of a connection: it is closed after everything queued was written, but not at once. A connection that is closed
 * while something unread has arrived is reset, and the last bytes may be lost with it.
 */
export class Linger {
  readonly #context: ConnectionContext;
  #timer: Timer | null = null;
  #isOver = false;

  /** Begins nothing. */
  constructor(context: ConnectionContext) {
    this.#context = context;
  }

  /** Closes the connection a while after everything queued was written. */
  begin(output: Output): void {
    output.whenWritten(() => {
      if (this.#isOver) return;
      this.#timer = this.#context.clock.after(LINGER_MS, () => this.#context.connection.close());
    });
  }

  /** Notes that the client has ended its side, or that the connection is closed. */
  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }
}

/** Notes for how long something has not changed. */
export class StallTimer {
  #value = -1;
  #sinceMs = 0;

  /** Returns for how many milliseconds `value` has been the same at each check; 0 while there is nothing to check (null). */
  check(value: number | null, nowMs: number): number {
    if (value !== null && value === this.#value) return nowMs - this.#sinceMs;
    this.#value = value ?? -1;
    this.#sinceMs = nowMs;
    return 0;
  }
}
