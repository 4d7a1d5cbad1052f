/** Errors and their messages: what other modules show of an error, and errors of the network. */

/** Characters of text from outside (another node, a client, a file, a flag) that a message quotes; the rest is cut. */
export const MAX_QUOTED_CHARACTERS = 200;
/** Characters of a whole message that another node wrote and this one passes on; the rest is cut. */
export const MAX_QUOTED_MESSAGE_CHARACTERS = 2_000;

/**
 * Returns the text, or its beginning and its length where it is longer than `maxCharacters`. Every message that quotes
 * text from outside uses this: input must not decide how large an answer or a log line becomes.
 */
export function shortened(text: string, maxCharacters = MAX_QUOTED_CHARACTERS): string {
  if (text.length <= maxCharacters) return text;
  // A surrogate pair is not split: half of one is not well-formed text.
  const isPairCut = /[\uD800-\uDBFF]/.test(text.charAt(maxCharacters - 1));
  const kept = text.slice(0, isPairCut ? maxCharacters - 1 : maxCharacters);
  return `${kept}… (${text.length} characters)`;
}

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
  /** The certificate of the other end is not accepted. */
  | "notTrusted"
  /** The other end does not speak TLS, or the handshake failed. */
  | "tlsFailed"
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

/** Returns the operating system's name of why an operation failed (`ENOENT`), or null. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

/** Returns the reason for which a path cannot be used, as part of a sentence; null where the error has another cause. */
export function wrongPathReason(error: unknown): string | null {
  switch (errorCode(error)) {
    case "EISDIR":
      return "it is a directory, not a file";
    case "ENOTDIR":
      return "a part of the path is a file, not a directory";
    case "ELOOP":
      return "its symbolic links lead in a circle";
    case "ENAMETOOLONG":
      return "it, or a part of it, is longer than a name may be";
    default:
      return null;
  }
}
