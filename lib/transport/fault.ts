/**
 * What becomes of an error that nothing foresaw while one connection was served: it ends that connection, and the log
 * names it as a fault of kvraft. Only the core, the log on disk and the state machine may end a node (server/driver.ts).
 */
import { errorMessage } from "../platform/errors.ts";
import type { LogFields, Logger } from "../platform/logger.ts";

/** How a line of the log begins that names such a fault. The simulator and the fuzz tests fail on it. */
export const CONNECTION_FAULT = "A fault in kvraft ended a connection; the node goes on. Please report it";

/** Writes the line; `fields` say which connection it was. */
export function logConnectionFault(logger: Logger, error: unknown, fields: LogFields): void {
  const reason = errorMessage(error);
  const stack = error instanceof Error ? error.stack ?? null : null;
  logger.error(CONNECTION_FAULT, { ...fields, reason, stack });
}
