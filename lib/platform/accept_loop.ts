/**
 * The accept loop of every listening socket of a node: one connection after the other. A failure of one connection does not
 * affect the others.
 */
import type { Clock } from "./clock.ts";
import { pause } from "./promise.ts";
import { errorMessage, NetworkError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Connection, Listener } from "./network.ts";

/** Connections accepted in a row before earlier ones are read again. */
export const MAX_ACCEPTS_A_TURN = 64;
/** Wait of a listener that cannot accept, for example without free file descriptors, before it tries again. */
export const ACCEPT_RETRY_MS = 100;

/** Options of {@link acceptConnections}. */
export interface AcceptOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the loop; the caller also closes the listener. */
  readonly signal: AbortSignal;
  /** Takes over a connection; the next one is accepted once this has resolved. */
  readonly take: (connection: Connection) => Promise<void>;
  /** Called when accepting fails, for lack of file descriptors for example; closes idle connections. */
  readonly closeIdle: () => void;
}

/**
 * Accepts connections until `signal` is aborted. A connection that is lost before it is accepted only causes a debug line;
 * an error of the listener itself, such as a lack of file descriptors, pauses accepting and closes idle connections.
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
    // Accepts that are ready at once never end the turn, but earlier connections have to be read.
    if (accepts % MAX_ACCEPTS_A_TURN === 0) await new Promise<void>((resolve) => clock.endOfTurn(resolve));
  }
}
