/** The certificate, key and authorities of a server, checked before they are used: the runtime accepts wrong ones in silence. */
import type { X509Certificate } from "node:crypto";
import { type ChainEnd, findChain } from "./certificate_chain.ts";
import { CertificateError, readCertificateFields } from "./certificate_fields.ts";
import { dateOf } from "./peer_certificate.ts";
import { PemError, readCertificates, readPrivateKey } from "./pem.ts";
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
  /** The end of the server's certificate, or of an authority that it depends on if that is earlier. */
  readonly end: ChainEnd;
  /** The names of the server's certificate, as in {@link PeerCertificate}. */
  readonly altNames: readonly string[];
  /** Whether other nodes take the server's certificate for that of a node: its extended key usage names both ends. */
  readonly isForNodes: boolean;
}

/** Checks that the key fits the certificate, that the authorities have issued it, and all dates. Throws {@link CredentialsError}. */
export function checkCredentials(credentials: CredentialTexts, nowMs: number): CheckedCredentials {
  const { ca, cert, key } = credentials;
  const authorities = parseAll("ca", ca);
  const [own, ...between] = parseAll("cert", cert);
  if (own === undefined) throw new CredentialsError("cert", "it has no certificate in PEM");
  if (own.ca) {
    throw new CredentialsError(
      "cert",
      "its first certificate is that of an authority, not of a server. The server's own comes first",
    );
  }
  const wrong = authorities.find((authority) => !authority.ca);
  if (wrong !== undefined) {
    throw new CredentialsError(
      "ca",
      `the certificate of ${wrong.subject.replaceAll("\n", ",")} is not that of an authority`,
    );
  }
  const chain = findChain({ own, between, authorities }, nowMs);
  if (chain.kind === "broken") throw new CredentialsError("cert", chain.reason);
  if (!own.checkPrivateKey(inPart("key", () => readPrivateKey(key)))) {
    throw new CredentialsError("key", "it is not the key of the certificate");
  }
  const fields = inPart("cert", () => readCertificateFields(new Uint8Array(own.raw)));
  const { notBeforeMs, notAfterMs, altNames, isForServers, isForClients } = fields;
  if (nowMs > notAfterMs) {
    throw new CredentialsError("cert", `the certificate expired on ${dateOf(notAfterMs)}`);
  }
  if (nowMs < notBeforeMs) {
    throw new CredentialsError("cert", `the certificate is not valid before ${dateOf(notBeforeMs)}`);
  }
  if (!fields.hasExtensions) {
    throw new CredentialsError(
      "cert",
      "the certificate has no extensions (X.509 version 1), and TLS takes version 3 only. " +
        "Sign it again: openssl x509 -copy_extensions copy",
    );
  }
  if (isForClients && !isForServers) {
    throw new CredentialsError(
      "cert",
      "the certificate is for clients only: its extended key usage does not name serverAuth",
    );
  }
  return { credentials, end: chain.end, altNames, isForNodes: isForServers && isForClients };
}

/** Returns the certificates of a text that has nothing else. */
function parseAll(part: "ca" | "cert", text: string): readonly X509Certificate[] {
  const certificates = inPart(part, () => readCertificates(text));
  const begun = text.match(/-----BEGIN [^-]*-----/g)?.length ?? 0;
  if (begun === certificates.length) return certificates;
  throw new CredentialsError(
    part,
    "it has more than certificates in PEM. Remove the rest: a key belongs into the file of --tls-key",
  );
}

/** Throws the {@link CredentialsError} of a part for what is wrong in its text. */
function inPart<T>(part: keyof CredentialTexts, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PemError || error instanceof CertificateError)) throw error;
    throw new CredentialsError(part, error.message);
  }
}
