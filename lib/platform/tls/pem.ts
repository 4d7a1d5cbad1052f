/** Texts in PEM: certificates and keys between lines of dashes (RFC 7468). */

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Returns the certificates of a text in PEM, each by itself. */
export function certificatesOf(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? [];
}
