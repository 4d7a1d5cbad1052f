/** The option `tls` of a client: checks, and the connections that it makes. */
import type { Dialer } from "../../platform/network.ts";
import { PemError, readCertificates, readPrivateKey } from "../../platform/tls/pem.ts";
import { type TlsCredentials, TlsDialer } from "../../platform/tls/tls_dialer.ts";
import { checkObject } from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";
import type { Bytes, ConnectOptions, TlsOptions } from "../types.ts";

/** One of the options cannot be used. */
export class TlsOptionError extends InvalidRequestError {
  /** The option that is wrong. */
  readonly option: keyof TlsOptions;
  /** The reason, as a part of a sentence. */
  readonly reason: string;

  /** Makes the message of the reason. */
  constructor(option: keyof TlsOptions, reason: string) {
    super(`Cannot use the option tls.${option}: ${reason}.`, { outcome: "not-applied" });
    this.option = option;
    this.reason = reason;
  }
}

/** The options, checked. */
interface CheckedTls {
  readonly credentials: TlsCredentials;
  readonly serverName: string | null;
}

/** The TLS of a client. */
export interface ClientTls {
  readonly dialer: Dialer;
  /** Whether its connections show a certificate. */
  readonly showsCertificate: boolean;
}

/**
 * Returns what opens TLS connections with these options, which are read for each connection if they are a function. Throws
 * {@link InvalidRequestError}; no message has a key in it.
 */
export function openTls(options: NonNullable<ConnectOptions["tls"]>): ClientTls {
  const read = typeof options === "function" ? options : (): TlsOptions => options;
  let current = checkTls(read());
  const credentials = (): TlsCredentials => {
    try {
      if (typeof options === "function") current = checkTls(read());
    } catch {
      // Files are renewed one after the other: until all of them fit, the ones before serve.
    }
    return current.credentials;
  };
  const { serverName } = current;
  const dialer = new TlsDialer({ credentials, serverName, minVersion: "TLSv1.2" });
  return { dialer, showsCertificate: current.credentials.cert !== null };
}

/** Checks the options. Throws {@link TlsOptionError}. */
export function checkTls(options: TlsOptions): CheckedTls {
  const { ca, cert = null, key = null, serverName = null } = checkObject(options, "the option tls");
  const authorities = textOf(ca, "ca");
  inOption("ca", () => readCertificates(authorities));
  if (serverName !== null && (typeof serverName !== "string" || serverName === "")) {
    throw invalid("serverName", "it must be a name or an IP address");
  }
  if ((cert === null) !== (key === null)) {
    throw invalid(cert === null ? "cert" : "key", "cert and key are given together, or not at all");
  }
  const own = cert === null || key === null
    ? { cert: null, key: null }
    : parsePair(textOf(cert, "cert"), textOf(key, "key"));
  return { credentials: { ca: authorities, ...own }, serverName };
}

function textOf(value: Bytes, name: keyof TlsOptions): string {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  throw invalid(name, "it must be text in PEM, or its bytes");
}

/** Checks a certificate and its key together: a runtime may accept a key that does not fit, and connect nowhere. */
function parsePair(cert: string, key: string): { readonly cert: string; readonly key: string } {
  const [own] = inOption("cert", () => readCertificates(cert));
  if (own?.checkPrivateKey(inOption("key", () => readPrivateKey(key))) !== true) {
    throw invalid("key", "it is not the key of the certificate");
  }
  return { cert, key };
}

/** Throws the error of an option for what is wrong in its text. */
function inOption<T>(name: keyof TlsOptions, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    throw invalid(name, error.message);
  }
}

function invalid(name: keyof TlsOptions, reason: string): TlsOptionError {
  return new TlsOptionError(name, reason);
}
