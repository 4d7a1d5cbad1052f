/** Validation of changes of users, roles and tokens. */
import type { KeySet } from "../branching_command.ts";
import { compareKeys } from "../keys.ts";
import { type CommandProblem, invalid, validateKey, validateKeyLength } from "../problems.ts";
import { assertNever } from "../../platform/assert.ts";
import {
  AUTH_HASH_BYTES,
  type AuthChange,
  type Grant,
  MAX_AUTH_NAME_CHARACTERS,
  MAX_SALT_BYTES,
  MAX_SCRYPT_COST,
  MIN_SALT_BYTES,
  MIN_SCRYPT_COST,
  type PasswordHash,
  SCRYPT_BLOCK_SIZE,
  SCRYPT_PARALLELISM,
} from "./auth_command.ts";

/**
 * Control characters, those that end a line, those that change the direction of the text around them, and those that are
 * invisible: a name with them would forge what a log line says, or look like another name. Listed by code, since
 * applying an old log must always give the same state and later versions of Unicode may have other classes.
 */
const FORBIDDEN =
  // deno-lint-ignore no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff/]/;

/** Returns the problem of a change, or null when it is valid. */
export function validateAuthChange(change: AuthChange): CommandProblem | null {
  switch (change.kind) {
    case "setEnabled":
      return null;
    case "addUser":
    case "setPassword":
      return validateAuthName("user", change.user) ??
        (change.password === null ? null : validatePasswordHash(change.password));
    case "removeUser":
      return validateAuthName("user", change.user);
    case "grantRole":
    case "revokeRole":
      return validateAuthName("user", change.user) ?? validateAuthName("role", change.role);
    case "addToken":
      return validateAuthName("user", change.user) ?? validateAuthName("token", change.token) ??
        validateToken(change);
    case "revokeToken":
      return validateAuthName("user", change.user) ?? validateAuthName("token", change.token);
    case "addRole":
    case "removeRole":
      return validateAuthName("role", change.role);
    case "addGrant":
    case "removeGrant":
      return validateAuthName("role", change.role) ?? validateGrant(change.grant);
    default:
      return assertNever(change);
  }
}

/** Returns the problem of the name of a user, role or token, or null when it is valid. */
export function validateAuthName(what: "user" | "role" | "token", name: string): CommandProblem | null {
  if (name.length === 0) {
    return invalid(`Cannot use an empty name for a ${what}: give at least one character.`);
  }
  if (name.length > MAX_AUTH_NAME_CHARACTERS) {
    return invalid(
      `Cannot use a name of ${name.length} characters for a ${what}: at most ${MAX_AUTH_NAME_CHARACTERS} are allowed.`,
    );
  }
  if (!FORBIDDEN.test(name) && name.isWellFormed()) return null;
  return invalid(
    `Cannot use this name for a ${what}: names have no "/", no control characters and no invisible ones.`,
  );
}

/** Returns the problem of a grant, or null when it is valid. */
export function validateGrant({ keys }: Grant): CommandProblem | null {
  if (keys.kind === "key") return validateKey(keys.key);
  const { start, end } = keys;
  const problem = validateKeyLength(start) ?? (end === null ? null : validateKeyLength(end));
  if (problem !== null || end === null || compareKeys(end, start) > 0) return problem;
  return invalid("Cannot grant a range without keys: its end is not above its start.");
}

/** Returns the bytes of the keys of a grant. */
export function grantedKeyBytes(keys: KeySet): number {
  return keys.kind === "key" ? keys.key.length : keys.start.length + (keys.end?.length ?? 0);
}

/** Returns the problem of the hash of a password, or null when it is valid. */
export function validatePasswordHash(password: PasswordHash): CommandProblem | null {
  const { cost, blockSize, parallelism, salt, hash } = password;
  const isCost = cost >= MIN_SCRYPT_COST && cost <= MAX_SCRYPT_COST && Number.isInteger(Math.log2(cost));
  if (!isCost || blockSize !== SCRYPT_BLOCK_SIZE || parallelism !== SCRYPT_PARALLELISM) {
    return invalid(
      `Cannot use this hash of a password: the cost of scrypt is a power of two from ${MIN_SCRYPT_COST} to ` +
        `${MAX_SCRYPT_COST}, its block size ${SCRYPT_BLOCK_SIZE} and its parallelism ${SCRYPT_PARALLELISM}.`,
    );
  }
  if (salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_BYTES) {
    return invalid(
      `Cannot use this hash of a password: its salt has from ${MIN_SALT_BYTES} to ${MAX_SALT_BYTES} bytes.`,
    );
  }
  return validateHash("password", hash);
}

function validateToken(
  { hash, expiresAtMs }: { readonly hash: Uint8Array; readonly expiresAtMs: number | null },
): CommandProblem | null {
  if (expiresAtMs !== null && !(Number.isSafeInteger(expiresAtMs) && expiresAtMs >= 1)) {
    return invalid(
      `Cannot have a token expire at ${expiresAtMs}: times are milliseconds since 1970, integers from 1 to 2^53 - 1.`,
    );
  }
  return validateHash("token", hash);
}

function validateHash(what: string, hash: Uint8Array): CommandProblem | null {
  if (hash.length === AUTH_HASH_BYTES) return null;
  return invalid(`Cannot use a hash of ${hash.length} bytes for a ${what}: it has ${AUTH_HASH_BYTES}.`);
}
