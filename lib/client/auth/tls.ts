/** The option `tls` of a client: checks, and the connections that it makes. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Dialer } from "../../platform/network.ts";
import { certificatesOf } from "../../platform/tls/pem.ts";
import { TlsDialer } from "../../platform/tls/tls_dialer.ts";
import { checkObject } from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";
import type { Bytes, TlsOptions } from "../types.ts";

/** Returns what opens TLS connections with these options. Throws {@link InvalidRequestError}; no message has a key in it. */
export function tlsDialer(options: TlsOptions): Dialer {
  const { ca, cert = null, key = null, serverName = null } = checkObject(options, "the option tls");
  const authorities = textOf(ca, "ca");
  parseCertificates(authorities, "ca");
  if (serverName !== null && (typeof serverName !== "string" || serverName === "")) {
    throw invalid("serverName", "it must be a name or an IP address");
  }
  if ((cert === null) !== (key === null)) {
    throw invalid(cert === null ? "cert" : "key", "cert and key are given together, or not at all");
  }
  const own = cert === null || key === null
    ? { cert: null, key: null }
    : parsePair(textOf(cert, "cert"), textOf(key, "key"));
  const credentials = { ca: authorities, ...own };
  return new TlsDialer({ credentials: () => credentials, serverName, minVersion: "TLSv1.2" });
}

function textOf(value: Bytes, name: string): string {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  throw invalid(name, "it must be text in PEM, or its bytes");
}

function parseCertificates(text: string, name: string): readonly X509Certificate[] {
  const blocks = certificatesOf(text);
  if (blocks.length === 0) throw invalid(name, "it has no certificate in PEM");
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw invalid(name, "a certificate in it cannot be read");
    }
  });
}

/** Checks a certificate and its key together: a runtime may accept a key that does not fit, and connect nowhere. */
function parsePair(cert: string, key: string): { readonly cert: string; readonly key: string } {
  const [own] = parseCertificates(cert, "cert");
  let fits: boolean | undefined;
  try {
    fits = own?.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw invalid("key", "it has no private key in PEM, or is encrypted");
  }
  if (fits !== true) throw invalid("key", "it is not the key of cert");
  return { cert, key };
}

function invalid(name: string, reason: string): InvalidRequestError {
  return new InvalidRequestError(`Cannot use the option tls.${name}: ${reason}.`, { outcome: "not-applied" });
}
