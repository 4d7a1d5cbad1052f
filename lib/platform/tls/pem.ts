/** Texts in PEM: certificates and keys between lines of dashes (RFC 7468), and what else a file may have in their place. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A text does not have what it should; the message is the reason, as a part of a sentence, with nothing of the text. */
export class PemError extends Error {
  override readonly name = "PemError";
  /** Stable name of this error. */
  readonly code = "invalidPem";
}

/** Returns the certificates of a text in PEM, each by itself. */
export function certificatesOf(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? [];
}

/** Returns the certificates of a text in PEM: one or more. Throws {@link PemError}. */
export function readCertificates(text: string): readonly X509Certificate[] {
  const blocks = certificatesOf(text);
  if (blocks.length === 0) throw new PemError(`it has no certificate in PEM${otherContent(text)}`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new PemError(`its certificate number ${index + 1} cannot be read`);
    }
  });
}

/** Returns the private key of a text in PEM. Throws {@link PemError}. */
export function readPrivateKey(text: string): KeyObject {
  if (/ENCRYPTED/.test(text)) {
    throw new PemError("it is encrypted. Decrypt it: openssl pkey -in <encrypted> -out <path>");
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw new PemError(`it has no private key in PEM${otherContent(text)}`);
  }
}

/** Returns what a text has in place of a certificate or a key, as the end of a sentence; empty if that is unknown. */
function otherContent(text: string): string {
  if (text.trim() === "") return ": it is empty";
  const label = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(text)?.[1] ?? "";
  if (/CERTIFICATE REQUEST$/.test(label)) return ": it is the request for a certificate, not yet signed";
  if (/PRIVATE KEY$/.test(label)) return ": it is a private key";
  if (label === "CERTIFICATE") return ": it is a certificate, or the beginning of one";
  // deno-lint-ignore no-control-regex -- DER has such bytes
  return /[\0-\x08\uFFFD]/.test(text)
    ? ": it is binary. Convert it: openssl x509 or pkey -inform der, or openssl pkcs12 for a .p12 or .pfx"
    : "";
}
