/** What a room says to the operator. lib/platform/line_logger.ts writes it; levels and field names are stable. */

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

/** Levels of log lines, from the most to the fewest. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** One of {@link LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** How log lines are written. */
export const LOG_FORMATS = ["text", "json"] as const;
/** One of {@link LOG_FORMATS}. */
export type LogFormat = typeof LOG_FORMATS[number];
