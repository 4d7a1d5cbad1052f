/** The certificate, key and authorities of a server, checked before they are used: the runtime accepts wrong ones in silence. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { errorMessage } from "../errors.ts";
import { readCertificateFields } from "./certificate_fields.ts";
import { dateOf } from "./peer_certificate.ts";
import { certificatesOf } from "./pem.ts";
import type { ServerCredentials } from "./tls_listener.ts";

/** The texts in PEM of the three files of a server. */
export type CredentialTexts = ServerCredentials;

/** One of the texts cannot be used. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  /** Stable name of this error. */
  readonly code = "invalidCredentials";
  /** The text that is wrong. */
  readonly part: keyof CredentialTexts;

  /** `message` is the reason, as a part of a sentence. */
  constructor(part: keyof CredentialTexts, message: string) {
    super(message);
    this.part = part;
  }
}

/** Credentials that can be used. */
export interface CheckedCredentials {
  readonly credentials: ServerCredentials;
  /** The time at which the server's certificate, or the first of the authorities' certificates, expires. */
  readonly expiresAtMs: number;
  /** The names of the server's certificate, as in {@link PeerCertificate}. */
  readonly altNames: readonly string[];
}

/** Checks that the key fits the certificate, that the authorities have issued it, and all dates. Throws {@link CredentialsError}. */
export function checkCredentials(credentials: CredentialTexts, nowMs: number): CheckedCredentials {
  const { ca, cert, key } = credentials;
  const authorities = parseAll("ca", ca);
  const [own, ...intermediates] = parseAll("cert", cert);
  if (own === undefined) throw new CredentialsError("cert", "it has no certificate in PEM");
  if (own.ca) {
    throw new CredentialsError("cert", "its first certificate is that of an authority, not of a server");
  }
  const wrong = authorities.find((authority) => !authority.ca);
  if (wrong !== undefined) {
    throw new CredentialsError(
      "ca",
      `the certificate of ${wrong.subject.replaceAll("\n", ",")} is not that of an authority`,
    );
  }
  const isIssued = [...authorities, ...intermediates].some((issuer) =>
    own.checkIssued(issuer) && own.verify(issuer.publicKey)
  );
  if (!isIssued) throw new CredentialsError("cert", "it is not issued by an authority of --tls-ca");
  if (!own.checkPrivateKey(parseKey(key))) {
    throw new CredentialsError("key", "it is not the key of the certificate");
  }
  const { notBeforeMs, notAfterMs, altNames } = readCertificateFields(new Uint8Array(own.raw));
  if (nowMs > notAfterMs) {
    throw new CredentialsError("cert", `the certificate expired on ${dateOf(notAfterMs)}`);
  }
  if (nowMs < notBeforeMs) {
    throw new CredentialsError("cert", `the certificate is not valid before ${dateOf(notBeforeMs)}`);
  }
  return { credentials, expiresAtMs: notAfterMs, altNames };
}

/** Returns the certificates of a text, each of which can be read. */
function parseAll(part: "ca" | "cert", text: string): readonly X509Certificate[] {
  const blocks = certificatesOf(text);
  const begun = text.match(/-----BEGIN [^-]*-----/g)?.length ?? 0;
  if (blocks.length === 0) throw new CredentialsError(part, "it has no certificate in PEM");
  if (begun !== blocks.length) throw new CredentialsError(part, "it has more than certificates in PEM");
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new CredentialsError(part, `its certificate number ${index + 1} cannot be read`);
    }
  });
}

function parseKey(text: string): KeyObject {
  if (/ENCRYPTED/.test(text)) {
    throw new CredentialsError(
      "key",
      "it is encrypted. Decrypt it: openssl pkey -in <encrypted> -out <path>",
    );
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    // The message of the runtime is about the format, and has nothing of the content.
    throw new CredentialsError("key", `it has no private key in PEM (${errorMessage(error).slice(0, 80)})`);
  }
}
