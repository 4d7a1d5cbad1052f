/**
 * Validation of the commands of databases. The messages about the content of a write are Deno KV's own, since the front end
 * passes them on to its clients.
 */
import { validateAuthName } from "../auth/validate_auth.ts";
import { assertNever } from "../../platform/assert.ts";
import { type CommandLimits, type CommandProblem, invalid } from "../problems.ts";
import {
  ACCESS_TOKEN_HASH_BYTES,
  DATABASE_ID_LIMIT,
  type DatabaseCheck,
  type DatabaseMutation,
  type DatabasesChange,
  type DatabaseWrite,
  MAX_CHECKED_KEY_BYTES,
  MAX_DATABASE_CHECKS,
  MAX_DATABASE_KEY_BYTES,
  MAX_DATABASE_MUTATIONS,
  MAX_DATABASE_VALUE_BYTES,
  MAX_DATABASE_WRITE_BYTES,
  MAX_DATABASE_WRITE_KEY_BYTES,
  type NumberMutation,
  SIGNING_KEY_BYTES,
  VALUE_ENCODING,
} from "./database_command.ts";
import { STORED_U64_BYTES, v8NumberOf } from "./number_mutation.ts";

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Returns the problem of a write apart from its session stamp, or null when it is valid. */
export function validateDatabaseWrite(
  { databaseId, credentialId, checks, mutations }: DatabaseWrite,
  limits: CommandLimits,
): CommandProblem | null {
  if (!isId(databaseId) || !isId(credentialId)) {
    return invalid("Cannot write to this database: ids of databases and access tokens are below 2^32.");
  }
  if (mutations.length === 0) return invalid("Cannot write to a database without a mutation: read instead.");
  if (mutations.length > MAX_DATABASE_MUTATIONS) {
    return invalid(`Too many mutations (max ${MAX_DATABASE_MUTATIONS})`);
  }
  if (checks.length > MAX_DATABASE_CHECKS) return invalid(`Too many checks (max ${MAX_DATABASE_CHECKS})`);
  // Loops without a function for each write: every node validates every write.
  for (const check of checks) {
    const problem = validateCheck(check);
    if (problem !== null) return problem;
  }
  let keyBytes = 0;
  let bytes = 0;
  for (const mutation of mutations) {
    const problem = validateMutation(mutation, limits);
    if (problem !== null) return problem;
    keyBytes += mutation.key.length;
    if (mutation.kind !== "delete") bytes += mutation.value.length - 1;
  }
  if (keyBytes > MAX_DATABASE_WRITE_KEY_BYTES) {
    return invalid(`Total key size too large (max ${MAX_DATABASE_WRITE_KEY_BYTES} bytes)`);
  }
  return keyBytes + bytes <= MAX_DATABASE_WRITE_BYTES
    ? null
    : invalid(`Total mutation size too large (max ${MAX_DATABASE_WRITE_BYTES} bytes)`);
}

/** Returns the problem of a change of the registry, or null when it is valid. */
export function validateDatabasesChange(change: DatabasesChange): CommandProblem | null {
  const problem = validateDatabaseName(change.name);
  if (problem !== null) return problem;
  switch (change.kind) {
    case "create":
      if (!UUID.test(change.uuid)) return invalid(`Cannot create a database with this UUID: ${change.uuid}.`);
      return validateLength("signing key", change.signingKey, SIGNING_KEY_BYTES);
    case "remove":
      return null;
    case "addToken":
      return validateAuthName("token", change.label) ?? validateTime(change.createdAtMs) ??
        validateLength("hash", change.hash, ACCESS_TOKEN_HASH_BYTES) ??
        validateLength("signing key", change.signingKey, SIGNING_KEY_BYTES);
    case "removeToken":
      return isId(change.tokenId) && change.tokenId > 0
        ? null
        : invalid(`Cannot remove the access token ${change.tokenId}: ids are integers from 1 up.`);
    default:
      return assertNever(change);
  }
}

/** Returns the problem of the name of a database, or null when it is valid. */
export function validateDatabaseName(name: string): CommandProblem | null {
  if (NAME.test(name)) return null;
  return invalid(
    `Cannot use ${
      JSON.stringify(name)
    } as the name of a database: names have 1 to 63 lower-case letters, digits and ` +
      "hyphens, and do not begin with a hyphen.",
  );
}

function validateCheck({ key, revision }: DatabaseCheck): CommandProblem | null {
  if (key.length > MAX_CHECKED_KEY_BYTES) {
    return { kind: "keyTooLarge", message: `Key too large for read (max ${MAX_CHECKED_KEY_BYTES} bytes)` };
  }
  if (key.length === 0) return invalid("Key cannot be empty");
  if (revision === null || (Number.isSafeInteger(revision) && revision >= 1)) return null;
  return invalid(`Cannot compare with revision ${revision}: revisions are integers from 1 up.`);
}

function validateMutation(mutation: DatabaseMutation, limits: CommandLimits): CommandProblem | null {
  const { key } = mutation;
  if (key.length > MAX_DATABASE_KEY_BYTES) {
    return { kind: "keyTooLarge", message: `Key too large for write (max ${MAX_DATABASE_KEY_BYTES} bytes)` };
  }
  if (key.length === 0) return invalid("Key cannot be empty");
  if (mutation.kind === "delete") return null;
  const maxBytes = Math.min(MAX_DATABASE_VALUE_BYTES, limits.maxValueBytes);
  if (mutation.value.length > maxBytes + 1) {
    return { kind: "valueTooLarge", message: `Value too large (max ${maxBytes} bytes)` };
  }
  if (!isEncoded(mutation.value)) {
    return invalid("Cannot write a value of this encoding: it is 1 (V8), 2 (64 bits) or 3 (bytes).");
  }
  if (mutation.kind !== "set") return validateOperand(mutation);
  const { expiresAtMs } = mutation;
  if (expiresAtMs === null || (Number.isSafeInteger(expiresAtMs) && expiresAtMs >= 1)) return null;
  return invalid(
    `Cannot have a key expire at ${expiresAtMs}: times are milliseconds since 1970, integers from 1 to 2^53 - 1.`,
  );
}

function validateOperand(mutation: NumberMutation): CommandProblem | null {
  const [encoding] = mutation.value;
  if (encoding === VALUE_ENCODING.le64) return null;
  if (mutation.kind !== "sum") {
    return invalid(`Failed to perform '${mutation.kind}' mutation on a non-U64 operand`);
  }
  const operand = encoding === VALUE_ENCODING.v8 ? v8NumberOf(mutation.value.subarray(1)) : null;
  const bounds = [mutation.minimum, mutation.maximum].filter((bound) => bound !== null);
  const numbers = bounds.map(v8NumberOf);
  if (operand === null || numbers.includes(null)) {
    return invalid("Some of the parameters are not valid V8 values");
  }
  return numbers.every((number) => typeof number === typeof operand)
    ? null
    : invalid("Min/max parameters have different types than the operand");
}

/** Whether a value has an encoding that is known; whether V8's bytes are a value, only its reader can tell. */
function isEncoded(value: Uint8Array): boolean {
  const [encoding = 0] = value;
  if (encoding === VALUE_ENCODING.le64) return value.length === STORED_U64_BYTES;
  return encoding === VALUE_ENCODING.v8 || encoding === VALUE_ENCODING.bytes;
}

function validateTime(timeMs: number): CommandProblem | null {
  if (Number.isSafeInteger(timeMs) && timeMs >= 0) return null;
  return invalid(`Cannot add an access token made at ${timeMs}: times are integers from 0 up.`);
}

function validateLength(what: string, bytes: Uint8Array, expected: number): CommandProblem | null {
  if (bytes.length === expected) return null;
  return invalid(`Cannot use a ${what} of ${bytes.length} bytes: it has ${expected}.`);
}

function isId(id: number): boolean {
  return Number.isSafeInteger(id) && id >= 0 && id < DATABASE_ID_LIMIT;
}
