/** Errors of the network: a listener or a connection could not be had. */

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
