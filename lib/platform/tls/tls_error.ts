/** The reasons for which a TLS connection cannot be opened, and what the errors of the runtime mean. */
import { errorCode, errorMessage, type NetworkErrorCode } from "../errors.ts";

/** A handshake that did not lead to a connection. Its code is also that of the NetworkError that wraps it. */
export class TlsError extends Error {
  override readonly name = "TlsError";
  readonly code: Extract<NetworkErrorCode, "notTrusted" | "tlsFailed">;

  /** `message` is a part of a sentence. */
  constructor(code: TlsError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Returns an error of the runtime with its meaning; others as they are. */
export function explainTlsError(error: unknown): unknown {
  switch (errorCode(error)) {
    case "ERR_SSL_WRONG_VERSION_NUMBER":
      return new TlsError(
        "tlsFailed",
        "the server there does not speak TLS. Connect without it, or check the port",
      );
    case "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION":
      return new TlsError(
        "tlsFailed",
        "the server there refuses TLS: it serves without TLS, or speaks other versions of it than 1.2 and 1.3",
      );
    case "ECONNRESET":
      // Of Deno 2.9.6 and of Node 20 alike.
      return /before secure TLS connection was established/.test(errorMessage(error))
        ? new TlsError("tlsFailed", "the server closed the connection during the TLS handshake")
        : error;
    default:
      return /^ERR_(?:SSL|TLS|OSSL)/.test(errorCode(error) ?? "")
        ? new TlsError("tlsFailed", `the TLS handshake failed (${errorMessage(error)})`)
        : error;
  }
}
