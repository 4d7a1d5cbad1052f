/** What a room says to the operator. lib/server/log.ts writes it; levels and field names are stable. */

/** Values of a log line's fields. Never a stored value's bytes. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Takes log lines. */
export interface Logger {
  /** For those who look for a fault. */
  debug(message: string, fields?: LogFields): void;
  /** What an operator wants to have seen. */
  info(message: string, fields?: LogFields): void;
  /** Something is wrong and handled. */
  warn(message: string, fields?: LogFields): void;
  /** Something is wrong and this node cannot go on, or has lost something. */
  error(message: string, fields?: LogFields): void;
}
