/** Keys of passwords, hashes of tokens, and unpredictable random bytes: the same in Deno, Node and Bun. */
import { Buffer } from "node:buffer";
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  scrypt,
  sign,
  verify,
} from "node:crypto";
import { withResolvers } from "./promise.ts";

/** How much work a hash of a password is. */
export interface ScryptParameters {
  /** N: a power of two. Time and memory grow with it; 2^15 takes 32 MiB and about 100 ms. */
  readonly cost: number;
  /** r. */
  readonly blockSize: number;
  /** p. */
  readonly parallelism: number;
  readonly salt: Uint8Array;
}

/** Bytes of scrypt of a password, and of the public key that is made of it. */
export const PASSWORD_HASH_BYTES = 32;

/** Bytes before the 32 of an Ed25519 key in DER (RFC 8410): of a seed in PKCS #8, of a public key in SPKI. */
const SEED_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");
const PUBLIC_KEY_HEAD = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Returns scrypt (RFC 7914) of a password's UTF-8. It runs in the runtime's thread pool and takes a core meanwhile, so a
 * server bounds how many run at once.
 */
export async function scryptOf(
  password: string,
  { cost, blockSize, parallelism, salt }: ScryptParameters,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = withResolvers<Uint8Array>();
  // The default limit of node:crypto is 32 MiB, which 2^15 exceeds by a few bytes.
  const options = { N: cost, r: blockSize, p: parallelism, maxmem: 256 * cost * blockSize };
  scrypt(password, salt, PASSWORD_HASH_BYTES, options, (error, hash) => {
    // Bun 1.4.5 passes undefined without an error, Node and Deno null.
    if (error) reject(error);
    else resolve(Uint8Array.from(hash));
  });
  return await promise;
}

/**
 * Returns the Ed25519 public key of a seed, which is scrypt of a password. The cluster stores it as the hash of the password:
 * it checks the password and what the seed has signed, and signs nothing itself.
 */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  const spki = createPublicKey(privateKeyOf(seed)).export({ format: "der", type: "spki" });
  return Uint8Array.from(spki.subarray(PUBLIC_KEY_HEAD.length));
}

/** Returns the Ed25519 signature of a text's UTF-8, 64 bytes. */
export function signedBy(seed: Uint8Array, text: string): Uint8Array {
  return Uint8Array.from(sign(null, Buffer.from(text, "utf8"), privateKeyOf(seed)));
}

/** Returns whether the seed of a public key has signed a text; false for 32 bytes that are no public key. */
export function isSignedBy(publicKey: Uint8Array, text: string, signature: Uint8Array): boolean {
  try {
    const key = { key: Buffer.concat([PUBLIC_KEY_HEAD, publicKey]), format: "der", type: "spki" } as const;
    return verify(null, Buffer.from(text, "utf8"), createPublicKey(key), signature);
  } catch {
    return false; // Deno throws for bytes that are no point of the curve, Node verifies nothing by them
  }
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([SEED_HEAD, seed]), format: "der", type: "pkcs8" });
}

/** Returns SHA-256 of a text's UTF-8. It protects a token of 256 random bits, and no password. */
export function sha256Of(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text, "utf8").digest());
}

/** Returns random bytes for secrets and salts. */
export function secretBytes(count: number): Uint8Array {
  return Uint8Array.from(randomBytes(count));
}
