/**
 * Accepting, as every listening socket of a node does it: one connection after the other, and whatever goes wrong with
 * one of them is nothing to the others.
 */
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/promise.ts";
import { errorMessage, NetworkError } from "../platform/errors.ts";
import { ACCEPT_RETRY_MS, MAX_ACCEPTS_A_TURN } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";
import type { Connection, Listener } from "../platform/network.ts";

/** What accepting needs. */
export interface AcceptOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends it; the listener is to be closed as well. */
  readonly signal: AbortSignal;
  /** Takes a connection over; the next one is accepted once this has resolved. */
  readonly take: (connection: Connection) => Promise<void>;
  /** Accepting failed, for want of file descriptors perhaps: closes those connections that are of no use to anybody. */
  readonly closeIdle: () => void;
}

/**
 * Accepts connections until `signal` is aborted. A connection that is lost before it is accepted costs nothing but a
 * line at debug level; an error of the listener itself, such as no file descriptor being left, pauses accepting, and connections that only take up descriptors are closed.
 */
export async function acceptConnections(listener: Listener, options: AcceptOptions): Promise<void> {
  const { clock, logger, signal, take, closeIdle } = options;
  for (let accepts = 1; !signal.aborted; accepts++) {
    try {
      const connection = await listener.accept();
      if (connection !== null) await take(connection);
    } catch (error) {
      const reason = errorMessage(error);
      if (error instanceof NetworkError && error.code === "connectionLost") {
        logger.debug("A connection was lost before it was accepted", { reason });
      } else {
        logger.warn("Cannot accept connections; trying again", { reason });
        closeIdle();
        await pause(ACCEPT_RETRY_MS, { clock, signal });
      }
    }
    // Accepts that are ready at once never leave the turn: what has arrived on earlier connections is to be read.
    if (accepts % MAX_ACCEPTS_A_TURN === 0) await new Promise<void>((resolve) => clock.endOfTurn(resolve));
  }
}
