/** Hashes of passwords, and tokens: made in the client, so that neither secret is ever in a command or a log. */
import { scryptOf, secretBytes, sha256Of } from "../../platform/secrets.ts";

/** The cost of a hash of a password: 32 MiB and about 100 ms for each sign-in, and for each guess. */
const COST = 2 ** 15;
const SALT_BYTES = 16;
/** Bytes of a token, which nobody can guess. */
const TOKEN_BYTES = 32;
/** The beginning of a token, by which people and scanners of repositories recognize one. */
const TOKEN_PREFIX = "kvt_";

/** Returns a hash of a password, with a salt of its own. */
export async function hashPassword(password: string) {
  const parameters = { cost: COST, blockSize: 8, parallelism: 1, salt: secretBytes(SALT_BYTES) } as const;
  return { algorithm: "scrypt", ...parameters, hash: await scryptOf(password, parameters) } as const;
}

/** A token and its hash, by which the store recognizes it. */
export interface NewToken {
  readonly token: string;
  readonly hash: Uint8Array;
}

/** Returns a new token. */
export function newToken(): NewToken {
  const base64 = btoa(String.fromCharCode(...secretBytes(TOKEN_BYTES)));
  const token = `${TOKEN_PREFIX}${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  return { token, hash: sha256Of(token) };
}
