/**
 * The certificate that the other end of a connection has shown: whose it is, and the reason why it must not be trusted.
 *
 * The runtime verifies the chain of signatures, the dates and the usage, and reports only whether all of them hold
 * (`authorized`); of a chain that does not hold, Deno 2.9.6 gives the same reason for all. So the reason is found here.
 */
import { createHash, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { shortened } from "../errors.ts";
import type { PeerCertificate } from "../network.ts";
import { CertificateError, type CertificateFields, readCertificateFields } from "./certificate_fields.ts";

const RESUMED = "the connection resumes an earlier TLS session, in which no certificate is checked; " +
  "connect without session resumption";

/** The certificate without a claim of identity: of a connection that proves none. */
const UNKNOWN = {
  commonName: "",
  altNames: [],
  issuer: "",
  notBeforeMs: 0,
  notAfterMs: 0,
  isForServers: false,
  fingerprint: "",
};

/** The part of a certificate that follows from its bytes alone. */
interface ReadCertificate {
  readonly fields: CertificateFields;
  readonly fingerprint: string;
}

/** Certificates that are remembered; with names of hundreds of bytes they take some hundred kilobytes. */
const MAX_REMEMBERED = 256;
/**
 * The certificates of a trusted authority that were read last, by their SHA-256, oldest first. Most connections show one that
 * an earlier one has shown; reading it again took longer than all else that the listener does for a connection.
 */
const remembered = new Map<string, ReadCertificate>();

/** Returns the certificate that the other end of a connection has shown after its handshake; null if it showed none. */
export function peerCertificateOf(
  socket: TLSSocket,
  { authorities, nowMs }: { readonly authorities: () => readonly X509Certificate[]; readonly nowMs: number },
): PeerCertificate | null {
  if (socket.isSessionReused()) return { ...UNKNOWN, problem: RESUMED };
  const bytes = rawCertificateOf(socket);
  if (bytes === null) return null;
  const isVerified = socket.authorized === true;
  let certificate: ReadCertificate;
  try {
    certificate = readCertificate(bytes, { isVerified });
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return { ...UNKNOWN, problem: `it cannot be read (${error.message})` };
  }
  const { fields, fingerprint } = certificate;
  const { isAuthority, isForClients: _clients, hasExtensions: _extensions, ...shown } = fields;
  const problem = isVerified && !isAuthority
    ? null
    : reasonAgainst(fields, { bytes, authorities: authorities(), nowMs });
  return { ...shown, fingerprint, problem };
}

/** Returns the certificate of the other end in DER, or null. */
export function rawCertificateOf(socket: TLSSocket): Uint8Array | null {
  try {
    // It only wraps the bytes, whereas the object of getPeerCertificate has all fields as texts: a tenth of a handshake.
    return socket.getPeerX509Certificate()?.raw ?? null;
  } catch {
    // The runtime has no such function, or cannot read the certificate. The types say that there always is one; without a
    // certificate it is an empty object.
    const shown: { readonly raw?: Uint8Array } | null = socket.getPeerCertificate();
    return shown?.raw ?? null;
  }
}

/**
 * Reads a certificate, or finds it among those that were read. Only one that the runtime has verified is remembered: any
 * client can make as many others as it likes.
 */
function readCertificate(
  bytes: Uint8Array,
  { isVerified }: { readonly isVerified: boolean },
): ReadCertificate {
  const digest = createHash("sha256").update(bytes).digest("hex");
  const known = remembered.get(digest);
  if (known !== undefined) return known;
  const fingerprint = (digest.match(/../g) ?? []).join(":").toUpperCase();
  const certificate = { fields: readCertificateFields(bytes), fingerprint };
  if (isVerified) remember(digest, certificate);
  return certificate;
}

function remember(digest: string, certificate: ReadCertificate): void {
  const [oldest] = remembered.keys();
  if (remembered.size >= MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
  remembered.set(digest, certificate);
}

/** Returns the reason why the runtime, or the rule against authorities, refuses a certificate. */
function reasonAgainst(
  fields: CertificateFields,
  { bytes, authorities, nowMs }: {
    readonly bytes: Uint8Array;
    readonly authorities: readonly X509Certificate[];
    readonly nowMs: number;
  },
): string {
  const { notBeforeMs, notAfterMs, isAuthority, hasExtensions } = fields;
  if (nowMs > notAfterMs) return `it expired on ${dateOf(notAfterMs)}`;
  if (nowMs < notBeforeMs) return `it is not valid before ${dateOf(notBeforeMs)}`;
  if (isAuthority) return "it is the certificate of an authority";
  if (!isIssuedByOneOf(authorities, bytes)) return "it is not issued by a trusted authority";
  return hasExtensions
    ? "its extended key usage does not allow this use"
    : "it has no extensions (X.509 version 1), and TLS takes version 3 only";
}

function isIssuedByOneOf(authorities: readonly X509Certificate[], bytes: Uint8Array): boolean {
  try {
    const certificate = new X509Certificate(bytes);
    return authorities.some((authority) =>
      certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
    );
  } catch {
    return false; // of a kind that the runtime cannot read
  }
}

/** Returns whether a certificate is for a host: a name, which may be covered by a wildcard for one label, or an address. */
export function isForHost({ altNames }: Pick<PeerCertificate, "altNames">, host: string): boolean {
  if (host.includes(":") || /^[0-9.]+$/.test(host)) return altNames.includes(`IP:${host}`);
  const name = host.toLowerCase();
  const parent = name.slice(name.indexOf(".") + 1);
  return altNames.includes(`DNS:${name}`) ||
    (parent !== name && parent.includes(".") && altNames.includes(`DNS:*.${parent}`));
}

/** Returns `the certificate of "alice" (issued by "ca", valid from … to …)`. */
export function describeCertificate(certificate: PeerCertificate): string {
  const { commonName, altNames, issuer, notBeforeMs, notAfterMs, fingerprint } = certificate;
  if (fingerprint === "") return "the certificate";
  const subject = commonName === "" ? altNames.slice(0, 3).join(", ") : `"${shortened(commonName)}"`;
  return `the certificate of ${subject === "" ? "no name" : shortened(subject)} (issued by "${issuer}", ` +
    `valid from ${dateOf(notBeforeMs)} to ${dateOf(notAfterMs)})`;
}

/** Returns `2026-11-30`. */
export function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
