/**
 * X.509 certificates for tests, made when a test needs them: nothing secret is committed, and any date, name, usage or
 * issuer can be asked for. Keys are of the curve P-256.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

const DAY_MS = 86_400_000;
const OID = {
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  subjectAltName: "2.5.29.17",
} as const;
const USAGES = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;
/** Tags of the kinds of subject alternative names (RFC 5280 §4.2.1.6). */
const NAME_TAGS = { email: 0x81, DNS: 0x82, URI: 0x86, IP: 0x87 } as const;

/** A certificate and its key, both in PEM. */
export interface Credentials {
  readonly cert: string;
  readonly key: string;
}

/** The contents of a certificate that a test asks for. */
export interface CertificateOptions {
  /** Common name of the subject. */
  readonly name: string;
  /** `DNS:node1.example`, `IP:127.0.0.1`, `URI:…`, `email:…`. Default none. */
  readonly altNames?: readonly string[];
  /** Default both. */
  readonly usages?: readonly (keyof typeof USAGES)[];
  /** Of X.509 version 1, which has no extensions: no names, no usages. Default false. */
  readonly isVersion1?: boolean;
  /** Whether it is that of an authority. Default false. */
  readonly isAuthority?: boolean;
  /** Relative to now, in days. Default -1. */
  readonly validFromDays?: number;
  /** Relative to now, in days. Default 365. */
  readonly validToDays?: number;
}

/** An authority that signs certificates. */
export class Authority {
  /** Its own certificate in PEM. */
  readonly cert: string;
  readonly #name: string;
  readonly #key: KeyObject;

  /** Makes a new authority, signed by `parent` or by itself, with an ordinary certificate but for `options`. */
  constructor(
    name = "kvraft test authority",
    parent: Authority | null = null,
    options: Pick<CertificateOptions, "isAuthority" | "validFromDays" | "validToDays"> = {},
  ) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#name = name;
    this.#key = privateKey;
    this.cert = (parent ?? this).#sign(publicKey, { name, isAuthority: true, usages: [], ...options });
  }

  /** Makes a key and a certificate for it. */
  issue(options: CertificateOptions): Credentials {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return { cert: this.#sign(publicKey, options), key: pemOf(privateKey) };
  }

  /** Makes the certificate of a node on loopback. */
  node(options: Partial<CertificateOptions> = {}): Credentials {
    return this.issue({ name: "node", altNames: ["IP:127.0.0.1", "DNS:localhost"], ...options });
  }

  #sign(publicKey: KeyObject, options: CertificateOptions): string {
    const { name, altNames = [], usages = ["server", "client"], isAuthority = false } = options;
    const { validFromDays = -1, validToDays = 365, isVersion1 = false } = options;
    const algorithm = sequence(oid(OID.ecdsaWithSha256));
    const extensions = [extension(OID.basicConstraints, sequence(...isAuthority ? [der(1, [0xff])] : []))];
    // keyCertSign and cRLSign, or digitalSignature.
    extensions.push(extension(OID.keyUsage, der(3, isAuthority ? [1, 0x06] : [7, 0x80])));
    if (usages.length > 0) {
      extensions.push(
        extension(OID.extendedKeyUsage, sequence(...usages.map((usage) => oid(USAGES[usage])))),
      );
    }
    if (altNames.length > 0) {
      extensions.push(extension(OID.subjectAltName, sequence(...altNames.map(altName))));
    }
    const serial = randomBytes(16);
    serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f); // positive, and of minimal length
    const content = sequence(
      isVersion1 ? [] : der(0xa0, der(2, [2])), // version 3
      der(2, serial),
      algorithm,
      distinguishedName(this.#name),
      sequence(time(Date.now() + validFromDays * DAY_MS), time(Date.now() + validToDays * DAY_MS)),
      distinguishedName(name),
      publicKey.export({ type: "spki", format: "der" }),
      isVersion1 ? [] : der(0xa3, sequence(...extensions)),
    );
    const signature = sign("sha256", content, this.#key);
    const bytes = sequence(content, algorithm, der(3, [0, ...signature]));
    return pem("CERTIFICATE", bytes);
  }
}

/** Returns a private key in PEM, as PKCS #8, encrypted with `passphrase` where one is given. */
export function pemOf(key: KeyObject, passphrase: string | null = null): string {
  const plain = { type: "pkcs8", format: "pem" } as const;
  const options = passphrase === null ? plain : { ...plain, cipher: "aes-256-cbc", passphrase };
  return String(key.export(options));
}

/** Returns the key of PEM text. */
export function keyOf(text: string): KeyObject {
  return createPrivateKey(text);
}

type Bytes = Uint8Array | readonly number[];

function der(tag: number, ...parts: Bytes[]): Uint8Array {
  const content = parts.flatMap((part) => [...part]);
  const { length } = content;
  const size = length < 0x80
    ? [length]
    : length < 0x100
    ? [0x81, length]
    : [0x82, length >> 8, length & 0xff];
  return new Uint8Array([tag, ...size, ...content]);
}

function sequence(...parts: Bytes[]): Uint8Array {
  return der(0x30, ...parts);
}

function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const groups = (value: number): number[] => {
    const bytes = [value & 0x7f];
    for (let left = value >> 7; left > 0; left >>= 7) bytes.unshift(0x80 | (left & 0x7f));
    return bytes;
  };
  return der(6, [40 * first + second, ...rest.flatMap(groups)]);
}

function utf8(tag: number, text: string): Uint8Array {
  return der(tag, new TextEncoder().encode(text));
}

function distinguishedName(commonName: string): Uint8Array {
  if (commonName === "") return sequence();
  return sequence(der(0x31, sequence(oid(OID.commonName), utf8(12, commonName))));
}

/** Writes a GeneralizedTime; RFC 5280 demands UTCTime before 2050, and readers take both. */
function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\.[0-9]+Z$/, "Z").replace(/[-:T]/g, "");
  return Number(digits.slice(0, 4)) < 2050 ? utf8(23, digits.slice(2)) : utf8(24, digits);
}

function extension(id: string, content: Uint8Array): Uint8Array {
  return sequence(oid(id), der(4, content));
}

function altName(text: string): Uint8Array {
  const [, kind = "", value = ""] = /^(email|DNS|URI|IP):(.*)$/s.exec(text) ?? [];
  if (kind === "IP") return der(NAME_TAGS.IP, value.split(".").map(Number));
  if (kind === "email" || kind === "DNS" || kind === "URI") return utf8(NAME_TAGS[kind], value);
  throw new Error(`Cannot make a name of "${text}"`);
}

function pem(label: string, bytes: Uint8Array): string {
  const base64 = bytes.toBase64().replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${base64}-----END ${label}-----\n`;
}
