/**
 * Reads the fields of an X.509 certificate from its bytes (RFC 5280).
 *
 * The texts that runtimes make of names cannot be split again: Deno 2.9.6 writes the alternative names of a certificate
 * whose only name is the URI `http://x/, DNS:node1` like those of one that also has the name `DNS:node1`.
 */
import { shortened } from "../errors.ts";

/** The fields of a certificate that decide whose it is. Nothing about them is verified here. */
export interface CertificateFields {
  /** The common name of its subject; empty if it has none, or more than one. */
  readonly commonName: string;
  /** `DNS:node1.example` in lower case, or `IP:127.0.0.1` in the form that addresses are written in. */
  readonly altNames: readonly string[];
  /** The common name, or the organization, of the issuer; empty if it has neither. */
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Whether it is the certificate of an authority. */
  readonly isAuthority: boolean;
  /** Whether its extended key usage names serverAuth. False where it names no usage, which TLS takes for all of them. */
  readonly isForServers: boolean;
  /** The same of clientAuth. */
  readonly isForClients: boolean;
  /** Whether it has extensions; certificates of version 1 have none, and TLS refuses them. */
  readonly hasExtensions: boolean;
}

const TAG = { boolean: 1, oid: 6, sequence: 0x30, version: 0xa0, extensions: 0xa3 } as const;
const TIME_TAG = { utc: 23, generalized: 24 } as const;
const NAME_TAG = { dns: 0x82, ip: 0x87 } as const;
/** The types of text whose bytes are those of UTF-8: UTF8String, PrintableString and IA5String. */
const TEXT_TAGS: ReadonlySet<number> = new Set([12, 19, 22]);
const OID = {
  commonName: "550403",
  organization: "55040a",
  basicConstraints: "551d13",
  subjectAltName: "551d11",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
} as const;

/** One element: its tag, and its content. */
interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** Bytes that are not a certificate. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
  /** Stable name of this error. */
  readonly code = "invalidCertificate";
}

/** Reads a certificate in DER. Throws {@link CertificateError}. */
export function readCertificateFields(bytes: Uint8Array): CertificateFields {
  const [certificate] = elementsOf(bytes);
  const [content] = elementsOf(contentOf(certificate, TAG.sequence));
  const elements = elementsOf(contentOf(content, TAG.sequence));
  // serial number, algorithm of the signature, issuer, dates, subject, key; before them the version unless it is 1.
  const [, , issuer, dates, subject, , ...optional] = elements[0]?.tag === TAG.version
    ? elements.slice(1)
    : elements;
  const [notBefore, notAfter] = elementsOf(contentOf(dates, TAG.sequence));
  const extensions = readExtensions(optional.find(({ tag }) => tag === TAG.extensions));
  const issuerNames = readName(contentOf(issuer, TAG.sequence));
  const [issuerName] = [...issuerNames.commonNames, ...issuerNames.organizations];
  const { commonNames } = readName(contentOf(subject, TAG.sequence));
  const usages = readUsages(extensions.get(OID.extendedKeyUsage));
  return {
    commonName: commonNames.length === 1 ? commonNames[0] ?? "" : "",
    altNames: readAltNames(extensions.get(OID.subjectAltName)),
    issuer: shortened(issuerName ?? ""),
    notBeforeMs: readTime(notBefore),
    notAfterMs: readTime(notAfter),
    isAuthority: readIsAuthority(extensions.get(OID.basicConstraints)),
    isForServers: usages.includes(OID.serverAuth),
    isForClients: usages.includes(OID.clientAuth),
    hasExtensions: extensions.size > 0,
  };
}

/** Returns the elements that follow one another in `bytes`. */
function elementsOf(bytes: Uint8Array): readonly Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = byteAt(bytes, at);
    let length = byteAt(bytes, at + 1);
    at += 2;
    if (length >= 0x80) {
      const size = length - 0x80;
      if (size === 0 || size > 3) throw new CertificateError("An element's length is not one");
      length = 0;
      for (let index = 0; index < size; index++) length = length * 256 + byteAt(bytes, at + index);
      at += size;
    }
    if (at + length > bytes.length) throw new CertificateError("An element ends behind the one around it");
    elements.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return elements;
}

function byteAt(bytes: Uint8Array, index: number): number {
  const byte = bytes[index];
  if (byte === undefined) throw new CertificateError("The certificate is cut off");
  return byte;
}

function contentOf(element: Element | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) throw new CertificateError(`An element of type ${tag} is missing`);
  return element.content;
}

/** Returns bytes in hexadecimal; `toHex` is missing in Node 20. */
function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns the contents of the extensions, by object identifier. */
function readExtensions(element: Element | undefined): ReadonlyMap<string, Uint8Array> {
  const extensions = new Map<string, Uint8Array>();
  if (element === undefined) return extensions;
  const [list] = elementsOf(element.content);
  for (const { content } of elementsOf(contentOf(list, TAG.sequence))) {
    const parts = elementsOf(content);
    const id = hexOf(contentOf(parts[0], TAG.oid));
    if (extensions.has(id)) throw new CertificateError("An extension is there twice");
    extensions.set(id, parts.at(-1)?.content ?? new Uint8Array());
  }
  return extensions;
}

function readName(
  bytes: Uint8Array,
): { readonly commonNames: readonly string[]; readonly organizations: readonly string[] } {
  const commonNames: string[] = [];
  const organizations: string[] = [];
  for (const set of elementsOf(bytes)) {
    for (const { content } of elementsOf(set.content)) {
      const [type, value] = elementsOf(content);
      const id = hexOf(contentOf(type, TAG.oid));
      if (id === OID.commonName) commonNames.push(readText(value));
      if (id === OID.organization) organizations.push(readText(value));
    }
  }
  return { commonNames, organizations };
}

/** Returns a text; empty if it is of a type, or contains characters, that no name of a user or node has. */
function readText(element: Element | undefined): string {
  if (element === undefined || !TEXT_TAGS.has(element.tag)) return "";
  // With its byte-order mark: without, the certificate of another name would be that of the user.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(element.content);
  return /[\p{Cc}\p{Cs}\uFFFD]/u.test(text) ? "" : text;
}

function readAltNames(extension: Uint8Array | undefined): readonly string[] {
  if (extension === undefined) return [];
  const [list] = elementsOf(extension);
  return elementsOf(contentOf(list, TAG.sequence)).flatMap(({ tag, content }) => {
    if (tag === NAME_TAG.dns) {
      const name = new TextDecoder("latin1").decode(content).toLowerCase();
      return /^[a-z0-9*._-]+$/.test(name) ? [`DNS:${name}`] : [];
    }
    return tag === NAME_TAG.ip ? readIp(content) : [];
  });
}

function readIp(bytes: Uint8Array): readonly string[] {
  if (bytes.length === 4) return [`IP:${bytes.join(".")}`];
  if (bytes.length !== 16) return [];
  const groups = hexOf(bytes).match(/.{4}/g) ?? [];
  return [`IP:${new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1)}`];
}

function readIsAuthority(extension: Uint8Array | undefined): boolean {
  if (extension === undefined) return false;
  const [list] = elementsOf(extension);
  const [first] = elementsOf(contentOf(list, TAG.sequence));
  return first?.tag === TAG.boolean && first.content[0] !== 0;
}

/** Returns the object identifiers of the extended key usage. */
function readUsages(extension: Uint8Array | undefined): readonly string[] {
  if (extension === undefined) return [];
  const [list] = elementsOf(extension);
  return elementsOf(contentOf(list, TAG.sequence)).map((usage) => hexOf(contentOf(usage, TAG.oid)));
}

/** Reads `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`. */
function readTime(element: Element | undefined): number {
  const isUtc = element?.tag === TIME_TAG.utc;
  if (!isUtc && element?.tag !== TIME_TAG.generalized) throw new CertificateError("A date is missing");
  const text = new TextDecoder().decode(element?.content);
  const years = isUtc ? (Number(text.slice(0, 2)) < 50 ? "20" : "19") : "";
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(years + text);
  const [, year, month, day, hour, minute, second] = parts ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw new CertificateError("A date is not one");
  return ms;
}
