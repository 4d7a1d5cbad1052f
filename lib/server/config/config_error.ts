/** What is wrong with a server's configuration. */

/**
 * A setting is wrong, missing, unknown, or does not go with another. The message names the flag (or the line of the
 * config file), the reason, what is allowed, and an example.
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** Stable name of this error. */
  readonly code = "invalidConfig";
}
