/**
 * The reserved part of the key space: the keys from {@link RESERVED_START} on, from feature level 2 on.
 *
 *     registry        ff ff ff ff ff ff ff ff 00
 *     database key    ff ff ff ff ff ff ff ff 01 <id of the database: 4 bytes, big-endian> <key within the database>
 *
 * Ordinary commands may read reserved keys and not change them. A range that begins below the reserved part ends there
 * ({@link belowReserved}), so that a list, a watch or a deletion of "all keys" never meets a database. A range that begins
 * in it is taken as it is.
 */
import type { Branches, KeySet, Operation } from "../branching_command.ts";
import type { ListQuery, PlainCommand } from "../command.ts";
import { compareKeys } from "../keys.ts";
import { assertNever } from "../../platform/assert.ts";
import { DATABASE_ID_LIMIT } from "./database_command.ts";

/** The first reserved key. */
export const RESERVED_START: Uint8Array = new Uint8Array(8).fill(0xff);
/** The key of the registry of databases. */
export const REGISTRY_KEY: Uint8Array = Uint8Array.of(...RESERVED_START, 0);
/** The first key that may be one of a database: those below it are the registry's. */
const DATABASES_START = Uint8Array.of(...RESERVED_START, 1);
/** Bytes before the key within a database. */
export const DATABASE_PREFIX_BYTES = DATABASES_START.length + 4;

/** Whether a key is reserved. */
export function isReserved(key: Uint8Array): boolean {
  if (key.length < RESERVED_START.length) return false;
  for (let position = 0; position < RESERVED_START.length; position++) {
    if (key[position] !== 0xff) return false;
  }
  return true;
}

/** Whether a reserved key is that of the registry, or may become the registry's. */
export function isOfRegistry(key: Uint8Array): boolean {
  return isReserved(key) && compareKeys(key, DATABASES_START) < 0;
}

/** Whether a range has keys of the registry. */
export function hasRegistryKeys(start: Uint8Array, end: Uint8Array | null): boolean {
  return compareKeys(start, DATABASES_START) < 0 && (end === null || compareKeys(end, RESERVED_START) > 0);
}

/** Returns the parts of a range that have no keys of the registry, in ascending order. */
export function withoutRegistry(
  start: Uint8Array,
  end: Uint8Array | null,
): readonly { readonly start: Uint8Array; readonly end: Uint8Array | null }[] {
  if (!hasRegistryKeys(start, end)) return [{ start, end }];
  const before = compareKeys(start, RESERVED_START) < 0 ? [{ start, end: RESERVED_START }] : [];
  const isBehind = end === null || compareKeys(end, DATABASES_START) > 0;
  return isBehind ? [...before, { start: DATABASES_START, end }] : before;
}

/**
 * Returns the end of a range from `start` to `end` (excluded; null: to the last key): the reserved part, if the range begins
 * below it and ends in it or behind it.
 */
export function belowReserved(start: Uint8Array, end: Uint8Array | null): Uint8Array | null {
  if (isReserved(start)) return end;
  return end === null || isReserved(end) ? RESERVED_START : end;
}

/** Returns the same keys without reserved ones where the range begins below these. */
export function keysBelowReserved(keys: KeySet): KeySet {
  if (keys.kind === "key") return keys;
  const end = belowReserved(keys.start, keys.end);
  return end === keys.end ? keys : { ...keys, end };
}

/** Returns the same listing without reserved keys where its range begins below these. */
export function listingBelowReserved(query: ListQuery): ListQuery {
  const { prefix, start } = query;
  if (isReserved(prefix) || (start !== null && isReserved(start))) return query;
  const end = belowReserved(prefix, query.end);
  return end === query.end ? query : { ...query, end };
}

/** Returns the prefix of all keys of a database. */
export function databasePrefix(databaseId: number): Uint8Array {
  return databaseKey(databaseId, new Uint8Array(0));
}

/** Returns the store's key for a key within a database. */
export function databaseKey(databaseId: number, key: Uint8Array): Uint8Array {
  const prefixed = new Uint8Array(DATABASE_PREFIX_BYTES + key.length);
  prefixed.set(DATABASES_START);
  for (let position = 0; position < 4; position++) {
    prefixed[DATABASES_START.length + position] = databaseId >>> (24 - 8 * position);
  }
  prefixed.set(key, DATABASE_PREFIX_BYTES);
  return prefixed;
}

/** Returns the range of all keys of a database. */
export function databaseRange(databaseId: number): { readonly start: Uint8Array; readonly end: Uint8Array } {
  const isLast = databaseId + 1 === DATABASE_ID_LIMIT;
  const end = isLast ? Uint8Array.of(...RESERVED_START, 2) : databasePrefix(databaseId + 1);
  return { start: databasePrefix(databaseId), end };
}

/** Whether an ordinary command would change a reserved key: it is refused. */
export function changesReservedKeys(command: PlainCommand): boolean {
  if (command.kind === "transaction") {
    // A loop without a function, and one comparison for nearly every key: each write is looked at.
    for (const { key } of command.mutations) if (key[0] === 0xff && isReserved(key)) return true;
    return false;
  }
  return command.kind === "branchingTransaction" && branchesChangeReserved(command);
}

function branchesChangeReserved({ then, else: otherwise }: Branches): boolean {
  return then.some(operationChangesReserved) || otherwise.some(operationChangesReserved);
}

function operationChangesReserved(operation: Operation): boolean {
  switch (operation.kind) {
    case "get":
      return false;
    case "put":
    case "sum":
    case "min":
    case "max":
      return isReserved(operation.key);
    case "delete":
      return isReserved(operation.keys.kind === "key" ? operation.keys.key : operation.keys.start);
    case "transaction":
      return branchesChangeReserved(operation);
    default:
      return assertNever(operation);
  }
}
