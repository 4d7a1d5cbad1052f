/** Keys, and changes of users, in words, for refusals and audit lines: the first bytes of keys, never a value or a hash. */
import {
  type AuthChange,
  compareKeys,
  type DatabasesChange,
  type Denial,
  type KeySet,
  type PlainCommand,
  prefixEnd,
  type Requirement,
} from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";

/** Bytes of a key that are shown. */
export const MAX_SHOWN_KEY_BYTES = 64;

const NO_KEY = new Uint8Array(0);
const ALL_KEYS: KeySet = { kind: "range", start: NO_KEY, end: null };

/** Returns keys in words. */
export function describeKeys(keys: KeySet): string {
  switch (keys.kind) {
    case "key":
      return `the key ${quoted(keys.key)}`;
    case "range":
      return describeRange(keys);
    default:
      return assertNever(keys);
  }
}

/** Returns the change of users, roles and tokens, or of databases, that a command makes, in words; null for other commands. */
export function describeChangeOf(command: PlainCommand): string | null {
  if (command.kind === "changeDatabases") return describeDatabasesChange(command.change);
  return command.kind === "changeAuth" ? describeChange(command.change) : null;
}

function describeDatabasesChange(change: DatabasesChange): string {
  const { kind, name } = change;
  switch (kind) {
    case "create":
    case "remove":
      return `${kind} database ${named(name)}`;
    case "addToken":
      return `${kind} ${named(change.label)} of database ${named(name)}`;
    case "removeToken":
      return `${kind} ${change.tokenId} of database ${named(name)}`;
    default:
      return assertNever(change);
  }
}

function describeChange(change: AuthChange): string {
  const { kind } = change;
  switch (kind) {
    case "setEnabled":
      return `${kind} ${change.enabled}`;
    case "addUser":
    case "setPassword":
      return `${kind} ${named(change.user)}${change.password === null ? " without a password" : ""}`;
    case "removeUser":
      return `${kind} ${named(change.user)}`;
    case "grantRole":
    case "revokeRole":
      return `${kind} ${named(change.role)} of user ${named(change.user)}`;
    case "addToken":
    case "revokeToken":
      return `${kind} ${named(change.token)} of user ${named(change.user)}`;
    case "addRole":
    case "removeRole":
      return `${kind} ${named(change.role)}`;
    case "addGrant":
    case "removeGrant": {
      const { role, grant } = change;
      return `${kind} of role ${named(role)}: ${grant.right} over ${describeKeys(grant.keys)}`;
    }
    default:
      return assertNever(change);
  }
}

/** Returns the keys over which a right is missing; null where no right would do. */
export function keysOfDenial(denial: Denial): KeySet | null {
  return denial.kind === "keys" ? denial.keys : null;
}

/**
 * Returns the keys that a requirement is about: those of a single right, or all that begin with what the keys of several
 * rights have in common. Null where it is about no keys, or about the keys of leases alone.
 */
export function keysOfRequirement(requirement: Requirement): KeySet | null {
  if (requirement.kind === "admin") return ALL_KEYS;
  if (requirement.kind !== "keys") return null;
  const [first, ...others] = requirement.grants;
  if (first === undefined) return null;
  if (others.length === 0) return first.keys;
  let common = commonBeginning(first.keys);
  for (const { keys } of others) common = common.subarray(0, sharedLength(common, commonBeginning(keys)));
  return { kind: "range", start: common, end: prefixEnd(common) };
}

function describeRange({ start, end }: Extract<KeySet, { readonly kind: "range" }>): string {
  if (start.length === 0 && end === null) return "all keys";
  const endOfPrefix = prefixEnd(start);
  const isPrefix = end === null || endOfPrefix === null
    ? end === endOfPrefix
    : compareKeys(end, endOfPrefix) === 0;
  if (isPrefix) return `the keys that begin with ${quoted(start)}`;
  return end === null
    ? `the keys from ${quoted(start)} on`
    : `the keys from ${quoted(start)} to ${quoted(end)}`;
}

/** Returns the bytes with which all of these keys begin. */
function commonBeginning(keys: KeySet): Uint8Array {
  if (keys.kind === "key") return keys.key;
  const { start, end } = keys;
  if (end === null) return NO_KEY;
  const shared = start.subarray(0, sharedLength(start, end));
  const endOfPrefix = prefixEnd(start);
  return endOfPrefix !== null && compareKeys(end, endOfPrefix) === 0 ? start : shared;
}

function sharedLength(one: Uint8Array, other: Uint8Array): number {
  let length = 0;
  while (length < one.length && length < other.length && one[length] === other[length]) length++;
  return length;
}

function named(name: string): string {
  return JSON.stringify(name);
}

function quoted(key: Uint8Array): string {
  const shown = key.subarray(0, MAX_SHOWN_KEY_BYTES);
  return `${JSON.stringify(new TextDecoder().decode(shown))}${shown.length < key.length ? "…" : ""}`;
}
