/**
 * The chain from a server's certificate to an authority, found as the other end of a handshake finds it.
 *
 * A chain holds if each certificate in between is that of an authority and within its dates (RFC 5280 §6.1). Of the
 * authority at its end Deno 2.9.6 does not look at the dates, and OpenSSL and Go do.
 */
import type { X509Certificate } from "node:crypto";
import { shortened } from "../errors.ts";
import { CertificateError, type CertificateFields, readCertificateFields } from "./certificate_fields.ts";
import { dateOf } from "./peer_certificate.ts";

/** The end of a chain: the earliest of those of its certificates. */
export interface ChainEnd {
  readonly expiresAtMs: number;
  /** The name of the authority whose certificate ends then; null where it is the server's own. */
  readonly authority: string | null;
}

/** A chain, or the reason why there is none, as a part of a sentence. */
export type FoundChain =
  | { readonly kind: "complete"; readonly end: ChainEnd }
  | { readonly kind: "broken"; readonly reason: string };

/** The certificates that a chain is made of. */
export interface ChainCertificates {
  readonly own: X509Certificate;
  /** Those that the server sends with its own, in any order. */
  readonly between: readonly X509Certificate[];
  readonly authorities: readonly X509Certificate[];
}

/** A certificate that chains of a server's certificate reach. */
interface Reached {
  readonly certificate: X509Certificate;
  readonly end: ChainEnd;
}

const NOT_ISSUED =
  "it is not issued by an authority of --tls-ca. Certificates in between follow it in the file";

/** Returns the chain that ends last. */
export function findChain({ own, between, authorities }: ChainCertificates, nowMs: number): FoundChain {
  const { notAfterMs } = fieldsOf(own) ?? { notAfterMs: Infinity };
  const open: Reached[] = [{ certificate: own, end: { expiresAtMs: notAfterMs, authority: null } }];
  const left = new Set(between);
  let best: ChainEnd | null = null;
  let problem: string | null = null;
  for (let reached = open.pop(); reached !== undefined; reached = open.pop()) {
    const { certificate, end } = reached;
    for (const authority of authorities) {
      if (!isIssued(certificate, authority)) continue;
      const complete = earlier(end, authority);
      if (best === null || complete.expiresAtMs > best.expiresAtMs) best = complete;
    }
    for (const issuer of left) {
      if (!isIssued(certificate, issuer)) continue;
      left.delete(issuer);
      const reason = reasonAgainst(issuer, nowMs);
      if (reason === null) open.push({ certificate: issuer, end: earlier(end, issuer) });
      problem ??= reason ??
        (authorities.some((authority) => isIssued(issuer, authority))
          ? null
          : `${nameOf(issuer)}, which issued it, is not issued by an authority of --tls-ca. ` +
            "Certificates in between follow it in the file");
    }
    // The one that ends last is followed first, so that each certificate is reached by the chain that ends last.
    open.sort((one, other) => one.end.expiresAtMs - other.end.expiresAtMs);
  }
  return best === null ? { kind: "broken", reason: problem ?? NOT_ISSUED } : { kind: "complete", end: best };
}

function isIssued(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    // Not by checkIssued: it compares key identifiers and key usages as well, which a handshake of the runtime does not.
    return issuer.ca && certificate.issuer === issuer.subject && certificate.verify(issuer.publicKey);
  } catch {
    return false; // a key of a kind that the runtime cannot read
  }
}

/** Returns why the other end takes no chain with a certificate in between, or null. */
function reasonAgainst(issuer: X509Certificate, nowMs: number): string | null {
  const fields = fieldsOf(issuer);
  if (fields === null) return `${nameOf(issuer)}, which issued it, cannot be read`;
  if (nowMs > fields.notAfterMs) {
    return `${nameOf(issuer)}, which issued it, expired on ${dateOf(fields.notAfterMs)}`;
  }
  if (nowMs >= fields.notBeforeMs) return null;
  return `${nameOf(issuer)}, which issued it, is not valid before ${dateOf(fields.notBeforeMs)}`;
}

/** Returns the end of a chain that is continued by a certificate. */
function earlier(end: ChainEnd, next: X509Certificate): ChainEnd {
  const expiresAtMs = fieldsOf(next)?.notAfterMs ?? Infinity;
  return expiresAtMs < end.expiresAtMs ? { expiresAtMs, authority: subjectOf(next) } : end;
}

function fieldsOf(certificate: X509Certificate): CertificateFields | null {
  try {
    return readCertificateFields(new Uint8Array(certificate.raw));
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return null;
  }
}

function nameOf(certificate: X509Certificate): string {
  return `the certificate of ${subjectOf(certificate)}`;
}

function subjectOf({ subject }: X509Certificate): string {
  return shortened(subject.replaceAll("\n", ","));
}
