/** Hashes of passwords and tokens, and unpredictable random bytes: the same in Deno, Node and Bun. */
import { createHash, randomBytes, scrypt } from "node:crypto";
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

/** Bytes of a hash of a password. */
export const PASSWORD_HASH_BYTES = 32;

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

/** Returns SHA-256 of a text's UTF-8. It protects a token of 256 random bits, and no password. */
export function sha256Of(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text, "utf8").digest());
}

/** Returns random bytes for secrets and salts. */
export function secretBytes(count: number): Uint8Array {
  return Uint8Array.from(randomBytes(count));
}
