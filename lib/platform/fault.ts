/**
 * Unexpected errors while one connection is served: they end that connection, and are logged as a fault of kvraft. Only the
 * core, the log on disk and the state machine may end a node (server/driver.ts).
 */
import { errorMessage } from "./errors.ts";
import type { LogFields, Logger } from "./logger.ts";

/** Message of the log line for such a fault. The simulator and the fuzz tests fail on it. */
export const CONNECTION_FAULT = "A fault in kvraft ended a connection; the node goes on. Please report it";

/** Logs a fault; `fields` identify the connection. */
export function logConnectionFault(logger: Logger, error: unknown, fields: LogFields): void {
  const reason = errorMessage(error);
  const stack = error instanceof Error ? error.stack ?? null : null;
  logger.error(CONNECTION_FAULT, { ...fields, reason, stack });
}
