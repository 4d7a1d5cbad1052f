/** Errors of the network, and the message of any error. */

/** Why a socket could not be opened. */
export type NetworkErrorCode =
  | "addressInUse"
  | "addressNotLocal"
  | "nameNotFound"
  | "refused"
  | "timedOut"
  | "aborted"
  | "notPermitted"
  /** A connection broke before it was accepted. */
  | "connectionLost"
  | "failed";

/** A listener or a connection could not be had. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
  /** Stable name of the reason. */
  readonly code: NetworkErrorCode;

  /** `message` is a whole sentence; `cause` is the error that the system gave, if any. */
  constructor(code: NetworkErrorCode, options: { message: string; cause?: unknown }) {
    super(options.message, { cause: options.cause });
    this.code = code;
  }
}

/** Returns the message of an error, for use inside another message. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
