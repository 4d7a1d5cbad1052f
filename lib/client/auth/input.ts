/** Checks the arguments of the calls on users and roles, and converts them to those of the store. */
import type { Grant, GrantedKeys, Right } from "../../kv/auth/auth_command.ts";
import { MAX_SECRET_CHARACTERS, RIGHTS } from "../../kv/auth/auth_command.ts";
import { validateAuthName, validateGrant } from "../../kv/auth/validate_auth.ts";
import { compareKeys, prefixEnd } from "../../kv/keys.ts";
import { checkChoice, checkObject, checkText } from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";
import { throwProblem } from "../input.ts";
import { Keyspace } from "../keyspace.ts";
import { toKeySet } from "../watch/input.ts";
import type { WatchedKeys } from "../watch/types.ts";

/** Returns the name of a user. Throws InvalidRequestError for one that no user can have. */
export function checkUserName(name: string): string {
  return checkName("user", name);
}

/** Returns the name of a user, role or token. Throws InvalidRequestError for one that none can have. */
export function checkName(what: "user" | "role" | "token", name: string): string {
  throwProblem(validateAuthName(what, checkText(name, `the name of a ${what}`)));
  return name;
}

/** Returns a password or token that can be one. Throws InvalidRequestError, whose message does not have it. */
export function checkPassword(secret: string, what: string): string {
  if (typeof secret !== "string") {
    throw new InvalidRequestError(`Cannot use a ${typeof secret} as ${what}: pass text.`);
  }
  if (secret.length > 0 && secret.length <= MAX_SECRET_CHARACTERS && secret.isWellFormed()) return secret;
  throw new InvalidRequestError(
    `Cannot use this text as ${what}: it must have 1 to ${MAX_SECRET_CHARACTERS} characters, of well-formed Unicode.`,
  );
}

/** Returns a grant that can be made. Throws KvraftError. */
export function toGrant(right: Right, keys: WatchedKeys): Grant {
  checkChoice(right, RIGHTS, "a right");
  const granted: GrantedKeys = toKeySet(checkObject(keys, "the keys of a grant"), Keyspace.ALL);
  const grant = { right, keys: granted };
  throwProblem(validateGrant(grant));
  return grant;
}

/** Returns the prefix of a range that has all keys with a prefix, empty for all keys; null for another range. */
export function grantedPrefix(
  { start, end }: Extract<GrantedKeys, { readonly kind: "range" }>,
): Uint8Array | null {
  const endOfPrefix = prefixEnd(start);
  if (end === null || endOfPrefix === null) return end === endOfPrefix ? start : null;
  return compareKeys(end, endOfPrefix) === 0 ? start : null;
}
