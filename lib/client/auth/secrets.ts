/** Hashes of passwords, and tokens: made in the client, so that neither secret is ever in a command or a log. */
import {
  MIN_SALT_BYTES,
  type PasswordHash,
  SCRYPT_BLOCK_SIZE,
  SCRYPT_PARALLELISM,
} from "../../kv/auth/auth_command.ts";
import { publicKeyOf, scryptOf, secretBytes, sha256Of } from "../../platform/secrets.ts";

/** The cost of a hash of a password: 32 MiB and about 100 ms for each sign-in, and for each guess. */
const COST = 2 ** 15;
/** Random bytes of a token. */
const TOKEN_BYTES = 32;
/** The beginning of a token, by which people and scanners of repositories recognize one. */
const TOKEN_PREFIX = "kvt_";

/** Returns a hash of a password, with a salt of its own. */
export async function hashPassword(password: string): Promise<PasswordHash> {
  const parameters = {
    cost: COST,
    blockSize: SCRYPT_BLOCK_SIZE,
    parallelism: SCRYPT_PARALLELISM,
    salt: secretBytes(MIN_SALT_BYTES),
  };
  return { algorithm: "scrypt", ...parameters, hash: publicKeyOf(await scryptOf(password, parameters)) };
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
